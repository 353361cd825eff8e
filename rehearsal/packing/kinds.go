package packing

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	provisioning "sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/scheduling"
	nodepoolutils "sigs.k8s.io/karpenter/pkg/utils/nodepool"
)

// Kind is a kind of node that a pool can launch: one of its instance types.
type Kind struct {
	NodePool     string
	InstanceType string
	// Labels are the values that each label of such a node may have, sorted. Labels
	// that may have any value are not among them.
	Labels map[string][]string
	Taints []corev1.Taint
	// Allocatable is what it has for pods and DaemonSets, Overhead what Karpenter sets
	// aside for the DaemonSets.
	Allocatable, Overhead corev1.ResourceList
}

// Pools are the stack's pools, in the order Karpenter tries them in.
func (p *Planner) Pools() []*karpv1.NodePool {
	var all []*karpv1.NodePool
	for i := range p.stack.NodePools {
		all = append(all, &p.stack.NodePools[i])
	}
	nodepoolutils.OrderByWeight(all)
	return all
}

// Kinds are all kinds of nodes that the pools can launch whatever their limits, in the
// order of [Planner.Pools] and then by name. Types that the DaemonSets alone do not fit
// on are none of them.
func (p *Planner) Kinds(ctx context.Context) ([]Kind, error) {
	var kinds []Kind
	var probes []*corev1.Pod // one for each kind, that no other fits
	for _, pool := range p.Pools() {
		types, template, err := p.types(ctx, pool)
		if err != nil {
			return nil, err
		}
		for _, t := range types {
			if t.Requirements.Intersects(template) != nil || !t.Offerings.Available().HasCompatible(template) {
				continue
			}
			kinds = append(kinds, Kind{
				NodePool: pool.Name, InstanceType: t.Name, Labels: labels(t.Requirements, template),
				Taints: pool.Spec.Template.Spec.Taints, Allocatable: t.Allocatable(),
			})
			probe := &corev1.Pod{}
			probe.Spec.NodeSelector = map[string]string{karpv1.NodePoolLabelKey: pool.Name, corev1.LabelInstanceTypeStable: t.Name}
			probe.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
			probes = append(probes, probe)
		}
	}
	unlimited, err := p.Unlimited(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := unlimited.Plan(ctx, probes)
	if err != nil {
		return nil, err
	}
	type key struct{ pool, instanceType string }
	overhead := map[key]corev1.ResourceList{}
	for _, node := range plan.Nodes {
		overhead[key{node.NodePool, node.Launch.InstanceType}] = node.Overhead
	}
	fitting := kinds[:0]
	for _, k := range kinds {
		if o, ok := overhead[key{k.NodePool, k.InstanceType}]; ok {
			k.Overhead = o
			fitting = append(fitting, k)
		}
	}
	return fitting, nil
}

// types are the instance types of the region by name, as Karpenter sees them for a
// pool, and what the pool requires of them.
func (p *Planner) types(ctx context.Context, pool *karpv1.NodePool) ([]*cloudprovider.InstanceType, scheduling.Requirements, error) {
	ctx, err := karpenter(ctx, p.stack)
	if err != nil {
		return nil, nil, err
	}
	types, err := p.provider.GetInstanceTypes(ctx, pool)
	if err != nil {
		return nil, nil, fmt.Errorf("NodePool %s: %w", pool.Name, err)
	}
	slices.SortFunc(types, func(x, y *cloudprovider.InstanceType) int { return cmp.Compare(x.Name, y.Name) })
	return types, provisioning.NewNodeClaimTemplate(pool).Requirements, nil
}

// labels are the labels that requirements together leave a choice of values for.
func labels(all ...scheduling.Requirements) map[string][]string {
	merged := scheduling.NewRequirements()
	for _, requirements := range all {
		merged.Add(requirements.Values()...)
	}
	out := map[string][]string{}
	for name, r := range merged {
		if r.Operator() == corev1.NodeSelectorOpIn {
			out[name] = slices.Sorted(slices.Values(r.Values()))
		}
	}
	return out
}

// Exclusion is why a pool does not launch an instance type.
type Exclusion struct {
	InstanceType string
	// By are the pool's requirements that the type does not meet. With none of them it
	// is not sold in the zones or the ways that the pool buys.
	By []Mismatch
}

// Mismatch is a requirement that is not met.
type Mismatch struct {
	Label string
	// Has are the values there are, Wants is what the pool requires, such as "In [7]".
	Has   []string
	Wants string
}

// Exclusions says of each instance type in the region that meets a requirement why a
// pool does not launch it, those first that the fewest of the pool's requirements
// exclude.
func (p *Planner) Exclusions(ctx context.Context, pool *karpv1.NodePool, want corev1.NodeSelectorRequirement) ([]Exclusion, error) {
	types, template, err := p.types(ctx, pool)
	if err != nil {
		return nil, err
	}
	wanted := scheduling.NewNodeSelectorRequirements(want)
	var out []Exclusion
	for _, t := range types {
		if !t.Requirements.Has(want.Key) || t.Requirements.Intersects(wanted) != nil {
			continue
		}
		e := Exclusion{InstanceType: t.Name}
		for _, name := range slices.Sorted(maps.Keys(template)) {
			if has := t.Requirements.Get(name); t.Requirements.Has(name) && !template.Get(name).HasIntersection(has) {
				e.By = append(e.By, Mismatch{Label: name, Has: slices.Sorted(slices.Values(has.Values())), Wants: wants(pool, template.Get(name))})
			}
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(x, y Exclusion) int { return cmp.Compare(len(x.By), len(y.By)) })
	return out, nil
}

// wants is what a pool requires of a label, in its own words where it says so.
func wants(pool *karpv1.NodePool, r *scheduling.Requirement) string {
	var own []string
	for _, spec := range pool.Spec.Template.Spec.Requirements {
		if spec.Key == r.Key {
			own = append(own, fmt.Sprintf("%s %v", spec.Operator, spec.Values))
		}
	}
	if len(own) == 0 {
		return strings.TrimPrefix(r.String(), r.Key+" ")
	}
	return strings.Join(own, " and ")
}
