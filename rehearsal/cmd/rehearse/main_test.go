package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/request"
)

// checkout is this project's.
const checkout = "../../.."

// commandEnv makes the test binary the command itself.
const commandEnv = "REHEARSE_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(commandEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// rehearse runs the command, and returns its exit status and what it printed.
func rehearse(ctx context.Context, args ...string) (status int, out, errs string) {
	var o, e bytes.Buffer
	status = run(ctx, streams{out: &o, err: &e}, args)
	return status, o.String(), e.String()
}

// files writes files into a folder of their own.
func files(t *testing.T, all map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range all {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What is wrong in the command line, the settings or the place is said before
// anything is built or started, with the next step.
func TestWrongInput(t *testing.T) {
	t.Parallel()
	const project, module = "name: p\nruntime: go\n", "module x\n"
	const inference = checkout + "/examples/gpu-inference.yaml"
	for name, tc := range map[string]struct {
		files map[string]string // of the folder to run in; nil for this checkout
		args  []string
		want  []string
	}{
		"unknown command":       {args: []string{"prevew"}, want: []string{`unknown command "prevew"`, "rehearse --help"}},
		"unknown flag":          {args: []string{"preview", "--stak", "dev"}, want: []string{"unknown flag: --stak", "rehearse --help"}},
		"an argument":           {args: []string{"preview", "dev"}, want: []string{`"dev"`, "rehearse --help"}},
		"unknown stack":         {args: []string{"preview", "--stack", "prd"}, want: []string{"no Pulumi.prd.yaml", "dev, existing, prod", "--stack"}},
		"unknown world":         {args: []string{"preview", "--world", "moon"}, want: []string{`"moon"`, "plain", "no-1.28"}},
		"unknown region":        {args: []string{"preview", "--config", "aws:region=mars-1"}, want: []string{"mars-1", "us-west-1"}},
		"no key=value":          {args: []string{"preview", "--config", "gpuSlices"}, want: []string{"--config gpuSlices is not KEY=VALUE", "gpuSlices=8"}},
		"no JSON list":          {args: []string{"preview", "--config", "gpuInstanceTypes=[g4dn.xlarge]"}, want: []string{"begins like a JSON list", "quote it for the shell"}},
		"plan into nowhere":     {args: []string{"preview", "--json", "/does/not/exist/plan.json"}, want: []string{"--json /does/not/exist/plan.json", "no such file", "make the folder, or name another"}},
		"plan into a folder":    {args: []string{"preview", "--json", "."}, want: []string{"--json . is a folder"}},
		"no such folder":        {args: []string{"preview", "-C", "/does/not/exist"}, want: []string{"/does/not/exist", "no such file", "with -C"}},
		"a side without folder": {args: []string{"comment", "--before", "/does/not/exist", "--after", "/does/not/exist/either"}, want: []string{"--after", "/does/not/exist/either", "no such file", "name the folder"}},
		"comment into nowhere":  {args: []string{"comment", "--before", ".", "--after", ".", "--out", "/does/not/exist/c.md"}, want: []string{"--out /does/not/exist/c.md", "no such file"}},
		"no such workload":      {args: []string{"run", "--workload", "/does/not/exist.yaml"}, want: []string{"/does/not/exist.yaml", "no such file"}},
		"no manifests":          {args: []string{"up", "--workload", "."}, want: []string{"workload .:", "no .yaml, .yml or .json file"}},
		"no manifest":           {args: []string{"lint", "--workload", "main.go"}, want: []string{"workload main.go, document 1", "it is not YAML"}},
		"a scale of nothing":    {args: []string{"run", "--workload", inference, "--scale", "web=5"}, want: []string{"--scale web=5", `named "web"`}},
		"a scale of no number":  {args: []string{"forecast", "--workload", inference, "--scale", "gpu-inference=many"}, want: []string{"--scale gpu-inference=many is not NAME=REPLICAS"}},
		"pods beyond bounds":    {args: []string{"forecast", "--workload", inference, "--scale", "gpu-inference=99999999"}, want: []string{"99999999 pods", "150000 in a cluster", "--scale NAME=REPLICAS"}},
		"slices of no number":   {args: []string{"forecast", "--slices", "two"}, want: []string{`invalid argument "two" for "--slices"`, "rehearse --help"}},
		"page into nowhere":     {args: []string{"forecast", "--workload", inference, "--html", "/does/not/exist/p.html"}, want: []string{"--html /does/not/exist/p.html", "no such file"}},
		"page into a folder":    {args: []string{"run", "--html", "."}, want: []string{"--html . is a folder"}},
		"down of no stack":      {args: []string{"down", "--stack", "prd"}, want: []string{"no Pulumi.prd.yaml", "dev, existing, prod"}},
		"down of one not up":    {args: []string{"down", "--stack", "prod"}, want: []string{"stack prod of", "is not up", "rehearse up --stack prod"}},
		"leftovers of no stack": {args: []string{"leftovers", "--stack", "prd"}, want: []string{"no Pulumi.prd.yaml", "dev, existing, prod"}},
		"render to nowhere":     {args: []string{"render"}, want: []string{`required flag(s) "out" not set`, "rehearse --help"}},
		"comment without sides": {args: []string{"comment"}, want: []string{`required flag(s) "after", "before" not set`, "rehearse --help"}},
		"clean-tools of one":    {args: []string{"clean-tools", "pulumi"}, want: []string{`"pulumi"`, "rehearse --help"}},
		"unknown namespace":     {args: []string{"run", "--workload", "testdata/namespaced.yaml"}, want: []string{"Pod a: there is no namespace ml", "kubectl create namespace ml"}},
		"no project":            {files: map[string]string{"README.md": ""}, args: []string{"preview"}, want: []string{"no Pulumi.yaml", "checkout of eks-gpu-slicing", "-C"}},
		"another project":       {files: map[string]string{"Pulumi.yaml": project}, args: []string{"preview"}, want: []string{"has no rehearsal folder", "not a whole checkout"}},
		"broken project":        {files: map[string]string{"Pulumi.yaml": "{", "rehearsal/go.mod": module}, args: []string{"preview"}, want: []string{"Pulumi.yaml"}},
		"settings without YAML": {files: map[string]string{"Pulumi.yaml": project, "rehearsal/go.mod": module, "Pulumi.dev.yaml": "config:\n\ta: 1\n"}, args: []string{"preview"}, want: []string{"Pulumi.dev.yaml is not YAML", "line 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := checkout
			if tc.files != nil {
				dir = files(t, tc.files)
			}
			status, out, errs := rehearse(t.Context(), append([]string{"-C", dir}, tc.args...)...)
			if status != request.StatusUsage {
				t.Errorf("exit status %d, want %d", status, request.StatusUsage)
			}
			for _, want := range tc.want {
				if !strings.Contains(errs, want) {
					t.Errorf("it says:\n%swant %q", errs, want)
				}
			}
			if !strings.HasPrefix(errs, "rehearse: ") || strings.Contains(errs, "goroutine") || out != "" {
				t.Errorf("it printed %q, and to standard error:\n%s", out, errs)
			}
		})
	}
}

// Without node there is a next step and status 1: what was asked for is right.
func TestMissingTool(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("PULUMI_HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	status, _, errs := rehearse(t.Context(), "-C", checkout, "preview")
	if status != request.StatusFailed || !strings.Contains(errs, "there is no node on PATH") || !strings.Contains(errs, "install Node.js 18") {
		t.Errorf("exit status %d, and it says:\n%s", status, errs)
	}
}

func TestCleanTools(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	tool := filepath.Join(cache, "eks-gpu-slicing", "pulumi", "key", "pulumi")
	if err := errors.Join(os.MkdirAll(filepath.Dir(tool), 0o755), os.WriteFile(tool, nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	status, out, errs := rehearse(t.Context(), "clean-tools")
	if left, err := os.ReadDir(cache); status != request.StatusOK || len(left) != 0 || !strings.Contains(out, cache) {
		t.Errorf("exit status %d, left %v (%v), and it says:\n%s%s", status, left, err, out, errs)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status, _, errs := rehearse(ctx, "-C", checkout, "preview")
	if status != request.StatusInterrupted || !strings.Contains(errs, "interrupted") {
		t.Errorf("exit status %d, and it says:\n%s", status, errs)
	}
}

// A reader that goes away must not keep the command from cleaning up, neither
// before the engine prints nor while it does.
func TestReaderGoesAway(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, most := range map[string]int64{"at once": 0, "after a few words": 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			temp := t.TempDir()
			cmd := exec.Command(self, "-C", checkout, "preview")
			cmd.Env = append(os.Environ(), commandEnv+"=1", "TMPDIR="+temp)
			var errs bytes.Buffer
			cmd.Stderr = &errs
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout = w
			if err := errors.Join(cmd.Start(), w.Close()); err != nil {
				t.Fatal(err)
			}
			_, errRead := io.CopyN(io.Discard, r, most)
			if err := errors.Join(errRead, r.Close()); err != nil {
				t.Fatalf("%v\n%s", err, &errs)
			}
			err = cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != request.StatusFailed {
				t.Errorf("got %v, want exit status %d\n%s", err, request.StatusFailed, &errs)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
				t.Errorf("it left %v (%v)", left, err)
			}
		})
	}
}

// More is said when it is asked for, and no colour when it is no terminal that reads.
func TestVerbose(t *testing.T) {
	t.Parallel()
	const property = `terminationGracePeriod: "30m0s"`
	for _, args := range [][]string{nil, {"--verbose"}} {
		status, out, errs := rehearse(t.Context(), append([]string{"-C", checkout, "preview"}, args...)...)
		if status != request.StatusOK || strings.Contains(out, property) != (args != nil) {
			t.Errorf("%v: exit status %d, and it says:\n%s%s", args, status, out, errs)
		}
		if strings.Contains(out+errs, "\x1b") {
			t.Errorf("%v: it has escape sequences: %q", args, out+errs)
		}
	}
}

func TestFindCheckout(t *testing.T) {
	t.Parallel()
	root := files(t, map[string]string{"Pulumi.yaml": "", "rehearsal/go.mod": "", "cluster/deep/x.go": ""})
	for _, dir := range []string{"", "cluster/deep", "rehearsal"} {
		if got, err := findCheckout(filepath.Join(root, dir)); err != nil || got != root {
			t.Errorf("from %q: %s, %v; want %s", dir, got, err, root)
		}
	}
}

func TestHelpNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	status, out, _ := rehearse(t.Context(), "preview", "--help")
	want := []string{"Exit status:", "rehearse preview --stack prod", "-c, --config KEY=VALUE", "--json FILE"}
	for _, w := range account.Worlds() {
		want = append(want, w.Name+" ", w.Description)
	}
	for _, w := range want {
		if status != request.StatusOK || !strings.Contains(out, w) {
			t.Errorf("exit status %d; the help does not say %q:\n%s", status, w, out)
		}
	}
}

// Each command has examples, of flags that there are, and says what it ends with.
func TestHelpHasExamples(t *testing.T) {
	t.Parallel()
	root := newRoot(streams{out: io.Discard, err: io.Discard})
	for _, cmd := range append(root.Commands(), root) {
		if cmd.Example == "" || !strings.Contains(cmd.Long, exitStatuses) {
			t.Errorf("%s: its help has the examples %q, and after what it does:\n%s", cmd.CommandPath(), cmd.Example, cmd.Long)
		}
		for example := range strings.Lines(cmd.Example) {
			example, _, _ = strings.Cut(strings.TrimSpace(example), " && ")
			words := strings.Fields(strings.ReplaceAll(example, "'", ""))
			// Anew for each: a flag that was given stays given.
			of, args, err := newRoot(streams{out: io.Discard, err: io.Discard}).Find(words[1:])
			if err == nil {
				err = of.ParseFlags(args)
			}
			if err == nil {
				err = errors.Join(of.ValidateRequiredFlags(), of.ValidateArgs(of.Flags().Args()))
			}
			if words[0] != root.Name() || cmd != root && of.Name() != cmd.Name() || err != nil {
				t.Errorf("%s: the example %q is of %s: %v", cmd.CommandPath(), example, of.CommandPath(), err)
			}
		}
	}
}

// The files of a side without any are none, and what was found is said all the same.
func TestComment(t *testing.T) {
	t.Parallel()
	sides := filepath.Join(checkout, "rehearsal", "report", "comment", "testdata")
	file := filepath.Join(t.TempDir(), "comment.md")
	for _, args := range [][]string{nil, {"--out", file}} {
		status, out, errs := rehearse(t.Context(), append([]string{"comment", "--before", t.TempDir(), "--after", filepath.Join(sides, "after")}, args...)...)
		if args != nil {
			text, err := os.ReadFile(file)
			if err != nil || out != "" {
				t.Errorf("it printed %q (%v)", out, err)
			}
			out = string(text)
		}
		if status != request.StatusOK || errs != "" || !strings.Contains(out, "nothing to compare with") || !strings.Contains(out, "g4dn.2xlarge spot") {
			t.Errorf("exit status %d, and it says:\n%s%s", status, errs, out)
		}
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{"--stack": "prod", "--world": "no-default-vpc"} {
		status, out, _ := rehearse(t.Context(), "__complete", "-C", checkout, "preview", flag, "")
		if status != request.StatusOK || !strings.Contains(out, want+"\n") {
			t.Errorf("%s: exit status %d, completions:\n%s", flag, status, out)
		}
	}
}

func TestFileSystemErrorsSayTheNextStep(t *testing.T) {
	t.Parallel()
	temp := filepath.Join(os.TempDir(), "rehearse-1")
	for _, tc := range []struct{ err, want string }{
		{explain(&fs.PathError{Op: "mkdir", Path: temp, Err: syscall.ENOSPC}).Error(), "free some space on the disk of " + temp + "; TMPDIR may name another folder"},
		{explain(fmt.Errorf("a work area: %w", &fs.PathError{Op: "mkdir", Path: temp, Err: syscall.EACCES})).Error(), "you must be able to write there; TMPDIR"},
		{explain(&fs.PathError{Op: "stat", Path: os.TempDir(), Err: syscall.ENOENT}).Error(), "set TMPDIR to a folder that exists"},
		{explain(&fs.PathError{Op: "open", Path: "/plan.json", Err: syscall.EROFS}).Error(), "you must be able to write there"},
		{explain(&fs.PathError{Op: "fork/exec", Path: "/pulumi", Err: syscall.EACCES}).Error(), "permission denied"},
	} {
		if !strings.Contains(tc.err, tc.want) {
			t.Errorf("got %q, want it to say %q", tc.err, tc.want)
		}
	}
}
