package wire

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// unknownParameterError is a parameter that the operation does not have.
type unknownParameterError struct{ name string }

func (e *unknownParameterError) Error() string {
	return fmt.Sprintf("The parameter %s is not recognized", e.name)
}

// badValueError is a parameter whose value is of the wrong type.
type badValueError struct{ name, value, want string }

func (e *badValueError) Error() string {
	return fmt.Sprintf("Value (%s) for parameter %s is invalid. Must be %s", e.value, e.name, e.want)
}

// decodeForm reads the parameters of the EC2 and AWS query protocols into a struct. Fields are
// named by the tag form:"Name"; nested structs are Name.Field, lists Name.1, Name.2 in EC2 and
// Name.member.1 in IAM and STS. Every parameter must have a field: one that nobody reads would
// be a wish that is silently not granted.
func decodeForm(values url.Values, into any) error {
	root := &formNode{}
	for name, v := range values {
		root.insert(name, v[0])
	}
	return root.decode(reflect.ValueOf(into).Elem(), "")
}

// formNode is one level of the dotted names.
type formNode struct {
	value    string
	isSet    bool
	children map[string]*formNode
}

func (n *formNode) insert(name, value string) {
	for part := range strings.SplitSeq(name, ".") {
		next := n.children[part]
		if next == nil {
			next = &formNode{}
			if n.children == nil {
				n.children = map[string]*formNode{}
			}
			n.children[part] = next
		}
		n = next
	}
	n.value, n.isSet = value, true
}

func join(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }

func (n *formNode) decode(v reflect.Value, path string) error {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return n.decode(v.Elem(), path)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return n.scalar(v, path)
		}
		if n.isSet {
			return &unknownParameterError{path}
		}
		known := map[string]bool{}
		if err := n.fields(v, path, known); err != nil {
			return err
		}
		for _, name := range sortedNames(n.children) {
			if !known[name] {
				return &unknownParameterError{n.children[name].leaf(join(path, name))}
			}
		}
		return nil
	case reflect.Slice:
		return n.list(v, path)
	}
	return n.scalar(v, path)
}

// fields decodes into the fields of a struct, those of embedded structs included, and notes their
// names.
func (n *formNode) fields(v reflect.Value, path string, known map[string]bool) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			if err := n.fields(v.Field(i), path, known); err != nil {
				return err
			}
			continue
		}
		name := field.Tag.Get("form")
		known[name] = true
		if child := n.children[name]; child != nil {
			if err := child.decode(v.Field(i), join(path, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// leaf is the full name of a parameter at or below the node, for errors.
func (n *formNode) leaf(path string) string {
	for !n.isSet {
		names := sortedNames(n.children)
		path, n = join(path, names[0]), n.children[names[0]]
	}
	return path
}

func sortedNames(m map[string]*formNode) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (n *formNode) list(v reflect.Value, path string) error {
	if member := n.children["member"]; member != nil && len(n.children) == 1 && !n.isSet {
		n, path = member, join(path, "member")
	}
	if n.isSet {
		if n.value == "" && len(n.children) == 0 {
			return nil // how the query protocol writes an empty list
		}
		return &unknownParameterError{path}
	}
	var indexes []int
	for name := range n.children {
		i, err := strconv.Atoi(name)
		if err != nil || i < 1 || strconv.Itoa(i) != name {
			return &unknownParameterError{n.children[name].leaf(join(path, name))}
		}
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	out := reflect.MakeSlice(v.Type(), len(indexes), len(indexes))
	for at, i := range indexes {
		name := strconv.Itoa(i)
		if err := n.children[name].decode(out.Index(at), join(path, name)); err != nil {
			return err
		}
	}
	v.Set(out)
	return nil
}

func (n *formNode) scalar(v reflect.Value, path string) error {
	if len(n.children) > 0 {
		name := sortedNames(n.children)[0]
		return &unknownParameterError{n.children[name].leaf(join(path, name))}
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.value)
	case reflect.Bool:
		b, err := strconv.ParseBool(n.value)
		if err != nil {
			return &badValueError{path, n.value, "true or false"}
		}
		v.SetBool(b)
	case reflect.Int:
		i, err := strconv.ParseInt(n.value, 10, 64)
		if err != nil {
			return &badValueError{path, n.value, "an integer"}
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(n.value, 64)
		if err != nil {
			return &badValueError{path, n.value, "a number"}
		}
		v.SetFloat(f)
	default: // time.Time, the only other kind in use
		t, err := time.Parse(time.RFC3339Nano, n.value)
		if err != nil {
			return &badValueError{path, n.value, "a time such as 2026-11-24T05:00:00Z"}
		}
		v.Set(reflect.ValueOf(t))
	}
	return nil
}
