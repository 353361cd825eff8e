package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/folder"
	"eks-gpu-slicing/rehearsal/request"
	"eks-gpu-slicing/rehearsal/toolcache"
	"eks-gpu-slicing/rehearsal/workload"
)

// lived is what a command asks that lives on a control plane.
type lived struct {
	target
	workloads  workload.Asked
	json, html string
}

func (l *lived) addFlags(cmd *cobra.Command, dir *string) {
	l.target.addFlags(cmd, dir)
	l.addWorkloadFlags(cmd)
	cmd.Flags().StringVar(&l.json, "json", "", "also write what was found to this `FILE`")
	cmd.Flags().StringVar(&l.html, "html", "", "also write it to this `FILE` as a page with charts, which needs nothing else to open")
}

func (l *lived) addWorkloadFlags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&l.workloads.Paths, "workload", nil, "the Kubernetes objects of this `FILE` or folder; may be given more than once")
	cmd.Flags().StringArrayVar(&l.workloads.Scales, "scale", nil, "give a Deployment of the workloads so many replicas: `NAME=REPLICAS`; may be given more than once")
}

// whatIsReal is for the help of all that live on a control plane.
const whatIsReal = `Real are the program, the Pulumi engine, the pulumi-eks component, etcd and the
Kubernetes control plane, and Karpenter; simulated are the AWS account and the
containers. The first time builds them, which takes some ten minutes.`

func newRun(dir *string) *cobra.Command {
	var l lived
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Bring the stack up, place workloads on it, and take it down again",
		Long: `Run lives the whole life of the stack on this machine: preview, up, a preview that
must show no change, a refresh that must show no drift, apply the workloads and
wait until each pod is placed or provably cannot be, delete them, destroy, and a
look for leftovers. It ends with tables of nodes, their cost and slices, and of pods
that could not be placed with the reason. A pod that cannot be placed is a step
that falls short.

` + whatIsReal + "\n\n" + worlds() + "\n" + exitStatuses,
		Example: `  rehearse run --workload examples --scale inflate-amd64=5 --scale inflate-arm64=3
  rehearse run --workload examples/gpu-inference.yaml --config gpuSlices=8 --json run.json
  rehearse run --stack prod --config 'publicAccessCidrs=["203.0.113.7/32"]' --workload pod.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.live(cmd.Context(), *dir, request.Request{Command: request.Run})
		},
	}
	l.addFlags(cmd, dir)
	l.addVerbose(cmd, "also show what happens on nodes, the logs of Karpenter and the device plugins, and\nwhich calls to AWS change something or are denied")
	return cmd
}

func newUp(dir *string) *cobra.Command {
	var l lived
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring the stack up and keep it up, to look at with kubectl",
		Long: `Up brings the stack up on this machine and keeps it up, in the foreground, until
"rehearse down" takes it down or Ctrl-C ends it. It says where the kubeconfig is, and
what to try.

` + whatIsReal + "\n\n" + worlds() + "\n" + exitStatuses,
		Example: `  rehearse up
  rehearse up --stack dev --config gpuSlices=8 --workload examples/gpu-inference.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.live(cmd.Context(), *dir, request.Request{Command: request.Up})
		},
	}
	l.addFlags(cmd, dir)
	l.addVerbose(cmd, "also show what happens on nodes, the logs of Karpenter and the device plugins, and\nwhich calls to AWS change something or are denied")
	return cmd
}

// live checks what was asked, builds what it takes, and becomes rehearse-world.
func (l *lived) live(ctx context.Context, dir string, r request.Request) error {
	a, err := l.check(dir)
	if err != nil {
		return err
	}
	objects, err := l.workloads.Read()
	if err == nil && r.Command != request.Lint { // which is about a cluster that may have more of them
		err = workload.Namespaces(objects)
	}
	if err != nil {
		return usage(err)
	}
	if err := errors.Join(writable("--json", l.json), writable("--html", l.html)); err != nil {
		return usage(err)
	}
	if r.Command == request.Up {
		if err := folder.Free(a.checkout, l.stack); err != nil {
			return usage(err)
		}
	}
	r.Checkout, r.Stack, r.Config, r.World = a.checkout, l.stack, l.config, l.world
	r.Workloads, r.JSON, r.HTML, r.Verbose = l.workloads, l.json, l.html, l.verbose
	return become(ctx, r, toolcache.Environment())
}

// become builds what a request takes, and puts rehearse-world in this process's place:
// signals, the terminal and the exit status are one process's.
func become(ctx context.Context, r request.Request, env []string) error {
	failed := func(err error) error { return &failure{request.StatusFailed, err} }
	cache, err := toolcache.Open(os.Stderr)
	if err != nil {
		return failed(err)
	}
	switch {
	case r.Command == request.Leftovers: // asks an account alone
	case r.Command == request.Lint, r.Command == request.Forecast && !r.Live:
		r.Tools, err = cache.LintSet(ctx, r.Checkout)
	default:
		r.Tools, err = cache.WorldSet(ctx, r.Checkout)
	}
	if err != nil {
		return failed(err)
	}
	world, err := cache.Binary(ctx, r.Checkout, toolcache.World())
	if err != nil {
		return failed(err)
	}
	argument, err := r.Argument()
	if err != nil {
		return failed(err)
	}
	return failed(fmt.Errorf("starting %s: %w", world, syscall.Exec(world, []string{"rehearse-world", argument}, env)))
}

func newDown(s streams, dir *string) *cobra.Command {
	var stack string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Take down what \"rehearse up\" keeps up",
		Long: `Down has the stack that "rehearse up" keeps up in another terminal destroyed by the
engine, looks for leftovers in the account, and ends it.

` + exitStatuses,
		Example: `  rehearse down
  rehearse down --stack prod`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return down(cmd.Context(), s, *dir, stack) },
	}
	cmd.Flags().StringVarP(&stack, "stack", "s", "dev", "`STACK` to take down")
	return cmd
}

func down(ctx context.Context, s streams, dir, stack string) error {
	checkout, err := findCheckout(dir)
	if err != nil {
		return usage(err)
	}
	if _, err := engine.LoadProject(checkout, stack, nil); err != nil {
		return usage(err)
	}
	standing, up, err := folder.Find(checkout, stack)
	switch {
	case err != nil:
		return &failure{request.StatusFailed, explain(err)}
	case !up:
		return usage(fmt.Errorf("stack %s of %s is not up: bring it up with: rehearse up --stack %[1]s", stack, checkout))
	}
	err = folder.Down(ctx, standing, s.out)
	if err == nil || errors.Is(err, folder.ErrShort) {
		_, errPrint := fmt.Fprintf(s.out, "Stack %s is down.\n", stack)
		err = errors.Join(err, errPrint)
	}
	if err != nil {
		return &failure{request.StatusFailed, err}
	}
	return nil
}
