package scenario

import (
	"fmt"
	"slices"
	"strings"
	"testing"

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
		"LaunchFrom: ec2:RunInstances on snapshot":                "EC2's reference has it for images whose volumes come from snapshots, as Amazon's do; the account here does not ask for it",
		"LaunchFrom: ec2:RunInstances on capacity-reservation":    reservation,
		"LaunchFrom: ec2:CreateFleet on capacity-reservation":     reservation,
		"LaunchFrom: ec2:CreateFleet on snapshot":                 fleet,
		"LaunchFrom: ec2:CreateFleet on security-group":           fleet,
		"LaunchTagged: ec2:CreateFleet on network-interface":      fleet,
		"LaunchTagged: ec2:CreateFleet on spot-instances-request": fleet,
		"TagProfile: iam:TagInstanceProfile on instance-profile":  "IAM asks for the tagging of roles that are created with tags, and may do so of profiles; Karpenter creates them so (pkg/providers/instanceprofile)",
	}
}

// nameOf is a grant as unused has it: the statement, the action, and the kind of resource.
func nameOf(g authz.Grant) string {
	fields := strings.SplitN(g.Resource, ":", 6)
	kind, _, _ := strings.Cut(fields[len(fields)-1], "/")
	return g.Sid + ": " + g.Action + " on " + kind
}

// soaked are the parts of the controller's permissions, and what takes the actions of each
// away.
func soaked() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"node-launch": TestSoakPermissionsLaunch, "node-lifecycle": TestSoakPermissionsLifecycle,
		"instance-profiles": TestSoakPermissionsProfiles, "discovery": TestSoakPermissionsDiscovery,
	}
}

// stale is what soaked, unused and goesOn have to follow in policies, which are named by
// their parts.
func stale(policies map[string][]authz.Grant) []string {
	var all []string
	named, actions := map[string]bool{}, map[string]bool{}
	for part, grants := range policies {
		if soaked()[part] == nil {
			all = append(all, fmt.Sprintf("nothing takes the actions of the policy %s away: add a TestSoakPermissions… to soaked", part))
		}
		for _, g := range grants {
			named[nameOf(g)], actions[g.Action] = true, true
		}
	}
	for part := range soaked() {
		if len(policies[part]) == 0 {
			all = append(all, fmt.Sprintf("there is no policy %s, or it allows nothing: take it out of soaked", part))
		}
	}
	for name := range unused() {
		if !named[name] {
			all = append(all, fmt.Sprintf("no policy allows %q: take it out of unused", name))
		}
	}
	for action := range goesOn() {
		if !actions[action] {
			all = append(all, fmt.Sprintf("no policy allows %s: take it out of goesOn", action))
		}
	}
	slices.Sort(all)
	return all
}

// TestStale: a policy, a statement or an action that comes or goes is told of.
func TestStale(t *testing.T) {
	t.Parallel()
	policies := func() map[string][]authz.Grant {
		all := map[string][]authz.Grant{"instance-profiles": {{Sid: "A", Action: "iam:PassRole", Resource: "*"}}, "discovery": nil, "node-lifecycle": {{Sid: "B", Action: "sqs:ReceiveMessage", Resource: "*"}}}
		for name := range unused() {
			sid, rest, _ := strings.Cut(name, ": ")
			action, kind, _ := strings.Cut(rest, " on ")
			all["node-launch"] = append(all["node-launch"], authz.Grant{Sid: sid, Action: action, Resource: "arn:aws:ec2:us-west-1:*:" + kind + "/*"})
		}
		for action := range goesOn() {
			all["discovery"] = append(all["discovery"], authz.Grant{Sid: "C", Action: action, Resource: "*"})
		}
		return all
	}
	if got := stale(policies()); len(got) > 0 {
		t.Errorf("of what is in order: %q", got)
	}
	without := func(part string, of func(authz.Grant) bool) func(map[string][]authz.Grant) {
		return func(all map[string][]authz.Grant) { all[part] = slices.DeleteFunc(all[part], of) }
	}
	for name, tc := range map[string]struct {
		change func(map[string][]authz.Grant)
		want   string
	}{
		"a fifth policy":           {func(all map[string][]authz.Grant) { all["zonal-shift"] = all["discovery"] }, "the policy zonal-shift away"},
		"a policy less":            {func(all map[string][]authz.Grant) { delete(all, "node-lifecycle") }, "no policy node-lifecycle"},
		"an unused statement less": {without("node-launch", func(g authz.Grant) bool { return g.Sid == "TagProfile" }), `"TagProfile: iam:TagInstanceProfile on instance-profile": take it out of unused`},
		"a statement's other name": {func(all map[string][]authz.Grant) {
			for i := range all["node-launch"] {
				if all["node-launch"][i].Sid == "TagProfile" {
					all["node-launch"][i].Sid = "Tag"
				}
			}
		}, `"TagProfile: iam:TagInstanceProfile on instance-profile": take it out of unused`},
		"an action that is not had": {without("discovery", func(g authz.Grant) bool { return g.Action == "pricing:GetProducts" }), "pricing:GetProducts: take it out of goesOn"},
	} {
		all := policies()
		tc.change(all)
		if got := stale(all); len(got) != 1 || !strings.Contains(got[0], tc.want) {
			t.Errorf("%s: got %q, want one that says %q", name, got, tc.want)
		}
	}
}

// partOf is the part of a policy's name that is its own, such as discovery.
func partOf(p *authz.Policy) string {
	_, name, ok := strings.Cut(p.Name(), ":policy/"+strings.TrimSuffix(controller, "us-west-1"))
	if !ok {
		return p.Name()
	}
	return strings.TrimSuffix(name, "-us-west-1")
}

// controllerGrants are what the controller's policies allow, while there are any. It fails
// the test where what is said of them here is not up to date.
func (s *story) controllerGrants() []authz.Grant {
	s.t.Helper()
	policies, err := s.World.Account().RolePolicies(controller)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []authz.Grant
	parts := map[string][]authz.Grant{}
	for _, p := range policies {
		all = append(all, p.Grants()...)
		parts[partOf(p)] = p.Grants()
	}
	if len(all) == 0 {
		s.t.Fatal("the controller has no grants")
	}
	for _, complaint := range stale(parts) {
		s.t.Error(complaint)
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
			want = append(want, nameOf(g))
		}
	}
	for _, g := range was {
		got = append(got, nameOf(g))
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
