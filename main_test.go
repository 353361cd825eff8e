package main

import (
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"eks-gpu-slicing/internal/settings"
)

// stackConfig is a stack file's config as the engine hands it to the program,
// with the defaults of Pulumi.yaml and the changes given.
func stackConfig(t *testing.T, stack string, changes map[string]string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("Pulumi." + stack + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Config map[string]any }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	schema, err := settings.ParseSchema(project)
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]string{}
	for key, value := range schema.Defaults {
		config["eks-gpu-slicing:"+key] = value
	}
	for key, value := range file.Config {
		if s, ok := value.(string); ok {
			config[key] = s
			continue
		}
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		config[key] = string(encoded)
	}
	if stack == "prod" { // left for the user to set
		config["eks-gpu-slicing:publicAccessCidrs"] = `["203.0.113.7/32"]`
	}
	maps.Copy(config, changes)
	return config
}

const (
	eksCluster  = "eks:index:Cluster::cluster"
	nodeGroup   = "aws:eks/nodeGroup:NodeGroup::cluster-controllers"
	coreDNS     = "aws:eks/addon:Addon::cluster-coredns"
	cni         = "aws:eks/addon:Addon::cluster-vpc-cni"
	kubeProxy   = "aws:eks/addon:Addon::cluster-kube-proxy"
	agent       = "aws:eks/addon:Addon::cluster-eks-pod-identity-agent"
	logGroup    = "aws:cloudwatch/logGroup:LogGroup::cluster-logs"
	clusterRole = "aws:iam/rolePolicyAttachment:RolePolicyAttachment::cluster-role-0"
	crdChart    = "kubernetes:helm.sh/v3:Release::karpenter-crd"
	chart       = "kubernetes:helm.sh/v3:Release::karpenter"
	cpuClass    = "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass::pools-class-default"
	gpuClass    = "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass::pools-class-gpu"
	x86Pool     = "kubernetes:karpenter.sh/v1:NodePool::pools-x86"
	arm64Pool   = "kubernetes:karpenter.sh/v1:NodePool::pools-arm64"
	gpuPool     = "kubernetes:karpenter.sh/v1:NodePool::pools-gpu"
	overlay     = "kubernetes:karpenter.sh/v1alpha1:NodeOverlay::gpu-gpu-1-per-node"
	plugin      = "kubernetes:apps/v1:DaemonSet::gpu-plugin"
	pluginConf  = "kubernetes:core/v1:ConfigMap::gpu-plugin"
	queue       = "aws:sqs/queue:Queue::karpenter-interruptions"
	nodeEntry   = "aws:eks/accessEntry:AccessEntry::karpenter-node"
	identity    = "aws:eks/podIdentityAssociation:PodIdentityAssociation::karpenter-controller"
)

// TestOrder holds the order of creation, whose reverse is the order of
// destruction: each rule is a thing that must wait, for what, and why.
func TestOrder(t *testing.T) {
	t.Parallel()
	r, err := plan(t, plainWorld(), stackConfig(t, "dev", nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []struct {
		why   string
		who   []string
		needs []string
	}{
		{"the caller's access comes with the cluster", r.ofType("kubernetes:"), []string{eksCluster}},
		{"EKS would make a log group that nobody deletes", []string{eksCluster}, []string{logGroup}},
		{"EKS must still have its permissions when it deletes", []string{eksCluster}, []string{clusterRole}},
		{"a CNI that goes first leaves network interfaces", []string{nodeGroup}, []string{cni, kubeProxy}},
		{"a node that loses its access cannot be drained", []string{nodeGroup}, []string{"aws:eks/accessEntry:AccessEntry::cluster-controller-node"}},
		{"CoreDNS and the charts need a node to run on", []string{coreDNS, crdChart, chart}, []string{nodeGroup}},
		{"the controller watches its CRDs", []string{chart}, []string{crdChart}},
		{"the controller needs its permissions and its queue while there are nodes", []string{chart},
			append(append(r.ofType("aws:iam/rolePolicyAttachment:RolePolicyAttachment::karpenter"), r.ofType("aws:cloudwatch/event")...),
				agent, identity, nodeEntry, queue, "aws:sqs/queuePolicy:QueuePolicy::karpenter-interruptions")},
		{"classes need the controller that finalises them", []string{cpuClass, gpuClass}, []string{chart}},
		{"classes name the group that holds a destroy until the last instance is gone", []string{cpuClass, gpuClass}, []string{nodesBear}},
		{"Karpenter must be there to end that instance", []string{nodesBear}, []string{chart, crdChart}},
		{"pools need charts and their class", []string{x86Pool, arm64Pool}, []string{chart, crdChart, cpuClass}},
		{"pools drain at once only if all of them wait for the same", []string{x86Pool, arm64Pool}, []string{overlay, plugin}},
		{"no GPU node may be planned before its slices are known", []string{gpuPool}, []string{chart, crdChart, gpuClass, overlay, plugin}},
		{"Karpenter must know the new number first", []string{plugin}, []string{overlay, pluginConf}},
	} {
		if len(rule.who) == 0 || len(rule.needs) == 0 {
			t.Errorf("%s: the rule is about nothing", rule.why)
		}
		for _, who := range rule.who {
			if _, ok := r.resources[who]; !ok {
				t.Errorf("%s: no %s in the plan", rule.why, who)
			}
			needs := r.needs(who)
			for _, need := range rule.needs {
				if _, ok := r.resources[need]; !ok {
					t.Errorf("%s: no %s in the plan", rule.why, need)
				}
				if !needs[need] {
					t.Errorf("%s: %s does not wait for %s", rule.why, who, need)
				}
			}
		}
	}
	// And nothing else may lengthen the longest chain.
	early := append(r.ofType("aws:iam/"), r.ofType("aws:cloudwatch/")...)
	early = append(early, r.ofType("aws:sqs/")...)
	for _, who := range early {
		if r.needs(who)[eksCluster] {
			t.Errorf("%s waits for the cluster", who)
		}
	}
	// The engine destroys what has as many resources before it in one step.
	depth := r.depth(gpuPool)
	for _, who := range r.ofType("kubernetes:karpenter.sh/v1:NodePool") {
		if d := r.depth(who); d != depth {
			t.Errorf("%s is in layer %d, %s in layer %d: the one drains after the other", who, d, gpuPool, depth)
		}
	}
}

// nodesBear is the security group that all of Karpenter's nodes bear.
const nodesBear = "aws:ec2/securityGroup:SecurityGroup::pools-nodes"

// guard is what a destroy deletes first.
const guard = "kubernetes:core/v1:ConfigMap::pools-guard"

// TestGuard: where API servers have admission policies, a destroy deletes nothing
// before the guard is gone, which comes after all else. A stack that uses the Karpenter
// of others has none.
func TestGuard(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		world   *world
		config  map[string]string
		guarded bool
	}{
		"dev, on 1.28":            {plainWorld(), stackConfig(t, "dev", nil), false},
		"1.34":                    {plainWorld(), stackConfig(t, "dev", map[string]string{"eks-gpu-slicing:kubernetesVersion": "1.34"}), true},
		"1.34, with all there is": {plainWorld(), stackConfig(t, "prod", map[string]string{"eks-gpu-slicing:kubernetesVersion": "1.34", "eks-gpu-slicing:publicAccessCidrs": `["203.0.113.7/32"]`, "eks-gpu-slicing:gpuMetrics": "true", "eks-gpu-slicing:gpuSharing": "mps", "eks-gpu-slicing:secretsEncryption": "stack", "eks-gpu-slicing:createSpotRole": "true"}), true},
		"several pools":           {plainWorld(), poolsConfig(t), false},
		"a cluster that is there": {existingWorld(), existingConfig(t, installs), true},
		"Karpenter of others":     {existingWorld(), existingConfig(t, nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := plan(t, c.world, c.config)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := r.resources[guard]; ok != c.guarded {
				t.Fatalf("a guard: %v, want %v", ok, c.guarded)
			}
			if !c.guarded {
				return
			}
			needs := r.needs(guard)
			for _, k := range made(r) {
				if k != guard && !needs[k] {
					t.Errorf("a destroy deletes %s before the guard", k)
				}
			}
		})
	}
}

// TestOrderOfPools: what holds for the pool gpu holds for each pool of GPUs.
func TestOrderOfPools(t *testing.T) {
	t.Parallel()
	r, err := plan(t, plainWorld(), poolsConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	slicing := append(r.ofType("kubernetes:karpenter.sh/v1alpha1:NodeOverlay"), r.ofType("kubernetes:apps/v1:DaemonSet")...)
	pools := r.ofType("kubernetes:karpenter.sh/v1:NodePool")
	if len(slicing) != 3+2+5 || len(pools) != 5 {
		t.Fatalf("%d resources of slicing and %d pools: %v %v", len(slicing), len(pools), slicing, pools)
	}
	for _, pool := range pools {
		needs := r.needs(pool)
		for _, one := range slicing {
			if !needs[one] {
				t.Errorf("%s does not wait for %s", pool, one)
			}
		}
		if r.depth(pool) != r.depth(gpuPool) {
			t.Errorf("%s drains in another step than %s", pool, gpuPool)
		}
	}
	for _, one := range []string{"plugin", "mps"} {
		needs := r.needs("kubernetes:apps/v1:DaemonSet::gpu-" + one + "-notebooks")
		for _, overlay := range []string{"1", "4"} {
			if !needs["kubernetes:karpenter.sh/v1alpha1:NodeOverlay::gpu-notebooks-"+overlay+"-per-node"] {
				t.Errorf("Karpenter need not know of %s GPUs a node before %s of notebooks", overlay, one)
			}
		}
	}
}

// TestMetadataService: no pod reaches the credentials of its node. One hop ends at
// the host, and a token is asked for with a PUT that is bound by it.
func TestMetadataService(t *testing.T) {
	t.Parallel()
	r, err := plan(t, plainWorld(), poolsConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	templates := r.ofType("aws:ec2/launchTemplate:LaunchTemplate")
	classes := r.ofType("kubernetes:karpenter.k8s.aws/v1:EC2NodeClass")
	if len(templates) != 1 || len(classes) != 2 {
		t.Fatalf("launch templates %v and node classes %v", templates, classes)
	}
	for _, k := range append(templates, classes...) {
		in := r.resources[k].inputs.Mappable()
		options := at[map[string]any](in, "metadataOptions")
		if options == nil {
			options = at[map[string]any](in, "spec", "metadataOptions")
		}
		if hops := options["httpPutResponseHopLimit"]; hops != 1.0 || options["httpTokens"] != "required" {
			t.Errorf("%s: %v hops, tokens %v", k, hops, options["httpTokens"])
		}
	}
	for _, group := range r.ofType("aws:eks/nodeGroup:NodeGroup") { // EKS's own template allows two hops
		if !r.needs(group)[templates[0]] || !r.resources[group].inputs["launchTemplate"].IsObject() {
			t.Errorf("%s is not made of %s", group, templates[0])
		}
	}
}

// TestProviders: every resource names the stack's own provider, the component
// included, so that none lands elsewhere.
func TestProviders(t *testing.T) {
	t.Parallel()
	r, err := plan(t, plainWorld(), stackConfig(t, "dev", nil))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"aws": "::pulumi:providers:aws::aws::", "kubernetes": "$pulumi:providers:kubernetes::cluster::"}
	for k, one := range r.resources {
		pkg, _, _ := strings.Cut(one.typ, ":")
		if marker := want[pkg]; marker != "" && one.name != eksChild && !strings.Contains(one.provider, marker) {
			t.Errorf("%s has provider %q, want one with %q", k, one.provider, marker)
		}
	}
}

// ours are the tags of a cluster that the dev stack has made.
var ours = map[string]string{"eks-gpu-slicing/cluster": "gpu-slicing"}

// TestProblems: what AWS's answers rule out, each with the command that mends
// it, and nothing registered but the provider that asked.
func TestProblems(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		world  func(*world)
		config map[string]string
		want   []string
	}{
		"no default VPC": {func(w *world) { w.vpcs = nil }, nil,
			[]string{"default VPC of us-west-1", "aws ec2 create-default-vpc --region us-west-1"}},
		"one zone": {func(w *world) { delete(w.subnets, "subnet-placeholder2") }, nil,
			[]string{"at least 2 zones", "create-default-subnet"}},
		"a zone EKS refuses": {func(w *world) {
			w.subnets["subnet-placeholder2"] = subnet{"b", "usw1-az2", true, ""}
			w.zoneIDs = append(w.zoneIDs, "usw1-az2")
		}, nil,
			[]string{"subnet-placeholder2 in b: a zone EKS refuses, usw1-az2"}},
		"a Local Zone": {func(w *world) { w.subnets["subnet-placeholder2"] = subnet{"lax", "usw2-lax1-az1", true, ""} }, nil,
			[]string{"subnet-placeholder2 in lax: a Local or Wavelength Zone"}},
		"a private subnet": {func(w *world) { w.subnets["subnet-placeholder2"] = subnet{"b", "az3", false, ""} }, nil,
			[]string{"assigns no public addresses"}},
		"1.28 no longer offered": {func(w *world) { delete(w.versions, "1.28") }, nil,
			[]string{"kubernetesVersion", "1.34, 1.35 in standard support", `pulumi config set kubernetesVersion "1.35"`}},
		"unsupported is not offered": {func(w *world) { w.versions["1.28"] = "UNSUPPORTED" }, nil,
			[]string{`pulumi config set kubernetesVersion "1.35"`}},
		"AWS moved the cluster on": {func(w *world) { w.clusters["gpu-slicing"] = standing{version: "1.29", tags: ours} }, nil,
			[]string{"at least 1.29", `pulumi config set kubernetesVersion "1.29"`}},
		"a jump of two versions": {func(w *world) { w.clusters["gpu-slicing"] = standing{version: "1.28", tags: ours} }, map[string]string{"kubernetesVersion": "1.30"},
			[]string{"1.29 next, since cluster gpu-slicing runs 1.28", `pulumi config set kubernetesVersion "1.29" && pulumi up`}},
		"a downgrade": {func(w *world) { w.clusters["gpu-slicing"] = standing{version: "1.34", tags: ours} }, map[string]string{"kubernetesVersion": "1.33"},
			[]string{"at least 1.34", "EKS never goes back", `pulumi config set kubernetesVersion "1.34"`}},
		"the next version": {func(w *world) { w.clusters["gpu-slicing"] = standing{version: "1.28", tags: ours} }, map[string]string{"kubernetesVersion": "1.29"}, nil},
		"the next version is not offered": {func(w *world) { w.clusters["gpu-slicing"] = standing{version: "1.35", tags: ours} }, map[string]string{"kubernetesVersion": "1.36"},
			[]string{"1 problem", `kubernetesVersion is "1.36": a version in which EKS creates new clusters: 1.34, 1.35`, `pulumi config set kubernetesVersion "1.35"`}},
		"a cluster of others": {func(w *world) { w.clusters["gpu-slicing"] = standing{version: "1.28"} }, nil,
			[]string{"1 problem", "made by others: it has no tag eks-gpu-slicing/cluster", "pulumi config set existingCluster gpu-slicing"}},
		"a queue of others": {func(w *world) { w.queues = map[string]map[string]any{"gpu-slicing-karpenter": {}} }, nil,
			[]string{`the interruption queue is "gpu-slicing-karpenter": a name that no other queue has`, "aws sqs delete-queue --region us-west-1 --queue-url https://sqs/gpu-slicing-karpenter"}},
		"the stack's queue, and one of another name": {func(w *world) {
			w.queues = map[string]map[string]any{"gpu-slicing-karpenter": {"eks-gpu-slicing/cluster": "gpu-slicing"}, "gpu-slicing-karpenter-2": {}}
		}, nil, nil},
		"a log group that EKS has left": {func(w *world) { w.logs = map[string]map[string]any{"/aws/eks/gpu-slicing/cluster": {}} }, nil,
			[]string{"1 problem", `the log group of the cluster is "/aws/eks/gpu-slicing/cluster": a name that no log group has yet`, "aws logs delete-log-group --region us-west-1 --log-group-name /aws/eks/gpu-slicing/cluster"}},
		"the stack's log group, and one of another name": {func(w *world) {
			w.logs = map[string]map[string]any{"/aws/eks/gpu-slicing/cluster": {"eks-gpu-slicing/cluster": "gpu-slicing"}, "/aws/eks/gpu-slicing/cluster-2": {}}
		}, nil, nil},
		"a log group without the tag, of a cluster that stands": {func(w *world) {
			w.logs = map[string]map[string]any{"/aws/eks/gpu-slicing/cluster": {}}
			w.clusters["gpu-slicing"] = standing{version: "1.28", tags: ours}
		}, nil, nil},
		"a Karpenter without overlays": {nil, map[string]string{"karpenterVersion": "1.6.3"},
			[]string{`karpenterVersion is "1.6.3": Karpenter 1.7 or later`, "pulumi config set karpenterVersion RELEASE"}},
		"a Karpenter that is too old": {func(w *world) { w.versions["1.36"] = "STANDARD_SUPPORT" }, map[string]string{"karpenterVersion": "1.12.0", "kubernetesVersion": "1.36"},
			[]string{"a release for Kubernetes 1.36; this one is for 1.26 to 1.35"}},
		"a Karpenter that is too new to know": {func(w *world) { w.versions["1.37"] = "STANDARD_SUPPORT" }, map[string]string{"karpenterVersion": "1.15.0", "kubernetesVersion": "1.37"}, nil},
		"a secrets key that is not there": {nil, map[string]string{"secretsEncryption": secretsKey},
			[]string{"1 problem", secretsKey + `": a KMS key that you may read`, "couldn't find resource", "aws kms describe-key --region us-west-1 --key-id " + secretsKey + " must work"}},
		"a secrets key that is disabled": {func(w *world) { w.keys = map[string]string{secretsKey: "Disabled"} }, map[string]string{"secretsEncryption": secretsKey},
			[]string{"a key that is enabled", "aws kms enable-key --region us-west-1 --key-id " + secretsKey}},
		"a secrets key that waits for its deletion": {func(w *world) { w.keys = map[string]string{secretsKey: "PendingDeletion"} }, map[string]string{"secretsEncryption": secretsKey},
			[]string{"this one is deleted at 2026-12-24", "aws kms cancel-key-deletion --region us-west-1 --key-id " + secretsKey}},
		"a secrets key that signs": {func(w *world) { w.keys = map[string]string{secretsKey: "asymmetric"} }, map[string]string{"secretsEncryption": secretsKey},
			[]string{"this one is RSA_2048 for SIGN_VERIFY", "pulumi config set secretsEncryption stack"}},
		"the secrets key is taken away": {func(w *world) {
			w.clusters["gpu-slicing"] = standing{version: "1.28", tags: map[string]string{"eks-gpu-slicing/cluster": "gpu-slicing", "eks-gpu-slicing/secrets-encryption": "stack"}}
		}, nil,
			[]string{`secretsEncryption is "aws": stack, with which cluster gpu-slicing was made`, "pulumi config set secretsEncryption stack"}},
		"no g4dn": {func(w *world) { delete(w.offered, "g4dn.xlarge") }, nil,
			[]string{`gpuInstanceTypes is "g4dn.xlarge"`, "describe-instance-type-offerings"}},
		"no GPU": {nil, map[string]string{"gpuInstanceTypes": `["m7i.large"]`},
			[]string{"gpuInstanceTypes[0]", "with an NVIDIA GPU", "pulumi config set --path 'gpuInstanceTypes[0]' g4dn.xlarge"}},
		"no GPU in a pool": {nil, map[string]string{"gpuPools": `[{"name":"training","instanceTypes":["g4dn.xlarge","m7i.large"]}]`},
			[]string{"1 problem", `gpuPools[0].instanceTypes[1] is "m7i.large"`, "pulumi config set --path 'gpuPools[0].instanceTypes[1]' g4dn.xlarge"}},
		"a pool's type is not offered": {nil, map[string]string{"gpuPools": `[{"name":"training","instanceTypes":["p5.48xlarge"]}]`},
			[]string{`gpuPools[0].instanceTypes is "p5.48xlarge"`, "Values='p5.*'"}},
		"what pools take from the stack is refused once": {nil, map[string]string{"gpuInstanceTypes": `["m7i.large"]`, "gpuPools": `[{"name":"a"},{"name":"b"}]`},
			[]string{"1 problem", "gpuInstanceTypes[0]"}},
		"more slices than a pool's pods": {nil, map[string]string{"gpuPools": `[{"name":"a","slices":25,"sharing":"mps"}]`},
			[]string{`gpuPools[0].slices is "25": at most 24: a g4dn.xlarge holds 29 pods, 5 of them DaemonSets`, "pulumi config set --path 'gpuPools[0].slices' 24"}},
		"a pod of metrics on every node": {nil, map[string]string{"gpuSlices": "25", "gpuMetrics": "true"},
			[]string{"gpuSlices", "at most 24: a g4dn.xlarge holds 29 pods, 5 of them DaemonSets"}},
		"more clients than MPS takes": {nil, map[string]string{"gpuSharing": "mps", "gpuSlices": "17", "gpuInstanceTypes": `["p3.2xlarge"]`},
			[]string{"gpuSlices", "at most 16: MPS takes no more clients on a V100", "pulumi config set gpuSlices 16"}},
		"many GPUs": {nil, map[string]string{"gpuSharing": "mps", "gpuSlices": "48", "gpuInstanceTypes": `["g4dn.12xlarge","g4dn.metal","p4d.24xlarge","g6.12xlarge"]`}, nil},
		"overlapping pools": {nil, map[string]string{"gpuPools": `[{"name":"a"},{"name":"a","slices":8},{"name":"gpu"},{"name":"x86"}]`},
			[]string{"3 problems", "gpuPools[1].name", "gpuPools[2].name", "gpuPools[3].name"}},
		"ARM GPU": {nil, map[string]string{"gpuInstanceTypes": `["g5g.xlarge"]`},
			[]string{"gpuInstanceTypes[0]", "x86"}},
		"more slices than pods": {nil, map[string]string{"gpuSlices": "26"},
			[]string{"gpuSlices", "at most 25: a g4dn.xlarge holds 29 pods, 4 of them DaemonSets, and has 1 GPU", "pulumi config set gpuSlices 25"}},
		"more slices than pods on eight GPUs": {nil, map[string]string{"gpuSlices": "48", "gpuInstanceTypes": `["g4dn.metal"]`}, nil},
		"all at once": {func(w *world) { delete(w.versions, "1.28") }, map[string]string{"gpuSlices": "49", "gpuInstanceTypes": `["m7i.large"]`, "gpuSlice": "4"},
			[]string{"4 problems", "gpuSlices", "kubernetesVersion", "gpuInstanceTypes[0]", "gpuSlice "}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, changes := plainWorld(), map[string]string{}
			if c.world != nil {
				c.world(w)
			}
			for key, value := range c.config {
				changes["eks-gpu-slicing:"+key] = value
			}
			r, err := plan(t, w, stackConfig(t, "dev", changes))
			if len(c.want) == 0 {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("was not refused")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the message lacks %q:\n%v", part, err)
				}
			}
			if made := len(r.resources) - 2; made > 0 { // the provider and the mocks' own cluster
				t.Errorf("%d resources were registered all the same", made)
			}
		})
	}
}
