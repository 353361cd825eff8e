package stamp

import (
	"os/exec"
	"strings"
	"testing"
)

func TestVersionIsTheModules(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -m k8s.io/kubernetes: %v", err)
	}
	if got := strings.TrimSpace(string(out)); got != Version {
		t.Errorf("Version = %q, but go.mod requires k8s.io/kubernetes %s: change the constant", Version, got)
	}
}

func TestLDFlags(t *testing.T) {
	t.Parallel()
	for _, want := range []string{
		"k8s.io/component-base/version.gitVersion=" + Version,
		"version.gitMajor=1 ",
		"version.gitMinor=35",
	} {
		if got := LDFlags() + " "; !strings.Contains(got, want) {
			t.Errorf("LDFlags() = %q, want it to hold %q", got, want)
		}
	}
}
