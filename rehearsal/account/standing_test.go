package account_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// stands is what a cluster that stands can be told by.
type stands struct {
	Mode, Status     string
	Endpoint         bool
	Addons, Groups   []string
	Entries          int // of access; -1 where there are none to be had
	Karpenter, Gated bool
	Queues           []string
}

func TestStand(t *testing.T) {
	t.Parallel()
	bare := stands{
		Mode: "API_AND_CONFIG_MAP", Status: "ACTIVE", Endpoint: true, Addons: []string{"coredns", "kube-proxy", "vpc-cni"}, Groups: []string{"general"},
		Entries: 2, // the creator's and the node group's
	}
	own := bare
	own.Mode, own.Entries, own.Karpenter, own.Gated, own.Queues = "API", 3, true, true, []string{"https://sqs.us-west-2.amazonaws.com/111122223333/platform"}
	own.Addons = []string{"coredns", "eks-pod-identity-agent", "kube-proxy", "vpc-cni"}
	with := func(s stands, change func(*stands)) stands { change(&s); return s }
	want := map[string]stands{
		"existing-karpenter":     own,
		"existing-no-gate":       with(own, func(s *stands) { s.Gated = false }),
		"existing-bare":          bare,
		"existing-gpu-nodes":     with(bare, func(s *stands) { s.Groups = []string{"general", "gpu"} }),
		"existing-config-map":    with(bare, func(s *stands) { s.Mode, s.Entries = "CONFIG_MAP", -1 }),
		"existing-creating":      {Mode: "API", Status: "CREATING", Entries: 1},
		"existing-failed":        {Mode: "API", Status: "FAILED", Entries: 1},
		"existing-unreadable":    with(bare, func(s *stands) { s.Mode = "API" }),
		"existing-old-karpenter": with(own, func(s *stands) { s.Gated = false }),
	}
	for _, w := range account.Worlds() {
		if !strings.HasPrefix(w.Name, "existing-") {
			continue
		}
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			a := open(t, "us-west-2", w.Name)
			s, err := a.Stand()
			if must(t, s, err); s.Cluster != "platform" {
				t.Fatalf("%+v stands", s)
			}
			c, err := a.DescribeCluster(s.Cluster)
			must(t, c, err)
			got := stands{Mode: c.AuthenticationMode, Status: c.Status, Endpoint: c.Endpoint != "" && c.VPC.ClusterSecurityGroupID != "", Entries: -1, Queues: a.ListQueues("")}
			got.Addons, err = a.ListAddons(s.Cluster)
			ok(t, err)
			got.Groups, err = a.ListNodegroups(s.Cluster)
			ok(t, err)
			if entries, err := a.ListAccessEntries(s.Cluster); err == nil {
				got.Entries = len(entries)
			}
			if k := s.Karpenter; k != nil {
				got.Karpenter, got.Gated = true, k.Overlays
				if len(k.Objects) != 2 || k.NodeRole != "KarpenterNodeRole-platform" || !slices.ContainsFunc(a.ListRoles(""), func(r account.Role) bool { return r.Name == k.NodeRole }) {
					t.Errorf("its Karpenter is %+v", k)
				}
			}
			if d := cmp.Diff(want[w.Name], got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			// It was there before anybody came, and what comes after it was not.
			wantEmpty(t, a)
			role(t, a, "r", "ec2.amazonaws.com")
			if d := cmp.Diff([]account.Resource{{Type: "AWS::IAM::Role", ID: "r"}}, a.Leftovers()); d != "" {
				t.Errorf("left over (-want +got):\n%s", d)
			}
		})
	}
	if s, err := open(t, "us-west-2", "").Stand(); s != nil || err != nil {
		t.Errorf("in the plain world stands %+v (%v)", s, err)
	}
}

// TestInventory: whatever somebody changes shows, and nothing else.
func TestInventory(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "existing-karpenter")
	s, err := a.Stand()
	must(t, s, err)
	inventory := func() map[string]string {
		t.Helper()
		i, err := a.Inventory()
		return must(t, i, err)
	}
	before := inventory()
	members, err := a.DescribeInstances(nil)
	if err != nil || len(members) == 0 {
		t.Fatalf("its nodes are %v (%v)", members, err)
	}
	node := members[0]
	tag := func(id string) func() error {
		return func() error { return a.CreateTags([]string{id}, account.Tags{"a": "b"}) }
	}
	const policy = "arn:aws:iam::111122223333:policy/KarpenterControllerPolicy-platform"
	for name, c := range map[string]struct {
		change func() error
		shows  string
	}{
		"a tag of a queue": {func() error { return a.TagQueue(a.ListQueues("")[0], account.Tags{"a": "b"}) }, "AWS::SQS::Queue platform"},
		"a version":        {func() error { return a.UpdateClusterVersion("platform", "1.35") }, "AWS::EKS::Cluster platform"},
		"an attached policy": {func() error {
			return a.DetachRolePolicy("platform-nodes", "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy")
		}, "AWS::IAM::Role platform-nodes"},
		"a target": {func() error {
			return a.RemoveTarget("", "SpotInterruptionRule-platform", "KarpenterInterruptionQueueTarget")
		}, "AWS::Events::Rule SpotInterruptionRule-platform"},
		"an add-on": {func() error { return a.DeleteAddon("platform", "coredns", false) }, "AWS::EKS::Addon platform coredns"},
		"an access entry": {func() error {
			return a.DeleteAccessEntry("platform", "arn:aws:iam::111122223333:role/KarpenterNodeRole-platform")
		}, "AWS::EKS::AccessEntry platform arn:aws:iam::111122223333:role/KarpenterNodeRole-platform"},
		"a tag of an instance":  {tag(node.ID), "AWS::EC2::Instance " + node.ID},
		"a tag of a volume":     {tag(node.VolumeID), "AWS::EC2::Volume " + node.VolumeID},
		"a tag of an interface": {tag(node.NetworkInterfaceID), "AWS::EC2::NetworkInterface " + node.NetworkInterfaceID},
		"a tag of a subnet":     {tag(node.SubnetID), "AWS::EC2::Subnet " + node.SubnetID},
		"a tag of a VPC":        {tag(node.VPCID), "AWS::EC2::VPC " + node.VPCID},
		"a tag of a policy":     {func() error { return a.TagPolicy(policy, account.Tags{"a": "b"}) }, "AWS::IAM::ManagedPolicy " + policy},
		"a document of a policy": {func() error {
			_, err := a.CreatePolicyVersion(policy, allowAll, true)
			return err
		}, "AWS::IAM::ManagedPolicy " + policy},
		"a log group": {func() error { _, err := a.CreateLogGroup("/x", "", nil); return err }, "AWS::Logs::LogGroup /x"},
	} {
		ok(t, c.change())
		after := inventory()
		var shows []string
		for _, key := range slices.Sorted(keysOf(before, after)) {
			if before[key] != after[key] {
				shows = append(shows, key)
			}
		}
		if !slices.Equal(shows, []string{c.shows}) {
			t.Errorf("%s shows in %v, want %s", name, shows, c.shows)
		}
		before = after
	}
}

// TestNamedCalls: calls that name what stands are noted, but for those that only make something of it,
// and those of who stands there too.
func TestNamedCalls(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "existing-karpenter")
	s, err := a.Stand()
	must(t, s, err)
	members, err := a.DescribeInstances(nil)
	must(t, members, err)
	const stranger, own, queue = "arn:aws:iam::111122223333:role/stranger", "arn:aws:iam::111122223333:role/platform-karpenter", "https://sqs.us-west-2.amazonaws.com/111122223333/platform"
	node := "arn:aws:ec2:us-west-2:111122223333:instance/" + members[0].ID
	subnet := "arn:aws:ec2:us-west-2:111122223333:subnet/" + members[0].SubnetID
	a.NoteCall(own, "ec2:TerminateInstances", node)
	a.NoteCall(stranger, "ec2:RunInstances", subnet)
	a.NoteCall(stranger, "delete aws:iam/role:Role", "stranger", "iam/stranger", "platform", "platform-nodes")
	if got := a.NamedCalls(); len(got) > 0 {
		t.Errorf("noted were %+v", got)
	}
	a.NoteCall(stranger, "ec2:TerminateInstances", node)
	a.NoteCall(stranger, "ec2:CreateTags", subnet)
	a.NoteCall(stranger, "ec2:CreateTags", subnet)
	a.NoteCall(account.CallerARN, "delete aws:iam/role:Role", "iam/platform-nodes")
	a.NoteCall(account.CallerARN, "delete aws:eks/addon:Addon", "eks/platform:coredns")
	a.NoteCall(account.CallerARN, "update aws:sqs/queue:Queue", queue)
	want := []account.Named{
		{Principal: stranger, Action: "ec2:TerminateInstances", Thing: "AWS::EC2::Instance " + members[0].ID},
		{Principal: stranger, Action: "ec2:CreateTags", Thing: "AWS::EC2::Subnet " + members[0].SubnetID},
		{Principal: account.CallerARN, Action: "delete aws:eks/addon:Addon", Thing: "AWS::EKS::Addon platform coredns"},
		{Principal: account.CallerARN, Action: "delete aws:iam/role:Role", Thing: "AWS::IAM::Role platform-nodes"},
		{Principal: account.CallerARN, Action: "update aws:sqs/queue:Queue", Thing: "AWS::SQS::Queue platform"},
	}
	if d := cmp.Diff(want, a.NamedCalls()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if plain := open(t, "us-west-2", ""); len(plain.NamedCalls()) > 0 {
		t.Error("calls are noted where nothing stands")
	}
}

// keysOf are the keys of maps, each once.
func keysOf(maps ...map[string]string) func(func(string) bool) {
	all := map[string]bool{}
	for _, m := range maps {
		for key := range m {
			all[key] = true
		}
	}
	return func(yield func(string) bool) {
		for key := range all {
			if !yield(key) {
				return
			}
		}
	}
}
