package comment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"gopkg.in/yaml.v3"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/report"
)

// writePlans writes what comes, goes and changes in a stack. The plans are those of a
// new stack on each side, so that they tell what is different, and not what the engine
// would do to a stack that stands: `pulumi preview` does.
func writePlans(d *document, stack string, before, after *engine.Plan) {
	switch {
	case after == nil:
		d.paragraph("**Stack %s has no plan** any more: the run says why.", code(stack))
		return
	case !after.Succeeded:
		d.paragraph("**The preview of stack %s fails:**", code(stack))
		d.line("\n%s", block("", shorten(messages(after, "error"), 4000)))
		return
	}
	defer writeWarnings(d, stack, before, after)
	if before == nil || !before.Succeeded {
		d.paragraph("Stack %s: %s. There is nothing to compare with: there is no plan of the base.", code(stack), report.Plural(len(after.Resources), "resource"))
		return
	}
	come, gone, change, text := compare(before, after)
	if come+gone+change == 0 {
		d.paragraph("Stack %s: the plan stays as it is, %s.", code(stack), report.Plural(len(after.Resources), "resource"))
		return
	}
	summary := fmt.Sprintf("Stack %s: %s, %d change, %d come, %d go", stack, report.Plural(len(after.Resources), "resource"), change, come, gone)
	d.fold(summary, "diff", text)
}

// writeWarnings writes the warnings that the base did not have.
func writeWarnings(d *document, stack string, before, after *engine.Plan) {
	var old []string
	if before != nil {
		for _, m := range before.Diagnostics {
			old = append(old, m.Message)
		}
	}
	for _, m := range after.Diagnostics {
		if m.Severity == "warning" && !slices.Contains(old, m.Message) {
			d.paragraph("Stack %s warns: %s", code(stack), code(shorten(m.Message, 1000)))
		}
	}
}

func messages(p *engine.Plan, severity string) string {
	var all []string
	for _, m := range p.Diagnostics {
		if m.Severity == severity {
			all = append(all, strings.TrimSpace(m.Message))
		}
	}
	return strings.Join(all, "\n")
}

// compare counts the resources that come, go and change, and tells of them as a diff:
// a title for each, and below it what is different in its inputs.
func compare(before, after *engine.Plan) (come, gone, change int, text string) {
	old, now := byURN(before), byURN(after)
	urns := slices.Collect(maps.Keys(old))
	for urn := range now {
		if _, both := old[urn]; !both {
			urns = append(urns, urn)
		}
	}
	slices.Sort(urns)
	var out strings.Builder
	for _, urn := range urns {
		was, is := old[urn], now[urn]
		switch {
		case is == nil:
			gone++
			fmt.Fprintf(&out, "- %s %s\n", was.Type, was.Name)
		case was == nil:
			come++
			fmt.Fprintf(&out, "+ %s %s\n%s", is.Type, is.Name, prefix("+   ", inputs(is)))
		default:
			if lines := changes(inputs(was), inputs(is)); lines != "" {
				change++
				fmt.Fprintf(&out, "! %s %s\n%s", is.Type, is.Name, lines)
			}
		}
	}
	return come, gone, change, out.String()
}

func byURN(p *engine.Plan) map[string]*engine.Resource {
	all := map[string]*engine.Resource{}
	for i := range p.Resources {
		all[string(p.Resources[i].URN)] = &p.Resources[i]
	}
	return all
}

// changes is a diff of two texts without its head; "" for equal ones.
func changes(before, after []byte) string {
	text := diff.Diff("before", before, "after", after)
	var out strings.Builder
	for line := range bytes.Lines(text) {
		if l := string(line); !strings.HasPrefix(l, "diff ") && !strings.HasPrefix(l, "--- before") && !strings.HasPrefix(l, "+++ after") {
			out.WriteString(l)
		}
	}
	return out.String()
}

// autoName is the name that the engine makes of a resource's, with seven random digits.
// The pulumi-eks component leaves the names of its security groups to the engine.
var autoName = regexp.MustCompile(`-[0-9a-f]{7}$`)

// inputs are a resource's inputs as YAML. Policies and the like, which are JSON in a
// string, are spread out, so that a change in one is a line of it.
func inputs(r *engine.Resource) []byte {
	if len(r.Inputs) == 0 {
		return nil
	}
	all := maps.Clone(r.Inputs)
	if name, ok := all["name"].(string); ok && name != r.Name && autoName.ReplaceAllString(name, "") == r.Name {
		all["name"] = r.Name + "-[random]"
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(spread(all)); err != nil {
		return fmt.Appendf(nil, "%v\n", err)
	}
	return out.Bytes()
}

func spread(value any) any {
	switch v := value.(type) {
	case map[string]any:
		all := make(map[string]any, len(v))
		for key, inner := range v {
			all[key] = spread(inner)
		}
		return all
	case []any:
		all := make([]any, len(v))
		for i, inner := range v {
			all[i] = spread(inner)
		}
		return all
	case string:
		var object map[string]any
		if strings.HasPrefix(v, "{") && json.Unmarshal([]byte(v), &object) == nil {
			return object
		}
	}
	return value
}

func prefix(with string, text []byte) string {
	var out strings.Builder
	for line := range bytes.Lines(text) {
		out.WriteString(with)
		out.Write(line)
	}
	return out.String()
}
