package gpu

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/internal/instances"
)

func TestOverlays(t *testing.T) {
	t.Parallel()
	one := instances.Type{Name: "g4dn.xlarge", GPUs: 1}
	four := instances.Type{Name: "g4dn.12xlarge", GPUs: 4}
	eight := instances.Type{Name: "g4dn.metal", GPUs: 8}
	other := instances.Type{Name: "g5.xlarge", GPUs: 1}
	for name, c := range map[string]struct {
		slices int
		types  []instances.Type
		want   []Overlay
	}{
		"one GPU": {4, []instances.Type{one}, []Overlay{{"gpu-1-per-node", []string{"g4dn.xlarge"}, "4"}}},
		"an overlay a count": {3, []instances.Type{eight, one, four, other}, []Overlay{
			{"gpu-1-per-node", []string{"g4dn.xlarge", "g5.xlarge"}, "3"},
			{"gpu-4-per-node", []string{"g4dn.12xlarge"}, "12"},
			{"gpu-8-per-node", []string{"g4dn.metal"}, "24"},
		}},
		"whole GPUs": {1, []instances.Type{one, four}, nil},
	} {
		pool := &Pool{Name: "gpu", Types: c.types, Sharing: Sharing{Slices: c.slices}}
		if diff := cmp.Diff(c.want, pool.Overlays()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPluginConfig(t *testing.T) {
	t.Parallel()
	whole, err := Sharing{Slices: 1}.PluginConfig()
	if err != nil || whole != "version: v1\n" {
		t.Errorf("whole GPUs: %q (%v)", whole, err)
	}
	four, err := Sharing{Slices: 4}.PluginConfig()
	if err != nil || !strings.Contains(four, "replicas: 4") {
		t.Errorf("four slices: %q (%v)", four, err)
	}
	if configHash(whole) == configHash(four) {
		t.Error("a change of slices would not roll the plugin's pods")
	}
}
