package provider

import (
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

// Rules say how a resource type reacts to changes of its inputs. Paths are
// written as Pulumi writes them (vpcConfig.subnetIds).
type Rules struct {
	// Replace lists the paths whose change, or the change of anything below
	// them, replaces the resource.
	Replace []string
	// Sets lists the paths of lists whose order means nothing.
	Sets []string
	// Ignore lists the paths whose change is no change (ignoreChanges).
	Ignore []string
	// DeleteBeforeReplace is for types whose replacement cannot exist beside
	// the old one, as when both bear a fixed physical name.
	DeleteBeforeReplace bool
}

// Diff compares two sets of inputs under the rules. A value that is not known
// yet counts as a change, as it does in the real providers' previews. The
// result carries the detailed diff that the engine prints.
func Diff(old, updated resource.PropertyMap, rules Rules) plugin.DiffResult {
	old, updated = plainMap(old), plainMap(updated)
	for _, path := range rules.Sets {
		sortSet(old, path)
		sortSet(updated, path)
	}
	d := old.DiffWithOptions(updated, resource.IgnorePathFunc(func(path resource.PropertyPath) bool {
		return slices.ContainsFunc(rules.Ignore, func(ignored string) bool {
			p, err := resource.ParsePropertyPath(ignored)
			return err == nil && p.Contains(path)
		})
	}))
	if d == nil {
		return plugin.DiffResult{Changes: plugin.DiffNone}
	}
	res := plugin.DiffResult{
		Changes:      plugin.DiffSome,
		DetailedDiff: plugin.NewDetailedDiffFromObjectDiff(d, true /*inputDiff*/),
	}
	for path, change := range res.DetailedDiff {
		if slices.ContainsFunc(rules.Replace, func(rule string) bool { return touches(rule, path, old, updated) }) {
			res.DetailedDiff[path] = change.ToReplace()
			res.DeleteBeforeReplace = rules.DeleteBeforeReplace
		}
	}
	for _, k := range d.ChangedKeys() {
		res.ChangedKeys = append(res.ChangedKeys, k)
		for path, change := range res.DetailedDiff {
			if change.Kind.IsReplace() && rootKey(path) == string(k) {
				res.ReplaceKeys = append(res.ReplaceKeys, k)
				break
			}
		}
	}
	slices.Sort(res.ChangedKeys)
	slices.Sort(res.ReplaceKeys)
	return res
}

// touches tells whether a change at path changes what rule covers: the path is
// the rule's or below it, or it is an object above it that came or went with a
// value there.
func touches(rule, path string, old, updated resource.PropertyMap) bool {
	r, errRule := resource.ParsePropertyPath(rule)
	p, errPath := resource.ParsePropertyPath(path)
	if errRule != nil || errPath != nil {
		return rule == path
	}
	if r.Contains(p) {
		return true
	}
	if !p.Contains(r) {
		return false
	}
	_, inOld := r.Get(resource.NewObjectProperty(old))
	_, inNew := r.Get(resource.NewObjectProperty(updated))
	return inOld != inNew
}

func rootKey(path string) string {
	p, err := resource.ParsePropertyPath(path)
	if err != nil || len(p) == 0 {
		return path
	}
	if s, ok := p[0].(string); ok {
		return s
	}
	return path
}

// plainMap is a deep copy without wrappers and nulls, so that a value that became secret, and
// is otherwise the same, is no change.
func plainMap(m resource.PropertyMap) resource.PropertyMap {
	out := make(resource.PropertyMap, len(m))
	for k, v := range m {
		if v = plainDeep(v); !v.IsNull() {
			out[k] = v
		}
	}
	return out
}

func plainDeep(v resource.PropertyValue) resource.PropertyValue {
	v = Plain(v)
	switch {
	case v.IsObject():
		return resource.NewObjectProperty(plainMap(v.ObjectValue()))
	case v.IsArray():
		out := make([]resource.PropertyValue, 0, len(v.ArrayValue()))
		for _, e := range v.ArrayValue() {
			out = append(out, plainDeep(e))
		}
		return resource.NewArrayProperty(out)
	}
	return v
}

// sortSet sorts the list at path of m in place. A list with parts that are not
// known yet keeps its order.
func sortSet(m resource.PropertyMap, path string) {
	p, err := resource.ParsePropertyPath(path)
	if err != nil {
		return
	}
	v, ok := p.Get(resource.NewObjectProperty(m))
	if !ok || !v.IsArray() || v.ContainsUnknowns() {
		return
	}
	slices.SortFunc(v.ArrayValue(), func(a, b resource.PropertyValue) int { return strings.Compare(a.String(), b.String()) })
}
