package gpu

import (
	"fmt"
	"slices"
	"strconv"

	"eks-gpu-slicing/internal/instances"
	"eks-gpu-slicing/internal/settings"
)

const (
	// Label is on every GPU node; its value is "true".
	Label = "nvidia.com/gpu.present"
	// mpsLabel is on the nodes that the MPS daemon is for; its value is "true".
	// NVIDIA's chart selects by it.
	mpsLabel = "nvidia.com/mps.capable"
	// PoolTaint keeps pods that do not name a pool out of those of gpuPools; its
	// value is the pool's name.
	PoolTaint = "eks-gpu-slicing/pool"
)

// Pool is a kind of GPU nodes and how their GPUs are shared: those of a NodePool, or
// nodes that others made.
type Pool struct {
	// Name is the NodePool's.
	Name string
	// Nodes is the label of nodes that others made; the zero value is for a NodePool.
	Nodes settings.NodeLabel
	// Types are its instance types, each with NVIDIA GPUs.
	Types []instances.Type
	// Sharing is how its GPUs are shared.
	Sharing Sharing
	// Limit is the most physical GPUs it may have.
	Limit int
}

// TypeNames are the names of the pool's instance types, in their order.
func (p *Pool) TypeNames() []string {
	var names []string
	for _, t := range p.Types {
		names = append(names, t.Name)
	}
	return names
}

// suffix ends the names of what is made for the pool beside its overlays.
func (p *Pool) suffix() string {
	if p.Name == settings.PoolGPU {
		return ""
	}
	return "-" + p.Name
}

// Labels are on the pool's nodes. They tell of the strategy, never of the number of
// slices: they are part of what Karpenter makes nodes of, and where they change it
// replaces every node.
func (p *Pool) Labels() map[string]string {
	labels := map[string]string{Label: "true"}
	if p.Sharing.Strategy == settings.SharingMPS {
		labels[mpsLabel] = "true"
	}
	return labels
}

// Taint keeps pods off a pool's nodes that do not tolerate it. Its effect is
// NoSchedule.
type Taint struct{ Key, Value string }

// Karpenter tells whether Karpenter launches the pool's nodes.
func (p *Pool) Karpenter() bool { return p.Nodes == settings.NodeLabel{} }

// Taints are on the nodes that Karpenter launches for the pool. All but the standard pool have one of their own,
// so that a pod fits one pool at most: it would else land in whichever comes first
// by name, a training job on an eighth of a GPU.
func (p *Pool) Taints() []Taint {
	taints := []Taint{{Key: Resource}}
	if p.Name != settings.PoolGPU {
		taints = append(taints, Taint{Key: PoolTaint, Value: p.Name})
	}
	return taints
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
	if p.Sharing.Strategy == settings.SharingNone || !p.Karpenter() {
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

// daemonSets is how many pods this package puts on every node of the pool.
func (p *Pool) daemonSets() int {
	if p.Sharing.Strategy == settings.SharingMPS {
		return 2 // the plugin and the MPS daemon
	}
	return 1
}

// NewPool checks what the settings ask for against what AWS says of the types.
// daemonSets is how many pods others put on every GPU node. It returns
// settings.Problems for a type without an NVIDIA GPU, one with an ARM processor,
// and for more slices than a node can hold pods or MPS can have clients.
func NewPool(asked *settings.GPUPool, types []instances.Type, daemonSets int) (*Pool, error) {
	var problems settings.Problems
	pool := &Pool{Name: asked.Name, Nodes: asked.Nodes, Sharing: Sharing{Strategy: asked.Sharing, Slices: asked.Slices}, Limit: asked.Limit}
	daemonSets += pool.daemonSets()
	most, why := settings.MaxSlices, "no strategy takes more"
	bound := func(slices int, reason string) {
		if slices < most {
			most, why = slices, reason
		}
	}
	for _, t := range types {
		at := fmt.Sprintf("%s[%d]", asked.From.InstanceTypes, slices.Index(asked.InstanceTypes, t.Name))
		mend := settings.Set(at, "g4dn.xlarge")
		switch {
		case t.GPUs == 0:
			problems.Add(at, t.Name, "an instance type with an NVIDIA GPU, which this one has not", mend)
			continue
		case t.Arch != "amd64":
			problems.Add(at, t.Name, "an instance type with an x86 processor: EKS has no NVIDIA AMI for ARM in all its families", mend)
			continue
		}
		pool.Types = append(pool.Types, t)
		bound((t.MaxPods-daemonSets)/t.GPUs, fmt.Sprintf("a %s holds %d pods, %d of them DaemonSets, and has %s",
			t.Name, t.MaxPods, daemonSets, plural(t.GPUs, "GPU")))
		if asked.Sharing == settings.SharingMPS {
			bound(mpsClients(t.GPUName), fmt.Sprintf("MPS takes no more clients on a %s, the GPU of %s", t.GPUName, t.Name))
		}
	}
	if asked.Slices > most {
		problems.Add(asked.From.Slices, strconv.Itoa(asked.Slices), fmt.Sprintf("at most %d: %s", most, why),
			settings.Set(asked.From.Slices, strconv.Itoa(most)))
	}
	return pool, problems.Err()
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
