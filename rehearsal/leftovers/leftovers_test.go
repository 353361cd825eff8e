package leftovers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/wire"
)

const region = "us-west-1"

// estate is an account on the wire.
type estate struct {
	*testing.T
	account *account.Account
	handler *wire.Handler
	url     string
}

// newEstate is the account of a world, with the cluster that stands in it.
func newEstate(t *testing.T, world string) *estate {
	t.Helper()
	a, err := account.New(account.Options{Region: region, World: world})
	if err == nil {
		_, err = a.Stand()
	}
	if err != nil {
		t.Fatal(err)
	}
	e := &estate{T: t, account: a, handler: wire.New(wire.Options{Account: a})}
	server := httptest.NewServer(e.handler)
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

func (e *estate) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *estate) config(c account.Credentials) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: &e.url, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
		}),
	}
}

// find looks for what the stack of cluster gpu has.
func (e *estate) find() *Report { return e.findOf("gpu", false) }

func (e *estate) findOf(cluster string, existing bool) *Report {
	e.Helper()
	r, err := Find(e.Context(), e.config(e.account.UserCredentials()), cluster, existing)
	e.ok(err)
	return r
}

// remove runs the commands that a report prints.
func (e *estate) remove(r *Report) {
	e.Helper()
	for _, i := range r.Items {
		for _, command := range i.Remove {
			if err := e.run(command); err != nil {
				e.Errorf("%s: %v", command, err)
			}
		}
	}
}

func (e *estate) inventory() map[string]string {
	e.Helper()
	all, err := e.account.Inventory()
	e.ok(err)
	return all
}

// kinds counts the things of a report by their type.
func kinds(r *Report) map[string]int {
	count := map[string]int{}
	for _, i := range r.Items {
		count[i.Type]++
	}
	return count
}

func (e *estate) role(name, service string, tags account.Tags, policies ...string) string {
	e.Helper()
	r, err := e.account.CreateRole(account.CreateRoleInput{
		Name: name, Tags: tags, AssumeRolePolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`,
	})
	e.ok(err)
	for _, p := range policies {
		e.ok(e.account.AttachRolePolicy(name, p))
	}
	return r.ARN
}

const managed = "arn:aws:iam::aws:policy/"

// subnets are the IDs of the default VPC's.
func (e *estate) subnets() []string {
	e.Helper()
	all, err := e.account.DescribeSubnets()
	e.ok(err)
	var ids []string
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	return ids
}

// group makes a security group in the default VPC.
func (e *estate) group(name string, tags account.Tags) string {
	e.Helper()
	vpcs, err := e.account.DescribeVpcs()
	e.ok(err)
	g, err := e.account.CreateSecurityGroup(account.CreateSecurityGroupInput{Name: name, Description: "d", VPCID: vpcs[0].ID, Tags: tags})
	e.ok(err)
	return g.ID
}

// stack makes what the program makes for a cluster, by the names it has there, and what Karpenter
// and EKS make of it.
func (e *estate) stack(cluster string) {
	e.Helper()
	a := e.account
	tags := account.Tags{"eks-gpu-slicing/cluster": cluster}
	_, err := a.CreateLogGroup("/aws/eks/"+cluster+"/cluster", "", tags)
	e.ok(err)
	clusterRole := e.role(cluster+"-cluster-us-west-1", "eks.amazonaws.com", tags, managed+"AmazonEKSClusterPolicy")
	nodeRole := e.role(cluster+"-controller-node-us-west-1", "ec2.amazonaws.com", tags, managed+"AmazonEKSWorkerNodePolicy")
	e.controller(cluster, "cluster-secrets")
	subnets := e.subnets()
	c, err := a.CreateCluster(account.CreateClusterInput{
		Name: cluster, Version: "1.35", RoleARN: clusterRole, AuthenticationMode: account.AuthAPI, LogTypes: []string{"audit"}, Tags: tags,
		VPC: account.ClusterVPC{SubnetIDs: subnets, SecurityGroupIDs: []string{e.group(cluster+"-eksClusterSecurityGroup-1234567", tags)}, EndpointPublicAccess: true},
	})
	e.ok(err)
	key, err := a.CreateKey("Secrets", "", tags)
	e.ok(err)
	e.ok(a.CreateAlias("alias/eks/"+cluster, key.ID))
	lt, err := a.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: cluster + "-controllers", Tags: tags})
	e.ok(err)
	_, err = a.CreateNodegroup(account.Nodegroup{
		ClusterName: cluster, Name: cluster + "-controllers", NodeRoleARN: nodeRole, SubnetIDs: subnets, AMIType: "AL2023_ARM_64_STANDARD", InstanceTypes: []string{"m7g.large"},
		Scaling: account.Scaling{Min: 1, Max: 2, Desired: 2}, LaunchTemplate: &account.LaunchTemplateRef{ID: lt.ID, Version: "1"},
	})
	e.ok(err)
	e.karpenter(cluster, cluster+"-karpenter-node-us-west-1", c.VPC.ClusterSecurityGroupID, nil)
}

// controller makes what the program makes for its Karpenter, outside of the cluster, with further
// policies. It returns the ARNs of the roles of nodes and controller.
func (e *estate) controller(cluster string, policies ...string) (nodes, controller string) {
	e.Helper()
	a, tags := e.account, account.Tags{"eks-gpu-slicing/cluster": cluster}
	nodes = e.role(cluster+"-karpenter-node-us-west-1", "ec2.amazonaws.com", tags, managed+"AmazonEKSWorkerNodePolicy")
	var own []string
	for _, part := range append([]string{"karpenter-node-launch", "karpenter-node-lifecycle", "karpenter-instance-profiles", "karpenter-discovery"}, policies...) {
		p, err := a.CreatePolicy(account.CreatePolicyInput{Name: cluster + "-" + part + "-us-west-1", Tags: tags, Document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ec2:*","Resource":"*"}]}`})
		e.ok(err)
		own = append(own, p.ARN)
	}
	_, err := a.CreatePolicyVersion(own[0], `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ec2:Describe*","Resource":"*"}]}`, true)
	e.ok(err)
	controller = e.role(cluster+"-karpenter-us-west-1", "pods.eks.amazonaws.com", tags, own...)
	q, err := a.CreateQueue(cluster+"-karpenter", nil, tags)
	e.ok(err)
	for _, rule := range []string{"health", "spot-interruption", "rebalance", "state-change", "capacity-reservation"} {
		_, err := a.PutRule(account.EventRule{Name: cluster + "-karpenter-" + rule, EventPattern: `{"source":["x"]}`, Tags: tags})
		e.ok(err)
		e.ok(a.PutTarget("", cluster+"-karpenter-"+rule, account.EventTarget{ID: "karpenter", ARN: q.ARN}))
	}
	return nodes, controller
}

// guest makes what the program makes in a cluster that was there and has no Karpenter, and what its
// Karpenter makes.
func (e *estate) guest(cluster string) {
	e.Helper()
	a, tags := e.account, account.Tags{"eks-gpu-slicing/cluster": cluster}
	nodes, controller := e.controller(cluster)
	_, err := a.CreateAccessEntry(account.CreateAccessEntryInput{ClusterName: cluster, PrincipalARN: nodes, Type: account.AccessEC2Linux, Tags: tags})
	e.ok(err)
	_, err = a.CreatePodIdentityAssociation(cluster, "kube-system", "karpenter", controller, tags)
	e.ok(err)
	_, err = a.CreateAddon(account.CreateAddonInput{ClusterName: cluster, Name: "eks-pod-identity-agent", Tags: tags})
	e.ok(err)
	e.karpenter(cluster, cluster+"-karpenter-node-us-west-1", e.group(cluster+"-karpenter-nodes", tags), tags)
}

// karpenter makes what a Karpenter makes of a class with a role, a security group and tags, and what
// the VPC CNI leaves behind.
func (e *estate) karpenter(cluster, role, group string, class account.Tags) {
	e.Helper()
	a, subnet := e.account, e.subnets()[0]
	tags := account.Tags{"kubernetes.io/cluster/" + cluster: "owned", "eks:eks-cluster-name": cluster, "karpenter.sh/nodepool": "gpu"}
	maps.Copy(tags, class)
	profile := role + "_1"
	_, err := a.CreateInstanceProfile(profile, "/karpenter/us-west-1/"+cluster+"/1/", tags)
	e.ok(err)
	e.ok(a.AddRoleToInstanceProfile(profile, role))
	image, err := a.GetParameter("/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended/image_id")
	e.ok(err)
	no := false
	lt, err := a.CreateLaunchTemplate(account.CreateLaunchTemplateInput{
		Name: "karpenter.k8s.aws/" + role, Tags: tags, Data: account.LaunchTemplateData{
			ImageID: image.Value, InstanceType: "m7i.large", IAMInstanceProfile: profile, SecurityGroupIDs: []string{group},
			BlockDevices: []account.BlockDevice{{DeviceName: "/dev/xvda", VolumeSize: 20}, {DeviceName: "/dev/xvdb", VolumeSize: 50, DeleteOnTermination: &no}},
		},
	})
	e.ok(err)
	launch := account.LaunchInput{Template: &account.LaunchTemplateRef{ID: lt.ID}, SubnetID: subnet, Count: 2, Tags: map[string]account.Tags{"instance": tags, "volume": tags, "network-interface": tags}}
	launched, err := a.RunInstances(launch)
	e.ok(err)
	_, err = a.TerminateInstances(launched[0].ID) // its second volume stays
	e.ok(err)
	leftBehind := account.Tags{"cluster.k8s.amazonaws.com/name": cluster}
	maps.Copy(leftBehind, class)
	_, err = a.CreateNetworkInterface(account.NetworkInterface{
		SubnetID: subnet, SecurityGroupIDs: []string{group}, Description: "aws-K8S-" + launched[0].ID, Tags: leftBehind,
	})
	e.ok(err)
}

// TestFindsEverything: all that a stack makes is found, nothing of a stack of a longer name is, and
// the commands, run one after the other, leave nothing.
func TestFindsEverything(t *testing.T) {
	t.Parallel()
	e := newEstate(t, "")
	if r := e.find(); len(r.Items) != 0 || r.Account != account.ID || r.Region != region {
		t.Fatalf("of an empty account: %+v", r)
	}
	e.stack("gpu-slicing")
	_, err := e.account.CreateLogGroup("/aws/eks/gpu/cluster-of-old", "", nil)
	e.ok(err)
	others := e.account.Leftovers()
	e.stack("gpu")

	r := e.find()
	var order []string
	for _, i := range r.Items {
		if !slices.Contains(order, i.Type) {
			order = append(order, i.Type)
		}
		if i.Why == "" || i.NameOnly || len(i.Remove) == 0 || strings.Contains(strings.Join(i.Remove, " "), "gpu-slicing") {
			t.Errorf("%+v", i)
		}
	}
	want := []string{
		"AWS::EKS::Nodegroup", "AWS::EC2::Instance", "AWS::EC2::NetworkInterface", "AWS::EKS::Cluster", "AWS::EC2::Volume", "AWS::EC2::SecurityGroup",
		"AWS::EC2::LaunchTemplate", "AWS::IAM::InstanceProfile", "AWS::IAM::Role", "AWS::IAM::ManagedPolicy", "AWS::Events::Rule", "AWS::SQS::Queue", "AWS::Logs::LogGroup",
		"AWS::KMS::Alias", "AWS::KMS::Key",
	}
	if d := cmp.Diff(want, order); d != "" {
		t.Errorf("kinds in their order (-want +got):\n%s", d)
	}
	if got := kinds(r)["AWS::EC2::Instance"]; got != 1 {
		t.Errorf("%d instances, want 1: those of the node group go with it", got)
	}
	e.remove(r)
	if d := cmp.Diff(others, e.account.Leftovers()); d != "" {
		t.Errorf("after the commands, beside what another stack has (-want +got):\n%s", d)
	}
	if again := e.find(); len(again.Items) != 0 {
		t.Errorf("after the commands: %+v", again.Items)
	}
}

// TestFindsWhatOutlivesTheCluster: without the cluster, its things are found by their tags and names.
func TestFindsWhatOutlivesTheCluster(t *testing.T) {
	t.Parallel()
	e := newEstate(t, "")
	e.stack("gpu")
	e.ok(e.account.DeleteNodegroup("gpu", "gpu-controllers"))
	e.ok(e.account.DeleteCluster("gpu"))
	count := kinds(e.find())
	want := map[string]int{
		"AWS::EC2::Instance": 1, "AWS::EC2::NetworkInterface": 1, "AWS::EC2::Volume": 2, "AWS::EC2::SecurityGroup": 2, "AWS::EC2::LaunchTemplate": 2,
		"AWS::IAM::InstanceProfile": 1, "AWS::IAM::Role": 4, "AWS::IAM::ManagedPolicy": 5, "AWS::Events::Rule": 5, "AWS::SQS::Queue": 1, "AWS::Logs::LogGroup": 1,
		"AWS::KMS::Alias": 1, "AWS::KMS::Key": 1,
	}
	if d := cmp.Diff(want, count); d != "" {
		t.Errorf("found (-want +got):\n%s", d)
	}
}

// TestKeyWithoutAlias: a key of an up that was killed before it made the alias is found by its tag.
func TestKeyWithoutAlias(t *testing.T) {
	t.Parallel()
	e := newEstate(t, "")
	key := func(tags account.Tags) account.Key {
		k, err := e.account.CreateKey("Secrets", "", tags)
		e.ok(err)
		return k
	}
	own, gone := key(account.Tags{"eks-gpu-slicing/cluster": "gpu"}), key(account.Tags{"eks-gpu-slicing/cluster": "gpu"})
	key(account.Tags{"eks-gpu-slicing/cluster": "gpu-slicing"})
	key(nil)
	e.ok(e.account.ScheduleKeyDeletion(gone.ID, 7))
	r := e.find()
	if len(r.Items) != 1 || r.Items[0].ID != own.ID || r.Items[0].NameOnly {
		t.Fatalf("found %+v, want the key %s alone", r.Items, own.ID)
	}
	e.remove(r)
	if again := e.find(); len(again.Items) != 0 {
		t.Errorf("after the command: %+v", again.Items)
	}
}

// TestNameOnly: what has the name and not the tag is listed, and marked; what has the tag of another
// stack is not listed.
func TestNameOnly(t *testing.T) {
	t.Parallel()
	e := newEstate(t, "")
	e.stack("gpu")
	e.ok(e.account.DeleteLogGroup("/aws/eks/gpu/cluster")) // EKS makes it again
	e.ok(e.account.UntagRole("gpu-karpenter-us-west-1", []string{"eks-gpu-slicing/cluster"}))
	e.ok(e.account.TagQueue("https://sqs.us-west-1.amazonaws.com/111122223333/gpu-karpenter", account.Tags{"eks-gpu-slicing/cluster": "other"}))
	e.ok(e.account.UntagRule("gpu-karpenter-health", []string{"eks-gpu-slicing/cluster"}))
	var marked []string
	for _, i := range e.find().Items {
		if i.NameOnly {
			marked = append(marked, i.ID)
			if i.Why != "name" || len(i.Remove) == 0 {
				t.Errorf("%+v", i)
			}
		}
	}
	want := []string{"gpu-karpenter-us-west-1", "gpu-karpenter-health", "/aws/eks/gpu/cluster"}
	if d := cmp.Diff(want, marked); d != "" {
		t.Errorf("marked (-want +got):\n%s", d)
	}
	if i := slices.IndexFunc(e.find().Items, func(i Item) bool { return i.Type == "AWS::SQS::Queue" }); i >= 0 {
		t.Error("the queue of another stack is listed")
	}
}

// TestOthersTag: what Karpenter's tags, names and paths say is the cluster's is not listed if it has
// the tag of another stack.
func TestOthersTag(t *testing.T) {
	t.Parallel()
	e := newEstate(t, "")
	e.role("mine", "ec2.amazonaws.com", nil)
	e.karpenter("gpu", "mine", e.group("mine", account.Tags{"kubernetes.io/cluster/gpu": "owned", "eks-gpu-slicing/cluster": "other"}), account.Tags{"eks-gpu-slicing/cluster": "other"})
	_, err := e.account.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: "gpu-controllers", Tags: account.Tags{"eks-gpu-slicing/cluster": "other"}})
	e.ok(err)
	if r := e.find(); len(r.Items) > 0 {
		t.Errorf("%+v", r.Items)
	}
}

// TestExistingCluster: of a cluster that was there only the stack's own is listed, all of it, and the
// commands change nothing else; whether the stack says so itself or nobody does.
func TestExistingCluster(t *testing.T) {
	t.Parallel()
	for name, existing := range map[string]bool{"by its setting": true, "without its tag": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEstate(t, "existing-bare")
			_, err := e.account.CreateLogGroup("/aws/eks/platform/cluster", "", nil) // EKS makes it
			e.ok(err)
			e.ok(e.account.Settled())
			e.stack("platform-2")
			others, before := e.account.Leftovers(), e.inventory()
			if r := e.findOf("platform", existing); len(r.Items) > 0 {
				t.Errorf("before the stack: %+v", r.Items)
			}
			e.guest("platform")
			r := e.findOf("platform", existing)
			want := map[string]int{
				"AWS::EKS::PodIdentityAssociation": 1, "AWS::EKS::AccessEntry": 1, "AWS::EKS::Addon": 1,
				"AWS::EC2::Instance": 1, "AWS::EC2::NetworkInterface": 1, "AWS::EC2::Volume": 2, "AWS::EC2::SecurityGroup": 1, "AWS::EC2::LaunchTemplate": 1,
				"AWS::IAM::InstanceProfile": 1, "AWS::IAM::Role": 2, "AWS::IAM::ManagedPolicy": 4, "AWS::Events::Rule": 5, "AWS::SQS::Queue": 1,
			}
			if d := cmp.Diff(want, kinds(r)); d != "" || len(r.Notes) != 2 {
				t.Errorf("with notes %q it lists (-want +got):\n%s", r.Notes, d)
			}
			e.remove(r)
			if d := cmp.Diff(before, e.inventory()); d != "" {
				t.Errorf("the commands change (-before +after):\n%s", d)
			}
			if d := cmp.Diff(others, e.account.Leftovers()); d != "" {
				t.Errorf("the commands leave (-want +got):\n%s", d)
			}
		})
	}
}

// TestHalfDestroyed: with some of it gone, and then the cluster, the rest is still listed.
func TestHalfDestroyed(t *testing.T) {
	t.Parallel()
	e := newEstate(t, "existing-bare")
	e.guest("platform")
	for _, i := range e.findOf("platform", true).Items {
		if strings.HasPrefix(i.Type, "AWS::EKS::") || i.Type == "AWS::SQS::Queue" {
			e.ok(e.run(i.Remove[0]))
		}
	}
	e.ok(e.account.DeleteClusterByHand("platform"))
	want := map[string]int{
		"AWS::EC2::Instance": 1, "AWS::EC2::NetworkInterface": 1, "AWS::EC2::Volume": 2, "AWS::EC2::SecurityGroup": 1, "AWS::EC2::LaunchTemplate": 1,
		"AWS::IAM::InstanceProfile": 1, "AWS::IAM::Role": 2, "AWS::IAM::ManagedPolicy": 4, "AWS::Events::Rule": 5,
	}
	if d := cmp.Diff(want, kinds(e.findOf("platform", true))); d != "" {
		t.Errorf("found (-want +got):\n%s", d)
	}
}

// TestOwnKarpenter: what the Karpenter of a cluster that was there made is its own, also for a pool of
// the stack's; the notes say so.
func TestOwnKarpenter(t *testing.T) {
	t.Parallel()
	e := newEstate(t, "existing-karpenter")
	e.karpenter("platform", "KarpenterNodeRole-platform", e.group("nodes", account.Tags{"kubernetes.io/cluster/platform": "owned"}), nil)
	for _, existing := range []bool{true, false} {
		if r := e.findOf("platform", existing); len(r.Items) > 0 || len(r.Notes) != 2 || !strings.Contains(r.Notes[1], "nodepools") {
			t.Errorf("%+v", r)
		}
	}
}

// TestClusterOfAnotherStack: in a cluster that another stack of the program made nothing is told apart.
func TestClusterOfAnotherStack(t *testing.T) {
	t.Parallel()
	e := newEstate(t, "")
	e.stack("gpu")
	if r := e.findOf("gpu", true); len(r.Items) > 0 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "Another stack made cluster gpu") {
		t.Errorf("%+v", r)
	}
}

// TestReadsOnly: Find gets along with the permissions it names, and with nothing more.
func TestReadsOnly(t *testing.T) {
	t.Parallel()
	e := newEstate(t, "existing-bare")
	e.stack("gpu")
	e.guest("platform")
	reader := func(actions []string) aws.Config {
		t.Helper()
		e.role("reader", "ec2.amazonaws.com", nil)
		p, err := e.account.CreatePolicy(account.CreatePolicyInput{Name: "reader", Document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["` + strings.Join(actions, `","`) + `"],"Resource":"*"}]}`})
		e.ok(err)
		e.ok(e.account.AttachRolePolicy("reader", p.ARN))
		_, err = e.account.CreateInstanceProfile("reader", "", nil)
		e.ok(err)
		e.ok(e.account.AddRoleToInstanceProfile("reader", "reader"))
		image, err := e.account.GetParameter("/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended/image_id")
		e.ok(err)
		out, err := e.account.RunInstances(account.LaunchInput{Count: 1, Data: account.LaunchTemplateData{ImageID: image.Value, InstanceType: "m7i.large", IAMInstanceProfile: "reader"}})
		e.ok(err)
		s, err := e.account.InstanceCredentials(out[0].ID)
		e.ok(err)
		return e.config(s.Credentials)
	}
	cfg := reader(Actions())
	for cluster, existing := range map[string]bool{"gpu": false, "platform": true} {
		r, err := Find(t.Context(), cfg, cluster, existing)
		e.ok(err)
		if d := cmp.Diff(e.findOf(cluster, existing).Items, r.Items); d != "" || len(e.handler.Denied()) > 0 {
			t.Errorf("with the named permissions: %+v (-administrator +reader):\n%s", e.handler.Denied(), d)
		}
	}
	called := map[string]bool{}
	for _, c := range e.handler.Calls() {
		called[c.Service+":"+c.Action] = true
	}
	delete(called, "sts:GetCallerIdentity") // needs no permission
	var got []string
	for action := range called {
		got = append(got, action)
	}
	slices.Sort(got)
	if d := cmp.Diff(Actions(), got); d != "" {
		t.Errorf("what it calls (-named +called):\n%s", d)
	}
}

// TestSaysWhatItCouldNotRead: a part that is denied is named, and the others are listed.
func TestSaysWhatItCouldNotRead(t *testing.T) {
	t.Parallel()
	e := newEstate(t, "")
	e.stack("gpu")
	whole := len(e.find().Items)
	for _, service := range []string{"ec2", "eks", "events", "iam", "kms", "logs", "sqs"} {
		fault, err := e.account.Faults().Install(account.Outage{Service: service, Kind: account.Unavailable})
		e.ok(err)
		r, err := Find(t.Context(), e.config(e.account.UserCredentials()), "gpu", false)
		if err == nil || !strings.Contains(err.Error(), " could not be read: ") || len(r.Items) == 0 || service != "eks" && len(r.Items) >= whole {
			t.Errorf("without %s: %d of %d items, %v", service, len(r.Items), whole, err)
		}
		fault.Lift()
	}
	_, err := e.account.Faults().Install(account.Outage{Service: "sts", Kind: account.Unavailable})
	e.ok(err)
	if _, err := Find(t.Context(), e.config(e.account.UserCredentials()), "gpu", false); err == nil || !strings.Contains(err.Error(), "aws sts get-caller-identity") {
		t.Errorf("without who calls: %v", err)
	}
}

func TestFindRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ cluster, region, text string }{
		"no cluster": {"", region, "pulumi config get clusterName"},
		"no region":  {"gpu", "", "AWS_REGION"},
	} {
		if _, err := Find(t.Context(), aws.Config{Region: tc.region}, tc.cluster, false); err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCommandsAreQuoted(t *testing.T) {
	t.Parallel()
	f := &finder{report: &Report{Region: region}}
	if got, want := f.command("iam", "delete-role", "--role-name", "it's a role"), `aws iam delete-role --region us-west-1 --role-name 'it'\''s a role'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := f.command("ec2", "delete-volume", "--volume-id", "vol-1"), "aws ec2 delete-volume --region us-west-1 --volume-id vol-1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// run does to the account what a printed command does to AWS.
func (e *estate) run(command string) error {
	words := strings.Fields(command)
	flags := map[string]string{}
	at := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "--") })
	for i := at; i+1 < len(words); i += 2 {
		flags[words[i]] = words[i+1]
	}
	if words[0] != "aws" || flags["--region"] != region {
		return fmt.Errorf("is no command for %s", region)
	}
	a := e.account
	switch words[1] + " " + words[2] {
	case "eks wait", "ec2 wait":
		return nil // all is done at once
	case "eks delete-nodegroup":
		return a.DeleteNodegroup(flags["--cluster-name"], flags["--nodegroup-name"])
	case "eks delete-pod-identity-association":
		return a.DeletePodIdentityAssociation(flags["--cluster-name"], flags["--association-id"])
	case "eks delete-access-entry":
		return a.DeleteAccessEntry(flags["--cluster-name"], flags["--principal-arn"])
	case "eks delete-addon":
		return a.DeleteAddon(flags["--cluster-name"], flags["--addon-name"], false)
	case "eks delete-cluster":
		return a.DeleteCluster(flags["--name"])
	case "ec2 terminate-instances":
		_, err := a.TerminateInstances(flags["--instance-ids"])
		return err
	case "ec2 delete-network-interface":
		return a.DeleteNetworkInterface(flags["--network-interface-id"])
	case "ec2 delete-volume":
		return a.DeleteVolume(flags["--volume-id"])
	case "ec2 delete-security-group":
		return a.DeleteSecurityGroup(flags["--group-id"])
	case "ec2 delete-launch-template":
		return a.DeleteLaunchTemplate(flags["--launch-template-id"])
	case "iam remove-role-from-instance-profile":
		return a.RemoveRoleFromInstanceProfile(flags["--instance-profile-name"], flags["--role-name"])
	case "iam delete-instance-profile":
		return a.DeleteInstanceProfile(flags["--instance-profile-name"])
	case "iam detach-role-policy":
		return a.DetachRolePolicy(flags["--role-name"], flags["--policy-arn"])
	case "iam delete-role":
		return a.DeleteRole(flags["--role-name"])
	case "iam delete-policy-version":
		return a.DeletePolicyVersion(flags["--policy-arn"], flags["--version-id"])
	case "iam delete-policy":
		return a.DeletePolicy(flags["--policy-arn"])
	case "events remove-targets":
		return a.RemoveTarget("", flags["--rule"], flags["--ids"])
	case "events delete-rule":
		return a.DeleteRule("", flags["--name"])
	case "sqs delete-queue":
		return a.DeleteQueue(flags["--queue-url"])
	case "kms delete-alias":
		return a.DeleteAlias(flags["--alias-name"])
	case "kms schedule-key-deletion":
		return a.ScheduleKeyDeletion(flags["--key-id"], 7)
	case "logs delete-log-group":
		return a.DeleteLogGroup(flags["--log-group-name"])
	}
	return errors.New("is unknown")
}
