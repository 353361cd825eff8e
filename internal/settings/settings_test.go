package settings

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func schema(t *testing.T) *Schema {
	t.Helper()
	text, err := os.ReadFile("../../Pulumi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSchema(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// valid is a config without a problem; changes are over it, and a key of the
// project's needs no namespace.
func valid(changes map[string]string) map[string]string {
	config := map[string]string{"aws:region": "us-west-1", "eks-gpu-slicing:publicAccessCidrs": `["203.0.113.0/24"]`}
	maps.Copy(config, namespaced(changes))
	return config
}

// namespaced gives keys without a namespace the program's.
func namespaced(config map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range config {
		if !strings.Contains(key, ":") {
			key = "eks-gpu-slicing:" + key
		}
		out[key] = value
	}
	return out
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got, problems := Load(schema(t), valid(nil))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	want := &Settings{
		Region: "us-west-1", ClusterName: "gpu-slicing", Version: Version{1, 28}, AMIFamily: AMIFamilyAL2, AMIVersion: "latest",
		PublicAccessCIDRs: []string{"203.0.113.0/24"}, SecretsEncryption: SecretsKeyAWS,
		GPUPools: []GPUPool{standardPool()}, CPULimit: 100,
		ControllerInstanceType: "m7g.large", ControllerMin: 1, ControllerMax: 3, ControllerDesired: 2,
		InstallKarpenter: true, KarpenterDeployment: "kube-system/karpenter",
		KarpenterVersion: "1.14.1", DevicePluginVersion: "0.17.4", DCGMExporterVersion: "4.5.3-4.8.2",
		Tags: map[string]string{ClusterTag: "gpu-slicing"}, AWS: map[string]string{"region": "us-west-1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

// standardPool is the pool of the defaults.
func standardPool() GPUPool {
	return GPUPool{
		Name: "gpu", InstanceTypes: []string{"g4dn.xlarge", "g4dn.2xlarge", "g4dn.4xlarge"}, Slices: 4, Sharing: SharingTimeSlicing, Limit: 16,
		From: GPUPoolKeys{InstanceTypes: "gpuInstanceTypes", Slices: "gpuSlices", Sharing: "gpuSharing", Limit: "gpuLimit"},
	}
}

// TestGPUPools: what pools come of the settings. An entry takes what it leaves out
// from the simple settings.
func TestGPUPools(t *testing.T) {
	t.Parallel()
	pool := func(change func(*GPUPool)) GPUPool {
		p := standardPool()
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		config map[string]string
		want   []GPUPool
	}{
		"mps": {map[string]string{"gpuSharing": "mps", "gpuSlices": "8"},
			[]GPUPool{pool(func(p *GPUPool) { p.Sharing, p.Slices = SharingMPS, 8 })}},
		"none gives whole GPUs": {map[string]string{"gpuSharing": "none", "gpuSlices": "8"},
			[]GPUPool{pool(func(p *GPUPool) { p.Sharing, p.Slices = SharingNone, 1 })}},
		"one slice is not shared": {map[string]string{"gpuSharing": "mps", "gpuSlices": "1"},
			[]GPUPool{pool(func(p *GPUPool) { p.Sharing, p.Slices = SharingNone, 1 })}},
		"a name alone": {map[string]string{"gpuSlices": "8", "gpuPools": `[{"name":"more"}]`},
			[]GPUPool{
				pool(func(p *GPUPool) { p.Slices = 8 }),
				pool(func(p *GPUPool) { p.Name, p.Slices = "more", 8 }),
			}},
		"no pool gpu": {map[string]string{"gpuLimit": "0", "gpuPools": `[{"name":"a","limit":3},{"name":"b","nodeLabel":"k=v"}]`},
			[]GPUPool{
				pool(func(p *GPUPool) { p.Name, p.Limit, p.From.Limit = "a", 3, "gpuPools[0].limit" }),
				pool(func(p *GPUPool) { p.Name, p.InstanceTypes, p.Limit, p.Nodes = "b", nil, 0, NodeLabel{"k", "v"} }),
			}},
		"all of an entry": {map[string]string{"gpuPools": `[{"name":"training","sharing":"none"},
			{"name":"a-2","instanceTypes":["g5.xlarge"],"slices":8,"sharing":"mps","limit":3}]`},
			[]GPUPool{
				standardPool(),
				pool(func(p *GPUPool) {
					p.Name, p.Slices, p.Sharing, p.From.Sharing = "training", 1, SharingNone, "gpuPools[0].sharing"
				}),
				{Name: "a-2", InstanceTypes: []string{"g5.xlarge"}, Slices: 8, Sharing: SharingMPS, Limit: 3, From: GPUPoolKeys{
					InstanceTypes: "gpuPools[1].instanceTypes", Slices: "gpuPools[1].slices", Sharing: "gpuPools[1].sharing", Limit: "gpuPools[1].limit",
				}},
			}},
	} {
		got, problems := Load(schema(t), valid(c.config))
		if err := problems.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got.GPUPools); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDerived(t *testing.T) {
	t.Parallel()
	for version, family := range map[string]AMIFamily{"1.28": AMIFamilyAL2, "1.32": AMIFamilyAL2, "1.33": AMIFamilyAL2023, "1.35": AMIFamilyAL2023} {
		s, problems := Load(schema(t), valid(map[string]string{"kubernetesVersion": version}))
		if err := problems.Err(); err != nil || s.AMIFamily != family {
			t.Errorf("Kubernetes %s: family %s, want %s (%v)", version, s.AMIFamily, family, err)
		}
	}
}

// TestRefused is the table of bad input: what each gets said.
func TestRefused(t *testing.T) {
	t.Parallel()
	cases := []struct {
		key, value string
		want       string // part of what is allowed
		mend       string
	}{
		{"gpuSlices", "0", "from 1 to 48", "pulumi config set gpuSlices 4"},
		{"gpuSlices", "49", "from 1 to 48", "pulumi config set gpuSlices 4"},
		{"gpuSlices", "-1", "from 1 to 48", "pulumi config set gpuSlices 4"},
		{"gpuSlices", "3.5", "whole number", "pulumi config set gpuSlices 4"},
		{"gpuSlices", "four", "whole number", "pulumi config set gpuSlices 4"},
		{"gpuSharing", "mig", "one of time-slicing, mps, none", "pulumi config set gpuSharing time-slicing"},
		{"gpuLimit", "-1", "from 0 to 10000", "pulumi config set gpuLimit 16"},
		{"gpuLimit", "0", "at least 1, or gpuPools", "pulumi config set gpuLimit 16"},
		{"gpuLimit", "10001", "from 0 to 10000", "pulumi config set gpuLimit 16"},
		{"gpuLimit", "1e3", "whole number", "pulumi config set gpuLimit 16"},
		{"gpuLimit", "99999999999999999999", "whole number", "pulumi config set gpuLimit 16"},
		{"gpuLimit", "", "whole number", "pulumi config set gpuLimit 16"},
		{"cpuLimit", "100001", "from 0 to 100000", "pulumi config set cpuLimit 100"},
		{"cpuLimit", "100 vCPUs", "whole number", "pulumi config set cpuLimit 100"},
		{"controllerMin", "0", "from 1 to 450", "pulumi config set controllerMin 1"},
		{"controllerMax", "451", "from 1 to 450", "pulumi config set controllerMax 3"},
		{"controllerMax", "many", "whole number", "pulumi config set controllerMax 3"},
		{"controllerDesired", "-2", "from 1 to 450", "pulumi config set controllerDesired 2"},
		{"cpuLimit", "-4", "from 0 to 100000", "pulumi config set cpuLimit 100"},
		{"gpuInstanceTypes", "[]", "at least one", "pulumi config set --path 'gpuInstanceTypes[0]' g4dn.xlarge"},
		{"gpuInstanceTypes", "g4dn.xlarge", "a list of strings", "pulumi config set --path 'gpuInstanceTypes[0]' VALUE"},
		{"gpuInstanceTypes", `["T4"]`, "an EC2 instance type", "pulumi config set --path 'gpuInstanceTypes[0]' g4dn.xlarge"},
		{"gpuInstanceTypes", `["g4dn.xlarge","g4dn.xlarge"]`, "each type once", "pulumi config rm --path 'gpuInstanceTypes[1]'"},
		{"gpuPools", "training", "a list of pools", "pulumi config rm gpuPools && pulumi config set --path 'gpuPools[0].name' training"},
		{"gpuPools", `["training"]`, "a list of pools", "pulumi config rm gpuPools && pulumi config set --path 'gpuPools[0].name' training"},
		{"gpuPools", `{"name":"training"}`, "a list of pools", "pulumi config rm gpuPools && pulumi config set --path 'gpuPools[0].name' training"},
		{"gpuPools", `[null]`, "1 to 32 small letters", "pulumi config set --path 'gpuPools[0].name' training"},
		{"gpuPools", `[{"name":"a","limit":10001}]`, "from 1 to 10000", "pulumi config set --path 'gpuPools[0].limit' 16"},
		{"gpuPools", `[{"name":"a","sharing":null}]`, "one of time-slicing, mps, none", "pulumi config set --path 'gpuPools[0].sharing' time-slicing"},
		{"gpuPools", `[{}]`, "1 to 32 small letters", "pulumi config set --path 'gpuPools[0].name' training"},
		{"gpuPools", `[{"name":"Training"}]`, "1 to 32 small letters", "pulumi config set --path 'gpuPools[0].name' training"},
		{"gpuPools", `[{"name":"` + strings.Repeat("a", 33) + `"}]`, "1 to 32 small letters", "pulumi config set --path 'gpuPools[0].name' training"},
		{"gpuPools", `[{"name":7}]`, "1 to 32 small letters", "pulumi config set --path 'gpuPools[0].name' training"},
		{"gpuPools", `[{"name":"gpu"}]`, "every stack has pools x86, arm64 and gpu", "pulumi config set --path 'gpuPools[0].name' training"},
		{"gpuPools", `[{"name":"arm64"}]`, "every stack has pools x86, arm64 and gpu", "pulumi config set --path 'gpuPools[0].name' training"},
		{"gpuPools", `[{"name":"a"},{"name":"a"}]`, "gpuPools[0] has this one", "pulumi config set --path 'gpuPools[1].name' a-2"},
		{"gpuPools", `[{"name":"a","slices":49}]`, "from 1 to 48", "pulumi config set --path 'gpuPools[0].slices' 4"},
		{"gpuPools", `[{"name":"a","slices":"8"}]`, "a whole number", "pulumi config set --path 'gpuPools[0].slices' 4"},
		{"gpuPools", `[{"name":"a","slices":2.5}]`, "a whole number", "pulumi config set --path 'gpuPools[0].slices' 4"},
		{"gpuPools", `[{"name":"a","limit":0}]`, "from 1 to 10000", "pulumi config set --path 'gpuPools[0].limit' 16"},
		{"gpuPools", `[{"name":"a","sharing":"mig"}]`, "one of time-slicing, mps, none", "pulumi config set --path 'gpuPools[0].sharing' time-slicing"},
		{"gpuPools", `[{"name":"a","sharing":"none","slices":8}]`, "gpuPools[0].sharing is none, which gives whole GPUs", "pulumi config rm --path 'gpuPools[0].slices'"},
		{"gpuPools", `[{"name":"a","instanceTypes":"g5.xlarge"}]`, "a list of strings", "pulumi config set --path 'gpuPools[0].instanceTypes[0]' VALUE"},
		{"gpuPools", `[{"name":"a","instanceTypes":[]}]`, "at least one", "pulumi config set --path 'gpuPools[0].instanceTypes[0]' g4dn.xlarge"},
		{"gpuPools", `[{"name":"a","instanceTypes":["T4"]}]`, "an EC2 instance type", "pulumi config set --path 'gpuPools[0].instanceTypes[0]' g4dn.xlarge"},
		{"gpuPools", `[{"name":"a","slice":8}]`, "Did you mean slices?", "pulumi config rm --path 'gpuPools[0].slice' && pulumi config set --path 'gpuPools[0].slices' 8"},
		{"gpuPools", `[{"name":"a","colour":"green"}]`, "A pool has name, instanceTypes, slices, sharing, limit", "pulumi config rm --path 'gpuPools[0].colour'"},
		{"gpuPools", `[{"name":"a","nodeLabel":"gpu"}]`, "a node label, KEY=VALUE", "pulumi config set --path 'gpuPools[0].nodeLabel' eks.amazonaws.com/nodegroup=gpu"},
		{"gpuPools", `[{"name":"a","nodeLabel":"k=v","limit":3}]`, "it is about nodes that Karpenter launches, and those of gpuPools[0].nodeLabel are there by other means", "pulumi config rm --path 'gpuPools[0].limit'"},
		{"gpuPools", `[{"name":"a","nodeLabel":"k=v"},{"name":"b","nodeLabel":"k=v"}]`, "the nodes with this one have that of pool a", "pulumi config rm --path 'gpuPools[1].nodeLabel'"},
		{"gpuNodeLabel", "eks.amazonaws.com/nodegroup=", "a node label, KEY=VALUE", "pulumi config set gpuNodeLabel eks.amazonaws.com/nodegroup=gpu"},
		{"gpuNodeLabel", "-a=b", "a node label, KEY=VALUE", "pulumi config set gpuNodeLabel eks.amazonaws.com/nodegroup=gpu"},
		{"installKarpenter", "false", "a cluster that the stack makes has no other Karpenter", "pulumi config set installKarpenter true"},
		{"karpenterDeployment", "karpenter/karpenter", "it is about the Karpenter of an existing cluster", "pulumi config rm karpenterDeployment"},
		{"nodeClass", "default", "it is about the Karpenter of an existing cluster", "pulumi config rm nodeClass"},
		{"nodeSubnets", `["subnet-1"]`, "into an existing cluster", "pulumi config rm nodeSubnets"},
		{"nodeSecurityGroups", `["sg-1"]`, "into an existing cluster", "pulumi config rm nodeSecurityGroups"},
		{"existingCluster", "-a", "what EKS takes", "pulumi config set existingCluster NAME, one of aws eks list-clusters"},
		{"aws:assumeRole", "admin", "a role such as", "pulumi config set --path aws:assumeRole.roleArn arn:aws:iam::111122223333:role/admin"},
		{"aws:assumeRole", `{"roleArn":"arn:x","externalId":"7"}`, "knows no external ID", "pulumi config rm aws:assumeRole && pulumi config set aws:profile PROFILE"},
		{"controllerInstanceType", "large", "an EC2 instance type", "pulumi config set controllerInstanceType m7g.large"},
		{"clusterName", "-gpu", "the first a letter or digit", "pulumi config set clusterName gpu-slicing"},
		{"clusterName", "gpu.slicing", "letters, digits", "pulumi config set clusterName gpu-slicing"},
		{"clusterName", "", "1 to 100", "pulumi config set clusterName gpu-slicing"},
		{"clusterName", strings.Repeat("a", 101), "1 to 100", "pulumi config set clusterName gpu-slicing"},
		{"kubernetesVersion", "1.3", "an unquoted 1.30 arrives as 1.3: quote it", `pulumi config set kubernetesVersion "1.30"`},
		{"kubernetesVersion", "latest", "an EKS version", `pulumi config set kubernetesVersion "1.28"`},
		{"kubernetesVersion", "v1.28", "an EKS version", `pulumi config set kubernetesVersion "1.28"`},
		{"kubernetesVersion", "1.28.4", "an EKS version", `pulumi config set kubernetesVersion "1.28"`},
		{"amiFamily", "bottlerocket", "auto, al2, al2023", "pulumi config set amiFamily auto"},
		{"amiVersion", "20260714", "such as v20260714", "pulumi config set amiVersion latest"},
		{"amiVersion", "v20261314", "such as v20260714", "pulumi config set amiVersion latest"},
		{"publicAccessCidrs", "[]", "at least one CIDR", "pulumi config set --path 'publicAccessCidrs[0]' 203.0.113.7/32"},
		{"publicAccessCidrs", `["203.0.113.7"]`, "an IPv4 CIDR", "pulumi config set --path 'publicAccessCidrs[0]' 203.0.113.7/32"},
		{"publicAccessCidrs", `["203.0.113.0/24","2001:db8::/32"]`, "an IPv4 CIDR", "pulumi config set --path 'publicAccessCidrs[1]' 203.0.113.7/32"},
		{"publicAccessCidrs", `["203.0.113.7/24"]`, "203.0.113.0/24, or 203.0.113.7/32", "pulumi config set --path 'publicAccessCidrs[0]' 203.0.113.0/24"},
		{"publicAccessCidrs", "203.0.113.7/32", "a list of strings", "pulumi config set --path 'publicAccessCidrs[0]' VALUE"},
		{"publicAccessCidrs", `{"office":"203.0.113.7/32"}`, "a list of strings", "pulumi config set --path 'publicAccessCidrs[0]' VALUE"},
		{"publicAccessCidrs", `[203]`, "a list of strings", "pulumi config set --path 'publicAccessCidrs[0]' VALUE"},
		{"publicAccessCidrs", "null", "at least one CIDR", "pulumi config set --path 'publicAccessCidrs[0]' 203.0.113.7/32"},
		{"publicAccessCidrs", `["203.0.113.0/24","203.0.113.0/24"]`, "each once", "pulumi config rm --path 'publicAccessCidrs[1]'"},
		{"publicAccessCidrs", `["10.0.0.0/8"]`, "an address of the Internet", "pulumi config set --path 'publicAccessCidrs[0]' 203.0.113.7/32"},
		{"publicAccessCidrs", cidrs(41), "at most 40", "pulumi config rm --path 'publicAccessCidrs[40]'"},
		{"secretsEncryption", "true", "aws, stack, or the ARN of a KMS key", "pulumi config set secretsEncryption stack"},
		{"secretsEncryption", "arn:aws:kms:us-west-1:111122223333:alias/x", "or the ARN of a KMS key", "pulumi config set secretsEncryption stack"},
		{"secretsEncryption", "arn:aws:kms:us-west-2:111122223333:key/x", "a key in the cluster's region, us-west-1", "pulumi config set secretsEncryption stack"},
		{"karpenterVersion", "v1.14.1", "without a leading v", "pulumi config set karpenterVersion 1.14.1"},
		{"devicePluginVersion", "latest", "a release such as 0.17.4", "pulumi config set devicePluginVersion 0.17.4"},
		{"devicePluginVersion", "0.17.4@sha256:abc", "RELEASE@sha256:", "pulumi config set devicePluginVersion 0.17.4"},
		{"devicePluginVersion", "@sha256:" + strings.Repeat("a", 64), "RELEASE@sha256:", "pulumi config set devicePluginVersion 0.17.4"},
		{"karpenterVersion", "1.14.1@sha256:" + strings.Repeat("a", 64), "a release such as 1.14.1", "pulumi config set karpenterVersion 1.14.1"},
		{"dcgmExporterVersion", "4.5.3-4.8.2:latest", "a release such as 4.5.3-4.8.2", "pulumi config set dcgmExporterVersion 4.5.3-4.8.2"},
		{"gpuMetrics", "on", "true or false", "pulumi config set gpuMetrics false"},
		{"createSpotRole", "yes", "true or false", "pulumi config set createSpotRole false"},
		{"tags", "team=ml", "a map of strings", "pulumi config set --path tags.team platform"},
		{"tags", `{"aws:team":"ml"}`, "does not begin with aws:", `pulumi config rm --path 'tags["aws:team"]'`},
		{"tags", `{"karpenter.sh/nodepool":"x"}`, "Karpenter and EKS do not set", `pulumi config rm --path 'tags["karpenter.sh/nodepool"]'`},
		{"tags", `{"eks-gpu-slicing/cluster":"x"}`, "which the stack sets itself", `pulumi config rm --path 'tags["eks-gpu-slicing/cluster"]'`},
		{"tags", `{"eks-gpu-slicing/secrets-encryption":"x"}`, "which the stack sets itself", `pulumi config rm --path 'tags["eks-gpu-slicing/secrets-encryption"]'`},
		{"tags", `{"team":7}`, "a map of strings", "pulumi config set --path tags.team platform"},
		{"tags", `["team"]`, "a map of strings", "pulumi config set --path tags.team platform"},
		{"tags", `{"":"ml"}`, "a key of 1 to 128", `pulumi config rm --path 'tags[""]'`},
		{"tags", `{"` + strings.Repeat("k", 129) + `":"ml"}`, "a key of 1 to 128", `pulumi config rm --path 'tags["` + strings.Repeat("k", 129) + `"]'`},
		{"tags", `{"team":"` + strings.Repeat("v", 257) + `"}`, "a value of at most 256", `pulumi config rm --path 'tags["team"]'`},
		{"tags", `{"team":"a, b"}`, "what IAM takes", `pulumi config rm --path 'tags["team"]'`},
		{"tags", `{"team!":"ml"}`, "what IAM takes", `pulumi config rm --path 'tags["team!"]'`},
		{"tags", tags(41), "at most 40", `pulumi config rm --path 'tags["k40"]'`},
		{"aws:region", "us-west", "such as us-west-1", "pulumi config set aws:region us-west-1"},
		{"gpuSlice", "8", "Did you mean gpuSlices?", "pulumi config rm gpuSlice && pulumi config set gpuSlices '8'"},
		{"colour", "green", "no such key. There are amiFamily", "pulumi config rm colour"},
	}
	for _, c := range cases {
		t.Run(c.key+"="+c.value, func(t *testing.T) {
			t.Parallel()
			_, problems := Load(schema(t), valid(map[string]string{c.key: c.value}))
			if len(problems) != 1 {
				t.Fatalf("%d problems, want 1: %v", len(problems), problems.Err())
			}
			p := problems[0]
			if key, _, _ := strings.Cut(p.Key, "["); !strings.HasPrefix(key, c.key) {
				t.Errorf("the problem is about %s, want %s", p.Key, c.key)
			}
			if !strings.Contains(p.Want, c.want) {
				t.Errorf("allowed is %q, want it to say %q", p.Want, c.want)
			}
			if p.Mend != c.mend {
				t.Errorf("mended by %q, want %q", p.Mend, c.mend)
			}
		})
	}
}

// cidrs is a list of so many, as JSON.
func cidrs(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"203.0.113.%d/32"`, i))
	}
	return "[" + strings.Join(all, ",") + "]"
}

// tags are so many, as JSON.
func tags(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"k%02d":"v"`, i))
	}
	return "{" + strings.Join(all, ",") + "}"
}

// TestTaken is what looks bad and is not.
func TestTaken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ key, value string }{
		{"gpuPools", "null"}, // what a key without a value is in a stack's file
		{"tags", "null"},
		{"tags", tags(40)},
		{"tags", `{"` + strings.Repeat("ü", 128) + `":"` + strings.Repeat("ü", 256) + `"}`}, // characters, not bytes
		{"tags", `{"team":""}`},
		{"publicAccessCidrs", cidrs(40)},
		{"publicAccessCidrs", `["0.0.0.0/0"]`}, // warned about
		{"gpuLimit", "10000"},
		{"cpuLimit", "0"},
		{"controllerMax", "450"},
	} {
		if _, problems := Load(schema(t), valid(map[string]string{c.key: c.value})); len(problems) > 0 {
			t.Errorf("%s=%s: %v", c.key, c.value, problems.Err())
		}
	}
}

func TestRefusedTogether(t *testing.T) {
	t.Parallel()
	// Settings that are wrong only beside each other.
	for name, c := range map[string]struct {
		config map[string]string
		want   []string
	}{
		"AL2 on 1.33":   {map[string]string{"kubernetesVersion": "1.33", "amiFamily": "al2"}, []string{"amiFamily"}},
		"desired below": {map[string]string{"controllerMin": "2", "controllerDesired": "1"}, []string{"controllerDesired"}},
		"desired above": {map[string]string{"controllerDesired": "4"}, []string{"controllerDesired"}},
		"min above max": {map[string]string{"controllerMin": "3", "controllerMax": "2", "controllerDesired": "3"}, []string{"controllerMin", "controllerDesired"}},
		"a pool's slices where the stack shares none": {map[string]string{"gpuSharing": "none", "gpuPools": `[{"name":"a","slices":8}]`}, []string{"gpuPools[0].slices"}},
		"pools without a limit":                       {map[string]string{"gpuLimit": "0", "gpuPools": `[{"name":"a"},{"name":"b","limit":0}]`}, []string{"gpuPools[0].limit", "gpuPools[1].limit"}},
		"a pool with five problems": {map[string]string{"gpuPools": `[{"name":"GPU","slices":0,"sharing":"all","limit":-1,"size":1}]`},
			[]string{"gpuPools[0].name", "gpuPools[0].slices", "gpuPools[0].sharing", "gpuPools[0].limit", "gpuPools[0].size"}},
		"several at once": {map[string]string{"gpuSlices": "0", "aws:region": "", "amiVersion": "x", "typo": "1"}, []string{"aws:region", "amiVersion", "gpuSlices", "typo"}},
	} {
		_, problems := Load(schema(t), valid(c.config))
		var keys []string
		for _, p := range problems {
			keys = append(keys, p.Key)
		}
		if diff := cmp.Diff(c.want, keys); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, p := range problems {
			if !strings.Contains(problems.Error(), "mend: "+p.Mend) {
				t.Errorf("%s: the report leaves out %q", name, p.Mend)
			}
		}
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	short := &Settings{ClusterName: "gpu"}
	if got := short.Name("controllers", 63); got != "gpu-controllers" {
		t.Errorf("short name: %s", got)
	}
	seen := map[string]bool{}
	for _, cluster := range []string{strings.Repeat("a", 99) + "x", strings.Repeat("a", 99) + "y"} {
		name := (&Settings{ClusterName: cluster}).Name("karpenter-node-ap-southeast-1", 64)
		if len(name) != 64 || !strings.HasSuffix(name, "-karpenter-node-ap-southeast-1") {
			t.Errorf("long name: %s, %d characters", name, len(name))
		}
		seen[name] = true
	}
	if len(seen) != 2 {
		t.Errorf("two clusters share a name: %v", maps.Keys(seen))
	}
}

func TestSchemaDescribesEverything(t *testing.T) {
	t.Parallel()
	if _, err := ParseSchema([]byte("config: [")); err == nil {
		t.Error("broken YAML was read")
	}
	s := schema(t)
	if s.Namespace != "eks-gpu-slicing" || len(s.Defaults) < 15 {
		t.Errorf("read %q with %d keys", s.Namespace, len(s.Defaults))
	}
}
