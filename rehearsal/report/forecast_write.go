package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Write writes the forecast for a terminal of 100 columns: the answer, the counts side
// by side, what could not be placed, what was left out, and what to bear in mind.
func (f *Forecast) Write(out io.Writer) error {
	t := tables{out: out}
	t.line("")
	t.paragraph("", f.Headline())
	header := []string{"SLICES A GPU"}
	for i := range f.Counts {
		header = append(header, f.Counts[i].Title())
	}
	t.wide(fmt.Sprintf("Forecast of stack %s in %s", f.Stack, f.Region), header, f.Rows())
	f.writeUnplaced(&t)
	if len(f.LeftOut) > 0 {
		t.line("\nLeft out of the workloads")
		for _, l := range f.LeftOut {
			t.paragraph("  ", fmt.Sprintf("- %s: %s", l.Object, l.Reason))
		}
	}
	t.line("")
	for _, c := range f.Caveats() {
		t.paragraph("  ", "- "+c)
	}
	if origin := f.Origin(); origin != "" {
		t.paragraph("  ", "- "+origin)
	}
	return t.err
}

func (f *Forecast) writeUnplaced(t *tables) {
	all := f.Unplaced()
	if len(all) == 0 {
		return
	}
	t.line("\nCould not be placed")
	for _, u := range all {
		t.paragraph("  ", fmt.Sprintf("- %s, such as %s: %s", u.Where, u.Such, u.Reason))
	}
}

// Why is a reason why pods could not be placed, at all counts.
type Why struct {
	// Where says how many pods at which counts, Such names one of them.
	Where, Such string
	Reason      string
}

// Unplaced are the reasons why pods could not be placed; what is the same at several
// counts is told once.
func (f *Forecast) Unplaced() []Why {
	var all []Why
	for i := range f.Counts {
		for _, u := range f.Counts[i].Unplaced {
			at := slices.IndexFunc(all, func(w Why) bool { return w.Reason == u.Reason })
			if at < 0 {
				all = append(all, Why{fmt.Sprintf("%s at %s", Plural(len(u.Pods), "pod"), Plural(f.Counts[i].Slices, "slice")), u.Pods[0], u.Reason})
				continue
			}
			all[at].Where += fmt.Sprintf(", %d at %d", len(u.Pods), f.Counts[i].Slices)
		}
	}
	return all
}

// Title names a count.
func (c *Count) Title() string {
	if c.Slices == 1 {
		return "1 (whole)"
	}
	return strconv.Itoa(c.Slices)
}

// Rows is the table of all counts: each row is a name and a cell for each count.
func (f *Forecast) Rows() [][]string {
	rows := f.groupRows()
	row := func(name string, cell func(*Count) string) {
		cells := []string{name}
		for i := range f.Counts {
			cells = append(cells, cell(&f.Counts[i]))
		}
		rows = append(rows, cells)
	}
	row("pods placed", func(c *Count) string { return fmt.Sprintf("%d of %d", c.PodsPlaced, len(c.Pods)) })
	row("slices used", func(c *Count) string { return fmt.Sprintf("%d of %d", c.SlicesUsed, c.SlicesOffered) })
	row("GPU memory a slice", (*Count).Memory)
	row("$/h spot", func(c *Count) string { return USD(c.PerHour.Spot, 4) })
	row("$/h on-demand", func(c *Count) string { return USD(c.PerHour.OnDemand, 4) })
	row("$/month spot", func(c *Count) string { return USD(c.PerMonth.Spot, 0) })
	row("$/month on-demand", func(c *Count) string { return USD(c.PerMonth.OnDemand, 0) })
	row("saved a month", func(c *Count) string {
		switch {
		case c.Saving != nil:
			return fmt.Sprintf("%s, %.0f %%", USD(c.Saving.PerMonth, 0), c.Saving.Percent)
		case c.NotCompared != "":
			return "not comparable"
		}
		return "-"
	})
	return rows
}

// groupRows are the rows of nodes by pool and type, of all counts.
func (f *Forecast) groupRows() [][]string {
	var all []Group
	for i := range f.Counts {
		for _, g := range f.Counts[i].Groups {
			if !slices.ContainsFunc(all, func(o Group) bool { return compareGroups(o, g) == 0 }) {
				all = append(all, g)
			}
		}
	}
	slices.SortFunc(all, compareGroups)
	var rows [][]string
	for _, g := range all {
		cells := []string{g.Name()}
		for i := range f.Counts {
			nodes := "-"
			for _, own := range f.Counts[i].Groups {
				if compareGroups(own, g) == 0 {
					nodes = Plural(own.Nodes, "node")
				}
			}
			cells = append(cells, nodes)
		}
		rows = append(rows, cells)
	}
	return rows
}

// Memory is the GPU memory of a slice, or what there is from the least to the most.
func (c *Count) Memory() string {
	var mib []int64
	for _, g := range c.Groups {
		if g.SliceMemoryMiB > 0 {
			mib = append(mib, g.SliceMemoryMiB)
		}
	}
	if len(mib) == 0 {
		return "-"
	}
	least, most := gib(slices.Min(mib)), gib(slices.Max(mib))
	if least == most {
		return most + " GiB"
	}
	return least + " to " + most + " GiB"
}

// gib is an amount of MiB in GiB with the decimals it needs, two at most.
func gib(mib int64) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", float64(mib)/1024), "0"), ".")
}

// Caveats are what to bear in mind with the figures.
func (f *Forecast) Caveats() []string {
	var out []string
	if whole := f.Whole(); whole != nil && !whole.Asked {
		out = append(out, "Whole GPUs were not asked for: they are what the others are compared with.")
	}
	for i := range f.Counts {
		c := &f.Counts[i]
		if c.NotCompared != "" {
			out = append(out, fmt.Sprintf("Not compared with whole GPUs at %d slices: %s.", c.Slices, c.NotCompared))
		}
		if c.EverLaunched > c.NodesLaunched {
			out = append(out, fmt.Sprintf("At %s Karpenter launched %d nodes in all, and ended %d of them again.",
				Plural(c.Slices, "slice"), c.EverLaunched, c.EverLaunched-c.NodesLaunched))
		}
	}
	if len(f.Counts) > 0 {
		out = append(out, fmt.Sprintf("The cost is that of the nodes that Karpenter launches for the pods. The nodes that are there whatever the pods ask for cost %s/h more at each count; the EKS control plane, volumes and traffic are not in it. A month has %d hours.",
			USD(f.Counts[0].FixedPerHour, 4), HoursAMonth))
	}
	return append(append(out, f.sharing()...), f.About.Caveats()...)
}

// sharing says what a slice is and is not, for the ways in which the pools share GPUs.
func (f *Forecast) sharing() []string {
	ways := map[string]bool{}
	for i := range f.Counts {
		for _, p := range f.Counts[i].Pools {
			ways[p.Sharing] = true
		}
	}
	var out []string
	if ways["time-slicing"] {
		out = append(out, "GPU memory a slice is the GPU's divided by its slices. Time-slicing reserves none of it: the pods of a GPU share its memory, and a fault of one can end the others.")
	}
	if ways["mps"] {
		out = append(out, "Under MPS GPU memory a slice is a limit, and so is its part of the GPU's compute; faults are not isolated. Its scheduling was rehearsed, no MPS daemon ran.")
	}
	return out
}

// Caveats are what to bear in mind with any figures of a rehearsal.
func (a *About) Caveats() []string {
	var out []string
	if a.PricesDate != "" {
		out = append(out, fmt.Sprintf("Prices are of the price list of %s for %s; spot prices move from hour to hour.", a.PricesDate, a.Region))
	}
	for _, p := range a.Prices {
		switch {
		case p.PerHour == 0:
			out = append(out, fmt.Sprintf("No price is known for %s %s: %s.", p.InstanceType, p.CapacityType, p.Source))
		case p.Assumed:
			out = append(out, fmt.Sprintf("The price of %s %s, %s/h, is assumed: %s.", p.InstanceType, p.CapacityType, USD(p.PerHour, 4), p.Source))
		}
	}
	return out
}

// Origin says what the figures were found with, "" where that is not known.
func (a *About) Origin() string {
	if len(a.Simulated) == 0 {
		return ""
	}
	return fmt.Sprintf("Real: %s. Simulated: %s.", strings.Join(a.Real, ", "), strings.Join(a.Simulated, ", "))
}
