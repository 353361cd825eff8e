package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/kube/stamp"
	"eks-gpu-slicing/rehearsal/kubelet"
	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/world"
)

// flags are what a run is asked for.
type flags struct {
	dir, stack, kind, json string
	config, workloads      []string
}

func newRun() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Bring the stack up, place workloads on it, and take it down again",
		Long: `Run lives the whole life of the stack on this machine: preview, up, a preview that
must show no change, refresh, apply the workloads and wait until each pod is placed
or provably cannot be, delete them, destroy, and a look for leftovers.

It exits with 1 if any step falls short; a pod that cannot be placed is such a step.`,
		Example: `  rehearse run --workload examples
  rehearse run --stack prod --config 'publicAccessCidrs=["203.0.113.7/32"]' --workload pod.yaml --json run.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), os.Stdout) },
	}
	cmd.Flags().StringVarP(&f.dir, "dir", "C", ".", "run as if started in this `FOLDER`")
	cmd.Flags().StringVarP(&f.stack, "stack", "s", "dev", "`STACK` to rehearse, with the settings of its Pulumi.STACK.yaml")
	cmd.Flags().StringArrayVarP(&f.config, "config", "c", nil, "set `KEY=VALUE` in the stack's config for this run; lists and objects as JSON")
	cmd.Flags().StringVarP(&f.kind, "world", "w", account.Worlds()[0].Name, "kind of AWS account to rehearse in, a `WORLD`; see rehearse preview --help")
	cmd.Flags().StringArrayVar(&f.workloads, "workload", nil, "apply the Kubernetes objects in this `FILE` or folder; may be given more than once")
	cmd.Flags().StringVar(&f.json, "json", "", "also write what was found to this `FILE`")
	return cmd
}

// run checks everything that the user gave before anything is started.
func (f *flags) run(ctx context.Context, out io.Writer) (err error) {
	checkout, err := findCheckout(f.dir)
	if err != nil {
		return usageError{err}
	}
	var overrides []engine.Override
	for _, text := range f.config {
		o, err := engine.ParseOverride(text)
		if err != nil {
			return usageError{err}
		}
		overrides = append(overrides, o)
	}
	project, err := engine.LoadProject(checkout, f.stack, overrides)
	if err != nil {
		return usageError{err}
	}
	region := project.Config("aws:region")
	if region == "" {
		return usageError{fmt.Errorf("stack %s has no region: set one with: pulumi config set aws:region us-west-1 --stack %[1]s", f.stack)}
	}
	workloads, err := world.ReadWorkloads(f.workloads)
	if err != nil {
		return usageError{err}
	}
	var file *os.File
	if f.json != "" { // before the work, in case it cannot be written
		if file, err = os.Create(f.json); err != nil {
			return usageError{fmt.Errorf("--json: %w", err)}
		}
		defer func() { err = errors.Join(err, file.Close()) }()
	}
	tools, err := buildTools(ctx, checkout)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rehearse-world-")
	if err != nil {
		return err
	}
	r := &rehearsal{out: out, dir: dir, report: report.New(f.stack), workloads: workloads}
	errRun := r.live(ctx, tools, project, world.Options{Region: region, Kind: f.kind})
	errReport := r.report.Write(out)
	if file != nil {
		errReport = errors.Join(errReport, r.report.WriteJSON(file))
	}
	if errRun == nil && r.report.OK() {
		return errors.Join(errReport, os.RemoveAll(dir))
	}
	if errRun == nil {
		errRun = errShort
	}
	return errors.Join(fmt.Errorf("%w; the logs are in %s", errRun, dir), errReport)
}

// rehearsal is one run.
type rehearsal struct {
	out       io.Writer
	dir       string
	report    *report.Run
	workloads []world.Object
	world     *world.World
	engine    *engine.Engine
}

// live starts the world and the engine, and runs the phases. The error is about
// what keeps a phase from being run; one that fell short is in the report.
func (r *rehearsal) live(ctx context.Context, t tools, project *engine.Project, o world.Options) (err error) {
	log, err := os.Create(filepath.Join(r.dir, "world.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	o.Dir, o.Kube, o.Karpenter, o.Charts = r.dir, t.kube, t.karpenter, t.charts
	if o.AWS, err = standInAWS(r.dir); err != nil {
		return err
	}
	o.Delays, o.PluginDelay = kubelet.DefaultDelays(), time.Second
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	o.Observe = r.observe(o.Log)

	begin := time.Now()
	if r.world, err = world.Start(ctx, o); err != nil {
		return err
	}
	defer func() {
		// After an interruption, too, processes get the time to end by themselves.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		err = errors.Join(err, r.world.Stop(ctx))
	}()
	r.engine, err = engine.Start(ctx, engine.Options{
		CLI: t.cli, Program: t.program, Project: project, Providers: r.world.Providers(), Component: t.component,
	})
	if err != nil {
		return err
	}
	defer r.engine.Close()
	r.say("Real: this program, the Pulumi engine, Kubernetes %s, Karpenter %s.\nSimulated: the AWS account and the containers. API server %[1]s stands in for the configured version.",
		strings.TrimPrefix(stamp.Version, "v"), world.KarpenterVersion)
	r.add("world", begin, true)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-r.world.Done():
			cancel(r.world.Err())
		case <-ctx.Done():
		}
	}()
	return r.phases(ctx)
}

// observe logs what happens on nodes, and shows what a user wants to know at once.
func (r *rehearsal) observe(log *slog.Logger) func(kubelet.Event) {
	var mu sync.Mutex
	return func(e kubelet.Event) {
		mu.Lock()
		defer mu.Unlock()
		log.Info("node", "kind", e.Kind, "node", e.Node, "instance", e.Instance, "pod", e.Pod, "container", e.Container, "reason", e.Reason, "message", e.Message)
		if e.Kind == kubelet.NodeRefused || e.Kind == kubelet.ContainerDied || e.Kind == kubelet.PodRefused {
			r.say("  %s %s %s: %s %s", e.Kind, e.Node, e.Pod, e.Reason, e.Message)
		}
	}
}

func (r *rehearsal) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.out, format+"\n", args...) // progress only
}

func (r *rehearsal) add(name string, begin time.Time, ok bool) {
	r.report.Phases = append(r.report.Phases, report.Phase{Name: name, Seconds: time.Since(begin).Seconds(), OK: ok})
}
