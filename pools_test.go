package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// Objects that a plan makes of slices, by kind and name, as plain maps.
type objects map[string]map[string]any

func kubernetesObjects(r *recorder) objects {
	all := objects{}
	for k, one := range r.resources {
		in := one.inputs.Mappable()
		if kind, ok := in["kind"].(string); ok && strings.HasPrefix(k, "kubernetes:") {
			all[kind+" "+at[string](in, "metadata", "name")] = in
		}
	}
	return all
}

// at is the value at a path, or the zero value where there is none.
func at[T any](of any, path ...string) T {
	for _, key := range path {
		m, _ := of.(map[string]any)
		of = m[key]
	}
	v, _ := of.(T)
	return v
}

// put sets the value at a path that is there.
func put(of map[string]any, value any, path ...string) {
	last := len(path) - 1
	at[map[string]any](of, path[:last]...)[path[last]] = value
}

// sharing is how a config file of the plugin shares GPUs.
func sharing(config string) (strategy string, replicas int, err error) {
	var file struct {
		Sharing map[string]struct {
			RenameByDefault            bool
			FailRequestsGreaterThanOne bool `yaml:"failRequestsGreaterThanOne"`
			Resources                  []struct {
				Name     string
				Replicas int
			}
		}
	}
	if err := yaml.Unmarshal([]byte(config), &file); err != nil {
		return "", 0, err
	}
	if len(file.Sharing) == 0 {
		return "none", 1, nil
	}
	if len(file.Sharing) > 1 {
		return "", 0, fmt.Errorf("more than one strategy: %s", config)
	}
	for name, s := range file.Sharing {
		if len(s.Resources) != 1 || s.Resources[0].Name != "nvidia.com/gpu" || !s.FailRequestsGreaterThanOne || s.RenameByDefault {
			return "", 0, fmt.Errorf("not one slice of nvidia.com/gpu a container: %s", config)
		}
		strategy, replicas = name, s.Resources[0].Replicas
	}
	return strategy, replicas, nil
}

// disagreements lists where a plan is of two minds about the slices of its GPU
// pools. limits are the pools' limits in physical GPUs, gpus the GPUs of types.
func disagreements(all objects, limits map[string]int, gpus func(instanceType string) int) []string {
	var out []string
	complain := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, k := range slices.Sorted(maps.Keys(all)) {
		kind, name, _ := strings.Cut(k, " ")
		labels := at[map[string]any](all[k], "spec", "template", "metadata", "labels")
		if kind != "NodePool" || labels["nvidia.com/gpu.present"] != "true" {
			continue
		}
		pluginName, daemonName := "nvidia-device-plugin"+suffix(name), "nvidia-mps-control-daemon"+suffix(name)
		config := at[string](all["ConfigMap "+pluginName], "data", "config.yaml")
		strategy, replicas, err := sharing(config)
		if err != nil {
			complain("%s: %v", name, err)
			continue
		}
		if got, want := at[string](all[k], "spec", "limits", "nvidia.com/gpu"), strconv.Itoa(limits[name]*replicas); got != want {
			complain("%s: a limit of %s slices, want %s", name, got, want)
		}
		if slice := at[string](all[k], "metadata", "annotations", "eks-gpu-slicing/slice"); strategy == "mps" &&
			slice != fmt.Sprintf("at most 1/%d of a GPU's memory and %d%% of its compute", replicas, 100/replicas) {
			complain("%s: a slice is said to be %q, the plugin makes %d", name, slice, replicas)
		}
		for _, t := range poolTypes(all[k]) {
			var promised []string
			for _, o := range all {
				if at[string](o, "kind") == "NodeOverlay" && requires(o, "karpenter.sh/nodepool", name) && requires(o, "node.kubernetes.io/instance-type", t) {
					promised = append(promised, at[string](o, "spec", "capacity", "nvidia.com/gpu"))
				}
			}
			var want []string
			if replicas > 1 {
				want = []string{strconv.Itoa(gpus(t) * replicas)}
			}
			if !slices.Equal(promised, want) {
				complain("%s: Karpenter is promised %q of a %s, the plugin will offer %q", name, promised, t, want)
			}
		}
		nodes := map[string]any{"karpenter.sh/nodepool": name}
		maps.Copy(nodes, labels)
		daemons := []string{pluginName}
		if strategy == "mps" {
			daemons = append(daemons, daemonName)
		} else if all["DaemonSet "+daemonName] != nil {
			complain("%s: an MPS daemon without MPS", name)
		}
		for _, d := range daemons {
			for _, c := range daemonComplaints(all["DaemonSet "+d], nodes, all[k], config) {
				complain("%s: %s %s", name, d, c)
			}
		}
	}
	return out
}

// suffix ends the names of what is made for a pool; those of the pool that every
// stack has end without.
func suffix(pool string) string {
	if pool == "gpu" {
		return ""
	}
	return "-" + pool
}

// daemonComplaints is what keeps a DaemonSet from running on a pool's nodes with
// the pool's config.
func daemonComplaints(d, nodes, pool map[string]any, config string) []string {
	if d == nil {
		return []string{"is not there"}
	}
	var out []string
	spec := at[map[string]any](d, "spec", "template", "spec")
	for key, value := range at[map[string]any](spec, "nodeSelector") {
		if nodes[key] != value {
			out = append(out, fmt.Sprintf("selects nodes with %s=%v, the pool's have %v", key, value, nodes[key]))
		}
	}
	if at[string](spec, "nodeSelector", "karpenter.sh/nodepool") == "" {
		out = append(out, "runs on other pools' nodes")
	}
	for _, taint := range at[[]any](pool, "spec", "template", "spec", "taints") {
		if !slices.ContainsFunc(at[[]any](spec, "tolerations"), func(t any) bool {
			return at[string](t, "key") == at[string](taint, "key") && at[string](t, "operator") == "Exists"
		}) {
			out = append(out, "does not tolerate "+at[string](taint, "key"))
		}
	}
	sum := sha256.Sum256([]byte(config))
	if hash := at[string](d, "spec", "template", "metadata", "annotations", "eks-gpu-slicing/config-hash"); hash != hex.EncodeToString(sum[:])[:16] {
		out = append(out, "has the hash of another config")
	}
	mounted := false
	for _, v := range at[[]any](spec, "volumes") {
		mounted = mounted || at[string](v, "configMap", "name") == "nvidia-device-plugin"+suffix(at[string](pool, "metadata", "name"))
	}
	if !mounted {
		out = append(out, "does not mount the pool's config")
	}
	return out
}

func poolTypes(pool map[string]any) []string {
	var types []string
	for _, r := range at[[]any](pool, "spec", "template", "spec", "requirements") {
		if at[string](r, "key") == "node.kubernetes.io/instance-type" {
			for _, t := range at[[]any](r, "values") {
				types = append(types, fmt.Sprint(t))
			}
		}
	}
	return types
}

// requires tells whether an overlay is for nodes with a label's value.
func requires(overlay map[string]any, key, value string) bool {
	return slices.ContainsFunc(at[[]any](overlay, "spec", "requirements"), func(r any) bool {
		return at[string](r, "key") == key && slices.Contains(at[[]any](r, "values"), any(value))
	})
}

// poolsConfig is a stack with every strategy, with types of one, four and eight
// GPUs, and with metrics; poolLimits are its limits.
func poolsConfig(t *testing.T) map[string]string {
	return stackConfig(t, "dev", map[string]string{
		"eks-gpu-slicing:gpuInstanceTypes": `["g4dn.xlarge","g4dn.12xlarge","g5.xlarge","g4dn.metal"]`,
		"eks-gpu-slicing:gpuMetrics":       "true",
		"eks-gpu-slicing:gpuPools": `[{"name":"notebooks","instanceTypes":["g4dn.xlarge","g6.12xlarge"],"slices":8,"sharing":"mps","limit":3},
			{"name":"training","instanceTypes":["p4d.24xlarge"],"sharing":"none","limit":8}]`,
	})
}

var poolLimits = map[string]int{"gpu": 16, "notebooks": 3, "training": 8}

// TestQuantities: the number of slices is one number wherever it shows, and each
// place where another number could stand is looked at.
func TestQuantities(t *testing.T) {
	t.Parallel()
	w := plainWorld()
	gpus := func(name string) int { return w.offered[name].gpus }
	fresh := func(t *testing.T) objects {
		t.Helper()
		r, err := plan(t, w, poolsConfig(t))
		if err != nil {
			t.Fatal(err)
		}
		return kubernetesObjects(r)
	}
	for _, complaint := range disagreements(fresh(t), poolLimits, gpus) {
		t.Error(complaint)
	}
	replicas := func(o map[string]any, from, to string) {
		put(o, strings.Replace(at[string](o, "data", "config.yaml"), from, to, 1), "data", "config.yaml")
	}
	const selector, plugin, daemon = "spec template spec nodeSelector", "DaemonSet nvidia-device-plugin-notebooks", "DaemonSet nvidia-mps-control-daemon-notebooks"
	for name, wrong := range map[string]struct {
		object string
		change func(o map[string]any)
		want   string
	}{
		"the limit":             {"NodePool gpu", func(o map[string]any) { put(o, "16", "spec", "limits", "nvidia.com/gpu") }, "gpu: a limit of 16 slices, want 64"},
		"an overlay's capacity": {"NodeOverlay gpu-4-per-node", func(o map[string]any) { put(o, "4", "spec", "capacity", "nvidia.com/gpu") }, `promised ["4"] of a g4dn.12xlarge, the plugin will offer ["16"]`},
		"no overlay":            {"NodeOverlay notebooks-1-per-node", func(o map[string]any) { o["kind"] = "Forgotten" }, "promised [] of a g4dn.xlarge"},
		"an overlay of another pool": {"NodeOverlay notebooks-4-per-node", func(o map[string]any) {
			put(at[map[string]any](at[[]any](o, "spec", "requirements")[0]), []any{"training"}, "values")
		}, "promised [] of a g6.12xlarge"},
		"an overlay of whole GPUs": {"NodeOverlay gpu-8-per-node", func(o map[string]any) {
			put(at[map[string]any](at[[]any](o, "spec", "requirements")[0]), []any{"gpu", "training"}, "values")
			put(at[map[string]any](at[[]any](o, "spec", "requirements")[1]), []any{"g4dn.metal", "p4d.24xlarge"}, "values")
		}, `training: Karpenter is promised ["32"] of a p4d.24xlarge, the plugin will offer []`},
		"the plugin's replicas": {"ConfigMap nvidia-device-plugin-notebooks", func(o map[string]any) { replicas(o, "replicas: 8", "replicas: 4") }, "notebooks: a limit of 24 slices, want 12"},
		"the plugin's strategy": {"ConfigMap nvidia-device-plugin-notebooks", func(o map[string]any) { replicas(o, "mps", "timeSlicing") }, "an MPS daemon without MPS"},
		"a renamed resource":    {"ConfigMap nvidia-device-plugin", func(o map[string]any) { replicas(o, "nvidia.com/gpu", "nvidia.com/gpu.shared") }, "not one slice of nvidia.com/gpu"},
		"several slices":        {"ConfigMap nvidia-device-plugin", func(o map[string]any) { replicas(o, "One: true", "One: false") }, "not one slice of nvidia.com/gpu"},
		"the config's hash": {plugin, func(o map[string]any) {
			put(o, "0", "spec", "template", "metadata", "annotations", "eks-gpu-slicing/config-hash")
		}, "hash of another config"},
		"the daemon's hash": {daemon, func(o map[string]any) {
			put(o, "0", "spec", "template", "metadata", "annotations", "eks-gpu-slicing/config-hash")
		}, "hash of another config"},
		"the pool's MPS label": {"NodePool notebooks", func(o map[string]any) {
			put(o, map[string]any{"nvidia.com/gpu.present": "true"}, "spec", "template", "metadata", "labels")
		}, "selects nodes with nvidia.com/mps.capable=true, the pool's have <nil>"},
		"a pool's taint": {"NodePool notebooks", func(o map[string]any) {
			put(o, []any{map[string]any{"key": "team"}}, "spec", "template", "spec", "taints")
		}, "does not tolerate team"},
		"another pool's plugin": {plugin, func(o map[string]any) {
			put(o, "training", append(strings.Fields(selector), "karpenter.sh/nodepool")...)
		}, "selects nodes with karpenter.sh/nodepool=training"},
		"a plugin everywhere": {plugin, func(o map[string]any) { put(o, map[string]any{}, strings.Fields(selector)...) }, "runs on other pools' nodes"},
		"no plugin":           {plugin, func(o map[string]any) { o["kind"] = "Forgotten" }, ""},
		"what a slice is said to be": {"NodePool notebooks", func(o map[string]any) {
			put(o, "at most 1/4 of a GPU's memory and 25% of its compute", "metadata", "annotations", "eks-gpu-slicing/slice")
		}, "a slice is said to be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := fresh(t)
			o := all[wrong.object]
			if o == nil {
				t.Fatalf("no %s in the plan", wrong.object)
			}
			wrong.change(o)
			if at[string](o, "kind") == "Forgotten" {
				delete(all, wrong.object)
			}
			if got := strings.Join(disagreements(all, poolLimits, gpus), "\n"); got == "" || !strings.Contains(got, wrong.want) {
				t.Errorf("is not caught; complaints: %q", got)
			}
		})
	}
}

// TestSlicesAreInNoTemplate: what Karpenter makes nodes of stays the same when the
// number of slices changes, or it would replace every node.
func TestSlicesAreInNoTemplate(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"time-slicing", "mps"} {
		var before any
		for _, slices := range []string{"3", "8"} {
			r, err := plan(t, plainWorld(), stackConfig(t, "dev", map[string]string{
				"eks-gpu-slicing:gpuSlices": slices, "eks-gpu-slicing:gpuSharing": strategy,
			}))
			if err != nil {
				t.Fatal(err)
			}
			template := at[any](kubernetesObjects(r)["NodePool gpu"], "spec", "template")
			if before != nil {
				if diff := cmp.Diff(before, template); diff != "" {
					t.Errorf("%s (-3 slices +8 slices):\n%s", strategy, diff)
				}
			}
			before = template
		}
	}
}

// TestPoolsShareNothing: what is made for one pool has its own name, and a pod fits
// one pool at most.
func TestPoolsShareNothing(t *testing.T) {
	t.Parallel()
	// Names that could be taken for parts of other names.
	r, err := plan(t, plainWorld(), stackConfig(t, "dev", map[string]string{"eks-gpu-slicing:gpuSharing": "mps",
		"eks-gpu-slicing:gpuPools": `[{"name":"gpu-1"},{"name":"gpu-1-per-node"},{"name":"mps"},{"name":"plugin"},{"name":"default"},{"name":"karpenter"}]`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	const pools = 7
	made := map[string]int{}
	for k := range kubernetesObjects(r) {
		kind, _, _ := strings.Cut(k, " ")
		made[kind]++
	}
	want := map[string]int{"NodePool": pools + 2, "NodeOverlay": pools, "ConfigMap": pools, "DaemonSet": 2 * pools, "EC2NodeClass": 2}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("objects by kind (-want +got):\n%s", diff)
	}
	taints := map[string]string{}
	for k, o := range kubernetesObjects(r) {
		if !strings.HasPrefix(k, "NodePool ") || at[string](o, "spec", "template", "metadata", "labels", "nvidia.com/gpu.present") == "" {
			continue
		}
		own := "none"
		for _, taint := range at[[]any](o, "spec", "template", "spec", "taints") {
			if at[string](taint, "key") == "eks-gpu-slicing/pool" {
				own = at[string](taint, "value")
			}
		}
		if other := taints[own]; other != "" {
			t.Errorf("%s and %s have the same taint, %s", k, other, own)
		}
		taints[own] = k
		if name := strings.TrimPrefix(k, "NodePool "); own != name && name != "gpu" {
			t.Errorf("%s has the taint of %s", k, own)
		}
	}
}

// TestImagesByDigest: a release that has a digest is pulled by it, whatever the tag
// has come to mean, in every container.
func TestImagesByDigest(t *testing.T) {
	t.Parallel()
	plugin, exporter := "@sha256:"+strings.Repeat("a", 64), "@sha256:"+strings.Repeat("b", 64)
	config := poolsConfig(t)
	config["eks-gpu-slicing:devicePluginVersion"] += plugin
	config["eks-gpu-slicing:dcgmExporterVersion"] += exporter
	r, err := plan(t, plainWorld(), config)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{
		"nvcr.io/nvidia/k8s-device-plugin:v0.17.4" + plugin:                  3 + 2, // a plugin a pool, and MPS's two
		"nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2-distroless" + exporter: 1,
	}
	if diff := cmp.Diff(want, imagesOf(r)); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

// TestProdImages: the stack prod pulls each image by digest, and of the release that is
// the default: who moves the one is told of the other.
func TestProdImages(t *testing.T) {
	t.Parallel()
	images := map[string]map[string]int{}
	for _, stack := range []string{"dev", "prod"} {
		r, err := plan(t, plainWorld(), stackConfig(t, stack, map[string]string{"eks-gpu-slicing:gpuMetrics": "true", "eks-gpu-slicing:gpuSharing": "mps"}))
		if err != nil {
			t.Fatal(err)
		}
		images[stack] = imagesOf(r)
	}
	tagged := map[string]int{}
	for image, n := range images["prod"] {
		tag, _, pinned := strings.Cut(image, "@sha256:")
		if !pinned {
			t.Errorf("%s has no digest; look it up, and say it with the release in Pulumi.prod.yaml", image)
		}
		tagged[tag] += n
	}
	if diff := cmp.Diff(images["dev"], tagged); diff != "" {
		t.Errorf("releases of Pulumi.prod.yaml are not the defaults of Pulumi.yaml (-default +prod):\n%s", diff)
	}
}

// imagesOf counts the containers of each image.
func imagesOf(r *recorder) map[string]int {
	images := map[string]int{}
	for _, o := range kubernetesObjects(r) {
		for _, list := range []string{"initContainers", "containers"} {
			for _, c := range at[[]any](o, "spec", "template", "spec", list) {
				images[at[string](c, "image")]++
			}
		}
	}
	return images
}

// TestNodesOfOthers: GPUs of nodes that others made are sliced by a plugin on the nodes
// with their label, whatever taints these have, and nothing of Karpenter's is made.
func TestNodesOfOthers(t *testing.T) {
	t.Parallel()
	config := stackConfig(t, "dev", map[string]string{
		"eks-gpu-slicing:gpuNodeLabel": "eks.amazonaws.com/nodegroup=gpu", "eks-gpu-slicing:gpuSharing": "mps", "eks-gpu-slicing:gpuMetrics": "true",
		"eks-gpu-slicing:gpuPools": `[{"name":"batch","nodeLabel":"team=batch","sharing":"time-slicing"},{"name":"more"}]`,
	})
	r, err := plan(t, plainWorld(), config)
	if err != nil {
		t.Fatal(err)
	}
	all := kubernetesObjects(r)
	for pool, want := range map[string]bool{"gpu": false, "batch": false, "more": true} {
		if got := all["NodePool "+pool] != nil; got != want {
			t.Errorf("there is a NodePool %s: %v, want %v", pool, got, want)
		}
	}
	for k := range all {
		if strings.HasPrefix(k, "NodeOverlay ") && k != "NodeOverlay more-1-per-node" {
			t.Errorf("%s is about no node of Karpenter's", k)
		}
	}
	everything := []any{map[string]any{"operator": "Exists"}}
	for name, label := range map[string]map[string]any{
		"nvidia-device-plugin":       {"eks.amazonaws.com/nodegroup": "gpu"},
		"nvidia-mps-control-daemon":  {"eks.amazonaws.com/nodegroup": "gpu"},
		"nvidia-device-plugin-batch": {"team": "batch"},
	} {
		pod := at[map[string]any](all["DaemonSet "+name], "spec", "template", "spec")
		if diff := cmp.Diff(label, at[map[string]any](pod, "nodeSelector")); diff != "" {
			t.Errorf("nodes of %s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(everything, at[[]any](pod, "tolerations")); diff != "" {
			t.Errorf("%s tolerates (-want +got):\n%s", name, diff)
		}
	}
	exporter := at[map[string]any](all["DaemonSet dcgm-exporter"], "spec", "template", "spec")
	var nodes []string
	for _, term := range at[[]any](exporter, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms") {
		for _, e := range at[[]any](term, "matchExpressions") {
			nodes = append(nodes, fmt.Sprintf("%s %s %v", at[string](e, "key"), at[string](e, "operator"), at[[]any](e, "values")))
		}
	}
	want := []string{"nvidia.com/gpu.present In [true]", "eks.amazonaws.com/nodegroup In [gpu]", "team In [batch]"}
	if diff := cmp.Diff(want, nodes); diff != "" || exporter["nodeSelector"] != nil {
		t.Errorf("nodes of the exporter, selected by %v (-want +got):\n%s", exporter["nodeSelector"], diff)
	}
	for pool, want := range map[string]struct {
		strategy string
		replicas int
	}{"nvidia-device-plugin": {"mps", 4}, "nvidia-device-plugin-batch": {"timeSlicing", 4}} {
		strategy, replicas, err := sharing(at[string](all["ConfigMap "+pool], "data", "config.yaml"))
		if err != nil || strategy != want.strategy || replicas != want.replicas {
			t.Errorf("%s: %s %d (%v), want %+v", pool, strategy, replicas, err, want)
		}
	}
}
