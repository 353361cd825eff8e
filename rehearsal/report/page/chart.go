package page

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"html/template"
	"image/color"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// ink is a colour of the style sheet. The library knows colours alone, so each ink is
// drawn in one that nothing else has, which is then replaced by the CSS variable: the
// page's colours change with the reader's mode, in the charts too.
type ink uint8

// The inks. Those of series are for more than one of them in the order given.
const (
	inkLine ink = iota + 1
	inkMuted
	inkIdle
	inkFirst
	inkSecond
	inkThird
	inkFourth
	inkFifth
	inkSixth
)

// seriesInk is the ink of a series; there are six.
func seriesInk(i int) ink { return inkFirst + ink(i%6) }

func (i ink) color() color.Color { return color.RGBA{R: 1, G: 2, B: uint8(i), A: 255} }

func (i ink) variable() string {
	return "var(--" + [...]string{"", "line", "muted", "idle", "first", "second", "third", "fourth", "fifth", "sixth"}[i] + ")"
}

// css is the ink for the page's own elements.
func (i ink) css() template.CSS { return template.CSS(i.variable()) } // one of ours

// series is a series of a chart.
type series struct {
	name   string
	ink    ink
	values []float64
	dashed bool
}

// keys is the legend of series.
func keys(all []series) []key {
	var out []key
	for _, s := range all {
		out = append(out, key{s.ink.css(), s.name})
	}
	return out
}

// Measures of charts, in SVG units. As wide as a phone, so that text is legible there;
// a larger screen magnifies them.
const (
	chartWidth  = 360
	textSize    = 12
	rowHeight   = 30
	barHeight   = 18
	linesHeight = 190
)

// bars draws horizontal bars of stacked series. Each has a name to its left and a label
// to its right. alt tells what is to be seen to those who do not see it.
func bars(alt string, names, labels []string, stacked []series) (template.HTML, error) {
	p := newPlot()
	rows := len(names)
	up := func(i int) int { return rows - 1 - i } // a plot's first row is the lowest
	totals := make([]float64, rows)
	var below *plotter.BarChart
	for _, s := range stacked {
		values := make(plotter.Values, rows)
		for i, v := range s.values {
			values[up(i)] = v
			totals[up(i)] += v
		}
		b, err := plotter.NewBarChart(values, barHeight)
		if err != nil {
			return "", err
		}
		b.Horizontal, b.Color, b.LineStyle.Width = true, s.ink.color(), 0
		if below != nil {
			b.StackOn(below)
		}
		below = b
		p.Add(b)
	}
	at := plotter.XYLabels{XYs: make(plotter.XYs, rows), Labels: make([]string, rows)}
	for i, total := range totals {
		at.XYs[i] = plotter.XY{X: total, Y: float64(i)}
		at.Labels[up(i)] = labels[i]
	}
	text, err := plotter.NewLabels(at)
	if err != nil {
		return "", err
	}
	text.Offset = vg.Point{X: 5, Y: 1.5} // on the line of the names
	for i := range text.TextStyle {
		text.TextStyle[i].Font, text.TextStyle[i].YAlign = sans(), draw.YCenter
	}
	p.Add(text)
	reversed := slices.Clone(names)
	slices.Reverse(reversed)
	p.NominalY(reversed...)
	p.Y.Min, p.Y.Max = -0.5, float64(rows)-0.5
	p.HideX()
	// The longest label must fit behind the longest bar.
	longest := 0
	for _, l := range labels {
		longest = max(longest, len(l))
	}
	p.X.Min, p.X.Max = 0, max(slices.Max(totals), 1e-9)*(1+float64(longest)*0.03)
	return render(p, alt, float64(rows)*rowHeight+8)
}

// lines draws series that hold a value from a time until the next, over the times.
func lines(alt string, times []float64, all []series, value func(float64) string) (template.HTML, error) {
	p := newPlot()
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color = inkLine.color()
	grid.Horizontal.Width = 0.75
	p.Add(grid)
	for _, s := range all {
		points := make(plotter.XYs, len(times))
		for i, t := range times {
			points[i] = plotter.XY{X: t, Y: s.values[i]}
		}
		l, err := plotter.NewLine(points)
		if err != nil {
			return "", err
		}
		l.StepStyle, l.Color, l.Width = plotter.PostStep, s.ink.color(), 2
		if s.dashed {
			l.Dashes = []vg.Length{5, 3}
		}
		p.Add(l)
	}
	p.Y.Min = 0
	p.Y.Max = max(p.Y.Max*1.05, 1e-9)
	p.X.Color, p.X.Tick.Color = inkMuted.color(), inkMuted.color()
	p.X.Width = 0.75
	p.X.Tick.Marker = ticks(func(v float64) string { return fmt.Sprintf("%g s", v) })
	p.Y.Tick.Marker = ticks(value)
	return render(p, alt, linesHeight)
}

// ticks are the library's, labelled in our way.
func ticks(label func(float64) string) plot.Ticker {
	return plot.TickerFunc(func(least, most float64) []plot.Tick {
		all := plot.DefaultTicks{}.Ticks(least, most)
		all = slices.DeleteFunc(all, plot.Tick.IsMinor)
		for i := range all {
			all[i].Label = label(all[i].Value)
		}
		return all
	})
}

func sans() font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: textSize}
}

func newPlot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Width, axis.Tick.Width, axis.Tick.Length = 0, 0, 0
		axis.Tick.Label.Font = sans()
		axis.Padding = 2
	}
	return p
}

// render draws a plot as an SVG element of the page.
func render(p *plot.Plot, alt string, height float64) (template.HTML, error) {
	canvas := vgsvg.New(chartWidth, vg.Length(height))
	p.Draw(draw.New(canvas))
	var text bytes.Buffer
	if _, err := canvas.WriteTo(&text); err != nil {
		return "", err
	}
	_, document, found := strings.Cut(text.String(), "<svg")
	_, content, closed := strings.Cut(document, ">")
	if !found || !closed {
		return "", errors.New("a chart is no SVG document")
	}
	var replacements []string
	for i := inkLine; i <= inkSixth; i++ {
		r, g, b, _ := i.color().RGBA()
		replacements = append(replacements, fmt.Sprintf("#%02X%02X%02X", r>>8, g>>8, b>>8), i.variable())
	}
	content = strings.NewReplacer(replacements...).Replace(content)
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %g" role="img" aria-label="%s">%s`, // the library escapes texts
		chartWidth, height, html.EscapeString(alt), content)), nil
}
