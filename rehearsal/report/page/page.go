// Package page shows a report in a browser: one file that asks for nothing else. It
// opens offline and from a mail or a CI artifact, reads on a phone and in dark mode,
// and runs no script. Charts are drawn by gonum.org/v1/plot; each is followed by a
// table of the same figures.
//
// The same report gives the same page, byte for byte.
package page

import (
	_ "embed"
	"html/template"
	"io"

	"eks-gpu-slicing/rehearsal/report"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// Forecast writes the page of a forecast.
func Forecast(out io.Writer, f *report.Forecast) error {
	v, err := forecastView(f)
	if err != nil {
		return err
	}
	return v.write(out)
}

// Run writes the page of a rehearsal.
func Run(out io.Writer, r *report.Run) error {
	v, err := runView(r)
	if err != nil {
		return err
	}
	return v.write(out)
}

// view is what a page shows, from top to bottom.
type view struct {
	// Kind is what sort of report it is.
	Kind     string
	About    report.About
	Headline string
	Tiles    []tile
	Charts   []figure
	// MapNote explains the maps.
	MapNote string
	Maps    []nodeMap
	Tables  []table
	Caveats []string
}

// Style is the page's style sheet.
func (v *view) Style() template.CSS {
	return template.CSS(pageStyle) // it is embedded
}

// tile is one figure, large.
type tile struct{ Label, Value, Note string }

// figure is a chart.
type figure struct {
	Title, Note string
	Keys        []key
	SVG         template.HTML
}

// key is an entry of a chart's legend.
type key struct {
	// Ink is the CSS variable of its colour.
	Ink  template.CSS
	Name string
}

// nodeMap draws nodes as boxes of slices.
type nodeMap struct {
	Title string
	Nodes []box
}

// box is a node.
type box struct {
	Used, Slices int64
	// Title is shown to who points at it.
	Title string
}

// table is one table. The first cell of a row names it.
type table struct {
	Title, Note string
	Head        []string
	Rows        [][]string
	// Wide is for a table that a phone has to scroll: its first column stays.
	Wide bool
}

func (v *view) write(out io.Writer) error {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	return t.Execute(out, v)
}

// aboutTables are the last tables of each page: where its figures are from.
func aboutTables(a *report.About) []table {
	var prices, workloads [][]string
	for _, p := range a.Prices {
		assumed := "no"
		if p.Assumed {
			assumed = "yes"
		}
		prices = append(prices, []string{p.InstanceType, p.CapacityType, report.USD(p.PerHour, 4), assumed, p.Source})
	}
	for _, w := range a.Workloads {
		workloads = append(workloads, []string{w})
	}
	return []table{
		{Title: "Prices", Note: "For Linux in " + a.Region + ", in USD.", Head: []string{"Type", "Capacity", "$/h", "Assumed", "Source"}, Rows: prices},
		{Title: "Workloads", Head: []string{"Object"}, Rows: workloads},
	}
}
