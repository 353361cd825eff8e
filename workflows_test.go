package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestWorkflows holds what the workflows promise whoever lets them run: an action is a
// commit, a token may no more than it needs, what a stranger has written is never a part of
// a script, and what runs their code has no secrets.
func TestWorkflows(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(".github/workflows/*.yml")
	if err != nil || len(files) < 5 {
		t.Fatalf("workflows: %q, %v", files, err)
	}
	module, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	engine := regexp.MustCompile(`pulumi/sdk/v3 v(\S+)`).FindStringSubmatch(string(module))
	if engine == nil {
		t.Fatal("go.mod has no Pulumi SDK")
	}
	pinned := regexp.MustCompile(`^\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	uses := regexp.MustCompile(`(?m)^\s*(?:- )?uses: (.*)$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var w workflow
		if err := yaml.Unmarshal(text, &w); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, m := range uses.FindAllStringSubmatch(string(text), -1) {
			if !pinned.MatchString(m[1]) {
				t.Errorf("%s: %q is no commit with its release in a comment", file, m[1])
			}
		}
		for scope, access := range w.Permissions {
			if scope != "contents" || access != "read" {
				t.Errorf("%s: all jobs may %s %s; let the job have it that needs it", file, access, scope)
			}
		}
		if w.Permissions == nil {
			t.Errorf("%s: it says nothing of permissions: the repository's default may be to write", file)
		}
		if _, target := w.On["pull_request_target"]; target {
			t.Errorf("%s: pull_request_target runs beside secrets what a stranger has written", file)
		}
		_, proposed := w.On["pull_request"]
		for name, j := range w.Jobs {
			j.check(t, file+", "+name, proposed, engine[1])
		}
	}
}

// workflow is what is looked at of a file.
type workflow struct {
	On          triggers
	Permissions map[string]string
	Jobs        map[string]job
}

// triggers are the events that start a workflow.
type triggers map[string]yaml.Node

type job struct {
	If, Environment string
	Permissions     map[string]string
	Timeout         int `yaml:"timeout-minutes"`
	Env             map[string]string
	Steps           []struct {
		Uses, Run string
		With, Env map[string]string
	}
}

// check looks at a job; proposed is for one that runs the code of a pull request, engine
// the version of Pulumi that the program is built with.
func (j job) check(t *testing.T, name string, proposed bool, engine string) {
	t.Helper()
	if j.Timeout == 0 {
		t.Errorf("%s: it has no timeout-minutes", name)
	}
	own := j.Environment != "" && strings.Contains(j.If, "head.repo.full_name == github.repository")
	for scope, access := range j.Permissions {
		switch {
		case access != "write" || !proposed:
		case scope == "id-token" && own:
		default:
			t.Errorf("%s: the code of a pull request may write %s", name, scope)
		}
	}
	for _, s := range j.Steps {
		for _, values := range []map[string]string{j.Env, s.Env, s.With} {
			for key, value := range values {
				if proposed && !own && strings.Contains(value, "secrets.") {
					t.Errorf("%s: a stranger's code gets the secret of %s", name, key)
				}
			}
		}
		if strings.Contains(s.Run, "${{") {
			t.Errorf("%s: an expression in a script is a part of it, whoever wrote it; take it by env:\n%s", name, s.Run)
		}
		action, _, _ := strings.Cut(s.Uses, "@")
		switch {
		case action == "actions/checkout" && s.With["persist-credentials"] != "false" && j.Permissions["contents"] != "write":
			t.Errorf("%s: checkout leaves its token in the folder", name)
		case action == "pulumi/actions" && s.With["pulumi-version"] != engine:
			t.Errorf("%s: Pulumi %s, and the program is built with %s", name, s.With["pulumi-version"], engine)
		case action == "actions/cache" && !strings.Contains(s.With["key"], "hashFiles('go.sum', 'rehearsal/go.sum'"):
			t.Errorf("%s: the cache is not of the modules: %s", name, s.With["key"])
		case action == "actions/setup-go" && s.With["cache"] != "false" && !strings.Contains(s.With["cache-dependency-path"], "go.sum"):
			t.Errorf("%s: Go's cache is not of the modules", name)
		}
		cached := action == "actions/cache" || action == "actions/setup-go" && s.With["cache"] != "false"
		if cached && j.Permissions["id-token"] == "write" && !proposed {
			t.Errorf("%s: beside its role in AWS runs what other workflows have put into a cache", name)
		}
	}
}
