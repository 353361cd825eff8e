package lint

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"go.uber.org/multierr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/utils/resources"

	"eks-gpu-slicing/rehearsal/packing"
)

// explainAlone finds out why a pod gets no node although there is no other.
func (c *checker) explainAlone(ctx context.Context, u *unit) error {
	n, err := c.nearestPool(ctx, u.pod)
	if err != nil {
		return err
	}
	if n == nil {
		plan, err := c.unlimited.Plan(ctx, []*corev1.Pod{u.pod})
		if err != nil {
			return err
		}
		p := Problem{Field: u.in("spec"), Rule: RuleOther, Cause: "no pool launches a node for it", Mend: "see what Karpenter says"}
		for _, r := range plan.Refused {
			p.Verdict = "Karpenter: " + r.Err.Error()
		}
		c.fail(u, p)
		return nil
	}
	for _, d := range n.unmet {
		p := Problem{Field: u.in(d.field), Rule: d.rule}
		if n.verdict != nil {
			p.Verdict = "Karpenter: " + n.verdict.Error()
		}
		switch d.rule {
		case RuleToleration:
			p.Cause, p.Mend = c.taint(u, n, d)
		case RuleSelector:
			if p.Cause, p.Mend, err = c.selector(ctx, n, d); err != nil {
				return err
			}
		case RuleResources:
			p.Field, p.Cause, p.Mend = c.amount(u, n, d)
		default:
			p.Cause = fmt.Sprintf("no node of pool %s, which comes nearest, meets its %s", n.pool.Name, d.subject)
			p.Mend = "prefer it instead of requiring it, or drop it"
		}
		c.fail(u, p)
	}
	return nil
}

func (c *checker) taint(u *unit, n *nearest, d demand) (cause, mend string) {
	cause = fmt.Sprintf("it does not tolerate the taint %s of pool %s, which comes nearest to what it asks for", d.subject, n.pool.Name)
	mend = fmt.Sprintf("add to %s: {key: %s, operator: Exists, effect: %s}", u.in("spec.tolerations"), d.taint.Key, d.taint.Effect)
	if offered := c.gpus[n.pool.Name]; len(offered) > 0 && d.cost == costForeignTaint {
		mend += fmt.Sprintf("; if it needs the GPU, it must ask for it as well, with limits %s: 1", offered[0].Resource)
	}
	return cause, mend
}

// selector explains a label that no node of the nearest pool has.
func (c *checker) selector(ctx context.Context, n *nearest, d demand) (cause, mend string, err error) {
	var wants []string
	for _, w := range d.wants {
		wants = append(wants, requirement(w))
	}
	slices.Sort(wants)
	cause = fmt.Sprintf("no pool has nodes with %s; pool %s comes nearest", strings.Join(slices.Compact(wants), " or "), n.pool.Name)
	offers := c.offers(n, d.subject)
	if len(offers) == 0 {
		cause += fmt.Sprintf(", whose nodes have no label %s", d.subject)
		mend = fmt.Sprintf("drop %s, or give the pool that label", d.subject)
		if similar := closest(d.subject, c.labels(n.pool.Name), 1); len(similar) > 0 && levenshtein.Distance(d.subject, similar[0], nil) <= 3 {
			mend = fmt.Sprintf("did you mean the label %s? Its nodes have %s %s", similar[0], similar[0], strings.Join(c.offers(n, similar[0]), " or "))
		}
		return cause, mend, nil
	}
	var wanted string
	sold := false // some instance type in the region has it
	for _, w := range d.wants {
		exclusions, err := c.unlimited.Exclusions(ctx, n.pool, w)
		if err != nil {
			return "", "", err
		}
		if len(w.Values) > 0 {
			wanted = w.Values[0]
		}
		if len(exclusions) == 0 {
			continue
		}
		sold = true
		var by []string
		for _, m := range exclusions[0].By {
			by = append(by, fmt.Sprintf("%s %s, and a %s has %s", m.Label, m.Wants, exclusions[0].InstanceType, strings.Join(m.Has, ", ")))
		}
		// That the pool does not take the label asked for is known by now.
		if slices.ContainsFunc(exclusions[0].By, func(m packing.Mismatch) bool { return m.Label != d.subject }) {
			cause += ", but it requires " + strings.Join(by, "; and ")
			break
		}
	}
	if !sold && karpv1.WellKnownLabels.Has(d.subject) && !strings.HasPrefix(d.subject, "karpenter.sh/") {
		cause += ", and no instance type of the region has it"
	}
	alike := closest(wanted, offers, 4)
	mend = fmt.Sprintf("ask for %s, which that pool has", alike[0])
	if len(alike) > 1 {
		mend = fmt.Sprintf("ask for %s, which that pool has; it also has %s", alike[0], strings.Join(alike[1:], ", "))
	}
	if len(offers) > len(alike) {
		mend += fmt.Sprintf(" and %d others", len(offers)-len(alike))
	}
	return cause, mend, nil
}

// offers are the values that a label has on those nodes of the nearest pool which serve
// the pod otherwise.
func (c *checker) offers(n *nearest, label string) []string {
	values := map[string]bool{}
	for _, k := range c.kinds {
		if k.NodePool == n.pool.Name && slices.Contains(n.served.InstanceTypes, k.InstanceType) {
			for _, v := range k.Labels[label] {
				values[v] = true
			}
		}
	}
	return sorted(values)
}

// labels are those that nodes of a pool have.
func (c *checker) labels(pool string) []string {
	names := map[string]bool{}
	for _, k := range c.kinds {
		if k.NodePool == pool {
			for name := range k.Labels {
				names[name] = true
			}
		}
	}
	return sorted(names)
}

// amount explains a resource of which no node of the nearest pool has enough.
func (c *checker) amount(u *unit, n *nearest, d demand) (field, cause, mend string) {
	name := corev1.ResourceName(d.subject)
	requests := resourcehelper.PodRequests(u.pod, resourcehelper.PodResourcesOptions{})
	asked := requests[name]
	field, who := u.in("spec.containers"), ""
	var parts []string
	eachContainer(u.pod, func(at string, container *corev1.Container) {
		if q, ok := container.Resources.Requests[name]; ok && !q.IsZero() {
			parts = append(parts, fmt.Sprintf("%s %s", container.Name, quantity(name, q)))
			field = u.in(fmt.Sprintf("spec.%s.resources.requests[%s]", at, name))
			if _, stated := container.Resources.Limits[name]; stated && strings.Contains(d.subject, "/") {
				field = u.in(fmt.Sprintf("spec.%s.resources.limits[%s]", at, name)) // where it is written
			}
		}
	})
	if len(parts) > 1 {
		field, who = u.in("spec.containers"), fmt.Sprintf(" (%s)", strings.Join(parts, ", "))
	}
	var most resource.Quantity
	var kind packing.Kind
	for _, k := range c.kinds {
		if k.NodePool != n.pool.Name || !slices.Contains(n.served.InstanceTypes, k.InstanceType) {
			continue
		}
		left := k.Allocatable[name].DeepCopy()
		left.Sub(n.served.Overhead[name])
		if kind.InstanceType == "" || left.Cmp(most) > 0 {
			most, kind = left, k
		}
	}
	cause = fmt.Sprintf("it asks for %s %s%s", name, quantity(name, asked), who)
	switch {
	case most.Sign() <= 0 && !c.offered(name):
		return field, cause + ", which no node of any pool has", fmt.Sprintf("drop %s, or add a pool whose instances have it", name)
	case most.Sign() <= 0:
		return field, cause + fmt.Sprintf(", of which pool %s, which comes nearest, has none", n.pool.Name), fmt.Sprintf("drop %s, or what keeps it from the pools that have it", name)
	}
	cause += fmt.Sprintf("; of the nodes of pool %s, which comes nearest, a %s has most to give: %s", n.pool.Name, kind.InstanceType, quantity(name, most))
	if overhead := n.served.Overhead[name]; !overhead.IsZero() {
		cause += fmt.Sprintf(" beside %s for DaemonSets", quantity(name, overhead))
	}
	mend = fmt.Sprintf("ask for %s or less, or let the pool have larger instance types", quantity(name, most))
	if slices.Contains(c.advertisedNames(), name) {
		mend = fmt.Sprintf("ask for %s or less in one pod, or raise what a node has (gpuSlices, gpuInstanceTypes)", quantity(name, most))
	}
	return field, cause, mend
}

// explain finds out why some pods of a unit get no node.
func (c *checker) explain(ctx context.Context, u *unit, refused int, verdict error) error {
	plan, err := c.unlimited.Plan(ctx, []*corev1.Pod{u.pod})
	if err != nil {
		return err
	}
	if len(plan.Refused) > 0 {
		return c.explainAlone(ctx, u)
	}
	all := pods(c.units)
	if plan, err = c.unlimited.Plan(ctx, all.list); err != nil {
		return err
	}
	if len(all.refused(plan)[u]) == 0 {
		c.overLimit(u, refused, verdict, all, plan)
		return nil
	}
	return c.crowded(ctx, u, all, plan)
}

// overLimit tells which limits the pods go over that would be placed without limits.
func (c *checker) overLimit(u *unit, refused int, verdict error, all crowd, plan *packing.Plan) {
	var over, raise []string
	for _, pool := range c.stack.Pools() {
		if !slices.Contains(all.pools(plan, u), pool.Name) {
			continue
		}
		var sum corev1.ResourceList
		for _, node := range plan.Nodes {
			if node.NodePool == pool.Name {
				sum = resources.MergeInto(sum, node.Capacity)
			}
		}
		for name, limit := range pool.Spec.Limits {
			if need := sum[name]; need.Cmp(limit) > 0 {
				over = append(over, fmt.Sprintf("the limit of pool %s is %s of %s, and all pods together take nodes with %s", pool.Name, quantity(name, limit), name, quantity(name, need)))
				raise = append(raise, fmt.Sprintf("%s of pool %s to %s", name, pool.Name, quantity(name, need)))
			}
		}
	}
	slices.Sort(over)
	c.fail(u, Problem{
		Field: u.in("spec"), Rule: RuleLimit,
		Cause:   fmt.Sprintf("%d of its %d pods get no node: %s", refused, u.count, strings.Join(over, "; ")),
		Mend:    fmt.Sprintf("ask for less, or raise the limit %s (settings gpuLimit, in physical GPUs, and cpuLimit)", strings.Join(raise, " and ")),
		Verdict: "Karpenter: " + about(verdict, "limit"),
	})
}

// crowded finds out which demand on other pods keeps some pods of a unit from a node in
// a plan of all.
func (c *checker) crowded(ctx context.Context, u *unit, all crowd, plan *packing.Plan) error {
	least, ok, err := unmet(betweenPods(u.pod), func(demands []demand) (bool, error) {
		relaxed := *u
		relaxed.pod = without(u.pod, demands)
		units := slices.Clone(c.units)
		units[slices.Index(units, u)] = &relaxed
		all := pods(units)
		plan, err := c.unlimited.Plan(ctx, all.list)
		return err == nil && len(all.refused(plan)[&relaxed]) == 0, err
	})
	if err != nil {
		return err
	}
	refused := all.refused(plan)[u]
	verdict := "Karpenter: " + refused[0].Err.Error()
	if !ok || len(least) == 0 {
		c.fail(u, Problem{
			Field: u.in("spec"), Rule: RuleOther, Cause: fmt.Sprintf("%d of its %d pods get no node beside the others", len(refused), u.count),
			Mend: "see what Karpenter says", Verdict: verdict,
		})
		return nil
	}
	var full packing.Node // that has most of them
	for _, node := range plan.Nodes {
		if slices.ContainsFunc(node.Pods, func(p *corev1.Pod) bool { return all.units[p] == u }) && len(node.Pods) > len(full.Pods) {
			full = node
		}
	}
	for _, d := range least {
		p := Problem{
			Field: u.in(d.field), Rule: RulePlacement, Verdict: verdict,
			Cause: fmt.Sprintf("%d of its %d pods get no node because of its %s", len(refused), u.count, d.subject),
			Mend:  "prefer it instead of requiring it, or make fewer pods",
		}
		if lacks := exhausted(full, u.pod); len(lacks) > 0 && strings.HasPrefix(d.subject, "podAffinity") {
			p.Cause += fmt.Sprintf(": a node of type %s in pool %s is full with %d pods (%s)", full.Launch.InstanceType, full.NodePool, len(full.Pods), strings.Join(lacks, ", "))
			p.Mend = fmt.Sprintf("make at most %d pods that must be together, or prefer it instead of requiring it", len(full.Pods))
		}
		c.fail(u, p)
	}
	return nil
}

// exhausted are the resources of a node that one more pod would not fit into.
func exhausted(node packing.Node, p *corev1.Pod) []string {
	with := resources.Merge(node.Requests, resources.RequestsForPods(p))
	var out []string
	for name, asked := range with {
		if has := node.Allocatable[name]; asked.Cmp(has) > 0 {
			out = append(out, fmt.Sprintf("%s %s", name, quantity(name, has)))
		}
	}
	slices.Sort(out)
	return out
}

// about is the part of a refusal that mentions a word; Karpenter gives one for each pool.
func about(refusal error, word string) string {
	for _, err := range multierr.Errors(refusal) {
		if strings.Contains(err.Error(), word) {
			return err.Error()
		}
	}
	return refusal.Error()
}

// requirement is a requirement of a label in a few words.
func requirement(r corev1.NodeSelectorRequirement) string {
	if r.Operator == corev1.NodeSelectorOpIn {
		return r.Key + " " + strings.Join(r.Values, " or ")
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Key, r.Operator, strings.Join(r.Values, ", ")))
}

// quantity is an amount in the unit people write it in.
func quantity(name corev1.ResourceName, q resource.Quantity) string {
	if name == corev1.ResourceMemory || name == corev1.ResourceEphemeralStorage {
		return fmt.Sprintf("%dMi", q.Value()>>20)
	}
	return q.String()
}

// closest are at most n of the values that are spelt most like one.
func closest(value string, all []string, n int) []string {
	out := slices.Clone(all)
	slices.SortStableFunc(out, func(x, y string) int {
		return cmp.Compare(levenshtein.Distance(value, x, nil), levenshtein.Distance(value, y, nil))
	})
	return out[:min(n, len(out))]
}
