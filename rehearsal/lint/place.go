package lint

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"eks-gpu-slicing/rehearsal/packing"
)

// plan asks where the pods would go, and explains what is refused.
func (c *checker) plan(ctx context.Context, in Input, daemons []appsv1.DaemonSet) error {
	bare, err := c.look(ctx, in)
	if err != nil {
		return fmt.Errorf("the stack: %w", err)
	}
	c.units = slices.DeleteFunc(c.units, func(u *unit) bool {
		if u.pod.Spec.NodeName != "" {
			c.note(u.object, u.in("spec.nodeName"), "it states its node, %s, so that no scheduler is asked; nothing was checked", u.pod.Spec.NodeName)
		}
		return u.pod.Spec.NodeName != ""
	})
	for _, u := range c.units {
		if err := c.checkNames(ctx, bare, u); err != nil {
			return err
		}
		c.checkShares(u)
	}
	if err := c.leaveOutStrangers(); err != nil {
		return err
	}
	if err := c.alone(ctx); err != nil {
		return err
	}
	if c.stack, err = withDaemons(ctx, bare, daemons); err != nil {
		return err
	}
	if c.stack != bare {
		if c.unlimited, err = c.stack.Unlimited(ctx); err != nil {
			return err
		}
		clear(c.pools)
	}
	return c.together(ctx)
}

// look finds out what the stack offers, and returns a planner of it.
func (c *checker) look(ctx context.Context, in Input) (*packing.Planner, error) {
	bare, err := packing.New(ctx, in.Account, in.Stack)
	if err != nil {
		return nil, err
	}
	for _, pool := range bare.Pools() {
		c.result.NodePools = append(c.result.NodePools, pool.Name)
	}
	if c.unlimited, err = bare.Unlimited(ctx); err != nil {
		return nil, err
	}
	if c.kinds, err = c.unlimited.Kinds(ctx); err != nil {
		return nil, err
	}
	c.gpus, err = advertisedOn(ctx, c.kinds, in.Stack.DaemonSets, in.Stack.ConfigMaps)
	return bare, err
}

// withDaemons is a planner of a stack on whose nodes there are more DaemonSets.
func withDaemons(ctx context.Context, p *packing.Planner, more []appsv1.DaemonSet) (*packing.Planner, error) {
	if len(more) == 0 {
		return p, nil
	}
	return p.With(ctx, func(s *packing.Stack) { s.DaemonSets = append(s.DaemonSets, more...) })
}

// together plans all pods that the workload makes at once.
func (c *checker) together(ctx context.Context) error {
	all := pods(c.units)
	plan, err := c.stack.Plan(ctx, all.list)
	if err != nil {
		return err
	}
	refused := all.refused(plan)
	for _, u := range c.units {
		if u.count == 0 {
			continue
		}
		if pods := refused[u]; len(pods) > 0 {
			if err := c.explain(ctx, u, len(pods), pods[0].Err); err != nil {
				return err
			}
			continue
		}
		if err := c.placed(ctx, u, all.pools(plan, u)); err != nil {
			return err
		}
	}
	return nil
}

// alone plans one pod of what makes none now, or one for each node.
func (c *checker) alone(ctx context.Context) error {
	for _, u := range c.units {
		if u.count > 0 {
			continue
		}
		plan, err := c.unlimited.Plan(ctx, []*corev1.Pod{u.pod})
		if err != nil {
			return err
		}
		if len(plan.Refused) > 0 {
			err = c.explainAlone(ctx, u)
		} else {
			err = c.placed(ctx, u, []string{poolOf(plan.Nodes[0])})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// placed looks at pods that Karpenter has found nodes for.
func (c *checker) placed(ctx context.Context, u *unit, pools []string) error {
	c.checkSharesOn(u, pools)
	if u.failed {
		return nil
	}
	c.result.Placed = append(c.result.Placed, Placement{
		File: u.object.File, Line: u.object.text.line(u.field), Object: u.object.String(), Field: u.field, Pods: u.count, NodePools: pools,
	})
	return c.noteTolerations(ctx, u)
}

// noteTolerations tells of pods that only tolerate a taint because EKS has the API
// server add the toleration.
func (c *checker) noteTolerations(ctx context.Context, u *unit) error {
	if len(u.given) == 0 {
		return nil
	}
	own := u.pod.DeepCopy()
	own.Spec.Tolerations = slices.DeleteFunc(own.Spec.Tolerations, func(t corev1.Toleration) bool {
		return slices.ContainsFunc(u.given, func(g corev1.Toleration) bool { return g.MatchToleration(&t) })
	})
	plan, err := c.unlimited.Plan(ctx, []*corev1.Pod{own})
	if err != nil || len(plan.Refused) == 0 {
		return err
	}
	for _, t := range u.given {
		c.note(u.object, u.in("spec.tolerations"), "it does not tolerate the taint %s itself; on EKS the API server adds the toleration to pods that ask for %[1]s (ExtendedResourceToleration), elsewhere it would stay pending", t.Key)
	}
	return nil
}

// leaveOutStrangers takes out of the question required affinities to pods that are not
// in the workload: whether such pods are in the cluster cannot be known. The terms are
// those of the scheduler, and so is what they match.
func (c *checker) leaveOutStrangers() error {
	for _, u := range c.units {
		info, err := framework.NewPodInfo(u.pod)
		if err != nil {
			return fmt.Errorf("%v: %w", u.object, err)
		}
		var known []corev1.PodAffinityTerm
		for i, term := range info.RequiredAffinityTerms {
			if slices.ContainsFunc(c.units, func(other *unit) bool {
				return term.Matches(other.pod, labels.Set{"kubernetes.io/metadata.name": other.pod.Namespace})
			}) {
				known = append(known, u.pod.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[i])
				continue
			}
			c.note(u.object, u.in(fmt.Sprintf("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[%d]", i)),
				"it requires a %s with pods that are not among these files (%v); that was left out of the question", term.TopologyKey, term.Selector)
		}
		if len(info.RequiredAffinityTerms) > 0 {
			u.pod.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = known
		}
	}
	return nil
}

// crowd is the pods of units.
type crowd struct {
	list  []*corev1.Pod
	units map[*corev1.Pod]*unit
}

func pods(units []*unit) crowd {
	all := crowd{units: map[*corev1.Pod]*unit{}}
	for _, u := range units {
		for i := range u.count {
			p := u.pod.DeepCopy()
			if u.field != "" { // a controller's, not a Pod of the user's
				p.Name = fmt.Sprintf("%s-%06d", p.Name, i)
			}
			all.list = append(all.list, p)
			all.units[p] = u
		}
	}
	return all
}

// refused are a plan's refusals, by unit.
func (a crowd) refused(plan *packing.Plan) map[*unit][]packing.Refusal {
	out := map[*unit][]packing.Refusal{}
	for _, r := range plan.Refused {
		out[a.units[r.Pod]] = append(out[a.units[r.Pod]], r)
	}
	return out
}

// pools are those that a plan has pods of a unit on.
func (a crowd) pools(plan *packing.Plan, u *unit) []string {
	var out []string
	for _, node := range plan.Nodes {
		if slices.ContainsFunc(node.Pods, func(p *corev1.Pod) bool { return a.units[p] == u }) && !slices.Contains(out, poolOf(node)) {
			out = append(out, poolOf(node))
		}
	}
	slices.Sort(out)
	return out
}

// poolOf is the pool or the node group that a node is of.
func poolOf(n packing.Node) string { return cmp.Or(n.NodePool, n.NodeGroup) }
