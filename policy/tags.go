package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// taggable lists the types of pulumi-aws that take tags, one a line. A test
// reads them out of the pinned SDK, and rewrites the file on demand.
//
//go:embed taggable.txt
var taggable string

func tagged() rule {
	takesTags := map[tokens.Type]bool{}
	for t := range strings.Lines(taggable) {
		takesTags[tokens.Type(strings.TrimSpace(t))] = true
	}
	return rule{
		name:  "tagged",
		title: "Everything in AWS that takes tags has some: what it is for, and whose, can be told from the bill.",
		mend:  "Set tags on it, or for everything the provider's defaultTags; what a launch template makes needs tagSpecifications.",
		// Karpenter tags what it launches for an EC2NodeClass with cluster, pool and
		// claim by itself, so that needs nothing.
		resource: func(t tokens.Type) func(plugin.AnalyzerResource, *report) {
			if !takesTags[t] {
				return nil
			}
			return func(one plugin.AnalyzerResource, r *report) {
				hasTags(one, r)
				if t == launchTemplateType {
					specifications(resource.NewProperty(one.Properties), r)
				}
			}
		},
	}
}

// groupType takes none of the provider's default tags (pulumi-aws,
// provider.defaultTags; terraform-provider-aws, "default_tags").
const groupType = tokens.Type("aws:autoscaling/group:Group")

func hasTags(one plugin.AnalyzerResource, r *report) {
	in := resource.NewProperty(one.Properties)
	for _, key := range []resource.PropertyKey{"tags", "tagsAll"} {
		switch v := at(in, key); {
		case unknown(v):
			r.later(string(key))
			return
		case v.IsObject() && len(v.ObjectValue()) > 0, v.IsArray() && len(v.ArrayValue()) > 0:
			return
		}
	}
	if one.Provider == nil || one.Type == groupType {
		r.violated("it has no tags")
		return
	}
	switch defaults := defaultTags(one.Provider.Properties); {
	case unknown(defaults):
		r.later("its provider's defaultTags")
	case !defaults.IsObject() || len(defaults.ObjectValue()) == 0:
		r.violated("it has no tags, and the provider %s gives it none", one.Provider.Name)
	}
}

// defaultTags are a provider's. Its inputs hold structures as JSON.
func defaultTags(in resource.PropertyMap) resource.PropertyValue {
	v := at(resource.NewProperty(in), "defaultTags")
	if v.IsString() {
		var decoded map[string]any
		if json.Unmarshal([]byte(v.StringValue()), &decoded) != nil {
			return resource.NewNullProperty()
		}
		v = resource.NewPropertyValue(decoded)
	}
	return at(v, "tags")
}

// specifications demands tags on the instances and volumes of a launch template.
// Neither the provider's default tags nor a node group's reach those.
func specifications(in resource.PropertyValue, r *report) {
	all := at(in, "tagSpecifications")
	if all.ContainsUnknowns() && !all.IsArray() {
		r.later("tagSpecifications")
		return
	}
	for _, kind := range []string{"instance", "volume"} {
		want := fmt.Sprintf("tagSpecifications of resourceType %q", kind)
		found := resource.NewNullProperty()
		for _, s := range items(all) {
			if unknown(s) || unknown(at(s, "resourceType")) {
				found = resource.MakeComputed(resource.NewProperty(""))
			} else if text(at(s, "resourceType")) == kind {
				found = at(s, "tags")
				break
			}
		}
		r.want(found, want, func(v resource.PropertyValue) bool { return v.IsObject() && len(v.ObjectValue()) > 0 }, "set, with tags")
	}
}
