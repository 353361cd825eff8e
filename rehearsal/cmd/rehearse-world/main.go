// Command rehearse-world lives a stack's life on this machine: the unmodified
// program under the real Pulumi engine, on a real Kubernetes control plane with the
// real Karpenter, in a simulated AWS account. The command rehearse becomes it for
// what needs a cluster, with a request for its one argument; it is a binary of its
// own because it links the node agents, Helm and the AWS SDK.
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

	"eks-gpu-slicing/rehearsal/request"
	"eks-gpu-slicing/rehearsal/session"
	"eks-gpu-slicing/rehearsal/world"
)

func main() { os.Exit(run()) }

func run() int {
	// A reader that has gone away is an error of a write, not the end of us: there
	// are processes to take along.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if filepath.Base(os.Args[0]) == "aws" {
		if err := world.GetToken(ctx, os.Stdout, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "aws:", err)
			return request.StatusFailed
		}
		return request.StatusOK
	}
	r, err := request.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "rehearse-world:", err)
		return request.StatusUsage
	}
	err = session.Serve(ctx, r, os.Stdout)
	var usage session.UsageError
	switch {
	case err == nil:
		return request.StatusOK
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "rehearse: interrupted; nothing is left running")
		return request.StatusInterrupted
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "rehearse:", err)
		return request.StatusUsage
	default:
		fmt.Fprintln(os.Stderr, "rehearse:", err)
		return request.StatusFailed
	}
}
