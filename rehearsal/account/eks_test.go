package account_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

func TestClusterRefuses(t *testing.T) {
	t.Parallel()
	const roleC = "arn:aws:iam::111122223333:role/c-cluster"
	tests := map[string]struct {
		change        func(t *testing.T, a *account.Account, in *account.CreateClusterInput)
		code, message string
	}{
		"a version of the past": {
			func(_ *testing.T, _ *account.Account, in *account.CreateClusterInput) { in.Version = "1.30" },
			"InvalidParameterException", "unsupported Kubernetes version",
		},
		"a version that is none": {
			func(_ *testing.T, _ *account.Account, in *account.CreateClusterInput) { in.Version = "1.3" },
			"InvalidParameterException", "unsupported Kubernetes version",
		},
		"a role that is not there": {
			func(_ *testing.T, _ *account.Account, in *account.CreateClusterInput) { in.RoleARN += "x" },
			"InvalidParameterException", "roleArn, " + roleC + "x, does not exist",
		},
		"a role for another service": {
			func(t *testing.T, a *account.Account, in *account.CreateClusterInput) {
				in.RoleARN = role(t, a, "other", "ec2.amazonaws.com").ARN
			},
			"InvalidParameterException", "Role with arn: arn:aws:iam::111122223333:role/other, could not be assumed because it does not exist or the trusted entity is not correct",
		},
		"one zone": {
			func(_ *testing.T, _ *account.Account, in *account.CreateClusterInput) {
				in.VPC.SubnetIDs = in.VPC.SubnetIDs[:1]
			},
			"InvalidParameterException", "Subnets specified must be in at least two different AZs",
		},
		"a subnet that is not there": {
			func(_ *testing.T, _ *account.Account, in *account.CreateClusterInput) {
				in.VPC.SubnetIDs = append(in.VPC.SubnetIDs, "subnet-1")
			},
			"InvalidParameterException", "The subnet ID 'subnet-1' does not exist (Status Code: 400, Error Code: InvalidSubnetID.NotFound)",
		},
		"a security group that is not there": {
			func(_ *testing.T, _ *account.Account, in *account.CreateClusterInput) {
				in.VPC.SecurityGroupIDs = []string{"sg-1"}
			},
			"InvalidParameterException", "The security group 'sg-1' does not exist (Status Code: 400, Error Code: InvalidGroup.NotFound)",
		},
		"an endpoint for nobody": {
			func(_ *testing.T, _ *account.Account, in *account.CreateClusterInput) {
				in.VPC.EndpointPublicAccess, in.VPC.EndpointPrivateAccess = false, false
			},
			"InvalidParameterException", "Private and public endpoint access cannot be false",
		},
		"a private range": {
			func(_ *testing.T, _ *account.Account, in *account.CreateClusterInput) {
				in.VPC.PublicAccessCIDRs = []string{"203.0.113.7/32", "10.0.0.0/8"}
			},
			"InvalidParameterException", "The following CIDRs are not allowed in publicAccessCidrs: [10.0.0.0/8]",
		},
		"a kind of log EKS does not write": {
			func(_ *testing.T, _ *account.Account, in *account.CreateClusterInput) {
				in.LogTypes = []string{"audit", "kubelet"}
			},
			"InvalidParameterException", "Invalid log types provided: [kubelet]. Allowed are api, audit, authenticator, controllerManager, scheduler",
		},
		"a public service range": {
			func(_ *testing.T, _ *account.Account, in *account.CreateClusterInput) {
				in.ServiceIPv4CIDR = "8.8.0.0/16"
			},
			"InvalidParameterException", "serviceIpv4Cidr 8.8.0.0/16 is not a block of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 between /24 and /12",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, "us-west-2", "")
			in := clusterInput(t, a)
			tc.change(t, a, &in)
			_, err := a.CreateCluster(in)
			wantRefusal(t, err, tc.code, tc.message)
			if got := a.ListClusters(); len(got) > 0 {
				t.Errorf("the refused cluster is there: %v", got)
			}
		})
	}
}

func TestClusterVersionIsOffered(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "no-1.28")
	_, err := a.CreateCluster(clusterInput(t, a))
	wantRefusal(t, err, "InvalidParameterException", "unsupported Kubernetes version")
}

func TestEKSRefuses(t *testing.T) {
	t.Parallel()
	const caller = "arn:aws:iam::111122223333:user/rehearsal"
	tests := map[string]struct {
		do            func(t *testing.T, a *account.Account) error
		code, message string
	}{
		"a second cluster of a name": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateCluster(account.CreateClusterInput{Name: "c"})
				return err
			},
			"ResourceInUseException", "Cluster already exists with name: c",
		},
		"a cluster that is not there": {
			func(_ *testing.T, a *account.Account) error { _, err := a.DescribeCluster("d"); return err },
			"ResourceNotFoundException", "No cluster found for name: d.",
		},
		"to skip a version": {
			func(_ *testing.T, a *account.Account) error { return a.UpdateClusterVersion("c", "1.30") },
			"InvalidParameterException", "Unsupported Kubernetes minor version update from 1.28 to 1.30",
		},
		"to go back to the ConfigMap": {
			func(_ *testing.T, a *account.Account) error {
				return a.UpdateClusterAuthenticationMode("c", account.AuthConfigMap)
			},
			"InvalidParameterException", "Unsupported authentication mode update from API to CONFIG_MAP",
		},
		"to delete a cluster with nodes": {
			func(t *testing.T, a *account.Account) error {
				_, err := a.CreateNodegroup(nodegroupInput(t, a))
				ok(t, err)
				return a.DeleteCluster("c")
			},
			"ResourceInUseException", "Cluster has nodegroups attached",
		},
		"to delete the security group of a cluster": {
			func(_ *testing.T, a *account.Account) error {
				c, err := a.DescribeCluster("c")
				if err != nil {
					return err
				}
				if err := a.DeleteSecurityGroup(c.VPC.ClusterSecurityGroupID); !account.IsCode(err, "DependencyViolation") {
					return err
				}
				return a.DeleteCluster("d")
			},
			"ResourceNotFoundException", "No cluster found for name: d.",
		},
		"the creator's second entry": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateAccessEntry(account.CreateAccessEntryInput{ClusterName: "c", PrincipalARN: caller})
				return err
			},
			"ResourceInUseException", "The specified access entry resource is already in use on this cluster.",
		},
		"the node role's second entry": {
			func(t *testing.T, a *account.Account) error {
				n, err := a.CreateNodegroup(nodegroupInput(t, a))
				must(t, n, err)
				_, err = a.CreateAccessEntry(account.CreateAccessEntryInput{ClusterName: "c", PrincipalARN: n.NodeRoleARN, Type: "EC2_LINUX"})
				return err
			},
			"ResourceInUseException", "The specified access entry resource is already in use on this cluster.",
		},
		"an entry of a role that is not there": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateAccessEntry(account.CreateAccessEntryInput{ClusterName: "c", PrincipalARN: "arn:aws:iam::111122223333:role/x"})
				return err
			},
			"InvalidParameterException", "The specified principalArn is invalid: invalid principal.",
		},
		"groups on a node's entry": {
			func(t *testing.T, a *account.Account) error {
				_, err := a.CreateAccessEntry(account.CreateAccessEntryInput{ClusterName: "c", Type: "EC2_LINUX", KubernetesGroups: []string{"g"}, PrincipalARN: role(t, a, "r", "ec2.amazonaws.com").ARN})
				return err
			},
			"InvalidParameterException", "An access entry of type EC2_LINUX takes neither a username nor kubernetesGroups",
		},
		"a system group": {
			func(t *testing.T, a *account.Account) error {
				_, err := a.CreateAccessEntry(account.CreateAccessEntryInput{ClusterName: "c", KubernetesGroups: []string{"system:masters"}, PrincipalARN: role(t, a, "r", "ec2.amazonaws.com").ARN})
				return err
			},
			"InvalidParameterException", "The kubernetes group name system:masters is invalid, it cannot start with system:",
		},
		"an access policy for nodes": {
			func(t *testing.T, a *account.Account) error {
				n, err := a.CreateNodegroup(nodegroupInput(t, a))
				must(t, n, err)
				_, err = a.AssociateAccessPolicy("c", n.NodeRoleARN, "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", "cluster", nil)
				return err
			},
			"InvalidRequestException", "Access policies cannot be associated with an access entry of type EC2_LINUX",
		},
		"an entry that is not there": {
			func(_ *testing.T, a *account.Account) error { return a.DeleteAccessEntry("c", "arn:x") },
			"ResourceNotFoundException", "The specified principalArn could not be found. You can view your available access entries with 'aws eks list-access-entries'.",
		},
		"an add-on EKS does not have": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateAddon(account.CreateAddonInput{ClusterName: "c", Name: "core-dns"})
				return err
			},
			"InvalidParameterException", "Addon core-dns specified is not supported. (The rehearsal's account has coredns, eks-pod-identity-agent, kube-proxy, vpc-cni)",
		},
		"an add-on of another version": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateAddon(account.CreateAddonInput{ClusterName: "c", Name: "kube-proxy", Version: "v1.35.3-eksbuild.2"})
				return err
			},
			"InvalidParameterException", "Addon version specified is not supported",
		},
		"an add-on twice": {
			func(t *testing.T, a *account.Account) error {
				_, err := a.CreateAddon(account.CreateAddonInput{ClusterName: "c", Name: "coredns"})
				ok(t, err)
				_, err = a.CreateAddon(account.CreateAddonInput{ClusterName: "c", Name: "coredns"})
				return err
			},
			"ResourceInUseException", "Addon already exists.",
		},
		"configuration values that are none": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateAddon(account.CreateAddonInput{ClusterName: "c", Name: "coredns", ConfigurationValues: "[1]"})
				return err
			},
			"InvalidParameterException", "ConfigurationValue provided in request is not supported. It is no JSON or YAML object",
		},
		"a second role for a service account": {
			func(t *testing.T, a *account.Account) error {
				arn := role(t, a, "k", "pods.eks.amazonaws.com").ARN
				p, err := a.CreatePodIdentityAssociation("c", "kube-system", "karpenter", arn, nil)
				must(t, p, err)
				_, err = a.CreatePodIdentityAssociation("c", "kube-system", "karpenter", arn, nil)
				if want := "ResourceInUseException: Association already exists: " + p.ID; err == nil || err.Error() != want {
					t.Errorf("got %v, want %s", err, want)
				}
				_, err = a.CreatePodIdentityAssociation("c", "kube-system", "other", arn+"x", nil)
				return err
			},
			"InvalidParameterException", "Role provided in the request does not exist: arn:aws:iam::111122223333:role/kx",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefusal(t, tc.do(t, withCluster(t, "1.28")), tc.code, tc.message)
		})
	}
}

func TestAccessPolicyMustExist(t *testing.T) {
	t.Parallel()
	a := withCluster(t, "1.28")
	_, err := a.AssociateAccessPolicy("c", account.CallerARN, "arn:aws:eks::aws:cluster-access-policy/AmazonEKSRootPolicy", "cluster", nil)
	if !account.IsCode(err, "InvalidParameterException") || !strings.Contains(err.Error(), "AmazonEKSRootPolicy") {
		t.Errorf("got %v", err)
	}
}

func TestConfigMapClusterHasNoEntries(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	in := clusterInput(t, a)
	in.AuthenticationMode = ""
	c, err := a.CreateCluster(in)
	if must(t, c, err).AuthenticationMode != account.AuthConfigMap {
		t.Errorf("mode = %s", c.AuthenticationMode)
	}
	_, err = a.ListAccessEntries("c")
	wantRefusal(t, err, "InvalidRequestException", "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation.")
}

func TestControlPlaneHook(t *testing.T) {
	t.Parallel()
	plane := func(cluster, _ string) (string, []byte, error) {
		if cluster == "bad" {
			return "", nil, errors.New("no room")
		}
		return "https://127.0.0.1:6443", []byte("pem"), nil
	}
	a, err := account.New(account.Options{Region: "us-west-2", ControlPlane: plane})
	must(t, a, err)
	in := clusterInput(t, a)
	c, err := a.CreateCluster(in)
	if must(t, c, err).Endpoint != "https://127.0.0.1:6443" || c.CertificateAuthority != "cGVt" {
		t.Errorf("cluster = %+v", c)
	}
	in.Name = "bad"
	_, err = a.CreateCluster(in)
	wantRefusal(t, err, "ServerException", "no room")
}

func TestClusterRoundTrip(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	in := clusterInput(t, a)
	in.LogTypes = []string{"audit"}
	c, err := a.CreateCluster(in)
	must(t, c, err)
	if c.Status != "ACTIVE" || !strings.HasSuffix(c.Endpoint, ".gr7.us-west-2.eks.amazonaws.com") || c.VPC.ClusterSecurityGroupID == "" {
		t.Errorf("cluster = %+v", c)
	}
	if d := cmp.Diff([]string{"0.0.0.0/0"}, c.VPC.PublicAccessCIDRs); d != "" {
		t.Errorf("CIDRs (-want +got):\n%s", d)
	}
	own, err := a.DescribeSecurityGroup(c.VPC.ClusterSecurityGroupID)
	if must(t, own, err).Tags["kubernetes.io/cluster/c"] != "owned" {
		t.Errorf("cluster security group = %+v", own)
	}
	entries, err := a.ListAccessEntries("c")
	if d := cmp.Diff([]string{account.CallerARN}, must(t, entries, err)); d != "" {
		t.Errorf("entries (-want +got):\n%s", d)
	}
	policies, err := a.ListAssociatedAccessPolicies("c", account.CallerARN)
	if len(must(t, policies, err)) != 1 || !strings.HasSuffix(policies[0].PolicyARN, "/AmazonEKSClusterAdminPolicy") {
		t.Errorf("the creator's policies = %+v", policies)
	}
	for _, name := range []string{"vpc-cni", "kube-proxy", "eks-pod-identity-agent", "coredns"} {
		d, err := a.CreateAddon(account.CreateAddonInput{ClusterName: "c", Name: name, ConfigurationValues: `{"tolerations":[]}`})
		if must(t, d, err).Status != "ACTIVE" || d.Version == "" {
			t.Errorf("add-on = %+v", d)
		}
	}
	n, err := a.CreateNodegroup(nodegroupInput(t, a))
	if must(t, n, err).ReleaseVersion != "1.28.15-20251120" || n.DiskSize != 20 {
		t.Errorf("node group = %+v", n)
	}
	ok(t, a.TagEKSResource(n.ARN, account.Tags{"k": "v"}))
	if n, err = a.DescribeNodegroup("c", "n"); must(t, n, err).Tags["k"] != "v" {
		t.Errorf("tags = %v", n.Tags)
	}
	e, err := a.DescribeAccessEntry("c", n.NodeRoleARN)
	if must(t, e, err).Type != account.AccessEC2Linux || e.Username != "system:node:{{EC2PrivateDNSName}}" {
		t.Errorf("the node role's entry = %+v", e)
	}
	if r, err := a.GetRole("c-node"); must(t, r, err).ID != e.PrincipalID {
		t.Errorf("the entry is for role %s, the role is %s", e.PrincipalID, r.ID)
	}
	if _, err := a.GetRole("AWSServiceRoleForAmazonEKSNodegroup"); err != nil {
		t.Error(err)
	}
	ok(t, a.DeleteNodegroup("c", "n"))
	ok(t, a.DeleteCluster("c"))
	if d := cmp.Diff([]account.Resource{
		{Type: "AWS::IAM::Role", ID: "c-cluster"}, {Type: "AWS::IAM::Role", ID: "c-node"}, {Type: "AWS::Logs::LogGroup", ID: "/aws/eks/c/cluster"},
	}, a.Leftovers()); d != "" {
		t.Errorf("left over (-want +got):\n%s", d)
	}
	ok(t, a.DeleteLogGroup("/aws/eks/c/cluster"))
	ok(t, a.DeleteRole("c-cluster"))
	ok(t, a.DeleteRole("c-node"))
	wantEmpty(t, a)
}

func TestLogGroupComesBackWhileTheClusterLogs(t *testing.T) {
	t.Parallel()
	a := withCluster(t, "1.28")
	const name = "/aws/eks/c/cluster"
	if got := a.DescribeLogGroups(""); len(got) != 0 {
		t.Fatalf("logs are off and there is %v", got)
	}
	ok(t, a.UpdateClusterLogging("c", []string{"audit"}))
	ok(t, a.PutRetentionPolicy(name, 30))
	_, err := a.CreateLogGroup(name, "", nil)
	wantRefusal(t, err, "ResourceAlreadyExistsException", "The specified log group already exists")
	ok(t, a.DeleteLogGroup(name))
	g, err := a.DescribeLogGroup(name)
	if must(t, g, err).RetentionInDays != 0 {
		t.Errorf("the group that came back = %+v", g)
	}
	ok(t, a.UpdateClusterLogging("c", nil))
	ok(t, a.DeleteLogGroup(name))
	if got := a.DescribeLogGroups(""); len(got) != 0 {
		t.Errorf("logs are off and there is %v", got)
	}
}

func TestClusterSecurityGroupStaysWhileNamed(t *testing.T) {
	t.Parallel()
	a := withCluster(t, "1.28")
	c, err := a.DescribeCluster("c")
	own := must(t, c, err).VPC.ClusterSecurityGroupID
	g := group(t, a, "g")
	_, err = a.AuthorizeSecurityGroupIngress(g.ID, account.RulePorts{Protocol: "-1"}, []account.RulePeer{{GroupID: own}}, "")
	ok(t, err)
	ok(t, a.DeleteCluster("c"))
	if !slices.Contains(a.Leftovers(), account.Resource{Type: "AWS::EC2::SecurityGroup", ID: own}) {
		t.Errorf("left over: %v", a.Leftovers())
	}
}
