package main

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// gpuResource is the resource a GPU is, and how the names of its slices begin.
const gpuResource = "nvidia.com/gpu"

// poolsOf are the pools that a node selector selects: the one it names, or those
// of the stack whose nodes bear its labels. Nodes that others make are none's.
func poolsOf(selector resource.PropertyMap, nodePools []nodePool) pools {
	if name := text(open(selector[poolLabel])); name != "" {
		return pools{name}
	}
	var all pools
	for _, pool := range nodePools {
		bears := func() bool {
			for label, value := range selector {
				own := strings.Contains(string(label), "kubernetes.io/") // the kubelet's, such as kubernetes.io/os
				if !own && text(at(pool.labels, label)) != text(open(value)) {
					return false
				}
			}
			return true
		}
		if bears() {
			all = append(all, pool.name)
		}
	}
	return all
}

// readPlugin reads a DaemonSet, and tells whether it is the device plugin on nodes
// of Karpenter's, and what it advertises is known.
func readPlugin(
	urn resource.URN, v resource.PropertyValue, configs map[string]resource.PropertyValue, nodePools []nodePool, r *report,
) (gpuPlugin, bool) {
	spec := at(v, "spec", "template", "spec")
	container, ok := pluginContainer(spec)
	if !ok {
		return gpuPlugin{}, false
	}
	p := gpuPlugin{urn: urn, name: objectName(v)}
	selector := at(spec, "nodeSelector")
	if selector.ContainsUnknowns() {
		r.later("the node selector of DaemonSet " + p.name)
		return p, false
	}
	if selector.IsObject() && len(selector.ObjectValue()) > 0 {
		if p.pools = poolsOf(selector.ObjectValue(), nodePools); len(p.pools) == 0 {
			return p, false
		}
	}
	mounted := mountedConfig(spec, container)
	if mounted == "" {
		p.says = fmt.Sprintf("DaemonSet %s, which mounts no ConfigMap", p.name)
		p.slices = map[string]int{gpuResource: 1}
		return p, true
	}
	namespace, _, _ := strings.Cut(p.name, "/")
	p.says = "ConfigMap " + namespace + "/" + mounted
	config, ours := configs[namespace+"/"+mounted]
	data := at(config, "data")
	switch {
	case !ours:
		r.unknown = append(r.unknown, p.says+" is not the stack's")
		return p, false
	case data.ContainsUnknowns():
		r.later(p.says)
		return p, false
	}
	source, err := configFile(data, container)
	if err == nil {
		p.slices, err = advertised(source)
	}
	if err != nil {
		r.violatedBy(urn, "%s of DaemonSet %s: %v", p.says, p.name, err)
		return p, false
	}
	return p, true
}

// pluginContainer finds the container that runs the device plugin's image.
func pluginContainer(spec resource.PropertyValue) (resource.PropertyValue, bool) {
	for _, c := range items(at(spec, "containers")) {
		image, _, _ := strings.Cut(path.Base(text(at(c, "image"))), "@")
		image, _, _ = strings.Cut(image, ":")
		if image == "k8s-device-plugin" {
			return c, true
		}
	}
	return resource.PropertyValue{}, false
}

// mountedConfig is the name of the ConfigMap that a container mounts.
func mountedConfig(spec, container resource.PropertyValue) string {
	for _, m := range items(at(container, "volumeMounts")) {
		for _, volume := range items(at(spec, "volumes")) {
			if name := text(at(volume, "configMap", "name")); name != "" && text(at(volume, "name")) == text(at(m, "name")) {
				return name
			}
		}
	}
	return ""
}

// configFile is the file that the plugin reads, of those in its ConfigMap: the
// one that CONFIG_FILE or --config-file names, or the only one.
func configFile(data, container resource.PropertyValue) (string, error) {
	var file string
	for _, e := range items(at(container, "env")) {
		if text(at(e, "name")) == "CONFIG_FILE" {
			file = path.Base(text(at(e, "value")))
		}
	}
	arguments, _ := words(at(container, "args"))
	for _, a := range arguments {
		if value, ok := strings.CutPrefix(a, "--config-file="); ok {
			file = path.Base(value)
		}
	}
	if !data.IsObject() {
		return "", fmt.Errorf("it has no data")
	}
	keys := data.ObjectValue().StableKeys()
	if file == "" && len(keys) == 1 {
		file = string(keys[0])
	}
	if !slices.Contains(keys, resource.PropertyKey(file)) {
		return "", fmt.Errorf("its files are %v, and the plugin is told to read %q", keys, file)
	}
	return text(at(data, resource.PropertyKey(file))), nil
}

// sharingConfig is the part of the device plugin's config that the rule reads
// (NVIDIA/k8s-device-plugin, api/config/v1).
type sharingConfig struct {
	Sharing struct {
		TimeSlicing *sharing `yaml:"timeSlicing"`
		MPS         *sharing `yaml:"mps"`
	} `yaml:"sharing"`
}

// sharing knows no other name for a resource: the plugin ignores rename.
type sharing struct {
	RenameByDefault bool `yaml:"renameByDefault"`
	Resources       []struct {
		Name     string `yaml:"name"`
		Replicas int    `yaml:"replicas"`
	} `yaml:"resources"`
}

// advertised is how many pods a plugin with this config lets share one GPU, by
// the name of the resource they ask for.
func advertised(source string) (map[string]int, error) {
	var config sharingConfig
	if err := yaml.Unmarshal([]byte(source), &config); err != nil {
		return nil, fmt.Errorf("it is not YAML: %w", err)
	}
	out := map[string]int{gpuResource: 1}
	for _, s := range []*sharing{config.Sharing.TimeSlicing, config.Sharing.MPS} {
		if s == nil {
			continue
		}
		for _, shared := range s.Resources {
			name := "nvidia.com/" + strings.TrimPrefix(shared.Name, "nvidia.com/")
			delete(out, name)
			if s.RenameByDefault {
				name += ".shared"
			}
			out[name] = shared.Replicas
		}
	}
	return out, nil
}
