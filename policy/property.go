package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// unknown tells a value that only the update will bring.
func unknown(v resource.PropertyValue) bool {
	return v.IsComputed() || v.IsOutput() && !v.OutputValue().Known
}

// open takes a value out of what says that it is secret or an output.
func open(v resource.PropertyValue) resource.PropertyValue {
	for {
		switch {
		case v.IsSecret():
			v = v.SecretValue().Element
		case v.IsOutput() && v.OutputValue().Known:
			v = v.OutputValue().Element
		default:
			return v
		}
	}
}

// at follows keys into objects. It ends at nothing (a null) where there is no
// such key, and at something unknown where that is on the way.
func at(v resource.PropertyValue, keys ...resource.PropertyKey) resource.PropertyValue {
	v = open(v)
	for _, key := range keys {
		switch {
		case unknown(v):
			return v
		case v.IsObject():
			v = open(v.ObjectValue()[key])
		default:
			return resource.NewNullProperty()
		}
	}
	return v
}

// items are a list's elements; a value that is no list has none.
func items(v resource.PropertyValue) []resource.PropertyValue {
	if !v.IsArray() {
		return nil
	}
	var all []resource.PropertyValue
	for _, one := range v.ArrayValue() {
		all = append(all, open(one))
	}
	return all
}

// words are the texts in a list, and whether it is a list of known texts.
func words(v resource.PropertyValue) (all []string, known bool) {
	if !v.IsArray() {
		return nil, false
	}
	for _, one := range items(v) {
		if !one.IsString() {
			return nil, false
		}
		all = append(all, one.StringValue())
	}
	return all, true
}

// text is a text, and "" for anything else.
func text(v resource.PropertyValue) string {
	if !v.IsString() {
		return ""
	}
	return v.StringValue()
}

// isTrue takes a Boolean, or the text that launch templates have for one.
func isTrue(v resource.PropertyValue) bool {
	return v.IsBool() && v.BoolValue() || text(v) == "true"
}

// whole is a whole number, or the text of one.
func whole(v resource.PropertyValue) (int, bool) {
	if v.IsNumber() && v.NumberValue() == math.Trunc(v.NumberValue()) {
		return int(v.NumberValue()), true
	}
	n, err := strconv.Atoi(text(v))
	return n, err == nil
}

func isNumber(want int) func(resource.PropertyValue) bool {
	return func(v resource.PropertyValue) bool {
		n, ok := whole(v)
		return ok && n == want
	}
}

func isText(want string) func(resource.PropertyValue) bool {
	return func(v resource.PropertyValue) bool { return text(v) == want }
}

// orNothing takes a property that may be left out, too.
func orNothing(ok func(resource.PropertyValue) bool) func(resource.PropertyValue) bool {
	return func(v resource.PropertyValue) bool { return v.IsNull() || ok(v) }
}

// show is a value in a message.
func show(v resource.PropertyValue) string {
	if v.IsNull() {
		return "not set"
	}
	shown, err := json.Marshal(v.Mappable())
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(shown)
}
