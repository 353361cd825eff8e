package process_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eks-gpu-slicing/rehearsal/controlplane/process"
)

// helperEnv makes the test binary act as a parent that starts a child, says which,
// and then hangs until it is killed.
const helperEnv = "PROCESS_TEST_PARENT_LOG"

func TestMain(m *testing.M) {
	if log := os.Getenv(helperEnv); log != "" {
		p, err := process.Start(sleeper(log))
		if err != nil {
			panic(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(p.ID()); err != nil {
			panic(err)
		}
		select {}
	}
	if err := os.Setenv("PROCESS_TEST", "what a child must not inherit"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func sleeper(log string) process.Config {
	return process.Config{Name: "sleeper", Path: "/bin/sleep", Args: []string{"1000"}, Log: log}
}

func TestEndIsAnErrorWithTheLogsTail(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string
		env    []string
		want   []string
		not    string
	}{
		"failure":          {script: "for i in $(seq 30); do echo line $i; done; exit 3", want: []string{"teller (pid ", "exit status 3", "line 30", "line 19"}, not: "line 18\n"},
		"killed":           {script: "echo going; kill -9 $$", want: []string{"signal: killed", "going"}},
		"ended by itself":  {script: "echo bye", want: []string{"exit status 0", "bye"}},
		"nothing to tell":  {script: "exit 1", want: []string{"is empty"}},
		"its environment":  {script: "echo $ONLY; echo [$PROCESS_TEST]", env: []string{"ONLY=this"}, want: []string{"this", "[]"}},
		"inherits nothing": {script: "echo [$PROCESS_TEST]", want: []string{"[]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := process.Start(process.Config{
				Name: "teller", Path: "/bin/sh", Args: []string{"-c", tc.script}, Env: tc.env,
				Log: filepath.Join(t.TempDir(), "logs", "teller.log"),
			})
			if err != nil {
				t.Fatal(err)
			}
			<-p.Done()
			var exit *process.ExitError
			if !errors.As(p.Err(), &exit) {
				t.Fatalf("Err() = %v, want an ExitError", p.Err())
			}
			for _, want := range tc.want {
				if !strings.Contains(exit.Error(), want) {
					t.Errorf("error does not hold %q: %v", want, exit)
				}
			}
			if tc.not != "" && strings.Contains(exit.Error(), tc.not) {
				t.Errorf("error holds %q: %v", tc.not, exit)
			}
		})
	}
}

// A log that several runs append to tells of each its own.
func TestTailIsOfTheRun(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	for _, run := range []string{"first", "second"} {
		p, err := process.Start(process.Config{Name: "teller", Path: "/bin/sh", Args: []string{"-c", "echo " + run}, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		var exit *process.ExitError
		if !errors.As(p.Err(), &exit) || exit.Tail != run {
			t.Errorf("the %s run ended with %v", run, p.Err())
		}
	}
	if got := process.Tail(log, 0, 9); got != "first\nsecond" {
		t.Errorf("the log holds %q", got)
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int32{"exit 0": 0, "exit 3": 3, "kill -9 $$": 137} {
		p, err := process.Start(process.Config{Name: "teller", Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "log")})
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		if got := p.ExitCode(); got != want {
			t.Errorf("%q: exit code %d, want %d", script, got, want)
		}
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string
		grace  time.Duration
		killed bool
	}{
		"obeys":    {script: "echo up; while :; do sleep 0.05; done", grace: time.Minute},
		"does not": {script: "trap '' TERM; echo up; while :; do sleep 0.05; done", grace: 300 * time.Millisecond, killed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := filepath.Join(t.TempDir(), "log")
			p, err := process.Start(process.Config{
				Name: "stubborn", Path: "/bin/sh", Args: []string{"-c", tc.script}, Env: []string{"PATH=/usr/bin:/bin"}, Log: log,
			})
			if err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the script to run", func() bool { return process.Tail(log, 0, 1) == "up" })
			if !p.ID().Alive() || p.Err() != nil || p.ExitCode() != -1 {
				t.Fatalf("before Stop: alive %v, error %v, exit code %d", p.ID().Alive(), p.Err(), p.ExitCode())
			}
			err = p.Stop(tc.grace)
			if (err != nil) != tc.killed {
				t.Errorf("Stop() = %v, want an error only if it had to be killed (%v)", err, tc.killed)
			}
			if p.ID().Alive() {
				t.Errorf("process %d is alive after Stop", p.ID().PID)
			}
			if err := p.Stop(time.Second); err != nil {
				t.Errorf("second Stop() = %v", err)
			}
		})
	}
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	_, err := process.Start(process.Config{Name: "ghost", Path: "/no/such/binary", Log: filepath.Join(t.TempDir(), "log")})
	if err == nil || !strings.Contains(err.Error(), "starting ghost") {
		t.Errorf("missing executable: %v", err)
	}
	_, err = process.Start(process.Config{Name: "mute", Path: "/bin/true", Log: "/proc/nowhere/log"})
	if err == nil || !strings.Contains(err.Error(), "starting mute") {
		t.Errorf("unwritable log: %v", err)
	}
}

func TestChildDiesWithItsParent(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), helperEnv+"="+filepath.Join(t.TempDir(), "log"))
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var child process.ID
	if err := json.Unmarshal(line, &child); err != nil {
		t.Fatal(err)
	}
	// The child must outlive threads that come and go in the parent, so give the
	// parent time to lose some before the check that it is there.
	time.Sleep(200 * time.Millisecond)
	if !child.Alive() {
		t.Fatal("the child died before its parent")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // the error is the kill
	waitFor(t, "the child to die with its parent", func() bool { return !child.Alive() })
}

func TestID(t *testing.T) {
	t.Parallel()
	// A name with blanks and a parenthesis, which /proc shows unescaped.
	binary := filepath.Join(t.TempDir(), "a) S 1 (b")
	if err := os.Symlink("/bin/sleep", binary); err != nil {
		t.Fatal(err)
	}
	cfg := sleeper(filepath.Join(t.TempDir(), "log"))
	cfg.Path = binary
	p, err := process.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	self, err := process.Self()
	if err != nil {
		t.Fatal(err)
	}
	if hour := uint64(3600 * 100); p.ID().Start < self.Start || p.ID().Start > self.Start+hour {
		t.Errorf("the child started at tick %d, this process at %d", p.ID().Start, self.Start)
	}
	other := process.ID{PID: p.ID().PID, Start: p.ID().Start + 1}
	if other.Alive() {
		t.Error("a process of the same number that started at another time counts as the same")
	}
	if killed, err := other.Kill(); killed || err != nil {
		t.Errorf("Kill() of it = %v, %v", killed, err)
	}
	if !p.ID().Alive() {
		t.Fatal("the process that must not be touched is gone")
	}
	if killed, err := p.ID().Kill(); !killed || err != nil {
		t.Errorf("Kill() = %v, %v", killed, err)
	}
	if killed, err := p.ID().Kill(); killed || err != nil {
		t.Errorf("second Kill() = %v, %v", killed, err)
	}
	<-p.Done()

	// A zombie is dead although its number is taken.
	zombie := exec.Command("/bin/true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a zombie", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", zombie.Process.Pid))
		return err == nil && strings.Contains(string(b), ") Z ")
	})
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", zombie.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var start uint64
	if _, err := fmt.Sscan(strings.Fields(string(b))[21], &start); err != nil {
		t.Fatal(err)
	}
	if (process.ID{PID: zombie.Process.Pid, Start: start}).Alive() {
		t.Error("a zombie counts as alive")
	}
	if err := zombie.Wait(); err != nil {
		t.Error(err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("signal to an ended process: %v", err)
	}
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10s for %s", what)
		}
	}
}
