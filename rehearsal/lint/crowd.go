package lint

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"eks-gpu-slicing/rehearsal/packing"
)

// Crowd is a workload's pods all at once, and where they would go.
type Crowd struct {
	// Problems are why the API server would refuse objects of the workload. If there is
	// one, nothing was planned.
	Problems []Problem
	// Plan has all pods; those of DaemonSets are room that its nodes have less.
	Plan *packing.Plan
	// Failed are the pods that have a node and do not run there, and why, in the words of
	// who refuses.
	Failed map[*corev1.Pod]string
}

// Place asks Karpenter for nodes for all pods of a workload, which are pending at the
// same time, as [Check] does but without looking for reasons and mends. The error is
// about the stack or a file that cannot be read.
func Place(ctx context.Context, in Input) (*Crowd, error) {
	c := newChecker()
	daemons, err := c.read(ctx, in.Objects)
	if err != nil {
		return nil, err
	}
	if len(c.result.Problems) > 0 {
		c.result.sort()
		return &Crowd{Problems: c.result.Problems}, nil
	}
	bare, err := c.look(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("the stack: %w", err)
	}
	stack, err := withDaemons(ctx, bare, daemons)
	if err != nil {
		return nil, fmt.Errorf("the stack with the workload's DaemonSets: %w", err)
	}
	out := &Crowd{Failed: map[*corev1.Pod]string{}}
	if out.Plan, err = stack.Plan(ctx, pods(c.units).list); err != nil {
		return nil, err
	}
	for _, node := range out.Plan.Nodes {
		for _, p := range node.Pods {
			c.refusedShares(p, node.NodePool, func(_, container string, _ corev1.ResourceName, _ int64, err error) {
				out.Failed[p] = fmt.Sprintf("NVIDIA's device plugin, of container %s: %v", container, err)
			})
		}
	}
	return out, nil
}
