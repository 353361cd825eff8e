package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"
)

// podKey names one pod for good: another of the same name has another UID.
type podKey struct {
	types.NamespacedName
	uid types.UID
}

func keyOf(p *corev1.Pod) podKey {
	return podKey{types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, p.UID}
}

// pod is a pod as its node runs it. One worker at a time handles it; what the
// goroutines of its containers touch is guarded by mu.
type pod struct {
	key     podKey
	node    *node
	object  *corev1.Pod // as it was admitted; its spec does not change
	refusal *lifecycle.PodAdmitResult
	ip      string
	created time.Time
	// containers are the init containers and then the others, in their order.
	containers []*container
	// mountFailure is the last reason why a volume is not there, to tell it once.
	mountFailure string

	mu     sync.Mutex // guards what follows, and fields of the containers' runs
	killed bool       // its containers' runs are to be killed
}

// syncPod brings one pod on: it decides on its admission, runs its containers as
// far as they can go now, reports what has changed, and deletes it once it has
// ended and is to go. It returns when to look at it again; 0 is when something
// happens.
func (k *Kubelet) syncPod(ctx context.Context, key podKey) (time.Duration, error) {
	object, err := k.pods.Pods(key.Namespace).Get(key.Name)
	if err := ignoreGone(err); err != nil {
		return 0, err
	}
	p := k.pod(key.uid)
	if object == nil || object.UID != key.uid {
		k.forget(p) // deleted, by force if it still ran
		return 0, nil
	}
	n := k.nodeNamed(object.Spec.NodeName)
	if n == nil || !n.joined() {
		k.forget(p) // its instance is gone, or has not come yet and will ask for it
		if n == nil && k.wasRemoved(object.Spec.NodeName) {
			return 0, k.deletePod(ctx, k.admin.CoreV1(), object) // bound while the node went
		}
		return 0, nil
	}
	if n.isDead() {
		return 0, nil
	}
	ctx = as(ctx, n)
	if p == nil {
		if podutil.IsPodTerminal(object) || object.DeletionTimestamp != nil {
			return 0, k.finish(ctx, object)
		}
		if p, err = k.adopt(n, object); err != nil {
			return 0, err
		}
	}
	next := p.advance(ctx, object, time.Now())
	want := p.status(object)
	over := podutil.IsPodPhaseTerminal(want.Phase)
	if over {
		// Before it is told: the scheduler counts a pod's share as free from its word on,
		// and what it binds then must find it so (a kubelet tells that a pod is over when
		// its worker knows, IsPodKnownTerminated in pkg/kubelet/pod_workers.go).
		n.release(object.UID)
	}
	patch, err := statusPatch(object.UID, corev1.Pod{Status: object.Status}, corev1.Pod{Status: want})
	if err != nil {
		return next, err
	}
	if patch != nil {
		_, err := k.nodeClient.CoreV1().Pods(object.Namespace).Patch(ctx, object.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		if err := ignoreGone(err); err != nil {
			return next, fmt.Errorf("updating the status of pod %s/%s: %w", object.Namespace, object.Name, err)
		}
	}
	if over {
		return next, k.finish(ctx, object)
	}
	return next, nil
}

// adopt takes on a pod that was bound to the node, or refuses it.
func (k *Kubelet) adopt(n *node, object *corev1.Pod) (*pod, error) {
	p := &pod{key: keyOf(object), node: n, object: object, created: time.Now()}
	for i := range object.Spec.InitContainers {
		p.containers = append(p.containers, k.newContainer(p, &object.Spec.InitContainers[i], true))
	}
	for i := range object.Spec.Containers {
		p.containers = append(p.containers, k.newContainer(p, &object.Spec.Containers[i], false))
	}
	result := n.admit(object)
	if !result.Admit {
		p.refusal = &result
		k.events.Event(object, corev1.EventTypeWarning, result.Reason, result.Message)
		n.event(Event{Kind: PodRefused, Pod: p.key.NamespacedName, Reason: result.Reason, Message: result.Message})
	} else if object.Spec.HostNetwork {
		p.ip = n.PrivateIP
	} else {
		p.ip = k.nextIP()
	}
	return p, k.remember(p)
}

// finish deletes a pod whose containers have ended, if it is to be deleted.
func (k *Kubelet) finish(ctx context.Context, object *corev1.Pod) error {
	if object.DeletionTimestamp == nil {
		return nil
	}
	return k.deletePod(ctx, k.nodeClient.CoreV1(), object)
}

// deletePod deletes a pod's API object without further grace.
func (k *Kubelet) deletePod(ctx context.Context, client typedcorev1.CoreV1Interface, object *corev1.Pod) error {
	now := int64(0)
	err := client.Pods(object.Namespace).Delete(ctx, object.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now,
		Preconditions:      &metav1.Preconditions{UID: &object.UID},
	})
	if err := ignoreGone(err); err != nil {
		return fmt.Errorf("deleting pod %s/%s: %w", object.Namespace, object.Name, err)
	}
	return nil
}

// ignoreGone drops the errors of an object that is no longer there or no longer
// the same.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// statusPatch is the strategic merge patch that turns the status of one object into
// that of the other, nil if there is no difference. With a UID it applies to that
// object only, not to another of its name.
func statusPatch[T any](uid types.UID, from, to T) ([]byte, error) {
	if equality.Semantic.DeepEqual(from, to) {
		return nil, nil
	}
	before, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(to)
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, to)
	if err != nil || uid == "" || string(patch) == "{}" {
		return patch, err
	}
	var fields map[string]any
	if err := json.Unmarshal(patch, &fields); err != nil {
		return nil, err
	}
	fields["metadata"] = map[string]any{"uid": uid}
	return json.Marshal(fields)
}

// advance runs the containers as far as they can go at the time now and returns
// when to go on, 0 if only an event can tell.
func (p *pod) advance(ctx context.Context, object *corev1.Pod, now time.Time) time.Duration {
	if p.refusal != nil {
		return 0
	}
	var next wake
	p.killRuns()
	for _, c := range p.containers {
		c.collect(now, &next)
	}
	switch {
	case object.DeletionTimestamp != nil:
		p.stop(object.DeletionTimestamp.Time, now, &next)
	case p.over():
		// Sidecars end after the containers they serve.
		p.stopSidecars(now.Add(graceOf(object)), now, &next)
	case next.in(p.created.Add(p.node.kubelet.cfg.Delays.Pull), now):
	default:
		p.start(ctx, now, &next)
	}
	return next.after(now)
}

// start starts what is due: init containers one after the other, then all others
// at once; and again those that ended and are to be restarted.
func (p *pod) start(ctx context.Context, now time.Time, next *wake) {
	for _, c := range p.containers {
		switch {
		case c.running():
		case c.state == ended:
			if c.toBeRestarted() && !next.in(c.notBefore, now) {
				c.start(ctx, now, next)
			}
		default:
			c.start(ctx, now, next)
		}
		if c.init && !c.sidecar && !c.succeeded() {
			return
		}
		if c.sidecar && !c.running() {
			return
		}
	}
}

// over reports whether the pod has done its work: no container but sidecars runs
// or will run again.
func (p *pod) over() bool {
	for _, c := range p.containers {
		if c.sidecar {
			continue
		}
		if c.state != ended || c.toBeRestarted() {
			// A failed init container that is not run again ends the pod at once.
			return false
		}
		if c.init && !c.succeeded() {
			return true
		}
	}
	return true
}

// stop asks every container to end, sidecars when the others have.
func (p *pod) stop(by, now time.Time, next *wake) {
	served := false
	for _, c := range p.containers {
		if !c.sidecar && c.running() {
			served = true
			c.stop(by, now, next)
		}
	}
	if !served {
		p.stopSidecars(by, now, next)
	}
}

func (p *pod) stopSidecars(by, now time.Time, next *wake) {
	for _, c := range p.containers {
		if c.sidecar && c.running() {
			c.stop(by, now, next)
		}
	}
}

// stopped reports whether no container runs.
func (p *pod) stopped() bool {
	for _, c := range p.containers {
		if c.running() {
			return false
		}
	}
	return true
}

// graceOf is how long a pod's containers may take to end.
func graceOf(p *corev1.Pod) time.Duration {
	if p.Spec.TerminationGracePeriodSeconds == nil {
		return corev1.DefaultTerminationGracePeriodSeconds * time.Second
	}
	return time.Duration(*p.Spec.TerminationGracePeriodSeconds) * time.Second
}

// dir is where the files of the pod's containers are.
func (p *pod) dir() string {
	return filepath.Join(p.node.kubelet.cfg.Dir, "pods", string(p.key.uid))
}

// kill ends every container at once, waits for them and removes their files.
func (p *pod) kill() {
	for _, c := range p.containers {
		if c.run != nil {
			c.run.ask(time.Now())
			<-c.run.ended
		}
	}
	// Nothing of the pod is left to be told of an error.
	_ = os.RemoveAll(p.dir())
}

// wake collects the next moment at which something is due.
type wake struct{ at time.Time }

// in notes a moment and reports whether it is still to come.
func (w *wake) in(at, now time.Time) bool {
	if !at.After(now) {
		return false
	}
	if w.at.IsZero() || at.Before(w.at) {
		w.at = at
	}
	return true
}

// after is how long to wait for it; 0 if there is none.
func (w *wake) after(now time.Time) time.Duration {
	if w.at.IsZero() {
		return 0
	}
	return max(w.at.Sub(now), time.Millisecond)
}
