package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// kubectl makes a kubectl of the world, and returns the environment of a shell that has
// it. A container's words are the test's own: nothing runs in containers here.
func (s *story) kubectl(logs string) []string {
	s.t.Helper()
	bin := s.t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = logs ]; then\n  cat <<'END'\n%s\nEND\n  exit\nfi\nexec %s kubectl \"$@\"\n", logs, s.kube)
	if err := os.WriteFile(filepath.Join(bin, "kubectl"), []byte(script), 0o700); err != nil {
		s.t.Fatal(err)
	}
	return append(s.World.Environment(), "PATH="+bin+":"+s.dir+":"+os.Getenv("PATH"), "HOME="+bin)
}

// TestSoakRecord: the checks of the job that writes a record of a run on AWS hold in the
// rehearsal, too, but for what only a GPU can say. On another number of slices than the
// stack has they fail.
func TestSoakRecord(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tell(t, nil)
	s.up()
	const script = ".github/workflows/check-cluster.sh"
	check := func(slices string) (record string, err error) {
		file := filepath.Join(t.TempDir(), "record.md")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), "bash", filepath.Join(checkout, script), slices, file)
		command.Env = s.kubectl("GPU-00000000-0000-0000-0000-000000000001\nGPU-00000000-0000-0000-0000-000000000002\nTest PASSED")
		out, err := command.CombinedOutput()
		t.Logf("%s %s:\n%s", script, slices, out)
		text, errRead := os.ReadFile(file)
		if errRead != nil {
			t.Fatal(errRead)
		}
		return string(text), err
	}
	record, err := check("4")
	if err != nil || strings.Count(record, "| ok |\n") != 12 || strings.Contains(record, "not ok") {
		t.Errorf("on the stack's 4 slices: %v\n%s", err, record)
	}
	record, err = check("2")
	if err == nil || !strings.Contains(record, "| slices that a GPU node offers | 2 | 4 | **not ok** |") {
		t.Errorf("on 2 slices, which the stack has not: %v\n%s", err, record)
	}
	s.delete(s.read("examples"))
	s.destroy()
}
