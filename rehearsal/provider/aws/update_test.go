package aws_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/provider"
)

// change is a change of one input and what it does.
type change struct {
	resource, path string
	value          any
	// replaces are the paths that replace the resource; none is a change in
	// place.
	replaces []string
	// first is whether the old one goes first.
	first bool
}

func TestReplacement(t *testing.T) {
	t.Parallel()
	s, inputs := whole(t, nil)
	const role = "arn:aws:iam::111122223333:role/other"
	changes := []change{
		{clusterType + "/c", "name", "d", []string{"name"}, false},
		{clusterType + "/c", "roleArn", role, []string{"roleArn"}, true},
		{clusterType + "/c", "kubernetesNetworkConfig.serviceIpv4Cidr", "10.100.0.0/16", []string{"kubernetesNetworkConfig"}, true},
		{clusterType + "/c", "accessConfig.bootstrapClusterCreatorAdminPermissions", false, []string{"accessConfig.bootstrapClusterCreatorAdminPermissions"}, true},
		{clusterType + "/c", "bootstrapSelfManagedAddons", false, []string{"bootstrapSelfManagedAddons"}, true},
		{clusterType + "/c", "version", "1.29", nil, false},
		{clusterType + "/c", "vpcConfig.endpointPublicAccess", false, nil, false},
		{clusterType + "/c", "vpcConfig.subnetIds", []any{"subnet-1", "subnet-2"}, nil, false},
		{clusterType + "/c", "enabledClusterLogTypes", []any{"audit"}, nil, false},
		{clusterType + "/c", "upgradePolicy.supportType", "STANDARD", nil, false},
		{clusterType + "/c", "encryptionConfig", nil, []string{"encryptionConfig"}, true},
		{clusterType + "/c", "encryptionConfig.provider.keyArn", "arn:aws:kms:us-west-2:111122223333:key/2", nil, false},
		{"aws:kms/key:Key/secrets", "deletionWindowInDays", 30, nil, false},
		{"aws:kms/key:Key/secrets", "enableKeyRotation", false, nil, false},
		{"aws:kms/alias:Alias/secrets", "name", "alias/x", []string{"name"}, false},
		{"aws:kms/alias:Alias/secrets", "targetKeyId", "2", nil, false},
		{groupType + "/controllers", "amiType", "AL2023_ARM_64_STANDARD", []string{"amiType"}, true},
		{groupType + "/controllers", "capacityType", "SPOT", []string{"capacityType"}, true},
		{groupType + "/controllers", "instanceTypes", []any{"m7g.xlarge"}, []string{"instanceTypes[0]"}, true},
		{groupType + "/controllers", "nodeRoleArn", role, []string{"nodeRoleArn"}, true},
		{groupType + "/controllers", "nodeGroupName", "other", []string{"nodeGroupName"}, false},
		{groupType + "/controllers", "subnetIds", []any{"subnet-1"}, []string{"subnetIds[0]", "subnetIds[1]", "subnetIds[2]", "subnetIds[3]"}, true},
		{groupType + "/controllers", "launchTemplate.id", "lt-2", []string{"launchTemplate.id"}, true},
		{groupType + "/controllers", "launchTemplate.version", "2", nil, false},
		{groupType + "/controllers", "scalingConfig.desiredSize", 3, nil, false},
		{groupType + "/controllers", "labels", map[string]any{}, nil, false},
		{groupType + "/controllers", "version", "1.29", nil, false},
		{"aws:eks/addon:Addon/coredns", "clusterName", "d", []string{"clusterName"}, false},
		{"aws:eks/addon:Addon/coredns", "configurationValues", "{}", nil, false},
		{"aws:eks/accessEntry:AccessEntry/viewer", "principalArn", role, []string{"principalArn"}, false},
		{"aws:eks/accessEntry:AccessEntry/viewer", "type", "EC2_LINUX", []string{"type"}, false},
		{"aws:eks/accessEntry:AccessEntry/viewer", "kubernetesGroups", []any{"editors"}, nil, false},
		{"aws:eks/podIdentityAssociation:PodIdentityAssociation/karpenter", "namespace", "default", []string{"namespace"}, false},
		{"aws:eks/podIdentityAssociation:PodIdentityAssociation/karpenter", "roleArn", role, nil, false},
		{roleType + "/node", "path", "/x/", []string{"path"}, true},
		{roleType + "/node", "name", "other", []string{"name"}, false},
		{roleType + "/node", "assumeRolePolicy", trust("eks.amazonaws.com"), nil, false},
		{"aws:iam/policy:Policy/p", "description", "d", []string{"description"}, true},
		{"aws:iam/policy:Policy/p", "policy", `{"Version":"2012-10-17","Statement":[]}`, nil, false},
		{"aws:iam/rolePolicyAttachment:RolePolicyAttachment/pod-0", "policyArn", "arn:x", []string{"policyArn"}, false},
		{"aws:iam/serviceLinkedRole:ServiceLinkedRole/spot", "description", "x", nil, false},
		{templateType + "/controllers", "name", "other", []string{"name"}, false},
		{templateType + "/controllers", "metadataOptions.httpPutResponseHopLimit", 2, nil, false},
		{"aws:ec2/securityGroup:SecurityGroup/firewall", "description", "d", []string{"description"}, true},
		{"aws:ec2/securityGroup:SecurityGroup/firewall", "vpcId", "vpc-1", []string{"vpcId"}, true},
		{"aws:ec2/securityGroupRule:SecurityGroupRule/egress", "cidrBlocks", []any{"10.0.0.0/8"}, []string{"cidrBlocks[0]"}, false},
		{"aws:ec2/securityGroupRule:SecurityGroupRule/egress", "description", "x", nil, false},
		{queueType + "/q", "name", "other", []string{"name"}, false},
		{queueType + "/q", "visibilityTimeoutSeconds", 60, nil, false},
		{"aws:sqs/queuePolicy:QueuePolicy/q", "queueUrl", "https://x", []string{"queueUrl"}, false},
		{"aws:cloudwatch/eventRule:EventRule/r", "name", "other", []string{"name"}, false},
		{"aws:cloudwatch/eventRule:EventRule/r", "eventPattern", `{"source":["aws.health"]}`, nil, false},
		{"aws:cloudwatch/eventTarget:EventTarget/r", "targetId", "other", []string{"targetId"}, false},
		{"aws:cloudwatch/eventTarget:EventTarget/r", "arn", "arn:aws:sqs:us-west-2:111122223333:other", nil, false},
		{"aws:cloudwatch/logGroup:LogGroup/logs", "name", "/x", []string{"name"}, false},
		{"aws:cloudwatch/logGroup:LogGroup/logs", "retentionInDays", 7, nil, false},
		{roleType + "/node", "tags", map[string]any{"k": "v"}, nil, false},
	}
	by := map[string]*made{}
	for _, m := range s.made {
		by[m.typ+"/"+m.name] = m
	}
	for _, c := range changes {
		t.Run(c.resource+" "+c.path, func(t *testing.T) {
			t.Parallel()
			m := by[c.resource]
			d := s.diff(m, set(inputs[m], c.path, c.value))
			if d.Changes != plugin.DiffSome {
				t.Fatal("no change")
			}
			var got []string
			for _, path := range sortedPaths(d) {
				if d.DetailedDiff[path].Kind.IsReplace() {
					got = append(got, path)
				}
			}
			if diff := cmp.Diff(c.replaces, got); diff != "" {
				t.Errorf("replaced by (-want +got):\n%s", diff)
			}
			if d.DeleteBeforeReplace != c.first {
				t.Errorf("the old one goes first: %v, want %v", d.DeleteBeforeReplace, c.first)
			}
		})
	}
}

func sortedPaths(d plugin.DiffResult) []string {
	m := resource.PropertyMap{}
	for path := range d.DetailedDiff {
		m[resource.PropertyKey(path)] = resource.NewNullProperty()
	}
	var out []string
	for _, k := range m.StableKeys() {
		out = append(out, string(k))
	}
	return out
}

// TestUpdatesReachTheAccount changes each thing that changes in place, and
// looks for the new value in a refresh.
func TestUpdatesReachTheAccount(t *testing.T) {
	t.Parallel()
	s, inputs := whole(t, nil)
	by := map[string]*made{}
	for _, m := range s.made {
		by[m.typ+"/"+m.name] = m
	}
	for _, c := range []struct {
		resource, path string
		value          any
	}{
		{clusterType + "/c", "version", "1.29"},
		{clusterType + "/c", "enabledClusterLogTypes", []any{"api"}},
		{clusterType + "/c", "vpcConfig.publicAccessCidrs", []any{"203.0.113.7/32"}},
		{clusterType + "/c", "vpcConfig.endpointPublicAccess", false},
		{clusterType + "/c", "upgradePolicy.supportType", "STANDARD"},
		{"aws:kms/key:Key/secrets", "description", "e"},
		{"aws:kms/key:Key/secrets", "rotationPeriodInDays", 90},
		{"aws:kms/key:Key/secrets", "tags", map[string]any{"k": "v"}},
		{"aws:kms/key:Key/secrets", "isEnabled", false},
		{groupType + "/controllers", "version", "1.29"},
		{groupType + "/controllers", "scalingConfig.maxSize", 5},
		{groupType + "/controllers", "labels", map[string]any{"a": "b"}},
		{groupType + "/controllers", "taints", []any{map[string]any{"key": "k", "value": "v", "effect": "NO_EXECUTE"}}},
		{groupType + "/controllers", "updateConfig", map[string]any{"maxUnavailablePercentage": 50}},
		{"aws:eks/addon:Addon/coredns", "configurationValues", `{"replicaCount":3}`},
		{"aws:eks/addon:Addon/kube-proxy", "addonVersion", "v1.28.15-eksbuild.31"},
		{"aws:eks/accessEntry:AccessEntry/viewer", "kubernetesGroups", []any{"editors"}},
		{"aws:eks/accessEntry:AccessEntry/viewer", "userName", "somebody"},
		{"aws:eks/podIdentityAssociation:PodIdentityAssociation/karpenter", "roleArn", "arn:aws:iam::111122223333:role/c-node"},
		{roleType + "/node", "description", "nodes"},
		{roleType + "/node", "maxSessionDuration", 7200},
		{roleType + "/cluster", "assumeRolePolicy", trust("pods.eks.amazonaws.com")},
		{"aws:iam/policy:Policy/p", "policy", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`},
		{"aws:iam/serviceLinkedRole:ServiceLinkedRole/spot", "description", "x"},
		{templateType + "/controllers", "metadataOptions.httpPutResponseHopLimit", 2},
		{templateType + "/controllers", "description", "new"},
		{"aws:ec2/securityGroupRule:SecurityGroupRule/egress", "description", "x"},
		{queueType + "/q", "messageRetentionSeconds", 600},
		{queueType + "/q", "visibilityTimeoutSeconds", 60},
		{"aws:cloudwatch/eventRule:EventRule/r", "eventPattern", `{"source":["aws.health"]}`},
		{"aws:cloudwatch/eventRule:EventRule/r", "state", "DISABLED"},
		{"aws:cloudwatch/eventTarget:EventTarget/r", "arn", "arn:aws:sqs:us-west-2:111122223333:other"},
		{"aws:cloudwatch/logGroup:LogGroup/logs", "retentionInDays", 7},
		{queueType + "/q", "tags", map[string]any{"k": "v"}},
		{clusterType + "/c", "tags", map[string]any{"k": "v"}},
		{templateType + "/controllers", "tags", map[string]any{"k": "v"}},
		{"aws:iam/policy:Policy/p", "tags", map[string]any{"k": "v"}},
		{"aws:cloudwatch/eventRule:EventRule/r", "tags", map[string]any{"k": "v"}},
		{"aws:cloudwatch/logGroup:LogGroup/logs", "tags", map[string]any{"k": "v"}},
		{"aws:ec2/securityGroup:SecurityGroup/firewall", "tags", map[string]any{"k": "v"}},
		{"aws:iam/serviceLinkedRole:ServiceLinkedRole/spot", "tags", map[string]any{"k": "v"}},
	} {
		m := by[c.resource]
		inputs[m] = set(inputs[m], c.path, c.value)
		s.update(m, inputs[m])
		now := s.refresh(m)
		at, err := resource.ParsePropertyPath(c.path)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := at.Get(resource.NewObjectProperty(now.Outputs))
		if want := resource.NewPropertyValue(c.value); !got.DeepEquals(want) {
			t.Errorf("%s: %s is %v, want %v", c.resource, c.path, got, want)
		}
		if d := s.drift(m); len(d) > 0 {
			t.Errorf("%s: after the update of %s a refresh shows %v", c.resource, c.path, d)
		}
	}
	if got := by[templateType+"/controllers"]; got.str("latestVersion") != "3" || got.str("defaultVersion") != "3" {
		t.Errorf("two changes of the template's data make versions %s and %s", got.str("latestVersion"), got.str("defaultVersion"))
	}
	s.destroy()
}

func TestPolicyKeepsFiveVersions(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	m := s.up("aws:iam/policy:Policy", "p", map[string]any{"name": "p", "policy": allowAll})
	for _, action := range []string{"s3:a", "s3:b", "s3:c", "s3:d", "s3:e", "s3:f"} {
		s.update(m, map[string]any{"name": "p", "policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"*"}]}`})
	}
	versions, err := s.account.ListPolicyVersions(string(m.id))
	if err != nil || len(versions) != 5 || versions[0].ID != "v7" || !versions[0].IsDefault {
		t.Errorf("versions %+v, %v", versions, err)
	}
	s.destroy()
}

func TestSpellingOfPoliciesIsNoChange(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	m := s.up("aws:iam/policy:Policy", "p", map[string]any{"name": "p", "policy": allowAll})
	spaced := `{ "Statement": [ {"Action": "*", "Effect": "Allow", "Resource": "*"} ], "Version": "2012-10-17" }`
	if d := s.diff(m, map[string]any{"name": "p", "policy": spaced}); d.Changes != plugin.DiffNone {
		t.Errorf("the same policy spelt otherwise: %v", kinds(d))
	}
	object := map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*"}}}
	if d := s.diff(m, map[string]any{"name": "p", "policy": object}); d.Changes != plugin.DiffNone {
		t.Errorf("the same policy as an object: %v", kinds(d))
	}
}

func TestOrderOfSetsIsNoChange(t *testing.T) {
	t.Parallel()
	s, c := withCluster(t)
	ids := s.subnets()
	ids[0], ids[1] = ids[1], ids[0]
	in := s.clusterInputs(&made{out: resource.PropertyMap{"arn": c.in["roleArn"]}})
	in = set(set(in, "vpcConfig.subnetIds", ids), "enabledClusterLogTypes", []any{"authenticator", "audit"})
	if d := s.diff(c, in); d.Changes != plugin.DiffNone {
		t.Errorf("another order: %v", kinds(d))
	}
}

func TestIgnoredChanges(t *testing.T) {
	t.Parallel()
	s, c := withCluster(t)
	in := s.mustCheck(clusterType, "c", set(s.clusterInputs(&made{out: resource.PropertyMap{"arn": c.in["roleArn"]}}), "accessConfig.bootstrapClusterCreatorAdminPermissions", false), c)
	res, err := s.Diff(t.Context(), plugin.DiffRequest{
		URN: urn(clusterType, "c"), Type: clusterType, ID: c.id, OldInputs: c.in, OldOutputs: c.out, NewInputs: in,
		IgnoreChanges: []string{"accessConfig.bootstrapClusterCreatorAdminPermissions"},
	})
	if err != nil || res.Changes != plugin.DiffNone {
		t.Errorf("ignored change: %v, %v", kinds(res), err)
	}
}

func TestPreviewKnowsWhatIsKnown(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", map[string]any{"defaultTags": `{"tags":{"team":"platform"}}`})
	role := &made{out: properties(map[string]any{"arn": unknown{}})}
	in := s.clusterInputs(role)
	in["roleArn"] = unknown{}
	in["tags"] = map[string]any{"a": "b"}
	out := s.preview(clusterType, "c", in)
	for _, path := range [][]string{
		{"arn"}, {"endpoint"}, {"certificateAuthority"}, {"identities"}, {"roleArn"}, {"vpcConfig", "clusterSecurityGroupId"}, {"vpcConfig", "vpcId"},
		{"kubernetesNetworkConfig"}, {"platformVersion"},
	} {
		if !provider.Unknown(out, path...) {
			t.Errorf("%v is known: %v", path, out)
		}
	}
	known := map[string]any{
		"name": provider.String(out, "name"), "subnets": len(provider.Strings(out, "vpcConfig", "subnetIds")),
		"tagsAll": provider.StringMap(out, "tagsAll"), "mode": provider.String(out, "accessConfig", "authenticationMode"),
	}
	want := map[string]any{"name": "c", "subnets": 4, "tagsAll": map[string]string{"team": "platform", "a": "b"}, "mode": "API"}
	if d := cmp.Diff(want, known); d != "" {
		t.Errorf("known (-want +got):\n%s", d)
	}
	if got := s.account.ListClusters(); len(got) != 0 {
		t.Errorf("the preview made %v", got)
	}
}

func TestPreviewOfAnUpdate(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	m := s.up(templateType, "controllers", templateInputs())
	out, err := s.tryUpdate(m, set(templateInputs(), "metadataOptions.httpPutResponseHopLimit", 2), true)
	if err != nil || !provider.Unknown(out, "latestVersion") || provider.String(out, "arn") != m.str("arn") {
		t.Errorf("a change of the data: %v, %v", out, err)
	}
	out, err = s.tryUpdate(m, set(templateInputs(), "tags", map[string]any{"a": "b"}), true)
	if err != nil || provider.String(out, "latestVersion") != "1" || provider.StringMap(out, "tagsAll")["a"] != "b" {
		t.Errorf("a change of the tags: %v, %v", out, err)
	}
	if v, err := s.account.DescribeLaunchTemplate(string(m.id)); err != nil || v.LatestVersion != 1 {
		t.Errorf("the preview changed the template: %+v, %v", v, err)
	}
}
