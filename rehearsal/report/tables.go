package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/mitchellh/go-wordwrap"
)

// width is how many columns of a terminal tables and texts may take.
const width = 100

// USD is an amount of dollars with so many decimals, such as $1,445 or $0.2475.
func USD(amount float64, decimals int) string {
	format := "#,###."
	if decimals > 0 {
		format += strings.Repeat("#", decimals)
	}
	if amount < 0 {
		return "-$" + humanize.FormatFloat(format, -amount)
	}
	return "$" + humanize.FormatFloat(format, amount)
}

// Plural is a number of things, such as "1 node" or "2 nodes".
func Plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// tables writes tables and keeps the first error.
type tables struct {
	out io.Writer
	err error
}

func (t *tables) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.out, format+"\n", args...)
	}
}

func (t *tables) table(title, header string, rows [][]string) {
	if len(rows) == 0 || t.err != nil {
		return
	}
	t.line("\n%s", title)
	w := tabwriter.NewWriter(t.out, 0, 0, columnGap, ' ', 0)
	_, _ = fmt.Fprintln(w, header) // Flush tells what went wrong
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				_, _ = fmt.Fprint(w, "\t")
			}
			_, _ = fmt.Fprint(w, cell)
		}
		_, _ = fmt.Fprintln(w)
	}
	if t.err == nil {
		t.err = w.Flush()
	}
}

// wide writes a table whose first column names its rows, and as many tables below each
// other as its other columns take at the width of a terminal. Each row has a cell for
// each column.
func (t *tables) wide(title string, header []string, rows [][]string) {
	all := append([][]string{header}, rows...)
	widths := make([]int, len(header))
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell)+columnGap)
		}
	}
	for from := 1; from < len(header); {
		to, total := from, widths[0]
		for to < len(header) && (to == from || total+widths[to]-columnGap <= width) {
			total += widths[to]
			to++
		}
		var part [][]string
		for _, row := range all {
			part = append(part, append([]string{row[0]}, row[from:to]...))
		}
		t.table(title, strings.Join(part[0], "\t"), part[1:])
		title, from = title+", continued", to
	}
}

// columnGap is the space between columns.
const columnGap = 2

// paragraph writes text in lines of a terminal's width, of which all but the first
// begin with an indent.
func (t *tables) paragraph(indent, text string) {
	lines := wordwrap.WrapString(text, uint(width-len(indent)))
	t.line("%s", strings.ReplaceAll(lines, "\n", "\n"+indent))
}
