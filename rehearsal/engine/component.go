package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"eks-gpu-slicing/rehearsal/engine/child"
	"eks-gpu-slicing/rehearsal/kube/stamp"
)

// Component says how to start a component provider: a resource plugin that
// prints its port and serves until it is told to stop.
type Component struct {
	// Package is the Pulumi package it serves, such as "eks".
	Package string
	// Command is its executable and arguments. The engine's address, which
	// every plugin gets as its last argument, is added; an attached one learns
	// the real address later, by Attach.
	Command []string
}

// component is a running Component.
type component struct {
	spec  *Component
	start time.Time
	stop  context.CancelFunc
	edge  *edge
	relay *relay
	child *child.Child
	wg    sync.WaitGroup

	ready chan struct{} // closed when address or err is set
	addr  string
	err   error

	mu   sync.Mutex
	line []byte // the first line, as far as it is there
	last []byte // the end of everything else that was printed
}

// startComponent starts the component and does not wait until it answers.
func startComponent(ctx context.Context, spec *Component, a area, grace time.Duration) (*component, error) {
	if err := writeStandIns(a.dir("bin")); err != nil {
		return nil, err
	}
	ca := a.dir("edge-ca.pem")
	edge, err := newEdge(ctx, ca)
	if err != nil {
		return nil, err
	}
	r := &component{spec: spec, start: time.Now(), edge: edge, ready: make(chan struct{})}
	ctx, r.stop = context.WithCancel(ctx)
	if r.relay, err = newRelay(ctx, r.address); err != nil {
		r.close()
		return nil, err
	}
	env := append(a.environment("HTTPS_PROXY="+edge.url(), "NODE_EXTRA_CA_CERTS="+ca),
		// The stand-ins hide what the user has of the same name: of a variable
		// that is given twice the last value counts.
		"PATH="+a.dir("bin")+string(filepath.ListSeparator)+os.Getenv("PATH"))
	args := append(slices.Clip(spec.Command[1:]), "127.0.0.1:1")
	cmd := child.Command(ctx, grace, env, spec.Command[0], args...)
	cmd.Dir = a.dir("tmp")
	cmd.Stdout, cmd.Stderr = portWriter{r}, lastWriter{r}
	if r.child, err = child.Start(cmd); err != nil {
		r.close()
		return nil, fmt.Errorf("starting the %s component: %w", spec.Package, err)
	}
	r.wg.Go(func() {
		if err := r.died(); err != nil {
			r.settle("", err)
		}
	})
	return r, nil
}

// settle tells whoever waits for the component what became of it. Only the
// first time counts.
func (r *component) settle(addr string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.ready:
	default:
		r.addr, r.err = addr, err
		close(r.ready)
	}
}

// address is where the component listens, once it does.
func (r *component) address(ctx context.Context) (string, error) {
	select {
	case <-r.ready:
		return r.addr, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// usualStart is how long the component and the CLI may take to start on a
// machine that is fast enough not to think about it.
const usualStart = 3 * time.Second

// wait holds a program back that would reach for the component too early. The
// engine gives an attached provider 10 seconds to answer (pluginRPCConnectionTimeout,
// pulumi/pkg/v3/resource/plugin/plugin.go). Where the CLI is there in the usual
// time, the component, which takes about as long, is not waited for: it loads
// while the program does. Where it took longer, it is.
func (r *component) wait(ctx context.Context) error {
	if time.Since(r.start) < usualStart {
		return nil
	}
	_, err := r.address(ctx)
	return err
}

// died waits until the component is gone and says what it said.
func (r *component) died() error {
	status, err := r.child.Wait()
	r.mu.Lock()
	text := strings.TrimSpace(string(r.line) + string(r.last))
	r.mu.Unlock()
	if text == "" {
		text = "(it printed nothing)"
	}
	return errors.Join(err, fmt.Errorf("the %s component ended by itself with exit status %d; it is %s, and its last words were:\n    %s",
		r.spec.Package, status, strings.Join(r.spec.Command, " "), strings.ReplaceAll(text, "\n", "\n    ")))
}

// onDeath calls f with what died says, should the component end before stop.
func (r *component) onDeath(f func(error)) (stop func()) {
	stopped := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-r.child.Done():
			f(r.died())
		case <-stopped:
		}
	})
	return func() { close(stopped); wg.Wait() }
}

func (r *component) close() {
	r.stop()
	if r.child != nil {
		<-r.child.Done()
	}
	r.wg.Wait()
	if r.relay != nil {
		r.relay.close()
	}
	r.edge.close()
}

// portWriter takes a component's standard output, whose first line is its port.
type portWriter struct{ *component }

func (w portWriter) Write(p []byte) (int, error) {
	select {
	case <-w.ready:
		return lastWriter(w).Write(p)
	default:
	}
	w.mu.Lock()
	w.line = append(w.line, p...)
	line, _, complete := bytes.Cut(w.line, []byte("\n"))
	w.mu.Unlock()
	if complete {
		if port, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 10, 16); err == nil {
			w.settle("127.0.0.1:"+strconv.FormatUint(port, 10), nil)
		}
	}
	return len(p), nil
}

// lastWriter keeps the end of what a component prints.
type lastWriter struct{ *component }

func (w lastWriter) Write(p []byte) (int, error) {
	const most = 4 << 10
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = append(w.last, p...)
	w.last = w.last[max(0, len(w.last)-most):]
	return len(p), nil
}

// writeStandIns puts the two commands into dir that the pulumi-eks component
// asks for their versions in every preview and update (dependencies.ts), and
// fails without. They are shell scripts because the component waits for each,
// and a shell is there in a twentieth of the time of a program like ours.
func writeStandIns(dir string) error {
	standIns := map[string]struct{ question, answer string }{
		// aws-cli 2 prints such a line; the component reads the first word.
		"aws": {"--version", "aws-cli/2.31.0 rehearsal/stand-in"},
		// The shape of kubectl's version.Version; the component reads gitVersion.
		"kubectl": {
			"version --client=true --output=json",
			fmt.Sprintf(`{"clientVersion":{"gitVersion":%q}}`, stamp.Version),
		},
	}
	for name, s := range standIns {
		script := fmt.Sprintf(`#!/bin/sh
[ "$*" = '%[2]s' ] && { echo '%[3]s'; exit 0; }
echo "%[1]s: this stand-in of the rehearsal answers \"%[1]s %[2]s\" alone, and was asked for: $*" >&2
exit 1
`, name, s.question, s.answer)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			return fmt.Errorf("writing the component's commands: %w", err)
		}
	}
	return nil
}
