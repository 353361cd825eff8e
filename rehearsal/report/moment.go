package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// NewMoment sums up nodes at a time of a run.
func NewMoment(seconds float64, nodes []Node) Moment {
	m := Moment{Seconds: seconds, Pools: []PoolSize{}}
	for _, n := range nodes {
		at := slices.IndexFunc(m.Pools, func(p PoolSize) bool { return p.Pool == n.Pool })
		if at < 0 {
			at = len(m.Pools)
			m.Pools = append(m.Pools, PoolSize{Pool: n.Pool})
		}
		m.Pools[at].Nodes++
		m.SlicesUsed += n.GPUSlicesUsed
		m.SlicesOffered += n.GPUSlices
		if !n.Fixed {
			m.PerHour += n.PricePerHour
		}
	}
	slices.SortFunc(m.Pools, func(x, y PoolSize) int { return cmp.Compare(x.Pool, y.Pool) })
	_, m.WholePerHour = Whole(nodes)
	return m
}

// Whole is how many nodes Karpenter would have, and their cost in USD an hour, if
// each slice in use were a whole GPU of the same type: a computation, which knows
// neither other types nor what else the pods ask for. A forecast runs it instead.
func Whole(nodes []Node) (count int64, perHour float64) {
	for _, n := range nodes {
		if n.Fixed {
			continue
		}
		gpus, _ := gpusOf(n)
		if gpus == 0 || n.GPUSlices == 0 {
			count++
			perHour += n.PricePerHour
			continue
		}
		needed := max(n.GPUSlicesUsed, 1) // a node that is empty is still one
		instances := (needed + gpus - 1) / gpus
		count += instances
		perHour += float64(instances) * n.PricePerHour
	}
	return count, perHour
}

// Launched sums up the nodes that Karpenter has: how many, and their cost in USD an
// hour.
func (r *Run) Launched() (count int, perHour float64) {
	for _, n := range r.Nodes {
		if !n.Fixed {
			count++
			perHour += n.PricePerHour
		}
	}
	return count, perHour
}

// Headline is what came of the run, in a sentence or two; "" before anything has.
func (r *Run) Headline() string {
	var out []string
	if len(r.Pods) > 0 {
		placed := 0
		for _, p := range r.Pods {
			if p.Reason == "" {
				placed++
			}
		}
		count, perHour := r.Launched()
		out = append(out, fmt.Sprintf("%d of %s placed on %s, %s/h.", placed, Plural(len(r.Pods), "pod"), Plural(count, "node"), USD(perHour, 2)))
		if whole, wholePerHour := Whole(r.Nodes); wholePerHour-perHour >= tenthOfACent {
			out = append(out, fmt.Sprintf("With a whole GPU for each slice in use: %s, %s/h; saves %.0f %%.",
				Plural(int(whole), "node"), USD(wholePerHour, 2), (wholePerHour-perHour)/wholePerHour*100))
		}
	}
	var short []string
	for _, p := range r.Phases {
		if !p.OK {
			short = append(short, p.Name)
		}
	}
	switch {
	case len(short) > 0:
		out = append(out, "Fell short: "+strings.Join(short, ", ")+".")
	case len(r.Phases) > 0:
		out = append(out, "Every step passed.")
	}
	return strings.Join(out, " ")
}
