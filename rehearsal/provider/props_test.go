package provider_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"eks-gpu-slicing/rehearsal/provider"
)

func TestGetters(t *testing.T) {
	t.Parallel()
	str := resource.NewStringProperty
	m := resource.PropertyMap{
		"plain":  str("a"),
		"secret": resource.MakeSecret(str("b")),
		"output": resource.NewOutputProperty(resource.Output{Element: resource.MakeSecret(str("c")), Known: true}),
		"later":  resource.NewOutputProperty(resource.Output{Element: str(""), Known: false}),
		"null":   resource.NewNullProperty(),
		"number": resource.NewNumberProperty(3),
		"text":   str("3"),
		"yes":    resource.NewBoolProperty(true),
		"true":   str("true"),
		"deep": resource.MakeSecret(resource.NewObjectProperty(resource.PropertyMap{
			"list": resource.NewArrayProperty([]resource.PropertyValue{resource.MakeSecret(str("x")), unknown(), str("y")}),
			"tags": resource.NewObjectProperty(resource.PropertyMap{"k": str("v"), "n": resource.NewNumberProperty(1), "u": unknown()}),
			"objs": resource.NewArrayProperty([]resource.PropertyValue{resource.NewObjectProperty(resource.PropertyMap{"k": str("v")})}),
		})),
	}
	check := func(name string, got, want any) {
		t.Helper()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	check("plain", provider.String(m, "plain"), "a")
	check("secret", provider.String(m, "secret"), "b")
	check("output", provider.String(m, "output"), "c")
	check("unknown output", provider.String(m, "later"), "")
	check("number as text", provider.String(m, "number"), "3")
	check("number", provider.Int(m, "number"), 3)
	check("text as number", provider.Number(m, "text"), 3.0)
	check("bool", provider.Bool(m, "yes"), true)
	check("text as bool", provider.Bool(m, "true"), true)
	check("no bool", provider.Bool(m, "plain"), false)
	check("list", provider.Strings(m, "deep", "list"), []string{"x", "y"})
	check("list's length", len(provider.List(m, "deep", "list")), 3)
	check("objects", len(provider.Objects(m, "deep", "objs")), 1)
	check("tags", provider.StringMap(m, "deep", "tags"), map[string]string{"k": "v", "n": "1"})
	check("absent tags", provider.StringMap(m, "deep", "none"), map[string]string(nil))
	check("has null", provider.Has(m, "null"), false)
	check("has unknown", provider.Has(m, "later"), true)
	check("has below a text", provider.Has(m, "plain", "x"), false)
	check("unknown", provider.Unknown(m, "later"), true)
	check("below unknown", provider.Unknown(m, "later", "x", "y"), true)
	check("contains unknown", provider.Unknown(m, "deep", "list"), true)
	check("known", provider.Unknown(m, "deep", "objs"), false)
	check("absent", provider.Unknown(m, "none"), false)
}
