package folder

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ownerEnv makes the test binary the owner of a folder that dies.
const ownerEnv = "FOLDER_TEST_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(ownerEnv) != "" {
		if _, err := New(About{Stack: "dev"}); err != nil {
			panic(err)
		}
		os.Exit(0) // without a word
	}
	os.Exit(m.Run())
}

func entries(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSweepRemovesWhatTheDeadLeft(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	alive, err := New(About{Stack: "prod"})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := New(About{Stack: "kept"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(kept.Dir, "log"), nil, 0o600), kept.Keep()); err != nil {
		t.Fatal(err)
	}
	// One that has no lock yet is being made.
	early := filepath.Join(os.TempDir(), prefix+"early")
	if err := os.Mkdir(early, 0o700); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	owner := exec.Command(self)
	owner.Env = append(os.Environ(), ownerEnv+"=1")
	if out, err := owner.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := len(entries(t)); n != 4 {
		t.Fatalf("%d folders before the sweep, want 4", n)
	}
	var out bytes.Buffer
	if err := Sweep(&out); err != nil || strings.Count(out.String(), "had died") != 1 || !strings.Contains(out.String(), "stack dev") {
		t.Errorf("it says (%v):\n%s", err, &out)
	}
	if got := strings.Join(entries(t), " "); strings.Count(got, prefix) != 3 || !strings.Contains(got, alive.Dir) || !strings.Contains(got, kept.Dir) {
		t.Errorf("left are %s", got)
	}
	if err := alive.Remove(); err != nil {
		t.Error(err)
	}
	out.Reset()
	if err := Sweep(&out); err != nil || out.Len() > 0 {
		t.Errorf("a second sweep says (%v):\n%s", err, &out)
	}
}

func TestDown(t *testing.T) {
	for name, failure := range map[string]error{"well": nil, "short": errors.New("a step fell short")} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			f, err := New(About{Checkout: "/here", Stack: "dev"})
			if err != nil {
				t.Fatal(err)
			}
			if all, err := List(); err != nil || len(all) != 0 {
				t.Errorf("before it stands there are %v, %v", all, err)
			}
			served, err := Serve(t.Context(), f, func(out io.Writer) error {
				_, err := io.WriteString(out, "destroyed\n")
				return errors.Join(err, failure)
			})
			if err != nil {
				t.Fatal(err)
			}
			all, err := List()
			if err != nil || len(all) != 1 || all[0].About != (About{PID: os.Getpid(), Checkout: "/here", Stack: "dev"}) {
				t.Fatalf("there are %v, %v", all, err)
			}
			var out bytes.Buffer
			if err := Down(t.Context(), all[0], &out); (failure == nil) != (err == nil) || failure != nil && !errors.Is(err, ErrShort) || out.String() != "destroyed\n" {
				t.Errorf("taking it down: %v, and it says %q", err, &out)
			}
			if err := Down(t.Context(), all[0], &out); err == nil || !strings.Contains(err.Error(), "already") {
				t.Errorf("taking it down twice: %v", err)
			}
			if err := errors.Join(served.Close(), f.Remove()); err != nil {
				t.Error(err)
			}
			if err := Down(t.Context(), all[0], &out); err == nil {
				t.Error("one that has gone is taken down")
			}
		})
	}
}
