// Package session is one rehearsal: the Pulumi engine with the unmodified program,
// on a world of its own, and the steps of a stack's life.
//
// [Serve] is what the commands `rehearse run` and `rehearse up` do; [Start] is for
// whoever takes steps of another order, such as the scenarios.
//
// Gotcha: kubeconfigs call `aws`, and it is this process's executable that is called
// by that name. Its main hands over to [world.GetToken] then.
package session

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

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"k8s.io/klog/v2"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/folder"
	"eks-gpu-slicing/rehearsal/kube/stamp"
	"eks-gpu-slicing/rehearsal/kubelet"
	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/request"
	"eks-gpu-slicing/rehearsal/toolcache"
	"eks-gpu-slicing/rehearsal/workload"
	"eks-gpu-slicing/rehearsal/world"
)

// Options say what to rehearse.
type Options struct {
	// Checkout is the folder of the project, Stack one of its stacks and Config are
	// overrides of its settings as KEY=VALUE.
	Checkout, Stack string
	Config          []string
	// World is the kind of AWS account.
	World string
	// Tools are what is run.
	Tools toolcache.Set
	// Karpenter are further releases of Karpenter that karpenterVersion may name.
	Karpenter []toolcache.Release
	// Dir is the rehearsal's own folder.
	Dir string
	// Out receives what the engine prints, and what happens on nodes that a user
	// wants to know at once.
	Out io.Writer
	// Verbose shows more there: what happens on nodes, calls of Karpenter's to AWS that
	// change something or are denied, and the logs of controllers; of a stack that is only planned, the engine's plan.
	Verbose bool
	// Providers replaces providers before they are given to the engine; nil replaces
	// none. Scenarios break things with it.
	Providers func(map[string]func() plugin.Provider)

	home *folder.Folder // that Dir is of; nil for a caller's own
}

// Session is a rehearsal that runs. It takes one step at a time.
type Session struct {
	// World is what the stack is brought up in.
	World *world.World

	engine  *engine.Engine
	out     io.Writer
	closers []func() error
}

// project reads the project of the options. The error is the user's.
func (o *Options) project() (*engine.Project, error) {
	project, err := engine.LoadProject(o.Checkout, o.Stack, o.Config)
	if err != nil {
		return nil, err
	}
	if project.Config("aws:region") == "" {
		return nil, fmt.Errorf("stack %s has no region: set one with: pulumi config set aws:region us-west-1 --stack %[1]s", o.Stack)
	}
	return project, nil
}

// about says how a report of the options comes about.
func about(o Options, project *engine.Project) report.About {
	a := report.NewAbout(o.Stack, project.Config("aws:region"))
	version := strings.TrimPrefix(stamp.Version, "v")
	a.Real = []string{
		o.Tools.Real(), "Kubernetes " + version + ", which stands in for the configured version", "Karpenter " + toolcache.KarpenterVersion,
	}
	a.Simulated = []string{"the AWS account (world " + o.World + ")", "the containers"}
	return a
}

// Start brings up a world and an engine. ctx bounds the life of both; whoever starts
// a session closes it. An error leaves nothing running.
func Start(ctx context.Context, o Options) (_ *Session, err error) {
	s := &Session{out: o.Out}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	project, err := o.project()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(o.Dir, "world.log"))
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, log.Close)
	aws, err := standInAWS(o.Dir)
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewTextHandler(log, nil))
	klog.SetSlogLogger(logger) // client-go's; of several sessions the last one has them
	if o.Verbose {
		logger = slog.New(slog.NewMultiHandler(logger.Handler(), onScreen(o.Out)))
	}
	s.World, err = world.Start(ctx, world.Options{
		Region: project.Config("aws:region"), Kind: o.World, Dir: o.Dir,
		Kube: o.Tools.Kube, AWS: aws,
		Karpenter: append([]toolcache.Release{{Version: toolcache.KarpenterVersion, Controller: o.Tools.Karpenter, Charts: o.Tools.Charts}}, o.Karpenter...),
		Delays:    kubelet.DefaultDelays(), PluginDelay: time.Second,
		Log: logger, Observe: s.observe(logger, o.Verbose),
	})
	if err != nil {
		return nil, err
	}
	if o.Verbose {
		stop := follow(s.World.Logs(), o.Out)
		s.closers = append(s.closers, func() error { stop(); return nil })
	}
	s.closers = append(s.closers, func() error {
		// After an interruption, too, processes get the time to end by themselves.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return s.World.Stop(ctx)
	})
	providers := s.World.Providers()
	if o.Providers != nil {
		o.Providers(providers)
	}
	s.engine, err = engine.Start(ctx, engine.Options{
		CLI: o.Tools.CLI.Path, Program: o.Tools.Program, Project: project, Providers: providers, Dir: o.Dir,
		Component: &engine.Component{Package: "eks", Command: o.Tools.Component.Command},
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() error { s.engine.Close(); return nil })
	return s, nil
}

// Close ends everything. When it returns no process of the rehearsal is left.
func (s *Session) Close() error {
	var errs []error
	for len(s.closers) > 0 {
		last := len(s.closers) - 1
		errs = append(errs, s.closers[last]())
		s.closers = s.closers[:last]
	}
	return errors.Join(errs...)
}

// Pulumi runs a command of the Pulumi CLI on the stack, such as "up", "--yes". It is
// an error if that exits with another status than 0; the CLI has then said why.
func (s *Session) Pulumi(ctx context.Context, args ...string) error {
	status, err := s.engine.Run(ctx, engine.IO{Stdout: s.out, Stderr: s.out}, args...)
	if err == nil && status != request.StatusOK {
		err = fmt.Errorf("pulumi %s exited with status %d", args[0], status)
	}
	return err
}

// settleTime is how long pods may take to settle. A thousand take a minute and a
// half.
const settleTime = 10 * time.Minute

// Place applies workloads and waits until each of their pods runs or provably cannot.
// It returns how the cluster stands then, in as far as it is known also with an
// error, which says what pods were waiting for when their time was over.
func (s *Session) Place(ctx context.Context, objects []workload.Object) (world.Cluster, error) {
	return s.place(ctx, objects, nowAndThen(func(what string) { s.say("  waiting: %s", what) }))
}

// nowAndThen tells every two seconds what is waited for.
func nowAndThen(tell func(what string)) func(string, world.Cluster) {
	told := time.Now()
	return func(what string, _ world.Cluster) {
		if time.Since(told) > 2*time.Second {
			tell(what)
			told = time.Now()
		}
	}
}

// place is Place, which tells seen at each look what is waited for and how the cluster
// stands.
func (s *Session) place(ctx context.Context, objects []workload.Object, seen func(string, world.Cluster)) (world.Cluster, error) {
	if err := s.World.Apply(ctx, objects); err != nil {
		return world.Cluster{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, settleTime, fmt.Errorf("they were given %v", settleTime))
	defer cancel()
	return s.World.Settle(ctx, objects, seen)
}

// onScreen shows on out what goes to the log: without the time, and no empty values.
func onScreen(out io.Writer) slog.Handler {
	return slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey && a.Value.Any() == slog.LevelInfo || a.Value.String() == "" {
			return slog.Attr{}
		}
		return a
	}})
}

func (s *Session) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, format+"\n", args...) // progress only
}

// observe logs what happens on nodes, and shows what a user wants to know at once; with
// verbose the log shows all of it.
func (s *Session) observe(log *slog.Logger, verbose bool) func(kubelet.Event) {
	var mu sync.Mutex
	return func(e kubelet.Event) {
		mu.Lock()
		defer mu.Unlock()
		pod := ""
		if e.Pod.Name != "" {
			pod = e.Pod.String()
		}
		log.Info(string(e.Kind), "node", e.Node, "instance", e.Instance, "pod", pod, "container", e.Container, "reason", e.Reason, "message", e.Message)
		if verbose {
			return // it is there already
		}
		if e.Kind == kubelet.NodeRefused || e.Kind == kubelet.ContainerDied || e.Kind == kubelet.PodRefused {
			s.say("  %s %s %s: %s %s", e.Kind, e.Node, e.Pod, e.Reason, e.Message)
		}
	}
}

// standInAWS makes a link by which this executable is called as aws.
func standInAWS(dir string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	link := filepath.Join(dir, "aws")
	return link, os.Symlink(self, link)
}
