package kubernetes_test

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

// stateOf is what a Create with these inputs leaves behind when the live
// object is as given.
func stateOf(t *testing.T, inputs, live string) resource.PropertyMap {
	t.Helper()
	p := start(t, (&scripted{live: object(t, live)}).connect, "{}")
	in := props(t, inputs)
	resp, err := p.Create(t.Context(), plugin.CreateRequest{URN: urn("core/v1:ConfigMap"), Properties: in})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Properties
}

const (
	configMap = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {a: '1'}}"
	daemonSet = `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, namespace: ns, labels: {app: x}},
		spec: {selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}},
		spec: {containers: [{name: c, image: i:1, args: [a, b]}]}}}}`
	pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ns}, spec: {containers: [{name: c, image: i:1}]}}"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config    string
		old, live string // live: "" means as old
		updated   string
		ignore    []string
		want      map[string]plugin.DiffKind
		dbr       bool
	}{
		"nothing": {old: configMap, updated: configMap},
		"what the API server added is no difference": {
			old: configMap,
			live: `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns, uid: u, resourceVersion: '7',
				managedFields: [{manager: x}]}, data: {a: '1'}, immutable: false}`,
			updated: configMap,
		},
		"drift is": {
			old:     configMap,
			live:    "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {a: changed}}",
			updated: configMap,
			config:  "{enableConfigMapMutable: true}",
			want:    map[string]plugin.DiffKind{"data.a": plugin.DiffUpdate},
		},
		"somebody else's key is no drift": {
			old:     configMap,
			live:    "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {a: '1', theirs: x}}",
			updated: configMap,
		},
		"a ConfigMap's data replaces it": {
			old:     configMap,
			updated: "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {a: '2'}}",
			want:    map[string]plugin.DiffKind{"data.a": plugin.DiffUpdateReplace}, dbr: true,
		},
		"unless it is mutable": {
			config:  "{enableConfigMapMutable: 'true'}",
			old:     configMap,
			updated: "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {b: '2'}}",
			want:    map[string]plugin.DiffKind{"data.a": plugin.DiffDelete, "data.b": plugin.DiffAdd},
		},
		"mutable, but marked immutable": {
			config:  "{enableConfigMapMutable: true}",
			old:     "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {a: '1'}, immutable: true}",
			updated: "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {a: '2'}, immutable: true}",
			want:    map[string]plugin.DiffKind{"data.a": plugin.DiffUpdateReplace}, dbr: true,
		},
		"an autonamed object is not deleted first": {
			old: `{apiVersion: v1, kind: ConfigMap, data: {a: '1'},
				metadata: {name: c-01234567, namespace: ns, annotations: {pulumi.com/autonamed: 'true'}}}`,
			updated: `{apiVersion: v1, kind: ConfigMap, data: {a: '2'},
				metadata: {name: c-01234567, namespace: ns, annotations: {pulumi.com/autonamed: 'true'}}}`,
			want: map[string]plugin.DiffKind{"data.a": plugin.DiffUpdateReplace},
		},
		"a new name replaces, beside the old": {
			old:     configMap,
			updated: "{apiVersion: v1, kind: ConfigMap, metadata: {name: other, namespace: ns}, data: {a: '1'}}",
			want:    map[string]plugin.DiffKind{"metadata.name": plugin.DiffUpdateReplace},
		},
		"a new namespace too": {
			old:     configMap,
			updated: "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: other}, data: {a: '1'}}",
			want:    map[string]plugin.DiffKind{"metadata.namespace": plugin.DiffUpdateReplace},
		},
		"default is no namespace": {
			old:     "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '1'}}",
			live:    "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: default}, data: {a: '1'}}",
			updated: "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: default}, data: {a: '1'}}",
		},
		"a name that is not known yet": {
			old:     configMap,
			updated: "{apiVersion: v1, kind: ConfigMap, metadata: {name: <unknown>, namespace: ns}, data: {a: '1'}}",
			want:    map[string]plugin.DiffKind{"metadata.name": plugin.DiffUpdateReplace},
		},
		"a Secret's type, mutable or not": {
			config:  "{enableSecretMutable: true}",
			old:     "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns}, type: a, data: {k: dg==}}",
			updated: "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns}, type: b, data: {k: dw==}}",
			want:    map[string]plugin.DiffKind{"type": plugin.DiffUpdateReplace, "data.k": plugin.DiffUpdate}, dbr: true,
		},
		"a Secret's data": {
			old:     "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns}, data: {k: dg==}}",
			updated: "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns}, data: {k: dw==}}",
			want:    map[string]plugin.DiffKind{"data.k": plugin.DiffUpdateReplace}, dbr: true,
		},
		"a DaemonSet's image": {
			old: daemonSet,
			updated: `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, namespace: ns, labels: {app: x}},
				spec: {selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}},
				spec: {containers: [{name: c, image: i:2, args: [a, b, c]}]}}}}`,
			want: map[string]plugin.DiffKind{
				"spec.template.spec.containers[0].image":   plugin.DiffUpdate,
				"spec.template.spec.containers[0].args[2]": plugin.DiffAdd,
			},
		},
		"a DaemonSet's selector": {
			old: daemonSet,
			updated: `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, namespace: ns, labels: {app: x}},
				spec: {selector: {matchLabels: {app: why}}, template: {metadata: {labels: {app: x}},
				spec: {containers: [{name: c, image: i:1, args: [a, b]}]}}}}`,
			want: map[string]plugin.DiffKind{"spec.selector.matchLabels.app": plugin.DiffUpdateReplace}, dbr: true,
		},
		"a sidecar of somebody else's": {
			old: daemonSet,
			live: `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, namespace: ns, labels: {app: x}},
				spec: {selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}},
				spec: {containers: [{name: c, image: i:1, args: [a, b], imagePullPolicy: Always}, {name: sidecar}]}}}}`,
			updated: daemonSet,
		},
		"a Pod's image": {
			old:     pod,
			updated: "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ns}, spec: {containers: [{name: c, image: i:2}]}}",
			want:    map[string]plugin.DiffKind{"spec.containers[0].image": plugin.DiffUpdateReplace}, dbr: true,
		},
		"a Pod's labels": {
			old:     pod,
			updated: "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ns, labels: {a: b}}, spec: {containers: [{name: c, image: i:1}]}}",
			want:    map[string]plugin.DiffKind{"metadata.labels": plugin.DiffAdd},
		},
		"a role binding's role": {
			old:     "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: b}, roleRef: {name: x}}",
			updated: "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: b}, roleRef: {name: yy}}",
			want:    map[string]plugin.DiffKind{"roleRef.name": plugin.DiffUpdateReplace}, dbr: true,
		},
		"a storage class's parameters come": {
			old:     "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: s}, provisioner: p}",
			updated: "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: s}, provisioner: p, parameters: {a: b}}",
			want:    map[string]plugin.DiffKind{"parameters": plugin.DiffAddReplace}, dbr: true,
		},
		"a Job's template goes and comes": {
			old:     "{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: ns}, spec: {template: {spec: {x: 1}}}}",
			updated: "{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: ns}, spec: {template: {spec: {x: 2}}}}",
			want:    map[string]plugin.DiffKind{"spec.template.spec.x": plugin.DiffUpdateReplace}, dbr: true,
		},
		"a custom resource is updated in place": {
			old:     "{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: x86}, spec: {weight: 10, limits: {cpu: '8'}}}",
			updated: "{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: x86}, spec: {weight: 20}}",
			want:    map[string]plugin.DiffKind{"spec.weight": plugin.DiffUpdate, "spec.limits": plugin.DiffDelete},
		},
		"a cluster-scoped object checked before its definition came": {
			old:     "{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: x86, namespace: default}, spec: {weight: 10}}",
			live:    "{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: x86}, spec: {weight: 10}}",
			updated: "{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: x86}, spec: {weight: 10}}",
		},
		"ignored": {
			config: "{enableConfigMapMutable: true}",
			old:    configMap, ignore: []string{"data"},
			updated: "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {a: '2'}}",
		},
		"one ignored, one not": {
			old: configMap, ignore: []string{"data.a"},
			updated: "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {a: '2', b: '3'}}",
			want:    map[string]plugin.DiffKind{"data.b": plugin.DiffAddReplace}, dbr: true,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live := tt.live
			if live == "" {
				live = tt.old
			}
			cluster := &scripted{scopes: map[string]kubernetes.Scope{"karpenter.sh/v1/NodePool": kubernetes.ScopeCluster}}
			p := start(t, cluster.connect, tt.config)
			d, err := p.Diff(t.Context(), plugin.DiffRequest{
				URN: urn("core/v1:ConfigMap"), OldInputs: props(t, tt.old), OldOutputs: stateOf(t, tt.old, live),
				NewInputs: props(t, tt.updated), IgnoreChanges: tt.ignore,
			})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]plugin.DiffKind{}
			for path, change := range d.DetailedDiff {
				got[path] = change.Kind
			}
			want := map[string]plugin.DiffKind{}
			maps.Copy(want, tt.want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("detailed diff (-want +got):\n%s", diff)
			}
			if some := d.Changes == plugin.DiffSome; some != (len(want) > 0) {
				t.Errorf("changes is %v with %d differences", d.Changes, len(want))
			}
			if d.DeleteBeforeReplace != tt.dbr {
				t.Errorf("deleteBeforeReplace is %v", d.DeleteBeforeReplace)
			}
		})
	}
}
