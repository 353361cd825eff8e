package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"eks-gpu-slicing/rehearsal/lint"
	"eks-gpu-slicing/rehearsal/packing"
	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/world"
)

// plan asks Karpenter's scheduler, in this process, where the workloads would go on the
// stack as its plan has it.
func (f *forecaster) plan(ctx context.Context, o Options, n int) (t tried, err error) {
	if err := os.Mkdir(o.Dir, 0o700); err != nil {
		return t, err
	}
	stack, err := o.plan(ctx)
	if err != nil {
		return t, err
	}
	t.Slices = n
	if t.Pools, err = poolsOf(stack); err != nil {
		return t, err
	}
	if err := checkSlices(t.Pools, n); err != nil {
		return t, UsageError{err}
	}
	served, left := known(f.objects)
	if t.left = left; len(served) == 0 {
		return t, UsageError{noneServed(left)}
	}
	crowd, err := lint.Place(ctx, lint.Input{Objects: served, Stack: stack.stack, Account: stack.account})
	if err != nil {
		return t, err
	}
	if len(crowd.Problems) > 0 {
		return t, UsageError{refused(crowd.Problems)}
	}
	t.describe(stack, crowd)
	if len(t.Pods) == 0 {
		return t, UsageError{errNoPods}
	}
	return t, nil
}

// poolsOf is the output gpuPools of a planned stack.
func poolsOf(p *planned) (pools []report.Pool, err error) {
	text, err := json.Marshal(p.Outputs["gpuPools"])
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &pools); err != nil {
		return nil, fmt.Errorf("the stack's output gpuPools: %w", err)
	}
	return pools, nil
}

// refused says why the API server would refuse objects.
func refused(problems []lint.Problem) error {
	all := []error{errors.New("the API server would refuse objects of the workloads")}
	for _, p := range problems {
		all = append(all, fmt.Errorf("%s:%d: %s: %s; %s", p.File, p.Line, p.Object, p.Cause, p.Mend))
	}
	return errors.Join(all...)
}

// describe tells of planned nodes and pods as a world does of its own.
func (t *tried) describe(p *planned, crowd *lint.Crowd) {
	region := p.account.Region()
	for _, g := range p.stack.NodeGroups {
		for i := range g.Size {
			n := report.Node{
				Name: fmt.Sprintf("%s-%d", g.Name, i), Pool: g.Name, InstanceType: g.InstanceType, CapacityType: report.OnDemand, Fixed: true,
			}
			n.PricePerHour = world.Price(region, n)
			t.Nodes = append(t.Nodes, n)
		}
	}
	for i, planned := range crowd.Plan.Nodes {
		n := node(planned, i)
		for _, p := range planned.Pods {
			reason := crowd.Failed[p]
			phase := corev1.PodRunning
			if reason != "" {
				phase = corev1.PodFailed
			} else {
				n.GPUSlicesUsed += world.Slices(p)
			}
			t.Pods = append(t.Pods, report.Pod{Namespace: p.Namespace, Name: p.Name, Node: n.Name, Phase: string(phase), Reason: reason})
		}
		if planned.NodeGroup == "" {
			t.Nodes = append(t.Nodes, n)
			t.EverLaunched++
		}
	}
	for _, r := range crowd.Plan.Refused {
		t.Pods = append(t.Pods, report.Pod{
			Namespace: r.Pod.Namespace, Name: r.Pod.Name, Phase: string(corev1.PodPending), Reason: "Karpenter: " + r.Err.Error(),
		})
	}
}

// node is a planned node that Karpenter launches. Of a node group's, what it is stands
// among the group's already.
func node(p packing.Node, i int) report.Node {
	if p.NodeGroup != "" {
		return report.Node{Name: p.NodeGroup}
	}
	n := report.Node{
		Name: fmt.Sprintf("%s-%d", p.NodePool, i), Pool: p.NodePool, InstanceType: p.Launch.InstanceType, Zone: p.Launch.Zone,
		CapacityType: report.OnDemand, PricePerHour: p.Launch.USDPerHour, GPUSlices: p.Allocatable.Name(world.GPU, "").Value(),
	}
	if p.Launch.CapacityType == karpv1.CapacityTypeSpot {
		n.CapacityType = report.Spot
	}
	return n
}
