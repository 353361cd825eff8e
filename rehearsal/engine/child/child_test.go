package child_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"eks-gpu-slicing/rehearsal/engine/child"
)

// parentEnv makes the test binary a parent that starts a child and hangs.
const parentEnv = "CHILD_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentEnv) != "" {
		cmd := child.Command(context.Background(), time.Second, nil, "/bin/sleep", "1000")
		if _, err := child.Start(cmd); err != nil {
			panic(err)
		}
		fmt.Println(cmd.Process.Pid)
		select {}
	}
	os.Exit(m.Run())
}

// family is a shell script that starts a child of its own and says both numbers.
const family = `sleep 1000 & echo $$ $!; `

// startFamily runs a script with family in its midst, and returns the two processes
// when what is before that has been done.
func startFamily(ctx context.Context, t *testing.T, grace time.Duration, before, rest string) (*child.Child, []int) {
	t.Helper()
	cmd := child.Command(ctx, grace, []string{"PATH=/usr/bin:/bin"}, "/bin/sh", "-c", before+family+rest)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	cmd.Stdout = w
	c, err := child.Start(cmd)
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for f := range strings.FieldsSeq(line) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return c, pids
}

// gone waits until the processes have ended: a killed orphan is a zombie until
// its new parent looks.
func gone(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil || strings.Contains(string(stat), ") Z ") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("process %d is still there: %s", pid, stat)
			}
		}
	}
}

func TestEndTakesTheGroupAlong(t *testing.T) {
	t.Parallel()
	c, pids := startFamily(t.Context(), t, time.Minute, "", "exit 7")
	if status, err := c.Wait(); status != 7 || err != nil {
		t.Errorf("status %d, %v; want 7", status, err)
	}
	gone(t, pids...)
}

func TestContextInterruptsThenKills(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		trap   string
		grace  time.Duration
		status int
	}{
		"heeds the signal":   {"trap 'exit 9' INT; ", time.Minute, 9},
		"ignores the signal": {"trap '' INT; ", 100 * time.Millisecond, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c, pids := startFamily(ctx, t, tc.grace, tc.trap, "while :; do sleep 0.05; done")
			cancel()
			select {
			case <-c.Done():
			case <-time.After(10 * time.Second):
				t.Fatal("it did not end")
			}
			status, err := c.Wait()
			var signalled *child.SignalError
			if killed := errors.As(err, &signalled) && signalled.Signal == syscall.SIGKILL; status != tc.status || killed != (status == -1) {
				t.Errorf("status %d, %v; want %d", status, err, tc.status)
			}
			gone(t, pids...)
		})
	}
}

func TestChildDiesWithItsParent(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), parentEnv+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the child does not run: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	gone(t, pid)
}

func TestRunReportsTheStatus(t *testing.T) {
	t.Parallel()
	sh := func(script string) error {
		return child.Run(child.Command(t.Context(), time.Second, nil, "/bin/sh", "-c", script))
	}
	if err := sh("exit 0"); err != nil {
		t.Errorf("success is %v", err)
	}
	var exit *exec.ExitError
	if err := sh("exit 3"); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("got %v, want exit status 3", err)
	}
	if err := child.Run(child.Command(t.Context(), time.Second, nil, "/does/not/exist")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that it does not exist", err)
	}
}

func TestEnvironmentIsTheGivenOne(t *testing.T) {
	t.Parallel()
	cmd := child.Command(t.Context(), time.Second, nil, "/usr/bin/env")
	var out strings.Builder
	cmd.Stdout = &out
	if err := child.Run(cmd); err != nil || out.String() != "" {
		t.Errorf("a child without environment has %q (%v)", &out, err)
	}
}
