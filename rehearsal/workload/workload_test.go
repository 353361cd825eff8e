package workload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	t.Parallel()
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int
		fails string
	}{
		{name: "two documents", files: map[string]string{"a.yaml": pod + "---\n" + pod}, want: 2},
		{name: "comments alone between", files: map[string]string{"a.yaml": pod + "---\n# nothing\n---\n" + pod}, want: 2},
		{name: "json, and a file that is no manifest", files: map[string]string{"a.json": `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}`, "README.md": "x"}, want: 1},
		{name: "not yaml", files: map[string]string{"a.yaml": "a: [b"}, fails: "document 1: it is not YAML"},
		{name: "not an object", files: map[string]string{"a.yaml": "- a\n- b\n"}, fails: "document 1"},
		{name: "not Kubernetes", files: map[string]string{"a.yaml": pod + "---\nservices: {web: {}}\n"}, fails: "document 2: it is no Kubernetes object"},
		{name: "nameless", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: Pod\n"}, fails: "metadata.name"},
		{name: "empty", files: map[string]string{"a.yaml": "# nothing\n"}, fails: "it holds no Kubernetes object"},
		{name: "no manifests", files: map[string]string{"README.md": "x"}, fails: "no .yaml, .yml or .json file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Read([]string{dir})
			switch {
			case c.fails == "" && err != nil:
				t.Error(err)
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("the error is %v; it should say %q", err, c.fails)
			case len(got) != c.want:
				t.Errorf("%d objects, want %d", len(got), c.want)
			}
		})
	}
}

func TestReadNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := Read([]string{"no-such-file.yaml"})
	if err == nil || !strings.Contains(err.Error(), "no-such-file.yaml") {
		t.Errorf("the error is %v", err)
	}
}

func TestScale(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.yaml")
	const text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 0}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ scale, fails string }{
		{scale: "a=5"},
		{scale: "a", fails: "--scale a is not NAME=REPLICAS"},
		{scale: "a=-1", fails: "--scale a=-1 is not NAME=REPLICAS"},
		{scale: "p=2", fails: `of the workloads is named "p"`},
	} {
		objects, err := Asked{Paths: []string{file}, Scales: []string{c.scale}}.Read()
		switch {
		case c.fails != "":
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: the error is %v; it should say %q", c.scale, err, c.fails)
			}
		case err != nil:
			t.Error(err)
		default:
			spec, ok := objects[0].Object["spec"].(map[string]any)
			if !ok || spec["replicas"] != int64(5) {
				t.Errorf("%s: the spec is %v", c.scale, objects[0].Object["spec"])
			}
		}
	}
}
