package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
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

// ReadWorkloads reads the Kubernetes objects of files, and of the .yaml, .yml and
// .json files in folders. What is not YAML, or no Kubernetes object, is an error
// that names the file and the document; all of them are reported.
func ReadWorkloads(paths []string) ([]Object, error) {
	var all []Object
	var problems []error
	for _, path := range paths {
		files, err := workloadFiles(path)
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
	return all, errors.Join(problems...)
}

func workloadFiles(path string) ([]string, error) {
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
		o := &unstructured.Unstructured{Object: content}
		if o.GetAPIVersion() == "" || o.GetKind() == "" || o.GetName() == "" {
			return nil, fmt.Errorf("workload %s, document %d: it is no Kubernetes object, which has apiVersion, kind and metadata.name", file, n)
		}
		all = append(all, Object{File: file, Unstructured: o})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("workload %s: it holds no Kubernetes object", file)
	}
	return all, nil
}

// fieldManager is who applies workloads.
const fieldManager = "rehearse"

// Apply applies workloads by server-side apply, in their order.
func (w *World) Apply(ctx context.Context, objects []Object) error {
	for _, o := range objects {
		resource, err := w.resource(o)
		if err != nil {
			return fmt.Errorf("%v: %w", o, err)
		}
		if _, err := resource.Apply(ctx, o.GetName(), o.Unstructured, metav1.ApplyOptions{FieldManager: fieldManager}); err != nil {
			return fmt.Errorf("%v: %w", o, err)
		}
	}
	return nil
}

// DeleteWorkloads deletes applied workloads, the last first, and waits until they
// and what they own are gone. Those that are gone already are no error.
func (w *World) DeleteWorkloads(ctx context.Context, objects []Object) error {
	foreground := metav1.DeletePropagationForeground
	for _, o := range slices.Backward(objects) {
		resource, err := w.resource(o)
		if err != nil {
			return fmt.Errorf("%v: %w", o, err)
		}
		if err := resource.Delete(ctx, o.GetName(), metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("%v: %w", o, err)
		}
	}
	for _, o := range objects {
		resource, err := w.resource(o)
		if err != nil {
			return fmt.Errorf("%v: %w", o, err)
		}
		for {
			_, err := resource.Get(ctx, o.GetName(), metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				break
			}
			if err != nil {
				return fmt.Errorf("%v: %w", o, err)
			}
			if err := sleep(ctx, poll); err != nil {
				return fmt.Errorf("%v is not gone: %w", o, err)
			}
		}
	}
	return nil
}

// poll is how often the cluster is asked for what is waited for.
const poll = 200 * time.Millisecond

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// resource is where an object is written.
func (w *World) resource(o Object) (dynamic.ResourceInterface, error) {
	config := w.RESTConfig()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	kind := o.GroupVersionKind()
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return client.Resource(mapping.Resource), nil
	}
	namespace := o.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return client.Resource(mapping.Resource).Namespace(namespace), nil
}
