package scenario

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/planning"
	"eks-gpu-slicing/rehearsal/session"
	"eks-gpu-slicing/rehearsal/toolcache"
)

// released are the states of stacks as the newest release leaves them. None is released
// yet: they are those of the program of November 2026, dev's of the 24th and prod's of the
// 29th. At a release each is written anew, by the program that is released:
//
//	EXPORT_STATE=dev go test -run TestExportState ./scenario
var released = []string{"dev", "prod"}

func stateFile(stack string) string { return filepath.Join("testdata", "state-"+stack+".json") }

// TestExportState writes a state that TestUpgradeFromRelease begins with.
func TestExportState(t *testing.T) {
	stack := os.Getenv("EXPORT_STATE")
	if stack == "" {
		t.Skip("it is for a release: see the variable released")
	}
	s := tellOf(t, session.Options{Stack: stack, Config: configOf(stack)}, nil)
	s.up()
	before := len(s.out.String())
	if err := s.Pulumi(t.Context(), "stack", "export"); err != nil {
		t.Fatal(err)
	}
	text := s.out.String()[before:]
	var state struct {
		Version    int            `json:"version"`
		Deployment map[string]any `json:"deployment"`
	}
	if err := json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &state); err != nil {
		t.Fatal(err)
	}
	resources, _ := state.Deployment["resources"].([]any)
	for _, r := range resources {
		if r, ok := r.(map[string]any); ok { // without the paths of who exports it
			delete(r, "sourcePosition")
			delete(r, "stackTrace")
		}
	}
	out, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stateFile(stack), append(out, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	s.destroy()
}

// TestUpgradeFromRelease: the program of today, on the states of the newest release,
// replaces and deletes nothing. What has been renamed carries an alias.
func TestUpgradeFromRelease(t *testing.T) {
	t.Parallel()
	for _, stack := range released {
		t.Run(stack, func(t *testing.T) {
			t.Parallel()
			upgradeFromRelease(t, stack)
		})
	}
}

func upgradeFromRelease(t *testing.T, stack string) {
	t.Helper()
	plan := planOn(t, stack)
	if !plan.Succeeded {
		t.Fatalf("the preview fails: %+v", plan.Diagnostics)
	}
	kept := 0
	for _, r := range plan.Resources {
		for _, op := range r.Operations {
			switch op {
			case apitype.OpSame, apitype.OpUpdate:
				kept++
			case apitype.OpCreate: // what is new
			default:
				t.Errorf("%s %s: %s; a resource that is renamed needs an alias", r.Type, r.Name, op)
			}
		}
	}
	if kept < 60 {
		t.Errorf("%d resources are kept; the stack has more", kept)
	}
}

// planOn is the plan of a stack on its released state.
func planOn(t *testing.T, stack string) *engine.Plan {
	t.Helper()
	cache, err := toolcache.Open(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	tools, err := cache.PreviewSet(t.Context(), checkout)
	if err != nil {
		t.Fatal(err)
	}
	project, err := engine.LoadProject(checkout, stack, configOf(stack))
	if err != nil {
		t.Fatal(err)
	}
	account, err := planning.Account(project, "")
	if err != nil {
		t.Fatal(err)
	}
	e, err := planning.Start(t.Context(), planning.Options{Checkout: checkout, Project: project, Account: account, Tools: tools, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	file, err := filepath.Abs(stateFile(stack))
	if err != nil {
		t.Fatal(err)
	}
	var out buffer
	io := engine.IO{Stdout: &out, Stderr: &out}
	if status, err := e.Run(t.Context(), io, "stack", "import", "--file", file); err != nil || status != 0 {
		t.Fatalf("importing %s: %v, status %d:\n%s", file, err, status, out.String())
	}
	plan, status, err := e.Preview(t.Context(), io, true)
	if err != nil || status != 0 {
		t.Fatalf("the preview: %v, status %d:\n%s", err, status, out.String())
	}
	return plan
}
