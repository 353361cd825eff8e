package kubernetes

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"eks-gpu-slicing/rehearsal/provider"
)

// OpenAPI extensions are written with underscores in Pulumi programs, whose
// languages have no dashes in names, and with dashes in Kubernetes
// (provider.go, underscoreToDashMap).
const (
	extensionInPulumi     = "x_kubernetes_"
	extensionInKubernetes = "x-kubernetes-"
)

// toObject unwraps secrets and drops nulls. Unknown values stay
// [resource.Computed].
func toObject(m resource.PropertyMap) Object {
	out := make(Object, len(m))
	for k, v := range m {
		if v = provider.Plain(v); v.IsNull() {
			continue
		}
		key := string(k)
		if strings.HasPrefix(key, extensionInPulumi) {
			key = strings.ReplaceAll(key, "_", "-")
		}
		out[key] = toValue(v)
	}
	return out
}

func toValue(v resource.PropertyValue) any {
	switch v = provider.Plain(v); {
	case v.IsObject():
		return toObject(v.ObjectValue())
	case v.IsArray():
		out := make([]any, 0, len(v.ArrayValue()))
		for _, e := range v.ArrayValue() {
			out = append(out, toValue(e))
		}
		return out
	}
	return v.V
}

// fromObject is the way back; secrets are put on again by annotateSecrets.
func fromObject(o Object) resource.PropertyMap {
	return resource.NewPropertyMapFromMapRepl(o, func(k string) (resource.PropertyKey, bool) {
		if !strings.HasPrefix(k, extensionInKubernetes) {
			return "", false
		}
		return resource.PropertyKey(strings.ReplaceAll(k, "-", "_")), true
	}, nil)
}

func metadata(o Object) Object {
	m, _ := o["metadata"].(Object)
	return m
}

func metaString(o Object, key string) string {
	s, _ := metadata(o)[key].(string)
	return s
}

func nameOf(o Object) string      { return metaString(o, "name") }
func namespaceOf(o Object) string { return metaString(o, "namespace") }

func annotation(o Object, key string) string {
	a, _ := metadata(o)["annotations"].(Object)
	s, _ := a[key].(string)
	return s
}

// setMeta sets a field of metadata, or removes it if value is "". metadata
// that is not known yet is left alone.
func setMeta(o Object, key, value string) {
	m, isMap := o["metadata"].(Object)
	if !isMap {
		if _, exists := o["metadata"]; exists || value == "" {
			return
		}
		m = Object{}
		o["metadata"] = m
	}
	if value == "" {
		delete(m, key)
		return
	}
	m[key] = value
}

func setAnnotation(o Object, key, value string) {
	m := metadata(o)
	if m == nil {
		return
	}
	if _, exists := m["annotations"]; !exists {
		m["annotations"] = Object{}
	}
	if a, ok := m["annotations"].(Object); ok {
		a[key] = value
	}
}

func prune(live, inputs any) any {
	switch in := inputs.(type) {
	case Object:
		l, ok := live.(Object)
		if !ok {
			return live
		}
		out := make(Object, len(in))
		for k, v := range in {
			if have, ok := l[k]; ok {
				out[k] = prune(have, v)
			}
		}
		return out
	case []any:
		l, ok := live.([]any)
		if !ok {
			return live
		}
		out := make([]any, 0, len(in))
		for i := range min(len(l), len(in)) {
			out = append(out, prune(l[i], in[i]))
		}
		return out
	}
	return live
}

// Prune reduces live to what inputs name, in depth, so that defaults and
// fields of other owners are no difference (util.go, pruneMap and pruneSlice).
// Elements of a list beyond those of inputs are dropped.
func Prune(live, inputs Object) Object {
	out, _ := prune(live, inputs).(Object)
	return out
}

// readOnlyMetadata is set by the API server and never an input (provider.go,
// normalizeInputs).
func dropReadOnlyMetadata(o Object) {
	m := metadata(o)
	for _, k := range []string{
		"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp",
		"generation", "managedFields", "resourceVersion", "uid",
	} {
		delete(m, k)
	}
}

// kindOfType reads group, version and kind from a type token such as
// kubernetes:karpenter.sh/v1:NodePool. Any group is accepted, as the real
// provider accepts any custom resource (provider.go, gvkFromURN).
func kindOfType(urn resource.URN) (Kind, error) {
	t := urn.Type()
	if string(t.Package()) != packageName {
		return Kind{}, fmt.Errorf("unrecognized resource type: %q for this provider", t)
	}
	parts := strings.Split(string(t.Module().Name()), "/")
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" || t.Name() == "" {
		return Kind{}, fmt.Errorf("apiVersion does not have both a group and a version: %q", t.Module().Name())
	}
	k := Kind{Group: parts[0], Version: parts[1], Kind: string(t.Name())}
	if k.Group == "core" {
		k.Group = ""
	}
	return k, nil
}

// builtin tells whether the API group is one that Kubernetes ships, not one a
// custom resource definition brings (kinds.go, KnownGroupVersions).
func (k Kind) builtin() bool {
	if !strings.Contains(k.Group, ".") {
		return slices.Contains([]string{"", "apps", "autoscaling", "batch", "extensions", "policy"}, k.Group)
	}
	group, ok := strings.CutSuffix(k.Group, ".k8s.io")
	return ok && slices.Contains([]string{
		"admissionregistration", "apiextensions", "apiregistration", "certificates", "coordination", "discovery",
		"events", "flowcontrol.apiserver", "networking", "node", "rbac.authorization", "resource", "scheduling",
		"storage", "storagemigration",
	}, group)
}

// staticScope is the scope of built-in kinds, known without asking (kinds.go,
// Namespaced). ScopeUnknown means: ask the API server.
func (k Kind) staticScope() Scope {
	if !k.builtin() {
		return ScopeUnknown
	}
	switch k.Kind {
	case "Binding", "ConfigMap", "ControllerRevision", "CronJob", "CSIStorageCapacity", "DaemonSet", "Deployment",
		"Endpoints", "EndpointSlice", "Event", "HorizontalPodAutoscaler", "Ingress", "Job", "Lease", "LimitRange",
		"NetworkPolicy", "PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "PodTemplate", "ReplicaSet",
		"ReplicationController", "ResourceQuota", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount",
		"StatefulSet":
		return ScopeNamespaced
	case "APIService", "CertificateSigningRequest", "ClusterRole", "ClusterRoleBinding", "CSIDriver", "CSINode",
		"CustomResourceDefinition", "FlowSchema", "IngressClass", "MutatingWebhookConfiguration", "Namespace", "Node",
		"PersistentVolume", "PriorityClass", "PriorityLevelConfiguration", "RuntimeClass", "StorageClass",
		"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration", "VolumeAttachment":
		return ScopeCluster
	}
	return ScopeUnknown
}

// id is how the provider names an object to the engine: namespace/name.
func id(o Object) resource.ID { return fqName(namespaceOf(o), nameOf(o)) }

func fqName(namespace, name string) resource.ID {
	if namespace == "" {
		return resource.ID(name)
	}
	return resource.ID(namespace + "/" + name)
}

func parseFqName(id resource.ID) (namespace, name string) {
	if ns, n, ok := strings.Cut(string(id), "/"); ok {
		return ns, n
	}
	return "", string(id)
}

// annotateSecrets puts the secrets of ins onto the same places of outs, and
// makes a Secret's data one (provider.go, annotateSecrets).
func annotateSecrets(outs, ins resource.PropertyMap) {
	if k := outs["kind"]; k.IsString() && k.StringValue() == "Secret" {
		for _, key := range []resource.PropertyKey{"data", "stringData"} {
			if v, ok := outs[key]; ok && !v.IsSecret() {
				outs[key] = resource.MakeSecret(v)
			}
		}
		return
	}
	for k, in := range ins {
		out, ok := outs[k]
		switch {
		case !ok || out.IsSecret():
		case out.IsObject() && in.IsObject():
			annotateSecrets(out.ObjectValue(), in.ObjectValue())
		case in.ContainsSecrets():
			outs[k] = resource.MakeSecret(out)
		}
	}
}
