package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

const (
	configMapType   = tokens.Type("kubernetes:core/v1:ConfigMap")
	daemonSetType   = tokens.Type("kubernetes:apps/v1:DaemonSet")
	nodePoolType    = tokens.Type("kubernetes:karpenter.sh/v1:NodePool")
	nodeOverlayType = tokens.Type("kubernetes:karpenter.sh/v1alpha1:NodeOverlay")

	poolLabel     = "karpenter.sh/nodepool"
	typeLabel     = "node.kubernetes.io/instance-type"
	gpuCountLabel = "karpenter.k8s.aws/instance-gpu-count"
)

func slicesAgree() rule {
	return rule{
		name:  "slices-agree",
		title: "Karpenter plans with as many slices of a GPU as the device plugin lets in, or it launches a node too many for every pod too few.",
		mend:  "Give the capacity of the pool's NodeOverlays and the replicas of its device plugin's ConfigMap one source: capacity = GPUs of the instance × replicas.",
		stack: judgeSlices,
	}
}

// judgeSlices ties each device plugin to the pools it runs on (its DaemonSet's
// node selector), to what it advertises there (its ConfigMap), and that to the
// overlays of the same pools.
func judgeSlices(all []plugin.AnalyzerStackResource, r *report) {
	s := sortStack(all, r)
	if len(s.plugins) == 0 && len(r.unknown) == 0 {
		r.reason = "no DaemonSet of the stack runs NVIDIA's device plugin on nodes of Karpenter's"
		return
	}
	for _, p := range s.plugins {
		for _, o := range s.overlays {
			if p.pools.meet(o.pools) {
				o.agrees(p, r)
			}
		}
	}
	if len(r.unknown) > 0 {
		return // what seems to be missing may be what is not known
	}
	for _, p := range s.plugins {
		p.covered(s, r)
	}
	for _, o := range s.overlays {
		for _, pool := range o.pools {
			if ours := slices.ContainsFunc(s.pools, func(p nodePool) bool { return p.name == pool }); ours && !slices.ContainsFunc(s.plugins, func(p gpuPlugin) bool { return p.pools.has(pool) }) {
				r.violatedBy(o.urn, "NodeOverlay %s promises GPUs on the nodes of pool %s, where no device plugin of the stack runs", o.name, pool)
			}
		}
	}
}

// pools are names of NodePools; nil is all there are.
type pools []string

func (p pools) has(name string) bool { return p == nil || slices.Contains(p, name) }

func (p pools) meet(q pools) bool { return p == nil || q == nil || slices.ContainsFunc(q, p.has) }

func (p pools) String() string {
	if p == nil {
		return "any pool"
	}
	return "pool " + strings.Join(p, ", ")
}

// gpuPlugin is a DaemonSet of NVIDIA's device plugin.
type gpuPlugin struct {
	urn   resource.URN
	name  string
	pools pools
	// says is where it has its numbers from, in words.
	says string
	// slices is how many pods may share one GPU, by the resource's name.
	slices map[string]int
}

// equals tells plugins that advertise the same on the same nodes.
func (p gpuPlugin) equals(q gpuPlugin) bool {
	return p.says == q.says && p.pools.String() == q.pools.String()
}

// overlay is a NodeOverlay that promises GPUs.
type overlay struct {
	urn   resource.URN
	name  string
	pools pools
	// types are those it is for; nil is any.
	types []string
	// counts are the numbers of GPUs its instances have, in order, each with a
	// word on the instances; empty where that is not known.
	counts []gpuCount
	// capacity is what it promises, by the resource's name.
	capacity map[string]int
}

type gpuCount struct {
	gpus int
	of   string
}

// nodePool is a NodePool.
type nodePool struct {
	urn  resource.URN
	name string
	// types are the instance types that it names, if it does.
	types []string
	// labels are on its nodes.
	labels resource.PropertyValue
}

type sortedStack struct {
	plugins  []gpuPlugin
	overlays []overlay
	pools    []nodePool
}

// sortStack reads what the rule judges. What cannot be known yet is noted and
// left out.
func sortStack(all []plugin.AnalyzerStackResource, r *report) sortedStack {
	var s sortedStack
	configs := map[string]resource.PropertyValue{}
	for _, one := range all {
		v := resource.NewProperty(one.Properties)
		switch one.Type {
		case configMapType:
			configs[objectName(v)] = v
		case nodePoolType:
			template := at(v, "spec", "template")
			types, _ := oneOf(at(template, "spec", "requirements"), typeLabel)
			s.pools = append(s.pools, nodePool{one.URN, text(at(v, "metadata", "name")), types, at(template, "metadata", "labels")})
		}
	}
	// The engine gives no order; a message must not depend on it.
	slices.SortFunc(s.pools, func(a, b nodePool) int { return strings.Compare(string(a.urn), string(b.urn)) })
	for _, one := range all {
		v := resource.NewProperty(one.Properties)
		switch one.Type {
		case daemonSetType:
			// The MPS daemon is of the same image and reads the same config.
			if p, ok := readPlugin(one.URN, v, configs, s.pools, r); ok && !slices.ContainsFunc(s.plugins, p.equals) {
				s.plugins = append(s.plugins, p)
			}
		case nodeOverlayType:
			if o, ok := readOverlay(one.URN, v, r); ok {
				s.overlays = append(s.overlays, o)
			}
		}
	}
	slices.SortFunc(s.plugins, func(a, b gpuPlugin) int { return strings.Compare(string(a.urn), string(b.urn)) })
	slices.SortFunc(s.overlays, func(a, b overlay) int { return strings.Compare(string(a.urn), string(b.urn)) })
	return s
}

// objectName is a Kubernetes object's namespace and name.
func objectName(v resource.PropertyValue) string {
	namespace := text(at(v, "metadata", "namespace"))
	if namespace == "" {
		namespace = "default"
	}
	return namespace + "/" + text(at(v, "metadata", "name"))
}

// oneOf are the values that requirements allow for a label, if an In among them
// says so.
func oneOf(requirements resource.PropertyValue, label string) ([]string, bool) {
	for _, q := range items(requirements) {
		if text(at(q, "key")) == label && text(at(q, "operator")) == "In" {
			return words(at(q, "values"))
		}
	}
	return nil, false
}

// readOverlay reads a NodeOverlay, and tells whether it promises GPUs.
func readOverlay(urn resource.URN, v resource.PropertyValue, r *report) (overlay, bool) {
	o := overlay{urn: urn, name: text(at(v, "metadata", "name")), capacity: map[string]int{}}
	capacity, requirements := at(v, "spec", "capacity"), at(v, "spec", "requirements")
	if capacity.ContainsUnknowns() || requirements.ContainsUnknowns() {
		r.later("NodeOverlay " + o.name)
		return o, false
	}
	if !capacity.IsObject() {
		return o, false
	}
	for key, value := range capacity.ObjectValue() {
		if n, ok := whole(open(value)); ok && strings.HasPrefix(string(key), gpuResource) {
			o.capacity[string(key)] = n
		}
	}
	o.pools, _ = oneOf(requirements, poolLabel)
	o.types, _ = oneOf(requirements, typeLabel)
	if counts, ok := oneOf(requirements, gpuCountLabel); ok {
		for _, c := range counts {
			if n, err := strconv.Atoi(c); err == nil {
				o.counts = append(o.counts, gpuCount{n, "its instances"})
			}
		}
		return o, len(o.capacity) > 0
	}
	byCount := map[int][]string{}
	for _, t := range o.types {
		if n, ok := gpusOf(t); ok {
			byCount[n] = append(byCount[n], t)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(byCount)) {
		o.counts = append(o.counts, gpuCount{n, strings.Join(byCount[n], ", ")})
	}
	return o, len(o.capacity) > 0
}

// agrees compares what an overlay promises with what a plugin advertises.
func (o overlay) agrees(p gpuPlugin, r *report) {
	for _, name := range slices.Sorted(maps.Keys(o.capacity)) {
		promised, per := o.capacity[name], p.slices[name]
		if per == 0 {
			r.violatedBy(o.urn, "NodeOverlay %s promises %d %s, which is not what the device plugin on %s advertises (%s)",
				o.name, promised, name, p.pools, p.says)
			continue
		}
		for _, c := range o.counts {
			if promised != c.gpus*per {
				r.violatedBy(o.urn, "NodeOverlay %s promises %d %s on %s (%s), but the device plugin on %s advertises %d: %d a GPU, by %s",
					o.name, promised, name, c.of, plural(c.gpus, "GPU"), p.pools, c.gpus*per, per, p.says)
			}
		}
		if len(o.counts) == 0 && promised%per != 0 {
			r.violatedBy(o.urn, "NodeOverlay %s promises %d %s, which is no multiple of the %d a GPU that the device plugin on %s advertises, by %s",
				o.name, promised, name, per, p.pools, p.says)
		}
	}
}

// covered demands an overlay for every type of the plugin's pools, as far as
// these are named: without one Karpenter plans a whole GPU for each pod.
func (p gpuPlugin) covered(s sortedStack, r *report) {
	for _, name := range slices.Sorted(maps.Keys(p.slices)) {
		if p.slices[name] == 1 {
			continue
		}
		promising := slices.DeleteFunc(slices.Clone(s.overlays), func(o overlay) bool {
			_, promises := o.capacity[name]
			return !promises || !o.pools.meet(p.pools)
		})
		if len(promising) == 0 {
			r.violatedBy(p.urn, "the device plugin on %s advertises %d %s a GPU, by %s, and no NodeOverlay tells Karpenter", p.pools, p.slices[name], name, p.says)
			continue
		}
		for _, pool := range s.pools {
			if !p.pools.has(pool.name) {
				continue
			}
			for _, t := range pool.types {
				told := slices.ContainsFunc(promising, func(o overlay) bool {
					return o.pools.has(pool.name) && (o.types == nil || slices.Contains(o.types, t))
				})
				if gpus, known := gpusOf(t); known && !told {
					r.violatedBy(pool.urn, "NodePool %s may launch a %s, and no NodeOverlay says that its %s are %d %s, by %s",
						pool.name, t, plural(gpus, "GPU"), gpus*p.slices[name], name, p.says)
				}
			}
		}
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
