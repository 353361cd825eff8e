package account

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Filter narrows an EC2 Describe call: one of the values must match. * and ?
// are wildcards ("List and filter using the CLI and API" in the EC2 User
// Guide).
type Filter struct {
	Name   string
	Values []string
}

// fields are a resource's values by filter name. A filter of another name is
// refused, as EC2 refuses it. Names are compared without - and case, because
// EC2 takes is-default and isDefault alike.
type fields map[string][]string

func (f fields) match(filters []Filter, tags Tags) (bool, error) {
	normal := make(fields, len(f))
	for k, v := range f {
		normal[normalFilter(k)] = v
	}
	for _, filter := range filters {
		values, ok := normal[normalFilter(filter.Name)]
		if key, isTag := strings.CutPrefix(filter.Name, "tag:"); isTag {
			values, ok = nil, true
			if v, set := tags[key]; set {
				values = []string{v}
			}
		}
		if filter.Name == "tag-key" {
			values, ok = slices.Collect(maps.Keys(tags)), true
		}
		if !ok {
			return false, refuse("InvalidParameterValue", "The filter '%s' is invalid", filter.Name)
		}
		if !slices.ContainsFunc(values, func(v string) bool { return matchAny(filter.Values, v) }) {
			return false, nil
		}
	}
	return true, nil
}

func normalFilter(name string) string { return strings.ToLower(strings.ReplaceAll(name, "-", "")) }

func matchAny(patterns []string, value string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		quoted := regexp.QuoteMeta(p)
		quoted = strings.ReplaceAll(strings.ReplaceAll(quoted, `\*`, ".*"), `\?`, ".")
		ok, err := regexp.MatchString("^(?s:"+quoted+")$", value)
		return err == nil && ok
	})
}

// sortedKeys are the keys of m in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
