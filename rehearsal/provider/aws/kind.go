package aws

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// kind is one resource type.
type kind struct {
	schema schema
	// name is the input that is made up where it is absent, of maxName
	// characters at most; "" where the type has no such input.
	name    string
	maxName int
	// tagged types have tags, and tagsAll with the provider's default tags.
	tagged bool
	// replace and sets are as in provider.Rules.
	replace, sets []string
	// replaceIfRemoved are inputs that can be added and not taken away again.
	replaceIfRemoved []string
	// check refuses more than the schema does; nil for nothing.
	check func(in props) []plugin.CheckFailure
	// recomputed lists the outputs that a change of one of the inputs
	// recomputedBy makes unknown in a preview.
	recomputed, recomputedBy []string

	// create makes the resource. An ID together with an error means that it is
	// there, but not as it should be.
	create func(c *call) (id string, err error)
	// read gives the outputs, without tags. A resource that is gone is an error
	// for which gone holds.
	read func(c *call) (props, account.Tags, error)
	// imported reads the ID by which a resource is imported, for types whose ID in
	// the state does not say which it is: it gives that ID, and the outputs that
	// read goes by. The forms are those under Import on the types' pages of
	// pulumi-aws.
	imported func(id string) (string, map[string]any, error)
	// update makes the resource as c.in says. nil for types of which every
	// change is a replacement.
	update func(c *call) error
	// tag sets and removes tags.
	tag func(c *call, set account.Tags, remove []string) error
	// destroy deletes the resource.
	destroy func(c *call) error
}

// call is one operation on one resource.
type call struct {
	*client
	// name is the resource's in the program.
	name string
	id   string
	// in are the inputs that are wanted, old those of before (updates only).
	in, old props
	// state are the outputs of before; nil for a new resource.
	state props
	// tags are in's with the provider's default tags.
	tags account.Tags
	// limit is the time that the program gives the operation; 0 leaves it to the type.
	limit time.Duration
	// fresh: the resource has just been made.
	fresh bool
}

// changed tells whether an update changes one of the inputs.
func (c *call) changed(keys ...string) bool {
	return slices.ContainsFunc(keys, func(k string) bool {
		v, is := provider.Get(c.in, k)
		w, was := provider.Get(c.old, k)
		return is != was || is && !v.DeepEquals(w)
	})
}

// str is the text of a wanted input; "" where there is none.
func (c *call) str(path ...string) string { return provider.String(c.in, path...) }

// was is the text of an output of before.
func (c *call) was(path ...string) string { return provider.String(c.state, path...) }

// known is the text of an output of before, or of the input where there is none yet.
func (c *call) known(path ...string) string { return cmp.Or(c.was(path...), c.str(path...)) }

// gone tells whether AWS says that what was asked for does not exist.
func gone(err error) bool {
	return errors.Is(err, errNotFound) || account.IsCode(err,
		"NoSuchEntity", "ResourceNotFoundException", "InvalidGroup.NotFound", "InvalidLaunchTemplateId.NotFound",
		"AWS.SimpleQueueService.NonExistentQueue", "InvalidSecurityGroupRuleId.NotFound", "NotFoundException")
}

// kinds are the resource types by token.
func kinds() map[string]*kind {
	all := map[string]*kind{}
	for _, service := range []map[string]*kind{
		eksClusterKinds(), eksAccessKinds(), eksAddonKinds(), eksNodegroupKinds(), iamRoleKinds(), iamPolicyKinds(),
		launchTemplateKinds(), securityGroupKinds(), sqsKinds(), eventsKinds(), logsKinds(), kmsKinds(),
	} {
		maps.Copy(all, service)
	}
	for _, k := range all {
		if k.tagged {
			k.schema["tags"] = field{}
			k.schema["tagsAll"] = field{output: true}
		}
	}
	return all
}

// rules are the kind's, for a change from old to in.
func (k *kind) rules(old, in props) provider.Rules {
	rules := provider.Rules{Replace: k.replace, Sets: k.sets}
	for _, key := range k.replaceIfRemoved {
		if provider.Has(old, key) && !provider.Has(in, key) {
			rules.Replace = append(slices.Clip(rules.Replace), key)
		}
	}
	if k.name != "" {
		// As the bridge does (nameRequiresDeleteBeforeReplace): the replacement
		// cannot bear the name while the old one does.
		name := provider.String(in, k.name)
		rules.DeleteBeforeReplace = name != "" && name == provider.String(old, k.name)
	}
	return rules
}

// outputs are everything the engine keeps of a resource: what AWS says, the
// inputs AWS does not know, and the tags with and without the default ones.
func (k *kind) outputs(live props, in props, tags, defaults account.Tags) props {
	out := live.Copy()
	for key, f := range k.schema {
		if v, ok := in[resource.PropertyKey(key)]; ok && f.local {
			out[resource.PropertyKey(key)] = v
		}
	}
	if k.tagged {
		own := account.Tags{}
		given := provider.StringMap(in, "tags")
		for key, v := range tags {
			if _, asked := given[key]; asked || defaults[key] != v {
				own[key] = v
			}
		}
		out["tags"] = tagsProperty(own)
		out["tagsAll"] = tagsProperty(tags)
	}
	return out
}

func tagsProperty(tags account.Tags) resource.PropertyValue {
	out := props{}
	for k, v := range tags {
		out[resource.PropertyKey(k)] = resource.NewStringProperty(v)
	}
	return resource.NewObjectProperty(out)
}

// retag makes the tags of a resource what c.tags says.
func (k *kind) retag(c *call) error {
	have := account.Tags(provider.StringMap(c.state, "tagsAll"))
	set := account.Tags{}
	for key, v := range c.tags {
		if old, ok := have[key]; !ok || old != v {
			set[key] = v
		}
	}
	var remove []string
	for key := range have {
		if _, keep := c.tags[key]; !keep {
			remove = append(remove, key)
		}
	}
	if len(set) == 0 && len(remove) == 0 {
		return nil
	}
	slices.Sort(remove)
	return k.tag(c, set, remove)
}
