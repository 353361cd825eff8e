package cluster

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

func TestAMIType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		family settings.AMIFamily
		arch   string
		want   string
	}{
		{settings.AMIFamilyAL2, "arm64", "AL2_ARM_64"},
		{settings.AMIFamilyAL2, "amd64", "AL2_x86_64"},
		{settings.AMIFamilyAL2023, "arm64", "AL2023_ARM_64_STANDARD"},
		{settings.AMIFamilyAL2023, "amd64", "AL2023_x86_64_STANDARD"},
	} {
		if got := AMIType(c.family, c.arch); got != c.want {
			t.Errorf("%s on %s: %s, want %s", c.family, c.arch, got, c.want)
		}
	}
}

func TestDaemonSets(t *testing.T) {
	t.Parallel()
	if n := DaemonSets(); n != 3 { // aws-node, kube-proxy, eks-pod-identity-agent
		t.Errorf("%d pods on every node, want 3", n)
	}
}

func TestWorldOpen(t *testing.T) {
	t.Parallel()
	const mend = `pulumi config set --path 'publicAccessCidrs[%s]' "$(curl -s https://checkip.amazonaws.com)/32"`
	most := []string{ // without what is private
		"0.0.0.0/5", "8.0.0.0/7", "11.0.0.0/8", "12.0.0.0/6", "16.0.0.0/4", "32.0.0.0/3", "64.0.0.0/2", "128.0.0.0/3", "160.0.0.0/5", "168.0.0.0/6",
		"172.0.0.0/12", "172.32.0.0/11", "172.64.0.0/10", "172.128.0.0/9", "173.0.0.0/8", "174.0.0.0/7", "176.0.0.0/4", "192.0.0.0/9", "192.128.0.0/11",
		"192.160.0.0/13", "192.169.0.0/16", "192.170.0.0/15", "192.172.0.0/14", "192.176.0.0/12", "192.192.0.0/10", "193.0.0.0/8", "194.0.0.0/7", "196.0.0.0/6",
		"200.0.0.0/5", "208.0.0.0/4",
	}
	for name, tc := range map[string]struct {
		cidrs []string
		mend  string // "" for no warning
	}{
		"nobody":               {nil, ""},
		"some":                 {[]string{"203.0.113.0/24", "10.0.0.0/8"}, ""},
		"all":                  {[]string{"0.0.0.0/0"}, strings.ReplaceAll(mend, "%s", "0")},
		"all beside some":      {[]string{"203.0.113.0/24", "0.0.0.0/0"}, strings.ReplaceAll(mend, "%s", "1")},
		"one half":             {[]string{"0.0.0.0/1"}, ""},
		"the other half":       {[]string{"128.0.0.0/1"}, ""},
		"both halves":          {[]string{"0.0.0.0/1", "128.0.0.0/1"}, "pulumi config rm publicAccessCidrs && " + strings.ReplaceAll(mend, "%s", "0")},
		"halves that overlap":  {[]string{"128.0.0.0/1", "203.0.113.0/24", "64.0.0.0/2", "0.0.0.0/2"}, "pulumi config rm publicAccessCidrs && " + strings.ReplaceAll(mend, "%s", "0")},
		"all that is public":   {most, "pulumi config rm publicAccessCidrs && " + strings.ReplaceAll(mend, "%s", "0")},
		"all public but a /16": {slices.DeleteFunc(slices.Clone(most), func(s string) bool { return s == "192.169.0.0/16" }), ""},
		"all of IPv6":          {[]string{"::/0"}, strings.ReplaceAll(mend, "%s", "0")},
		"halves of IPv6":       {[]string{"2000::/4", "3000::/4"}, "pulumi config rm publicAccessCidrs && " + strings.ReplaceAll(mend, "%s", "0")},
		"some of IPv6":         {[]string{"2001:db8::/32"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := worldOpen(tc.cidrs)
			if tc.mend == "" && len(got) > 0 {
				t.Errorf("warned: %q", got)
			}
			if tc.mend != "" && (len(got) != 1 || !strings.HasSuffix(got[0], "; mend: "+tc.mend)) {
				t.Errorf("got %q, want the mend %q", got, tc.mend)
			}
		})
	}
}

func TestGroupsApart(t *testing.T) {
	t.Parallel()
	for name, theirs := range map[string][]string{"none of its own": nil, "the cluster's among them": {"sg-nodes", "sg-cluster"}} {
		if got := groupsApart("general", "sg-cluster", theirs); got != "" {
			t.Errorf("of a launch template with %s: %s", name, got)
		}
	}
	got := groupsApart("general", "sg-cluster", []string{"sg-nodes", "sg-more"})
	for _, part := range []string{"node group general puts its nodes into sg-nodes, sg-more, and not into sg-cluster",
		"pulumi config set --path 'nodeSecurityGroups[0]' sg-nodes && pulumi config set --path 'nodeSecurityGroups[1]' sg-more"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q lacks %q", got, part)
		}
	}
}

func TestLacksIPv6(t *testing.T) {
	t.Parallel()
	s := &settings.Settings{ClusterName: "platform", Region: "us-west-1"}
	if got := lacksIPv6(s, []eks.GetClusterKubernetesNetworkConfig{{IpFamily: "ipv4"}}); got != "" {
		t.Errorf("of a cluster with IPv4: %s", got)
	}
	const want = "aws eks describe-addon --region us-west-1 --cluster-name platform --addon-name vpc-cni"
	if got := lacksIPv6(s, []eks.GetClusterKubernetesNetworkConfig{{IpFamily: "ipv6"}}); !strings.Contains(got, want) {
		t.Errorf("of a cluster with IPv6: %q, want it to say %q", got, want)
	}
}

// TestKubeconfigCommand: kubectl gets in as the program does.
func TestKubeconfigCommand(t *testing.T) {
	t.Parallel()
	const plain = "aws eks --region us-west-1 update-kubeconfig --name c --alias c"
	for want, credentials := range map[string]settings.Credentials{
		plain:                       {},
		plain + " --profile ml":     {Profile: "ml"},
		plain + " --role-arn arn:r": {RoleARN: "arn:r"},
	} {
		got := make(chan string, 1)
		c := &Cluster{Name: pulumi.String("c").ToStringOutput()}
		c.KubeconfigCommand(&settings.Settings{Region: "us-west-1", Credentials: credentials}).ApplyT(func(v string) string {
			got <- v
			return v
		})
		if text := <-got; text != want {
			t.Errorf("got %q, want %q", text, want)
		}
	}
}

func TestOthersOpen(t *testing.T) {
	t.Parallel()
	s := &settings.Settings{ClusterName: "platform", Region: "us-west-1"}
	for name, vpc := range map[string]eks.GetClusterVpcConfig{
		"private":  {EndpointPrivateAccess: true, PublicAccessCidrs: []string{"0.0.0.0/0"}}, // as EKS leaves them
		"for some": {EndpointPublicAccess: true, PublicAccessCidrs: []string{"203.0.113.0/24"}},
	} {
		if got := othersOpen(s, vpc); got != "" {
			t.Errorf("of an endpoint that is %s: %s", name, got)
		}
	}
	const want = `: aws eks update-cluster-config --region us-west-1 --name platform --resources-vpc-config endpointPrivateAccess=true,publicAccessCidrs="$(curl -s https://checkip.amazonaws.com)/32"`
	for _, cidrs := range [][]string{{"0.0.0.0/0"}, {"0.0.0.0/1", "128.0.0.0/1"}, {"203.0.113.0/24", "::/0"}} {
		if got := othersOpen(s, eks.GetClusterVpcConfig{EndpointPublicAccess: true, PublicAccessCidrs: cidrs}); !strings.HasSuffix(got, want) {
			t.Errorf("of an endpoint for %q: %q, want the mend %q", cidrs, got, want)
		}
	}
}
