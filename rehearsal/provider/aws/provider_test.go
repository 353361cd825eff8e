package aws_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

func TestVersionIsTheProgramsSDKs(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile(filepath.Join("..", "..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, "us-west-2", "", nil)
	info, err := s.GetPluginInfo(t.Context())
	if want := "github.com/pulumi/pulumi-aws/sdk/v6 v" + info.Version.String() + "\n"; err != nil || !strings.Contains(string(mod), want) {
		t.Errorf("the stand-in is of pulumi-aws %v, the program's go.mod requires another: move version() with it", info.Version)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	role := map[string]any{"name": "r", "assumeRolePolicy": trust("eks.amazonaws.com")}
	group := map[string]any{
		"nodeGroupName": "n", "clusterName": "c", "nodeRoleArn": "arn", "subnetIds": []any{"subnet-1"},
		"scalingConfig": map[string]any{"minSize": 1, "maxSize": 1, "desiredSize": 1},
	}
	tests := map[string]struct {
		typ  string
		in   map[string]any
		want []string
	}{
		"a missing input": {
			roleType, map[string]any{"name": "r"},
			[]string{`assumeRolePolicy: Missing required argument. The argument "assume_role_policy" is required, but no definition was found. Examine values at 'x.assumeRolePolicy'.`},
		},
		"a missing input further in": {
			groupType, set(group, "scalingConfig.maxSize", nil),
			[]string{`maxSize: Missing required argument. The argument "max_size" is required, but no definition was found. Examine values at 'x.scalingConfig.maxSize'.`},
		},
		"no JSON": {
			roleType, set(role, "assumeRolePolicy", "{"),
			[]string{`assumeRolePolicy: "assume_role_policy" contains an invalid JSON policy: unexpected end of JSON input. Examine values at 'x.assumeRolePolicy'.`},
		},
		"an AMI type": {
			groupType, set(group, "amiType", "AL3_ARM_64"),
			[]string{`amiType: expected ami_type to be one of ["AL2_x86_64" "AL2_x86_64_GPU" "AL2_ARM_64" "CUSTOM" `},
		},
		"a capacity type": {
			groupType, set(group, "capacityType", "spot"),
			[]string{`capacityType: expected capacity_type to be one of ["ON_DEMAND" "SPOT"], got spot. Examine values at 'x.capacityType'.`},
		},
		"a taint's effect": {
			groupType, set(group, "taints", []any{map[string]any{"key": "k", "effect": "NoSchedule"}}),
			[]string{`effect: expected effect to be one of ["NO_SCHEDULE" "NO_EXECUTE" "PREFER_NO_SCHEDULE"], got NoSchedule. Examine values at 'x.taints[0].effect'.`},
		},
		"a kind of log": {
			clusterType, map[string]any{"name": "c", "roleArn": "a", "vpcConfig": map[string]any{"subnetIds": []any{"s"}}, "enabledClusterLogTypes": []any{"audit", "kubelet"}},
			[]string{`enabledClusterLogTypes: expected enabled_cluster_log_types to be one of ["api" "audit" "authenticator" "controllerManager" "scheduler"], got kubelet. Examine`},
		},
		"an authentication mode": {
			clusterType, map[string]any{"name": "c", "roleArn": "a", "vpcConfig": map[string]any{"subnetIds": []any{"s"}}, "accessConfig": map[string]any{"authenticationMode": "IAM"}},
			[]string{`authenticationMode: expected authentication_mode to be one of ["API" "API_AND_CONFIG_MAP" "CONFIG_MAP"], got IAM. Examine values at 'x.accessConfig.authenticationMode'.`},
		},
		"a retention": {
			"aws:cloudwatch/logGroup:LogGroup", map[string]any{"name": "g", "retentionInDays": 31},
			[]string{`retentionInDays: expected retention_in_days to be one of [0 1 3 5 7 14 30 60`},
		},
		"a rule of nothing": {
			"aws:cloudwatch/eventRule:EventRule", map[string]any{"name": "r"},
			[]string{"eventPattern: Missing required argument."},
		},
		"an input that is not implemented": {
			roleType, set(role, "inlinePolicies", []any{map[string]any{"name": "x"}}),
			[]string{`inlinePolicies: the rehearsal's stand-in for pulumi-aws 6.83.2 does not implement the input "inlinePolicies"; implemented are assumeRolePolicy, `},
		},
		"two at once": {
			groupType, set(set(group, "amiType", "X"), "nodeRoleArn", nil),
			[]string{`amiType: expected`, `nodeRoleArn: Missing`},
		},
		"what is not known yet is fine": {
			groupType, set(set(group, "amiType", unknown{}), "nodeRoleArn", unknown{}), nil,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, "us-west-2", "", nil)
			_, failures := s.check(tc.typ, "x", tc.in, nil)
			if len(failures) != len(tc.want) {
				t.Fatalf("failures %v, want %d", failures, len(tc.want))
			}
			for i, f := range failures {
				if got := string(f.Property) + ": " + f.Reason; !strings.HasPrefix(got, tc.want[i]) {
					t.Errorf("got %s\nwant %s", got, tc.want[i])
				}
			}
		})
	}
}

func TestRefusalsInTerraformsWords(t *testing.T) {
	t.Parallel()
	s, c := withCluster(t)
	tests := []struct {
		typ  string
		in   map[string]any
		want string
		code string
	}{
		{
			clusterType, set(s.clusterInputs(&made{out: resource.PropertyMap{"arn": c.in["roleArn"]}}), "name", "c"),
			"creating EKS Cluster (c): operation error EKS: CreateCluster, https response error StatusCode: 409, RequestID: *, ResourceInUseException: Cluster already exists with name: c",
			"ResourceInUseException",
		},
		{
			roleType, s.roleInputs("c-cluster", "eks.amazonaws.com"),
			"creating IAM Role (c-cluster): operation error IAM: CreateRole, https response error StatusCode: 409, RequestID: *, EntityAlreadyExists: Role with name c-cluster already exists.",
			"EntityAlreadyExists",
		},
		{
			"aws:eks/accessEntry:AccessEntry", map[string]any{"clusterName": "c", "principalArn": account.CallerARN},
			"creating EKS Access Entry (c:" + account.CallerARN + "): operation error EKS: CreateAccessEntry, https response error StatusCode: 409, RequestID: *, ResourceInUseException: The specified access entry resource is already in use on this cluster.",
			"ResourceInUseException",
		},
		{
			"aws:ec2/securityGroup:SecurityGroup", map[string]any{"name": "g", "vpcId": "vpc-1"},
			"creating Security Group (g): operation error EC2: CreateSecurityGroup, https response error StatusCode: 400, RequestID: *, api error InvalidVpcID.NotFound: The vpc ID 'vpc-1' does not exist",
			"InvalidVpcID.NotFound",
		},
		{
			"aws:eks/addon:Addon", map[string]any{"clusterName": "d", "addonName": "coredns"},
			"creating EKS Add-On (d:coredns): operation error EKS: CreateAddon, https response error StatusCode: 404, RequestID: *, ResourceNotFoundException: No cluster found for name: d.",
			"ResourceNotFoundException",
		},
	}
	for _, tc := range tests {
		_, err := s.tryUp(tc.typ, "x", tc.in)
		if !account.IsCode(err, tc.code) {
			t.Errorf("%v is no %s", err, tc.code)
			continue
		}
		before, after, _ := strings.Cut("1 error occurred:\n\t* "+tc.want+"\n\n", "*, ")
		if got := err.Error(); !strings.HasPrefix(got, before) || !strings.HasSuffix(got, ", "+after) {
			t.Errorf("got %s\nwant %s", got, tc.want)
		}
	}
}

// TestHalfMadeResourceIsKept: what is there although its creation failed must
// get into the stack's state.
func TestHalfMadeResourceIsKept(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "no-spot-role", map[string]any{"defaultTags": `{"tags":{"aws:x":"y"}}`})
	_, err := s.tryUp("aws:iam/serviceLinkedRole:ServiceLinkedRole", "spot", map[string]any{"awsServiceName": "spot.amazonaws.com"})
	for _, d := range rpcerror.Convert(err).Details() {
		f, ok := d.(*pulumirpc.ErrorResourceInitFailed)
		if !ok {
			continue
		}
		if !strings.HasSuffix(f.GetId(), "/AWSServiceRoleForEC2Spot") || !strings.Contains(f.GetReasons()[0], "aws: prefixed tag") {
			t.Errorf("detail %v", f)
		}
		return
	}
	t.Errorf("%v says nothing of the role that is there", err)
}

func TestUnknownTokensAreRefused(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	_, err := s.Check(t.Context(), plugin.CheckRequest{URN: urn("aws:s3/bucket:Bucket", "b"), Type: "aws:s3/bucket:Bucket"})
	if err == nil || !strings.Contains(err.Error(), `stand-in for pulumi-aws 6.83.2 does not implement the resource type "aws:s3/bucket:Bucket"`) {
		t.Errorf("an unknown type: %v", err)
	}
	_, err = s.invoke("aws:s3/getBucket:getBucket", nil)
	if err == nil || !strings.Contains(err.Error(), `does not implement the function "aws:s3/getBucket:getBucket"`) {
		t.Errorf("an unknown function: %v", err)
	}
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	configure := func(in map[string]any) error {
		_, err := s.Configure(t.Context(), plugin.ConfigureRequest{Inputs: properties(in)})
		return err
	}
	if err := configure(map[string]any{"region": "us-west-1"}); err == nil || err.Error() != `provider region "us-west-1": the rehearsal's account is in us-west-2 and nowhere else` {
		t.Errorf("another region: %v", err)
	}
	if err := configure(map[string]any{"region": "us-west-2", "defaultTags": "team=platform"}); err == nil || !strings.Contains(err.Error(), `defaultTags is team=platform; it must be {"tags": {KEY: VALUE}}`) {
		t.Errorf("tags that are no JSON: %v", err)
	}
	if err := configure(map[string]any{"region": unknown{}}); err != nil {
		t.Errorf("a region that is not known yet: %v", err)
	}
	res, err := s.CheckConfig(t.Context(), plugin.CheckConfigRequest{News: resource.PropertyMap{}})
	if err != nil || len(res.Failures) != 1 || res.Failures[0].Property != "region" {
		t.Errorf("no region: %v, %v", res.Failures, err)
	}
	d, err := s.DiffConfig(t.Context(), plugin.DiffConfigRequest{OldInputs: properties(map[string]any{"region": "a"}), NewInputs: properties(map[string]any{"region": "b"})})
	if err != nil || len(d.ReplaceKeys) != 1 {
		t.Errorf("a change of region: %+v, %v", d, err)
	}
}

// TestDefaultTags are each provider instance's own, although both work on one
// account.
func TestDefaultTags(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", map[string]any{"defaultTags": `{"tags":{"team":"platform","a":"default"}}`})
	other := attach(t, s.account, nil)
	in := map[string]any{"name": "q", "tags": map[string]any{"a": "own", "team": "platform"}}
	m := s.up(queueType, "q", in)
	plain := other.up(queueType, "plain", map[string]any{"name": "plain"})
	q, err := s.account.GetQueue(m.str("url"))
	if d := cmp.Diff(account.Tags{"team": "platform", "a": "own"}, q.Tags); err != nil || d != "" {
		t.Errorf("tags in the account (-want +got):\n%s%v", d, err)
	}
	if d := cmp.Diff(map[string]string{"a": "own", "team": "platform"}, provider.StringMap(m.out, "tags")); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	if got := provider.StringMap(plain.out, "tagsAll"); len(got) != 0 {
		t.Errorf("the other instance's tags are %v", got)
	}
	again := attach(t, s.account, map[string]any{"defaultTags": `{"tags":{"team":"data"}}`})
	d := again.diff(plain, map[string]any{"name": "plain"})
	if diff := cmp.Diff(map[string]plugin.DiffKind{"tagsAll.team": plugin.DiffAdd}, kinds(d)); diff != "" {
		t.Errorf("new default tags (-want +got):\n%s", diff)
	}
	again.update(plain, map[string]any{"name": "plain"})
	if q, err := s.account.GetQueue(plain.str("url")); err != nil || q.Tags["team"] != "data" {
		t.Errorf("tags in the account %v, %v", q.Tags, err)
	}
	if err := errors.Join(s.delete(m), s.delete(plain)); err != nil {
		t.Error(err)
	}
}

// TestNamesWhatStands: a change that names what stood before the stack is noted, and one that adds to
// the cluster is not.
func TestNamesWhatStands(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "existing-bare", nil)
	if _, err := s.account.Stand(); err != nil {
		t.Fatal(err)
	}
	s.up("aws:eks/addon:Addon", "agent", map[string]any{"clusterName": "platform", "addonName": "eks-pod-identity-agent"})
	if got := s.account.NamedCalls(); len(got) > 0 {
		t.Errorf("of an add-on are noted %+v", got)
	}
	s.up("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "more", map[string]any{"role": "platform-nodes", "policyArn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"})
	want := []account.Named{{Principal: account.CallerARN, Action: "create aws:iam/rolePolicyAttachment:RolePolicyAttachment", Thing: "AWS::IAM::Role platform-nodes"}}
	if diff := cmp.Diff(want, s.account.NamedCalls()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
