package world

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"eks-gpu-slicing/rehearsal/workload"
)

// state is what is looked at to tell whether pods are settled.
type state struct {
	nodes  []corev1.Node
	pods   []corev1.Pod // of workloads
	events []corev1.Event
	// starting are the NodeClaims whose nodes are not ready for pods yet.
	starting []claim
	// system are the pods of kube-system that are not settled.
	system []corev1.Pod
	// led is since when a replica of Karpenter has led; zero where none has.
	led time.Time
	// missing are the workloads whose pods are not all there, and why.
	missing []string
}

// claim is a NodeClaim whose node is not ready for pods.
type claim struct {
	name, node string
	// why it is not initialized, in Karpenter's words; "" while it has not said.
	why string
	// registered is when its node joined; zero before.
	registered time.Time
}

// initTime is how long a node that has joined may take to offer what it was launched
// for, before it counts as one that never will: NVIDIA's plugin takes seconds.
const initTime = 20 * time.Second

func (c *claim) hangs() bool {
	return !c.registered.IsZero() && time.Since(c.registered) > initTime && c.why != ""
}

// quiet is how long nothing may have changed before a pod that Karpenter has
// refused counts as one that cannot be placed: Karpenter looks at pods that it
// could not place again with each batch, which lasts ten seconds at most.
const quiet = 12 * time.Second

// firstLook is how long a replica of Karpenter must have led before its refusals count.
// Its first look at pods may come before its first at NodeOverlays and instance types.
// It looks again at what it could not place ten seconds later (its
// pkg/controllers/provisioning/controller.go), in a batch of ten seconds at most.
const firstLook = 25 * time.Second

// eventsAfter is how long nothing may have changed before events are read, of which
// there is one for each pod that waits.
const eventsAfter = quiet / 2

// Settle waits until each pod outside of kube-system runs, has ended, or provably
// cannot run, and returns how it stands. seen is told, at each look, what is waited
// for and how it stands then. Should ctx end first, the error says what was waited for, and the
// state is as it was then.
func (w *World) Settle(ctx context.Context, objects []workload.Object, seen func(waiting string, now Cluster)) (Cluster, error) {
	config := w.RESTConfig()
	config.ContentType = runtime.ContentTypeProtobuf // a thousand pods are megabytes of JSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return Cluster{}, err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	allSettled, err := watchSettled(watching, client)
	if err != nil {
		return Cluster{}, err
	}
	since, last := time.Now(), ""
	for {
		begin := time.Now()
		s, err := w.look(ctx, client, objects, begin.Sub(since) > eventsAfter)
		if err != nil {
			return Cluster{}, err
		}
		open := s.open()
		if now := strings.Join(open, "; ") + "|" + s.fingerprint(); now != last {
			last, since = now, time.Now()
		}
		stuck := len(s.missing) == 0 && s.hopeless() && time.Since(since) > quiet
		cluster := w.describeCluster(s)
		if len(open) == 0 || stuck {
			return cluster, nil
		}
		seen(strings.Join(open, "; "), cluster)
		select {
		case <-ctx.Done():
			return cluster, fmt.Errorf("pods are not settled: %s: %w", strings.Join(open, "; "), context.Cause(ctx))
		case <-allSettled:
		case <-time.After(max(poll, 4*time.Since(begin))):
			// Looking takes a fifth of the time at most, however much there is to see.
		}
	}
}

var nodeClaims = schema.GroupVersionResource{Group: "karpenter.sh", Version: "v1", Resource: "nodeclaims"}

func (w *World) look(ctx context.Context, client kubernetes.Interface, objects []workload.Object, withEvents bool) (state, error) {
	var s state
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return s, fmt.Errorf("listing nodes: %w", err)
	}
	s.nodes = nodes.Items
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "metadata.namespace!=" + metav1.NamespaceSystem})
	if err != nil {
		return s, fmt.Errorf("listing pods: %w", err)
	}
	s.pods = pods.Items
	if withEvents {
		for _, reason := range []string{failedScheduling, nominated, insufficientCapacity} {
			events, err := client.CoreV1().Events("").List(ctx, metav1.ListOptions{FieldSelector: "reason=" + reason})
			if err != nil {
				return s, fmt.Errorf("listing events: %w", err)
			}
			s.events = append(s.events, events.Items...)
		}
		system, err := client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return s, fmt.Errorf("listing pods: %w", err)
		}
		leases, err := client.CoordinationV1().Leases("").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=karpenter-leader-election"})
		if err != nil {
			return s, fmt.Errorf("listing leases: %w", err)
		}
		for _, l := range leases.Items {
			if l.Spec.AcquireTime != nil && l.Spec.AcquireTime.After(s.led) {
				s.led = l.Spec.AcquireTime.Time
			}
		}
		s.system = slices.DeleteFunc(system.Items, func(p corev1.Pod) bool { return settled(&p) })
	}
	dynamicClient, err := dynamic.NewForConfig(w.RESTConfig())
	if err != nil {
		return s, err
	}
	claims, err := dynamicClient.Resource(nodeClaims).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) { // a cluster without Karpenter
		claims, err = &unstructured.UnstructuredList{}, nil
	}
	if err != nil {
		return s, fmt.Errorf("listing NodeClaims: %w", err)
	}
	for _, c := range claims.Items {
		starting, err := readClaim(c)
		if err != nil {
			return s, fmt.Errorf("NodeClaim %s: %w", c.GetName(), err)
		}
		if starting != nil {
			s.starting = append(s.starting, *starting)
		}
	}
	for _, o := range objects {
		if why, err := lacksPods(ctx, client, o); err != nil {
			return s, fmt.Errorf("%v: %w", o, err)
		} else if why != "" {
			s.missing = append(s.missing, why)
		}
	}
	return s, nil
}

// readClaim is a NodeClaim whose node is not ready for pods, and nil for another.
func readClaim(object unstructured.Unstructured) (*claim, error) {
	var read struct {
		Status struct {
			NodeName   string             `json:"nodeName"`
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &read); err != nil {
		return nil, err
	}
	c := &claim{name: object.GetName(), node: read.Status.NodeName}
	for _, condition := range read.Status.Conditions {
		is := condition.Status == metav1.ConditionTrue
		switch {
		case condition.Type == "Initialized" && is:
			return nil, nil
		case condition.Type == "Initialized":
			c.why = condition.Reason + ": " + condition.Message
		case condition.Type == "Registered" && is:
			c.registered = condition.LastTransitionTime.Time
		}
	}
	return c, nil
}

// lacksPods says which pods of a workload have not been made yet; "" where all have.
func lacksPods(ctx context.Context, client kubernetes.Interface, o workload.Object) (string, error) {
	namespace := o.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	var seen, generation int64 // of an object that says so
	var want, have int32
	following := false // the rest are made when those that there are have got on
	apps := client.AppsV1()
	switch o.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Group: appsv1.GroupName, Kind: "Deployment"}:
		d, err := apps.Deployments(namespace).Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		seen, generation, want, have = d.Status.ObservedGeneration, d.Generation, *d.Spec.Replicas, d.Status.Replicas
	case schema.GroupKind{Group: appsv1.GroupName, Kind: "ReplicaSet"}:
		r, err := apps.ReplicaSets(namespace).Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		seen, generation, want, have = r.Status.ObservedGeneration, r.Generation, *r.Spec.Replicas, r.Status.Replicas
	case schema.GroupKind{Group: appsv1.GroupName, Kind: "StatefulSet"}:
		s, err := apps.StatefulSets(namespace).Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		seen, generation, want, have = s.Status.ObservedGeneration, s.Generation, *s.Spec.Replicas, s.Status.Replicas
		following = s.Status.ReadyReplicas < have
	case schema.GroupKind{Group: appsv1.GroupName, Kind: "DaemonSet"}:
		d, err := apps.DaemonSets(namespace).Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		seen, generation, want, have = d.Status.ObservedGeneration, d.Generation, d.Status.DesiredNumberScheduled, d.Status.CurrentNumberScheduled
	case schema.GroupKind{Group: batchv1.GroupName, Kind: "Job"}:
		j, err := client.BatchV1().Jobs(namespace).Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		want = 1
		if j.Spec.Completions != nil {
			want = *j.Spec.Completions
		}
		have = j.Status.Active + j.Status.Succeeded + j.Status.Failed
		following = j.Spec.Parallelism != nil && j.Status.Active >= *j.Spec.Parallelism
	}
	switch {
	case seen < generation:
		return o.String() + " has not been seen by its controller", nil
	case have < want && !following:
		return fmt.Sprintf("%v has %d of %d pods", o, have, want), nil
	}
	return "", nil
}

// open are what is waited for.
func (s *state) open() []string {
	out := slices.Clone(s.missing)
	pending := 0
	var one string
	for i := range s.pods {
		if p := &s.pods[i]; !settled(p) {
			pending++
			one = p.Namespace + "/" + p.Name
		}
	}
	switch {
	case pending == 1:
		out = append(out, "pod "+one+" does not run yet")
	case pending > 1:
		out = append(out, fmt.Sprintf("%d pods do not run yet, such as %s", pending, one))
	}
	if len(s.starting) > 0 {
		out = append(out, fmt.Sprintf("%d nodes are being started", len(s.starting)))
	}
	return out
}

// fingerprint changes when something moves.
func (s *state) fingerprint() string {
	return fmt.Sprint(len(s.nodes), len(s.pods), s.starting)
}

// hopeless tells whether each pod that does not run has nothing to wait for: Karpenter
// has said why it cannot place it, or the nodes that it has launched never offer what
// they were launched for.
func (s *state) hopeless() bool {
	if slices.ContainsFunc(s.starting, func(c claim) bool { return !c.hangs() }) || time.Since(s.led) < firstLook {
		return false
	}
	for i := range s.pods {
		p := &s.pods[i]
		if !settled(p) && (p.Spec.NodeName != "" || s.refusal(p, karpenterReporter) == "" && len(s.starting) == 0) {
			return false
		}
	}
	return true
}

// hanging is why nodes do not become ready for pods: Karpenter's reason for each, and
// what does not run on it.
func (s *state) hanging() string {
	var all []string
	for i := range s.starting {
		c := &s.starting[i]
		if !c.hangs() {
			continue
		}
		text := fmt.Sprintf("node %s of NodeClaim %s is not initialized: %s", c.node, c.name, c.why)
		broken := ""
		for j := range s.system {
			if p := &s.system[j]; p.Spec.NodeName == c.node {
				broken += fmt.Sprintf("; on it pod %s: %s", p.Name, s.reason(p))
			}
		}
		if broken == "" {
			broken = "; no pod on it is broken: see whether the device plugin's DaemonSet selects the node and tolerates its taints"
		}
		text += broken
		all = append(all, text)
	}
	if len(all) > 1 {
		all = []string{fmt.Sprintf("%s (and %d more nodes)", all[0], len(all)-1)}
	}
	return strings.Join(all, "")
}

// settled tells whether a pod runs ready or has ended.
func settled(p *corev1.Pod) bool {
	switch p.Status.Phase {
	case corev1.PodSucceeded, corev1.PodFailed:
		return true
	case corev1.PodRunning:
		return condition(p, corev1.PodReady) != nil && condition(p, corev1.PodReady).Status == corev1.ConditionTrue
	}
	return false
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}
