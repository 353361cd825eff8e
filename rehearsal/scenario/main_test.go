package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/world"
)

// checkout is the folder of the project under test.
const checkout = "../.."

// rehearse is the command, built once for all tests.
var rehearse string

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "aws" { // as a session of this process is called
		if err := world.GetToken(context.Background(), os.Stdout, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "aws:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "scenario-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		rehearse = filepath.Join(dir, "rehearse")
		build := exec.Command("go", "build", "-o", rehearse, "../cmd/rehearse")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "go build ../cmd/rehearse:", err)
			return 1
		}
		return m.Run()
	}())
}

// result is what a run of the command gave.
type result struct {
	status int
	// out is standard output and error together, as a user sees them.
	out string
}

// run runs the command in the checkout.
func run(t *testing.T, args ...string) result {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), rehearse, append([]string{"-C", checkout}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return result{exit.ExitCode(), out.String()}
	}
	if err != nil {
		t.Fatalf("rehearse %q: %v", args, err)
	}
	return result{0, out.String()}
}

// stackArgs select a stack.
func stackArgs(stack string) []string {
	args := []string{"--stack", stack}
	for _, c := range configOf(stack) {
		args = append(args, "--config", c)
	}
	return args
}

// configOf is what a stack leaves to its user.
func configOf(stack string) []string {
	if stack == "prod" {
		return []string{`publicAccessCidrs=["203.0.113.7/32"]`}
	}
	return nil
}

// preview returns the plan of a preview that succeeds.
func preview(t *testing.T, args ...string) *engine.Plan {
	t.Helper()
	file := filepath.Join(t.TempDir(), "plan.json")
	if r := run(t, append([]string{"preview", "--json", file}, args...)...); r.status != 0 {
		t.Fatalf("preview %q exits with %d:\n%s", args, r.status, r.out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	plan := new(engine.Plan)
	if err := json.Unmarshal(text, plan); err != nil {
		t.Fatal(err)
	}
	return plan
}
