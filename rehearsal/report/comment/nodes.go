package comment

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"eks-gpu-slicing/rehearsal/report"
)

// writeRuns writes nodes and cost of both sides, and what fell short on the after side.
func writeRuns(d *document, before, after *report.Run) {
	if after == nil {
		if before != nil {
			d.paragraph("**This change has no rehearsal of the examples**: the run says why.")
		}
		return
	}
	now := after.Count()
	rows := nodeRows(nil, &now)
	if before == nil {
		d.paragraph("**%s** on the stack %s. There is nothing to compare with: there is no rehearsal of the base.", total(&now), after.Stack)
		table(d, []string{"nodes", "after"}, rows, 2)
	} else {
		then := before.Count()
		rows = nodeRows(&then, &now)
		if slices.ContainsFunc(rows, func(r [3]string) bool { return r[1] != r[2] }) {
			d.paragraph("**%s**, before %s%s, on the stack %s.", total(&now), total(&then), percent(perHour(&then), perHour(&now)), after.Stack)
			table(d, []string{"nodes", "before", "after"}, rows, 3)
		} else {
			d.paragraph("**Nodes and cost stay as they are**: %s on the stack %s.", total(&now), after.Stack)
		}
	}
	if after.PricesDate != "" {
		d.paragraph("<sub>Workloads: %s. Prices are of the price list of %s; the EKS control plane, volumes and traffic are not in them.</sub>",
			code(strings.Join(after.Workloads, ", ")), after.PricesDate)
	}
	for _, p := range after.Phases {
		if !p.OK {
			d.paragraph("**Fell short:** %s", code(p.Name))
		}
	}
	for _, u := range now.Unplaced {
		d.paragraph("**Not placed:** %s, such as %s: %s", report.Plural(len(u.Pods), "pod"), code(u.Pods[0]), code(shorten(u.Reason, 500)))
	}
	for _, c := range after.DeniedCalls {
		d.paragraph("**IAM denied** %s on %s: %s", code(c.Action), code(c.Resource), code(c.Reason))
	}
	for _, l := range after.Leftovers {
		d.paragraph("**Left over in the account:** %s %s", code(l.Type), code(l.ID))
	}
}

// nodeRows are a name, and how it stands before and after. Without a before it is "".
func nodeRows(before, after *report.Count) [][3]string {
	var all []report.Group
	sides := []*report.Count{before, after}
	for _, c := range sides {
		if c == nil {
			continue
		}
		for _, g := range c.Groups {
			if !slices.ContainsFunc(all, func(o report.Group) bool { return o.Name() == g.Name() }) {
				all = append(all, g)
			}
		}
	}
	slices.SortFunc(all, func(x, y report.Group) int { return cmp.Compare(order(x), order(y)) })
	var rows [][3]string
	for _, g := range all {
		row := [3]string{code(g.Name())}
		for i, c := range sides {
			if c == nil {
				continue
			}
			row[i+1] = "-"
			if at := slices.IndexFunc(c.Groups, func(o report.Group) bool { return o.Name() == g.Name() }); at >= 0 {
				row[i+1] = cell(c.Groups[at])
			}
		}
		rows = append(rows, row)
	}
	summed := func(title string, tell func(*report.Count) string) {
		row := [3]string{title}
		for i, c := range sides {
			if c != nil {
				row[i+1] = tell(c)
			}
		}
		rows = append(rows, row)
	}
	summed("in all", total)
	summed("a month", func(c *report.Count) string { return report.USD(perHour(c)*report.HoursAMonth, 0) })
	summed("GPU slices used", func(c *report.Count) string { return fmt.Sprintf("%d of %d", c.SlicesUsed, c.SlicesOffered) })
	summed("pods placed", func(c *report.Count) string { return fmt.Sprintf("%d of %d", c.PodsPlaced, len(c.Pods)) })
	summed("nodes ever launched", func(c *report.Count) string { return fmt.Sprint(c.EverLaunched) })
	return rows
}

// order sorts nodes that are there whatever the pods ask for after the others.
func order(g report.Group) string { return fmt.Sprintf("%t %s", g.Fixed, g.Name()) }

func cell(g report.Group) string {
	text := fmt.Sprintf("%s, %s/h", report.Plural(g.Nodes, "node"), report.USD(g.PerHour, 4))
	if g.GPUSlices > 0 {
		text += fmt.Sprintf(", %d of %d slices", g.GPUSlicesUsed, g.GPUSlices)
	}
	return text
}

// perHour is the cost of all nodes in USD.
func perHour(c *report.Count) float64 { return c.PerHour.Total + c.FixedPerHour }

func total(c *report.Count) string {
	text := fmt.Sprintf("%s, %s/h", report.Plural(len(c.Nodes), "node"), report.USD(perHour(c), 4))
	if c.Unpriced > 0 {
		text += fmt.Sprintf(" (%d without a known price)", c.Unpriced)
	}
	return text
}

// percent is by how much a cost changed, "" where that is nothing or cannot be said.
func percent(before, after float64) string {
	if before == 0 || before == after {
		return ""
	}
	return fmt.Sprintf(" (%+.0f %%)", (after-before)/before*100)
}

// table writes the first columns of rows; what is not alike before and after is bold.
func table(d *document, header []string, rows [][3]string, columns int) {
	d.line("")
	d.line("| %s |", strings.Join(header, " | "))
	d.line("|%s", strings.Repeat("---|", len(header)))
	for _, r := range rows {
		cells := r[:]
		if columns == 2 {
			cells = []string{r[0], r[2]}
		} else if r[1] != r[2] {
			cells = []string{r[0], r[1], "**" + r[2] + "**"}
		}
		d.line("| %s |", strings.Join(cells, " | "))
	}
}
