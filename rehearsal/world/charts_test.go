package world

import (
	"strings"
	"testing"

	"eks-gpu-slicing/rehearsal/toolcache"
)

func TestChartsAreThoseOfTheRelease(t *testing.T) {
	t.Parallel()
	dir, err := toolcache.KarpenterCharts(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"karpenter", "karpenter-crd"} {
		c, err := charts([]toolcache.Release{{Version: toolcache.KarpenterVersion, Charts: dir}})(t.Context(), "", chartRegistry+name, toolcache.KarpenterVersion)
		if err != nil {
			t.Fatal(err)
		}
		if c.Metadata.Name != name || c.Metadata.Version != toolcache.KarpenterVersion || c.Metadata.AppVersion != toolcache.KarpenterVersion {
			t.Errorf("chart %s is %s %s of %s", name, c.Metadata.Name, c.Metadata.Version, c.Metadata.AppVersion)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("chart %s: %v", name, err)
		}
		if name != "karpenter" {
			continue
		}
		controller, _ := c.Values["controller"].(map[string]any)
		got, _ := controller["image"].(map[string]any)
		if got["repository"] != controllerRepository || got["tag"] != toolcache.KarpenterVersion || got["digest"] != "" {
			t.Errorf("the controller's image is %v", got)
		}
	}
}

func TestOtherChartsAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, chart, version, want string }{
		{"other chart", "oci://example.com/charts/karpenter", "", `chart "oci://example.com/charts/karpenter" is not available`},
		{"another of Karpenter's registry", chartRegistry + "snapshots/karpenter", "", "is not available"},
		{"other version", chartRegistry + "karpenter", "1.9.0", "pulumi config set karpenterVersion " + toolcache.KarpenterVersion},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := charts([]toolcache.Release{{Version: toolcache.KarpenterVersion, Charts: t.TempDir()}})(t.Context(), "", c.chart, c.version)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v; it should say %q", err, c.want)
			}
		})
	}
}
