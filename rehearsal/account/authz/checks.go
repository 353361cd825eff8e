package authz

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Check is one thing that IAM must allow for a call to go ahead.
type Check struct {
	// Action is the action to allow, such as "ec2:CreateTags".
	Action string
	// Resource is an ARN, "*" where the action has no resource types, or an ARN with "*" for the
	// ID of something yet to be made, as AWS itself asks: arn:aws:ec2:us-west-1:111122223333:instance/*.
	Resource string
	// Context holds the condition keys of this check: those of the request and those that the
	// Service Authorization Reference lists for this action on this type of resource.
	Context map[string][]string
}

// Target is one resource that a call touches.
type Target struct {
	// Type is the resource type's name in the Service Authorization Reference, such as "instance".
	Type string
	// ARN names the resource; see [Check.Resource] for one that is yet to be made.
	ARN string
	// Tags are those the resource carries already: aws:ResourceTag/KEY and SERVICE:ResourceTag/KEY.
	Tags map[string]string
	// RequestTags are those the call puts on it: aws:RequestTag/KEY and aws:TagKeys.
	RequestTags map[string]string
	// Keys are further condition keys of the resource, such as ec2:InstanceType.
	Keys map[string]string
}

// Call is an API call as IAM sees it.
type Call struct {
	// Action is service:Name in the reference's spelling, such as "ec2:RunInstances".
	Action string
	// Context holds the keys that do not depend on a resource: the global ones (aws:PrincipalArn,
	// aws:RequestedRegion, …) and those of the action (iam:PassedToService).
	Context map[string][]string
	// Targets are all the resources the call touches. Empty for an action without resource types.
	Targets []Target
}

// Checks lists what IAM must allow for the call, in the order of the targets: the action on each,
// then, for an EC2 call that creates things with tags, ec2:CreateTags on each with ec2:CreateAction
// ("Grant permission to tag Amazon EC2 resources during creation").
//
// It fails for an action this package does not know, for a target the action does not have, and
// where a required one is missing: such a call must not be answered as if it had been authorised.
func (c Call) Checks() ([]Check, error) {
	a, ok := lookup(c.Action)
	if !ok {
		return nil, fmt.Errorf("authz: no entry for action %s; add it to the table with its resource types and condition keys from the Service Authorization Reference", c.Action)
	}
	service, name, _ := strings.Cut(c.Action, ":")
	base := maps.Clone(c.Context)
	if base == nil {
		base = map[string][]string{}
	}
	if region, ok := base["aws:RequestedRegion"]; ok && service == "ec2" {
		base["ec2:Region"] = region
	}
	types := slices.Sorted(maps.Keys(a.types))
	if len(types) == 0 {
		if len(c.Targets) > 0 {
			return nil, fmt.Errorf("authz: action %s has no resource types, but one of type %s was given", c.Action, c.Targets[0].Type)
		}
		return []Check{{Action: c.Action, Resource: "*", Context: base}}, nil
	}
	var checks, tagging []Check
	seen := map[string]bool{}
	for _, t := range c.Targets {
		rt, ok := a.types[t.Type]
		if !ok {
			return nil, fmt.Errorf("authz: action %s is not authorised on the resource type %s; its types are %s", c.Action, t.Type, strings.Join(types, ", "))
		}
		seen[t.Type] = true
		checks = append(checks, Check{Action: c.Action, Resource: t.ARN, Context: t.context(service, base, rt.keys)})
		if a.tagsOnCreate && len(t.RequestTags) > 0 {
			ctx := t.context(service, base, requestTags)
			ctx["ec2:CreateAction"] = []string{name}
			tagging = append(tagging, Check{Action: "ec2:CreateTags", Resource: t.ARN, Context: ctx})
		}
	}
	for _, name := range types {
		if a.types[name].required && !seen[name] {
			return nil, fmt.Errorf("authz: action %s needs a resource of type %s, and none was given", c.Action, name)
		}
	}
	if len(checks) == 0 {
		return nil, fmt.Errorf("authz: action %s was given no resource; its types are %s", c.Action, strings.Join(types, ", "))
	}
	return append(checks, tagging...), nil
}

// context adds the target's keys to the call's, as far as the reference lists them.
func (t Target) context(service string, base map[string][]string, listed string) map[string][]string {
	known := strings.Fields(listed)
	ctx := maps.Clone(base)
	set := func(listedAs, key string, values ...string) {
		if slices.Contains(known, listedAs) {
			ctx[key] = values
		}
	}
	for k, v := range t.Tags {
		set("aws:ResourceTag/", "aws:ResourceTag/"+k, v)
		set(service+":ResourceTag/", service+":ResourceTag/"+k, v)
	}
	for k, v := range t.RequestTags {
		set("aws:RequestTag/", "aws:RequestTag/"+k, v)
	}
	if len(t.RequestTags) > 0 {
		set("aws:TagKeys", "aws:TagKeys", slices.Sorted(maps.Keys(t.RequestTags))...)
	}
	for k, v := range t.Keys {
		set(k, k, v)
	}
	return ctx
}

// Authorize evaluates the checks in turn and returns the first denial, or the last decision if all
// are allowed. policies are those of the caller's identity; resourcePolicy, which may be nil, says
// which policy guards a resource.
func Authorize(who Principal, account string, checks []Check, policies []*Policy, resourcePolicy func(arn string) *Policy) Decision {
	d := Decision{Statement: -1}
	for _, c := range checks {
		all := policies
		if resourcePolicy != nil {
			if p := resourcePolicy(c.Resource); p != nil {
				all = append(slices.Clip(all), p)
			}
		}
		d = Evaluate(Request{Principal: who, Action: c.Action, Resource: c.Resource, Account: account, Context: c.Context}, all...)
		if !d.Allowed {
			return d
		}
	}
	return d
}
