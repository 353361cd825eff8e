package aws

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/provider"
)

// props is what resources are made of.
type props = resource.PropertyMap

// field is one property of a resource, as the Terraform schema has it.
type field struct {
	// required inputs must be there.
	required bool
	// computed inputs are AWS's to choose where they are absent.
	computed bool
	// output is no input at all.
	output bool
	// local inputs steer the provider; AWS does not know them.
	local bool
	// def is the value of an absent input.
	def any
	// oneOf lists the values that are allowed; none is any.
	oneOf []string
	// json says what Terraform calls the JSON document that the input is, such
	// as "JSON policy"; "" for other inputs. An object is written as a document.
	json string
	// fields are those of an object, or of each object in a list.
	fields schema
}

type schema map[string]field

// check fills in defaults and finds what pulumi-aws refuses before it asks AWS.
// path is where in is, from the resource's name on.
func (s schema) check(path string, in props) (props, []plugin.CheckFailure) {
	out := in.Copy()
	var failures []plugin.CheckFailure
	fail := func(key, format string, args ...any) {
		at := path + "." + key
		failures = append(failures, plugin.CheckFailure{
			Property: resource.PropertyKey(key),
			Reason:   fmt.Sprintf(format, args...) + fmt.Sprintf(". Examine values at '%s'.", at),
		})
	}
	for _, k := range in.StableKeys() {
		if f, ok := s[string(k)]; (!ok || f.output) && provider.Has(in, string(k)) {
			fail(string(k), "the rehearsal's stand-in for pulumi-aws %s does not implement the input %q; implemented are %s",
				version(), k, strings.Join(s.inputs(), ", "))
		}
	}
	for _, key := range s.names() {
		f, k := s[key], resource.PropertyKey(key)
		if !provider.Has(in, key) {
			switch {
			case f.required:
				fail(key, "Missing required argument. The argument %q is required, but no definition was found", snake(key))
			case f.def != nil:
				out[k] = resource.NewPropertyValue(f.def)
			}
			continue
		}
		v, nested := f.check(path+"."+key, out[k])
		out[k], failures = v, append(failures, nested...)
		if provider.Unknown(out, key) {
			continue
		}
		for _, got := range texts(out, key) {
			if len(f.oneOf) > 0 && !slices.Contains(f.oneOf, got) {
				fail(key, "expected %s to be one of %q, got %s", snake(key), f.oneOf, got)
			}
		}
		if f.json != "" {
			if err := checkJSON(provider.String(out, key)); err != nil {
				fail(key, "%q contains an invalid %s: %s", snake(key), f.json, err)
			}
		}
	}
	return out, failures
}

// check looks at one value and into it. Wrappers of values that are looked
// into are taken off.
func (f field) check(path string, v resource.PropertyValue) (resource.PropertyValue, []plugin.CheckFailure) {
	plain := provider.Plain(v)
	switch {
	case f.json != "" && plain.IsObject() && !plain.ContainsUnknowns():
		text, err := json.Marshal(plain.Mappable())
		if err != nil {
			return v, []plugin.CheckFailure{{Reason: fmt.Sprintf("%s is no JSON: %s", path, err)}}
		}
		return resource.NewStringProperty(string(text)), nil
	case f.fields != nil && plain.IsObject():
		out, failures := f.fields.check(path, plain.ObjectValue())
		return resource.NewObjectProperty(out), failures
	case f.fields != nil && plain.IsArray():
		var all []plugin.CheckFailure
		list := make([]resource.PropertyValue, 0, len(plain.ArrayValue()))
		for i, e := range plain.ArrayValue() {
			e, failures := f.check(fmt.Sprintf("%s[%d]", path, i), e)
			list, all = append(list, e), append(all, failures...)
		}
		return resource.NewArrayProperty(list), all
	}
	return v, nil
}

func checkJSON(text string) error {
	var doc map[string]any
	return json.Unmarshal([]byte(text), &doc)
}

// texts are a value's texts: one, or those of a list.
func texts(in props, key string) []string {
	if list := provider.Strings(in, key); list != nil {
		return list
	}
	if v := provider.String(in, key); v != "" {
		return []string{v}
	}
	return nil
}

func (s schema) names() []string {
	var out []string
	for k := range s {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (s schema) inputs() []string {
	return slices.DeleteFunc(s.names(), func(k string) bool { return s[k].output })
}

// snake is the Terraform name of a Pulumi name.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func unknown() resource.PropertyValue {
	return resource.MakeComputed(resource.NewStringProperty(""))
}

// planned is what a preview knows of a resource: its inputs, and of the rest
// what it was before; what AWS chooses, and has not chosen yet, is unknown. old
// is nil for a resource to be created.
func (s schema) planned(in, old props) props {
	out := props{}
	for _, key := range s.names() {
		f, k := s[key], resource.PropertyKey(key)
		v, set := provider.Get(in, key)
		before, had := provider.Get(old, key)
		switch {
		case set && f.fields != nil && v.IsObject():
			out[k] = resource.NewObjectProperty(f.fields.planned(v.ObjectValue(), provider.Map(old, key)))
		case set && f.fields != nil && v.IsArray():
			out[k] = f.plannedList(v, provider.Objects(old, key))
		case set:
			out[k] = in[k]
		case (f.computed || f.output) && had:
			out[k] = before
		case (f.computed || f.output) && old == nil:
			out[k] = unknown()
		}
	}
	return out
}

func (f field) plannedList(v resource.PropertyValue, old []props) resource.PropertyValue {
	var list []resource.PropertyValue
	for i, e := range v.ArrayValue() {
		e = provider.Plain(e)
		if e.IsObject() {
			var before props
			if i < len(old) {
				before = old[i]
			}
			e = resource.NewObjectProperty(f.fields.planned(e.ObjectValue(), before))
		}
		list = append(list, e)
	}
	return resource.NewArrayProperty(list)
}

// live are the inputs that would make the resource as it is: the given ones
// with the values that AWS has now, and those that somebody set since. What AWS
// chose by itself is no input, nor is a default.
func (s schema) live(in, outputs props) props {
	out := props{}
	for _, key := range s.names() {
		f, k := s[key], resource.PropertyKey(key)
		if f.output {
			continue
		}
		now, there := provider.Get(outputs, key)
		given, was := provider.Get(in, key)
		switch {
		case f.local:
			if was {
				out[k] = in[k]
			}
		case was && there && f.fields != nil && given.IsObject() && now.IsObject():
			out[k] = resource.NewObjectProperty(f.fields.live(given.ObjectValue(), now.ObjectValue()))
		case was && there && f.fields != nil && given.IsArray() && now.IsArray():
			out[k] = f.liveList(given.ArrayValue(), now.ArrayValue())
		case was && there:
			out[k] = now
		case !was && there && !f.computed && !empty(now) && !now.DeepEquals(resource.NewPropertyValue(f.def)):
			out[k] = now
		}
	}
	return out
}

func (f field) liveList(given, now []resource.PropertyValue) resource.PropertyValue {
	var list []resource.PropertyValue
	for i, e := range now {
		before := props{}
		if i < len(given) {
			if g := provider.Plain(given[i]); g.IsObject() {
				before = g.ObjectValue()
			}
		}
		if e = provider.Plain(e); e.IsObject() {
			e = resource.NewObjectProperty(f.fields.live(before, e.ObjectValue()))
		}
		list = append(list, e)
	}
	return resource.NewArrayProperty(list)
}

// empty tells whether a value is what Terraform cannot tell from an absent one.
func empty(v resource.PropertyValue) bool {
	switch {
	case v.IsNull():
		return true
	case v.IsString():
		return v.StringValue() == ""
	case v.IsBool():
		return !v.BoolValue()
	case v.IsNumber():
		return v.NumberValue() == 0
	case v.IsArray():
		return len(v.ArrayValue()) == 0
	case v.IsObject():
		return len(v.ObjectValue()) == 0
	}
	return false
}

// canonical is in with every JSON document in one form, so that spelling makes
// no difference.
func (s schema) canonical(in props) props {
	out := in.Copy()
	for key, f := range s {
		if f.json == "" {
			continue
		}
		var doc any
		if json.Unmarshal([]byte(provider.String(in, key)), &doc) != nil {
			continue
		}
		if text, err := json.Marshal(doc); err == nil {
			out[resource.PropertyKey(key)] = resource.NewStringProperty(string(text))
		}
	}
	return out
}

// object makes properties of Go values; nil values are left out.
func object(values map[string]any) props {
	out := props{}
	for k, v := range values {
		if p := resource.NewPropertyValue(v); !p.IsNull() {
			out[resource.PropertyKey(k)] = p
		}
	}
	return out
}
