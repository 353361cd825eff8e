package kubernetes_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		typ        string
		config     string
		olds, news string
		autonaming *plugin.AutonamingOptions
		want       string // AUTO stands for web-<8 hex digits>
		err        string
	}{
		"a name of the program's stays": {
			typ:  "core/v1:ConfigMap",
			news: "{apiVersion: v1, kind: ConfigMap, metadata: {name: mine, namespace: kube-system}, data: {a: b}}",
			want: "{apiVersion: v1, kind: ConfigMap, metadata: {name: mine, namespace: kube-system}, data: {a: b}}",
		},
		"autonaming and the default namespace": {
			typ:  "core/v1:ConfigMap",
			news: "{apiVersion: v1, kind: ConfigMap, data: {a: b}}",
			want: "{apiVersion: v1, kind: ConfigMap, data: {a: b}, metadata: {name: AUTO, namespace: default, annotations: {pulumi.com/autonamed: 'true'}}}",
		},
		"autonaming keeps annotations": {
			typ:  "core/v1:ConfigMap",
			news: "{apiVersion: v1, kind: ConfigMap, metadata: {annotations: {x: why}}}",
			want: "{apiVersion: v1, kind: ConfigMap, metadata: {name: AUTO, namespace: default, annotations: {x: why, pulumi.com/autonamed: 'true'}}}",
		},
		"an old autoname is kept": {
			typ:  "core/v1:ConfigMap",
			olds: "{apiVersion: v1, kind: ConfigMap, metadata: {name: web-01234567, namespace: default, annotations: {pulumi.com/autonamed: 'true'}}}",
			news: "{apiVersion: v1, kind: ConfigMap}",
			want: "{apiVersion: v1, kind: ConfigMap, metadata: {name: web-01234567, namespace: default, annotations: {pulumi.com/autonamed: 'true'}}}",
		},
		"a given name replaces an old autoname": {
			typ:  "core/v1:ConfigMap",
			olds: "{apiVersion: v1, kind: ConfigMap, metadata: {name: web-01234567, annotations: {pulumi.com/autonamed: 'true'}}}",
			news: "{apiVersion: v1, kind: ConfigMap, metadata: {name: mine}}",
			want: "{apiVersion: v1, kind: ConfigMap, metadata: {name: mine, namespace: default}}",
		},
		"the engine's autonaming": {
			typ:        "core/v1:ConfigMap",
			news:       "{apiVersion: v1, kind: ConfigMap}",
			autonaming: &plugin.AutonamingOptions{ProposedName: "exact", Mode: plugin.AutonamingModeEnforce},
			want:       "{apiVersion: v1, kind: ConfigMap, metadata: {name: exact, namespace: default, annotations: {pulumi.com/autonamed: 'true'}}}",
		},
		"autonaming switched off": {
			typ:        "core/v1:ConfigMap",
			news:       "{apiVersion: v1, kind: ConfigMap}",
			autonaming: &plugin.AutonamingOptions{Mode: plugin.AutonamingModeDisabled},
			err:        "autonaming is disabled, resource requires the .metadata.name field to be set",
		},
		"generateName": {
			typ:  "core/v1:ConfigMap",
			news: "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: x-}}",
			err:  "generateName",
		},
		"a name that is not known yet": {
			typ:  "core/v1:ConfigMap",
			news: "{apiVersion: v1, kind: ConfigMap, metadata: {name: <unknown>}}",
			want: "{apiVersion: v1, kind: ConfigMap, metadata: {name: <unknown>, namespace: default}}",
		},
		"metadata that is not known yet": {
			typ:  "core/v1:ConfigMap",
			news: "{apiVersion: v1, kind: ConfigMap, metadata: <unknown>}",
			want: "{apiVersion: v1, kind: ConfigMap, metadata: <unknown>}",
		},
		"a namespace that is not known yet": {
			typ:  "core/v1:ConfigMap",
			news: "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: <unknown>}}",
			want: "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: <unknown>}}",
		},
		"the provider's namespace": {
			typ:    "core/v1:ConfigMap",
			config: "{namespace: team-a}",
			news:   "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}",
			want:   "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: team-a}}",
		},
		"the context's namespace": {
			typ:    "core/v1:ConfigMap",
			config: "{context: two}",
			news:   "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}",
			want:   "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: team}}",
		},
		"cluster-scoped kinds get none": {
			typ:  "core/v1:Namespace",
			news: "{apiVersion: v1, kind: Namespace, metadata: {name: x}}",
			want: "{apiVersion: v1, kind: Namespace, metadata: {name: x}}",
		},
		"nor cluster-scoped custom resources the API server knows": {
			typ:  "karpenter.sh/v1:NodePool",
			news: "{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: x}}",
			want: "{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: x}}",
		},
		"a custom resource nobody knows counts as namespaced": {
			typ:  "example.com/v1:Thing",
			news: "{apiVersion: example.com/v1, kind: Thing, metadata: {name: x}}",
			want: "{apiVersion: example.com/v1, kind: Thing, metadata: {name: x, namespace: default}}",
		},
		"nulls and read-only metadata go": {
			typ:  "core/v1:ConfigMap",
			news: "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns, uid: u, resourceVersion: '1', labels: null}, data: null}",
			want: "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns}}",
		},
		"a Secret's data is secret": {
			typ:  "core/v1:Secret",
			news: "{apiVersion: v1, kind: Secret, metadata: {name: x, namespace: ns}, data: {k: dg==}}",
			want: "{apiVersion: v1, kind: Secret, metadata: {name: x, namespace: ns}, data: {<secret>: {k: dg==}}}",
		},
		"OpenAPI extensions": {
			typ:  "apiextensions.k8s.io/v1:CustomResourceDefinition",
			news: "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x}, spec: {x_kubernetes_int_or_string: true}}",
			want: "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x}, spec: {x_kubernetes_int_or_string: true}}",
		},
		"no version":  {typ: "karpenter.sh:NodePool", news: "{}", err: `does not have both a group and a version: "karpenter.sh"`},
		"no group":    {typ: "/v1:NodePool", news: "{}", err: `does not have both a group and a version`},
		"a list":      {typ: "core/v1:ConfigMapList", news: "{}", err: "list resources"},
		"a patch":     {typ: "apps/v1:DaemonSetPatch", news: "{}", err: `does not implement the resource type "kubernetes:apps/v1:DaemonSetPatch"`},
		"AllowedList": {typ: "example.com/v1:AllowList", news: "{metadata: {name: x, namespace: ns}}", want: "{metadata: {name: x, namespace: ns}}"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := &scripted{scopes: map[string]kubernetes.Scope{"karpenter.sh/v1/NodePool": kubernetes.ScopeCluster}}
			p := start(t, cluster.connect, tt.config)
			resp, err := p.Check(t.Context(), plugin.CheckRequest{
				URN: urn(tt.typ), Olds: props(t, tt.olds), News: props(t, tt.news),
				RandomSeed: []byte("seed"), Autonaming: tt.autonaming,
			})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := regexp.MustCompile(`web-[0-9a-f]{8}\b`).ReplaceAllString(plain(t, resp.Properties), "AUTO")
			want := regexp.MustCompile(`web-[0-9a-f]{8}\b`).ReplaceAllString(canonical(t, tt.want), "AUTO")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("inputs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckKeepsProgramSecrets(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "{}")
	news := props(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns}}")
	news["data"] = resource.NewObjectProperty(resource.PropertyMap{
		"open": resource.NewStringProperty("a"), "token": resource.MakeSecret(resource.NewStringProperty("b")),
	})
	resp, err := p.Check(t.Context(), plugin.CheckRequest{URN: urn("core/v1:ConfigMap"), News: news})
	if err != nil {
		t.Fatal(err)
	}
	data := resp.Properties["data"].ObjectValue()
	if !data["token"].IsSecret() || data["open"].IsSecret() {
		t.Errorf("data is %v, want only token to be secret", data)
	}
}
