package render

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/engine"
)

func plan(resources ...engine.Resource) *engine.Plan {
	return &engine.Plan{Succeeded: true, Resources: resources, Outputs: map[string]any{"region": "us-west-1", "clusterName": "c"}}
}

func object(inputs map[string]any) engine.Resource {
	return engine.Resource{URN: "urn:pulumi:s::p::kubernetes:x/v1:Thing::thing", Type: "kubernetes:x/v1:Thing", Inputs: inputs}
}

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	named := map[string]any{"name": "t"}
	group := engine.Resource{
		URN: "urn:pulumi:s::p::aws:ec2/securityGroup:SecurityGroup::pools-nodes", Type: "aws:ec2/securityGroup:SecurityGroup",
		Inputs: map[string]any{"name": "c-karpenter-nodes"},
	}
	r, err := Plan(plan(group, object(map[string]any{"kind": "Thing", "metadata": named, "spec": map[string]any{
		"securityGroupSelectorTerms": []any{map[string]any{"id": engine.Unknown}, map[string]any{"id": engine.Unknown}},
		"subnetSelectorTerms":        []any{map[string]any{"id": "subnet-1"}, map[string]any{"id": "subnet-2"}, map[string]any{"id": "subnet-1"}},
	}})))
	if err != nil {
		t.Fatal(err)
	}
	want := `kind: Thing
metadata:
  name: t
spec:
  securityGroupSelectorTerms:
    - id: sg-placeholder
    - id: sg-nodes-placeholder
  subnetSelectorTerms:
    - id: subnet-placeholder1
    - id: subnet-placeholder2
    - id: subnet-placeholder1
`
	if diff := cmp.Diff(want, string(r.Files["thing-t.yaml"])); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var texts []string
	for _, p := range r.Placeholders {
		texts = append(texts, p.Text)
	}
	if diff := cmp.Diff([]string{"111122223333", "sg-placeholder", "sg-nodes-placeholder", "subnet-placeholder1", "subnet-placeholder2"}, texts); diff != "" {
		t.Errorf("placeholders (-want +got):\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		inputs map[string]any
		want   string
	}{
		"unknown": {map[string]any{"kind": "Thing", "metadata": map[string]any{"name": "t"}, "spec": map[string]any{"a": engine.Unknown}}, "spec.a is [unknown]"},
		"unnamed": {map[string]any{"kind": "Thing", "metadata": map[string]any{}}, "needs both"},
	} {
		if _, err := Plan(plan(object(c.inputs))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestWriteLosesNothing(t *testing.T) {
	t.Parallel()
	r, dir := &Rendering{Files: map[string][]byte{"a.yaml": []byte("a\n")}}, filepath.Join(t.TempDir(), "out")
	for range 2 { // a second run overwrites its own
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	other := filepath.Join(dir, "mine.yaml")
	if err := os.WriteFile(other, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(dir); err == nil || !strings.Contains(err.Error(), "mine.yaml") {
		t.Errorf("a folder with another's file: %v", err)
	}
}
