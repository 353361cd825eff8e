package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"eks-gpu-slicing/rehearsal/engine"
)

// script is an executable that prints its environment.
const printEnvironment = "#!/bin/sh\nexport -p\n"

func writeScript(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNoVariableOfTheUsersReachesAChild(t *testing.T) {
	t.Parallel()
	if os.Getenv("AWS_ACCESS_KEY_ID") != poison {
		t.Fatal("the tests do not run under a poisoned environment")
	}
	run := func(t *testing.T, e *engine.Engine) string {
		out := newTranscript()
		_, err := e.Run(t.Context(), engine.IO{Stdout: out, Stderr: out}, "preview")
		if err != nil {
			return err.Error()
		}
		return out.String()
	}
	for name, tc := range map[string]struct {
		engine func(*testing.T) *engine.Engine
		has    []string // variables that show that an environment was printed
	}{
		"program": {func(t *testing.T) *engine.Engine { return start(t, "environment", nil) }, []string{"PULUMI_MONITOR=", "PATH="}},
		"CLI": {func(t *testing.T) *engine.Engine {
			return start(t, "nothing", func(o *engine.Options) { o.CLI = writeScript(t, printEnvironment) })
		}, []string{"PULUMI_BACKEND_URL=", "PATH="}},
		"component": {func(t *testing.T) *engine.Engine {
			return start(t, "nothing", func(o *engine.Options) {
				o.CLI = writeScript(t, "#!/bin/sh\nexec sleep 60\n")
				o.Component = &engine.Component{Package: "eks", Command: []string{writeScript(t, printEnvironment)}}
			})
		}, []string{"HTTPS_PROXY=", "NODE_EXTRA_CA_CERTS=", "PATH="}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := tc.engine(t)
			said := run(t, e)
			for _, want := range append(tc.has, "HOME=", "TMPDIR=") {
				if !strings.Contains(said, want) {
					t.Errorf("it has no %s:\n%s", want, said)
				}
			}
			if strings.Contains(said, poison) {
				t.Errorf("a variable of the user's reached it:\n%s", said)
			}
			for _, name := range []string{"HOME", "TMPDIR"} {
				if m := regexp.MustCompile(`\b` + name + `='?([^\s']+)`).FindStringSubmatch(said); m == nil || !strings.HasPrefix(m[1], e.Area()+"/") {
					t.Errorf("%s is %v, not in the work area %s", name, m, e.Area())
				}
			}
		})
	}
}

func TestCancelLeavesNothing(t *testing.T) {
	t.Parallel()
	tools, err := built()
	if err != nil {
		t.Fatal(err)
	}
	e := start(t, "hang", func(o *engine.Options) { o.Component = &engine.Component{Package: "eks", Command: tools.eks} })
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	out := newTranscript()
	ended := make(chan error, 1)
	go func() {
		_, err := e.Run(ctx, engine.IO{Stdout: out, Stderr: out}, "preview")
		ended <- err
	}()
	// The output comes while the command runs: this one never ends by itself.
	out.until(t, "program ")
	family := descendants(t, os.Getpid(), e.Area())
	for _, name := range []string{filepath.Base(tools.cli), filepath.Base(tools.program), filepath.Base(tools.eks[0])} {
		if !slices.ContainsFunc(family, func(p process) bool { return p.name == name }) {
			t.Errorf("no process %q among %v", name, family)
		}
	}
	for _, s := range listeners(t, append(family, process{pid: os.Getpid()})) {
		if !s.loopback {
			t.Errorf("a socket of %s listens on %s", s.process.name, s.address)
		}
	}

	stop := errors.New("that is enough")
	cancel(stop)
	select {
	case err := <-ended:
		if !errors.Is(err, stop) {
			t.Errorf("got %v, want the cause", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the command did not end")
	}
	e.Close()
	for _, p := range family {
		if p.alive() {
			t.Errorf("%v is still there", p)
		}
	}
	if _, err := os.Stat(e.Area()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the work area is still there (%v)", err)
	}
}

func TestCommandThatIgnoresTheInterruptIsKilled(t *testing.T) {
	t.Parallel()
	e := start(t, "nothing", func(o *engine.Options) {
		o.CLI, o.Grace = writeScript(t, "#!/bin/sh\ntrap '' INT\necho deaf\nwhile :; do sleep 0.1; done\n"), 200*time.Millisecond
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := newTranscript()
	ended := make(chan error, 1)
	go func() {
		_, err := e.Run(ctx, engine.IO{Stdout: out, Stderr: out}, "preview")
		ended <- err
	}()
	out.until(t, "deaf")
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the command did not end")
	}
}

func TestProgramsThatFail(t *testing.T) {
	t.Parallel()
	for does, want := range map[string]string{
		"fail":  "as it was asked to",
		"panic": "panic: as it was asked to",
	} {
		t.Run(does, func(t *testing.T) {
			t.Parallel()
			if out := preview(t, start(t, does, nil), 1); !strings.Contains(out, want) {
				t.Errorf("it does not say %q:\n%s", want, out)
			}
		})
	}
}

func TestOverridesReachTheProgram(t *testing.T) {
	t.Parallel()
	before := folder(t, "testdata/program")
	out := preview(t, start(t, "config", func(o *engine.Options) {
		o.Project = project(t, "does=config", "count=7", `names=["a", "b=c"]`, "aws:region=us-east-1", "version=1.30", "engine-test:full=yes")
	}), 0)
	line := regexp.MustCompile(`\{"aws:region.*\}`).FindString(out)
	var got map[string]string
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	want := map[string]string{
		"engine-test:does": "config", "engine-test:count": "7", "engine-test:names": `["a","b=c"]`, "aws:region": "us-east-1",
		"engine-test:version": "1.30", "engine-test:full": "yes",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("config of the program (-want +got):\n%s", d)
	}
	if d := cmp.Diff(before, folder(t, "testdata/program")); d != "" {
		t.Errorf("the project's folder has changed:\n%s", d)
	}
}

func TestEngineRefusesAWrongType(t *testing.T) {
	t.Parallel()
	tools, err := built()
	if err != nil {
		t.Fatal(err)
	}
	e := start(t, "nothing", func(o *engine.Options) { o.CLI, o.Project = tools.cli, project(t, "count=many") })
	out := newTranscript()
	status, err := e.Run(t.Context(), engine.IO{Stdout: out, Stderr: out}, "preview")
	if err != nil || status == 0 || !strings.Contains(out.String(), "'count'") || !strings.Contains(out.String(), "integer") {
		t.Errorf("status %d, %v:\n%s", status, err, out)
	}
}

// folder is the content of the files in dir.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		all[f.Name()] = read(t, filepath.Join(dir, f.Name()))
	}
	return all
}

// Writing the empty stack saves a start of the CLI, and is right only for as
// long as it is what the CLI writes.
func TestEmptyStackIsTheCLIs(t *testing.T) {
	t.Parallel()
	e := start(t, "nothing", nil)
	state := filepath.Join(e.Area(), "state", ".pulumi")
	stacks := filepath.Join(state, "stacks", "engine-test")
	meta, before := read(t, filepath.Join(state, "meta.yaml")), names(t, stacks)
	out := newTranscript()
	if status, err := e.Run(t.Context(), engine.IO{Stdout: out, Stderr: out}, "stack", "init", "other", "--no-select"); err != nil || status != 0 {
		t.Fatalf("status %d, %v\n%s", status, err, out)
	}
	if got := read(t, filepath.Join(state, "meta.yaml")); got != meta {
		t.Errorf("meta.yaml was %q, and %q after stack init", meta, got)
	}
	if d := cmp.Diff([]string{"dev.json"}, before); d != "" {
		t.Errorf("our stack's files (-want +got):\n%s", d)
	}
	ours, theirs := checkpoint(t, filepath.Join(stacks, "dev.json")), checkpoint(t, filepath.Join(stacks, "other.json"))
	if ours.Stack != "organization/engine-test/dev" || theirs.Stack != "organization/engine-test/other" {
		t.Errorf("the stacks are called %q and, by the CLI, %q", ours.Stack, theirs.Stack)
	}
	ours.Stack = theirs.Stack
	if theirs.Latest != nil && len(theirs.Latest.Resources) == 0 {
		theirs.Latest = nil // it keeps when it was made, and how its secrets are kept
	}
	if d := cmp.Diff(theirs, ours); d != "" {
		t.Errorf("our empty stack is not the CLI's (-CLI +ours):\n%s", d)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	for name := range folder(t, dir) {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func checkpoint(t *testing.T, file string) apitype.CheckpointV3 {
	t.Helper()
	text := []byte(read(t, file))
	var v apitype.VersionedCheckpoint
	var c apitype.CheckpointV3
	if err := errors.Join(json.Unmarshal(text, &v), json.Unmarshal(v.Checkpoint, &c)); err != nil || v.Version != apitype.DeploymentSchemaVersionCurrent {
		t.Fatalf("%s: version %d, %v\n%s", file, v.Version, err, text)
	}
	return c
}
