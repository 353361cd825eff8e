package karpenter

import (
	"fmt"
	"maps"

	"eks-gpu-slicing/internal/account"
	"eks-gpu-slicing/internal/iampolicy"
)

// Policy is one of the controller's IAM policies.
type Policy struct {
	// Part names it within the stack, such as node-lifecycle.
	Part string
	// Document is what it allows.
	Document iampolicy.Document
}

// PolicyArgs are the names that the controller's permissions are bound to. They
// are known before anything exists, so no policy waits for the cluster.
type PolicyArgs struct {
	Account *account.Account
	// Cluster is the EKS cluster's name.
	Cluster string
	// NodeRole is the name of the role that Karpenter's nodes get.
	NodeRole string
	// Queue is the name of the interruption queue.
	Queue string
	// SharedNetwork tells that subnets and what is launched into may be of another account
	// that shares them, as in a VPC of an organisation's.
	SharedNetwork bool
}

const (
	nodePoolTag   = "karpenter.sh/nodepool"
	nodeClaimTag  = "karpenter.sh/nodeclaim"
	nodeClassTag  = "karpenter.k8s.aws/ec2nodeclass"
	clusterTag    = "eks:eks-cluster-name"
	regionTag     = "topology.kubernetes.io/region"
	anyValue      = "*"
	ownedValue    = "owned"
	stringEquals  = "StringEquals"
	stringLike    = "StringLike"
	requestTag    = "aws:RequestTag/"
	resourceTag   = "aws:ResourceTag/"
	ownerTagStart = "kubernetes.io/cluster/"
)

// ControllerPolicies are the permissions of Karpenter's controller, after the
// template of its getting-started guide for 1.14. IAM takes 6,144 characters a
// policy, so they are split by what they are for. Every writing action is bound
// to this cluster's own tags.
func ControllerPolicies(args PolicyArgs) []Policy {
	return []Policy{
		{Part: "node-launch", Document: iampolicy.New(launchStatements(args)...)},
		{Part: "node-lifecycle", Document: iampolicy.New(lifecycleStatements(args)...)},
		{Part: "instance-profiles", Document: iampolicy.New(profileStatements(args)...)},
		{Part: "discovery", Document: iampolicy.New(discoveryStatements(args)...)},
	}
}

// ownARNs are the ARNs of EC2 resources of this account and region.
func (p PolicyArgs) ownARNs(kinds ...string) []string { return p.ec2ARNs(p.Account.ID, kinds...) }

// ec2ARNs are the ARNs of EC2 resources of this region and an account.
func (p PolicyArgs) ec2ARNs(account string, kinds ...string) []string {
	var arns []string
	for _, kind := range kinds {
		arns = append(arns, fmt.Sprintf("arn:%s:ec2:%s:%s:%s/*", p.Account.Partition, p.Account.Region, account, kind))
	}
	return arns
}

// imageParameters are the ARNs of AWS's public parameters in which Karpenter looks the
// images of its AMI families up (its pkg/providers/amifamily): Amazon Linux, which is the
// stack's, and those that a node class of the user's own may ask for.
func (p PolicyArgs) imageParameters() []string {
	var arns []string
	for _, folder := range []string{"eks/optimized-ami", "bottlerocket", "ami-windows-latest"} {
		arns = append(arns, fmt.Sprintf("arn:%s:ssm:%s::parameter/aws/service/%s/*", p.Account.Partition, p.Account.Region, folder))
	}
	return arns
}

func (p PolicyArgs) ownerTag() string { return ownerTagStart + p.Cluster }

// ownTags is the condition that a request, or a thing, carries this cluster's
// tags. where is requestTag or resourceTag.
func (p PolicyArgs) ownTags(where string) iampolicy.Conditions {
	return iampolicy.Conditions{
		stringEquals: {where + p.ownerTag(): {ownedValue}},
		stringLike:   {where + nodePoolTag: {anyValue}},
	}
}

// taggedAtCreation is ownTags of a request, and the tag EKS's own tools go by.
func (p PolicyArgs) taggedAtCreation() iampolicy.Conditions {
	c := p.ownTags(requestTag)
	c[stringEquals][requestTag+clusterTag] = []string{p.Cluster}
	return c
}

// made are the kinds of thing that one launch creates.
var made = []string{"fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request"}

func launchStatements(p PolicyArgs) []iampolicy.Statement {
	creation := p.taggedAtCreation()
	creation[stringEquals]["ec2:CreateAction"] = []string{"RunInstances", "CreateFleet", "CreateLaunchTemplate"}
	launch := []string{"ec2:RunInstances", "ec2:CreateFleet"}
	owner := p.Account.ID
	if p.SharedNetwork {
		owner = "*"
	}
	return []iampolicy.Statement{
		{
			Sid:    "LaunchFrom",
			Action: launch,
			Resource: append(p.ec2ARNs("", "image", "snapshot"), // Amazon's own carry no account
				p.ec2ARNs(owner, "security-group", "subnet", "capacity-reservation")...),
		},
		{
			Sid:       "LaunchFromOwnTemplates",
			Action:    launch,
			Resource:  p.ownARNs("launch-template"),
			Condition: p.ownTags(resourceTag),
		},
		{
			Sid:       "LaunchTagged",
			Action:    launch,
			Resource:  p.ownARNs("instance", "volume", "network-interface", "spot-instances-request"),
			Condition: p.taggedAtCreation(),
		},
		{
			Sid:       "FleetTagged",
			Action:    []string{"ec2:CreateFleet"},
			Resource:  p.ownARNs("fleet"),
			Condition: p.taggedAtCreation(),
		},
		{
			Sid:       "TemplateTagged",
			Action:    []string{"ec2:CreateLaunchTemplate"},
			Resource:  p.ownARNs("launch-template"),
			Condition: p.taggedAtCreation(),
		},
		{
			Sid:       "TagAtCreation",
			Action:    []string{"ec2:CreateTags"},
			Resource:  p.ownARNs(made...),
			Condition: creation,
		},
	}
}

func lifecycleStatements(p PolicyArgs) []iampolicy.Statement {
	late := p.ownTags(resourceTag)
	late["StringEqualsIfExists"] = map[string][]string{requestTag + clusterTag: {p.Cluster}}
	late["ForAllValues:StringEquals"] = map[string][]string{"aws:TagKeys": {clusterTag, nodeClaimTag, "Name"}}
	return []iampolicy.Statement{
		{
			Sid:       "TagOwnInstances",
			Action:    []string{"ec2:CreateTags"},
			Resource:  p.ownARNs("instance"),
			Condition: late,
		},
		{
			Sid:       "EndOwnInstances",
			Action:    []string{"ec2:TerminateInstances"},
			Resource:  p.ownARNs("instance"),
			Condition: p.ownTags(resourceTag),
		},
		{
			Sid:       "DeleteOwnTemplates",
			Action:    []string{"ec2:DeleteLaunchTemplate"},
			Resource:  p.ownARNs("launch-template"),
			Condition: p.ownTags(resourceTag),
		},
		{
			Sid:      "Interruptions",
			Action:   []string{"sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"},
			Resource: []string{p.Account.ARN("sqs", p.Queue)},
		},
	}
}

// profileTags is the condition of an instance profile's tags.
func (p PolicyArgs) profileTags(where string) iampolicy.Conditions {
	return iampolicy.Conditions{
		stringEquals: {
			where + p.ownerTag(): {ownedValue},
			where + clusterTag:   {p.Cluster},
			where + regionTag:    {p.Account.Region},
		},
		stringLike: {where + nodeClassTag: {anyValue}},
	}
}

// ownProfiles are the ARNs of the instance profiles that Karpenter makes for the cluster: it
// puts them under this path since 1.7 (FormatPath of its pkg/providers/instanceprofile).
func (p PolicyArgs) ownProfiles() []string {
	return []string{p.Account.IAM(fmt.Sprintf("instance-profile/karpenter/%s/%s/*", p.Account.Region, p.Cluster))}
}

func profileStatements(p PolicyArgs) []iampolicy.Statement {
	profiles := p.ownProfiles()
	tagging := p.profileTags(requestTag)
	existing := p.profileTags(resourceTag)
	// A profile that Karpenter made before it set this tag must stay taggable.
	delete(existing[stringEquals], resourceTag+clusterTag)
	maps.Copy(tagging[stringEquals], existing[stringEquals])
	tagging[stringLike][resourceTag+nodeClassTag] = []string{anyValue}
	return []iampolicy.Statement{
		{
			Sid:       "PassNodeRole",
			Action:    []string{"iam:PassRole"},
			Resource:  []string{p.Account.IAM("role/" + p.NodeRole)},
			Condition: iampolicy.Conditions{stringEquals: {"iam:PassedToService": {"ec2." + p.Account.DNSSuffix}}},
		},
		{Sid: "CreateProfile", Action: []string{"iam:CreateInstanceProfile"}, Resource: profiles, Condition: p.profileTags(requestTag)},
		{Sid: "TagProfile", Action: []string{"iam:TagInstanceProfile"}, Resource: profiles, Condition: tagging},
		{
			Sid:       "ChangeOwnProfile",
			Action:    []string{"iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile", "iam:DeleteInstanceProfile"},
			Resource:  profiles,
			Condition: existing,
		},
		{Sid: "ReadProfile", Action: []string{"iam:GetInstanceProfile"}, Resource: profiles},
		// Karpenter looks for a profile before it makes it, and for one of before 1.7 before
		// its class is gone. IAM knows no path of a profile that is not there, and Karpenter
		// takes a denial for an answer that it must have: it has to hear that there is none.
		{Sid: "SeekProfile", Action: []string{"iam:GetInstanceProfile"}, Resource: []string{p.Account.IAM("instance-profile/" + p.Cluster + "_*")}},
		// Without it an EC2NodeClass is never gone (karpenter-provider-aws issue
		// 9185). IAM's reference has no narrower resource for the list.
		{Sid: "ListProfiles", Action: []string{"iam:ListInstanceProfiles"}, Resource: []string{"*"}},
	}
}

// discoveryStatements lack, of Karpenter's own template, what Karpenter asks only where a
// node class selects placement groups or capacity reservations, or where zonal shift is
// turned on, as nothing of the stack does.
func discoveryStatements(p PolicyArgs) []iampolicy.Statement {
	cluster := p.Account.ARN("eks", "cluster/"+p.Cluster)
	return []iampolicy.Statement{
		{
			// EC2's Describe actions know no resource narrower than all.
			Sid: "ReadEC2",
			Action: []string{
				"ec2:DescribeImages", "ec2:DescribeInstances", "ec2:DescribeInstanceStatus", "ec2:DescribeInstanceTypeOfferings",
				"ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplates", "ec2:DescribeSecurityGroups",
				"ec2:DescribeSpotPriceHistory", "ec2:DescribeSubnets",
			},
			Resource:  []string{"*"},
			Condition: iampolicy.Conditions{stringEquals: {"aws:RequestedRegion": {p.Account.Region}}},
		},
		{
			Sid:      "ReadAMIs",
			Action:   []string{"ssm:GetParameter"},
			Resource: p.imageParameters(),
		},
		{Sid: "ReadPrices", Action: []string{"pricing:GetProducts"}, Resource: []string{"*"}},
		{Sid: "ReadCluster", Action: []string{"eks:DescribeCluster"}, Resource: []string{cluster}},
	}
}
