package main

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

func noWildcardIAM() rule {
	document := func(in resource.PropertyValue, r *report) { identityPolicy(at(in, "policy"), "policy", r) }
	attachment := func(in resource.PropertyValue, r *report) { managedPolicy(at(in, "policyArn"), "policyArn", r) }
	return rule{
		name:  "no-wildcard-iam",
		title: "IAM allows named actions, on the narrowest resource they know, to named principals.",
		mend:  "Name the actions, and the ARNs down to the kind of resource; where an action knows no ARN, it may stand alone in a statement on \"*\".",
		resource: byType(map[tokens.Type]func(resource.PropertyValue, *report){
			"aws:iam/policy:Policy":           document,
			"aws:iam/rolePolicy:RolePolicy":   document,
			"aws:iam/userPolicy:UserPolicy":   document,
			"aws:iam/groupPolicy:GroupPolicy": document,

			"aws:iam/policyAttachment:PolicyAttachment":           attachment,
			"aws:iam/rolePolicyAttachment:RolePolicyAttachment":   attachment,
			"aws:iam/userPolicyAttachment:UserPolicyAttachment":   attachment,
			"aws:iam/groupPolicyAttachment:GroupPolicyAttachment": attachment,

			"aws:iam/role:Role": role,
		}),
	}
}

func role(in resource.PropertyValue, r *report) {
	trustPolicy(at(in, "assumeRolePolicy"), "assumeRolePolicy", r)
	for _, key := range []resource.PropertyKey{"inlinePolicies", "managedPolicyArns"} {
		if unknown(at(in, key)) {
			r.later(string(key))
		}
	}
	for i, p := range items(at(in, "inlinePolicies")) {
		identityPolicy(at(p, "policy"), fmt.Sprintf("inlinePolicies[%d].policy", i), r)
	}
	for i, arn := range items(at(in, "managedPolicyArns")) {
		managedPolicy(arn, fmt.Sprintf("managedPolicyArns[%d]", i), r)
	}
}

// managedPolicy refuses AWS's own policies that allow all of a service, or all.
func managedPolicy(arn resource.PropertyValue, where string, r *report) {
	name := path.Base(text(arn))
	r.want(arn, where, func(resource.PropertyValue) bool {
		return !strings.Contains(text(arn), ":iam::aws:policy/") ||
			name != "AdministratorAccess" && name != "PowerUserAccess" && !strings.HasSuffix(name, "FullAccess")
	}, "a policy of its own that names actions: this one of AWS's allows whole services")
}

// unscoped are actions that know no resource narrower than all, by pattern
// (Service Authorization Reference: those without a resource type).
func unscoped(action string) bool {
	return slices.ContainsFunc([]string{
		"acm:ListCertificates", "autoscaling:Describe*", "cloudwatch:GetMetricData", "cloudwatch:ListMetrics", "cloudwatch:PutMetricData",
		"ec2:Describe*", "ecr-public:GetAuthorizationToken", "ecr:GetAuthorizationToken",
		"eks:DescribeAddonVersions", "eks:DescribeClusterVersions", "eks:ListClusters", "elasticloadbalancing:Describe*",
		"iam:ListInstanceProfiles", "iam:ListPolicies", "iam:ListRoles", "kms:ListAliases", "kms:ListKeys",
		"pricing:DescribeServices", "pricing:GetAttributeValues", "pricing:GetProducts", "route53:ListHostedZones",
		"s3:ListAllMyBuckets", "sns:ListTopics", "sqs:ListQueues", "ssm:DescribeParameters", "sts:GetCallerIdentity",
		"tag:GetResources", "xray:PutTelemetryRecords", "xray:PutTraceSegments",
	}, func(pattern string) bool {
		ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(action))
		return ok && err == nil
	})
}

// document is an IAM policy document, as far as the rule reads it.
type document struct {
	Statement oneOrMany[statement]
}

type statement struct {
	Sid, Effect             string
	Action, NotAction       oneOrMany[string]
	Resource, NotResource   oneOrMany[string]
	Principal, NotPrincipal json.RawMessage
	Condition               map[string]map[string]oneOrMany[any]
}

// oneOrMany is a JSON list, or the one element of it.
type oneOrMany[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (o *oneOrMany[T]) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]T)(o))
	}
	var one T
	if err := json.Unmarshal(text, &one); err != nil {
		return err
	}
	*o = []T{one}
	return nil
}

// allows reads a document and calls judge for each of its statements that
// allows something. where is the document's property.
func allows(v resource.PropertyValue, where string, r *report, judge func(s statement, where string)) {
	if v.ContainsUnknowns() {
		r.later(where)
		return
	}
	source := text(v)
	if v.IsObject() { // some programs hand the document over as it is
		encoded, err := json.Marshal(v.Mappable())
		if err != nil {
			r.violated("%s cannot be read: %v", where, err)
			return
		}
		source = string(encoded)
	}
	var d document
	if err := json.Unmarshal([]byte(source), &d); err != nil {
		r.violated("%s is no policy document: %v", where, err)
		return
	}
	for i, s := range d.Statement {
		name := fmt.Sprintf("%s, statement %d", where, i+1)
		if s.Sid != "" {
			name = fmt.Sprintf("%s, statement %s", where, s.Sid)
		}
		if s.Effect == "Allow" {
			judge(s, name)
		}
	}
}

// identityPolicy judges what a role, user or group may do.
func identityPolicy(v resource.PropertyValue, where string, r *report) {
	allows(v, where, r, func(s statement, where string) {
		actions(s, where, r)
		if len(s.NotResource) > 0 {
			r.violated("%s allows it on everything but NotResource %s; it must name what it allows it on", where, quoted(s.NotResource))
		}
		narrower := slices.DeleteFunc(slices.Clone(s.Action), unscoped)
		for _, arn := range s.Resource {
			if broad(arn) && len(narrower) > 0 && !boundToResource(s) {
				r.violated("%s allows %s on Resource %q; these actions know a narrower one", where, quoted(narrower), arn)
			}
		}
	})
}

func actions(s statement, where string, r *report) {
	if len(s.NotAction) > 0 {
		r.violated("%s allows everything but NotAction %s; it must name the actions that it allows", where, quoted(s.NotAction))
	}
	for _, a := range s.Action {
		if strings.ContainsAny(a, "*?") {
			r.violated("%s allows Action %q; it must name the actions", where, a)
		}
	}
}

// broad tells a resource that stands for all there are of a service, such as *
// or arn:aws:s3:::*. An ARN that names a kind, such as instance/*, is not.
func broad(arn string) bool {
	parts := strings.SplitN(arn, ":", 6)
	return strings.Trim(parts[len(parts)-1], "*?") == ""
}

// boundToResource tells a statement whose condition names what it applies to:
// by the tags it must have, or by a key such as arc-zonal-shift:ResourceIdentifier.
func boundToResource(s statement) bool {
	return conditioned(s, func(key string) bool {
		return strings.Contains(key, ":ResourceTag/") || strings.HasSuffix(key, ":ResourceIdentifier")
	})
}

// conditioned tells a statement with a condition on such a key that holds only
// for certain values: it is no negation, does not hold where the key is missing,
// and takes not every value.
func conditioned(s statement, on func(key string) bool) bool {
	for operator, keys := range s.Condition {
		operator = strings.TrimPrefix(operator, "ForAnyValue:")
		if !slices.Contains([]string{"StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike"}, operator) {
			continue
		}
		for key, values := range keys {
			every := slices.ContainsFunc(values, func(v any) bool { return strings.Trim(fmt.Sprint(v), "*?") == "" })
			if on(key) && !every {
				return true
			}
		}
	}
	return false
}

// trustPolicy judges who may assume a role.
func trustPolicy(v resource.PropertyValue, where string, r *report) {
	allows(v, where, r, func(s statement, where string) {
		actions(s, where, r)
		if len(s.NotPrincipal) > 0 {
			r.violated("%s lets everybody but NotPrincipal %s assume the role; it must name who may", where, s.NotPrincipal)
		}
		if everybody(s.Principal) && !conditioned(s, func(string) bool { return true }) {
			r.violated("%s lets Principal %s assume the role, without a condition; it must name who may", where, s.Principal)
		}
	})
}

// everybody tells a principal that is, or holds, "*".
func everybody(principal json.RawMessage) bool {
	var one string
	if json.Unmarshal(principal, &one) == nil {
		return one == "*"
	}
	var kinds map[string]oneOrMany[string]
	if json.Unmarshal(principal, &kinds) != nil {
		return false
	}
	for _, names := range kinds {
		if slices.Contains(names, "*") {
			return true
		}
	}
	return false
}

func quoted(all []string) string {
	var q []string
	for _, one := range all {
		q = append(q, fmt.Sprintf("%q", one))
	}
	return strings.Join(q, ", ")
}
