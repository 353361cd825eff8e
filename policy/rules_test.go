package main

import (
	"encoding/json"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// ruleCase is a resource and what a rule says of it.
type ruleCase struct {
	rule     string
	typ      tokens.Type
	in       object
	provider object
	want     []string // a text of each violation
	reason   string   // a text of why it is not applicable
}

func mapping(encrypted any) list {
	return list{object{"deviceName": "/dev/xvda", "ebs": object{"encrypted": encrypted}}}
}

func spec(in object) object { return object{"spec": in} }

// policy is the inputs of a resource with a policy document of one statement.
func policy(statement object) object {
	statement["Effect"] = "Allow"
	return object{"policy": policyDocument(statement)}
}

func policyDocument(statements ...any) string {
	text, err := json.Marshal(object{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func trust(statement object) object {
	statement["Effect"], statement["Action"] = "Allow", "sts:AssumeRole"
	return object{"assumeRolePolicy": policyDocument(statement)}
}

const (
	policyType  = tokens.Type("aws:iam/policy:Policy")
	roleType    = tokens.Type("aws:iam/role:Role")
	attachType  = tokens.Type("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
	clusterType = tokens.Type("aws:eks/cluster:Cluster")
	queueType   = tokens.Type("aws:sqs/queue:Queue")
)

func ruleCases() map[string]ruleCase {
	const volumes, imds, iam, endpoint, tags = "encrypted-volumes", "imdsv2", "no-wildcard-iam", "private-endpoint", "tagged"
	const instances = "arn:aws:ec2:us-west-1:*:instance/*"
	service := object{"Service": "ec2.amazonaws.com"}
	options := func(tokens, hops any) object {
		return object{"metadataOptions": object{"httpTokens": tokens, "httpPutResponseHopLimit": hops}}
	}
	defaults := object{"defaultTags": `{"tags":{"team":"platform"}}`}
	specifications := list{
		object{"resourceType": "instance", "tags": object{"Name": "controller"}},
		object{"resourceType": "volume", "tags": object{"Name": "controller"}},
	}
	return map[string]ruleCase{
		"template, encrypted":              {rule: volumes, typ: launchTemplateType, in: object{"blockDeviceMappings": mapping("true")}},
		"template, not encrypted":          {rule: volumes, typ: launchTemplateType, in: object{"blockDeviceMappings": mapping("false")}, want: []string{`blockDeviceMappings[0].ebs.encrypted is "false"; it must be true`}},
		"template, says nothing":           {rule: volumes, typ: launchTemplateType, in: object{"blockDeviceMappings": list{object{"ebs": object{}}}}, want: []string{"ebs.encrypted is not set"}},
		"template, no volume":              {rule: volumes, typ: launchTemplateType, in: object{}, want: []string{"blockDeviceMappings names no volume"}},
		"template, an instance's own disk": {rule: volumes, typ: launchTemplateType, in: object{"blockDeviceMappings": append(mapping("true"), object{"virtualName": "ephemeral0"})}},
		"template, encryption unknown":     {rule: volumes, typ: launchTemplateType, in: object{"blockDeviceMappings": mapping(unknownYet())}, reason: "blockDeviceMappings[0].ebs.encrypted is not known"},
		"template, volumes unknown":        {rule: volumes, typ: launchTemplateType, in: object{"blockDeviceMappings": unknownYet()}, reason: "blockDeviceMappings is not known"},
		"template, a volume unknown":       {rule: volumes, typ: launchTemplateType, in: object{"blockDeviceMappings": list{unknownYet()}}, reason: "blockDeviceMappings[0].ebs.encrypted is not known"},
		"template, one bad, one unknown":   {rule: volumes, typ: launchTemplateType, in: object{"blockDeviceMappings": append(mapping("false"), unknownYet())}, want: []string{"[0].ebs.encrypted"}},
		"configuration, encrypted":         {rule: volumes, typ: launchConfigurationType, in: object{"rootBlockDevice": object{"encrypted": true}}},
		"instance, not encrypted": {rule: volumes, typ: instanceType, in: object{"rootBlockDevice": object{"encrypted": true}, "ebsBlockDevices": list{object{"encrypted": true}, object{"encrypted": false}}},
			want: []string{"ebsBlockDevices[1].encrypted is false"}},
		"instance, says nothing":         {rule: volumes, typ: instanceType, in: object{}, want: []string{"rootBlockDevice.encrypted is not set"}},
		"instance of a template":         {rule: volumes, typ: instanceType, in: object{"launchTemplate": object{"id": "lt-1"}}},
		"volume, encrypted":              {rule: volumes, typ: volumeType, in: object{"encrypted": true}},
		"volume, secret":                 {rule: volumes, typ: volumeType, in: object{"encrypted": &resource.Secret{Element: resource.NewProperty(true)}}},
		"volume, not encrypted":          {rule: volumes, typ: volumeType, in: object{}, want: []string{"encrypted is not set"}},
		"group with a template":          {rule: volumes, typ: nodeGroupType, in: object{"launchTemplate": object{"id": unknownYet()}}},
		"group without one":              {rule: volumes, typ: nodeGroupType, in: object{}, want: []string{"launchTemplate is not set: EKS gives the nodes a root volume"}},
		"class, encrypted":               {rule: volumes, typ: nodeClassType, in: spec(object{"blockDeviceMappings": mapping(true)})},
		"class, not encrypted":           {rule: volumes, typ: nodeClassType, in: spec(object{"blockDeviceMappings": mapping(false)}), want: []string{"spec.blockDeviceMappings[0].ebs.encrypted is false"}},
		"class, Karpenter's own volumes": {rule: volumes, typ: nodeClassType, in: spec(object{"amiFamily": "AL2023"})},
		"class, an image's own volumes":  {rule: volumes, typ: nodeClassType, in: spec(object{"amiFamily": "Custom"}), want: []string{"names no volume"}},
		"class, unknown":                 {rule: volumes, typ: nodeClassType, in: object{"spec": unknownYet()}, reason: "spec.blockDeviceMappings is not known"},

		"tokens, one hop":              {rule: imds, typ: launchTemplateType, in: options("required", 1)},
		"no metadata service":          {rule: imds, typ: launchTemplateType, in: object{"metadataOptions": object{"httpEndpoint": "disabled"}}},
		"metadata service unknown":     {rule: imds, typ: launchTemplateType, in: object{"metadataOptions": object{"httpEndpoint": unknownYet()}}, reason: "metadataOptions.httpEndpoint"},
		"IMDSv1":                       {rule: imds, typ: launchTemplateType, in: options("optional", 1), want: []string{`metadataOptions.httpTokens is "optional"; it must be "required"`}},
		"two hops":                     {rule: imds, typ: launchTemplateType, in: options("required", 2), want: []string{"metadataOptions.httpPutResponseHopLimit is 2; it must be 1"}},
		"no options":                   {rule: imds, typ: launchTemplateType, in: object{}, want: []string{"httpTokens is not set", "httpPutResponseHopLimit is not set"}},
		"tokens unknown":               {rule: imds, typ: launchTemplateType, in: options(unknownYet(), 1), reason: "metadataOptions.httpTokens"},
		"tokens unknown, two hops":     {rule: imds, typ: launchTemplateType, in: options(unknownYet(), 2), want: []string{"HopLimit is 2"}},
		"instance, no options":         {rule: imds, typ: instanceType, in: object{}, want: []string{"httpTokens", "HopLimit"}},
		"instance, template's options": {rule: imds, typ: instanceType, in: object{"launchTemplate": object{"id": "lt-1"}}},
		"group, EKS's template":        {rule: imds, typ: nodeGroupType, in: object{}, want: []string{"answers two hops away"}},
		"group, own template":          {rule: imds, typ: nodeGroupType, in: object{"launchTemplate": object{"name": "x"}}},
		"class, CRD's defaults":        {rule: imds, typ: nodeClassType, in: spec(object{})},
		"class, two hops":              {rule: imds, typ: nodeClassType, in: spec(object{"metadataOptions": object{"httpPutResponseHopLimit": 2}}), want: []string{"spec.metadataOptions.httpPutResponseHopLimit is 2"}},
		"class, IMDSv1":                {rule: imds, typ: nodeClassType, in: spec(object{"metadataOptions": object{"httpTokens": "optional"}}), want: []string{"spec.metadataOptions.httpTokens"}},

		"named action, named resource": {rule: iam, typ: policyType, in: policy(object{"Action": "ec2:TerminateInstances", "Resource": list{instances}})},
		"action that knows no ARN":     {rule: iam, typ: policyType, in: policy(object{"Action": list{"ec2:DescribeInstances", "pricing:GetProducts", "IAM:listinstanceprofiles"}, "Resource": "*"})},
		"all actions":                  {rule: iam, typ: policyType, in: policy(object{"Action": "*", "Resource": instances}), want: []string{`allows Action "*"`}},
		"a service's actions":          {rule: iam, typ: policyType, in: policy(object{"Sid": "Much", "Action": list{"ec2:RunInstances", "ec2:Delete*"}, "Resource": instances}), want: []string{`policy, statement Much allows Action "ec2:Delete*"`}},
		"all but an action":            {rule: iam, typ: policyType, in: policy(object{"NotAction": "iam:PassRole", "Resource": instances}), want: []string{`everything but NotAction "iam:PassRole"`}},
		"all resources":                {rule: iam, typ: policyType, in: policy(object{"Action": list{"ec2:DescribeImages", "ssm:GetParameter"}, "Resource": "*"}), want: []string{`policy, statement 1 allows "ssm:GetParameter" on Resource "*"`}},
		"all of a service":             {rule: iam, typ: policyType, in: policy(object{"Action": "s3:GetObject", "Resource": "arn:aws:s3:::*"}), want: []string{`"arn:aws:s3:::*"`}},
		"all but a resource":           {rule: iam, typ: policyType, in: policy(object{"Action": "s3:GetObject", "NotResource": "arn:aws:s3:::mine/*"}), want: []string{"everything but NotResource"}},
		"bound by a tag": {rule: iam, typ: policyType, in: policy(object{"Action": "ec2:StopInstances", "Resource": "*",
			"Condition": object{"StringEquals": object{"aws:ResourceTag/cluster": "blue"}}})},
		"bound by an identifier": {rule: iam, typ: policyType, in: policy(object{"Action": "arc-zonal-shift:GetManagedResource", "Resource": "*",
			"Condition": object{"StringEquals": object{"arc-zonal-shift:ResourceIdentifier": list{"arn:aws:eks:us-west-1:1:cluster/c"}}}})},
		"bound to every tag": {rule: iam, typ: policyType, in: policy(object{"Action": "ec2:StopInstances", "Resource": "*",
			"Condition": object{"StringLike": object{"aws:ResourceTag/cluster": "*"}}}), want: []string{"ec2:StopInstances"}},
		"bound where there is a tag": {rule: iam, typ: policyType, in: policy(object{"Action": "ec2:StopInstances", "Resource": "*",
			"Condition": object{"StringEqualsIfExists": object{"aws:ResourceTag/cluster": "blue"}}}), want: []string{"ec2:StopInstances"}},
		"bound to a region": {rule: iam, typ: policyType, in: policy(object{"Action": "ec2:StopInstances", "Resource": "*",
			"Condition": object{"StringEquals": object{"aws:RequestedRegion": "us-west-1"}}}), want: []string{"ec2:StopInstances"}},
		"denied":           {rule: iam, typ: policyType, in: object{"policy": policyDocument(object{"Effect": "Deny", "Action": "*", "Resource": "*"})}},
		"policy unknown":   {rule: iam, typ: policyType, in: object{"policy": unknownYet()}, reason: "policy is not known"},
		"not JSON":         {rule: iam, typ: policyType, in: object{"policy": "{"}, want: []string{"is no policy document"}},
		"policy as object": {rule: iam, typ: policyType, in: object{"policy": object{"Statement": list{object{"Effect": "Allow", "Action": "s3:*", "Resource": instances}}}}, want: []string{"s3:*"}},
		"inline policy":    {rule: iam, typ: roleType, in: object{"assumeRolePolicy": "{}", "inlinePolicies": list{policy(object{"Action": "sqs:*", "Resource": instances})}}, want: []string{"inlinePolicies[0].policy, statement 1"}},
		"inline unknown":   {rule: iam, typ: roleType, in: object{"assumeRolePolicy": "{}", "inlinePolicies": unknownYet()}, reason: "inlinePolicies"},
		"service's role":   {rule: iam, typ: roleType, in: trust(object{"Principal": service})},
		"anybody's role":   {rule: iam, typ: roleType, in: trust(object{"Principal": "*"}), want: []string{`Principal "*"`}},
		"any AWS account's role": {rule: iam, typ: roleType, in: trust(object{"Principal": object{"AWS": list{"123456789012", "*"}}}),
			want: []string{"lets Principal"}},
		"the organization's role": {rule: iam, typ: roleType, in: trust(object{"Principal": object{"AWS": "*"}, "Condition": object{"StringEquals": object{"aws:PrincipalOrgID": "o-1"}}})},
		"everybody else's role":   {rule: iam, typ: roleType, in: trust(object{"NotPrincipal": service}), want: []string{"NotPrincipal"}},
		"AWS's narrow policy":     {rule: iam, typ: attachType, in: object{"policyArn": "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"}},
		"own policy":              {rule: iam, typ: attachType, in: object{"policyArn": unknownYet()}, reason: "policyArn"},
		"administrator":           {rule: iam, typ: attachType, in: object{"policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}, want: []string{"policyArn is"}},
		"full access by a role":   {rule: iam, typ: roleType, in: object{"assumeRolePolicy": "{}", "managedPolicyArns": list{"arn:aws:iam::aws:policy/AmazonS3FullAccess"}}, want: []string{"managedPolicyArns[0]"}},

		"private endpoint on":      {rule: endpoint, typ: clusterType, in: object{"vpcConfig": object{"endpointPrivateAccess": true}}},
		"private endpoint off":     {rule: endpoint, typ: clusterType, in: object{"vpcConfig": object{"endpointPrivateAccess": false}}, want: []string{"vpcConfig.endpointPrivateAccess is false; it must be true"}},
		"private endpoint left":    {rule: endpoint, typ: clusterType, in: object{"vpcConfig": object{}}, want: []string{"is not set"}},
		"private endpoint unknown": {rule: endpoint, typ: clusterType, in: object{"vpcConfig": unknownYet()}, reason: "vpcConfig.endpointPrivateAccess"},

		"tags":                         {rule: tags, typ: queueType, in: object{"tags": object{"team": "platform"}}},
		"a tag's value unknown":        {rule: tags, typ: queueType, in: object{"tags": object{"team": unknownYet()}}},
		"tags unknown":                 {rule: tags, typ: queueType, in: object{"tags": unknownYet()}, reason: "tags is not known"},
		"default tags":                 {rule: tags, typ: queueType, in: object{}, provider: defaults},
		"default tags as object":       {rule: tags, typ: queueType, in: object{}, provider: object{"defaultTags": object{"tags": object{"a": "b"}}}},
		"default tags unknown":         {rule: tags, typ: queueType, in: object{}, provider: object{"defaultTags": unknownYet()}, reason: "its provider's defaultTags"},
		"no tags":                      {rule: tags, typ: queueType, in: object{"tags": object{}}, provider: object{}, want: []string{"it has no tags, and the provider aws gives it none"}},
		"no default tags":              {rule: tags, typ: queueType, in: object{}, provider: object{"defaultTags": `{"tags":{}}`}, want: []string{"no tags"}},
		"default tags that are none":   {rule: tags, typ: queueType, in: object{}, provider: object{"defaultTags": "x"}, want: []string{"no tags"}},
		"no provider":                  {rule: tags, typ: queueType, in: object{}, want: []string{"it has no tags"}},
		"group takes no default tags":  {rule: tags, typ: groupType, in: object{}, provider: defaults, want: []string{"it has no tags"}},
		"group's own tags":             {rule: tags, typ: groupType, in: object{"tags": list{object{"key": "a", "value": "b", "propagateAtLaunch": true}}}},
		"template's instances":         {rule: tags, typ: launchTemplateType, in: object{"tagSpecifications": specifications}, provider: defaults},
		"template's volumes":           {rule: tags, typ: launchTemplateType, in: object{"tagSpecifications": specifications[:1]}, provider: defaults, want: []string{`tagSpecifications of resourceType "volume" is not set`}},
		"template's instances unknown": {rule: tags, typ: launchTemplateType, in: object{"tagSpecifications": unknownYet()}, provider: defaults, reason: "tagSpecifications"},
		"one of them unknown":          {rule: tags, typ: launchTemplateType, in: object{"tagSpecifications": append(list{unknownYet()}, specifications[0])}, provider: defaults, reason: `"volume" is not known`},
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	for name, tc := range ruleCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			judge(t, one(tc.typ, tc.in, tc.provider)).expect(t, tc.rule, tc.want, tc.reason)
		})
	}
}

// What the issue asks for: each rule has a case that passes and one that fails.
func TestEachRuleIsTestedBothWays(t *testing.T) {
	t.Parallel()
	passes, fails := map[string]bool{}, map[string]bool{}
	for _, tc := range ruleCases() {
		passes[tc.rule] = passes[tc.rule] || tc.want == nil && tc.reason == ""
		fails[tc.rule] = fails[tc.rule] || tc.want != nil
	}
	for _, tc := range slicesCases() {
		passes[slicesAgree().name] = passes[slicesAgree().name] || tc.want == nil && tc.reason == ""
		fails[slicesAgree().name] = fails[slicesAgree().name] || tc.want != nil
	}
	for _, r := range rules() {
		if !passes[r.name] || !fails[r.name] {
			t.Errorf("%s has a passing case: %t, a failing one: %t", r.name, passes[r.name], fails[r.name])
		}
	}
}

// A rule has no opinion on what it is not about, and says so.
func TestRulesKeepToTheirTypes(t *testing.T) {
	t.Parallel()
	v := judge(t, one("kubernetes:core/v1:Namespace", object{"metadata": object{"name": "x"}}, nil))
	if len(v.violations) != 0 || len(v.reasons) != len(rules())-1 {
		t.Errorf("violations %v; %v not applicable, want all rules but the stack's", v.violations, sorted(v.reasons))
	}
}
