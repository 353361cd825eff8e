package packing

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/controllers/dynamicresources/deviceallocation"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/operator/options"
	"sigs.k8s.io/karpenter/pkg/state/virtualpods"
	"sigs.k8s.io/karpenter/pkg/utils/resources"
)

// Plan is where Karpenter would have pods go.
type Plan struct {
	// Nodes in the order they were planned, those of node groups that got pods first.
	Nodes []Node
	// Refused are the pods that Karpenter launches no node for, in the order given.
	Refused []Refusal
}

// Node is a node and the pods on it.
type Node struct {
	// NodeGroup has the node, of which Pods are told and nothing else; "" for a planned
	// one.
	NodeGroup string
	// NodePool it is of.
	NodePool string
	// InstanceTypes are those Karpenter would let EC2 choose from, cheapest first.
	InstanceTypes []string
	// Launch is the cheapest offering among them.
	Launch Offering
	// Labels are those of the node that Karpenter knows before it is launched.
	Labels map[string]string
	// Capacity is what the type launched has, and counts towards the pool's limits;
	// Allocatable is the part of it for pods and DaemonSets, Overhead what Karpenter
	// sets aside for the DaemonSets, and Requests that and what the pods ask for.
	Capacity, Allocatable, Overhead, Requests corev1.ResourceList
	// Pods as they were given.
	Pods []*corev1.Pod
}

// Offering is what EC2 sells.
type Offering struct {
	InstanceType string
	Zone         string
	// CapacityType is karpv1.CapacityTypeSpot or karpv1.CapacityTypeOnDemand.
	CapacityType string
	USDPerHour   float64
}

// Refusal is a pod and Karpenter's reason.
type Refusal struct {
	Pod *corev1.Pod
	Err error
}

// Plan asks for nodes for pods that are all pending at once; they are not changed. An
// error is not about a pod.
func (p *Planner) Plan(ctx context.Context, pods []*corev1.Pod) (*Plan, error) {
	ctx, err := karpenter(ctx, p.stack)
	if err != nil {
		return nil, err
	}
	plan, pods := p.schedule(ctx, pods)
	r := &rounds{planner: p, byUID: map[types.UID]*corev1.Pod{}, refused: map[types.UID]error{}}
	var pending []*corev1.Pod
	for i, pod := range pods {
		asked := storageless(pod)
		asked.Name = fmt.Sprintf("pod-%08d", i) // in the order given, where Karpenter sorts by it
		asked.UID = types.UID(asked.Name)
		r.byUID[asked.UID] = pod
		pending = append(pending, asked)
	}
	for launched := -1; len(pending) > 0 && launched != 0; {
		if pending, launched, err = r.next(ctx, pending); err != nil {
			return nil, err
		}
	}
	for _, n := range r.launched {
		n.Pods, n.Requests = r.given(n.bound), resources.Merge(n.Overhead, resources.RequestsForPods(n.bound...))
		plan.Nodes = append(plan.Nodes, n.Node)
	}
	for _, uid := range slices.Sorted(maps.Keys(r.refused)) {
		plan.Refused = append(plan.Refused, Refusal{Pod: r.byUID[uid], Err: r.refused[uid]})
	}
	return plan, nil
}

// schedule puts pods onto the nodes that are there, as the Kubernetes scheduler does
// before Karpenter is asked, and returns those that are left.
func (p *Planner) schedule(ctx context.Context, pods []*corev1.Pod) (*Plan, []*corev1.Pod) {
	plan := &Plan{}
	nodes := make([]member, len(p.nodes))
	placed := make([][]*corev1.Pod, len(p.nodes))
	for i, n := range p.nodes {
		nodes[i] = member{n.group, n.SnapshotConcrete()}
	}
	var left []*corev1.Pod
	for _, pod := range pods {
		at := slices.IndexFunc(nodes, func(n member) bool { return n.takes(ctx, pod) })
		if at < 0 {
			left = append(left, pod)
			continue
		}
		nodes[at].AddPod(pod)
		placed[at] = append(placed[at], pod)
	}
	for i, n := range nodes {
		if len(placed[i]) > 0 {
			plan.Nodes = append(plan.Nodes, Node{NodeGroup: n.group, Pods: placed[i]})
		}
	}
	return plan, left
}

// rounds are the rounds that Karpenter takes to find nodes for pods.
type rounds struct {
	planner *Planner
	// byUID are the pods as they were given; refused are why those have no node that
	// have none after the last round.
	byUID    map[types.UID]*corev1.Pod
	refused  map[types.UID]error
	launched []*launched
}

// launched is a planned node that Karpenter sees in the rounds after.
type launched struct {
	Node
	object *corev1.Node
	// bound are the pods on it as Karpenter sees them.
	bound []*corev1.Pod
}

// next is a scheduling round as Karpenter's provisioner makes it (Schedule in
// pkg/controllers/provisioning/provisioner.go), but for pods that are given: it returns
// those that got no node, and how many nodes were launched. What was launched before is
// there, with its pods.
func (r *rounds) next(ctx context.Context, pods []*corev1.Pod) (left []*corev1.Pod, nodes int, err error) {
	provisioner, cluster, err := r.karpenter(ctx)
	if err != nil {
		return nil, 0, err
	}
	clear(r.refused)
	valid := slices.DeleteFunc(slices.Clone(pods), func(pod *corev1.Pod) bool {
		err := provisioner.Validate(ctx, pod)
		if err != nil {
			r.refused[pod.UID] = err
		}
		return err != nil
	})
	if len(valid) == 0 {
		return nil, 0, nil
	}
	o := options.FromContext(ctx)
	how := []scheduling.Options{
		scheduling.DisableReservedCapacityFallback,
		scheduling.NumConcurrentReconciles(int(math.Ceil(float64(o.CPURequests) / 1000))),
		scheduling.MinValuesPolicy(o.MinValuesPolicy),
	}
	if o.PreferencePolicy == options.PreferencePolicyIgnore {
		how = append(how, scheduling.IgnorePreferences)
	}
	s, err := provisioner.NewScheduler(ctx, valid, cluster.DeepCopyNodes().Active(), sets.New[types.UID](), how...)
	if err != nil {
		return nil, 0, fmt.Errorf("Karpenter: %w", err) //nolint:staticcheck // a name
	}
	results, err := s.Solve(ctx, valid)
	if err != nil {
		return nil, 0, fmt.Errorf("Karpenter: %w", err) //nolint:staticcheck // a name
	}
	results = results.TruncateInstanceTypes(ctx, scheduling.MaxInstanceTypes)
	for _, existing := range results.ExistingNodes {
		at := slices.IndexFunc(r.launched, func(n *launched) bool { return n.object.Name == existing.Name() })
		r.launched[at].bound = append(r.launched[at].bound, existing.Pods...)
	}
	for _, claim := range results.NewNodeClaims {
		r.launched = append(r.launched, r.launch(claim))
	}
	for pod, err := range results.PodErrors {
		r.refused[pod.UID] = err
	}
	left = slices.DeleteFunc(slices.Clone(pods), func(pod *corev1.Pod) bool { return r.refused[pod.UID] == nil })
	return left, len(results.NewNodeClaims), nil
}

// karpenter is a provisioner that sees what was launched.
func (r *rounds) karpenter(ctx context.Context) (*provisioning.Provisioner, *state.Cluster, error) {
	p, c := r.planner, r.planner.client
	var bound []*corev1.Pod
	var more []client.Object
	for _, n := range r.launched {
		more = append(more, n.object)
		for _, pod := range n.bound {
			pod = pod.DeepCopy()
			pod.Spec.NodeName, pod.Status.Phase = n.object.Name, corev1.PodRunning
			bound, more = append(bound, pod), append(more, pod)
		}
	}
	if len(more) > 0 {
		c = p.clientWith(more...)
	}
	cluster := state.NewCluster(clock.RealClock{}, c, p.provider)
	for _, n := range r.launched {
		if err := cluster.UpdateNode(ctx, n.object.DeepCopy()); err != nil {
			return nil, nil, fmt.Errorf("node %s: %w", n.object.Name, err)
		}
	}
	for _, pod := range bound {
		if err := cluster.UpdatePod(ctx, pod); err != nil {
			return nil, nil, fmt.Errorf("pod %s: %w", pod.Name, err)
		}
	}
	return provisioning.NewProvisioner(c, silent{}, p.provider, cluster, clock.RealClock{},
		deviceallocation.NewController(c), virtualpods.NewVirtualPodCache(c)), cluster, nil
}

// launch is a NodeClaim as the node it becomes, of the type that is cheapest.
func (r *rounds) launch(claim *scheduling.NodeClaim) *launched {
	n := &launched{bound: claim.Pods}
	n.Node = describe(claim)
	name := fmt.Sprintf("launched-%08d", len(r.launched)) // Karpenter tries nodes by name
	n.object = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: maps.Clone(n.Labels)}}
	maps.Copy(n.object.Labels, map[string]string{
		corev1.LabelHostname: name, karpv1.NodeRegisteredLabelKey: "true", karpv1.NodeInitializedLabelKey: "true",
	})
	n.object.Spec.ProviderID, n.object.Spec.Taints = name, claim.Spec.Taints
	n.object.Status.Capacity, n.object.Status.Allocatable = n.Capacity, n.Allocatable
	return n
}

// describe is a NodeClaim as a node of the type that is cheapest.
func describe(claim *scheduling.NodeClaim) Node {
	node := Node{
		NodePool: claim.NodePoolName, Labels: maps.Clone(claim.Labels),
		Overhead: resources.Subtract(claim.Spec.Resources.Requests, resources.RequestsForPods(claim.Pods...)),
	}
	ordered := slices.Clone(claim.InstanceTypeOptions).OrderByPrice(claim.Requirements)
	for _, t := range ordered {
		node.InstanceTypes = append(node.InstanceTypes, t.Name)
	}
	chosen := ordered[0]
	offering := chosen.Offerings.Available().Compatible(claim.Requirements).Cheapest()
	node.Launch = Offering{
		InstanceType: chosen.Name, Zone: offering.Zone(), CapacityType: offering.CapacityType(), USDPerHour: offering.Price,
	}
	node.Capacity, node.Allocatable = chosen.Capacity, chosen.Allocatable()
	for key, r := range chosen.Requirements {
		if r.Len() == 1 && r.Operator() == corev1.NodeSelectorOpIn {
			node.Labels[key] = r.Any()
		}
	}
	node.Labels[corev1.LabelTopologyZone] = offering.Zone()
	node.Labels[karpv1.CapacityTypeLabelKey] = offering.CapacityType()
	return node
}

// given are the pods as the caller gave them and in that order.
func (r *rounds) given(pods []*corev1.Pod) []*corev1.Pod {
	pods = slices.SortedFunc(slices.Values(pods), func(x, y *corev1.Pod) int { return cmp.Compare(x.UID, y.UID) })
	out := make([]*corev1.Pod, len(pods))
	for i, p := range pods {
		out[i] = r.byUID[p.UID]
	}
	return out
}

// storageless is a copy of a pod without volumes that claim storage.
func storageless(pod *corev1.Pod) *corev1.Pod {
	out := pod.DeepCopy()
	out.Spec.Volumes = slices.DeleteFunc(out.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil || v.Ephemeral != nil
	})
	return out
}
