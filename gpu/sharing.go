package gpu

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"gopkg.in/yaml.v3"

	"eks-gpu-slicing/internal/settings"
)

// Resource is the name a pod asks for a GPU, or a slice of one, by.
const Resource = "nvidia.com/gpu"

// Sharing says how pods share a GPU. It is the one source of every quantity
// that follows from it: the plugin's replicas, the overlays' capacity and the
// pool's limit.
type Sharing struct {
	// Strategy is a settings.Sharing constant; SharingNone if, and only if, Slices
	// is 1.
	Strategy string
	// Slices is the number of pods on one GPU, 1 to settings.MaxSlices.
	Slices int
}

// pluginConfig is the device plugin's config file, version v1
// (NVIDIA/k8s-device-plugin, api/config/v1). The plugin ignores a key it does
// not know, so the file is written from types, which cannot misspell one.
type pluginConfig struct {
	Version string         `yaml:"version"`
	Sharing *pluginSharing `yaml:"sharing,omitempty"`
}

// pluginSharing has one of the two: the plugin takes the first where both are.
type pluginSharing struct {
	MPS         *replicated `yaml:"mps,omitempty"`
	TimeSlicing *replicated `yaml:"timeSlicing,omitempty"`
}

type replicated struct {
	// RenameByDefault would call a slice nvidia.com/gpu.shared, a name that no
	// instance type offers and Karpenter therefore launches nothing for.
	RenameByDefault bool `yaml:"renameByDefault"`
	// FailRequestsGreaterThanOne refuses a container that asks for several
	// slices: they could be of one GPU and would give it no larger share. Under
	// MPS the plugin refuses it always, and sets this where the file does not.
	FailRequestsGreaterThanOne bool                 `yaml:"failRequestsGreaterThanOne"`
	Resources                  []replicatedResource `yaml:"resources"`
}

type replicatedResource struct {
	Name     string `yaml:"name"`
	Replicas int    `yaml:"replicas"`
}

// PluginConfig is the config file of the device plugin and of the MPS daemon. For
// whole GPUs it has no sharing section, because the plugin takes no replicas
// below 2.
func (s Sharing) PluginConfig() (string, error) {
	config := pluginConfig{Version: "v1"}
	shared := &replicated{FailRequestsGreaterThanOne: true, Resources: []replicatedResource{{Name: Resource, Replicas: s.Slices}}}
	switch s.Strategy {
	case settings.SharingTimeSlicing:
		config.Sharing = &pluginSharing{TimeSlicing: shared}
	case settings.SharingMPS:
		config.Sharing = &pluginSharing{MPS: shared}
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("device plugin config: %w", err)
	}
	return string(text), nil
}

// configHash identifies a config. It is on the pods that read one, which do not
// watch their file: a change makes new pods.
func configHash(config string) string {
	sum := sha256.Sum256([]byte(config))
	return hex.EncodeToString(sum[:])[:16]
}

// Quantity is what so many physical GPUs amount to in Resource.
func (s Sharing) Quantity(gpus int) string { return strconv.Itoa(gpus * s.Slices) }

// Slice says what a pod gets that asks for one of Resource.
func (s Sharing) Slice() string {
	switch s.Strategy {
	case settings.SharingTimeSlicing:
		return fmt.Sprintf("turns on a GPU with up to %d other pods; memory is not divided", s.Slices-1)
	case settings.SharingMPS:
		// What the MPS daemon sets: device memory over replicas, and 100 over
		// replicas per cent of the threads, rounded down (cmd/mps-control-daemon).
		return fmt.Sprintf("at most 1/%d of a GPU's memory and %d%% of its compute", s.Slices, 100/s.Slices)
	}
	return "a whole GPU"
}

// mpsClients is how many pods share one GPU at most under MPS, by EC2's name of
// the GPU. The plugin's daemon takes 16 below compute capability 7.5 and 48 from
// there on (cmd/mps-control-daemon/mps/device.go), and refuses to start over that.
// Only these older ones are on EC2, and no older one will come.
func mpsClients(gpu string) int {
	switch gpu {
	case "K80", "M60", "V100":
		return 16
	}
	return settings.MaxSlices
}
