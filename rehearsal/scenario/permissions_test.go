package scenario

import (
	"slices"
	"strings"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// controller is the role of the dev stack's Karpenter.
const controller = "gpu-slicing-karpenter-us-west-1"

// unused are the grants of the controller's policies that nothing in the stories needs, and
// why it has them nevertheless. All are of Karpenter's own template
// (website/content/en/docs/getting-started/getting-started-with-karpenter/cloudformation.yaml
// of karpenter-provider-aws).
func unused() map[string]string {
	const (
		reservation = "an open capacity reservation of the account's takes instances that do not ask for it"
		fleet       = "the statement is RunInstances' too, which needs it; EC2's reference has no such kind for CreateFleet"
	)
	return map[string]string{
		"ec2:RunInstances on snapshot":               "EC2's reference has it for images whose volumes come from snapshots, as Amazon's do; the account here does not ask for it",
		"ec2:RunInstances on capacity-reservation":   reservation,
		"ec2:CreateFleet on capacity-reservation":    reservation,
		"ec2:CreateFleet on snapshot":                fleet,
		"ec2:CreateFleet on security-group":          fleet,
		"ec2:CreateFleet on network-interface":       fleet,
		"ec2:CreateFleet on spot-instances-request":  fleet,
		"iam:TagInstanceProfile on instance-profile": "IAM asks for the tagging of roles that are created with tags, and may do so of profiles; Karpenter creates them so (pkg/providers/instanceprofile)",
	}
}

// nameOf is a grant as unused has it: the action, and the kind of resource.
func nameOf(g authz.Grant) string {
	fields := strings.SplitN(g.Resource, ":", 6)
	kind, _, _ := strings.Cut(fields[len(fields)-1], "/")
	return g.Action + " on " + kind
}

// controllerGrants are what the controller's policies allow, while there are any.
func (s *story) controllerGrants() []authz.Grant {
	s.t.Helper()
	policies, err := s.World.Account().RolePolicies(controller)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []authz.Grant
	for _, p := range policies {
		all = append(all, p.Grants()...)
	}
	if len(all) == 0 {
		s.t.Fatal("the controller has no grants")
	}
	return all
}

// needed fails the test unless each of the grants was needed in the story: that is, IAM
// would have denied a call that it allowed, had the grant been taken out. Those that are
// unused for a reason must not have been.
func (s *story) needed(grants []authz.Grant) {
	s.t.Helper()
	was := s.World.Wire().Needed("arn:aws:iam::" + account.ID + ":role/" + controller)
	var want, got []string
	for _, g := range grants {
		if unused()[nameOf(g)] == "" {
			want = append(want, g.Sid+": "+nameOf(g))
		}
	}
	for _, g := range was {
		got = append(got, g.Sid+": "+nameOf(g))
	}
	for _, name := range want {
		if !slices.Contains(got, name) {
			s.t.Errorf("Karpenter has not needed %s: take it out of the policies, or say in unused what it is for", name)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			s.t.Errorf("Karpenter has needed %s: it is not unused", name)
		}
	}
}
