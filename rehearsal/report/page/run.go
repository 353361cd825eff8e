package page

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"eks-gpu-slicing/rehearsal/report"
)

func runView(r *report.Run) (*view, error) {
	v := &view{Kind: "Rehearsal", About: r.About, Headline: r.Headline(), Tiles: runTiles(r), MapNote: mapNote}
	if len(r.Timeline) > 1 {
		for _, chart := range []func([]report.Moment) (figure, error){poolsOverTime, slicesOverTime, costOverTime} {
			c, err := chart(r.Timeline)
			if err != nil {
				return nil, fmt.Errorf("drawing the rehearsal: %w", err)
			}
			v.Charts = append(v.Charts, c)
		}
	}
	if m := mapOf(r.Nodes); len(m) > 0 {
		v.Maps = []nodeMap{{Title: "When all pods were settled: " + report.Plural(len(m), "GPU node"), Nodes: m}}
	}
	v.Tables = append(runTables(r), aboutTables(&r.About)...)
	v.Caveats = append([]string{
		"The cost is that of the nodes that Karpenter launches for the pods. The cost with whole GPUs is computed: a node of the same type for each slice in use, which knows neither other types nor what else the pods ask for; rehearse forecast runs it.",
	}, r.Caveats()...)
	return v, nil
}

func runTiles(r *report.Run) []tile {
	launched, perHour := r.Launched()
	whole, wholePerHour := report.Whole(r.Nodes)
	placed, seconds := 0, 0.0
	for _, p := range r.Pods {
		if p.Reason == "" {
			placed++
		}
	}
	for _, p := range r.Phases {
		seconds += p.Seconds
	}
	return []tile{
		{"Cost a month", report.USD(perHour*report.HoursAMonth, 0), report.USD(wholePerHour*report.HoursAMonth, 0) + " with whole GPUs"},
		{"Nodes of Karpenter", fmt.Sprint(launched), fmt.Sprintf("%d with whole GPUs", whole)},
		{"Pods placed", fmt.Sprintf("%d of %d", placed, len(r.Pods)), report.Plural(len(r.NodeClaimsLaunched), "node") + " ever launched"},
		{"Rehearsed in", fmt.Sprintf("%.0f s", seconds), report.Plural(len(r.Phases), "step")},
	}
}

// times are those of moments.
func times(all []report.Moment) []float64 {
	var out []float64
	for _, m := range all {
		out = append(out, m.Seconds)
	}
	return out
}

// over is a series of one value of each moment.
func over(all []report.Moment, name string, i ink, dashed bool, value func(report.Moment) float64) series {
	s := series{name: name, ink: i, dashed: dashed}
	for _, m := range all {
		s.values = append(s.values, value(m))
	}
	return s
}

const sinceApplied = "Over the seconds since the workloads were applied."

func whole(v float64) string { return fmt.Sprintf("%g", v) }

func poolsOverTime(all []report.Moment) (figure, error) {
	pools := map[string]bool{}
	for _, m := range all {
		for _, p := range m.Pools {
			pools[p.Pool] = true
		}
	}
	var shown []series
	var alt []string
	for _, pool := range slices.Sorted(maps.Keys(pools)) {
		s := over(all, pool, seriesInk(len(shown)), false, func(m report.Moment) float64 {
			for _, p := range m.Pools {
				if p.Pool == pool {
					return float64(p.Nodes)
				}
			}
			return 0
		})
		shown = append(shown, s)
		alt = append(alt, fmt.Sprintf("%s from %g to %g", pool, s.values[0], s.values[len(s.values)-1]))
	}
	svg, err := lines("Nodes over time: "+strings.Join(alt, ", "), times(all), shown, whole)
	return figure{"Nodes by pool", sinceApplied, keys(shown), svg}, err
}

func slicesOverTime(all []report.Moment) (figure, error) {
	offered := over(all, "offered by nodes", inkIdle, false, func(m report.Moment) float64 { return float64(m.SlicesOffered) })
	used := over(all, "taken by pods", inkFirst, false, func(m report.Moment) float64 { return float64(m.SlicesUsed) })
	last := all[len(all)-1]
	svg, err := lines(fmt.Sprintf("GPU slices over time: in the end %d of %d are taken", last.SlicesUsed, last.SlicesOffered), times(all), []series{offered, used}, whole)
	return figure{"GPU slices", sinceApplied, keys([]series{used, offered}), svg}, err
}

func costOverTime(all []report.Moment) (figure, error) {
	cost := over(all, "as rehearsed", inkFirst, false, func(m report.Moment) float64 { return m.PerHour })
	computed := over(all, "with whole GPUs, computed (dashed)", inkSecond, true, func(m report.Moment) float64 { return m.WholePerHour })
	last := all[len(all)-1]
	svg, err := lines(fmt.Sprintf("Cost an hour over time: in the end %s, with whole GPUs %s", report.USD(last.PerHour, 4), report.USD(last.WholePerHour, 4)),
		times(all), []series{cost, computed}, func(v float64) string { return report.USD(v, 2) })
	return figure{"Cost an hour", sinceApplied, keys([]series{cost, computed}), svg}, err
}

func runTables(r *report.Run) []table {
	var nodes, launched, unplaced, phases, denied, left [][]string
	for _, n := range r.Nodes {
		used := "-"
		if n.GPUSlices > 0 {
			used = fmt.Sprintf("%d of %d", n.GPUSlicesUsed, n.GPUSlices)
		}
		nodes = append(nodes, []string{n.Name, n.Pool, n.InstanceType, n.CapacityType, n.Zone, report.USD(n.PricePerHour, 4), used})
	}
	for _, c := range r.NodeClaimsLaunched {
		why := "it had none when all were settled"
		if pods := r.PodsOn(c.Node); len(pods) > 0 {
			why = fmt.Sprintf("%s, such as %s", report.Plural(len(pods), "pod"), pods[0])
		}
		launched = append(launched, []string{c.Name, c.InstanceType, c.CapacityType, c.Zone, why})
	}
	for _, p := range r.Pods {
		if p.Reason != "" {
			unplaced = append(unplaced, []string{p.Namespace + "/" + p.Name, p.Phase, p.Reason})
		}
	}
	for _, p := range r.Phases {
		result := "ok"
		if !p.OK {
			result = "fell short"
		}
		phases = append(phases, []string{p.Name, fmt.Sprintf("%.1f", p.Seconds), result})
	}
	for _, d := range r.DeniedCalls {
		denied = append(denied, []string{d.Action, fmt.Sprint(d.Count), d.Resource, d.Principal, d.Reason})
	}
	for _, l := range r.Leftovers {
		left = append(left, []string{l.ID, l.Type})
	}
	return []table{
		{Title: "Could not be placed", Head: []string{"Pod", "Phase", "Reason"}, Rows: unplaced},
		{Title: "Launched, and why", Note: "All nodes that Karpenter ever launched, and the pods of the workloads on them.", Head: []string{"NodeClaim", "Type", "Capacity", "Zone", "For"}, Rows: launched, Wide: true},
		{Title: "Nodes", Note: "As they stood when all pods were settled.", Head: []string{"Node", "Pool", "Type", "Capacity", "Zone", "$/h", "Slices used"}, Rows: nodes, Wide: true},
		{Title: "Steps", Head: []string{"Step", "Seconds", "Result"}, Rows: phases},
		{Title: "Calls that IAM denied", Head: []string{"Action", "Times", "Resource", "By", "Reason"}, Rows: denied},
		{Title: "Left over in the account", Head: []string{"ID", "Type"}, Rows: left},
	}
}
