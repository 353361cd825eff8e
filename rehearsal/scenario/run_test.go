package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/request"
)

// rehearsed is the command at work, with a folder for temporary files of its own.
type rehearsed struct {
	*exec.Cmd
	temp  string
	ended chan struct{}
}

// poison is the value of each credential in the environment of the command, which no
// other process of a rehearsal may see.
const poison = "poison-7f3a"

// start starts the command in the checkout.
func start(ctx context.Context, t *testing.T, args ...string) *rehearsed {
	t.Helper()
	r := &rehearsed{temp: t.TempDir(), ended: make(chan struct{})}
	r.Cmd = exec.CommandContext(ctx, rehearse, append([]string{"-C", checkout}, args...)...)
	r.Env = append(os.Environ(), "TMPDIR="+r.temp)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PULUMI_ACCESS_TOKEN", "GITHUB_TOKEN"} {
		r.Env = append(r.Env, name+"="+poison)
	}
	// A file, which whoever survives the command may write to for as long as it likes.
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	r.Stdout, r.Stderr = out, out
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.ended)
		_ = r.Wait() // its status is asked for below
	}()
	t.Cleanup(func() {
		_ = r.Process.Kill() // it has ended, unless the test has failed
		<-r.ended
		_ = out.Close()
	})
	return r
}

// said is what the command has printed so far.
func (r *rehearsed) said(t *testing.T) string {
	t.Helper()
	out, ok := r.Stdout.(*os.File)
	if !ok {
		t.Fatalf("the output is a %T", r.Stdout)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// await waits until the command has printed text.
func (r *rehearsed) await(t *testing.T, text string) {
	t.Helper()
	for begin := time.Now(); !strings.Contains(r.said(t), text); time.Sleep(50 * time.Millisecond) {
		select {
		case <-r.ended:
			t.Fatalf("it has ended without saying %q:\n%s", text, r.said(t))
		default:
		}
		if time.Since(begin) > 5*time.Minute {
			t.Fatalf("it has not said %q in five minutes:\n%s", text, r.said(t))
		}
	}
}

// end waits for the command's end and returns its status.
func (r *rehearsed) end(t *testing.T) int {
	t.Helper()
	select {
	case <-r.ended:
		return r.ProcessState.ExitCode()
	case <-time.After(10 * time.Minute):
		t.Fatalf("it has not ended in ten minutes:\n%s", r.said(t))
		return 0
	}
}

// processes are the command lines that name the command's folder.
func (r *rehearsed) processes(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && bytes.Contains(text, []byte(r.temp)) { // one may have ended
			out[filepath.Base(filepath.Dir(f))] = strings.ReplaceAll(string(text), "\x00", " ")
		}
	}
	return out
}

// sharesNoCredentials fails the test if a process of the command's, itself aside, sees a
// credential of the command's environment.
func (r *rehearsed) sharesNoCredentials(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	others := 0
	for _, file := range files {
		dir := filepath.Dir(file)
		environ, err := os.ReadFile(file)
		if err != nil || filepath.Base(dir) == strconv.Itoa(r.Process.Pid) {
			continue // it has ended, or is the command
		}
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !bytes.Contains(environ, []byte(r.temp)) && !bytes.Contains(line, []byte(r.temp)) {
			continue
		}
		others++
		if bytes.Contains(environ, []byte(poison)) {
			t.Errorf("a credential of the user's reaches %s", bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
	if others < 6 { // etcd, the API server, its two companions, Karpenter twice
		t.Errorf("%d processes of the command were looked at, want 6 at least", others)
	}
}

// leavesNothing fails the test if a process or a file of the command's is left.
func (r *rehearsed) leavesNothing(t *testing.T) {
	t.Helper()
	for begin := time.Now(); len(r.processes(t)) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Errorf("processes are left: %q", r.processes(t))
			break
		}
	}
	if left, err := os.ReadDir(r.temp); err != nil || len(left) > 0 {
		t.Errorf("left in its folder: %v, %v", left, err)
	}
}

// live has a stack live its life, and returns the report.
func live(t *testing.T, status int, args ...string) report.Run {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.json")
	r := start(t.Context(), t, append([]string{"run", "--json", file}, args...)...)
	if got := r.end(t); got != status {
		t.Fatalf("it exits with %d, want %d:\n%s", got, status, r.said(t))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.said(t))
		}
	})
	if status == request.StatusOK {
		r.leavesNothing(t)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var run report.Run
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&run); err != nil {
		t.Fatal(err)
	}
	for _, p := range run.Phases {
		if !p.OK && (status == request.StatusOK || p.Name != "up" && p.Name != "workloads") {
			t.Errorf("phase %s fell short", p.Name)
		}
	}
	if len(run.DeniedCalls) > 0 || len(run.Leftovers) > 0 {
		t.Errorf("denied calls: %v; left over: %v", run.DeniedCalls, run.Leftovers)
	}
	return run
}

// launched counts the NodeClaims that a run launched, by pool.
func launched(run report.Run) map[string]int {
	count := map[string]int{}
	for _, c := range run.NodeClaimsLaunched {
		count[c.Pool]++
	}
	return count
}

// TestExamples: the dev stack's whole life, with the examples landing where they
// say.
func TestExamples(t *testing.T) {
	t.Parallel()
	run := live(t, request.StatusOK, "--workload", filepath.Join(checkout, "examples"), "--scale", "inflate-amd64=5", "--scale", "inflate-arm64=3")
	var names []string
	for _, p := range run.Phases {
		names = append(names, p.Name)
	}
	if got, want := strings.Join(names, ", "), "world, preview, up, preview again, refresh, workloads, delete workloads, destroy, leftovers"; got != want {
		t.Errorf("the phases are %s; want %s", got, want)
	}
	nodes := map[string]report.Node{}
	for _, n := range run.Nodes {
		nodes[n.Name] = n
		if n.PricePerHour <= 0 || n.Zone == "" {
			t.Errorf("node %+v has no price, or no zone", n)
		}
	}
	for _, p := range run.Pods {
		n := nodes[p.Node]
		generation := strings.TrimLeft(n.InstanceType, "cmr")
		switch {
		case strings.HasPrefix(p.Name, "inflate-amd64"):
			if n.Pool != "x86" || generation < "7" {
				t.Errorf("%s is on %+v; want a node of x86, of generation 7 or later", p.Name, n)
			}
		case strings.HasPrefix(p.Name, "inflate-arm64"):
			if n.Pool != "arm64" || n.InstanceType != "c7g.xlarge" {
				t.Errorf("%s is on %+v; want a c7g.xlarge of arm64", p.Name, n)
			}
		default:
			if n.Pool != "gpu" || !strings.HasPrefix(n.InstanceType, "g4dn.") {
				t.Errorf("%s is on %+v; want a g4dn of gpu", p.Name, n)
			}
		}
		if want := "Running"; p.Name != "gpu-pod" && p.Phase != want || p.Reason != "" {
			t.Errorf("%s is %s (%s); want it %s", p.Name, p.Phase, p.Reason, want)
		}
	}
	if len(run.Pods) != 5+3+8+1 {
		t.Errorf("%d pods, want 17", len(run.Pods))
	}
}

// TestSlices: as many GPU nodes are ever launched as the slices take, on prod, where
// the device plugin and Karpenter agree on them, and with whole GPUs, one for each
// pod. Both worlds stand at once.
func TestSlices(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		args  []string
		nodes int
	}{
		{"4 slices on prod", stackArgs("prod"), 2},
		{"whole GPUs on dev", []string{"--config", "gpuSlices=1"}, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			run := live(t, request.StatusOK, append(c.args, "--workload", filepath.Join(checkout, "examples", "gpu-inference.yaml"))...)
			if got := launched(run); got["gpu"] != c.nodes || len(got) != 1 {
				t.Errorf("launched by pool: %v; want %d of gpu alone", got, c.nodes)
			}
		})
	}
}

// TestRefused: a pod that no pool serves stays pending with Karpenter's reason, one
// that asks for two slices is refused as NVIDIA's plugin does, and one that names no
// architecture runs on x86. The rest of the stack's life goes on.
func TestRefused(t *testing.T) {
	t.Parallel()
	run := live(t, request.StatusFailed, "--workload", filepath.Join("testdata", "refused.yaml"))
	want := map[string][]string{
		"pinned-c6g": {"Pending", "Karpenter: Failed to schedule pod, incompatible requirements"},
		"two-slices": {"Failed", "UnexpectedAdmissionError: "},
	}
	for _, p := range run.Pods {
		if w := want[p.Name]; w != nil && (p.Phase != w[0] || !strings.HasPrefix(p.Reason, w[1])) {
			t.Errorf("%s is %s: %s; want it %s: %s", p.Name, p.Phase, p.Reason, w[0], w[1])
		}
		at := slices.IndexFunc(run.Nodes, func(n report.Node) bool { return n.Name == p.Node })
		if p.Name == "any-architecture" && (at < 0 || run.Nodes[at].Pool != "x86") {
			t.Errorf("%s is on no node of x86: %+v", p.Name, p)
		}
	}
	if len(run.Pods) != 3 {
		t.Errorf("%d pods, want 3", len(run.Pods))
	}
}

// TestEnded: whatever ends a rehearsal in the middle of an up, no process is left,
// and no file for longer than to the next command.
func TestEnded(t *testing.T) {
	t.Parallel()
	t.Run("by Ctrl-C", func(t *testing.T) {
		t.Parallel()
		r := start(t.Context(), t, "run")
		r.await(t, "aws:eks:NodeGroup cluster-controllers creating")
		if err := r.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if got := r.end(t); got != request.StatusInterrupted || !strings.Contains(r.said(t), "nothing is left running") {
			t.Errorf("it exits with %d, want %d:\n%s", got, request.StatusInterrupted, r.said(t))
		}
		r.leavesNothing(t)
	})
	t.Run("by a crash", func(t *testing.T) {
		t.Parallel()
		r := start(t.Context(), t, "run")
		r.await(t, "== up")
		if err := r.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		r.end(t)
		if left, err := os.ReadDir(r.temp); err != nil || len(left) == 0 {
			t.Errorf("a crash leaves its folder, but there is %v, %v", left, err)
		}
		next := exec.CommandContext(t.Context(), rehearse, "-C", checkout, "preview")
		next.Env = r.Env
		out, err := next.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "had died; what it left in "+r.temp) {
			t.Errorf("the next command, %v, does not say what it found:\n%s", err, out)
		}
		r.leavesNothing(t)
	})
	t.Run("by a component", func(t *testing.T) {
		t.Parallel()
		r := start(t.Context(), t, "run")
		r.await(t, "== up")
		killed := false
		for pid, line := range r.processes(t) {
			if strings.Contains(line, "kube-scheduler ") {
				killed = exec.CommandContext(t.Context(), "kill", "-9", pid).Run() == nil
			}
		}
		if !killed {
			t.Fatalf("no kube-scheduler among %q", r.processes(t))
		}
		if got := r.end(t); got != request.StatusFailed {
			t.Errorf("it exits with %d, want %d", got, request.StatusFailed)
		}
		for _, want := range []string{"kube-scheduler (pid ", "signal: killed", "its log ", "the logs are in " + r.temp} {
			if !strings.Contains(r.said(t), want) {
				t.Errorf("it does not say %q:\n%s", want, r.said(t))
			}
		}
		if left := r.processes(t); len(left) > 0 {
			t.Errorf("processes are left: %q", left)
		}
	})
}

// TestUpAndDown: a stack that is kept up serves kubectl, is not brought up twice, and
// is taken down by another command. Its processes see no credential of the user's.
func TestUpAndDown(t *testing.T) {
	t.Parallel()
	up := start(t.Context(), t, "up", "--workload", filepath.Join(checkout, "examples", "gpu-pod.yaml"))
	beside := func(args ...string) (string, int) {
		cmd := exec.CommandContext(t.Context(), rehearse, append([]string{"-C", checkout}, args...)...)
		cmd.Env = up.Env
		out, _ := cmd.CombinedOutput() // the status tells
		return string(out), cmd.ProcessState.ExitCode()
	}
	up.await(t, "Ctrl-C here ends it")
	up.sharesNoCredentials(t)
	envs, err := filepath.Glob(filepath.Join(up.temp, "*", "env"))
	if err != nil || len(envs) != 1 || !strings.Contains(up.said(t), ". "+envs[0]) {
		t.Fatalf("the file for the shell: %v, %v; it is not what is said:\n%s", envs, err, up.said(t))
	}
	kubectl := exec.CommandContext(t.Context(), "/bin/sh", "-c", ". "+envs[0]+" && kubectl get nodes -L karpenter.sh/nodepool && aws eks get-token --cluster-name gpu-slicing")
	if out, err := kubectl.CombinedOutput(); err != nil || strings.Count(string(out), " Ready ") != 3 || !strings.Contains(string(out), "k8s-aws-v1.") {
		t.Errorf("kubectl and aws: %v:\n%s", err, out)
	}
	if out, status := beside("up"); status != request.StatusUsage || !strings.Contains(out, "is up already") || !strings.Contains(out, "rehearse down --stack dev") {
		t.Errorf("a second up exits with %d:\n%s", status, out)
	}
	out, status := beside("down")
	for _, want := range []string{"== delete workloads", "== destroy", "deleted", "Phases", "Stack dev is down."} {
		if !strings.Contains(out, want) {
			t.Errorf("down does not say %q", want)
		}
	}
	if got := up.end(t); status != request.StatusOK || got != request.StatusOK {
		t.Errorf("down exits with %d and up with %d:\n%s\n\n%s", status, got, out, up.said(t))
	}
	up.leavesNothing(t)
	if out, status := beside("down"); status != request.StatusUsage || !strings.Contains(out, "is not up") {
		t.Errorf("a second down exits with %d:\n%s", status, out)
	}
}
