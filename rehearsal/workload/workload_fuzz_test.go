package workload

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// written puts a manifest into a file of its own.
func written(t *testing.T, manifest []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "workload.yaml")
	if err := os.WriteFile(file, manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// FuzzRead: no file panics; what is wrong names the file; what is read is an
// object with a name, and is read again as it was when it is written as JSON.
func FuzzRead(f *testing.F) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {x: \"1\"}}\n"
	for _, seed := range []string{
		pod, pod + "---\n# nothing\n---\n" + pod, "", "---", "- a", "a: [b", "\t", "{}", "null", "~",
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"priority":1e3,"x":[1,-2.5,null,true]}}`,
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- a\n", `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}]}`,
		"kind: Pod\nmetadata: {name: a}\n", "apiVersion: v1\nmetadata: {name: a}\n", "apiVersion: v1\nkind: Pod\nmetadata: a\n", "apiVersion: 1\nkind: [x]\nmetadata: {name: {}}\n",
		"a: &a [*a]\n", "a: &a {b: 1}\nc: {<<: *a}\napiVersion: v1\nkind: K\nmetadata: {name: n}\n", "\xff\xfe", "{\"apiVersion\":\"v1\"}{",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {x: 0x10, y: 1_000, z: 9223372036854775808, t: 2026-11-24, n: .nan}\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, manifest []byte) {
		file := written(t, manifest)
		objects, err := Read([]string{file})
		if err != nil {
			if !strings.Contains(err.Error(), file) || len(objects) != 0 {
				t.Fatalf("%d objects, and the error does not name the file: %v", len(objects), err)
			}
			return
		}
		var again bytes.Buffer
		for _, o := range objects {
			if o.GetAPIVersion() == "" || o.GetKind() == "" || o.GetName() == "" || !strings.Contains(o.String(), o.GetName()) {
				t.Fatalf("no Kubernetes object: %v", o.Object)
			}
			if err := json.NewEncoder(&again).Encode(o.Object); err != nil {
				t.Fatal(err)
			}
			again.WriteString("---\n")
		}
		second, err := Read([]string{written(t, again.Bytes())})
		if err != nil || len(second) != len(objects) {
			t.Fatalf("%d objects, want %d: %v\n%s", len(second), len(objects), err, &again)
		}
		for i := range objects {
			if d := cmp.Diff(objects[i].Object, second[i].Object); d != "" {
				t.Fatalf("-first +second:\n%s", d)
			}
		}
	})
}

// FuzzScale: no number of replicas and no workload panics, and what is scaled has
// that number.
func FuzzScale(f *testing.F) {
	f.Add([]byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1}\n"), "web=5")
	f.Add([]byte("apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web}\nspec: nothing\n"), "web=5")
	f.Add([]byte("apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: \"a=b\"}\n"), "a=b=1")
	f.Add([]byte("apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"), "web=99999999999999999999")
	f.Fuzz(func(t *testing.T, manifest []byte, scale string) {
		objects, err := Asked{Paths: []string{written(t, manifest)}, Scales: []string{scale}}.Read()
		if err != nil {
			return
		}
		name, number, _ := strings.Cut(scale, "=")
		want, err := strconv.ParseInt(number, 10, 32)
		if err != nil || want < 0 {
			t.Fatalf("--scale %s is taken: %v", scale, err)
		}
		scaled := 0
		for _, o := range objects {
			got, found, err := unstructured.NestedInt64(o.Object, "spec", "replicas")
			if o.GetName() == name && found && err == nil && got == want {
				scaled++
			}
		}
		if scaled == 0 {
			t.Fatalf("nothing has %d replicas after --scale %s", want, scale)
		}
	})
}
