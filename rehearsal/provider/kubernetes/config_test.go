package kubernetes_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

func TestVersionIsTheProgramsSDKs(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile(filepath.Join("..", "..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mod), "github.com/pulumi/pulumi-kubernetes/sdk/v4 v"+kubernetes.Version+"\n") {
		t.Errorf("the stand-in is of pulumi-kubernetes %s, the program's go.mod requires another: read its CHANGELOG, and move Version with it", kubernetes.Version)
	}
}

// The cases are those of provider_diffconfig_test.go in pulumi-kubernetes.
func TestDiffConfig(t *testing.T) {
	t.Parallel()
	kubeconfig := func(v string) resource.PropertyMap {
		return resource.PropertyMap{"kubeconfig": resource.NewStringProperty(v)}
	}
	with := func(m resource.PropertyMap, key resource.PropertyKey, v string) resource.PropertyMap {
		m = m.Copy()
		m[key] = resource.NewStringProperty(v)
		return m
	}
	moved := strings.ReplaceAll(kubeconfigA, "https://a.test", "https://elsewhere.test")
	token := strings.ReplaceAll(kubeconfigA, "token: t", "token: another")

	tests := map[string]struct {
		old, updated      resource.PropertyMap
		changes, replaces []resource.PropertyKey
	}{
		"nothing":                       {kubeconfig(kubeconfigA), kubeconfig(kubeconfigA), nil, nil},
		"another token":                 {kubeconfig(kubeconfigA), kubeconfig(token), keys("kubeconfig"), nil},
		"another server":                {kubeconfig(kubeconfigA), kubeconfig(moved), keys("kubeconfig"), keys("kubeconfig")},
		"a cluster that is not used":    {with(kubeconfig(kubeconfigA), "context", "two"), with(kubeconfig(moved), "context", "two"), keys("kubeconfig"), nil},
		"another context":               {kubeconfig(kubeconfigA), with(kubeconfig(kubeconfigA), "context", "two"), keys("context"), keys("context")},
		"another cluster":               {kubeconfig(kubeconfigA), with(kubeconfig(kubeconfigA), "cluster", "b"), keys("cluster"), keys("cluster")},
		"the same cluster, by name":     {kubeconfig(kubeconfigA), with(kubeconfig(kubeconfigA), "cluster", "a"), keys("cluster"), nil},
		"from none to one":              {resource.PropertyMap{}, kubeconfig(kubeconfigA), keys("kubeconfig"), nil},
		"unknown":                       {kubeconfig(kubeconfigA), resource.PropertyMap{"kubeconfig": unknown()}, keys("kubeconfig"), keys("kubeconfig")},
		"a setting":                     {kubeconfig(kubeconfigA), with(kubeconfig(kubeconfigA), "enableConfigMapMutable", "true"), keys("enableConfigMapMutable"), nil},
		"identifier comes":              {kubeconfig(kubeconfigA), with(kubeconfig(kubeconfigA), "clusterIdentifier", "x"), keys("clusterIdentifier"), nil},
		"identifier goes":               {with(kubeconfig(kubeconfigA), "clusterIdentifier", "x"), kubeconfig(kubeconfigA), keys("clusterIdentifier"), nil},
		"identifier changes":            {with(kubeconfig(kubeconfigA), "clusterIdentifier", "x"), with(kubeconfig(kubeconfigA), "clusterIdentifier", "y"), keys("clusterIdentifier"), keys("clusterIdentifier")},
		"identifier says it's the same": {with(kubeconfig(kubeconfigA), "clusterIdentifier", "x"), with(kubeconfig(moved), "clusterIdentifier", "x"), keys("kubeconfig"), nil},
		"identifier, unknown kubeconfig": {with(kubeconfig(kubeconfigA), "clusterIdentifier", "x"),
			resource.PropertyMap{"kubeconfig": unknown(), "clusterIdentifier": resource.NewStringProperty("x")}, keys("kubeconfig"), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := kubernetes.New(nil).DiffConfig(t.Context(),
				plugin.DiffConfigRequest{OldInputs: tt.old, NewInputs: tt.updated})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(d.ChangedKeys)
			if diff := cmp.Diff(tt.changes, d.ChangedKeys); diff != "" {
				t.Errorf("changed keys (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.replaces, d.ReplaceKeys); diff != "" {
				t.Errorf("replacing keys (-want +got):\n%s", diff)
			}
		})
	}
}

func keys(k ...resource.PropertyKey) []resource.PropertyKey { return k }

func TestCheckConfigRefusesWhatIsNotBuilt(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"{enableServerSideApply: true, enableConfigMapMutable: 'true'}": "",
		"{enableServerSideApply: 'true', strictMode: false}":            "",
		"{enableServerSideApply: false}":                                "enableServerSideApply",
		"{enableServerSideApply: 'false'}":                              "enableServerSideApply",
		"{upsertExistingObjects: 'false', enablePatchForce: false}":     "",
		"{upsertExistingObjects: true}":                                 "upsertExistingObjects",
		"{enablePatchForce: 'true'}":                                    "enablePatchForce",
		"{renderYamlToDirectory: out}":                                  "renderYamlToDirectory",
		"{kubeClientSettings: {burst: 1}}":                              "kubeClientSettings",
		"{helmReleaseSettings: '{\"driver\":\"configmap\"}'}":           "helmReleaseSettings",
	}
	for config, refused := range tests {
		t.Run(config, func(t *testing.T) {
			t.Parallel()
			resp, err := kubernetes.New(nil).CheckConfig(t.Context(),
				plugin.CheckConfigRequest{News: props(t, config)})
			if err != nil {
				t.Fatal(err)
			}
			var got string
			for _, f := range resp.Failures {
				got += string(f.Property)
				if !strings.Contains(f.Reason, "does not implement the provider setting "+refused) {
					t.Errorf("reason %q does not name %s", f.Reason, refused)
				}
			}
			if got != refused {
				t.Errorf("refused %q, want %q", got, refused)
			}
		})
	}
}

func TestConfigureSaysWhyThereIsNoCluster(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config string
		want   string
	}{
		"no kubeconfig":  {"{kubeconfig: ''}", "never uses the one of its environment"},
		"a path":         {"{kubeconfig: /root/.kube/config}", "failed to parse kubeconfig data"},
		"not known yet":  {"{kubeconfig: <unknown>}", "not known yet"},
		"not YAML":       {"{kubeconfig: '{'}", "failed to parse kubeconfig data"},
		"neither string": {"{kubeconfig: 3}", "unexpected kubeconfig format"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := kubernetes.New((&scripted{}).connect)
			if _, err := p.Configure(t.Context(), plugin.ConfigureRequest{Inputs: props(t, tt.config)}); err != nil {
				t.Fatal(err)
			}
			_, err := p.Create(t.Context(), plugin.CreateRequest{
				URN: urn("core/v1:ConfigMap"), Properties: props(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}"),
			})
			if err == nil || !strings.Contains(err.Error(), "configured Kubernetes cluster is unreachable: ") ||
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("Create says %v, want unreachable and %q", err, tt.want)
			}
		})
	}
}
