package lint

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/plugin/pkg/admission/extendedresourcetoleration"
)

// template is a PodTemplateSpec in an object.
type template struct {
	field   string
	content map[string]any
	// count is how many pods are made of it, as far as the object says.
	count int
}

// templates finds the pod templates in an object of any kind: what is called template
// and has a spec with containers. What stands around it multiplies the pods: replicas
// or parallelism, and nothing runs of what is suspended.
func templates(content map[string]any) []template {
	var found []template
	var walk func(value any, field string, count int)
	walk = func(value any, field string, count int) {
		switch v := value.(type) {
		case []any:
			for i, item := range v {
				walk(item, fmt.Sprintf("%s[%d]", field, i), count)
			}
		case map[string]any:
			count *= podsOf(v)
			for _, key := range slices.Sorted(maps.Keys(v)) {
				inner := strings.TrimPrefix(field+"."+key, ".")
				if child, ok := v[key].(map[string]any); ok && key == "template" && hasContainers(child) {
					found = append(found, template{field: inner, content: child, count: count})
					continue
				}
				walk(v[key], inner, count)
			}
		}
	}
	walk(content, "", 1)
	return found
}

func hasContainers(template map[string]any) bool {
	containers, found, err := unstructured.NestedSlice(template, "spec", "containers")
	return err == nil && found && len(containers) > 0
}

// podsOf is how many pods a set of fields makes of each template in it: replicas, and
// of a Job as many as run at once.
func podsOf(fields map[string]any) int {
	if suspended, _ := fields["suspend"].(bool); suspended {
		return 0
	}
	if replicas, ok := integer(fields["replicas"]); ok {
		return replicas
	}
	parallelism, ok := integer(fields["parallelism"])
	if !ok {
		return 1
	}
	if completions, ok := integer(fields["completions"]); ok {
		return min(parallelism, completions)
	}
	return parallelism
}

func integer(value any) (int, bool) {
	switch v := value.(type) {
	case int64:
		return int(v), true
	case float64:
		return int(v), true
	}
	return 0, false
}

// admit makes a pod of a template as its controller does, and has the API server
// default and admit it; nil if it is no pod template after all. EKS enables one admission plugin beyond Kubernetes' defaults
// that bears on where pods go: ExtendedResourceToleration (EKS user guide, "View Amazon
// EKS platform versions").
func (c *checker) admit(ctx context.Context, o object, t template) (*unit, error) {
	spec := &corev1.PodTemplateSpec{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(t.content, spec); err != nil {
		c.note(o, t.field, "%s is no pod template, and was not checked: %v", t.field, err)
		return nil, nil
	}
	made := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: o.GetName(), Namespace: o.GetNamespace(), Labels: spec.Labels, Annotations: spec.Annotations,
	}, Spec: spec.Spec}
	if made.Namespace == "" {
		made.Namespace = metav1.NamespaceDefault
	}
	legacyscheme.Scheme.Default(made)
	own := made.Spec.Tolerations
	admitted, err := tolerate(ctx, made)
	if err != nil {
		return nil, err
	}
	u := &unit{object: o, field: t.field, count: t.count, pod: admitted}
	for _, toleration := range admitted.Spec.Tolerations {
		if !slices.ContainsFunc(own, func(t corev1.Toleration) bool { return t.MatchToleration(&toleration) }) {
			u.given = append(u.given, toleration)
		}
	}
	return u, nil
}

// tolerate is a pod with the tolerations that ExtendedResourceToleration adds, and what
// the API server sets when a pod is created.
func tolerate(ctx context.Context, made *corev1.Pod) (*corev1.Pod, error) {
	plugins := admission.NewPlugins()
	extendedresourcetoleration.Register(plugins)
	plugin, err := plugins.InitPlugin(extendedresourcetoleration.PluginName, nil, admission.PluginInitializers{})
	if err != nil {
		return nil, err
	}
	mutation, ok := plugin.(admission.MutationInterface)
	if !ok {
		return nil, fmt.Errorf("admission plugin %s admits nothing", extendedresourcetoleration.PluginName)
	}
	internal := &core.Pod{}
	if err := legacyscheme.Scheme.Convert(made, internal, nil); err != nil {
		return nil, err
	}
	attributes := admission.NewAttributesRecord(internal, nil, core.Kind("Pod").WithVersion("v1"), made.Namespace, made.Name,
		core.Resource("pods").WithVersion("v1"), "", admission.Create, &metav1.CreateOptions{}, false, nil)
	if err := mutation.Admit(ctx, attributes, nil); err != nil {
		return nil, err
	}
	pod.Strategy.PrepareForCreate(ctx, internal)
	admitted := &corev1.Pod{}
	return admitted, legacyscheme.Scheme.Convert(internal, admitted, nil)
}
