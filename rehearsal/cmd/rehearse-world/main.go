// Command rehearse-world lives the whole life of the stack on this machine: the
// unmodified program under the real Pulumi engine, on a real Kubernetes control
// plane with the real Karpenter, in a simulated AWS account. The command rehearse
// starts it for what needs a cluster; it is a binary of its own because it links
// the node agents, Helm and the AWS SDK.
//
// Called by the name aws it is the stand-in for `aws eks get-token`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/world"
)

// Exit statuses, as those of the command rehearse.
const (
	statusFailed      = 1
	statusUsage       = 2
	statusInterrupted = 8
)

// usageError is an error in what the user asked for.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errShort says that a step fell short; what was printed before says how.
var errShort = errors.New("the rehearsal fell short")

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if filepath.Base(os.Args[0]) == "aws" {
		if err := world.GetToken(ctx, os.Stdout, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "aws:", err)
			return statusFailed
		}
		return 0
	}
	root := &cobra.Command{Use: "rehearse-world", Short: "Rehearse the stack on a real control plane", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(newRun())
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "rehearse: interrupted; nothing is left running")
		return statusInterrupted
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "rehearse:", err)
		return statusUsage
	default:
		fmt.Fprintln(os.Stderr, "rehearse:", err)
		return statusFailed
	}
}
