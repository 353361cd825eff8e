package planning

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider/kubernetes"
	"eks-gpu-slicing/rehearsal/toolcache"
)

// TestDeploymentIsTheCharts: what a preview reads of a standing cluster's Karpenter is
// what its chart makes, for the gate on and off.
func TestDeploymentIsTheCharts(t *testing.T) {
	t.Parallel()
	module, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/karpenter-provider-aws").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, overlays := range []bool{true, false} {
		chart, err := loader.LoadDir(filepath.Join(strings.TrimSpace(string(module)), "charts", "karpenter"))
		if err != nil {
			t.Fatal(err)
		}
		// In the module it bears the release before; see world's charts.
		chart.Metadata.Version, chart.Metadata.AppVersion = toolcache.KarpenterVersion, toolcache.KarpenterVersion
		values := map[string]any{
			"controller": map[string]any{"image": map[string]any{"tag": toolcache.KarpenterVersion, "digest": ""}},
			"settings":   map[string]any{"clusterName": account.StandingCluster, "interruptionQueue": "q", "featureGates": map[string]any{"nodeOverlay": overlays}},
		}
		all, err := chartutil.ToRenderValues(chart, values, chartutil.ReleaseOptions{Name: "karpenter", Namespace: "kube-system"}, chartutil.DefaultCapabilities)
		if err != nil {
			t.Fatal(err)
		}
		rendered, err := engine.Render(chart, all)
		if err != nil {
			t.Fatal(err)
		}
		var made kubernetes.Object
		if err := yaml.Unmarshal([]byte(rendered["karpenter/templates/deployment.yaml"]), &made); err != nil {
			t.Fatal(err)
		}
		// Decoded, both have the same types.
		text, err := yaml.Marshal(deployment(&account.StandingKarpenter{Overlays: overlays, Queue: "q"}))
		if err != nil {
			t.Fatal(err)
		}
		var ours kubernetes.Object
		if err := yaml.Unmarshal(text, &ours); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(within(made, ours), any(ours)); diff != "" {
			t.Errorf("overlays %v (-chart +here):\n%s", overlays, diff)
		}
	}
}

// within is what is in made of the parts that of names; in lists of named things by
// their names.
func within(made, of any) any {
	switch of := of.(type) {
	case kubernetes.Object:
		have, _ := made.(kubernetes.Object)
		out := kubernetes.Object{}
		for k, v := range of {
			if part, ok := have[k]; ok {
				out[k] = within(part, v)
			}
		}
		return out
	case []any:
		have, _ := made.([]any)
		var out []any
		for _, v := range of {
			want, _ := v.(kubernetes.Object)
			for _, h := range have {
				if named, _ := h.(kubernetes.Object); named["name"] == want["name"] {
					out = append(out, within(h, v))
				}
			}
		}
		return out
	}
	return made
}
