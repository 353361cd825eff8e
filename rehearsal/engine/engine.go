package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/engine/child"
	"eks-gpu-slicing/rehearsal/provider"
)

// Options say what an engine is made of.
type Options struct {
	// CLI is the Pulumi CLI's executable.
	CLI string
	// Program is the project's program, built.
	Program string
	// Project is what to run it on.
	Project *Project
	// Providers make the providers of the named packages, one value for each
	// connection of the engine's (see package provider). A package that is
	// missing here fails where the program first needs it: nothing is
	// downloaded.
	Providers map[string]func() plugin.Provider
	// Component is the component provider the program needs; nil for none.
	Component *Component
	// PolicyPack judges what previews and updates would do; nil for none.
	PolicyPack *PolicyPack
	// Dir is the folder to make the work area in; "" is the system's for temporary
	// files.
	Dir string
	// Grace is how long an interrupted command may take to end before it is
	// killed. 0 means 10 seconds.
	Grace time.Duration
}

// IO is where a command of the CLI reads and writes.
type IO struct {
	// Stdin is handed over if it is the terminal that this process is in the
	// foreground of: with a terminal as Stdout, too, the CLI draws its tree.
	// Otherwise, and when nil, there is no input, and the CLI asks nothing.
	Stdin *os.File
	// Stdout and Stderr receive the output as it comes. An *os.File is handed
	// over as it is.
	Stdout, Stderr io.Writer
}

// Engine runs commands of the Pulumi CLI on one stack, in a work area of its
// own that keeps the stack's state from one command to the next. It runs one
// command at a time.
type Engine struct {
	options   Options
	area      area
	env       []string
	component *component
	pack      *PolicyPack
	closers   []func() // in the order of their start
}

// Start prepares an engine. It does not wait for the component: that loads
// while the first command starts. The engine lives until Close, also beyond
// ctx: a command that is interrupted still needs its providers to end well.
func Start(ctx context.Context, o Options) (*Engine, error) {
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	dir, err := os.MkdirTemp(o.Dir, "engine-")
	if err != nil {
		return nil, fmt.Errorf("a work area: %w", err)
	}
	ctx = context.WithoutCancel(ctx)
	e := &Engine{options: o, area: area(dir)}
	e.closers = append(e.closers, func() { _ = os.RemoveAll(dir) }) // what it leaves is the system's temporary folder's
	if err := e.start(ctx); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *Engine) start(ctx context.Context) error {
	for _, name := range []string{"home", "tmp", "bin", "pulumi", "project", "state"} {
		if err := os.Mkdir(e.area.dir(name), 0o700); err != nil {
			return fmt.Errorf("a work area: %w", err)
		}
	}
	ready := func(context.Context) error { return nil }
	attached := map[string]int{}
	if c := e.options.Component; c != nil { // first, for it takes longest
		run, err := startComponent(ctx, c, e.area, e.options.Grace)
		if err != nil {
			return err
		}
		e.component = run
		e.closers = append(e.closers, run.close)
		attached[c.Package] = run.relay.port
		ready = run.wait
	}
	for name, newProvider := range e.options.Providers {
		server, err := provider.Serve(ctx, newProvider)
		if err != nil {
			return err
		}
		e.closers = append(e.closers, server.Close)
		attached[name] = server.Port()
	}
	if e.options.PolicyPack != nil {
		if err := e.usePolicies(e.options.PolicyPack); err != nil {
			return err
		}
	}
	language, stop, err := serveLanguage(ctx, &langHost{
		program: e.options.Program, pack: e.pack, area: e.area, grace: e.options.Grace, ready: ready,
	})
	if err != nil {
		return err
	}
	e.closers = append(e.closers, stop)
	if err := e.options.Project.writeTo(e.area.dir("project"), e.area.dir("state")); err != nil {
		return err
	}
	e.env = e.area.environment(
		"PULUMI_HOME="+e.area.dir("pulumi"),
		"PULUMI_STACK="+e.options.Project.Stack,
		"PULUMI_BACKEND_URL=file://"+e.area.dir("state"),
		"PULUMI_CONFIG_PASSPHRASE=rehearsal", // it protects nothing: the state is gone with the area
		"PULUMI_DEBUG_LANGUAGES=go:"+fmt.Sprint(language),
		"PULUMI_DEBUG_PROVIDERS="+ports(attached),
		"PULUMI_SKIP_UPDATE_CHECK=true",
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true",
		"PULUMI_IGNORE_AMBIENT_PLUGINS=true",
		"PULUMI_DEBUG_COMMANDS=true", // without it there is no --event-log; the Automation API sets it too
		"PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS=true",
	)
	return nil
}

// ports is the value of PULUMI_DEBUG_PROVIDERS.
func ports(attached map[string]int) string {
	var all []string
	for name, port := range attached {
		all = append(all, fmt.Sprintf("%s:%d", name, port))
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// Close ends everything the engine started and removes its work area. When it
// returns, no process and no listener of the engine's is left.
func (e *Engine) Close() {
	for _, c := range slices.Backward(e.closers) {
		c()
	}
	e.closers = nil
}

// Run runs one command of the CLI in the project's folder on the project's
// stack, such as "up", "--yes", and returns its exit status.
//
// The error is about what keeps the command from running or from ending by
// itself: ctx's cause when that ended, after the command was interrupted and
// had its grace; the component's last words when that ended. It is nil for a
// command that ran and failed, which has said why itself.
func (e *Engine) Run(ctx context.Context, io IO, args ...string) (status int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if e.component != nil { // the engine would wait for a dead one until it gave up
		stop := e.component.onDeath(cancel)
		defer stop()
	}
	cmd := child.Command(ctx, e.options.Grace, e.env, e.options.CLI, e.arguments(args)...)
	cmd.Dir = e.area.dir("project")
	cmd.Stdout, cmd.Stderr = io.Stdout, io.Stderr
	takeBack := child.Foreground(cmd, io.Stdin)
	defer takeBack()
	status = -1
	cli, err := child.Start(cmd)
	if err == nil {
		status, err = cli.Wait()
	}
	switch {
	case ctx.Err() != nil:
		return status, context.Cause(ctx)
	case err != nil:
		return status, fmt.Errorf("running the Pulumi CLI %s: %w", e.options.CLI, err)
	}
	return status, nil
}
