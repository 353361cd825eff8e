package authz

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// nodeLifecycle is what Karpenter's cloudformation.yaml grants for cluster "c", shortened to the
// statements that its launches, tags and deletions run through.
const nodeLifecycle = `
	{"Sid":"AllowScopedEC2InstanceAccessActions","Effect":"Allow","Action":["ec2:RunInstances","ec2:CreateFleet"],
	 "Resource":["arn:aws:ec2:us-west-1::image/*","arn:aws:ec2:us-west-1::snapshot/*","arn:aws:ec2:us-west-1:*:security-group/*","arn:aws:ec2:us-west-1:*:subnet/*"]},
	{"Sid":"AllowScopedEC2LaunchTemplateAccessActions","Effect":"Allow","Action":["ec2:RunInstances","ec2:CreateFleet"],"Resource":"arn:aws:ec2:us-west-1:*:launch-template/*",
	 "Condition":{"StringEquals":{"aws:ResourceTag/kubernetes.io/cluster/c":"owned"},"StringLike":{"aws:ResourceTag/karpenter.sh/nodepool":"*"}}},
	{"Sid":"AllowScopedEC2InstanceActionsWithTags","Effect":"Allow","Action":["ec2:RunInstances","ec2:CreateFleet","ec2:CreateLaunchTemplate"],
	 "Resource":["arn:aws:ec2:us-west-1:*:fleet/*","arn:aws:ec2:us-west-1:*:instance/*","arn:aws:ec2:us-west-1:*:volume/*","arn:aws:ec2:us-west-1:*:network-interface/*","arn:aws:ec2:us-west-1:*:launch-template/*","arn:aws:ec2:us-west-1:*:spot-instances-request/*"],
	 "Condition":{"StringEquals":{"aws:RequestTag/kubernetes.io/cluster/c":"owned","aws:RequestTag/eks:eks-cluster-name":"c"},"StringLike":{"aws:RequestTag/karpenter.sh/nodepool":"*"}}},
	{"Sid":"AllowScopedResourceCreationTagging","Effect":"Allow","Action":"ec2:CreateTags",
	 "Resource":["arn:aws:ec2:us-west-1:*:fleet/*","arn:aws:ec2:us-west-1:*:instance/*","arn:aws:ec2:us-west-1:*:volume/*","arn:aws:ec2:us-west-1:*:network-interface/*","arn:aws:ec2:us-west-1:*:launch-template/*","arn:aws:ec2:us-west-1:*:spot-instances-request/*"],
	 "Condition":{"StringEquals":{"aws:RequestTag/kubernetes.io/cluster/c":"owned","aws:RequestTag/eks:eks-cluster-name":"c","ec2:CreateAction":["RunInstances","CreateFleet","CreateLaunchTemplate"]},"StringLike":{"aws:RequestTag/karpenter.sh/nodepool":"*"}}},
	{"Sid":"AllowScopedResourceTagging","Effect":"Allow","Action":"ec2:CreateTags","Resource":"arn:aws:ec2:us-west-1:*:instance/*",
	 "Condition":{"StringEquals":{"aws:ResourceTag/kubernetes.io/cluster/c":"owned"},"StringLike":{"aws:ResourceTag/karpenter.sh/nodepool":"*"},"StringEqualsIfExists":{"aws:RequestTag/eks:eks-cluster-name":"c"},
	  "ForAllValues:StringEquals":{"aws:TagKeys":["eks:eks-cluster-name","karpenter.sh/nodeclaim","Name"]}}},
	{"Sid":"AllowScopedDeletion","Effect":"Allow","Action":["ec2:TerminateInstances","ec2:DeleteLaunchTemplate"],"Resource":["arn:aws:ec2:us-west-1:*:instance/*","arn:aws:ec2:us-west-1:*:launch-template/*"],
	 "Condition":{"StringEquals":{"aws:ResourceTag/kubernetes.io/cluster/c":"owned"},"StringLike":{"aws:ResourceTag/karpenter.sh/nodepool":"*"}}},
	{"Sid":"AllowPassingInstanceRole","Effect":"Allow","Resource":"arn:aws:iam::111122223333:role/node","Action":"iam:PassRole","Condition":{"StringEquals":{"iam:PassedToService":["ec2.amazonaws.com","ec2.amazonaws.com.cn"]}}},
	{"Sid":"AllowScopedInstanceProfileActions","Effect":"Allow","Resource":"arn:aws:iam::111122223333:instance-profile/*","Action":["iam:AddRoleToInstanceProfile","iam:RemoveRoleFromInstanceProfile","iam:DeleteInstanceProfile"],
	 "Condition":{"StringEquals":{"aws:ResourceTag/kubernetes.io/cluster/c":"owned","aws:ResourceTag/topology.kubernetes.io/region":"us-west-1"},"StringLike":{"aws:ResourceTag/karpenter.k8s.aws/ec2nodeclass":"*"}}},
	{"Sid":"AllowRegionalReadActions","Effect":"Allow","Resource":"*","Action":["ec2:DescribeInstances"],"Condition":{"StringEquals":{"aws:RequestedRegion":"us-west-1"}}},
	{"Sid":"AllowZonalShiftStatusReadOnly","Effect":"Allow","Resource":"*","Action":"arc-zonal-shift:GetManagedResource","Condition":{"StringEquals":{"arc-zonal-shift:ResourceIdentifier":"arn:aws:eks:us-west-1:111122223333:cluster/c"}}}`

func ec2ARN(kind, id string) string {
	if kind == "image" {
		return "arn:aws:ec2:" + region + "::image/" + id
	}
	return "arn:aws:ec2:" + region + ":" + acct + ":" + kind + "/" + id
}

// ownTags are the tags Karpenter puts on all it makes for cluster "c".
func ownTags() map[string]string {
	return map[string]string{
		"kubernetes.io/cluster/c": "owned", "eks:eks-cluster-name": "c", "karpenter.sh/nodepool": "gpu", "karpenter.k8s.aws/ec2nodeclass": "gpu", "topology.kubernetes.io/region": region,
	}
}

func without(tags map[string]string, key string) map[string]string {
	m := maps.Clone(tags)
	delete(m, key)
	return m
}

// launch is a RunInstances on a launch template, as a spot fleet makes it.
func launch(change func(map[string]*Target)) Call {
	byType := map[string]*Target{}
	c := Call{Action: "ec2:RunInstances", Context: one("aws:RequestedRegion", region)}
	for _, kind := range []string{"image", "subnet", "security-group", "launch-template", "instance", "volume", "network-interface", "spot-instances-request"} {
		t := &Target{Type: kind, ARN: ec2ARN(kind, "*")}
		switch kind {
		case "image", "subnet", "security-group":
		case "launch-template":
			t.ARN, t.Tags = ec2ARN(kind, "lt-1"), ownTags()
		default:
			t.RequestTags = ownTags()
		}
		byType[kind] = t
	}
	if change != nil {
		change(byType)
	}
	for _, kind := range []string{"image", "subnet", "security-group", "launch-template", "instance", "volume", "network-interface", "spot-instances-request"} {
		if t := byType[kind]; t != nil {
			c.Targets = append(c.Targets, *t)
		}
	}
	return c
}

// TestKarpenterPolicy: the refusals first (another cluster's things, no ownership tags,
// another role), then what Karpenter does all day.
func TestKarpenterPolicy(t *testing.T) {
	t.Parallel()
	policy := mustParse(t, Identity, "lifecycle", statements(nodeLifecycle))
	foreign := ownTags()
	delete(foreign, "kubernetes.io/cluster/c")
	foreign["kubernetes.io/cluster/other"] = "owned"
	instance := func(tags map[string]string) []Target {
		return []Target{{Type: "instance", ARN: ec2ARN("instance", "i-1"), Tags: tags}}
	}
	profile := func(tags map[string]string) []Target {
		return []Target{{Type: "instance-profile", ARN: "arn:aws:iam::111122223333:instance-profile/p", Tags: tags}}
	}
	role := func(name string) []Target {
		return []Target{{Type: "role", ARN: "arn:aws:iam::111122223333:role/" + name}}
	}
	tagging := func(tags map[string]string, keys ...string) Call {
		c := Call{Action: "ec2:CreateTags", Targets: instance(tags)}
		c.Targets[0].RequestTags = map[string]string{}
		for _, k := range keys {
			c.Targets[0].RequestTags[k] = "c"
		}
		return c
	}
	inRegion := func(action, region string) Call {
		return Call{Action: action, Context: one("aws:RequestedRegion", region)}
	}
	tests := map[string]struct {
		call   Call
		denied string // part of the denial's message, empty when allowed
		reason string
	}{
		"terminate another cluster's instance": {Call{Action: "ec2:TerminateInstances", Targets: instance(foreign)},
			"ec2:TerminateInstances on resource: arn:aws:ec2:us-west-1:111122223333:instance/i-1 because no identity-based policy allows the ec2:TerminateInstances action",
			`statement 5 AllowScopedDeletion of lifecycle: StringEquals aws:ResourceTag/kubernetes.io/cluster/c ["owned"]: the request has none`},
		"terminate an untagged instance":                 {Call{Action: "ec2:TerminateInstances", Targets: instance(nil)}, "ec2:TerminateInstances", ""},
		"terminate one of ours and one of another":       {Call{Action: "ec2:TerminateInstances", Targets: append(instance(ownTags()), Target{Type: "instance", ARN: ec2ARN("instance", "i-2"), Tags: foreign})}, "instance/i-2", ""},
		"tag another cluster's instance":                 {tagging(foreign, "Name"), "ec2:CreateTags on resource: arn:aws:ec2:us-west-1:111122223333:instance/i-1", ""},
		"tag with a key that is not ours":                {tagging(ownTags(), "Name", "kubernetes.io/cluster/c"), "ec2:CreateTags", "ForAllValues:StringEquals aws:TagKeys"},
		"launch without the cluster tag on the instance": {launch(func(m map[string]*Target) { m["instance"].RequestTags = without(ownTags(), "kubernetes.io/cluster/c") }), "ec2:RunInstances on resource: arn:aws:ec2:us-west-1:111122223333:instance/*", "aws:RequestTag/kubernetes.io/cluster/c"},
		"launch without tags on the interface":           {launch(func(m map[string]*Target) { m["network-interface"].RequestTags = nil }), "network-interface/*", ""},
		"launch without tags on the volume":              {launch(func(m map[string]*Target) { m["volume"].RequestTags = nil }), "volume/*", ""},
		"launch without tags on the spot request":        {launch(func(m map[string]*Target) { m["spot-instances-request"].RequestTags = nil }), "spot-instances-request/*", ""},
		"launch from another cluster's template":         {launch(func(m map[string]*Target) { m["launch-template"].Tags = foreign }), "launch-template/lt-1", "AllowScopedEC2LaunchTemplateAccessActions"},
		"launch in another region":                       {launch(func(m map[string]*Target) { m["subnet"].ARN = "arn:aws:ec2:eu-west-1:111122223333:subnet/s" }), "subnet/s", ""},
		"launch with another pool's cluster in the tag":  {launch(func(m map[string]*Target) { m["volume"].RequestTags["eks:eks-cluster-name"] = "d" }), "volume/*", `the request has ["d"]`},
		"create a template without tags":                 {Call{Action: "ec2:CreateLaunchTemplate", Targets: []Target{{Type: "launch-template", ARN: ec2ARN("launch-template", "*")}}}, "ec2:CreateLaunchTemplate", ""},
		"delete another cluster's template":              {Call{Action: "ec2:DeleteLaunchTemplate", Targets: []Target{{Type: "launch-template", ARN: ec2ARN("launch-template", "lt-2"), Tags: foreign}}}, "ec2:DeleteLaunchTemplate", ""},
		"pass another role":                              {Call{Action: "iam:PassRole", Targets: role("admin"), Context: one("iam:PassedToService", "ec2.amazonaws.com")}, "iam:PassRole on resource: arn:aws:iam::111122223333:role/admin", ""},
		"pass the role to another service":               {Call{Action: "iam:PassRole", Targets: role("node"), Context: one("iam:PassedToService", "lambda.amazonaws.com")}, "iam:PassRole", ""},
		"change another cluster's instance profile":      {Call{Action: "iam:RemoveRoleFromInstanceProfile", Targets: profile(foreign)}, "iam:RemoveRoleFromInstanceProfile", ""},
		"delete another region's instance profile":       {Call{Action: "iam:DeleteInstanceProfile", Targets: profile(without(ownTags(), "topology.kubernetes.io/region"))}, "iam:DeleteInstanceProfile", ""},
		"describe in another region":                     {inRegion("ec2:DescribeInstances", "eu-west-1"), "is not authorized to perform: ec2:DescribeInstances because no", ""},
		"another cluster's zonal shift":                  {Call{Action: "arc-zonal-shift:GetManagedResource", Context: one("arc-zonal-shift:ResourceIdentifier", "arn:aws:eks:us-west-1:111122223333:cluster/d")}, "arc-zonal-shift:GetManagedResource", ""},
		"an action nobody granted":                       {inRegion("ec2:DescribeVolumes", region), "ec2:DescribeVolumes", ""},
		"launch":                                         {launch(nil), "", ""},
		"launch on demand":                               {launch(func(m map[string]*Target) { delete(m, "spot-instances-request") }), "", ""},
		"terminate":                                      {Call{Action: "ec2:TerminateInstances", Targets: instance(ownTags())}, "", ""},
		"name the instance":                              {tagging(ownTags(), "Name", "karpenter.sh/nodeclaim", "eks:eks-cluster-name"), "", ""},
		"create a template":                              {Call{Action: "ec2:CreateLaunchTemplate", Targets: []Target{{Type: "launch-template", ARN: ec2ARN("launch-template", "*"), RequestTags: ownTags()}}}, "", ""},
		"pass the node role":                             {Call{Action: "iam:PassRole", Targets: role("node"), Context: one("iam:PassedToService", "ec2.amazonaws.com")}, "", ""},
		"remove the role from our own instance profile":  {Call{Action: "iam:RemoveRoleFromInstanceProfile", Targets: profile(ownTags())}, "", ""},
		"describe":    {inRegion("ec2:DescribeInstances", region), "", ""},
		"zonal shift": {Call{Action: "arc-zonal-shift:GetManagedResource", Context: one("arc-zonal-shift:ResourceIdentifier", "arn:aws:eks:us-west-1:111122223333:cluster/c")}, "", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checks, err := tc.call.Checks()
			if err != nil {
				t.Fatal(err)
			}
			d := Authorize(session("karpenter"), acct, checks, []*Policy{policy}, nil)
			if d.Allowed != (tc.denied == "") {
				t.Fatalf("allowed %v: %s on %s: %s", d.Allowed, d.Request.Action, d.Request.Resource, d.Reason())
			}
			if !strings.Contains(d.Message(), tc.denied) {
				t.Errorf("message %q does not contain %q", d.Message(), tc.denied)
			}
			if !strings.Contains(d.Reason(), tc.reason) {
				t.Errorf("reason %q does not contain %q", d.Reason(), tc.reason)
			}
		})
	}
}

// TestCheckContexts: which keys reach which check of one call.
func TestCheckContexts(t *testing.T) {
	t.Parallel()
	call := Call{Action: "ec2:CreateFleet", Context: one("aws:RequestedRegion", region), Targets: []Target{
		{Type: "fleet", ARN: ec2ARN("fleet", "*"), RequestTags: map[string]string{"b": "2", "a": "1"}},
		{Type: "instance", ARN: ec2ARN("instance", "*"), Keys: map[string]string{"ec2:InstanceType": "g4dn.xlarge", "ec2:MetadataHttpTokens": "required"}},
		{Type: "launch-template", ARN: ec2ARN("launch-template", "lt-1"), Tags: map[string]string{"t": "v"}, RequestTags: map[string]string{"x": "y"}},
	}}
	base := map[string][]string{"aws:RequestedRegion": {region}, "ec2:Region": {region}}
	with := func(more map[string][]string) map[string][]string {
		m := maps.Clone(base)
		maps.Copy(m, more)
		return m
	}
	tags := map[string][]string{"aws:RequestTag/a": {"1"}, "aws:RequestTag/b": {"2"}, "aws:TagKeys": {"a", "b"}}
	created := with(tags)
	created["ec2:CreateAction"] = []string{"CreateFleet"}
	want := []Check{
		{"ec2:CreateFleet", ec2ARN("fleet", "*"), with(tags)},
		// The reference lists ec2:MetadataHttpTokens for RunInstances, not for CreateFleet.
		{"ec2:CreateFleet", ec2ARN("instance", "*"), with(one("ec2:InstanceType", "g4dn.xlarge"))},
		{"ec2:CreateFleet", ec2ARN("launch-template", "lt-1"), with(one("aws:ResourceTag/t", "v", "ec2:ResourceTag/t", "v"))},
		{"ec2:CreateTags", ec2ARN("fleet", "*"), created},
		{"ec2:CreateTags", ec2ARN("launch-template", "lt-1"), with(one("aws:RequestTag/x", "y", "aws:TagKeys", "x", "ec2:CreateAction", "CreateFleet"))},
	}
	got, err := call.Checks()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
}

// TestChecksRefuse: a call the table does not fit is an error, never an empty list of checks.
func TestChecksRefuse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		call Call
		want string
	}{
		"unknown action":   {Call{Action: "ec2:ModifyVolume"}, "no entry for action ec2:ModifyVolume"},
		"spelling":         {Call{Action: "ec2:runinstances"}, "no entry"},
		"unknown type":     {Call{Action: "ec2:TerminateInstances", Targets: []Target{{Type: "volume"}}}, "is not authorised on the resource type volume; its types are instance"},
		"missing type":     {Call{Action: "ec2:CreateFleet", Targets: []Target{{Type: "fleet"}}}, "needs a resource of type instance"},
		"nothing to tag":   {Call{Action: "ec2:CreateTags"}, "was given no resource"},
		"type for none":    {Call{Action: "ec2:DescribeInstances", Targets: []Target{{Type: "instance"}}}, "has no resource types, but one of type instance"},
		"nothing at all":   {Call{}, "no entry"},
		"no queue":         {Call{Action: "sqs:ReceiveMessage"}, "needs a resource of type queue"},
		"role for a queue": {Call{Action: "sqs:ReceiveMessage", Targets: []Target{{Type: "role"}}}, "its types are queue"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checks, err := tc.call.Checks()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Checks = %v, %v; want an error with %q", checks, err, tc.want)
			}
		})
	}
}

// TestAuthorizeResourcePolicy: a queue's policy joins the caller's own.
func TestAuthorizeResourcePolicy(t *testing.T) {
	t.Parallel()
	queue := mustParse(t, Resource, "queue", queuePolicy)
	identity := mustParse(t, Identity, "all", statements(`{"Effect":"Allow","Action":"sqs:*","Resource":"*"}`))
	checks := func(secure string) []Check {
		c, err := Call{Action: "sqs:ReceiveMessage", Context: one("aws:SecureTransport", secure),
			Targets: []Target{{Type: "queue", ARN: "arn:aws:sqs:us-west-1:111122223333:gpu-slicing"}}}.Checks()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	guard := func(arn string) *Policy {
		if arn == "arn:aws:sqs:us-west-1:111122223333:gpu-slicing" {
			return queue
		}
		return nil
	}
	if d := Authorize(session("karpenter"), acct, checks("false"), []*Policy{identity}, guard); d.Outcome != ExplicitDeny || d.Sid != "DenyHTTP" {
		t.Errorf("plain HTTP: %s", d.Reason())
	}
	if d := Authorize(session("karpenter"), acct, checks("true"), []*Policy{identity}, guard); !d.Allowed {
		t.Errorf("over TLS: %s", d.Reason())
	}
	if d := Authorize(session("karpenter"), acct, nil, []*Policy{identity}, guard); d.Allowed {
		t.Error("no checks at all must not be allowed")
	}
}
