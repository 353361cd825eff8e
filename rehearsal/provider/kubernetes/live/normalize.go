package live

import (
	"encoding/base64"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

// Normalize implements kubernetes.Cluster (clients/unstructured.go,
// Normalize): a built-in object as it is after a round through its Go type,
// reduced to the fields it had.
func (c *cluster) Normalize(o kubernetes.Object) kubernetes.Object {
	u, err := decode(o)
	if err != nil {
		return o
	}
	switch u.GroupVersionKind().GroupKind().String() {
	case "Secret":
		normalizeSecret(u)
		return u.Object
	case "CustomResourceDefinition.apiextensions.k8s.io":
		// Go's zero values would clutter a schema. The API server drops a false
		// preserveUnknownFields, and a status is none of the program's.
		if keep, ok, err := unstructured.NestedBool(u.Object, "spec", "preserveUnknownFields"); err == nil && ok && !keep {
			unstructured.RemoveNestedField(u.Object, "spec", "preserveUnknownFields")
		}
		delete(u.Object, "status")
		return u.Object
	}
	typed, err := scheme.Scheme.New(u.GroupVersionKind())
	if err != nil {
		return o
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, typed); err != nil {
		return o
	}
	normal, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return o
	}
	return kubernetes.Prune(normal, u.Object)
}

// normalizeSecret moves stringData into data, as the API server does.
func normalizeSecret(u *unstructured.Unstructured) {
	texts, _, err := unstructured.NestedStringMap(u.Object, "stringData")
	if err != nil || len(texts) == 0 {
		return
	}
	data, _, err := unstructured.NestedMap(u.Object, "data")
	if err != nil || data == nil {
		data = map[string]any{}
	}
	for k, v := range texts {
		data[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	u.Object["data"] = data
	delete(u.Object, "stringData")
}
