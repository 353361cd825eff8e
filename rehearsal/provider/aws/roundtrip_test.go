package aws_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// whole makes one of everything the program makes, and gives the inputs.
func whole(t *testing.T, config map[string]any) (*stack, map[*made]map[string]any) {
	t.Helper()
	s := open(t, "us-west-2", "no-spot-role", config)
	inputs := map[*made]map[string]any{}
	up := func(typ, name string, in map[string]any) *made {
		t.Helper()
		m := s.up(typ, name, in)
		inputs[m] = in
		return m
	}
	attach := func(name string, role *made, policy string) {
		t.Helper()
		up("aws:iam/rolePolicyAttachment:RolePolicyAttachment", name, map[string]any{"role": role.str("name"), "policyArn": policy})
	}
	up("aws:cloudwatch/logGroup:LogGroup", "logs", map[string]any{"name": "/aws/eks/c/cluster", "retentionInDays": 30})
	clusterRole := up(roleType, "cluster", s.roleInputs("c-cluster", "eks.amazonaws.com"))
	attach("cluster-0", clusterRole, "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy")
	nodeRole := up(roleType, "node", s.roleInputs("c-node", "ec2.amazonaws.com"))
	attach("node-0", nodeRole, "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy")
	podRole := up(roleType, "pod", s.roleInputs("c-pod", "pods.eks.amazonaws.com"))
	policy := up("aws:iam/policy:Policy", "p", map[string]any{"name": "c-p", "policy": allowAll})
	attach("pod-0", podRole, policy.str("arn"))

	sg := up("aws:ec2/securityGroup:SecurityGroup", "firewall", map[string]any{"vpcId": s.answer("aws:ec2/getVpc:getVpc", map[string]any{"default": true})["id"], "revokeRulesOnDelete": true, "tags": map[string]any{"Name": "x"}})
	up("aws:ec2/securityGroupRule:SecurityGroupRule", "egress", map[string]any{
		"type": "egress", "fromPort": 0, "toPort": 0, "protocol": "-1", "cidrBlocks": []any{"0.0.0.0/0"},
		"securityGroupId": string(sg.id), "description": "Allow internet access.",
	})
	key := up("aws:kms/key:Key", "secrets", map[string]any{
		"description": "d", "enableKeyRotation": true, "deletionWindowInDays": 7,
		"policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:root","` + clusterRole.str("arn") + `"]},"Action":"kms:*","Resource":"*"}]}`,
	})
	up("aws:kms/alias:Alias", "secrets", map[string]any{"name": "alias/eks/c", "targetKeyId": key.str("keyId")})
	clusterIn := set(s.clusterInputs(clusterRole), "vpcConfig.securityGroupIds", []any{string(sg.id)})
	clusterIn["encryptionConfig"] = map[string]any{"provider": map[string]any{"keyArn": key.str("arn")}, "resources": []any{"secrets"}}
	cluster := up(clusterType, "c", clusterIn)
	up("aws:eks/accessEntry:AccessEntry", "node", map[string]any{"clusterName": cluster.str("name"), "principalArn": nodeRole.str("arn"), "type": "EC2_LINUX"})
	up("aws:eks/accessEntry:AccessEntry", "viewer", map[string]any{"clusterName": "c", "principalArn": podRole.str("arn"), "kubernetesGroups": []any{"viewers"}})
	up("aws:eks/accessPolicyAssociation:AccessPolicyAssociation", "view", map[string]any{
		"clusterName": "c", "principalArn": podRole.str("arn"), "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
		"accessScope": map[string]any{"type": "namespace", "namespaces": []any{"a", "b"}},
	})
	for _, addon := range []string{"vpc-cni", "kube-proxy", "eks-pod-identity-agent"} {
		up("aws:eks/addon:Addon", addon, map[string]any{"clusterName": "c", "addonName": addon, "resolveConflictsOnCreate": "OVERWRITE", "resolveConflictsOnUpdate": "OVERWRITE"})
	}
	template := up(templateType, "controllers", templateInputs())
	up(groupType, "controllers", s.nodegroupInputs(nodeRole, template))
	up("aws:eks/addon:Addon", "coredns", map[string]any{"clusterName": "c", "addonName": "coredns", "configurationValues": `{"tolerations":[]}`})
	up("aws:eks/podIdentityAssociation:PodIdentityAssociation", "karpenter", map[string]any{
		"clusterName": "c", "namespace": "kube-system", "serviceAccount": "karpenter", "roleArn": podRole.str("arn"),
	})
	queue := up(queueType, "q", map[string]any{"name": "c", "messageRetentionSeconds": 300, "sqsManagedSseEnabled": true})
	up("aws:sqs/queuePolicy:QueuePolicy", "q", map[string]any{
		"queueUrl": queue.str("url"),
		"policy":   `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"` + queue.str("arn") + `"}]}`,
	})
	rule := up("aws:cloudwatch/eventRule:EventRule", "r", map[string]any{"name": "c-r", "description": "d", "eventPattern": `{"source":["aws.ec2"]}`})
	up("aws:cloudwatch/eventTarget:EventTarget", "r", map[string]any{"rule": rule.str("name"), "targetId": "queue", "arn": queue.str("arn")})
	up("aws:iam/serviceLinkedRole:ServiceLinkedRole", "spot", map[string]any{"awsServiceName": "spot.amazonaws.com", "description": "d"})
	return s, inputs
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]map[string]any{
		"without default tags": nil,
		"with default tags":    {"defaultTags": `{"tags":{"team":"platform"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, inputs := whole(t, config)
			for _, m := range s.made {
				if d := s.diff(m, inputs[m]); d.Changes != plugin.DiffNone {
					t.Errorf("a second preview of %s %s shows a change: %v", m.typ, m.name, kinds(d))
				}
				if d := s.drift(m); len(d) > 0 {
					t.Errorf("a refresh of %s %s shows a change: %v", m.typ, m.name, d)
				}
				now := s.refresh(m)
				if d := cmp.Diff(m.in.Mappable(), now.Inputs.Mappable()); d != "" {
					t.Errorf("inputs of %s %s after a refresh (-before +after):\n%s", m.typ, m.name, d)
				}
				if m.out.ContainsUnknowns() {
					t.Errorf("outputs of %s %s hold unknowns: %v", m.typ, m.name, m.out)
				}
			}
			s.destroy()
		})
	}
}

// TestImport reads resources of which nothing but the ID is known.
func TestImport(t *testing.T) {
	t.Parallel()
	s, _ := whole(t, nil)
	for _, m := range s.made {
		id := string(m.id)
		switch m.typ { // these are imported by another ID
		case "aws:ec2/securityGroupRule:SecurityGroupRule":
			id = m.str("securityGroupId") + "_egress_all_0_0_0.0.0.0/0"
		case "aws:eks/podIdentityAssociation:PodIdentityAssociation":
			id = m.str("clusterName") + "," + id
		case "aws:cloudwatch/eventTarget:EventTarget":
			id = m.str("rule") + "/" + m.str("targetId")
		}
		now := s.refresh(&made{typ: m.typ, name: m.name, id: resource.ID(id)})
		if now.ID != m.id || len(now.Inputs) == 0 {
			t.Errorf("%s %s: imported %+v", m.typ, m.name, now)
		}
		for k, v := range now.Outputs {
			// Others changed these outputs after the resource was made.
			later := slices.Contains([]string{"attachmentCount", "managedPolicyArns", "egress", "policy"}, string(k))
			if want := m.out[k]; !v.DeepEquals(want) && !later {
				t.Errorf("%s %s: %s is %v, was %v", m.typ, m.name, k, v, want)
			}
		}
	}
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	s, _ := whole(t, nil)
	const acct = "111122223333"
	want := map[string]map[string]string{
		roleType + "/node": {"arn": "arn:aws:iam::" + acct + ":role/c-node", "id": "c-node"},
		clusterType + "/c": {
			"arn": "arn:aws:eks:us-west-2:" + acct + ":cluster/c", "id": "c", "status": "ACTIVE", "version": "1.28",
			"endpoint": "https://*.gr7.us-west-2.eks.amazonaws.com", "vpcConfig.clusterSecurityGroupId": "sg-*", "vpcConfig.vpcId": "vpc-*",
			"certificateAuthority.data": "LS0t*", "accessConfig.authenticationMode": "API", "kubernetesNetworkConfig.serviceIpv4Cidr": "172.20.0.0/16",
		},
		groupType + "/controllers": {
			"id": "c:controllers", "arn": "arn:aws:eks:us-west-2:" + acct + ":nodegroup/c/controllers/*", "status": "ACTIVE",
			"capacityType": "ON_DEMAND", "launchTemplate.name": "controllers", "releaseVersion": "1.28.15-*",
		},
		"aws:kms/key:Key/secrets":                          {"arn": "arn:aws:kms:us-west-2:" + acct + ":key/*", "rotationPeriodInDays": "365", "keyUsage": "ENCRYPT_DECRYPT"},
		"aws:kms/alias:Alias/secrets":                      {"id": "alias/eks/c", "arn": "arn:aws:kms:us-west-2:" + acct + ":alias/eks/c", "targetKeyArn": "arn:aws:kms:us-west-2:" + acct + ":key/*"},
		queueType + "/q":                                   {"url": "https://sqs.us-west-2.amazonaws.com/" + acct + "/c", "arn": "arn:aws:sqs:us-west-2:" + acct + ":c", "visibilityTimeoutSeconds": "30"},
		templateType + "/controllers":                      {"latestVersion": "1", "defaultVersion": "1", "arn": "arn:aws:ec2:us-west-2:" + acct + ":launch-template/lt-*"},
		"aws:ec2/securityGroup:SecurityGroup/firewall":     {"name": "firewall-*", "description": "Managed by Pulumi", "ownerId": acct},
		"aws:eks/accessEntry:AccessEntry/node":             {"id": "c:arn:aws:iam::" + acct + ":role/c-node", "userName": "system:node:{{EC2PrivateDNSName}}"},
		"aws:iam/serviceLinkedRole:ServiceLinkedRole/spot": {"name": "AWSServiceRoleForEC2Spot", "path": "/aws-service-role/spot.amazonaws.com/"},
	}
	for _, m := range s.made {
		for path, pattern := range want[m.typ+"/"+m.name] {
			got := string(m.id)
			if path != "id" {
				got = m.str(strings.Split(path, ".")...)
			}
			before, after, _ := strings.Cut(pattern, "*")
			matches := strings.HasPrefix(got, before) && strings.HasSuffix(got, after) && len(got) > len(pattern)
			if got != pattern && !matches {
				t.Errorf("%s %s: %s is %q, want %q", m.typ, m.name, path, got, pattern)
			}
		}
		delete(want, m.typ+"/"+m.name)
	}
	if len(want) > 0 {
		t.Errorf("not made: %v", want)
	}
}

func TestDriftShows(t *testing.T) {
	t.Parallel()
	s, _ := whole(t, map[string]any{"defaultTags": `{"tags":{"team":"platform"}}`})
	by := map[string]*made{}
	for _, m := range s.made {
		by[m.typ+"/"+m.name] = m
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a := s.account
	tests := []struct {
		resource string
		change   func()
		want     map[string]plugin.DiffKind
	}{
		{roleType + "/node", func() { ok(a.UpdateRole("c-node", "by hand", 7200)) },
			map[string]plugin.DiffKind{"description": plugin.DiffDelete, "maxSessionDuration": plugin.DiffUpdate}},
		{roleType + "/pod", func() { ok(a.TagRole("c-pod", map[string]string{"by": "hand"})) },
			map[string]plugin.DiffKind{"tags": plugin.DiffDelete}},
		{roleType + "/cluster", func() { ok(a.UntagRole("c-cluster", []string{"team"})) },
			map[string]plugin.DiffKind{"tagsAll.team": plugin.DiffAdd}},
		{queueType + "/q", func() {
			ok(a.SetQueueAttributes(by[queueType+"/q"].str("url"), map[string]string{"MessageRetentionPeriod": "600"}))
		},
			map[string]plugin.DiffKind{"messageRetentionSeconds": plugin.DiffUpdate}},
		{clusterType + "/c", func() { ok(a.UpdateClusterLogging("c", []string{"audit"})) },
			map[string]plugin.DiffKind{"enabledClusterLogTypes[1]": plugin.DiffAdd}},
		{groupType + "/controllers", func() {
			n, err := a.DescribeNodegroup("c", "controllers")
			ok(err)
			n.Scaling.Desired = 3
			ok(a.UpdateNodegroupConfig("c", "controllers", n.Scaling, n.Labels, nil, n.Update))
		}, map[string]plugin.DiffKind{"scalingConfig.desiredSize": plugin.DiffUpdate, "taints": plugin.DiffAdd}},
	}
	for _, tc := range tests {
		tc.change()
		if d := cmp.Diff(tc.want, s.drift(by[tc.resource])); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.resource, d)
		}
	}
	ok(a.DeleteAddon("c", "coredns", false))
	ok(a.DetachRolePolicy("c-node", "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"))
	for _, gone := range []string{"aws:eks/addon:Addon/coredns", "aws:iam/rolePolicyAttachment:RolePolicyAttachment/node-0"} {
		if now := s.refresh(by[gone]); now.ID != "" {
			t.Errorf("%s is deleted and a refresh still finds %q", gone, now.ID)
		}
		if err := s.delete(by[gone]); err != nil {
			t.Errorf("deleting %s, which is gone: %v", gone, err)
		}
	}
}

func TestAutonames(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	for typ, key := range map[string]string{
		roleType: "name", "aws:iam/policy:Policy": "name", queueType: "name", "aws:ec2/securityGroup:SecurityGroup": "name", clusterType: "name",
		groupType: "nodeGroupName", templateType: "name", "aws:cloudwatch/eventRule:EventRule": "name", "aws:cloudwatch/logGroup:LogGroup": "name",
	} {
		in, _ := s.check(typ, "thing", map[string]any{}, nil)
		name := in[resource.PropertyKey(key)].StringValue()
		suffix, ok := strings.CutPrefix(name, "thing-")
		if !ok || len(suffix) != 7 || strings.Trim(suffix, "0123456789abcdef") != "" {
			t.Errorf("%s: made-up name %q, want thing- and seven hexadecimal digits", typ, name)
		}
		again, _ := s.check(typ, "thing", map[string]any{}, &made{in: resource.PropertyMap{resource.PropertyKey(key): resource.NewStringProperty("kept")}})
		if got := again[resource.PropertyKey(key)].StringValue(); got != "kept" {
			t.Errorf("%s: the name kept became %q", typ, got)
		}
	}
}

// TestImportRefuses: an ID of another form than that of a type's import.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	for id, typ := range map[string]string{
		"rule-target": "aws:cloudwatch/eventTarget:EventTarget", "a-1234": "aws:eks/podIdentityAssociation:PodIdentityAssociation",
		"sgrule-1": "aws:ec2/securityGroupRule:SecurityGroupRule", "sg-1_in_tcp_1_2_self": "aws:ec2/securityGroupRule:SecurityGroupRule",
		"sg-1_ingress_tcp_http_2_self": "aws:ec2/securityGroupRule:SecurityGroupRule",
	} {
		_, err := s.Read(t.Context(), plugin.ReadRequest{URN: urn(typ, "x"), Name: "x", Type: tokens.Type(typ), ID: resource.ID(id)})
		wantWords(t, err, "unexpected format for ID ("+id+"), expected ")
	}
}

// TestImportedRule reads a rule of each kind of peer by its ID.
func TestImportedRule(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	g, other := s.up("aws:ec2/securityGroup:SecurityGroup", "g", map[string]any{"name": "g"}), s.up("aws:ec2/securityGroup:SecurityGroup", "o", map[string]any{"name": "o"})
	for peer, in := range map[string]map[string]any{
		"self":                     {"self": true},
		string(other.id):           {"sourceSecurityGroupId": string(other.id)},
		"10.0.0.0/8_2001:db8::/48": {"cidrBlocks": []any{"10.0.0.0/8"}, "ipv6CidrBlocks": []any{"2001:db8::/48"}},
	} {
		r := s.up("aws:ec2/securityGroupRule:SecurityGroupRule", peer, set(set(set(set(set(in, "type", "ingress"), "protocol", "tcp"), "fromPort", 1), "toPort", 2), "securityGroupId", string(g.id)))
		now := s.refresh(&made{typ: r.typ, name: r.name, id: g.id + "_ingress_tcp_1_2_" + resource.ID(peer)})
		if d := cmp.Diff(r.out.Mappable(), now.Outputs.Mappable()); d != "" || now.ID != r.id {
			t.Errorf("%s: imported as %s (-made +imported):\n%s", peer, now.ID, d)
		}
	}
}
