package authz

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGrants: what can be taken out of a policy, and for each request which of it allows
// it. Without a request's only grant the request is denied.
func TestGrants(t *testing.T) {
	t.Parallel()
	launch := mustParse(t, Identity, "launch", statements(`
		{"Sid":"From","Effect":"Allow","Action":["ec2:RunInstances","ec2:CreateFleet"],"Resource":["arn:aws:ec2:*::image/*","arn:aws:ec2:*:*:subnet/*"]},
		{"Sid":"Tagged","Effect":"Allow","Action":"ec2:RunInstances","Resource":"arn:aws:ec2:*:*:instance/*","Condition":{"StringEquals":{"aws:RequestTag/owner":"me"}}},
		{"Sid":"Not","Effect":"Deny","Action":"iam:*","Resource":"*"},
		{"Sid":"Others","Effect":"Allow","NotAction":"ec2:*","Resource":"*"}`))
	read := mustParse(t, Identity, "read", statements(`{"Effect":"Allow","Action":["ec2:Describe*","ec2:RunInstances"],"Resource":"*"}`))
	want := []Grant{
		{"From", "ec2:RunInstances", "arn:aws:ec2:*::image/*"}, {"From", "ec2:RunInstances", "arn:aws:ec2:*:*:subnet/*"},
		{"From", "ec2:CreateFleet", "arn:aws:ec2:*::image/*"}, {"From", "ec2:CreateFleet", "arn:aws:ec2:*:*:subnet/*"},
		{"Tagged", "ec2:RunInstances", "arn:aws:ec2:*:*:instance/*"},
	}
	if diff := cmp.Diff(want, launch.Grants()); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
	const instance = "arn:aws:ec2:us-west-1:111122223333:instance/*"
	for name, c := range map[string]struct {
		policies         []*Policy
		action, resource string
		context          map[string][]string
		want             []Grant
	}{
		"one":                        {[]*Policy{launch}, "ec2:CreateFleet", "arn:aws:ec2:us-west-1::image/ami-1", nil, want[2:3]},
		"one whose condition holds":  {[]*Policy{launch}, "ec2:runinstances", instance, one("aws:RequestTag/owner", "me"), want[4:]},
		"none, the condition fails":  {[]*Policy{launch}, "ec2:RunInstances", instance, one("aws:RequestTag/owner", "you"), nil},
		"two, of two policies":       {[]*Policy{launch, read}, "ec2:RunInstances", instance, one("aws:RequestTag/owner", "me"), []Grant{want[4], {"", "ec2:RunInstances", "*"}}},
		"one of another action":      {[]*Policy{launch, read}, "ec2:DescribeSubnets", "*", nil, []Grant{{"", "ec2:Describe*", "*"}}},
		"none, but a NotAction does": {[]*Policy{launch}, "sqs:ReceiveMessage", "*", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := Request{Principal: session("karpenter"), Action: c.action, Resource: c.resource, Context: c.context}
			if diff := cmp.Diff(c.want, GrantsFor(req, c.policies...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
