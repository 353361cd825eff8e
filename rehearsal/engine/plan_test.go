package engine_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"eks-gpu-slicing/rehearsal/engine"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	_, things := newEcho("test")
	e := start(t, "things", func(o *engine.Options) { o.Providers["test"] = things })
	out, errs := newTranscript(), newTranscript()
	got, status, err := e.Preview(t.Context(), engine.IO{Stdout: out, Stderr: errs}, true)
	if err != nil || status != 0 {
		t.Fatalf("status %d, %v\n%s%s", status, err, out, errs)
	}
	const (
		stack    = "urn:pulumi:dev::engine-test::pulumi:pulumi:Stack::engine-test-dev"
		first    = "urn:pulumi:dev::engine-test::test:index:Thing::first"
		second   = "urn:pulumi:dev::engine-test::test:index:Thing$test:index:Thing::second"
		provider = "urn:pulumi:dev::engine-test::pulumi:providers:test::default"
	)
	create := []apitype.OpType{apitype.OpCreate}
	want := &engine.Plan{
		Project: "engine-test", Stack: "dev", Succeeded: true,
		Resources: []engine.Resource{
			{URN: provider, Type: "pulumi:providers:test", Name: "default", Operations: create, Dependencies: []resource.URN{}, Inputs: map[string]any{}},
			{URN: stack, Type: "pulumi:pulumi:Stack", Name: "engine-test-dev", Operations: create, Dependencies: []resource.URN{}, Inputs: map[string]any{}},
			{
				URN: second, Type: "test:index:Thing", Name: "second", Operations: create, Parent: first, Provider: provider,
				Dependencies:         []resource.URN{first},
				PropertyDependencies: map[resource.PropertyKey][]resource.URN{"of": {first}},
				Inputs:               map[string]any{"of": engine.Unknown},
			},
			{
				URN: first, Type: "test:index:Thing", Name: "first", Operations: create, Parent: stack, Provider: provider,
				Dependencies: []resource.URN{}, Inputs: map[string]any{"password": engine.Secret, "size": 3.0},
			},
		},
		Outputs:     map[string]any{"arn": engine.Unknown, "size": 3.0, "password": engine.Secret},
		Diagnostics: []engine.Diagnostic{{Severity: "warning", URN: first, Message: "mind the first"}},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("plan (-want +got):\n%s", d)
	}
	// Whoever reads the plan sees what the engine shows, and nothing about where
	// the plan came from.
	if !strings.Contains(out.String(), "Thing second create") || strings.Contains(out.String()+errs.String(), "plan.json") {
		t.Errorf("it printed:\n%s%s", out, errs)
	}
	for _, text := range []string{out.String(), errs.String()} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the secret was printed:\n%s", text)
		}
	}
}

func TestPlanOfAFailedPreview(t *testing.T) {
	t.Parallel()
	got, status, err := start(t, "fail", nil).Preview(t.Context(), engine.IO{Stdout: newTranscript(), Stderr: newTranscript()}, true)
	if err != nil || status != 1 {
		t.Fatalf("status %d, %v", status, err)
	}
	if got.Succeeded || len(got.Resources) != 0 || len(got.Diagnostics) == 0 {
		t.Fatalf("got %+v", got)
	}
	var messages []string
	for _, d := range got.Diagnostics {
		messages = append(messages, d.Severity+": "+d.Message)
	}
	if all := strings.Join(messages, "\n"); !strings.Contains(all, "error: ") || !strings.Contains(all, "as it was asked to") {
		t.Errorf("diagnostics:\n%s", all)
	}
}
