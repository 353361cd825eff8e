package page

import (
	"fmt"
	"slices"
	"strings"

	"eks-gpu-slicing/rehearsal/report"
)

func forecastView(f *report.Forecast) (*view, error) {
	v := &view{Kind: "Forecast of GPU slices", About: f.About, Headline: f.Headline(), Caveats: f.Caveats(), Tiles: forecastTiles(f)}
	if len(f.Counts) > 0 {
		for _, chart := range []func(*report.Forecast) (figure, error){costChart, nodesChart} {
			c, err := chart(f)
			if err != nil {
				return nil, fmt.Errorf("drawing the forecast: %w", err)
			}
			v.Charts = append(v.Charts, c)
		}
	}
	for i := range f.Counts {
		c := &f.Counts[i]
		if m := mapOf(c.Nodes); len(m) > 0 {
			v.Maps = append(v.Maps, nodeMap{
				Title: fmt.Sprintf("%s: %s, %d of %s used", countName(c), report.Plural(len(m), "GPU node"), c.SlicesUsed, report.Plural(int(c.SlicesOffered), "slice")),
				Nodes: m,
			})
		}
	}
	v.MapNote = mapNote
	v.Tables = append(forecastTables(f), aboutTables(&f.About)...)
	return v, nil
}

const mapNote = "A box is a node, its cells the slices it offers; coloured ones are taken by pods."

func countName(c *report.Count) string {
	if c.Slices == 1 {
		return "Whole GPUs"
	}
	return fmt.Sprintf("%d slices a GPU", c.Slices)
}

func forecastTiles(f *report.Forecast) []tile {
	whole, best := f.Whole(), f.Best()
	if whole == nil {
		return nil
	}
	if best == nil || best.Saving.PerMonth < 1 {
		return []tile{
			{"With whole GPUs", report.USD(whole.PerMonth.Total, 0) + " a month", report.USD(whole.PerHour.Total, 4) + " an hour"},
			{"Nodes with whole GPUs", fmt.Sprint(whole.NodesLaunched), "launched by Karpenter"},
			{"Pods placed", fmt.Sprintf("%d of %d", whole.PodsPlaced, len(whole.Pods)), "with whole GPUs"},
		}
	}
	at := fmt.Sprintf("at %d slices a GPU", best.Slices)
	return []tile{
		{"Saved against whole GPUs", fmt.Sprintf("%.0f %%", best.Saving.Percent), report.USD(best.Saving.PerMonth, 0) + " a month " + at},
		{"Cost a month " + at, report.USD(best.PerMonth.Total, 0), report.USD(whole.PerMonth.Total, 0) + " with whole GPUs"},
		{"Nodes " + at, fmt.Sprint(best.NodesLaunched), fmt.Sprintf("%d with whole GPUs", whole.NodesLaunched)},
		{"GPU memory a slice", best.Memory(), whole.Memory() + " with whole GPUs"},
	}
}

// names are those of the counts in charts.
func names(f *report.Forecast) []string {
	var out []string
	for i := range f.Counts {
		out = append(out, countName(&f.Counts[i]))
	}
	return out
}

func costChart(f *report.Forecast) (figure, error) {
	spot, onDemand := series{name: "spot", ink: inkFirst}, series{name: "on-demand", ink: inkSecond}
	var labels, alt []string
	for i := range f.Counts {
		c := &f.Counts[i]
		spot.values = append(spot.values, c.PerMonth.Spot)
		onDemand.values = append(onDemand.values, c.PerMonth.OnDemand)
		label := report.USD(c.PerMonth.Total, 0)
		if c.PodsPlaced != f.Counts[0].PodsPlaced {
			label += fmt.Sprintf(" (%s)", report.Plural(c.PodsPlaced, "pod"))
		}
		labels = append(labels, label)
		alt = append(alt, countName(c)+" "+label)
	}
	all := []series{spot, onDemand}
	svg, err := bars("Cost a month in USD: "+strings.Join(alt, ", "), names(f), labels, all)
	return figure{"Cost a month", "In USD, of the nodes that Karpenter launches for the pods.", keys(all), svg}, err
}

// nodesChart shows the nodes that Karpenter launches, by pool, type and capacity.
func nodesChart(f *report.Forecast) (figure, error) {
	var all []series
	labels, alt := make([]string, len(f.Counts)), make([]string, len(f.Counts))
	for i := range f.Counts {
		c := &f.Counts[i]
		for _, g := range c.Groups {
			if g.Fixed {
				continue
			}
			name := g.Name()
			at := slices.IndexFunc(all, func(s series) bool { return s.name == name })
			if at < 0 {
				at = len(all)
				all = append(all, series{name: name, ink: seriesInk(at), values: make([]float64, len(f.Counts))})
			}
			all[at].values[i] = float64(g.Nodes)
		}
		labels[i] = report.Plural(c.NodesLaunched, "node")
		alt[i] = countName(c) + " " + labels[i]
	}
	if len(all) == 0 {
		all = []series{{name: "none", ink: inkIdle, values: make([]float64, len(f.Counts))}}
	}
	svg, err := bars("Nodes that Karpenter launches: "+strings.Join(alt, ", "), names(f), labels, all)
	return figure{"Nodes", "Launched by Karpenter, by pool, instance type and capacity.", keys(all), svg}, err
}

// mapOf are the boxes of the nodes that have a GPU.
func mapOf(nodes []report.Node) []box {
	var out []box
	for _, n := range nodes {
		if n.GPUSlices > 0 {
			out = append(out, box{n.GPUSlicesUsed, n.GPUSlices, fmt.Sprintf("%s, %s %s %s: %d of %s used",
				n.Name, n.Pool, n.InstanceType, n.CapacityType, n.GPUSlicesUsed, report.Plural(int(n.GPUSlices), "slice"))})
		}
	}
	return out
}

func forecastTables(f *report.Forecast) []table {
	head := []string{"Slices a GPU"}
	for i := range f.Counts {
		head = append(head, f.Counts[i].Title())
	}
	var unplaced, left [][]string
	for _, u := range f.Unplaced() {
		unplaced = append(unplaced, []string{u.Where, u.Such, u.Reason})
	}
	for _, l := range f.LeftOut {
		left = append(left, []string{l.Object, l.Reason})
	}
	rows := f.Rows()
	if len(f.Counts) == 0 {
		rows = nil
	}
	return []table{
		{Title: "Side by side", Head: head, Rows: rows, Wide: true},
		{Title: "Could not be placed", Head: []string{"Pods", "Such as", "Reason"}, Rows: unplaced},
		{Title: "Left out of the workloads", Note: "Objects that the stack cannot serve; they were not applied.", Head: []string{"Object", "Reason"}, Rows: left},
	}
}
