package provider

import (
	"strconv"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Plain takes the secret and output wrappers off a value. An output that is
// not known yet becomes a computed (unknown) value.
func Plain(v resource.PropertyValue) resource.PropertyValue {
	for {
		switch {
		case v.IsSecret():
			v = v.SecretValue().Element
		case v.IsOutput():
			if o := v.OutputValue(); o.Known {
				v = o.Element
			} else {
				return resource.MakeComputed(resource.NewStringProperty(""))
			}
		default:
			return v
		}
	}
}

// Get walks objects along path and returns the plain value there; ok is false
// where nothing, or null, is set. Every getter below reads through it.
func Get(m resource.PropertyMap, path ...string) (v resource.PropertyValue, ok bool) {
	v = resource.NewObjectProperty(m)
	for _, key := range path {
		if !v.IsObject() {
			return resource.PropertyValue{}, false
		}
		v = Plain(v.ObjectValue()[resource.PropertyKey(key)])
	}
	return v, !v.IsNull()
}

// Has tells whether a value, known or not, is set at path.
func Has(m resource.PropertyMap, path ...string) bool {
	_, ok := Get(m, path...)
	return ok
}

// Unknown tells whether the value at path, any part of it, or an object on the
// way to it is not known yet.
func Unknown(m resource.PropertyMap, path ...string) bool {
	for i := range path {
		if v, ok := Get(m, path[:i+1]...); ok && v.IsComputed() {
			return true
		}
	}
	v, ok := Get(m, path...)
	return ok && v.ContainsUnknowns()
}

// String is the text at path. Numbers and booleans are written as text, as
// pulumi-terraform-bridge and JSON-encoded provider settings want it. "" where
// nothing known is set.
func String(m resource.PropertyMap, path ...string) string {
	v, _ := Get(m, path...)
	switch {
	case v.IsString():
		return v.StringValue()
	case v.IsBool():
		return strconv.FormatBool(v.BoolValue())
	case v.IsNumber():
		return strconv.FormatFloat(v.NumberValue(), 'f', -1, 64)
	}
	return ""
}

// Bool is the boolean at path, also where it is written as the text "true" or
// "false". false where nothing known is set.
func Bool(m resource.PropertyMap, path ...string) bool {
	v, _ := Get(m, path...)
	switch {
	case v.IsBool():
		return v.BoolValue()
	case v.IsString():
		b, err := strconv.ParseBool(v.StringValue())
		return err == nil && b
	}
	return false
}

// Number is the number at path, also where it is written as text. 0 where
// nothing known is set.
func Number(m resource.PropertyMap, path ...string) float64 {
	v, _ := Get(m, path...)
	switch {
	case v.IsNumber():
		return v.NumberValue()
	case v.IsString():
		if f, err := strconv.ParseFloat(v.StringValue(), 64); err == nil {
			return f
		}
	}
	return 0
}

// Int is [Number] without its fraction.
func Int(m resource.PropertyMap, path ...string) int { return int(Number(m, path...)) }

// List is the list at path with plain elements. nil where nothing known is set.
func List(m resource.PropertyMap, path ...string) []resource.PropertyValue {
	v, _ := Get(m, path...)
	if !v.IsArray() {
		return nil
	}
	out := make([]resource.PropertyValue, 0, len(v.ArrayValue()))
	for _, e := range v.ArrayValue() {
		out = append(out, Plain(e))
	}
	return out
}

// Strings are the texts of the list at path; elements that are no text, or not
// known yet, are left out.
func Strings(m resource.PropertyMap, path ...string) []string {
	var out []string
	for _, e := range List(m, path...) {
		if e.IsString() {
			out = append(out, e.StringValue())
		}
	}
	return out
}

// Objects are the objects of the list at path; others are left out.
func Objects(m resource.PropertyMap, path ...string) []resource.PropertyMap {
	var out []resource.PropertyMap
	for _, e := range List(m, path...) {
		if e.IsObject() {
			out = append(out, e.ObjectValue())
		}
	}
	return out
}

// Map is the object at path. nil where nothing known is set; its values may be
// wrapped still.
func Map(m resource.PropertyMap, path ...string) resource.PropertyMap {
	v, _ := Get(m, path...)
	if !v.IsObject() {
		return nil
	}
	return v.ObjectValue()
}

// StringMap is the object at path as texts (tags, labels). nil where nothing
// known is set; values that are not known yet are left out.
func StringMap(m resource.PropertyMap, path ...string) map[string]string {
	obj := Map(m, path...)
	if obj == nil {
		return nil
	}
	out := make(map[string]string, len(obj))
	for k := range obj {
		if v, ok := Get(obj, string(k)); ok && !v.IsComputed() {
			out[string(k)] = String(obj, string(k))
		}
	}
	return out
}
