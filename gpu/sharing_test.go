package gpu

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/internal/instances"
	"eks-gpu-slicing/internal/settings"
)

func TestOverlays(t *testing.T) {
	t.Parallel()
	one := instances.Type{Name: "g4dn.xlarge", GPUs: 1}
	four := instances.Type{Name: "g4dn.12xlarge", GPUs: 4}
	eight := instances.Type{Name: "g4dn.metal", GPUs: 8}
	other := instances.Type{Name: "g5.xlarge", GPUs: 1}
	timeSlicing := func(n int) Sharing { return Sharing{Strategy: settings.SharingTimeSlicing, Slices: n} }
	for name, c := range map[string]struct {
		pool    string
		sharing Sharing
		types   []instances.Type
		want    []Overlay
	}{
		"one GPU": {"gpu", timeSlicing(4), []instances.Type{one}, []Overlay{{"gpu-1-per-node", []string{"g4dn.xlarge"}, "4"}}},
		"an overlay a count": {"gpu", timeSlicing(3), []instances.Type{eight, one, four, other}, []Overlay{
			{"gpu-1-per-node", []string{"g4dn.xlarge", "g5.xlarge"}, "3"},
			{"gpu-4-per-node", []string{"g4dn.12xlarge"}, "12"},
			{"gpu-8-per-node", []string{"g4dn.metal"}, "24"},
		}},
		"mps": {"notebooks", Sharing{Strategy: settings.SharingMPS, Slices: 48}, []instances.Type{eight}, []Overlay{
			{"notebooks-8-per-node", []string{"g4dn.metal"}, "384"},
		}},
		"whole GPUs": {"gpu", Sharing{Strategy: settings.SharingNone, Slices: 1}, []instances.Type{one, four}, nil},
	} {
		pool := &Pool{Name: c.pool, Types: c.types, Sharing: c.sharing}
		if diff := cmp.Diff(c.want, pool.Overlays()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPluginConfig(t *testing.T) {
	t.Parallel()
	configs := map[string]string{}
	for _, c := range []struct {
		sharing Sharing
		want    []string
	}{
		{Sharing{Strategy: settings.SharingNone, Slices: 1}, []string{"version: v1\n"}},
		{Sharing{Strategy: settings.SharingTimeSlicing, Slices: 4}, []string{"timeSlicing:", "replicas: 4", "failRequestsGreaterThanOne: true"}},
		{Sharing{Strategy: settings.SharingTimeSlicing, Slices: 8}, []string{"timeSlicing:", "replicas: 8"}},
		{Sharing{Strategy: settings.SharingMPS, Slices: 8}, []string{"mps:", "replicas: 8", "failRequestsGreaterThanOne: true"}},
	} {
		config, err := c.sharing.PluginConfig()
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range c.want {
			if !strings.Contains(config, part) {
				t.Errorf("%+v: %q lacks %q", c.sharing, config, part)
			}
		}
		if strings.Contains(config, "sharing") != (c.sharing.Slices > 1) {
			t.Errorf("%+v: %q", c.sharing, config)
		}
		hash := configHash(config)
		if other, taken := configs[hash]; taken {
			t.Errorf("a change from %q to %q would make no new pods", other, config)
		}
		configs[hash] = config
	}
}

func TestSlice(t *testing.T) {
	t.Parallel()
	for sharing, want := range map[Sharing]string{
		{settings.SharingNone, 1}:        "a whole GPU",
		{settings.SharingTimeSlicing, 4}: "turns on a GPU with up to 3 other pods; memory is not divided",
		{settings.SharingMPS, 7}:         "at most 1/7 of a GPU's memory and 14% of its compute", // MPS rounds down
	} {
		if got := sharing.Slice(); got != want {
			t.Errorf("%+v: %q, want %q", sharing, got, want)
		}
	}
}

// TestMostSlices: the number of slices that each type refuses first, and why.
func TestMostSlices(t *testing.T) {
	t.Parallel()
	small := instances.Type{Name: "g4dn.xlarge", Arch: "amd64", GPUs: 1, GPUName: "T4", MaxPods: 29}
	four := instances.Type{Name: "g4dn.12xlarge", Arch: "amd64", GPUs: 4, GPUName: "T4", MaxPods: 234}
	old := instances.Type{Name: "p3.2xlarge", Arch: "amd64", GPUs: 1, GPUName: "V100", MaxPods: 58}
	for name, c := range map[string]struct {
		sharing string
		types   []instances.Type
		most    int
		why     string
	}{
		"pods of a small node":      {settings.SharingTimeSlicing, []instances.Type{small}, 25, "a g4dn.xlarge holds 29 pods, 4 of them DaemonSets, and has 1 GPU"},
		"the MPS daemon is a pod":   {settings.SharingMPS, []instances.Type{small}, 24, "a g4dn.xlarge holds 29 pods, 5 of them DaemonSets, and has 1 GPU"},
		"the tightest type counts":  {settings.SharingTimeSlicing, []instances.Type{four, small}, 25, "a g4dn.xlarge holds"},
		"an old GPU":                {settings.SharingMPS, []instances.Type{four, old}, 16, "MPS takes no more clients on a V100, the GPU of p3.2xlarge"},
		"an old GPU, time-sliced":   {settings.SharingTimeSlicing, []instances.Type{old}, 48, "no strategy takes more"},
		"clients of a modern GPU":   {settings.SharingMPS, []instances.Type{four}, 48, "no strategy takes more"},
		"time-slicing of four GPUs": {settings.SharingTimeSlicing, []instances.Type{four}, 48, "no strategy takes more"},
	} {
		var names []string
		for _, one := range c.types {
			names = append(names, one.Name)
		}
		asked := &settings.GPUPool{Name: "a", InstanceTypes: names, Slices: c.most, Sharing: c.sharing, Limit: 1,
			From: settings.GPUPoolKeys{Slices: "gpuPools[0].slices"}}
		if _, err := NewPool(asked, c.types, 3); err != nil {
			t.Errorf("%s: %d slices are refused: %v", name, c.most, err)
		}
		asked.Slices++ // more than 48 the settings refuse
		_, err := NewPool(asked, c.types, 3)
		if err == nil || !strings.Contains(err.Error(), c.why) ||
			!strings.Contains(err.Error(), "pulumi config set --path 'gpuPools[0].slices' ") {
			t.Errorf("%s: %d slices: %v, want %q", name, asked.Slices, err, c.why)
		}
	}
}
