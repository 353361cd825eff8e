// Package request is what the command rehearse asks of rehearse-world, which it
// becomes for whatever needs a cluster: one JSON argument. The former has checked
// what the user typed and built the tools; the latter has no flags of its own.
//
// It is a package of its own, so that neither command links what the other needs.
package request

import (
	"encoding/json"
	"fmt"

	"eks-gpu-slicing/rehearsal/toolcache"
	"eks-gpu-slicing/rehearsal/workload"
)

// Exit statuses of both commands. They are those of the Pulumi CLI, whose own
// status is passed on (pulumi/sdk/v3/go/common/util/cmdutil/exit.go).
const (
	StatusOK          = 0
	StatusFailed      = 1
	StatusUsage       = 2
	StatusInterrupted = 8
)

// Command is one of rehearse that rehearse-world does.
type Command string

// The commands.
const (
	// Run is a stack's whole life, Up its life until it is up, and stays so.
	Run Command = "run"
	Up  Command = "up"
	// Forecast compares numbers of slices, Lint looks for problems in workloads.
	Forecast Command = "forecast"
	Lint     Command = "lint"
	// Leftovers lists what a stack has left in an account, a real one too.
	Leftovers Command = "leftovers"
)

// Request is one thing to do.
type Request struct {
	Command Command
	// Checkout is the folder of the project, Stack one of its stacks and Config are
	// overrides of its settings as KEY=VALUE.
	Checkout, Stack string
	Config          []string
	// World is the kind of AWS account.
	World string
	// Workloads are what is applied to it.
	Workloads workload.Asked
	// Slices are the numbers of slices that a forecast compares.
	Slices []int
	// Live has a forecast bring the stack up for each number.
	Live bool
	// Verbose shows more of what goes on.
	Verbose bool
	// JSON and HTML are the files to write the report to, "" for none.
	JSON, HTML string
	// Tools are what is run.
	Tools toolcache.Set
}

// Argument is the request as the argument of rehearse-world.
func (r Request) Argument() (string, error) {
	text, err := json.Marshal(r)
	return string(text), err
}

// Parse reads the arguments of rehearse-world.
func Parse(args []string) (r Request, err error) {
	if len(args) != 1 {
		return r, fmt.Errorf("it takes one argument, a request of the command rehearse, and got %d: use rehearse", len(args))
	}
	if err := json.Unmarshal([]byte(args[0]), &r); err != nil {
		return r, fmt.Errorf("its argument is no request of the command rehearse (%w): use rehearse", err)
	}
	return r, nil
}
