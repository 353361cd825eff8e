package kubelet_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/karpenter-provider-aws/pkg/providers/amifamily/bootstrap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"eks-gpu-slicing/rehearsal/kubelet"
)

func getNode(t testing.TB, name string) *corev1.Node {
	t.Helper()
	n, err := world.admin.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func nodeCondition(n *corev1.Node, of corev1.NodeConditionType) corev1.NodeCondition {
	for _, c := range n.Status.Conditions {
		if c.Type == of {
			return c
		}
	}
	return corev1.NodeCondition{}
}

func TestNodeOfKarpenter(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{Delays: kubelet.Delays{Boot: 300 * time.Millisecond}})
	i := f.instance("g4dn.xlarge")
	var err error
	i.UserData, err = bootstrap.EKS{Options: bootstrap.Options{
		ClusterName: "gpu-slicing", ClusterEndpoint: world.cp.Endpoint(),
		Labels: map[string]string{"karpenter.sh/nodepool": "gpu", "karpenter.sh/capacity-type": "spot"},
		Taints: []corev1.Taint{{Key: "karpenter.sh/unregistered", Effect: corev1.TaintEffectNoExecute}},
	}}.Script(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	n := getNode(t, f.node(i))
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("the node was there after %v, before it had booted", took)
	}
	for label, want := range map[string]string{
		"karpenter.sh/nodepool": "gpu", "karpenter.sh/capacity-type": "spot", "node.kubernetes.io/instance-type": "g4dn.xlarge",
		"kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": "us-west-1a", "test": f.namespace,
	} {
		if n.Labels[label] != want {
			t.Errorf("label %s is %q, want %q", label, n.Labels[label], want)
		}
	}
	if !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == "karpenter.sh/unregistered" && t.Effect == corev1.TaintEffectNoExecute
	}) {
		t.Errorf("taints %v lack karpenter.sh/unregistered", n.Spec.Taints)
	}
	if want := "aws:///us-west-1a/" + i.ID; n.Spec.ProviderID != want {
		t.Errorf("provider ID %q, want %q", n.Spec.ProviderID, want)
	}
	if got := n.Status.Allocatable; got.Cpu().String() != "3920m" || got.Pods().String() != "29" || got.StorageEphemeral().String() != "18242267924" {
		t.Errorf("allocatable %v", got)
	}
	if c := nodeCondition(n, corev1.NodeReady); c.Status != corev1.ConditionTrue || c.Reason != "KubeletReady" {
		t.Errorf("Ready is %+v", c)
	}
	f.wait("the node's Lease", func() (bool, string) {
		lease, err := world.admin.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(t.Context(), n.Name, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		owners := lease.OwnerReferences
		return *lease.Spec.HolderIdentity == n.Name && len(owners) == 1 && owners[0].UID == n.UID && lease.Spec.RenewTime.After(began), fmt.Sprintf("%+v", lease)
	})
	if e := f.waitEvent(kubelet.NodeReady, ""); e.Node != n.Name || e.Instance != i.ID {
		t.Errorf("event %+v", e)
	}
}

func TestLostNodeComesBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{})
	name := f.node(f.instance("m7g.large"))
	patch := func(edit func(*corev1.NodeStatus)) {
		n := getNode(t, name)
		edit(&n.Status)
		b, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": n.Status.Conditions}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := world.admin.CoreV1().Nodes().Patch(t.Context(), name, types.StrategicMergePatchType, b, metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
	}
	// What the node lifecycle controller does when heartbeats fail to come.
	patch(func(s *corev1.NodeStatus) {
		for i := range s.Conditions {
			s.Conditions[i].Status, s.Conditions[i].Reason = corev1.ConditionUnknown, "NodeStatusUnknown"
		}
	})
	f.wait("the node to be Ready again", func() (bool, string) {
		c := nodeCondition(getNode(t, name), corev1.NodeReady)
		return c.Status == corev1.ConditionTrue && c.Reason == "KubeletReady", fmt.Sprintf("%+v", c)
	})
	if c := nodeCondition(getNode(t, name), corev1.NodeMemoryPressure); c.Status != corev1.ConditionFalse {
		t.Errorf("MemoryPressure is %+v", c)
	}
}

func TestLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{})
	name := f.node(f.instance("m7g.large"))
	renewed := func() (time.Time, error) {
		lease, err := world.admin.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return time.Time{}, err
		}
		return lease.Spec.RenewTime.Time, nil
	}
	var first time.Time
	f.wait("a Lease", func() (bool, string) {
		var err error
		first, err = renewed()
		return err == nil, fmt.Sprint(err)
	})
	f.wait("the Lease to be renewed", func() (bool, string) {
		now, err := renewed()
		return err == nil && now.After(first), fmt.Sprint(now, err)
	})
	now, err := renewed()
	if err != nil {
		t.Fatal(err)
	}
	if took := now.Sub(first); took < 9*time.Second || took > 40*time.Second {
		t.Errorf("the Lease was renewed after %v, want 10s", took)
	}
}

func TestNodeWithoutAccessDoesNotJoin(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{})
	i := f.instance("m7g.large")
	world.nodeNames.Delete(i.ID)
	if err := f.AddInstance(i); err != nil {
		t.Fatal(err)
	}
	if e := f.waitEvent(kubelet.NodeRefused, "Unauthorized"); e.Node != i.PrivateDNSName || e.Instance != i.ID {
		t.Errorf("event %+v", e)
	}
	if _, err := world.admin.CoreV1().Nodes().Get(t.Context(), i.PrivateDNSName, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("its node: %v, want not found", err)
	}
	// It keeps trying, and tells the same refusal once.
	time.Sleep(time.Second)
	f.mu.Lock()
	if len(f.events) != 1 {
		t.Errorf("events %v, want one", f.events)
	}
	f.mu.Unlock()
	world.nodeNames.Store(i.ID, i.PrivateDNSName)
	f.waitEvent(kubelet.NodeReady, "")
}

func TestNodeActsAsItself(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{})
	i := f.instance("m7g.large")
	// A label that the API server lets no node give itself.
	i.UserData = base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\n/etc/eks/bootstrap.sh c --kubelet-extra-args '--node-labels=node-restriction.kubernetes.io/a=b'"))
	if err := f.AddInstance(i); err != nil {
		t.Fatal(err)
	}
	f.waitEvent(kubelet.NodeRefused, "is not allowed to set the following labels: node-restriction.kubernetes.io/a")
}

func TestInstanceErrors(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{})
	i := f.instance("m7g.large")
	if err := f.AddInstance(i); err != nil {
		t.Fatal(err)
	}
	again := i
	if err := f.AddInstance(again); err == nil || !strings.Contains(err.Error(), i.ID) {
		t.Errorf("the same instance again: %v", err)
	}
	again.ID = "i-other"
	if err := f.AddInstance(again); err == nil || !strings.Contains(err.Error(), i.PrivateDNSName) || !strings.Contains(err.Error(), i.ID) {
		t.Errorf("the same name again: %v", err)
	}
	again.Type = "m7g.tiny"
	if err := f.AddInstance(again); err == nil || !strings.Contains(err.Error(), "m7g.tiny") {
		t.Errorf("an unknown type: %v", err)
	}
	if err := f.RemoveInstance("i-other"); err != nil {
		t.Errorf("the removal of what is not there: %v", err)
	}
}

func TestInstanceEnds(t *testing.T) {
	t.Parallel()
	killed := make(chan time.Time, 10)
	image := app(func(ctx context.Context, c *kubelet.Container) kubelet.Exit {
		<-ctx.Done()
		killed <- c.StopBy()
		return kubelet.Exit{Code: 137}
	})
	f := newFixture(t, kubelet.Config{Images: map[string]kubelet.Image{appImage: image}})
	i := f.instance("m7g.large")
	name := f.node(i)
	f.create(f.pod("victim"))
	f.waitPod("victim", "Ready", ready)
	if err := f.RemoveInstance(i.ID); err != nil {
		t.Fatal(err)
	}
	select {
	case by := <-killed:
		if time.Until(by) > 0 {
			t.Errorf("the container has until %v, want no time at all", by)
		}
	case <-time.After(10 * time.Second):
		t.Error("the container runs 10s after its instance has ended")
	}
	f.wait("the node to be gone", func() (bool, string) {
		_, err := world.admin.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	f.waitGone("victim")
	// The name is free again.
	world.nodeNames.Store("i-next", name)
	i.ID = "i-next"
	f.node(i)
}

// Whoever holds a node back by a finalizer, as Karpenter does, sees that it is lost; and
// by the time that its pods are deleted, no others are bound to it.
func TestInstanceOfAHeldNodeEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{})
	i := f.instance("m7g.large")
	name := f.node(i)
	hold := func(finalizers string) {
		t.Helper()
		_, err := world.admin.CoreV1().Nodes().Patch(t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"finalizers":`+finalizers+`}}`), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	hold(`["example.com/held"]`)
	if err := f.RemoveInstance(i.ID); err != nil {
		t.Fatal(err)
	}
	n := getNode(t, name)
	if c := nodeCondition(n, corev1.NodeReady); c.Status != corev1.ConditionUnknown || n.DeletionTimestamp == nil {
		t.Errorf("the held node is Ready %s and deleted at %v, want Unknown and a time", c.Status, n.DeletionTimestamp)
	}
	if !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == corev1.TaintNodeUnreachable && t.Effect == corev1.TaintEffectNoSchedule
	}) {
		t.Errorf("the taints of the held node are %v, want %s", n.Spec.Taints, corev1.TaintNodeUnreachable)
	}
	hold("null")
	f.wait("the node to be gone", func() (bool, string) {
		_, err := world.admin.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
}

// stalled is a watch's answer that is passed on until stop is closed, and then no more.
type stalled struct {
	io.ReadCloser
	of   context.Context
	stop <-chan struct{}
	seen func(part []byte)
}

func (s stalled) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.seen(p[:n])
	select {
	case <-s.stop:
		<-s.of.Done()
	default:
	}
	return n, err
}

// TestTaintThatHasGone: a pod that the scheduler binds when a taint has gone is not
// refused for it, however late the agents hear of that.
func TestTaintThatHasGone(t *testing.T) {
	t.Parallel()
	const key = "example.com/early"
	stop, known := make(chan struct{}), make(chan struct{})
	know := sync.OnceFunc(func() { close(known) })
	f := newFixture(t, kubelet.Config{RESTConfig: proxied(t, func(r *http.Request, resp *http.Response) {
		if r.URL.Path == "/api/v1/nodes" && r.URL.Query().Get("watch") == "true" {
			resp.Body = stalled{resp.Body, t.Context(), stop, func(part []byte) {
				if bytes.Contains(part, []byte(key)) {
					know()
				}
			}}
		}
	})})
	i := f.instance("m7g.large")
	i.Taints = []corev1.Taint{{Key: key, Effect: corev1.TaintEffectNoExecute}}
	name := f.node(i)
	select {
	case <-known:
	case <-time.After(time.Minute):
		t.Fatal("the agents were not told of the taint")
	}
	close(stop)
	_, err := world.admin.CoreV1().Nodes().Patch(t.Context(), name, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // for the controller that ends what does not tolerate it to hear of that
	f.create(f.pod("next", func(p *corev1.Pod) { p.Spec.NodeName = name }))
	f.waitPod("next", "Ready", ready)
}

// TestPodBoundToANodeThatWent: a pod whose binding was under way when the node went does
// not wait for the garbage collection of pods, which takes 40 s at least.
func TestPodBoundToANodeThatWent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{})
	i := f.instance("m7g.large")
	name := f.node(i)
	if err := f.RemoveInstance(i.ID); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	f.create(f.pod("late", func(p *corev1.Pod) { p.Spec.NodeName = name }))
	f.waitGone("late")
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v to be gone", took)
	}
}

// However early an instance ends, its node does not outlive it.
func TestInstanceEndsWhileItJoins(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{})
	for i := range 30 {
		instance := f.instance("m7g.large")
		if err := f.AddInstance(instance); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * time.Millisecond)
		if err := f.RemoveInstance(instance.ID); err != nil {
			t.Fatal(err)
		}
	}
	f.wait("all nodes to be gone", func() (bool, string) {
		nodes, err := world.admin.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: "test=" + f.namespace})
		if err != nil {
			t.Fatal(err)
		}
		return len(nodes.Items) == 0, fmt.Sprintf("%d nodes", len(nodes.Items))
	})
	time.Sleep(300 * time.Millisecond) // for one that comes late
	nodes, err := world.admin.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: "test=" + f.namespace})
	if err != nil || len(nodes.Items) != 0 {
		t.Errorf("%d nodes came late, %v", len(nodes.Items), err)
	}
}

func TestRefusedPods(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{})
	i := f.instance("m7g.large")
	i.UserData = base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\n/etc/eks/bootstrap.sh c --kubelet-extra-args '--max-pods=2'"))
	name := f.node(i)
	// Bound without the scheduler, which would not have done it.
	bound := func(p *corev1.Pod) { p.Spec.NodeName = name }
	refused := func(pod, reason, message string) {
		t.Helper()
		p := f.waitPod(pod, "Failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
		if p.Status.Reason != reason || p.Status.Message != "Pod was rejected: "+message {
			t.Errorf("pod %s failed for %s: %s; want %s: %s", pod, p.Status.Reason, p.Status.Message, reason, message)
		}
		if e := f.waitEvent(kubelet.PodRefused, message); e.Reason != reason || e.Pod.Name != pod || e.Node != name {
			t.Errorf("event %+v", e)
		}
	}
	f.create(f.pod("huge", bound, requests(corev1.ResourceCPU, "64")))
	refused("huge", "OutOfcpu", "Node didn't have enough resource: cpu, requested: 64000, used: 0, capacity: 1930")
	f.create(f.pod("one", bound, requests(corev1.ResourceCPU, "1")))
	f.waitPod("one", "Ready", ready)
	f.create(f.pod("second", bound, requests(corev1.ResourceCPU, "1")))
	refused("second", "OutOfcpu", "Node didn't have enough resource: cpu, requested: 1000, used: 1000, capacity: 1930")
	f.create(f.pod("two", bound))
	f.waitPod("two", "Ready", ready)
	f.create(f.pod("third", bound))
	refused("third", "OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2")
	// A finished pod makes room.
	f.delete("two", 1)
	f.waitGone("two")
	f.create(f.pod("fourth", bound))
	f.waitPod("fourth", "Ready", ready)
	f.delete("third", 30)
	f.waitGone("third")
	f.delete("fourth", 1)
	f.waitGone("fourth")
	f.create(f.pod("elsewhere", bound, func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"test": "other"} }))
	f.waitPod("elsewhere", "refused for its selector", func(p *corev1.Pod) bool { return p.Status.Reason == "NodeAffinity" })
}
