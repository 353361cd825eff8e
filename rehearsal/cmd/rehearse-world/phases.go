package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eks-gpu-slicing/rehearsal/engine"
)

// settleTime is how long pods may take to settle. A thousand take a minute and a
// half.
const settleTime = 10 * time.Minute

// phases runs the steps of a stack's life. After one that fell short only those
// that clean up are run.
func (r *rehearsal) phases(ctx context.Context) error {
	up := []struct {
		name string
		do   func(context.Context) error
	}{
		{"preview", r.pulumi("preview")},
		{"up", r.pulumi("up", "--yes", "--skip-preview")},
		{"preview again", r.pulumi("preview", "--expect-no-changes")},
		{"refresh", r.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")},
	}
	made := false // something may be in the account
	for _, p := range up {
		made = made || p.name == "up"
		if err := r.phase(ctx, p.name, p.do); err != nil {
			return err
		}
		if !r.report.OK() {
			break
		}
	}
	if r.report.OK() && len(r.workloads) > 0 {
		if err := r.phase(ctx, "workloads", r.place); err != nil {
			return err
		}
		// Whatever became of them.
		if err := r.phase(ctx, "delete workloads", func(ctx context.Context) error { return r.world.DeleteWorkloads(ctx, r.workloads) }); err != nil {
			return err
		}
	}
	if made {
		if err := r.phase(ctx, "destroy", r.pulumi("destroy", "--yes", "--skip-preview")); err != nil {
			return err
		}
		if err := r.phase(ctx, "leftovers", r.leftovers); err != nil {
			return err
		}
	}
	r.report.DeniedCalls = r.world.Denied()
	var err error
	r.report.NodeClaimsLaunched, err = r.world.Launched()
	return err
}

// phase runs one step. That it fell short is shown and noted; the error is that of
// an interruption or of a component that died.
func (r *rehearsal) phase(ctx context.Context, name string, do func(context.Context) error) error {
	r.say("\n== %s", name)
	begin := time.Now()
	err := do(ctx)
	r.add(name, begin, err == nil)
	if err != nil {
		r.say("%s fell short: %v", name, err)
	}
	return context.Cause(ctx)
}

// pulumi runs the Pulumi CLI.
func (r *rehearsal) pulumi(args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		status, err := r.engine.Run(ctx, engine.IO{Stdout: r.out, Stderr: r.out}, args...)
		if err == nil && status != 0 {
			err = fmt.Errorf("pulumi %s exited with status %d", args[0], status)
		}
		return err
	}
}

// place applies the workloads and waits for their pods.
func (r *rehearsal) place(ctx context.Context) error {
	if err := r.world.Apply(ctx, r.workloads); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, settleTime, fmt.Errorf("they were given %v", settleTime))
	defer cancel()
	cluster, err := r.world.Settle(ctx, r.workloads, func(what string) { r.say("  waiting: %s", what) })
	r.report.Nodes, r.report.Pods = append(r.report.Nodes, cluster.Nodes...), append(r.report.Pods, cluster.Pods...)
	if err != nil {
		return err
	}
	short := 0
	for _, p := range cluster.Pods {
		if p.Reason != "" {
			short++
		}
	}
	if short > 0 {
		return fmt.Errorf("%d of %d pods could not be placed", short, len(cluster.Pods))
	}
	return nil
}

// leftovers looks at what the account still holds.
func (r *rehearsal) leftovers(context.Context) error {
	r.report.Leftovers = r.world.Leftovers()
	if len(r.report.Leftovers) > 0 {
		return errors.New("the account is not empty")
	}
	return nil
}
