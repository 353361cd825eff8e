package packing

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/clock"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
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
	// Name is that of a node group's node, of which only it and Pods are told; "" for a
	// planned one.
	Name string
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

// Plan asks for nodes for pods that are all pending at once. Pods are told apart by
// namespace and name, and are not changed. An error is not about a pod.
func (p *Planner) Plan(ctx context.Context, pods []*corev1.Pod) (*Plan, error) {
	ctx, err := karpenter(ctx, p.stack)
	if err != nil {
		return nil, err
	}
	r := &round{
		planner: p, byUID: map[types.UID]*corev1.Pod{},
		cluster: state.NewCluster(clock.RealClock{}, p.client, p.provider),
	}
	r.provisioner = provisioning.NewProvisioner(p.client, silent{}, p.provider, r.cluster, clock.RealClock{},
		deviceallocation.NewController(p.client), virtualpods.NewVirtualPodCache(p.client))
	for _, n := range p.nodes {
		if err := r.cluster.UpdateNode(ctx, n.DeepCopy()); err != nil {
			return nil, fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	var pending []*corev1.Pod
	invalid := map[types.UID]error{}
	for i, pod := range pods {
		asked := storageless(pod)
		asked.UID = types.UID(fmt.Sprintf("%08d", i)) // in the order given, where Karpenter sorts by it
		r.byUID[asked.UID] = pod
		if err := r.provisioner.Validate(ctx, asked); err != nil {
			invalid[asked.UID] = err
			continue
		}
		pending = append(pending, asked)
	}
	for {
		results, err := r.solve(ctx, pending)
		if err != nil {
			return nil, err
		}
		if len(results.PodErrors) > 0 && len(results.NewNodeClaims) > 0 {
			r.launch(results.NewNodeClaims)
			continue
		}
		return r.plan(results, invalid), nil
	}
}

// round is one question and what has come of it so far.
type round struct {
	planner     *Planner
	cluster     *state.Cluster
	provisioner *provisioning.Provisioner
	byUID       map[types.UID]*corev1.Pod
	// launched are the planned nodes that Karpenter sees as such by now, by provider ID.
	launched map[string]Node
}

// solve is a scheduling round as Karpenter's provisioner makes it (Schedule in
// pkg/controllers/provisioning/provisioner.go), but for pods that are given.
func (r *round) solve(ctx context.Context, pods []*corev1.Pod) (scheduling.Results, error) {
	if len(pods) == 0 {
		return scheduling.Results{}, nil
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
	s, err := r.provisioner.NewScheduler(ctx, pods, r.cluster.DeepCopyNodes().Active(), sets.New[types.UID](), how...)
	if err != nil {
		return scheduling.Results{}, fmt.Errorf("Karpenter: %w", err) //nolint:staticcheck // a name
	}
	results, err := s.Solve(ctx, pods)
	if err != nil {
		return scheduling.Results{}, fmt.Errorf("Karpenter: %w", err) //nolint:staticcheck // a name
	}
	return results.TruncateInstanceTypes(ctx, scheduling.MaxInstanceTypes), nil
}

// launch lets Karpenter see its NodeClaims as nodes that are on their way, with the
// type that was cheapest.
func (r *round) launch(claims []*scheduling.NodeClaim) {
	if r.launched == nil {
		r.launched = map[string]Node{}
	}
	for _, claim := range claims {
		node, chosen := describe(claim)
		id := fmt.Sprintf("launched/%08d", len(r.launched)) // Karpenter tries nodes by name
		object := claim.ToNodeClaim()
		object.Name = id
		object.Labels = node.Labels
		object.Status.ProviderID = id
		object.Status.NodeName = id
		object.Status.Capacity, object.Status.Allocatable = chosen.Capacity, chosen.Allocatable()
		r.launched[id] = node
		r.cluster.UpdateNodeClaim(object)
	}
}

// describe is a NodeClaim as a node and the instance type it would be.
func describe(claim *scheduling.NodeClaim) (Node, *cloudprovider.InstanceType) {
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
	return node, chosen
}

// plan puts an answer into the terms of the question.
func (r *round) plan(results scheduling.Results, invalid map[types.UID]error) *Plan {
	plan := &Plan{}
	for _, existing := range results.ExistingNodes {
		node, ours := r.launched[existing.ProviderID()]
		if !ours {
			if len(existing.Pods) == 0 {
				continue
			}
			node = Node{Name: existing.Name()}
		}
		node.take(r.given(existing.Pods))
		plan.Nodes = append(plan.Nodes, node)
	}
	for _, claim := range results.NewNodeClaims {
		node, _ := describe(claim)
		node.take(r.given(claim.Pods))
		plan.Nodes = append(plan.Nodes, node)
	}
	for pod, err := range results.PodErrors {
		invalid[pod.UID] = err
	}
	for _, uid := range slices.Sorted(maps.Keys(invalid)) {
		plan.Refused = append(plan.Refused, Refusal{Pod: r.byUID[uid], Err: invalid[uid]})
	}
	return plan
}

func (n *Node) take(pods []*corev1.Pod) {
	n.Pods, n.Requests = pods, resources.Merge(n.Overhead, resources.RequestsForPods(pods...))
}

// given are the pods as the caller gave them, by name.
func (r *round) given(pods []*corev1.Pod) []*corev1.Pod {
	out := make([]*corev1.Pod, len(pods))
	for i, p := range pods {
		out[i] = r.byUID[p.UID]
	}
	slices.SortFunc(out, func(x, y *corev1.Pod) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
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
