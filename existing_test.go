package main

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	deploymentRead = "kubernetes:apps/v1:Deployment::karpenterDeployment"
	classRead      = "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass::nodeClass"
	crdRead        = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition::karpenter-crd"
)

// existingWorld is an account with a cluster platform that others made. It has a
// Karpenter as its chart installs it, with the gate on.
func existingWorld() *world {
	w := plainWorld()
	w.clusters["platform"] = standing{
		version: "1.34", status: "ACTIVE", mode: "API", subnets: []string{"subnet-placeholder1", "subnet-placeholder2"},
		nodes: map[string]int{"general": 2}, entries: []string{w.caller},
	}
	w.objects = map[string]map[string]any{
		"kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition nodeoverlays.karpenter.sh": {"metadata": map[string]any{"name": "nodeoverlays.karpenter.sh"}},
		"kubernetes:apps/v1:Deployment kube-system/karpenter": {
			"metadata": map[string]any{"name": "karpenter", "labels": map[string]any{"app.kubernetes.io/version": "1.14.1", "app.kubernetes.io/instance": "karpenter"}},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{
				"name": "controller", "image": "public.ecr.aws/karpenter/controller:1.14.1@sha256:0",
				"env": []any{
					map[string]any{"name": "SYSTEM_NAMESPACE", "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": "metadata.namespace"}}},
					map[string]any{"name": "FEATURE_GATES", "value": "NodeRepair=false,NodeOverlay=true"},
				},
			}}}}},
		},
		"kubernetes:karpenter.k8s.aws/v1:EC2NodeClass default": {
			"metadata": map[string]any{"name": "default"},
			"spec": map[string]any{
				"role": "KarpenterNodeRole-platform", "amiSelectorTerms": []any{map[string]any{"alias": "al2023@latest"}},
				"blockDeviceMappings": []any{map[string]any{"deviceName": "/dev/xvda", "ebs": map[string]any{"volumeSize": "100Gi"}}},
			},
		},
	}
	return w
}

// existingConfig is that of the example stack, with changes; a key of the project's
// needs no namespace.
func existingConfig(t *testing.T, changes map[string]string) map[string]string {
	t.Helper()
	named := map[string]string{}
	for key, value := range changes {
		if !strings.Contains(key, ":") {
			key = "eks-gpu-slicing:" + key
		}
		named[key] = value
	}
	return stackConfig(t, "existing", named)
}

// installs are the changes by which the stack installs Karpenter.
var installs = map[string]string{"installKarpenter": "true", "nodeClass": ""}

// made are the types and names of what a plan makes, providers and components aside.
func made(r *recorder) []string {
	var all []string
	for k, one := range r.resources {
		if one.name != eksChild && !strings.HasPrefix(k, "pulumi:") && !strings.HasPrefix(k, "eks-gpu-slicing:") {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return all
}

// TestExistingMakes: what a stack makes in a cluster that is there, and what it reads.
func TestExistingMakes(t *testing.T) {
	t.Parallel()
	pool := []string{
		pluginConf, plugin, gpuPool, overlay,
	}
	cpu := []string{arm64Pool, x86Pool, cpuClass}
	installed := slices.Concat(pool, []string{gpuClass, nodesBear, nodeEntry, identity, chart, crdChart, queue, "aws:sqs/queuePolicy:QueuePolicy::karpenter-interruptions",
		"aws:iam/role:Role::karpenter-controller", "aws:iam/role:Role::karpenter-node"})
	for _, part := range []string{"discovery", "instance-profiles", "node-launch", "node-lifecycle"} {
		installed = append(installed, "aws:iam/policy:Policy::karpenter-"+part, "aws:iam/rolePolicyAttachment:RolePolicyAttachment::karpenter-"+part)
	}
	for _, of := range []string{"nodepools", "nodeclaims"} {
		installed = append(installed, "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy::pools-guard-"+of, "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicyBinding::pools-guard-"+of)
	}
	installed = append(installed, guard)
	for _, n := range []string{"0", "1", "2", "3"} {
		installed = append(installed, "aws:iam/rolePolicyAttachment:RolePolicyAttachment::karpenter-node-"+n)
	}
	for _, event := range []string{"capacity-reservation", "health", "rebalance", "spot-interruption", "state-change"} {
		installed = append(installed, "aws:cloudwatch/eventRule:EventRule::karpenter-"+event, "aws:cloudwatch/eventTarget:EventTarget::karpenter-"+event)
	}
	with := func(base map[string]string, more map[string]string) map[string]string {
		all := maps.Clone(base)
		maps.Copy(all, more)
		return all
	}
	for name, c := range map[string]struct {
		config      map[string]string
		agent       map[string]string
		made, reads []string
	}{
		"its own Karpenter is used":    {nil, nil, pool, []string{crdRead, deploymentRead, classRead}},
		"Karpenter is installed":       {installs, nil, slices.Concat(installed, cpu, []string{agent}), nil},
		"the agent is there":           {installs, map[string]string{}, slices.Concat(installed, cpu), nil},
		"the agent is the stack's":     {installs, map[string]string{"eks-gpu-slicing/cluster": "platform"}, slices.Concat(installed, cpu, []string{agent}), nil},
		"the agent is another stack's": {installs, map[string]string{"eks-gpu-slicing/cluster": "other"}, slices.Concat(installed, cpu), nil},
		"no CPU pools":                 {with(installs, map[string]string{"cpuLimit": "0"}), map[string]string{}, installed, nil},
		"no pool gpu": {map[string]string{"gpuLimit": "0", "gpuPools": `[{"name":"more","limit":1}]`}, nil, []string{pluginConf + "-more", plugin + "-more", "kubernetes:karpenter.sh/v1:NodePool::pools-more",
			"kubernetes:karpenter.sh/v1alpha1:NodeOverlay::gpu-more-1-per-node"}, []string{crdRead, deploymentRead, classRead}},
		"GPU nodes that are there":       {map[string]string{"gpuNodeLabel": "a=b", "nodeClass": ""}, nil, []string{pluginConf, plugin}, nil},
		"GPU nodes there, and Karpenter": {with(installs, map[string]string{"gpuNodeLabel": "a=b", "cpuLimit": "0"}), map[string]string{}, slices.DeleteFunc(slices.Clone(installed), func(k string) bool { return k == gpuPool || k == overlay || k == gpuClass || k == nodesBear }), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := existingWorld()
			platform := w.clusters["platform"]
			platform.agent = c.agent
			w.clusters["platform"] = platform
			r, err := plan(t, w, existingConfig(t, c.config))
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Sorted(slices.Values(c.made))
			if diff := cmp.Diff(want, made(r)); diff != "" {
				t.Errorf("made (-want +got):\n%s", diff)
			}
			slices.Sort(r.reads)
			if diff := cmp.Diff(slices.Sorted(slices.Values(c.reads)), r.reads); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			if len(r.refused) > 0 {
				t.Error(r.refused)
			}
		})
	}
}

// TestExistingInstalled: Karpenter in a cluster of others runs on their nodes, and its
// own nodes are where the cluster is.
func TestExistingInstalled(t *testing.T) {
	t.Parallel()
	w := existingWorld()
	w.subnets["subnet-private"] = subnet{"c", "az2", false, ""}
	w.subnets["subnet-local"] = subnet{"lax", "usw2-lax1-az1", false, ""}
	changes := maps.Clone(installs)
	changes["nodeSubnets"] = `["subnet-private","subnet-placeholder1","subnet-local"]`
	changes["nodeSecurityGroups"] = `["sg-1","sg-2"]`
	r, err := plan(t, w, existingConfig(t, changes))
	if err != nil {
		t.Fatal(err)
	}
	values := r.resources[chart].inputs.Mappable()
	for _, key := range []string{"nodeSelector", "tolerations"} {
		if v := at[any](values, "values", key); v != nil {
			t.Errorf("the controller has %s %v, of nodes that this cluster has not", key, v)
		}
	}
	// Helm may have put an agent there, which is no add-on.
	if got := at[string](r.resources[agent].inputs.Mappable(), "resolveConflictsOnCreate"); got != "NONE" {
		t.Errorf("the Pod Identity agent's conflicts: %q, want NONE: it would take over what is there", got)
	}
	spec := r.resources[gpuClass].inputs.Mappable()
	want := map[string]any{
		"subnetSelectorTerms":        []any{map[string]any{"id": "subnet-placeholder1"}, map[string]any{"id": "subnet-private"}},
		"securityGroupSelectorTerms": []any{map[string]any{"id": "sg-1"}, map[string]any{"id": "sg-2"}, map[string]any{"id": nodesGroup}},
		"role":                       "platform-karpenter-node-us-west-2",
		"amiSelectorTerms":           []any{map[string]any{"alias": "al2023@latest"}}, // of the cluster's 1.34
	}
	for key, value := range want {
		if diff := cmp.Diff(value, at[any](spec, "spec", key)); diff != "" {
			t.Errorf("%s of the node class (-want +got):\n%s", key, diff)
		}
	}
}

// TestExistingNodesAreWhereOthersAre: without nodeSubnets, Karpenter's nodes go where the
// managed node groups' are, and where there are none, where the cluster is.
func TestExistingNodesAreWhereOthersAre(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		nodes  []string
		config map[string]string
		want   []string
	}{
		"no node groups":         {nil, nil, []string{"subnet-placeholder1", "subnet-placeholder2"}},
		"node groups":            {[]string{"subnet-private", "subnet-placeholder2"}, nil, []string{"subnet-placeholder2", "subnet-private"}},
		"nodeSubnets is set too": {[]string{"subnet-private"}, map[string]string{"nodeSubnets": `["subnet-placeholder1"]`}, []string{"subnet-placeholder1"}},
	} {
		w := existingWorld()
		w.subnets["subnet-private"] = subnet{"c", "az2", false, ""}
		platform := w.clusters["platform"]
		platform.nodeSubnets = c.nodes
		w.clusters["platform"] = platform
		changes := maps.Clone(installs)
		maps.Copy(changes, c.config)
		r, err := plan(t, w, existingConfig(t, changes))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, term := range at[[]any](r.resources[gpuClass].inputs.Mappable(), "spec", "subnetSelectorTerms") {
			got = append(got, at[string](term, "id"))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestExistingOrder: nothing is planned for a Karpenter that is not known to be fit.
func TestExistingOrder(t *testing.T) {
	t.Parallel()
	r, err := plan(t, existingWorld(), existingConfig(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	for who, needs := range map[string][]string{
		overlay: {deploymentRead, classRead, crdRead},
		plugin:  {overlay},
		gpuPool: {deploymentRead, classRead, crdRead, overlay, plugin},
	} {
		for _, need := range needs {
			if !r.needs(who)[need] {
				t.Errorf("%s does not wait for %s", who, need)
			}
		}
	}
}

// TestKubeconfig: access to the cluster is that of the AWS provider's identity.
func TestKubeconfig(t *testing.T) {
	t.Parallel()
	plain := []any{"eks", "get-token", "--region", "us-west-2", "--cluster-name", "platform", "--output", "json"}
	role := "arn:aws:iam::111122223333:role/admin"
	for name, c := range map[string]struct {
		config map[string]string
		want   []any
	}{
		"the environment's": {nil, plain},
		"a profile's":       {map[string]string{"aws:profile": "ml"}, append(slices.Clip(plain), "--profile", "ml")},
		"a role's":          {map[string]string{"aws:assumeRole": `{"roleArn":"` + role + `"}`}, append(slices.Clip(plain), "--role-arn", role)},
		"a profile's role's": {map[string]string{"aws:profile": "ml", "aws:assumeRole": `{"roleArn":"` + role + `"}`},
			append(slices.Clip(plain), "--profile", "ml", "--role-arn", role)},
	} {
		r, err := plan(t, existingWorld(), existingConfig(t, c.config))
		if err != nil {
			t.Fatal(err)
		}
		var file map[string]any
		if err := json.Unmarshal([]byte(r.resources["pulumi:providers:kubernetes::cluster"].inputs["kubeconfig"].StringValue()), &file); err != nil {
			t.Fatal(err)
		}
		users := at[[]any](file, "users")
		if diff := cmp.Diff(c.want, at[[]any](users[0], "user", "exec", "args")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		clusters := at[[]any](file, "clusters")
		if diff := cmp.Diff(map[string]any{"server": "https://endpoint", "certificate-authority-data": "Y2E="}, at[any](clusters[0], "cluster")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestKubeconfigOfOwnCluster: the component's own leaves profile and region out.
func TestKubeconfigOfOwnCluster(t *testing.T) {
	t.Parallel()
	r, err := plan(t, plainWorld(), stackConfig(t, "dev", map[string]string{"aws:profile": "ml"}))
	if err != nil {
		t.Fatal(err)
	}
	text := r.resources["pulumi:providers:kubernetes::cluster"].inputs["kubeconfig"].StringValue()
	for _, part := range []string{`"server":"https://endpoint"`, `"--region","us-west-1","--cluster-name","gpu-slicing"`, `"--profile","ml"`} {
		if !strings.Contains(text, part) {
			t.Errorf("the kubeconfig lacks %s: %s", part, text)
		}
	}
}

// TestExistingProblems: what keeps a stack from working in a cluster that is there,
// found before anything is made.
func TestExistingProblems(t *testing.T) {
	t.Parallel()
	const (
		aws    = "aws eks describe-cluster --region us-west-2 --name platform"
		denied = "operation error EKS: DescribeCluster, https response error StatusCode: 403, RequestID: x, api error AccessDeniedException: no"
	)
	change := func(f func(*standing)) func(*world) {
		return func(w *world) {
			c := w.clusters["platform"]
			f(&c)
			w.clusters["platform"] = c
		}
	}
	for name, c := range map[string]struct {
		world  func(*world)
		config map[string]string
		want   []string
	}{
		"in order": {nil, nil, nil},
		"not there": {func(w *world) { w.clusters = map[string]standing{"blue": {}, "amber": {}} }, nil,
			[]string{`existingCluster is "platform": an EKS cluster in us-west-2; there are amber, blue`, "pulumi config set existingCluster amber"}},
		"none there": {func(w *world) { w.clusters = nil }, nil, []string{"aws eks list-clusters --region us-west-2"}},
		"not to be read": {func(w *world) { w.fails = map[string]error{"getCluster:getCluster": errors.New(denied)} }, nil,
			[]string{"arn:aws:iam::111122223333:user/me is denied eks:DescribeCluster", "on arn:aws:eks:us-west-2:111122223333:cluster/platform", aws}},
		"still creating":  {change(func(c *standing) { c.status = "CREATING" }), nil, []string{"still CREATING", "aws eks wait cluster-active --region us-west-2 --name platform"}},
		"failed":          {change(func(c *standing) { c.status = "FAILED" }), nil, []string{"this one is FAILED", aws}},
		"being deleted":   {change(func(c *standing) { c.status = "DELETING" }), nil, []string{"this one is DELETING"}},
		"being updated":   {change(func(c *standing) { c.status = "UPDATING" }), nil, nil},
		"no access entry": {change(func(c *standing) { c.entries = nil }), nil, []string{"no access entry for arn:aws:iam::111122223333:user/me", "aws eks create-access-entry --region us-west-2 --cluster-name platform", "AmazonEKSClusterAdminPolicy"}},
		"a session of a role that has an entry": {func(w *world) {
			w.caller = "arn:aws:sts::111122223333:assumed-role/admin/me"
			change(func(c *standing) { c.entries = []string{"arn:aws:iam::111122223333:role/admin"} })(w)
		}, nil, nil},
		"access by the ConfigMap":                   {change(func(c *standing) { c.mode, c.entries = "API_AND_CONFIG_MAP", nil }), nil, nil},
		"the ConfigMap alone":                       {change(func(c *standing) { c.mode, c.entries = "CONFIG_MAP", nil }), nil, nil},
		"the ConfigMap alone, Karpenter is to come": {change(func(c *standing) { c.mode, c.entries = "CONFIG_MAP", nil }), installs, []string{"its authentication mode is CONFIG_MAP", "aws eks update-cluster-config --region us-west-2 --name platform --access-config authenticationMode=API_AND_CONFIG_MAP"}},
		"Auto Mode":                                  {change(func(c *standing) { c.autoMode = true }), nil, []string{"without EKS Auto Mode", "pulumi config set gpuNodeLabel KEY=VALUE"}},
		"Auto Mode, and nodes that are there":        {change(func(c *standing) { c.autoMode = true }), map[string]string{"gpuNodeLabel": "a=b", "nodeClass": ""}, nil},
		"an AMI family the version has not":          {nil, map[string]string{"installKarpenter": "true", "nodeClass": "", "amiFamily": "al2"}, []string{`amiFamily is "al2": al2023 on Kubernetes 1.34`}},
		"a subnet of another VPC":                    {func(w *world) { w.subnets["subnet-x"] = subnet{"a", "az1", true, "vpc-x"} }, map[string]string{"installKarpenter": "true", "nodeClass": "", "nodeSubnets": `["subnet-x"]`}, []string{`nodeSubnets is "subnet-x": a subnet of the cluster's VPC, vpc-placeholder; this one is of vpc-x`}},
		"subnets in Local Zones only":                {change(func(c *standing) { c.subnets = nil }), installs, []string{"nodeSubnets is not set: a subnet in an availability zone"}},
		"a Kubernetes that Karpenter is too old for": {change(func(c *standing) { c.version = "1.37" }), installs, []string{`karpenterVersion is "1.14.1": a release for Kubernetes 1.37; this one is for 1.26 to 1.36`}},
		"no type is offered":                         {func(w *world) { delete(w.offered, "g4dn.xlarge") }, nil, []string{`gpuInstanceTypes is "g4dn.xlarge"`}},
		"types of nodes that are there":              {func(w *world) { w.offered = nil }, map[string]string{"gpuNodeLabel": "a=b", "nodeClass": ""}, nil},
		"several": {change(func(c *standing) { c.mode, c.autoMode = "CONFIG_MAP", true }), map[string]string{"installKarpenter": "true", "nodeClass": "", "gpuSlices": "0"},
			[]string{"3 problems", "gpuSlices", "CONFIG_MAP", "Auto Mode"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := existingWorld()
			if c.world != nil {
				c.world(w)
			}
			r, err := plan(t, w, existingConfig(t, c.config))
			refused(t, err, c.want)
			if err != nil && len(r.resources) > 2 { // the provider and the mocks' own cluster
				t.Errorf("made all the same: %v", made(r))
			}
		})
	}
}

// refused checks that a plan was refused in words, or, without any, that it was not.
func refused(t *testing.T, err error, want []string) {
	t.Helper()
	if len(want) == 0 {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if err == nil {
		t.Fatal("was not refused")
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the message lacks %q:\n%v", part, err)
		}
	}
}

// TestTheirKarpenterProblems: what keeps a stack from using the Karpenter that a
// cluster has. The engine has begun to build by then; what Karpenter would manage is
// not made.
func TestTheirKarpenterProblems(t *testing.T) {
	t.Parallel()
	const helm = "helm upgrade karpenter oci://public.ecr.aws/karpenter/karpenter --namespace kube-system --reuse-values --version 1.14.1 --set settings.featureGates.nodeOverlay=true"
	const deployment, class = "kubernetes:apps/v1:Deployment kube-system/karpenter", "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass default"
	containers := func(o map[string]any) map[string]any {
		all := at[[]any](o, "spec", "template", "spec", "containers")
		first, _ := all[0].(map[string]any)
		return first
	}
	gates := func(value string) func(map[string]any) {
		return func(o map[string]any) {
			containers(o)["env"] = []any{map[string]any{"name": "FEATURE_GATES", "value": value}}
		}
	}
	release := func(version string) func(map[string]any) {
		return func(o map[string]any) {
			put(o, map[string]any{"app.kubernetes.io/version": version, "app.kubernetes.io/instance": "kp"}, "metadata", "labels")
		}
	}
	for name, c := range map[string]struct {
		object string
		change func(map[string]any)
		want   []string
	}{
		"the gate is off":          {deployment, gates("NodeRepair=true,NodeOverlay=false"), []string{`Deployment kube-system/karpenter's feature gate NodeOverlay is "off": on`, helm}},
		"the gate is not named":    {deployment, gates("NodeRepair=true"), []string{helm}},
		"no gates":                 {deployment, func(o map[string]any) { delete(containers(o), "env") }, []string{helm}},
		"the gate is misspelt":     {deployment, gates("NodeOverlay=on"), []string{helm}},
		"an argument turns it off": {deployment, func(o map[string]any) { containers(o)["args"] = []any{"--feature-gates", "NodeOverlay=false"} }, []string{helm}},
		"an argument turns it on": {deployment, func(o map[string]any) {
			gates("NodeOverlay=false")(o)
			containers(o)["args"] = []any{"--feature-gates=NodeOverlay=true"}
		}, nil},
		"gates from elsewhere": {deployment, func(o map[string]any) {
			containers(o)["env"] = []any{map[string]any{"name": "FEATURE_GATES", "valueFrom": map[string]any{"configMapKeyRef": map[string]any{"name": "x"}}}}
		}, nil},
		"too old for the API": {deployment, release("1.5.4"), []string{`is "Karpenter 1.5.4": Karpenter 1.7 or later`,
			"helm upgrade --install karpenter-crd oci://public.ecr.aws/karpenter/karpenter-crd --namespace kube-system --version 1.14.1 && helm upgrade kp oci://public.ecr.aws/karpenter/karpenter --namespace kube-system --reuse-values --version 1.14.1 --set settings.featureGates.nodeOverlay=true"}},
		"too old for the version": {deployment, func(o map[string]any) { release("0.37.0")(o); gates("")(o) }, []string{"Karpenter 0.37.0", "Karpenter 1.7 or later"}},
		"a release by its image": {deployment, func(o map[string]any) {
			put(o, nil, "metadata", "labels")
			containers(o)["image"] = "mirror.example/karpenter/controller:v1.6.0"
		}, []string{"Karpenter 1.6.0"}},
		"a release of its own": {deployment, func(o map[string]any) {
			put(o, nil, "metadata", "labels")
			containers(o)["image"] = "mirror.example:5000/karpenter:main@sha256:1"
		}, nil},
		"no controller": {deployment, func(o map[string]any) { containers(o)["name"], containers(o)["image"] = "web", "nginx:1" },
			[]string{`karpenterDeployment is "kube-system/karpenter": the Deployment of Karpenter's controller`, "kubectl get deployments -A -l app.kubernetes.io/name=karpenter"}},
		"Bottlerocket": {class, func(o map[string]any) {
			put(o, []any{map[string]any{"alias": "bottlerocket@latest"}}, "spec", "amiSelectorTerms")
		}, []string{`EC2NodeClass default is "bottlerocket"`, "kubectl edit ec2nodeclass default"}},
		"Windows": {class, func(o map[string]any) {
			put(o, []any{map[string]any{"id": "ami-1"}}, "spec", "amiSelectorTerms")
			at[map[string]any](o, "spec")["amiFamily"] = "Windows2022"
		}, []string{`is "Windows2022"`}},
		"an AMI family the version has not": {class, func(o map[string]any) {
			put(o, []any{map[string]any{"alias": "al2@latest"}}, "spec", "amiSelectorTerms")
		}, []string{`EC2NodeClass default is "al2": al2023 on Kubernetes 1.34`}},
		"AMIs by their IDs": {class, func(o map[string]any) {
			put(o, []any{map[string]any{"id": "ami-1"}}, "spec", "amiSelectorTerms")
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := existingWorld()
			c.change(w.objects[c.object])
			r, err := plan(t, w, existingConfig(t, nil))
			refused(t, err, c.want)
			if len(c.want) == 0 {
				return
			}
			for _, part := range c.want {
				if !strings.Contains(r.refused.Error(), part) {
					t.Errorf("what is told lacks %q:\n%v", part, r.refused)
				}
			}
			for _, k := range []string{overlay, gpuPool} {
				if _, ok := r.resources[k]; ok {
					t.Errorf("%s is made all the same", k)
				}
			}
		})
	}
}

// TestTheirKarpenterIsOld: a release that has no overlays yet has no definition of them
// either, and its version says more than that.
func TestTheirKarpenterIsOld(t *testing.T) {
	t.Parallel()
	w := existingWorld()
	put(w.objects["kubernetes:apps/v1:Deployment kube-system/karpenter"], "1.5.4", "metadata", "labels", "app.kubernetes.io/version")
	delete(w.objects, "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition nodeoverlays.karpenter.sh")
	_, err := plan(t, w, existingConfig(t, nil))
	refused(t, err, []string{`Deployment kube-system/karpenter is "Karpenter 1.5.4": Karpenter 1.7 or later`})
	if strings.Contains(err.Error(), "does not exist") {
		t.Error(err)
	}
}

// TestTheirKarpenterIsMissing: the engine says what is missing, by the name of the
// setting that says where it is.
func TestTheirKarpenterIsMissing(t *testing.T) {
	t.Parallel()
	for id := range existingWorld().objects {
		w := existingWorld()
		delete(w.objects, id)
		r, err := plan(t, w, existingConfig(t, nil))
		_, name, _ := strings.Cut(id, " ")
		if err == nil || !strings.Contains(err.Error(), "resource '"+name+"' does not exist") {
			t.Errorf("without %s: %v", id, err)
		}
		if len(made(r)) > 1 { // the plugin's ConfigMap waits for nothing
			t.Errorf("without %s there is made: %v", id, made(r))
		}
	}
}
