// Package workload reads the Kubernetes manifests that a user rehearses with.
//
// It knows nothing of a cluster: a manifest of a kind that the cluster does not have
// is found when it is applied.
package workload

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// Object is an object of a workload and the file it is from.
type Object struct {
	File string
	*unstructured.Unstructured
}

// String names the object for messages.
func (o Object) String() string {
	return fmt.Sprintf("%s %s (%s)", o.GetKind(), o.GetName(), o.File)
}

// Asked is what a user rehearses with.
type Asked struct {
	// Paths are files, and folders of files, of Kubernetes objects.
	Paths []string
	// Scales are numbers of replicas as NAME=REPLICAS.
	Scales []string
}

// MostPods is how many pods Kubernetes is made for in one cluster ("Considerations for
// large clusters" of its documentation).
const MostPods = 150_000

// Read reads and scales what is asked for. The error tells all that is wrong, more than
// [MostPods] pods included.
func (a Asked) Read() ([]Object, error) {
	objects, err := Read(a.Paths)
	if err != nil {
		return nil, err
	}
	return objects, errors.Join(Scale(objects, a.Scales), few(objects))
}

// few reports workloads that ask for more pods than a cluster holds. More would take all
// memory before the first of them is refused.
func few(objects []Object) error {
	var pods, most int64
	var largest Object
	for _, o := range objects {
		n := replicas(o)
		if pods += n; n > most {
			most, largest = n, o
		}
	}
	if pods <= MostPods {
		return nil
	}
	return fmt.Errorf("the workloads ask for %d pods, %d of them %v, and Kubernetes is made for %d in a cluster: ask for less, of a Deployment with --scale NAME=REPLICAS", pods, most, largest, MostPods)
}

// replicas is how many pods an object asks to have at once, in as far as it says so in
// numbers; what they are worth is found when it is applied.
func replicas(o Object) int64 {
	field := "replicas"
	if o.GetKind() == "Job" {
		field = "parallelism"
	}
	value, _, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", field) // none is no number
	switch n := value.(type) {
	case int64: // as Scale writes it
		return max(n, 0)
	case float64: // as JSON has it
		return int64(max(0, min(n, math.MaxInt32)))
	default:
		return 0
	}
}

// Read reads the Kubernetes objects of files, and of the .yaml, .yml and
// .json files in folders. What is not YAML, or no Kubernetes object, is an error
// that names the file and the document; all of them are reported.
func Read(paths []string) ([]Object, error) {
	var all []Object
	var problems []error
	for _, path := range paths {
		files, err := filesOf(path)
		if err != nil {
			problems = append(problems, err)
		}
		for _, file := range files {
			objects, err := readObjects(file)
			if err != nil {
				problems = append(problems, err)
			}
			all = append(all, objects...)
		}
	}
	if err := errors.Join(append(problems, once(all))...); err != nil {
		return nil, err
	}
	return all, nil
}

func filesOf(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("workload: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("workload: %w", err)
	}
	var files []string
	for _, e := range entries {
		if e.Type()&fs.ModeDir == 0 && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("workload %s: the folder holds no .yaml, .yml or .json file", path)
	}
	return files, nil
}

func readObjects(file string) ([]Object, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("workload: %w", err)
	}
	var all []Object
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for n := 1; ; n++ {
		var content map[string]any
		if err := decoder.Decode(&content); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("workload %s, document %d: it is not YAML: %w", file, n, err)
		}
		if len(content) == 0 {
			continue // nothing but comments
		}
		contents, err := listed(content)
		if err != nil {
			return nil, fmt.Errorf("workload %s, document %d: %w", file, n, err)
		}
		for i, content := range contents {
			o := &unstructured.Unstructured{Object: content}
			if o.GetAPIVersion() == "" || o.GetKind() == "" || o.GetName() == "" {
				at := fmt.Sprintf("document %d", n)
				if o.Object == nil || len(contents) > 1 {
					at += fmt.Sprintf(", item %d", i+1)
				}
				return nil, fmt.Errorf("workload %s, %s: it is no Kubernetes object, which has apiVersion, kind and metadata.name", file, at)
			}
			all = append(all, Object{File: file, Unstructured: o})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("workload %s: it holds no Kubernetes object", file)
	}
	return all, nil
}

// listed are the objects of a List, which is what `kubectl get -o yaml` prints of
// several, or the one object there is.
func listed(content map[string]any) ([]map[string]any, error) {
	if content["kind"] != "List" || content["apiVersion"] != "v1" {
		return []map[string]any{content}, nil
	}
	items, ok := content["items"].([]any)
	if !ok || len(items) == 0 {
		return nil, errors.New("its List has no items: a list of Kubernetes objects")
	}
	var all []map[string]any
	for i, item := range items {
		object, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("item %d of its List is no Kubernetes object, which has apiVersion, kind and metadata.name", i+1)
		}
		all = append(all, object)
	}
	return all, nil
}

// once reports objects that are there twice: applied, the second would take the place
// of the first without a word.
func once(objects []Object) error {
	type identity struct{ group, kind, namespace, name string }
	first := map[identity]Object{}
	var problems []error
	for _, o := range objects {
		id := identity{o.GroupVersionKind().Group, o.GetKind(), namespaceOf(o), o.GetName()}
		if before, twice := first[id]; twice {
			problems = append(problems, fmt.Errorf("workload %s: %s %s is there twice, and first in %s: rename one, or name each file once", o.File, o.GetKind(), o.GetName(), before.File))
			continue
		}
		first[id] = o
	}
	return errors.Join(problems...)
}

// namespaceOf is the namespace that an object is applied to, if its kind has any.
func namespaceOf(o Object) string { return cmp.Or(o.GetNamespace(), "default") }

// Namespaces reports the namespaces that objects name and that neither a new cluster
// nor the objects have.
func Namespaces(objects []Object) error {
	there := []string{"default", "kube-system", "kube-public", "kube-node-lease"}
	for _, o := range objects {
		if o.GetKind() == "Namespace" {
			there = append(there, o.GetName())
		}
	}
	var problems []error
	for _, o := range objects {
		if name := namespaceOf(o); !slices.Contains(there, name) {
			problems = append(problems, fmt.Errorf("workload %s: %s %s: there is no namespace %s: add it to the workloads, with: kubectl create namespace %[4]s --dry-run=client -o yaml", o.File, o.GetKind(), o.GetName(), name))
		}
	}
	return errors.Join(problems...)
}

// Scale sets the number of replicas of the workloads that are named, as `kubectl
// scale` does. Each of scales is NAME=REPLICAS. The error lists all that name
// nothing that could be scaled, or no number.
func Scale(objects []Object, scales []string) error {
	var problems []error
	for _, text := range scales {
		name, number, _ := strings.Cut(text, "=")
		replicas, err := strconv.ParseInt(number, 10, 32)
		if err != nil || replicas < 0 {
			problems = append(problems, fmt.Errorf("--scale %s is not NAME=REPLICAS, such as web=5", text))
			continue
		}
		found := false
		for _, o := range objects {
			if o.GetName() != name || !slices.Contains([]string{"Deployment", "ReplicaSet", "StatefulSet"}, o.GetKind()) {
				continue
			}
			found = true
			if err := unstructured.SetNestedField(o.Object, replicas, "spec", "replicas"); err != nil {
				problems = append(problems, fmt.Errorf("--scale %s: %v: its spec is to be a map: %w", text, o, err))
			}
		}
		if !found {
			problems = append(problems, fmt.Errorf("--scale %s: no Deployment, ReplicaSet or StatefulSet of the workloads is named %q", text, name))
		}
	}
	return errors.Join(problems...)
}
