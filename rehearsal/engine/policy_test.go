package engine_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/engine"
)

// withPolicies starts an engine with this project's policy pack, on a program
// that does this with volumes in AWS.
func withPolicies(t *testing.T, does string) (*engine.Engine, *creations) {
	t.Helper()
	tools, err := built()
	if err != nil {
		t.Fatal(err)
	}
	created, provider := newEcho("aws")
	return start(t, does, func(o *engine.Options) {
		o.Providers = map[string]func() plugin.Provider{"aws": provider}
		o.PolicyPack = &engine.PolicyPack{Dir: filepath.Join(checkout, "policy"), Program: tools.policies}
	}), created
}

func TestPolicyPack(t *testing.T) {
	t.Parallel()
	const said = "policy encrypted-volumes: encrypted is false; it must be true\nSet encrypted on each volume; a node group needs a launch template of its own for it."
	for does, tc := range map[string]struct {
		status int
		want   []engine.Diagnostic
	}{
		"volumes": {0, nil},
		// The second volume, of which the preview knows nothing, violates nothing.
		"open volume": {1, []engine.Diagnostic{{Severity: "error", URN: "urn:pulumi:dev::engine-test::aws:ebs/volume:Volume::first", Message: said}}},
	} {
		t.Run(does, func(t *testing.T) {
			t.Parallel()
			e, _ := withPolicies(t, does)
			out := newTranscript()
			plan, status, err := e.Preview(t.Context(), engine.IO{Stdout: out, Stderr: out}, true)
			if err != nil || status != tc.status {
				t.Fatalf("status %d, %v; want %d\n%s", status, err, tc.status, out)
			}
			if !strings.Contains(out.String(), "eks-gpu-slicing@v1.0.0 (local: ") {
				t.Errorf("the pack is not shown:\n%s", out)
			}
			got := slices.DeleteFunc(plan.Diagnostics, func(d engine.Diagnostic) bool { return !strings.HasPrefix(d.Message, "policy ") })
			if d := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("violations (-want +got):\n%s", d)
			}
		})
	}
}

// An update stops before it makes what violates a policy.
func TestPolicyPackStopsAnUpdate(t *testing.T) {
	t.Parallel()
	for does, want := range map[string]int{"volumes": 2, "open volume": 0} {
		t.Run(does, func(t *testing.T) {
			t.Parallel()
			e, created := withPolicies(t, does)
			out := newTranscript()
			status, err := e.Run(t.Context(), engine.IO{Stdout: out, Stderr: out}, "up", "--yes", "--skip-preview")
			if made := created.of["aws:ebs/volume:Volume"]; err != nil || (status == 0) != (want == 2) || made != want {
				t.Errorf("status %d, %v; made %d volumes, want %d\n%s", status, err, made, want, out)
			}
			if status, err := e.Run(t.Context(), engine.IO{Stdout: out, Stderr: out}, "destroy", "--yes"); err != nil || status != 0 { // which takes no pack
				t.Errorf("destroy: status %d, %v\n%s", status, err, out)
			}
		})
	}
}

func TestPolicyPackThatIsNone(t *testing.T) {
	t.Parallel()
	start := func(dir, program string) (*engine.Engine, error) {
		tools, err := built()
		if err != nil {
			t.Fatal(err)
		}
		return engine.Start(t.Context(), engine.Options{
			CLI: tools.cli, Program: tools.program, Project: project(t),
			PolicyPack: &engine.PolicyPack{Dir: dir, Program: program},
		})
	}
	if _, err := start(t.TempDir(), "x"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "PulumiPolicy.yaml") {
		t.Errorf("a folder without PulumiPolicy.yaml: %v", err)
	}
	e, err := start(filepath.Join(checkout, "policy"), writeScript(t, "#!/bin/sh\necho it is out of order >&2\nexit 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	if out := preview(t, e, 1); !strings.Contains(out, "it is out of order") || !strings.Contains(out, "exit status 3") {
		t.Errorf("the output does not say what is wrong:\n%s", out)
	}
}

// The pack goes with the CLI, and sees nothing of the user's.
func TestPolicyPackIsAChildLikeOthers(t *testing.T) {
	t.Parallel()
	tools, err := built()
	if err != nil {
		t.Fatal(err)
	}
	e := start(t, "hang", func(o *engine.Options) {
		o.PolicyPack = &engine.PolicyPack{Dir: filepath.Join(checkout, "policy"), Program: tools.policies}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := newTranscript()
	ended := make(chan error, 1)
	go func() {
		_, err := e.Run(ctx, engine.IO{Stdout: out, Stderr: io.Discard}, "preview")
		ended <- err
	}()
	out.until(t, "program ")
	family := descendants(t, os.Getpid(), e.Area())
	i := slices.IndexFunc(family, func(p process) bool { return p.name == filepath.Base(tools.policies) })
	if i < 0 {
		t.Fatalf("no policy pack among %v", family)
	}
	if env := read(t, "/proc/"+strconv.Itoa(family[i].pid)+"/environ"); strings.Contains(env, poison) {
		t.Errorf("a variable of the user's reached the pack:\n%s", env)
	}
	for _, s := range listeners(t, family[i:i+1]) {
		if !s.loopback {
			t.Errorf("the pack listens on %s", s.address)
		}
	}
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the command did not end")
	}
	e.Close()
	if family[i].alive() {
		t.Error("the pack is still there")
	}
}
