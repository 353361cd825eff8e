package kubelet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/kubelet/cm/admission"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/tainttoleration"
)

// node is the agent of one instance.
type node struct {
	*machine
	kubelet *Kubelet
	token   tokenCache
	boots   time.Time // when it has booted
	// ctx ends with the instance.
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	dead    bool         // its kubelet is; the instance runs on
	object  *corev1.Node // as it was registered; nil until then
	refusal string       // the last reason not to join, to tell it once
	devices *devices
	active  map[types.UID]*corev1.Pod // admitted and not finished
	lease   *coordinationv1.Lease     // as last written; only the lease worker uses it
}

func (n *node) name() string { return n.PrivateDNSName }

func (n *node) joined() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.object != nil
}

func (n *node) isDead() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dead
}

// event fills in the node.
func (n *node) event(e Event) {
	e.Node, e.Instance = n.name(), n.ID
	n.kubelet.cfg.Observe(e)
}

// sync brings the node's API object in line, once it has booted: creates it, or
// mends its status. It returns when to call it again, 0 if only an event can tell.
func (n *node) sync(ctx context.Context) (time.Duration, error) {
	if left := time.Until(n.boots); left > 0 {
		return left, nil
	}
	if ctx = as(ctx, n); !n.joined() {
		if !n.kubelet.joining.take(n) {
			return 0, nil // queued again when it may
		}
		return 0, n.join(ctx)
	}
	return 0, n.mendStatus(ctx)
}

// advertises tells whether a node's allocatable has the devices that there are.
func (n *node) advertises(allocatable corev1.ResourceList) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	want := corev1.ResourceList{}
	n.devices.addTo(corev1.ResourceList{}, want)
	for name, q := range want {
		if allocatable.Name(name, "").Cmp(q) != 0 {
			return false
		}
	}
	return true
}

// mendStatus makes the status of the API object what the node says it is.
func (n *node) mendStatus(ctx context.Context) error {
	now, err := n.kubelet.nodes.Get(n.name())
	if apierrors.IsNotFound(err) {
		// Not seen yet, or deleted for good; a kubelet registers only once.
		return nil
	}
	if err != nil {
		return err
	}
	want := now.DeepCopy()
	n.setStatus(&want.Status)
	patch, err := statusPatch("", corev1.Node{Status: now.Status}, corev1.Node{Status: want.Status})
	if err != nil || patch == nil {
		return err
	}
	_, err = n.kubelet.nodeClient.CoreV1().Nodes().Patch(ctx, n.name(), types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err := ignoreGone(err); err != nil {
		return fmt.Errorf("updating the status of node %s: %w", n.name(), err)
	}
	return nil
}

// join registers the node with its status, Ready from the start: a node that is
// first not ready keeps the taint of that for as long as the controllers take to
// see both.
func (n *node) join(ctx context.Context) error {
	object := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.name(), Labels: n.labels},
		Spec:       corev1.NodeSpec{ProviderID: n.providerID(), Taints: n.taints},
	}
	n.setStatus(&object.Status)
	client := n.kubelet.nodeClient.CoreV1().Nodes()
	// Not to be broken off, or nobody would know whether the node is there.
	created, err := client.Create(context.WithoutCancel(ctx), object, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		// Ours, if the answer to an earlier attempt was lost. Otherwise the address
		// was given to a new instance while the old one's node is still finalized.
		if created, err = client.Get(ctx, n.name(), metav1.GetOptions{}); err == nil && created.Spec.ProviderID != n.providerID() {
			err = fmt.Errorf("a node of that name belongs to %s", created.Spec.ProviderID)
		}
	}
	if err != nil {
		if ctx.Err() == nil && n.refusedAnew(err.Error()) {
			n.event(Event{Kind: NodeRefused, Message: err.Error()})
		}
		return fmt.Errorf("registering node %s: %w", n.name(), err)
	}
	n.mu.Lock()
	n.object = created
	n.mu.Unlock()
	if ctx.Err() != nil && n.kubelet.ctx.Err() == nil {
		return n.remove(n.kubelet.ctx) // the instance has ended meanwhile
	}
	n.event(Event{Kind: NodeReady})
	n.kubelet.leaseQueue.Add(n.name())
	for _, p := range n.kubelet.podsOf(n.name()) {
		n.kubelet.wakePod(keyOf(p))
	}
	return nil
}

// remove deletes the node and the pods bound to it. To a node that has a finalizer it
// says first what the node lifecycle controller would find out within a minute: who
// holds the node looks whether its instance is there once it is not Ready.
func (n *node) remove(ctx context.Context) error {
	n.mu.Lock()
	uid := n.object.UID
	n.mu.Unlock()
	admin := n.kubelet.admin.CoreV1()
	// As it is, not as the watch has it: the finalizer may just have been put on it.
	now, err := admin.Nodes().Get(ctx, n.name(), metav1.GetOptions{})
	if err := ignoreGone(err); err != nil {
		return fmt.Errorf("looking at the node of instance %s: %w", n.ID, err)
	}
	if err == nil && now.UID == uid && len(now.Finalizers) > 0 {
		lost := now.DeepCopy()
		setNodeCondition(&lost.Status, corev1.NodeCondition{
			Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: "NodeStatusUnknown", Message: "Kubelet stopped posting node status.",
		})
		patch, err := statusPatch(uid, corev1.Node{Status: now.Status}, corev1.Node{Status: lost.Status})
		if err != nil {
			return err
		}
		_, err = admin.Nodes().Patch(ctx, n.name(), types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		if err := ignoreGone(err); err != nil {
			return fmt.Errorf("marking the node of instance %s: %w", n.ID, err)
		}
		n.awaitTaint(ctx)
	}
	err = admin.Nodes().Delete(ctx, n.name(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err := ignoreGone(err); err != nil {
		return fmt.Errorf("deleting the node of instance %s: %w", n.ID, err)
	}
	n.kubelet.mu.Lock()
	n.kubelet.removed[n.name()] = n.kubelet.names[n.name()] == nil
	n.kubelet.mu.Unlock()
	for _, p := range n.kubelet.podsOf(n.name()) {
		if err := n.kubelet.deletePod(ctx, admin, p); err != nil {
			return err
		}
	}
	return nil
}

// awaitTaint waits until the node lifecycle controller has tainted a node that is not
// Ready, seconds at most. Before that, the pods that replace those of a lost node may be
// bound to it again, and nobody runs or ends them there.
func (n *node) awaitTaint(ctx context.Context) {
	for begin := time.Now(); time.Since(begin) < 5*time.Second && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		now, err := n.kubelet.nodes.Get(n.name())
		if err != nil || slices.ContainsFunc(now.Spec.Taints, func(t corev1.Taint) bool {
			// Of the one that forbids execution, pods are given a toleration for five minutes.
			return t.Key == corev1.TaintNodeUnreachable && t.Effect == corev1.TaintEffectNoSchedule
		}) {
			return
		}
	}
}

func (n *node) refusedAnew(why string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	anew := n.refusal != why
	n.refusal = why
	return anew
}

// setStatus writes what the node has to say of itself and keeps what others said.
func (n *node) setStatus(s *corev1.NodeStatus) {
	n.mu.Lock()
	s.Capacity, s.Allocatable = n.capacity.DeepCopy(), n.allocatable.DeepCopy()
	n.devices.addTo(s.Capacity, s.Allocatable)
	n.mu.Unlock()
	s.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: n.PrivateIP},
		{Type: corev1.NodeInternalDNS, Address: n.PrivateDNSName},
		{Type: corev1.NodeHostName, Address: n.PrivateDNSName},
	}
	s.NodeInfo = n.nodeInfo()
	for _, c := range []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory", Message: "kubelet has sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure", Message: "kubelet has no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID", Message: "kubelet has sufficient PID available"},
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"},
	} {
		setNodeCondition(s, c)
	}
}

// setNodeCondition sets a condition; one that holds already keeps its times.
func setNodeCondition(s *corev1.NodeStatus, c corev1.NodeCondition) {
	now := metav1.Now().Rfc3339Copy()
	c.LastHeartbeatTime, c.LastTransitionTime = now, now
	for i := range s.Conditions {
		have := &s.Conditions[i]
		if have.Type != c.Type {
			continue
		}
		if have.Status != c.Status || have.Reason != c.Reason {
			*have = c
		}
		return
	}
	s.Conditions = append(s.Conditions, c)
}

// isReady reads a node's Ready condition.
func isReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// admit decides as a kubelet does whether a pod bound to the node may run: first
// the device manager gives it its devices, then the scheduler's own predicates are
// checked against what the node really has (the order of the handlers in
// NewMainKubelet, pkg/kubelet/kubelet.go). A critical pod evicts no other here.
func (n *node) admit(pod *corev1.Pod) lifecycle.PodAdmitResult {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.devices.allocate(pod); err != nil {
		return admission.GetPodAdmitResult(err)
	}
	var others []*corev1.Pod
	for _, other := range n.active {
		others = append(others, other)
	}
	check := func(self func(ctx context.Context, fromCache bool) (*corev1.Node, error)) lifecycle.PodAdmitResult {
		predicates := lifecycle.NewPredicateAdmitHandler(self, noPreemption{}, n.devices.admitPlugin)
		return predicates.Admit(&lifecycle.PodAdmitAttributes{Pod: pod, OtherPods: others})
	}
	result := check(n.self)
	if !result.Admit && result.Reason == tainttoleration.Name {
		// The scheduler saw the taint go. One watch for hundreds of nodes sees it later
		// than a kubelet's own would.
		result = check(func(ctx context.Context, _ bool) (*corev1.Node, error) { return n.self(ctx, false) })
	}
	if result.Admit {
		n.active[pod.UID] = pod
	} else {
		n.devices.release(pod.UID)
	}
	return result
}

// self is the node's API object, to check a pod against. What a device plugin
// offers may be older there than what allocate has just given: see admitPlugin. The
// caller holds n.mu.
func (n *node) self(ctx context.Context, fromCache bool) (*corev1.Node, error) {
	if !fromCache {
		return n.kubelet.admin.CoreV1().Nodes().Get(ctx, n.name(), metav1.GetOptions{})
	}
	cached, err := n.kubelet.nodes.Get(n.name())
	if apierrors.IsNotFound(err) {
		return n.object, nil // just registered
	}
	return cached, err
}

// noPreemption leaves a refused pod refused.
type noPreemption struct{}

// HandleAdmissionFailure implements [lifecycle.AdmissionFailureHandler].
func (noPreemption) HandleAdmissionFailure(_ context.Context, _ *corev1.Pod, reasons []lifecycle.PredicateFailureReason) ([]lifecycle.PredicateFailureReason, error) {
	return reasons, nil
}

// release ends a pod's claim on the node.
func (n *node) release(pod types.UID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.active, pod)
	n.devices.release(pod)
}

// advertise takes a device plugin's offer and tells the API server.
func (n *node) advertise(plugin *run, d Devices) {
	n.mu.Lock()
	n.devices.register(plugin, d)
	n.mu.Unlock()
	n.event(Event{Kind: DevicesAdvertised, Reason: string(d.Resource), Message: fmt.Sprintf("%d of %s", d.Count, d.Resource)})
	n.kubelet.nodeQueue.Add(n.name())
}

// withdraw takes back what an ended container offered, if anything.
func (n *node) withdraw(plugin *run) {
	n.mu.Lock()
	any := n.devices.unregister(plugin)
	n.mu.Unlock()
	if any {
		n.event(Event{Kind: DevicesAdvertised, Message: "none: the device plugin has ended"})
		n.kubelet.nodeQueue.Add(n.name())
	}
}

// Heartbeats, as a kubelet's defaults have them (SetDefaults_KubeletConfiguration
// in pkg/kubelet/apis/config/v1beta1, nodeLeaseRenewIntervalFraction in
// pkg/kubelet). The controller manager calls a node lost 50 s after the last one.
const (
	leaseDuration = 40 * time.Second
	leaseRenewal  = leaseDuration / 4
)

// renew writes the node's Lease and returns when to write it again, 0 for never.
// Only the worker that handles the node calls it.
func (n *node) renew(ctx context.Context) (time.Duration, error) {
	if !n.joined() {
		// Work on the Leases is known by the node's name, which an earlier instance
		// may have had with its address. This one begins when it joins.
		return 0, nil
	}
	if n.lease != nil {
		if _, err := n.kubelet.nodes.Get(n.name()); apierrors.IsNotFound(err) {
			return 0, nil // deleted, and its Lease with it
		}
	}
	return leaseRenewal, n.writeLease(as(ctx, n))
}

func (n *node) writeLease(ctx context.Context) error {
	client := n.kubelet.leaseClient.Leases(corev1.NamespaceNodeLease)
	now := metav1.NowMicro()
	if n.lease == nil {
		lease, err := client.Create(ctx, n.newLease(now), metav1.CreateOptions{})
		if err == nil {
			n.lease = lease
			return nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		if n.lease, err = client.Get(ctx, n.name(), metav1.GetOptions{}); err != nil {
			n.lease = nil
			return err
		}
	}
	update := n.lease.DeepCopy()
	update.Spec.RenewTime = &now
	lease, err := client.Update(ctx, update, metav1.UpdateOptions{})
	// After a failure it is read again.
	n.lease = nil
	if err == nil {
		n.lease = lease
	}
	return err
}

func (n *node) newLease(now metav1.MicroTime) *coordinationv1.Lease {
	holder, seconds := n.name(), int32(leaseDuration/time.Second)
	n.mu.Lock()
	owner := metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: n.name(), UID: n.object.UID}
	n.mu.Unlock()
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: n.name(), Namespace: corev1.NamespaceNodeLease, OwnerReferences: []metav1.OwnerReference{owner}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}
}
