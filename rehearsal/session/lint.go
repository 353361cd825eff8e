package session

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/lint"
	"eks-gpu-slicing/rehearsal/packing"
	"eks-gpu-slicing/rehearsal/planning"
	"eks-gpu-slicing/rehearsal/request"
	"eks-gpu-slicing/rehearsal/workload"
	"eks-gpu-slicing/rehearsal/world"
)

// Lint looks for what keeps pods of workloads from running on the stack. It plans the
// stack, and starts no cluster. The error says what the engine said if that has no
// plan.
func Lint(ctx context.Context, o Options, objects []workload.Object) (*lint.Result, error) {
	p, err := o.plan(ctx)
	if err != nil {
		return nil, err
	}
	return lint.Check(ctx, lint.Input{Objects: objects, Stack: p.stack, Account: p.account})
}

// planned is a stack as its plan has it.
type planned struct {
	*engine.Plan
	stack   *packing.Stack
	account *account.Account
}

// plan plans the stack. The error is a [UsageError] for what is wrong in what was asked,
// and has the engine's words if that has no plan.
func (o Options) plan(ctx context.Context) (*planned, error) {
	project, err := o.project()
	if err != nil {
		return nil, UsageError{err}
	}
	in, err := planning.Account(project, o.World)
	if err != nil {
		return nil, UsageError{err}
	}
	e, err := planning.Start(ctx, planning.Options{Checkout: o.Checkout, Project: project, Account: in, Tools: o.Tools, Dir: o.Dir})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	var said bytes.Buffer
	plan, status, err := e.Preview(ctx, engine.IO{Stdout: &said, Stderr: &said}, true)
	if err != nil {
		return nil, err
	}
	if o.Verbose && status == request.StatusOK {
		_, _ = o.Out.Write(said.Bytes()) // progress only
	}
	if status != request.StatusOK {
		return nil, fmt.Errorf("the stack cannot be planned:\n%s", strings.TrimSpace(said.String()))
	}
	stack, err := packing.FromPlan(plan, o.Tools.Charts)
	if err != nil {
		return nil, err
	}
	for _, r := range plan.Resources {
		if r.Type != "aws:eks/addon:Addon" {
			continue
		}
		name, _ := r.Inputs["addonName"].(string)
		values, _ := r.Inputs["configurationValues"].(string)
		daemon, err := world.AddonDaemonSet(name, values)
		if err != nil {
			return nil, fmt.Errorf("add-on %s: %w", name, err)
		}
		if daemon != nil {
			stack.DaemonSets = append(stack.DaemonSets, *daemon)
		}
	}
	return &planned{plan, stack, in}, nil
}
