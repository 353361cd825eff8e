package lint

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// unknownField is a problem out of a strict decoding error of a kind.
func unknownField(err error, kind schema.GroupVersionKind) Problem {
	p := Problem{Rule: RuleField, Cause: "a field that the kind does not have", Mend: "remove it", Verdict: "API server: " + err.Error()}
	_, field, ok := strings.Cut(err.Error(), `unknown field "`)
	if !ok {
		return p
	}
	p.Field = strings.TrimSuffix(field, `"`)
	p.Cause = fmt.Sprintf("there is no field %s", p.Field)
	path := steps(p.Field)
	name := path[len(path)-1]
	if alike := closest(name, fieldsAt(kind, path[:len(path)-1]), 1); len(alike) > 0 && levenshtein.Distance(name, alike[0], nil) <= 2 {
		p.Mend = fmt.Sprintf("did you mean %s?", alike[0])
		return p
	}
	for of, t := range map[string]reflect.Type{"the pod's spec": reflect.TypeFor[corev1.PodSpec](), "a container": reflect.TypeFor[corev1.Container]()} {
		if slices.Contains(jsonNames(t), name) {
			p.Mend = fmt.Sprintf("move it to where it belongs: %s is a field of %s", name, of)
			return p
		}
	}
	return p
}

// fieldsAt are the fields that a kind has at a path; none where it has no fixed ones.
func fieldsAt(kind schema.GroupVersionKind, path []string) []string {
	o, err := legacyscheme.Scheme.New(kind)
	if err != nil {
		return nil
	}
	t := reflect.TypeOf(o)
	for _, step := range path {
		switch t = bare(t); t.Kind() {
		case reflect.Struct:
			at := slices.IndexFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool { return jsonName(f) == step })
			if at < 0 {
				return nil
			}
			t = reflect.VisibleFields(t)[at].Type
		case reflect.Slice, reflect.Map:
			t = t.Elem()
		default:
			return nil
		}
	}
	return jsonNames(bare(t))
}

func bare(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func jsonNames(t reflect.Type) []string {
	var names []string
	if t.Kind() != reflect.Struct {
		return nil
	}
	for _, f := range reflect.VisibleFields(t) {
		if name := jsonName(f); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// wrongType is a problem out of any other decoding error.
func wrongType(err error) Problem {
	p := Problem{Rule: RuleInvalid, Cause: "a value is of the wrong type", Mend: "change it to the type that is wanted", Verdict: "API server: " + err.Error()}
	if typed, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		p.Field = typed.Field
		p.Cause = fmt.Sprintf("%s is a %s", typed.Field, typed.Value)
		p.Mend = fmt.Sprintf("make it of type %s", typed.Type)
	}
	return p
}
