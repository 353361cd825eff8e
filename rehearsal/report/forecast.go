package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
)

// HoursAMonth is how long a month is for prices: 730 hours, as in AWS's own
// calculator.
const HoursAMonth = 730

// Forecast is what the same workloads take at several numbers of slices a GPU.
type Forecast struct {
	About
	// LeftOut are the objects of the workloads that the stack cannot serve, which were
	// not applied.
	LeftOut []LeftOut `json:"leftOut"`
	// Counts are in the order of their slices. The first is whole GPUs, with which the
	// others are compared.
	Counts []Count `json:"counts"`
}

// LeftOut is an object that was not applied.
type LeftOut struct {
	// Object is named as in About.Workloads.
	Object string `json:"object"`
	Reason string `json:"reason"`
}

// Count is how the workloads stand at one number of slices a GPU.
type Count struct {
	// Slices a GPU has; 1 is a whole GPU.
	Slices int `json:"slices"`
	// Asked is false for whole GPUs if they are there for the comparison alone.
	Asked bool   `json:"asked"`
	Pools []Pool `json:"pools"`
	Nodes []Node `json:"nodes"`
	Pods  []Pod  `json:"pods"`
	// EverLaunched is how many nodes Karpenter launched in all, those that it has ended
	// again included.
	EverLaunched int `json:"everLaunched"`

	// What follows is summed up from the nodes and pods.

	// Groups are the nodes by pool, type and capacity; those that are there whatever
	// the pods ask for come last.
	Groups []Group `json:"groups"`
	// NodesLaunched is how many nodes Karpenter has; PerHour and PerMonth, in USD, are
	// their cost. FixedPerHour is that of the other nodes.
	NodesLaunched int     `json:"nodesLaunched"`
	PerHour       Cost    `json:"perHour"`
	PerMonth      Cost    `json:"perMonth"`
	FixedPerHour  float64 `json:"fixedPerHour"`
	// Unpriced is how many of Karpenter's nodes have no known price, so that they are
	// missing in the cost.
	Unpriced int `json:"unpriced"`
	// SlicesUsed of SlicesOffered by the nodes are taken by pods.
	SlicesUsed    int64 `json:"slicesUsed"`
	SlicesOffered int64 `json:"slicesOffered"`
	// PodsPlaced is how many of the pods run or have succeeded.
	PodsPlaced int        `json:"podsPlaced"`
	Unplaced   []Unplaced `json:"unplaced"`
	// Saving is what is saved against whole GPUs; nil for these themselves, and where
	// the comparison would be of unlike things, for which NotCompared is the reason.
	Saving      *Saving `json:"saving,omitempty"`
	NotCompared string  `json:"notCompared,omitempty"`
}

// Pool is a pool of GPU nodes, as the stack's output gpuPools tells of it.
type Pool struct {
	Name string `json:"name"`
	// Sharing is time-slicing, mps or none, Slices how many pods share a GPU.
	Sharing string `json:"sharing"`
	Slices  int    `json:"slices"`
	// Slice says what a pod gets that asks for one.
	Slice string `json:"slice"`
}

// Group is the nodes of a pool that are alike.
type Group struct {
	Pool         string `json:"pool"`
	InstanceType string `json:"instanceType"`
	// CapacityType is spot or on-demand.
	CapacityType string `json:"capacityType"`
	Fixed        bool   `json:"fixed"`
	Nodes        int    `json:"nodes"`
	// PerHour is the cost of all of them in USD.
	PerHour       float64 `json:"perHour"`
	GPUSlices     int64   `json:"gpuSlices"`
	GPUSlicesUsed int64   `json:"gpuSlicesUsed"`
	// SliceMemoryMiB is the GPU memory of a node divided by its slices, 0 without a
	// GPU. Under time-slicing none of it is reserved for any of them.
	SliceMemoryMiB int64 `json:"sliceMemoryMiB"`
}

// Cost is in USD.
type Cost struct {
	Spot     float64 `json:"spot"`
	OnDemand float64 `json:"onDemand"`
	Total    float64 `json:"total"`
}

// Unplaced is pods that could not be placed for one reason.
type Unplaced struct {
	// Pods are named as namespace/name.
	Pods   []string `json:"pods"`
	Reason string   `json:"reason"`
}

// Saving is in USD, and in percent of the cost with whole GPUs. It is negative where
// slices cost more.
type Saving struct {
	PerHour  float64 `json:"perHour"`
	PerMonth float64 `json:"perMonth"`
	Percent  float64 `json:"percent"`
}

// Spot and OnDemand are the values of Node.CapacityType.
const (
	Spot     = "spot"
	OnDemand = "on-demand"
)

// NewForecast is a forecast without a count: its lists are empty, not null.
func NewForecast(about About) *Forecast {
	return &Forecast{About: about, LeftOut: []LeftOut{}, Counts: []Count{}}
}

// Count sums up a run's nodes and pods as a forecast does those of a count.
func (r *Run) Count() Count {
	c := Count{Nodes: r.Nodes, Pods: r.Pods, Groups: []Group{}, Unplaced: []Unplaced{}, EverLaunched: len(r.NodeClaimsLaunched)}
	c.sumNodes()
	c.sumPods()
	return c
}

// Add adds how the workloads stand at a number of slices. Of the count, what is summed
// up need not be there. The error is one of the catalogue's, for a region that it does
// not cover.
func (f *Forecast) Add(c Count) error {
	if err := f.AddPrices(c.Nodes); err != nil {
		return err
	}
	c = Count{
		Slices: c.Slices, Asked: c.Asked, EverLaunched: c.EverLaunched,
		Pools: append([]Pool{}, c.Pools...), Nodes: append([]Node{}, c.Nodes...), Pods: append([]Pod{}, c.Pods...),
		Groups: []Group{}, Unplaced: []Unplaced{},
	}
	c.sumNodes()
	c.sumPods()
	f.Counts = append(f.Counts, c)
	slices.SortFunc(f.Counts, func(x, y Count) int { return cmp.Compare(x.Slices, y.Slices) })
	for i := range f.Counts {
		f.Counts[i].compare(&f.Counts[0])
	}
	return nil
}

func (c *Count) sumNodes() {
	for _, n := range c.Nodes {
		c.group(n)
		c.SlicesUsed += n.GPUSlicesUsed
		c.SlicesOffered += n.GPUSlices
		if n.Fixed {
			c.FixedPerHour += n.PricePerHour
			continue
		}
		c.NodesLaunched++
		if n.PricePerHour == 0 {
			c.Unpriced++
		}
		if n.CapacityType == Spot {
			c.PerHour.Spot += n.PricePerHour
		} else {
			c.PerHour.OnDemand += n.PricePerHour
		}
	}
	c.PerHour.Total = c.PerHour.Spot + c.PerHour.OnDemand
	c.PerMonth = Cost{c.PerHour.Spot * HoursAMonth, c.PerHour.OnDemand * HoursAMonth, c.PerHour.Total * HoursAMonth}
	slices.SortFunc(c.Groups, compareGroups)
}

// group adds a node to the group it is like.
func (c *Count) group(n Node) {
	like := Group{Pool: n.Pool, InstanceType: n.InstanceType, CapacityType: n.CapacityType, Fixed: n.Fixed}
	at := slices.IndexFunc(c.Groups, func(g Group) bool { return compareGroups(g, like) == 0 })
	if at < 0 {
		at = len(c.Groups)
		like.SliceMemoryMiB = sliceMemory(n)
		c.Groups = append(c.Groups, like)
	}
	g := &c.Groups[at]
	g.Nodes++
	g.PerHour += n.PricePerHour
	g.GPUSlices += n.GPUSlices
	g.GPUSlicesUsed += n.GPUSlicesUsed
}

// Name tells groups of nodes apart: pool, instance type and capacity type.
func (g Group) Name() string { return g.Pool + " " + g.InstanceType + " " + g.CapacityType }

func compareGroups(x, y Group) int {
	fixed := 0
	switch {
	case x.Fixed && !y.Fixed:
		fixed = 1
	case y.Fixed && !x.Fixed:
		fixed = -1
	}
	return cmp.Or(fixed, cmp.Compare(x.Pool, y.Pool), cmp.Compare(x.InstanceType, y.InstanceType), -cmp.Compare(x.CapacityType, y.CapacityType))
}

func (c *Count) sumPods() {
	for _, p := range c.Pods {
		if p.Reason == "" {
			c.PodsPlaced++
			continue
		}
		at := slices.IndexFunc(c.Unplaced, func(u Unplaced) bool { return u.Reason == p.Reason })
		if at < 0 {
			at = len(c.Unplaced)
			c.Unplaced = append(c.Unplaced, Unplaced{Reason: p.Reason})
		}
		c.Unplaced[at].Pods = append(c.Unplaced[at].Pods, p.Namespace+"/"+p.Name)
	}
}

// compare compares a count with whole GPUs. Pods of a Deployment have other names each
// time, so it is their number that tells whether the same are placed: that of those
// that are not, because a DaemonSet has as many as there are nodes.
func (c *Count) compare(whole *Count) {
	c.Saving, c.NotCompared = nil, ""
	if c.Slices == 1 {
		return
	}
	switch {
	case whole.Slices != 1:
		c.NotCompared = "whole GPUs have not been tried"
	case len(c.Pods)-c.PodsPlaced != len(whole.Pods)-whole.PodsPlaced:
		c.NotCompared = fmt.Sprintf("%d of %d pods are placed, with whole GPUs %d of %d", c.PodsPlaced, len(c.Pods), whole.PodsPlaced, len(whole.Pods))
	case c.Unpriced > 0 || whole.Unpriced > 0:
		c.NotCompared = "not all nodes have a known price"
	case whole.PerHour.Total == 0:
		c.NotCompared = "the pods need no node that Karpenter launches"
	default:
		perHour := whole.PerHour.Total - c.PerHour.Total
		c.Saving = &Saving{perHour, perHour * HoursAMonth, perHour / whole.PerHour.Total * 100}
	}
}

// Best is the count that costs least among those that can be compared with whole
// GPUs, and of equal ones that with the fewest slices, which share a GPU with fewer
// others. It is nil where none can be compared.
func (f *Forecast) Best() *Count {
	var best *Count
	for i := range f.Counts {
		c := &f.Counts[i]
		if c.Saving != nil && (best == nil || c.PerHour.Total < best.PerHour.Total-tenthOfACent) {
			best = c
		}
	}
	return best
}

// tenthOfACent is a difference of costs in USD that is nobody's concern; sums of the
// same prices in another order differ less.
const tenthOfACent = 0.001

// Whole is the count of whole GPUs, nil while there is none.
func (f *Forecast) Whole() *Count {
	if len(f.Counts) == 0 || f.Counts[0].Slices != 1 {
		return nil
	}
	return &f.Counts[0]
}

// Headline is the answer in a sentence.
func (f *Forecast) Headline() string {
	best, whole := f.Best(), f.Whole()
	switch {
	case whole == nil:
		return "Nothing has been forecast."
	case !slices.ContainsFunc(f.Counts, func(c Count) bool { return c.SlicesUsed > 0 || len(c.Unplaced) > 0 }):
		return fmt.Sprintf("%s: none has a GPU, and the number of slices changes nothing for them.", Plural(len(whole.Pods), "pod"))
	case best == nil && len(f.Counts) == 1:
		return fmt.Sprintf("%s: %s with whole GPUs.", Plural(len(whole.Pods), "pod"), whole.cost())
	case best == nil:
		last := f.Counts[len(f.Counts)-1]
		return fmt.Sprintf("%s: no number of slices can be compared with whole GPUs: %s.", Plural(len(whole.Pods), "pod"), last.NotCompared)
	case best.Saving.PerHour < tenthOfACent:
		return fmt.Sprintf("%s: slices save nothing; %s with whole GPUs.", Plural(len(whole.Pods), "pod"), whole.cost())
	}
	pods := Plural(len(best.Pods), "pod")
	if len(best.Unplaced) > 0 {
		pods = fmt.Sprintf("%d of %s", best.PodsPlaced, pods)
	}
	return fmt.Sprintf("%s: %s at %d slices a GPU; %s with whole GPUs. Saves %.0f %%, %s a month.",
		pods, best.cost(), best.Slices, whole.cost(), best.Saving.Percent, USD(best.Saving.PerMonth, 0))
}

func (c *Count) cost() string {
	return fmt.Sprintf("%s, %s/h", Plural(c.NodesLaunched, "node"), USD(c.PerHour.Total, 2))
}

// WriteJSON writes the forecast as JSON.
func (f *Forecast) WriteJSON(out io.Writer) error { return WriteJSON(out, f) }
