// Command rehearse shows what this project's program does, without an AWS
// account: the program runs unmodified under the real Pulumi engine, against
// an account that is simulated on this machine.
//
// It stays small and quick to start: what a command needs beside it (the
// Pulumi CLI, the program, the pulumi-eks component) is built when it is first
// needed, by package toolcache.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/engine/child"
	"eks-gpu-slicing/rehearsal/request"
	"eks-gpu-slicing/rehearsal/toolcache"
)

const exitStatuses = `Exit status:
  0  all went well
  1  the program, a provider or the engine refused, a step of a rehearsal fell
     short, lint found something, or something to run them with is missing; the
     last lines say what, and what to do
  2  the command line, a setting or the place it was run in is wrong
  8  interrupted (1 when the terminal's Ctrl-C reached the engine at work)
  Any other is the Pulumi CLI's.`

func main() {
	// A reader that has gone away is an error of a write, not the end of us: there
	// are children and a work area to take along. They themselves get the signal.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	status := run(ctx, streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(status)
}

// streams are the command's own input and output.
type streams struct {
	in       *os.File // nil for none
	out, err io.Writer
}

// failure is an error with the status to exit with.
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// usage marks an error in what the user asked for.
func usage(err error) error { return &failure{request.StatusUsage, err} }

// run is the command, and returns its exit status.
func run(ctx context.Context, s streams, args []string) int {
	root := newRoot(s)
	root.SetArgs(args)
	root.SetOut(s.out)
	root.SetErr(s.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return request.StatusOK
	}
	var f *failure
	var signalled *child.SignalError
	switch {
	case ctx.Err() != nil, errors.As(err, &signalled) && signalled.Signal == syscall.SIGINT: // which the terminal sent to the engine alone
		_, _ = fmt.Fprintln(s.err, "rehearse: interrupted; nothing is left running")
		return request.StatusInterrupted
	case signalled != nil && signalled.Signal == syscall.SIGPIPE: // nobody reads any more
		return request.StatusFailed
	case errors.As(err, &f) && f.err == nil: // the engine has said why
		return f.status
	case !errors.As(err, &f): // cobra's own, about flags and commands
		f = &failure{request.StatusUsage, fmt.Errorf("%w; see rehearse --help", err)}
	}
	_, _ = fmt.Fprintln(s.err, "rehearse: "+strings.TrimSpace(f.Error()))
	return f.status
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "rehearse",
		Short: "Rehearse the stack without an AWS account",
		Long:  "Rehearse runs this project's program under the real Pulumi engine, against a\nsimulated AWS account on this machine: preview plans the stack, run lives its\nwhole life on a real control plane with the real Karpenter. Nothing is created\nanywhere, and no credential is read; leftovers alone reads a real account.\n\nColours are for a terminal alone, and not where NO_COLOR is set.\n\n" + exitStatuses,
		Example: `  rehearse preview
  rehearse run --workload examples
  rehearse forecast --workload k8s/ --slices 2,4,8
  rehearse -C ../eks-gpu-slicing lint --workload k8s/`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	var dir string
	root.PersistentFlags().StringVarP(&dir, "dir", "C", ".", "the checkout is this `FOLDER`, or the nearest above it")
	root.AddCommand(newPreview(s, &dir), newRun(&dir), newUp(&dir), newDown(s, &dir), newForecast(&dir), newLint(&dir), newLeftovers(&dir),
		newRender(s, &dir), newComment(s), newCleanTools(s))
	return root
}

func newCleanTools(s streams) *cobra.Command {
	return &cobra.Command{
		Use:     "clean-tools",
		Short:   "Remove the tools that were built for the rehearsal",
		Long:    "Remove the tools that were built for the rehearsal, for every checkout. The next\ncommand builds what it needs again.\n\n" + exitStatuses,
		Example: `  rehearse clean-tools`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cache, err := toolcache.Open(os.Stderr)
			if err != nil {
				return &failure{request.StatusFailed, err}
			}
			if err := cache.Clear(); err != nil {
				return &failure{request.StatusFailed, err}
			}
			_, err = fmt.Fprintln(s.out, "removed", cache.Dir())
			return err
		},
	}
}
