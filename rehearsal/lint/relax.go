package lint

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"eks-gpu-slicing/rehearsal/packing"
)

// demand is one of the things a pod demands of its node, and how to do without.
type demand struct {
	rule Rule
	// subject is the taint, the label, the resource or the topology key.
	subject string
	// field of the pod.
	field string
	// wants are what a selector or an affinity wants of the label.
	wants []corev1.NodeSelectorRequirement
	taint corev1.Taint
	// cost is how far from serving the pod a pool is that does not meet the demand.
	cost int
	drop func(*corev1.Pod)
}

// Costs: a pool is as far from a pod as the costliest of the demands that it does not
// meet. What the pool was not made for is farthest: a resource that it has none of, and,
// beyond larger amounts, a taint that keeps off who does not ask for its GPUs.
const (
	costTaint = iota + 1
	costAmount
	costForeignTaint
	costPods
	costSelector
	costNone
)

// demandsOn are what a pod demands that a pool with such kinds of nodes might not meet.
// Those that are blamed least gladly come first.
func demandsOn(p *corev1.Pod, pool *karpv1.NodePool, kinds []packing.Kind) []demand {
	var all []demand
	requests := resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{})
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		if n := requests[name]; n.IsZero() {
			continue
		}
		d := demand{rule: RuleResources, subject: string(name), field: "spec.containers", cost: costNone, drop: func(p *corev1.Pod) { dropResource(p, name) }}
		if slices.ContainsFunc(kinds, func(k packing.Kind) bool { n := k.Allocatable[name]; return k.NodePool == pool.Name && !n.IsZero() }) {
			d.cost = costAmount
		}
		all = append(all, d)
	}
	all = append(all, betweenPods(p)...)
	all = append(all, selectors(p)...)
	for _, taint := range pool.Spec.Template.Spec.Taints {
		if taint.Effect == corev1.TaintEffectPreferNoSchedule {
			continue
		}
		d := demand{rule: RuleToleration, subject: taint.ToString(), field: "spec.tolerations", taint: taint, cost: costTaint, drop: func(p *corev1.Pod) {
			p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: taint.Key, Operator: corev1.TolerationOpExists, Effect: taint.Effect})
		}}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(requests)), func(name corev1.ResourceName) bool { return strings.HasPrefix(string(name), nvidiaDomain) }) {
			d.cost = costForeignTaint
		}
		all = append(all, d)
	}
	return all
}

func dropResource(p *corev1.Pod, name corev1.ResourceName) {
	eachContainer(p, func(_ string, c *corev1.Container) {
		delete(c.Resources.Requests, name)
		delete(c.Resources.Limits, name)
	})
	if p.Spec.Resources != nil {
		delete(p.Spec.Resources.Requests, name)
		delete(p.Spec.Resources.Limits, name)
	}
	delete(p.Spec.Overhead, name)
}

// betweenPods are a pod's demands on where it is to other pods, and on what pods of one
// node cannot share.
func betweenPods(p *corev1.Pod) []demand {
	var all []demand
	add := func(subject, field string, drop func(*corev1.Pod)) {
		all = append(all, demand{rule: RulePlacement, subject: subject, field: field, cost: costPods, drop: drop})
	}
	const required = "requiredDuringSchedulingIgnoredDuringExecution"
	if a := p.Spec.Affinity; a != nil && a.PodAffinity != nil && len(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0 {
		term := a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0]
		add("podAffinity on "+term.TopologyKey, "spec.affinity.podAffinity."+required, func(p *corev1.Pod) {
			p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
		})
	}
	if a := p.Spec.Affinity; a != nil && a.PodAntiAffinity != nil && len(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0 {
		term := a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0]
		add("podAntiAffinity on "+term.TopologyKey, "spec.affinity.podAntiAffinity."+required, func(p *corev1.Pod) {
			p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
		})
	}
	for _, spread := range p.Spec.TopologySpreadConstraints {
		if spread.WhenUnsatisfiable == corev1.DoNotSchedule {
			add("topologySpreadConstraints on "+spread.TopologyKey, "spec.topologySpreadConstraints", func(p *corev1.Pod) { p.Spec.TopologySpreadConstraints = nil })
			break
		}
	}
	ports := false
	eachContainer(p, func(_ string, c *corev1.Container) {
		ports = ports || slices.ContainsFunc(c.Ports, func(port corev1.ContainerPort) bool { return port.HostPort != 0 })
	})
	if ports {
		add("host ports", "spec.containers", func(p *corev1.Pod) {
			eachContainer(p, func(_ string, c *corev1.Container) { c.Ports = nil })
		})
	}
	if len(p.Spec.ResourceClaims) > 0 {
		add("resource claims", "spec.resourceClaims", func(p *corev1.Pod) { p.Spec.ResourceClaims = nil })
	}
	return all
}

// selectors are a pod's demands on labels of its node, one for each label.
func selectors(p *corev1.Pod) []demand {
	var all []demand
	for _, label := range slices.Sorted(maps.Keys(p.Spec.NodeSelector)) {
		all = append(all, demand{
			rule: RuleSelector, subject: label, field: fmt.Sprintf("spec.nodeSelector[%s]", label), cost: costSelector,
			wants: []corev1.NodeSelectorRequirement{{Key: label, Operator: corev1.NodeSelectorOpIn, Values: []string{p.Spec.NodeSelector[label]}}},
			drop:  func(p *corev1.Pod) { delete(p.Spec.NodeSelector, label) },
		})
	}
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return all
	}
	const field = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
	byLabel := map[string]*demand{}
	for i, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for n, e := range term.MatchExpressions {
			if byLabel[e.Key] == nil {
				byLabel[e.Key] = &demand{
					rule: RuleSelector, subject: e.Key, field: fmt.Sprintf("%s[%d].matchExpressions[%d]", field, i, n), cost: costSelector,
					drop: func(p *corev1.Pod) { dropExpressions(p, e.Key) },
				}
			}
			byLabel[e.Key].wants = append(byLabel[e.Key].wants, e)
		}
		if len(term.MatchFields) > 0 && byLabel["matchFields"] == nil {
			byLabel["matchFields"] = &demand{
				rule: RuleSelector, subject: "matchFields", field: fmt.Sprintf("%s[%d].matchFields", field, i), cost: costSelector,
				drop: func(p *corev1.Pod) { dropExpressions(p, "") },
			}
		}
	}
	for _, label := range slices.Sorted(maps.Keys(byLabel)) {
		all = append(all, *byLabel[label])
	}
	return all
}

// dropExpressions takes a label out of the required node affinity, or the fields if it
// is "". A term that is empty would match no node; then no term is left.
func dropExpressions(p *corev1.Pod, label string) {
	required := p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil {
		return
	}
	for i := range required.NodeSelectorTerms {
		term := &required.NodeSelectorTerms[i]
		if label == "" {
			term.MatchFields = nil
		}
		term.MatchExpressions = slices.DeleteFunc(term.MatchExpressions, func(e corev1.NodeSelectorRequirement) bool { return e.Key == label })
		if len(term.MatchExpressions) == 0 && len(term.MatchFields) == 0 {
			p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
			return
		}
	}
}

// without is a copy of a pod without some demands.
func without(p *corev1.Pod, demands []demand) *corev1.Pod {
	out := p.DeepCopy()
	for _, d := range demands {
		d.drop(out)
	}
	return out
}

// unmet is a smallest set of demands without which fits is true: none of it can be
// kept. ok is false if doing without all is not enough.
func unmet(demands []demand, fits func(without []demand) (bool, error)) (least []demand, ok bool, err error) {
	if ok, err = fits(demands); !ok || err != nil {
		return nil, false, err
	}
	least = slices.Clone(demands)
	for i := 0; i < len(least); {
		fewer := slices.Delete(slices.Clone(least), i, i+1)
		enough, err := fits(fewer)
		if err != nil {
			return nil, false, err
		}
		if enough {
			least = fewer
		} else {
			i++
		}
	}
	return least, true, nil
}

// nearest is the pool that comes nearest to serving a pod.
type nearest struct {
	pool *karpv1.NodePool
	// unmet are the pod's demands that it does not meet.
	unmet []demand
	// served is what the pod could be on if it were not for them.
	served packing.Node
	// verdict is what Karpenter says of the pod when it has this pool alone.
	verdict error
}

// nearestPool finds it; nil if no pool can serve the pod whatever it demands.
func (c *checker) nearestPool(ctx context.Context, p *corev1.Pod) (*nearest, error) {
	var best *nearest
	for _, pool := range c.unlimited.Pools() {
		planner, err := c.only(ctx, pool.Name)
		if err != nil {
			return nil, err
		}
		n := &nearest{pool: pool}
		var ok bool
		n.unmet, ok, err = unmet(demandsOn(p, pool, c.kinds), func(demands []demand) (bool, error) {
			plan, err := planner.Plan(ctx, []*corev1.Pod{without(p, demands)})
			if err != nil || len(plan.Refused) > 0 {
				return false, err
			}
			n.served = plan.Nodes[0]
			return true, nil
		})
		if err != nil {
			return nil, err
		}
		if !ok || best != nil && slices.Compare(best.distance(), n.distance()) <= 0 {
			continue
		}
		plan, err := planner.Plan(ctx, []*corev1.Pod{p})
		if err != nil {
			return nil, err
		}
		for _, r := range plan.Refused {
			n.verdict = r.Err
		}
		best = n
	}
	return best, nil
}

// only is a planner that has one pool alone.
func (c *checker) only(ctx context.Context, pool string) (*packing.Planner, error) {
	if p, made := c.pools[pool]; made {
		return p, nil
	}
	p, err := c.unlimited.With(ctx, func(s *packing.Stack) {
		s.NodeGroups = nil
		s.NodePools = slices.DeleteFunc(s.NodePools, func(other karpv1.NodePool) bool { return other.Name != pool })
	})
	if err != nil {
		return nil, err
	}
	c.pools[pool] = p
	return p, nil
}

// distance is the costs of the unmet demands, the highest first.
func (n *nearest) distance() []int {
	var costs []int
	for _, d := range n.unmet {
		costs = append(costs, d.cost)
	}
	slices.SortFunc(costs, func(x, y int) int { return y - x })
	return costs
}
