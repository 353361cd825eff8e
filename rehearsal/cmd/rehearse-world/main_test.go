package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eks-gpu-slicing/rehearsal/report"
)

// asCommand makes the test binary the command: it starts itself as aws, and a test
// starts it as rehearse-world.
const asCommand = "REHEARSE_WORLD_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" || filepath.Base(os.Args[0]) == "aws" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// command is rehearse-world with arguments, in the checkout. TMPDIR is the test's,
// so that what is left there can be looked at.
func command(ctx context.Context, t *testing.T, args ...string) (cmd *exec.Cmd, out *bytes.Buffer, tmp string) {
	t.Helper()
	tmp = t.TempDir()
	cmd = exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), asCommand+"=1", "TMPDIR="+tmp)
	out = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out, tmp
}

func status(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return 0
}

func read(t *testing.T, file string) report.Run {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Run
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// The life of the dev stack with workloads of which some cannot be placed: the
// eight one-slice pods of the example are on two nodes, each reason is told, and
// nothing is left.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run.json")
	cmd, out, _ := command(t.Context(), t, "run", "--workload", "examples/gpu-inference.yaml", "--workload", "rehearsal/cmd/rehearse-world/testdata/refused.yaml", "--json", file)
	if got := status(cmd.Run()); got != statusFailed {
		t.Fatalf("it exited with %d, not %d:\n%s", got, statusFailed, out)
	}
	r := read(t, file)
	for _, p := range r.Phases {
		if want := p.Name != "workloads"; p.OK != want {
			t.Errorf("phase %s: ok is %v", p.Name, p.OK)
		}
	}
	reasons := map[string]string{
		"pinned-c6g": "Karpenter: Failed to schedule pod, incompatible requirements",
		"two-slices": "UnexpectedAdmissionError: ",
	}
	running := 0
	for _, p := range r.Pods {
		want, refused := reasons[p.Name]
		switch {
		case refused && !strings.HasPrefix(p.Reason, want):
			t.Errorf("pod %s: the reason is %q; it should begin with %q", p.Name, p.Reason, want)
		case !refused && (p.Phase != "Running" || p.Reason != ""):
			t.Errorf("pod %s is %s: %s", p.Name, p.Phase, p.Reason)
		case !refused:
			running++
		}
	}
	if running != 9 {
		t.Errorf("%d pods run, want the example's 8 and one for any architecture", running)
	}
	pools := map[string]int{}
	for _, c := range r.NodeClaimsLaunched {
		pools[c.Pool]++
		if c.Pool == "gpu" && !strings.HasPrefix(c.InstanceType, "g4dn.") {
			t.Errorf("a GPU node is a %s", c.InstanceType)
		}
	}
	// Two for the example's pods and one for the pod that is refused on it.
	if pools["gpu"] != 3 || pools["x86"] != 1 || len(pools) != 2 {
		t.Errorf("launched by pool: %v; want 3 of gpu and 1 of x86", pools)
	}
	if len(r.Leftovers) > 0 || len(r.DeniedCalls) > 0 {
		t.Errorf("left over: %v; denied: %v", r.Leftovers, r.DeniedCalls)
	}
	if t.Failed() {
		t.Log(out)
	}
}

// Whatever runs when it is interrupted, no process is left.
func TestInterrupt(t *testing.T) {
	cmd, out, tmp := command(t.Context(), t, "run")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	kubeconfigs := func() []string {
		found, err := filepath.Glob(filepath.Join(tmp, "rehearse-world-*", "controlplane", "kubeconfig*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for begin := time.Now(); len(kubeconfigs()) == 0; {
		if time.Since(begin) > 5*time.Minute {
			t.Fatal("there is no control plane after five minutes")
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(4 * time.Second) // into the up
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if got := status(err); got != statusInterrupted {
			t.Errorf("it exited with %d, not %d:\n%s", got, statusInterrupted, out)
		}
	case <-time.After(time.Minute):
		t.Fatal("it has not ended a minute after the interruption")
	}
	if left := processes(t, tmp); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}

// processes are the command lines that name the folder.
func processes(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && bytes.Contains(text, []byte(folder)) { // a process may have ended
			out = append(out, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return out
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("a: [b"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"workload that is not YAML", []string{"--workload", bad}, "it is not YAML"},
		{"no such workload", []string{"--workload", "nowhere.yaml"}, "nowhere.yaml"},
		{"no such stack", []string{"--stack", "nowhere"}, "nowhere"},
		{"config without a value", []string{"--config", "gpuSlices"}, "gpuSlices"},
		{"json to nowhere", []string{"--json", filepath.Join(dir, "no", "run.json")}, "--json"},
		{"no checkout", []string{"-C", dir}, "no checkout of eks-gpu-slicing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd, out, tmp := command(t.Context(), t, append([]string{"run"}, c.args...)...)
			if got := status(cmd.Run()); got != statusUsage || !strings.Contains(out.String(), c.want) {
				t.Errorf("it exited with %d; want %d, and %q in:\n%s", got, statusUsage, c.want, out)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
