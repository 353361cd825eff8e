package lint

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// OK tells whether there is no problem.
func (r *Result) OK() bool { return len(r.Problems) == 0 }

// Write writes a block for each problem and each note, and what was checked.
func (r *Result) Write(w io.Writer) error {
	var b strings.Builder
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%s: %s: %s [%s]\n", at(p.File, p.Line), p.Object, p.Cause, p.Rule)
		for _, line := range []struct{ name, text string }{{"field", p.Field}, {"mend", p.Mend}, {"says", brief(p.Verdict)}} {
			if line.text != "" {
				fmt.Fprintf(&b, "    %-5s  %s\n", line.name, line.text)
			}
		}
		b.WriteByte('\n')
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "%s: %s: note: %s\n\n", at(n.File, n.Line), n.Object, n.Text)
	}
	templates := map[string]int{}
	for _, p := range r.Placed {
		templates[p.File+p.Object]++
	}
	for _, p := range r.Placed {
		pods := fmt.Sprintf("%d pods get nodes", p.Pods)
		switch p.Pods {
		case 0:
			pods = "a pod of it would get a node"
		case 1:
			pods = "its pod gets a node"
		}
		object := p.Object
		if templates[p.File+p.Object] > 1 {
			object += " " + p.Field
		}
		fmt.Fprintf(&b, "%s: %s: %s of %s\n", at(p.File, p.Line), object, pods, strings.Join(p.NodePools, " and "))
	}
	fmt.Fprintf(&b, "%s in %s, against the pools %s: %s.\n", count(r.Objects, "object"), count(r.Files, "file"), strings.Join(r.NodePools, ", "), problems(len(r.Problems)))
	_, err := io.WriteString(w, b.String())
	return err
}

// brief is a verdict without the lists that Karpenter's ends with.
func brief(verdict string) string {
	for _, list := range []string{", requirements=", " (counts = "} {
		verdict, _, _ = strings.Cut(verdict, list)
	}
	return verdict
}

func at(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func problems(n int) string {
	if n == 0 {
		return "no problems"
	}
	return count(n, "problem")
}

// sort puts everything into the order of files and lines.
func (r *Result) sort() {
	slices.SortStableFunc(r.Problems, func(x, y Problem) int {
		return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line))
	})
	slices.SortStableFunc(r.Notes, func(x, y Note) int { return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line)) })
	slices.SortStableFunc(r.Placed, func(x, y Placement) int { return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line)) })
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
