package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// object and list are a resource's inputs, in short.
type (
	object = map[string]any
	list   = []any
)

// unknownYet stands for a value that a preview does not know.
func unknownYet() resource.Computed { return resource.Computed{Element: resource.NewProperty("")} }

func urn(t tokens.Type, name string) resource.URN {
	return resource.NewURN("dev", "eks-gpu-slicing", "", t, name)
}

// one is a resource, the provider of which has these inputs.
func one(typ tokens.Type, in, provider object) plugin.AnalyzerResource {
	r := plugin.AnalyzerResource{URN: urn(typ, "it"), Type: typ, Name: "it", Properties: resource.NewPropertyMapFromMap(in)}
	if provider != nil {
		r.Provider = &plugin.AnalyzerProviderResource{Name: "aws", Type: "pulumi:providers:aws", Properties: resource.NewPropertyMapFromMap(provider)}
	}
	return r
}

// verdict is what a pack says: the violations of each rule that has some, and
// why each other rule is not applicable.
type verdict struct {
	violations map[string][]string
	reasons    map[string]string
}

func read(t *testing.T, response plugin.AnalyzeResponse, err error) verdict {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	v := verdict{violations: map[string][]string{}, reasons: map[string]string{}}
	for _, d := range response.Diagnostics {
		v.violations[d.PolicyName] = append(v.violations[d.PolicyName], d.Message)
	}
	for _, n := range response.NotApplicable {
		v.reasons[n.PolicyName] = n.Reason
	}
	return v
}

func judge(t *testing.T, r plugin.AnalyzerResource) verdict {
	t.Helper()
	response, err := newPack(rules()).Analyze(t.Context(), r)
	return read(t, response, err)
}

// expect compares one rule's part of a verdict: a text of each violation, in
// order, or else a text of the reason.
func (v verdict) expect(t *testing.T, rule string, violations []string, reason string) {
	t.Helper()
	got := v.violations[rule]
	if len(got) != len(violations) {
		t.Fatalf("%d violations, want %d:\n%s", len(got), len(violations), strings.Join(got, "\n"))
	}
	for i, want := range violations {
		if !strings.Contains(got[i], want) {
			t.Errorf("violation %d is:\n%s\nwant %q", i, got[i], want)
		}
	}
	why, skipped := v.reasons[rule]
	if skipped != (reason != "") || !strings.Contains(why, reason) {
		t.Errorf("not applicable: %t, %q; want %q", skipped, why, reason)
	}
}

// sorted lists a map's keys.
func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
