package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/request"
	"eks-gpu-slicing/rehearsal/toolcache"
	"eks-gpu-slicing/rehearsal/workload"
)

// slicesSetting is the setting of the program's that a forecast varies.
const slicesSetting = "gpuSlices"

// atOnce is how many numbers of slices are tried at the same time. A world waits about
// a third of its time on two cores; a third one would only take memory.
const atOnce = 2

// Forecast compares numbers of slices a GPU, and whole GPUs, for the workloads. Each
// time the stack is planned, and Karpenter's own scheduler is asked in this process
// where the pods would go. If live, each time is what `rehearse run` does up to where
// all pods are settled instead, in a world of its own in a folder of o.Dir; nothing is
// destroyed, the world ends.
//
// o.Out receives what goes on, and not what the engine prints: that is in the folders.
// The error is a [UsageError] for what is wrong in what was asked; of what the stack
// refuses it has the engine's words.
func Forecast(ctx context.Context, o Options, asked []int, objects []workload.Object, live bool) (*report.Forecast, error) {
	project, err := o.project()
	if err != nil {
		return nil, UsageError{err}
	}
	if err := checkForecast(o, asked, objects); err != nil {
		return nil, UsageError{err}
	}
	counts := slices.Compact(slices.Sorted(slices.Values(append([]int{1}, asked...))))
	f := &forecaster{options: o, objects: objects, out: &locked{out: o.Out}, live: live}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	tried := make([]tried, len(counts))
	for i, n := range counts {
		group.Go(func() (err error) {
			tried[i], err = f.try(ctx, n)
			tried[i].Asked = slices.Contains(asked, n)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	about := about(o, project)
	if !live {
		about.Real = []string{
			o.Tools.Real(), "the scheduler of Karpenter " + toolcache.KarpenterVersion + " on the stack's own NodePools and NodeOverlays",
		}
		about.Simulated = []string{"the AWS account (world " + o.World + ")", "the cluster: nothing runs, `--live` starts one for each number"}
	}
	left := tried[0].left
	for _, object := range objects {
		if !slices.ContainsFunc(left, func(l report.LeftOut) bool { return l.Object == object.String() }) {
			about.Workloads = append(about.Workloads, object.String())
		}
	}
	out := report.NewForecast(about)
	out.LeftOut = append(out.LeftOut, left...)
	for _, t := range tried {
		if err := out.Add(t.Count); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// checkForecast finds what is wrong in what was asked, before anything is started.
func checkForecast(o Options, asked []int, objects []workload.Object) error {
	var problems []error
	if len(asked) == 0 {
		problems = append(problems, errors.New("no number of slices is asked for, such as --slices 1,2,4,8"))
	}
	for _, n := range asked {
		if n < 1 {
			problems = append(problems, fmt.Errorf("--slices %d: a GPU has 1 slice, which is a whole GPU, or more", n))
		}
	}
	if len(objects) == 0 {
		problems = append(problems, errors.New("there is no workload to forecast: name files or folders of Kubernetes objects with --workload"))
	}
	for _, text := range o.Config {
		key, _, _ := strings.Cut(text, "=")
		if key == slicesSetting || strings.HasSuffix(key, ":"+slicesSetting) {
			problems = append(problems, fmt.Errorf("--config %s: a forecast sets %s itself: name the numbers with --slices", text, slicesSetting))
		}
	}
	return errors.Join(problems...)
}

// forecaster tries numbers of slices.
type forecaster struct {
	options Options
	objects []workload.Object
	out     io.Writer
	live    bool
}

// tried is what came of one number of slices.
type tried struct {
	report.Count
	left []report.LeftOut
}

func (f *forecaster) try(ctx context.Context, n int) (t tried, err error) {
	if err := context.Cause(ctx); err != nil { // another one has failed while this one waited
		return t, err
	}
	title := fmt.Sprintf("%d slices a GPU", n)
	if n == 1 {
		title = "whole GPUs"
	}
	say := func(format string, args ...any) {
		_, _ = fmt.Fprintf(f.out, "%s: "+format+"\n", append([]any{title}, args...)...) // progress only
	}
	begin := time.Now()
	o := f.options
	o.Dir = filepath.Join(o.Dir, fmt.Sprintf("slices-%d", n))
	o.Config = append(slices.Clone(o.Config), fmt.Sprintf("%s=%d", slicesSetting, n))
	if f.live {
		t, err = f.run(ctx, o, n, say)
	} else {
		say("the stack is planned")
		t, err = f.plan(ctx, o, n)
	}
	if err != nil {
		if usage := (UsageError{}); errors.As(err, &usage) {
			return t, err
		}
		return t, fmt.Errorf("%s: %w", title, err)
	}
	say("%d pods on %d nodes, after %.0f s", len(t.Pods), len(t.Nodes), time.Since(begin).Seconds())
	return t, nil
}

// errNoPods says what to do about workloads that make none.
var errNoPods = errors.New("the workloads make no pods: a Deployment of 0 replicas can be scaled with --scale NAME=REPLICAS")

// run brings the stack up in a world and applies the workloads.
func (f *forecaster) run(ctx context.Context, o Options, n int, say func(string, ...any)) (t tried, err error) {
	say("the stack is brought up")
	if err := os.Mkdir(o.Dir, 0o700); err != nil {
		return t, err
	}
	log, err := os.Create(filepath.Join(o.Dir, "pulumi.log"))
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if o.Out = log; o.Verbose {
		o.Out = io.MultiWriter(log, f.out)
	}
	s, err := Start(ctx, o)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ctx, stop := s.live(ctx)
	defer stop()
	if err := s.Pulumi(ctx, "up", "--yes", "--skip-preview"); err != nil {
		return t, fmt.Errorf("%w\n%s", causeOf(ctx, err), diagnostics(log.Name()))
	}
	t.Slices = n
	if err := s.output(ctx, "gpuPools", &t.Pools); err != nil {
		return t, err
	}
	if err := checkSlices(t.Pools, n); err != nil {
		return t, UsageError{err}
	}
	served, left, err := s.served(f.objects)
	if err != nil {
		return t, causeOf(ctx, err)
	}
	if t.left = left; len(served) == 0 {
		return t, UsageError{noneServed(left)}
	}
	say("%d objects are applied", len(served))
	cluster, err := s.place(ctx, served, nowAndThen(func(what string) { say("waiting: %s", what) }))
	if err != nil {
		return t, causeOf(ctx, err)
	}
	if len(cluster.Pods) == 0 {
		return t, UsageError{errNoPods}
	}
	t.Nodes, t.Pods = cluster.Nodes, cluster.Pods
	claims, err := s.World.Launched()
	if err != nil {
		return t, err
	}
	t.EverLaunched = len(claims)
	return t, nil
}

// checkSlices tells when the stack's other settings overrule the number of slices.
func checkSlices(pools []report.Pool, n int) error {
	if len(pools) == 0 || pools[0].Slices == n {
		return nil
	}
	return fmt.Errorf("pool %s has %d slices a GPU, whatever %s says, because its sharing is %s: forecast another way of sharing, such as with --config gpuSharing=time-slicing",
		pools[0].Name, pools[0].Slices, slicesSetting, pools[0].Sharing)
}

func noneServed(left []report.LeftOut) error {
	problems := []error{errors.New("there is nothing to forecast: the stack serves none of the workloads' objects")}
	for _, l := range left {
		problems = append(problems, fmt.Errorf("%s: %s", l.Object, l.Reason))
	}
	return errors.Join(problems...)
}

// output reads an output of the stack.
func (s *Session) output(ctx context.Context, name string, into any) error {
	var text bytes.Buffer
	status, err := s.engine.Run(ctx, engine.IO{Stdout: &text, Stderr: s.out}, "stack", "output", name, "--json")
	if err != nil {
		return err
	}
	if status != request.StatusOK {
		return fmt.Errorf("pulumi stack output %s exited with status %d", name, status)
	}
	if err := json.Unmarshal(text.Bytes(), into); err != nil {
		return fmt.Errorf("the stack's output %s: %w", name, err)
	}
	return nil
}

// live is ctx for as long as the world's components live; its cause is the death of
// the first of them. stop ends it.
func (s *Session) live(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.World.Done():
			cancel(s.World.Err())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// causeOf is err, or what ended ctx if something has.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// diagnostics is what the engine's output in a file says of what went wrong.
func diagnostics(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	_, found, ok := strings.Cut(string(text), "Diagnostics:\n")
	if !ok {
		found = string(text[max(0, len(text)-4096):])
	}
	return strings.TrimSpace(found)
}

// locked is a writer that several goroutines write to.
type locked struct {
	mu  sync.Mutex
	out io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}
