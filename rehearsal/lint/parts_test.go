package lint

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"eks-gpu-slicing/rehearsal/workload"
)

func TestSteps(t *testing.T) {
	t.Parallel()
	for field, want := range map[string][]string{
		"":                        nil,
		"spec":                    {"spec"},
		"spec.containers[0].name": {"spec", "containers", "0", "name"},
		"spec.containers[0].resources.limits[nvidia.com/gpu]":      {"spec", "containers", "0", "resources", "limits", "nvidia.com/gpu"},
		"spec.nodeSelector[node.kubernetes.io/instance-type].more": {"spec", "nodeSelector", "node.kubernetes.io/instance-type", "more"},
	} {
		if diff := cmp.Diff(want, steps(field)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
}

// TestLines: of the second document, and of the nearest thing there is.
func TestLines(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "two.yaml")
	const text = `# a comment
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: a, image: a}]}
---
# nothing
---

apiVersion: v1
kind: Pod
metadata:
  name: b
spec:
  containers:
    - name: b
      image: b
      resources: &r
        limits:
          nvidia.com/gpu: 1
    - name: c
      image: c
      resources: *r
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	objects, err := workload.Read([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	texts, err := sources(objects)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		object, line int
		field        string
	}{
		{0, 2, ""},
		{0, 5, "spec.containers[0].resources"},
		{1, 10, ""},
		{1, 14, "spec.tolerations"},
		{1, 20, "spec.containers[0].resources.limits[nvidia.com/gpu]"},
		{1, 23, "spec.containers[1].resources"},
		{1, 20, "spec.containers[1].resources.limits[nvidia.com/gpu]"},
		{1, 15, "spec.containers[7].name"},
	} {
		if got := texts[c.object].line(c.field); got != c.line {
			t.Errorf("%s of object %d is in line %d, want %d", c.field, c.object, got, c.line)
		}
	}
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	const template = "{spec: {containers: [{name: a}]}}"
	for name, c := range map[string]struct {
		object string
		want   map[string]int
	}{
		"deployment":     {"spec: {replicas: 3, template: " + template + "}", map[string]int{"spec.template": 3}},
		"default of one": {"spec: {template: " + template + "}", map[string]int{"spec.template": 1}},
		"scaled to none": {"spec: {replicas: 0, template: " + template + "}", map[string]int{"spec.template": 0}},
		"job":            {"spec: {parallelism: 5, completions: 3, template: " + template + "}", map[string]int{"spec.template": 3}},
		"suspended":      {"spec: {suspend: true, jobTemplate: {spec: {parallelism: 5, template: " + template + "}}}", map[string]int{"spec.jobTemplate.spec.template": 0}},
		"job set": {
			"spec: {replicatedJobs: [{replicas: 2, template: {spec: {parallelism: 4, completions: 4, template: " + template + "}}}, {template: {spec: {template: " + template + "}}}]}",
			map[string]int{"spec.replicatedJobs[0].template.spec.template": 8, "spec.replicatedJobs[1].template.spec.template": 1},
		},
		"ray cluster": {
			"spec: {headGroupSpec: {template: " + template + "}, workerGroupSpecs: [{replicas: 7, template: " + template + "}]}",
			map[string]int{"spec.headGroupSpec.template": 1, "spec.workerGroupSpecs[0].template": 7},
		},
		"no pods": {"spec: {template: {metadata: {name: a}}, data: {template: text}}", map[string]int{}},
	} {
		content := map[string]any{}
		if err := yaml.Unmarshal([]byte(c.object), &content); err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, found := range templates(content) {
			got[found.field] = found.count
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestUnmet: the smallest set of demands to do without, and of several the one that
// keeps what comes first.
func TestUnmet(t *testing.T) {
	t.Parallel()
	all := []demand{{subject: "a"}, {subject: "b"}, {subject: "c"}}
	for name, c := range map[string]struct {
		fits func(without []string) bool
		want []string
	}{
		"one":         {func(w []string) bool { return slices.Contains(w, "b") }, []string{"b"}},
		"two":         {func(w []string) bool { return slices.Contains(w, "a") && slices.Contains(w, "c") }, []string{"a", "c"}},
		"either":      {func(w []string) bool { return slices.Contains(w, "a") || slices.Contains(w, "c") }, []string{"c"}},
		"none needed": {func([]string) bool { return true }, nil},
		"never":       {func([]string) bool { return false }, nil},
	} {
		names := func(demands []demand) (out []string) {
			for _, d := range demands {
				out = append(out, d.subject)
			}
			return out
		}
		got, ok, err := unmet(all, func(without []demand) (bool, error) { return c.fits(names(without)), nil })
		if err != nil || ok == (name == "never") {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if diff := cmp.Diff(c.want, names(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
