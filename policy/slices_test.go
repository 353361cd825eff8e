package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

func member(typ tokens.Type, name string, out object) plugin.AnalyzerStackResource {
	return plugin.AnalyzerStackResource{AnalyzerResource: plugin.AnalyzerResource{
		URN: urn(typ, name), Type: typ, Name: name, Properties: resource.NewPropertyMapFromMap(out),
	}}
}

func metadata(name string) object { return object{"name": name, "namespace": "kube-system"} }

func requirement(key string, values ...any) object {
	return object{"key": key, "operator": "In", "values": values}
}

// configMap is the device plugin's of a pool.
func configMap(pool string, config any) plugin.AnalyzerStackResource {
	return member(configMapType, pool, object{"metadata": metadata(pool), "data": object{"config.yaml": config}})
}

func shares(strategy string, replicas int) string {
	return fmt.Sprintf("version: v1\nsharing:\n  %s:\n    resources:\n    - {name: nvidia.com/gpu, replicas: %d}\n", strategy, replicas)
}

const wholeGPUs = "version: v1\n"

// daemonSet runs the device plugin on a pool with the ConfigMap of that name.
func daemonSet(pool string) plugin.AnalyzerStackResource {
	return member(daemonSetType, pool, object{"metadata": metadata(pool), "spec": object{"template": object{"spec": object{
		"nodeSelector": object{"karpenter.sh/nodepool": pool},
		"containers": list{
			object{"name": "sidecar", "image": "busybox"},
			object{
				"name": "plugin", "image": "nvcr.io/nvidia/k8s-device-plugin:v0.17.4",
				"env":          list{object{"name": "CONFIG_FILE", "value": "/config/config.yaml"}},
				"volumeMounts": list{object{"name": "sockets"}, object{"name": "config", "mountPath": "/config"}},
			},
		},
		"volumes": list{object{"name": "sockets", "hostPath": object{"path": "/x"}}, object{"name": "config", "configMap": object{"name": pool}}},
	}}}})
}

func nodeOverlay(name, pool string, capacity any, requirements ...any) plugin.AnalyzerStackResource {
	if pool != "" {
		requirements = append(requirements, requirement("karpenter.sh/nodepool", pool))
	}
	return member(nodeOverlayType, name, object{"metadata": object{"name": name}, "spec": object{
		"requirements": requirements, "capacity": object{"nvidia.com/gpu": capacity},
	}})
}

func pool(name string, types ...any) plugin.AnalyzerStackResource {
	return member(nodePoolType, name, object{"metadata": object{"name": name}, "spec": object{"template": object{"spec": object{
		"requirements": list{requirement(typeLabel, types...)},
	}}}})
}

// named is a resource under another name; the object in it keeps its own.
func named(r plugin.AnalyzerStackResource, name string) plugin.AnalyzerStackResource {
	r.URN, r.Name = urn(r.Type, name), name
	return r
}

// labelled is a pool whose nodes bear a label.
func labelled(r plugin.AnalyzerStackResource, key, value string) plugin.AnalyzerStackResource {
	template := at(resource.NewProperty(r.Properties), "spec", "template").ObjectValue()
	template["metadata"] = resource.NewPropertyValue(object{"labels": object{key: value}})
	return r
}

type slicesCase struct {
	stack  []plugin.AnalyzerStackResource
	want   []string
	reason string
}

func slicesCases() map[string]slicesCase {
	type stack = []plugin.AnalyzerStackResource
	four := shares("timeSlicing", 4)
	one := requirement(typeLabel, "g4dn.xlarge", "g4dn.2xlarge")
	renamed := "version: v1\nsharing:\n  timeSlicing:\n    renameByDefault: true\n    resources:\n    - {name: gpu, replicas: 4}\n"
	selector := func(v any) plugin.AnalyzerStackResource {
		d := daemonSet("gpu")
		at(resource.NewProperty(d.Properties), "spec", "template", "spec").ObjectValue()["nodeSelector"] = resource.NewPropertyValue(v)
		return d
	}
	return map[string]slicesCase{
		"equal": {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", "4", one), pool("gpu", "g4dn.xlarge", "g4dn.2xlarge")}},
		"the overlay promises more": {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", "8", one)},
			want: []string{"NodeOverlay gpu-1 promises 8 nvidia.com/gpu on g4dn.xlarge, g4dn.2xlarge (1 GPU), but the device plugin on pool gpu advertises 4: 4 a GPU, by ConfigMap kube-system/gpu"}},
		"the overlay promises less":     {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", 2, one)}, want: []string{"promises 2"}},
		"the plugin shares no GPU":      {stack: stack{configMap("gpu", wholeGPUs), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", "4", one)}, want: []string{"advertises 1: 1 a GPU"}},
		"whole GPUs, no overlay":        {stack: stack{configMap("gpu", wholeGPUs), daemonSet("gpu"), pool("gpu", "g4dn.12xlarge")}},
		"shared GPUs, no overlay":       {stack: stack{configMap("gpu", four), daemonSet("gpu")}, want: []string{"and no NodeOverlay tells Karpenter"}},
		"a type without an overlay":     {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", "4", one), pool("gpu", "g4dn.xlarge", "g4dn.12xlarge")}, want: []string{"NodePool gpu may launch a g4dn.12xlarge, and no NodeOverlay says that its 4 GPUs are 16 nvidia.com/gpu"}},
		"a type without a GPU":          {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", "4", one), pool("gpu", "g4dn.xlarge", "m7g.large")}},
		"several GPUs":                  {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu-4", "gpu", "16", requirement(typeLabel, "g4dn.12xlarge"))}},
		"types with unequal counts":     {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu", "gpu", "4", requirement(typeLabel, "g4dn.xlarge", "g4dn.12xlarge"))}, want: []string{"on g4dn.12xlarge (4 GPUs)"}},
		"by a count of GPUs":            {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu", "gpu", "12", requirement(gpuCountLabel, "4"))}, want: []string{"on its instances (4 GPUs), but the device plugin on pool gpu advertises 16"}},
		"a type newer than the list":    {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu", "gpu", "8", requirement(typeLabel, "g9.xlarge"))}},
		"no multiple of the slices":     {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu", "gpu", "6", requirement(typeLabel, "g9.xlarge"))}, want: []string{"no multiple of the 4 a GPU"}},
		"MPS":                           {stack: stack{configMap("gpu", shares("mps", 3)), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", "3", one)}},
		"MPS, unequal, with its daemon": {stack: stack{configMap("gpu", shares("mps", 3)), daemonSet("gpu"), named(daemonSet("gpu"), "daemon"), nodeOverlay("gpu-1", "gpu", "4", one)}, want: []string{"advertises 3"}},
		"MPS, unequal":                  {stack: stack{configMap("gpu", shares("mps", 3)), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", "4", one)}, want: []string{"advertises 3"}},
		"renamed, and not promised so":  {stack: stack{configMap("gpu", renamed), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", "4", one)}, want: []string{"is not what the device plugin on pool gpu advertises", "4 nvidia.com/gpu.shared a GPU"}},
		"two pools, each its own": {stack: stack{
			configMap("infer", four), daemonSet("infer"), nodeOverlay("infer-1", "infer", "4", one), pool("infer", "g4dn.xlarge"),
			configMap("train", wholeGPUs), daemonSet("train"), pool("train", "g4dn.12xlarge"),
		}},
		"two pools, mixed up": {stack: stack{
			configMap("infer", four), daemonSet("infer"), nodeOverlay("infer-1", "infer", "8", one),
			configMap("batch", shares("mps", 8)), daemonSet("batch"), nodeOverlay("batch-1", "batch", "4", one),
		}, want: []string{"NodeOverlay batch-1 promises 4", "NodeOverlay infer-1 promises 8"}},
		"one overlay for two pools": {stack: stack{
			configMap("infer", four), daemonSet("infer"), configMap("batch", shares("mps", 8)), daemonSet("batch"), nodeOverlay("all", "", "4", one),
		}, want: []string{"the device plugin on pool batch advertises 8"}},
		"an overlay where no plugin runs":        {stack: stack{configMap("gpu", wholeGPUs), daemonSet("gpu"), nodeOverlay("x-1", "x", "1", one), pool("x", "g4dn.xlarge")}, want: []string{"promises GPUs on the nodes of pool x, where no device plugin of the stack runs"}},
		"a plugin on every pool":                 {stack: stack{configMap("gpu", four), selector(object{}), nodeOverlay("x-1", "x", "8", one)}, want: []string{"the device plugin on any pool advertises 4"}},
		"a pool without an overlay":              {stack: stack{configMap("gpu", four), selector(object{}), nodeOverlay("a-1", "a", "4", one), pool("a", "g4dn.xlarge"), pool("b", "g4dn.xlarge")}, want: []string{"NodePool b may launch a g4dn.xlarge"}},
		"an overlay for a pool of another stack": {stack: stack{configMap("gpu", wholeGPUs), daemonSet("gpu"), nodeOverlay("x-1", "x", "1", one)}},
		"a plugin by the pools' label": {stack: stack{configMap("gpu", four), selector(object{"gpus": "true"}), nodeOverlay("a-1", "a", "8", one), labelled(pool("a", "g4dn.xlarge"), "gpus", "true"), labelled(pool("b", "g4dn.xlarge"), "gpus", "false")},
			want: []string{"NodeOverlay a-1 promises 8 nvidia.com/gpu on g4dn.xlarge, g4dn.2xlarge (1 GPU), but the device plugin on pool a advertises 4"}},
		"a plugin on every Linux node":            {stack: stack{configMap("gpu", four), selector(object{"kubernetes.io/os": "linux"}), nodeOverlay("a-1", "a", "8", one), pool("a", "g4dn.xlarge")}, want: []string{"the device plugin on pool a advertises 4"}},
		"a plugin on nodes of others":             {stack: stack{configMap("gpu", four), selector(object{"gpus": "true"}), labelled(pool("a", "g4dn.xlarge"), "gpus", "false")}, reason: "on nodes of Karpenter's"},
		"one on nodes of others, one on a pool's": {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", "4", one), pool("gpu", "g4dn.xlarge"), named(selector(object{"gpus": "true"}), "theirs")}},
		"no config at all":                        {stack: stack{member(daemonSetType, "p", object{"metadata": metadata("p"), "spec": object{"template": object{"spec": object{"containers": list{object{"image": "k8s-device-plugin@sha256:0"}}}}}}), nodeOverlay("x", "", "2", one)}, want: []string{"which mounts no ConfigMap"}},
		"config that is not YAML":                 {stack: stack{configMap("gpu", "\t"), daemonSet("gpu")}, want: []string{"ConfigMap kube-system/gpu of DaemonSet kube-system/gpu: it is not YAML"}},
		"another file":                            {stack: stack{member(configMapType, "gpu", object{"metadata": metadata("gpu"), "data": object{"a.yaml": four}}), daemonSet("gpu")}, want: []string{`its files are [a.yaml], and the plugin is told to read "config.yaml"`}},

		"no device plugin":       {stack: stack{nodeOverlay("gpu-1", "gpu", "4", one)}, reason: "no DaemonSet of the stack runs NVIDIA's device plugin"},
		"config unknown":         {stack: stack{configMap("gpu", unknownYet()), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", "4", one)}, reason: "ConfigMap kube-system/gpu is not known before the update"},
		"config of another":      {stack: stack{daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", "4", one)}, reason: "ConfigMap kube-system/gpu is not the stack's"},
		"capacity unknown":       {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", unknownYet(), one)}, reason: "NodeOverlay gpu-1"},
		"pool unknown":           {stack: stack{configMap("gpu", four), selector(object{poolLabel: unknownYet()}), nodeOverlay("gpu-1", "gpu", "4", one)}, reason: "the node selector of DaemonSet kube-system/gpu"},
		"one unknown, one amiss": {stack: stack{configMap("gpu", four), daemonSet("gpu"), nodeOverlay("gpu-1", "gpu", unknownYet(), one), nodeOverlay("gpu-4", "gpu", "4", requirement(typeLabel, "g4dn.12xlarge"))}, want: []string{"NodeOverlay gpu-4 promises 4"}},
	}
}

func TestSlicesAgree(t *testing.T) {
	t.Parallel()
	for name, tc := range slicesCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, order := range []string{"as it is", "the other way round"} { // the engine gives none
				response, err := newPack(rules()).AnalyzeStack(t.Context(), tc.stack)
				read(t, response, err).expect(t, "slices-agree", tc.want, tc.reason)
				if t.Failed() {
					t.Fatal(order)
				}
				slices.Reverse(tc.stack)
			}
		})
	}
}

// A violation is shown at the resource that is at fault.
func TestSlicesAgreeNamesTheResource(t *testing.T) {
	t.Parallel()
	tc := slicesCases()["a type without an overlay"]
	response, err := newPack(rules()).AnalyzeStack(t.Context(), tc.stack)
	if err != nil || len(response.Diagnostics) != 1 || response.Diagnostics[0].URN != urn(nodePoolType, "gpu") {
		t.Errorf("got %v, %v", response.Diagnostics, err)
	}
}
