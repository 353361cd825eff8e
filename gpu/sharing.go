package gpu

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"

	"eks-gpu-slicing/internal/instances"
	"eks-gpu-slicing/internal/settings"
)

// Resource is the name a pod asks for a GPU, or a slice of one, by.
const Resource = "nvidia.com/gpu"

// Label is on every GPU node; its value is "true".
const Label = "nvidia.com/gpu.present"

// Sharing says how pods share a GPU. It is the one source of every quantity
// that follows from it: the plugin's replicas, the overlays' capacity and the
// pool's limit.
type Sharing struct {
	// Slices is the number of pods on one GPU, 1 to settings.MaxSlices; 1 is a
	// whole GPU.
	Slices int
}

// pluginConfig is the device plugin's config file, version v1
// (NVIDIA/k8s-device-plugin, api/config/v1). The plugin ignores a key it does
// not know, so the file is written from types, which cannot misspell one.
type pluginConfig struct {
	Version string         `yaml:"version"`
	Sharing *pluginSharing `yaml:"sharing,omitempty"`
}

type pluginSharing struct {
	TimeSlicing timeSlicing `yaml:"timeSlicing"`
}

type timeSlicing struct {
	// RenameByDefault would call a slice nvidia.com/gpu.shared, a name that no
	// instance type offers and Karpenter therefore launches nothing for.
	RenameByDefault bool `yaml:"renameByDefault"`
	// FailRequestsGreaterThanOne refuses a container that asks for several
	// slices: they could be of one GPU and would give it no larger share.
	FailRequestsGreaterThanOne bool                 `yaml:"failRequestsGreaterThanOne"`
	Resources                  []replicatedResource `yaml:"resources"`
}

type replicatedResource struct {
	Name     string `yaml:"name"`
	Replicas int    `yaml:"replicas"`
}

// PluginConfig is the device plugin's config file. For whole GPUs it has no
// sharing section, because the plugin takes no replicas below 2.
func (s Sharing) PluginConfig() (string, error) {
	config := pluginConfig{Version: "v1"}
	if s.Slices > 1 {
		config.Sharing = &pluginSharing{TimeSlicing: timeSlicing{
			FailRequestsGreaterThanOne: true,
			Resources:                  []replicatedResource{{Name: Resource, Replicas: s.Slices}},
		}}
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("device plugin config: %w", err)
	}
	return string(text), nil
}

// configHash identifies a config. It is on the plugin's pods, which do not watch
// their file: a change rolls them.
func configHash(config string) string {
	sum := sha256.Sum256([]byte(config))
	return hex.EncodeToString(sum[:])[:16]
}

// Quantity is what so many physical GPUs amount to in Resource.
func (s Sharing) Quantity(gpus int) string { return strconv.Itoa(gpus * s.Slices) }

// Pool is a NodePool of GPU instances and how they are shared.
type Pool struct {
	// Name is the NodePool's.
	Name string
	// Types are its instance types, each with NVIDIA GPUs.
	Types []instances.Type
	// Sharing is how its GPUs are shared.
	Sharing Sharing
}

// TypeNames are the names of the pool's instance types, in their order.
func (p *Pool) TypeNames() []string {
	var names []string
	for _, t := range p.Types {
		names = append(names, t.Name)
	}
	return names
}

// Overlay is what Karpenter must be told of the pool's types that have so many
// GPUs: their sliced capacity, before a node of theirs exists.
type Overlay struct {
	// Name is the NodeOverlay's.
	Name string
	// Types are the names of the instance types.
	Types []string
	// Capacity is Resource's, of one node.
	Capacity string
}

// Overlays are the pool's, by number of GPUs. An overlay's capacity is absolute
// for a node, so types with different numbers need one each. Whole GPUs need
// none.
func (p *Pool) Overlays() []Overlay {
	if p.Sharing.Slices == 1 {
		return nil
	}
	byCount := map[int][]string{}
	var counts []int
	for _, t := range p.Types {
		if !slices.Contains(counts, t.GPUs) {
			counts = append(counts, t.GPUs)
		}
		byCount[t.GPUs] = append(byCount[t.GPUs], t.Name)
	}
	slices.Sort(counts)
	var overlays []Overlay
	for _, n := range counts {
		overlays = append(overlays, Overlay{
			Name:     fmt.Sprintf("%s-%d-per-node", p.Name, n),
			Types:    byCount[n],
			Capacity: p.Sharing.Quantity(n),
		})
	}
	return overlays
}

// NewPool checks what the settings ask for against what AWS says of the types.
// clusterDaemonSets is how many pods the cluster puts on every node by itself.
// It returns settings.Problems for a type without an NVIDIA GPU, one with an
// ARM processor, and for more slices than a node can hold pods.
func NewPool(name string, s *settings.Settings, types []instances.Type, clusterDaemonSets int) (*Pool, error) {
	var problems settings.Problems
	const key = "gpuInstanceTypes"
	pool := &Pool{Name: name, Sharing: Sharing{Slices: s.GPUSlices}}
	most, tightest := settings.MaxSlices, instances.Type{}
	for _, t := range types {
		at := fmt.Sprintf("%s[%d]", key, slices.Index(s.GPUInstanceTypes, t.Name))
		mend := "pulumi config set --path '" + at + "' g4dn.xlarge"
		switch {
		case t.GPUs == 0:
			problems.Add(at, t.Name, "an instance type with an NVIDIA GPU, which this one has not", mend)
			continue
		case t.Arch != "amd64":
			problems.Add(at, t.Name, "an instance type with an x86 processor: EKS has no NVIDIA AMI for ARM in all its families", mend)
			continue
		}
		pool.Types = append(pool.Types, t)
		if fits := (t.MaxPods - clusterDaemonSets - pluginPods) / t.GPUs; fits < most {
			most, tightest = fits, t
		}
	}
	if s.GPUSlices > most {
		problems.Add("gpuSlices", strconv.Itoa(s.GPUSlices),
			fmt.Sprintf("at most %d: a %s holds %d pods, %d of them DaemonSets, and has %s", most, tightest.Name, tightest.MaxPods,
				clusterDaemonSets+pluginPods, plural(tightest.GPUs, "GPU")),
			settings.Set("gpuSlices", strconv.Itoa(most)))
	}
	return pool, problems.Err()
}

// pluginPods is how many pods this package puts on every GPU node.
const pluginPods = 1

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
