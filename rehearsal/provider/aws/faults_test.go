package aws_test

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"eks-gpu-slicing/rehearsal/account"
)

// timed is a stack whose account goes by the clock of the test's bubble.
func timed(t *testing.T) *stack {
	t.Helper()
	a, err := account.New(account.Options{Region: "us-west-2"})
	if err != nil {
		t.Fatal(err)
	}
	return attach(t, a, nil)
}

func (s *stack) install(fault account.Fault) *account.Installed {
	s.t.Helper()
	i, err := s.account.Faults().Install(fault)
	if err != nil {
		s.t.Fatal(err)
	}
	return i
}

// wantWords wants an error of the words; the ID of a request is *.
func wantWords(t *testing.T, err error, words string) {
	t.Helper()
	got := "no error"
	if err != nil {
		got = regexp.MustCompile(`RequestID: [0-9a-f-]{36}`).ReplaceAllString(err.Error(), "RequestID: *")
	}
	if !strings.Contains(got, words) {
		t.Errorf("got  %s\nwant …%s…", got, words)
	}
}

// TestPassingOutage: a call is made up to 25 times, at growing intervals.
func TestPassingOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := timed(t)
		out := s.install(account.Outage{Service: "iam", Action: "CreateRole", Kind: account.Throttling, Calls: 24})
		began := time.Now()
		s.up(roleType, "r", s.roleInputs("r", "ec2.amazonaws.com"))
		if took := time.Since(began); out.Count() != 24 || took < time.Minute || took > 10*time.Minute {
			t.Errorf("refused %d calls within %s", out.Count(), took)
		}
		out = s.install(account.Outage{Service: "iam", Kind: account.Throttling})
		_, err := s.tryUp(roleType, "r2", s.roleInputs("r2", "ec2.amazonaws.com"))
		wantWords(t, err, "creating IAM Role (r2): operation error IAM: CreateRole, exceeded maximum number of attempts, 25, https response error StatusCode: 400, RequestID: *, api error Throttling: Rate exceeded")
		if !account.IsCode(err, "Throttling") || out.Count() != 25 {
			t.Errorf("refused %d calls: %v", out.Count(), err)
		}
	})
}

// TestCancelledOutage: who waits for a service to come back stops when the engine says so.
func TestCancelledOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := timed(t)
		out := s.install(account.Outage{Service: "sqs", Kind: account.Unavailable})
		time.AfterFunc(5*time.Second, func() { _ = s.SignalCancellation(t.Context()) })
		began := time.Now()
		_, err := s.tryUp(queueType, "q", map[string]any{"name": "q"})
		wantWords(t, err, "creating SQS Queue (q): operation error SQS: CreateQueue, request canceled, the engine cancelled the operation")
		if time.Since(began) != 5*time.Second || out.Count() > 10 {
			t.Errorf("it took %s and %d calls", time.Since(began), out.Count())
		}
	})
}

// TestLostAnswers: what has a token is not made twice; what has none is refused the second time, by
// its name.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := timed(t)
		lose := func(service, action string) {
			t.Helper()
			s.install(account.Outage{Service: service, Action: action, Kind: account.InternalError, Calls: 1, AfterDeed: true})
		}
		lose("iam", "CreateRole")
		_, err := s.tryUp(roleType, "r", s.roleInputs("r", "eks.amazonaws.com"))
		wantWords(t, err, "operation error IAM: CreateRole, https response error StatusCode: 409, RequestID: *, EntityAlreadyExists: Role with name r already exists.")
		role := s.up(roleType, "c", s.roleInputs("c", "eks.amazonaws.com"))
		lose("eks", "CreateCluster")
		s.up(clusterType, "c", s.clusterInputs(role))
		lose("ec2", "CreateLaunchTemplate")
		s.up(templateType, "t", templateInputs())
		lose("sqs", "CreateQueue")
		s.up(queueType, "q", map[string]any{"name": "q"})
		count := map[string]int{}
		for _, r := range s.account.Leftovers() {
			count[r.Type]++
		}
		want := map[string]int{"AWS::IAM::Role": 2, "AWS::EKS::Cluster": 1, "AWS::EC2::LaunchTemplate": 1, "AWS::SQS::Queue": 1, "AWS::Logs::LogGroup": 1, "AWS::EC2::SecurityGroup": 1}
		if d := cmp.Diff(want, count); d != "" {
			t.Errorf("what there is (-want +got):\n%s", d)
		}
	})
}

// TestEveryCallMayFail: nothing the provider does goes past the account's faults.
func TestEveryCallMayFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, inputs := whole(t, nil)
		out := s.install(account.Outage{Kind: account.Unavailable})
		const words = "exceeded maximum number of attempts, 25, https response error StatusCode: 50"
		for _, m := range s.made {
			_, err := s.tryUp(m.typ, m.name+"-again", inputs[m])
			wantWords(t, err, words)
			_, err = s.Read(t.Context(), plugin.ReadRequest{
				URN: urn(m.typ, m.name), Name: m.name, Type: tokens.Type(m.typ), ID: m.id, Inputs: m.in, State: m.out,
			})
			wantWords(t, err, words)
			_, err = s.tryUpdate(m, inputs[m], false)
			wantWords(t, err, words)
			wantWords(t, s.delete(m), words)
		}
		for token, args := range map[string]map[string]any{
			"aws:index/getCallerIdentity:getCallerIdentity": {}, "aws:index/getAvailabilityZones:getAvailabilityZones": {},
			"aws:iam/getRoles:getRoles": {}, "aws:eks/getClusters:getClusters": {}, "aws:eks/getClusterVersions:getClusterVersions": {},
			"aws:eks/getCluster:getCluster": {"name": "c"}, "aws:kms/getKey:getKey": {"keyId": "x"}, "aws:sqs/getQueues:getQueues": {}, "aws:sqs/getQueue:getQueue": {"name": "q"},
			"aws:cloudwatch/getLogGroups:getLogGroups": {}, "aws:cloudwatch/getLogGroup:getLogGroup": {"name": "g"}, "aws:ec2/getLaunchTemplate:getLaunchTemplate": {"id": "lt-1"},
			"aws:iam/getSessionContext:getSessionContext": {"arn": "arn:aws:sts::111122223333:assumed-role/c-node/me"},
			"aws:eks/getAccessEntry:getAccessEntry":       {"clusterName": "c", "principalArn": "x"}, "aws:eks/getAddon:getAddon": {"clusterName": "c", "addonName": "x"},
			"aws:eks/getAddonVersion:getAddonVersion": {"addonName": "coredns", "kubernetesVersion": "1.35"},
			"aws:eks/getNodeGroups:getNodeGroups":     {"clusterName": "c"}, "aws:eks/getNodeGroup:getNodeGroup": {"clusterName": "c", "nodeGroupName": "x"}, "aws:ec2/getVpcs:getVpcs": {}, "aws:ec2/getVpc:getVpc": {"default": true},
			"aws:ec2/getSubnets:getSubnets": {}, "aws:ec2/getSubnet:getSubnet": {"id": "subnet-1"},
			"aws:ec2/getInstanceType:getInstanceType":                   {"instanceType": "g4dn.xlarge"},
			"aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": {},
		} {
			_, err := s.invoke(token, args)
			wantWords(t, err, words)
		}
		out.Lift()
		s.destroy()
	})
}

// TestConsistencyGap: terraform-provider-aws waits for roles that are not seen yet.
func TestConsistencyGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := timed(t)
		gap := s.install(account.ConsistencyGap{InIAM: 3 * time.Second, Elsewhere: 20 * time.Second})
		began := time.Now()
		role := s.up(roleType, "cluster", s.roleInputs("c-cluster", "eks.amazonaws.com"))
		s.up("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "cluster-0", map[string]any{"role": "c-cluster", "policyArn": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"})
		if took := time.Since(began); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("the role took %s", took)
		}
		s.up("aws:cloudwatch/logGroup:LogGroup", "logs", map[string]any{"name": "/aws/eks/c/cluster"})
		s.up(clusterType, "c", s.clusterInputs(role))
		if took := time.Since(began); took < 20*time.Second || took > 30*time.Second {
			t.Errorf("the cluster took %s", took)
		}
		node := s.up(roleType, "node", s.roleInputs("c-node", "ec2.amazonaws.com"))
		s.up("aws:eks/accessEntry:AccessEntry", "node", map[string]any{"clusterName": "c", "principalArn": node.str("arn"), "type": "EC2_LINUX"})
		pod := s.up(roleType, "pod", s.roleInputs("c-pod", "pods.eks.amazonaws.com"))
		identity := map[string]any{"clusterName": "c", "namespace": "kube-system", "serviceAccount": "karpenter", "roleArn": pod.str("arn")}
		p := s.up("aws:eks/podIdentityAssociation:PodIdentityAssociation", "karpenter", identity)
		other := s.up(roleType, "other", s.roleInputs("c-other", "pods.eks.amazonaws.com"))
		s.update(p, set(identity, "roleArn", other.str("arn")))
		seen := map[string]bool{}
		for _, r := range s.account.Faults().Refused() {
			seen[r.Action] = true
		}
		want := map[string]bool{"GetRole": true, "CreateCluster": true, "CreateAccessEntry": true, "CreatePodIdentityAssociation": true, "UpdatePodIdentityAssociation": true}
		if d := cmp.Diff(want, seen); d != "" {
			t.Errorf("what was refused for a while (-want +got):\n%s", d)
		}
		gap.Lift()
		s.destroy()
	})
}

// TestRoleThatNeverComes: two minutes of waiting, and EKS's own words.
func TestRoleThatNeverComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := timed(t)
		began := time.Now()
		_, err := s.tryUp(clusterType, "c", set(s.clusterInputs(&made{}), "roleArn", "arn:aws:iam::111122223333:role/none"))
		wantWords(t, err, "creating EKS Cluster (c): operation error EKS: CreateCluster, https response error StatusCode: 400, RequestID: *, InvalidParameterException: roleArn, arn:aws:iam::111122223333:role/none, does not exist")
		if took := time.Since(began); took < 2*time.Minute || took > 3*time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

// TestNodegroupWithoutCapacity: a node group that could not launch exists, and the engine is told so
// with the reason.
func TestNodegroupWithoutCapacity(t *testing.T) {
	t.Parallel()
	s, _ := withCluster(t)
	node := s.up(roleType, "node", s.roleInputs("c-node", "ec2.amazonaws.com"))
	template := s.up(templateType, "controllers", templateInputs())
	s.install(account.Shortage{InstanceType: "m7g.large"})
	_, err := s.tryUp(groupType, "controllers", s.nodegroupInputs(node, template))
	wantWords(t, err, "waiting for EKS Node Group (c:controllers) create: unexpected state 'CREATE_FAILED', wanted target 'ACTIVE'. last error: eks-controllers-")
	wantWords(t, err, "AsgInstanceLaunchFailures: Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have sufficient m7g.large capacity")
	for _, d := range rpcerror.Convert(err).Details() {
		if f, ok := d.(*pulumirpc.ErrorResourceInitFailed); ok && f.Id == "c:controllers" {
			return
		}
	}
	t.Errorf("the engine is not told that the node group exists: %v", err)
}

// TestRoleInProfile: Terraform takes a role out of every instance profile before it deletes it, so a
// profile of Karpenter's does not hold the role; a policy that another attached does.
func TestRoleInProfile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := timed(t)
		node := s.up(roleType, "node", s.roleInputs("c-node", "ec2.amazonaws.com"))
		if _, err := s.account.CreateInstanceProfile("c_1", "", nil); err != nil {
			t.Fatal(err)
		}
		if err := s.account.AddRoleToInstanceProfile("c_1", "c-node"); err != nil {
			t.Fatal(err)
		}
		if err := s.delete(node); err != nil {
			t.Error(err)
		}
		held := s.up(roleType, "held", s.roleInputs("c-held", "ec2.amazonaws.com"))
		if err := s.account.AttachRolePolicy("c-held", "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		wantWords(t, s.delete(held), "deleting IAM Role (c-held): operation error IAM: DeleteRole, https response error StatusCode: 409, RequestID: *, DeleteConflict: Cannot delete entity, must detach all policies first.")
		if took := time.Since(began); took < 2*time.Minute {
			t.Errorf("it gave up after %s", took)
		}
		want := []account.Resource{{Type: "AWS::IAM::Role", ID: "c-held"}, {Type: "AWS::IAM::InstanceProfile", ID: "c_1"}}
		if d := cmp.Diff(want, s.account.Leftovers()); d != "" {
			t.Errorf("left (-want +got):\n%s", d)
		}
	})
}

// TestGroupInUse: a security group's deletion is tried for a quarter of an hour, or for as long as
// the program gives it, while something bears the group.
func TestGroupInUse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit, held, took time.Duration
	}{
		"freed":                {0, 10 * time.Minute, 10 * time.Minute},
		"held":                 {0, time.Hour, 15 * time.Minute},
		"held, with a timeout": {time.Minute, time.Hour, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := timed(t)
				g := s.up("aws:ec2/securityGroup:SecurityGroup", "g", map[string]any{"name": "g"})
				subnets, err := s.account.DescribeSubnets()
				if err != nil {
					t.Fatal(err)
				}
				bears, err := s.account.CreateNetworkInterface(account.NetworkInterface{SubnetID: subnets[0].ID, SecurityGroupIDs: []string{string(g.id)}})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				freed := time.AfterFunc(c.held, func() {
					if err := s.account.DeleteNetworkInterface(bears.ID); err != nil {
						t.Error(err)
					}
				})
				defer freed.Stop()
				_, err = s.Delete(t.Context(), plugin.DeleteRequest{
					URN: urn(g.typ, g.name), Name: g.name, Type: tokens.Type(g.typ), ID: g.id, Inputs: g.in, Outputs: g.out, Timeout: c.limit.Seconds(),
				})
				if c.held < time.Hour {
					if err != nil {
						t.Error(err)
					}
				} else {
					wantWords(t, err, "deleting Security Group ("+string(g.id)+"): operation error EC2: DeleteSecurityGroup, https response error StatusCode: 400, RequestID: *, api error DependencyViolation: resource "+string(g.id)+" has a dependent object")
				}
				if took := time.Since(began); took < c.took || took > c.took+10*time.Second {
					t.Errorf("it took %s, want %s", took, c.took)
				}
			})
		})
	}
}
