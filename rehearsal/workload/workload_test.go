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
	const other = "apiVersion: v1\nkind: Pod\nmetadata: {name: b}\n"
	const listOf = "apiVersion: v1\nkind: List\nitems:\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int
		fails string
	}{
		{name: "two documents", files: map[string]string{"a.yaml": pod + "---\n" + other}, want: 2},
		{name: "comments alone between", files: map[string]string{"a.yaml": pod + "---\n# nothing\n---\n" + other}, want: 2},
		{name: "json, and a file that is no manifest", files: map[string]string{"a.json": `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}`, "README.md": "x"}, want: 1},
		{name: "a list", files: map[string]string{"a.yaml": listOf + "- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n"}, want: 2},
		{name: "the same name in two namespaces", files: map[string]string{"a.yaml": pod + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\n"}, want: 2},
		{name: "the same name of two kinds", files: map[string]string{"a.yaml": pod + "---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\n"}, want: 2},
		{name: "windows lines and a byte order mark", files: map[string]string{"a.yaml": "\ufeff" + strings.ReplaceAll(pod+"---\n"+other, "\n", "\r\n")}, want: 2},
		{name: "the same object twice", files: map[string]string{"a.yaml": pod, "b.yaml": pod}, fails: "b.yaml: Pod a is there twice, and first in"},
		{name: "the default namespace by name", files: map[string]string{"a.yaml": pod + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: default}\n"}, fails: "is there twice"},
		{name: "a list without items", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: List\n"}, fails: "document 1: its List has no items"},
		{name: "a list whose items are a map", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems: {a: b}\n"}, fails: "its List has no items"},
		{name: "a list of text", files: map[string]string{"a.yaml": listOf + "- a\n"}, fails: "item 1 of its List is no Kubernetes object"},
		{name: "a list with a nameless object", files: map[string]string{"a.yaml": listOf + "- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- {apiVersion: v1, kind: Pod}\n"}, fails: "document 1, item 2: it is no Kubernetes object"},
		{name: "not UTF-8", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: \xff\xfe}\n"}, fails: "document 1: it is not YAML"},
		{name: "a zero byte", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: \x00\n"}, fails: "document 1: it is not YAML"},
		{name: "tabs", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: a\n"}, fails: "it is not YAML"},
		{name: "json cut off", files: map[string]string{"a.json": `{"apiVersion":"v1",`}, fails: "document 1: it is not YAML"},
		{name: "a number for a name", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: 7}\n"}, fails: "metadata.name"},
		{name: "a kind that is a list", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: [Pod]\nmetadata: {name: a}\n"}, fails: "it is no Kubernetes object"},
		{name: "a chart's template", files: map[string]string{"a.yaml": "{{ if .Values.pod }}\n" + pod + "{{ end }}\n"}, fails: "it is not YAML"},
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
	const text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 0}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n" +
		"---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: s}\nspec: [replicas]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ scale, fails string }{
		{scale: "a=5"},
		{scale: "a", fails: "--scale a is not NAME=REPLICAS"},
		{scale: "a=-1", fails: "--scale a=-1 is not NAME=REPLICAS"},
		{scale: "a=2.5", fails: "--scale a=2.5 is not NAME=REPLICAS"},
		{scale: "a=3000000000", fails: "--scale a=3000000000 is not NAME=REPLICAS"},
		{scale: "=5", fails: `of the workloads is named ""`},
		{scale: "s=5", fails: "its spec is to be a map"},
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

// TestReadFew: more pods than a cluster holds are refused, of all objects together, and
// before anybody makes them.
func TestReadFew(t *testing.T) {
	t.Parallel()
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 149999}\n---\n"
	for name, c := range map[string]struct {
		text, scale, fails string
	}{
		"as many as there may be": {text: deployment + "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {parallelism: 1, completions: 900000}\n"},
		"one more":                {text: deployment + "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {parallelism: 2}\n", fails: "150001 pods, 149999 of them Deployment a"},
		"scaled":                  {text: deployment, scale: "a=150001", fails: "150001 pods, 150001 of them Deployment a"},
		"scaled down":             {text: strings.Replace(deployment, "149999", "99999999", 1), scale: "a=1"},
		"beyond numbers":          {text: strings.Replace(deployment, "149999", "1e300", 1), fails: "2147483647 pods"},
		"fewer than none":         {text: strings.Replace(deployment, "149999", "-5", 1)},
		"no number":               {text: strings.Replace(deployment, "149999", "many", 1)},
	} {
		file := filepath.Join(t.TempDir(), "a.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		asked := Asked{Paths: []string{file}}
		if c.scale != "" {
			asked.Scales = []string{c.scale}
		}
		if _, err := asked.Read(); c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%s: the error is %v; it should say %q", name, err, c.fails)
		}
	}
}

func TestNamespaces(t *testing.T) {
	t.Parallel()
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ml}\n"
	for name, c := range map[string]struct{ text, fails string }{
		"unknown":             {pod, "a.yaml: Pod a: there is no namespace ml: add it to the workloads, with: kubectl create namespace ml"},
		"one of the objects":  {pod + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: ml}\n", ""},
		"that of the system":  {strings.Replace(pod, "ml", "kube-system", 1), ""},
		"default, left out":   {strings.Replace(pod, ", namespace: ml", "", 1), ""},
		"no namespace's name": {strings.Replace(pod, "ml", "M L", 1), "there is no namespace M L"},
	} {
		file := filepath.Join(t.TempDir(), "a.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		objects, err := Read([]string{file})
		if err != nil {
			t.Fatal(err)
		}
		err = Namespaces(objects)
		if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%s: the error is %v; it should say %q", name, err, c.fails)
		}
	}
}
