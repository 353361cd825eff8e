package authz

import "sync"

// The table below is the part of AWS's Service Authorization Reference (read in its edition of
// September 2026) that the stack, its nodes and Karpenter use: for each action the types of
// resource it is authorised on, which of them are required, and the condition keys of each.
// A key that ends in a slash stands for one key per tag.
//
// What the reference leaves open is settled by what works on AWS with Karpenter's official
// policies (its cloudformation.yaml): iam:CreateInstanceProfile with tags needs no
// iam:TagInstanceProfile, and ec2:DescribeX and iam:ListInstanceProfiles are allowed on "*" only.

const (
	requestTags  = "aws:RequestTag/ aws:TagKeys"
	iamTags      = "aws:ResourceTag/ iam:ResourceTag/"
	ec2Tags      = "aws:ResourceTag/ ec2:ResourceTag/"
	fromTemplate = " ec2:IsLaunchTemplateResource ec2:LaunchTemplate"
	instanceKeys = " ec2:AvailabilityZone ec2:AvailabilityZoneId ec2:CpuOptionsAmdSevSnp ec2:EbsOptimized ec2:InstanceBandwidthWeighting ec2:InstanceID ec2:InstanceProfile ec2:InstanceType ec2:PlacementGroup ec2:RootDeviceType ec2:Tenancy"
	liveKeys     = instanceKeys + " ec2:InstanceAutoRecovery ec2:InstanceMarketType ec2:InstanceMetadataTags ec2:ManagedResourceOperator ec2:MetadataHttpEndpoint ec2:MetadataHttpPutResponseHopLimit ec2:MetadataHttpTokens ec2:ProductCode"
	imageKeys    = " ec2:ImageID ec2:ImageType ec2:Owner ec2:Public ec2:RootDeviceType"
	subnetKeys   = " ec2:AvailabilityZone ec2:AvailabilityZoneId ec2:SubnetID ec2:Vpc"
	groupKeys    = " ec2:PlacementGroupName ec2:PlacementGroupStrategy"
	volumeKeys   = " ec2:AvailabilityZone ec2:AvailabilityZoneId ec2:Encrypted ec2:ParentSnapshot ec2:VolumeID ec2:VolumeIops ec2:VolumeSize ec2:VolumeThroughput ec2:VolumeType"
)

type action struct {
	types map[string]resourceType
	// tagsOnCreate: tags given with the call need ec2:CreateTags too.
	tagsOnCreate bool
}

type resourceType struct {
	required bool
	keys     string
}

func must(keys string) resourceType { return resourceType{required: true, keys: keys} }
func may(keys string) resourceType  { return resourceType{keys: keys} }

func lookup(name string) (action, bool) {
	a, ok := actions()[name]
	return a, ok
}

var actions = sync.OnceValue(func() map[string]action {
	m := map[string]action{
		"ec2:RunInstances": {tagsOnCreate: true, types: map[string]resourceType{
			"image":                  must(ec2Tags + imageKeys + fromTemplate),
			"instance":               must(requestTags + liveKeys + fromTemplate),
			"network-interface":      must(requestTags + fromTemplate + " ec2:AssociatePublicIpAddress ec2:AuthorizedService ec2:AvailabilityZone ec2:ManagedResourceOperator ec2:NetworkInterfaceID ec2:Subnet ec2:Vpc"),
			"security-group":         must(ec2Tags + fromTemplate + " ec2:SecurityGroupID ec2:Vpc"),
			"subnet":                 must(ec2Tags + subnetKeys + fromTemplate),
			"volume":                 may(requestTags + volumeKeys + fromTemplate + " ec2:ManagedResourceOperator ec2:VolumeInitializationRate"),
			"launch-template":        may(ec2Tags + fromTemplate + " ec2:ManagedResourceOperator"),
			"spot-instances-request": may(requestTags),
			"snapshot":               may(ec2Tags + fromTemplate + " ec2:Owner ec2:ParentVolume ec2:SnapshotID ec2:SnapshotTime ec2:VolumeSize"),
			"placement-group":        may(ec2Tags + groupKeys + fromTemplate),
			"capacity-reservation":   may("aws:ResourceTag/" + fromTemplate),
			"key-pair":               may(ec2Tags + fromTemplate + " ec2:KeyPairName ec2:KeyPairType"),
		}},
		"ec2:CreateFleet": {tagsOnCreate: true, types: map[string]resourceType{
			"fleet":                must(requestTags),
			"instance":             must(requestTags + instanceKeys),
			"image":                may(ec2Tags + imageKeys),
			"launch-template":      may(ec2Tags),
			"subnet":               may(ec2Tags + subnetKeys),
			"volume":               may(requestTags + volumeKeys + " ec2:KmsKeyId"),
			"placement-group":      may(ec2Tags + groupKeys),
			"capacity-reservation": may(ec2Tags),
		}},
		"ec2:CreateLaunchTemplate": {tagsOnCreate: true, types: map[string]resourceType{
			"launch-template": must(requestTags),
		}},
		"ec2:DeleteLaunchTemplate": {types: map[string]resourceType{
			"launch-template": must(ec2Tags + " ec2:ManagedResourceOperator"),
		}},
		"ec2:TerminateInstances": {types: map[string]resourceType{"instance": must(ec2Tags + liveKeys)}},
		"ec2:CreateTags": {types: map[string]resourceType{
			"instance":               may(requestTags + " " + ec2Tags + liveKeys),
			"launch-template":        may(requestTags + " " + ec2Tags + " ec2:ManagedResourceOperator"),
			"volume":                 may(requestTags + " " + ec2Tags + volumeKeys + " ec2:ManagedResourceOperator ec2:ParentVolume ec2:VolumeInitializationRate"),
			"network-interface":      may(requestTags + " " + ec2Tags + " ec2:AuthorizedUser ec2:AvailabilityZone ec2:ManagedResourceOperator ec2:NetworkInterfaceID ec2:Permission ec2:Subnet ec2:Vpc"),
			"security-group":         may(requestTags + " " + ec2Tags + " ec2:SecurityGroupID ec2:Vpc"),
			"subnet":                 may(requestTags + " " + ec2Tags + subnetKeys),
			"fleet":                  may(requestTags + " " + ec2Tags),
			"spot-instances-request": may(requestTags + " " + ec2Tags),
		}},
		"iam:PassRole": {types: map[string]resourceType{"role": must(iamTags)}},
		"iam:GetRole":  {types: map[string]resourceType{"role": must(iamTags)}},
		// What the reference calls policy is a managed one.
		"iam:GetPolicy":          {types: map[string]resourceType{"policy": must(iamTags)}},
		"iam:ListPolicyVersions": {types: map[string]resourceType{"policy": must("")}},

		"eks:DescribeAccessEntry":            {types: map[string]resourceType{"access-entry": must("aws:ResourceTag/")}},
		"eks:DescribeAddon":                  {types: map[string]resourceType{"addon": must("aws:ResourceTag/")}},
		"eks:DescribeCluster":                {types: map[string]resourceType{"cluster": must("aws:ResourceTag/")}},
		"eks:ListNodegroups":                 {types: map[string]resourceType{"cluster": must("aws:ResourceTag/")}},
		"eks:ListPodIdentityAssociations":    {types: map[string]resourceType{"cluster": must("aws:ResourceTag/")}},
		"eks:DescribePodIdentityAssociation": {types: map[string]resourceType{"podidentityassociation": must("aws:ResourceTag/")}},
		"eks-auth:AssumeRoleForPodIdentity":  {types: map[string]resourceType{"cluster": must("aws:ResourceTag/")}},
		"events:ListTargetsByRule":           {types: map[string]resourceType{"rule-on-default-event-bus": may("aws:ResourceTag/")}},
		// EventBridge has buses and other rules too; here are only these.
		"events:ListTagsForResource": {types: map[string]resourceType{"rule-on-default-event-bus": may("aws:ResourceTag/")}},
		"kms:DescribeKey":            {types: map[string]resourceType{"key": must("aws:ResourceTag/")}},
		"kms:ListResourceTags":       {types: map[string]resourceType{"key": must("aws:ResourceTag/")}},
		"logs:ListTagsForResource":   {types: map[string]resourceType{"log-group": may("aws:ResourceTag/")}},
		"logs:DescribeLogGroups":     {types: map[string]resourceType{"log-group": must("aws:ResourceTag/")}},
		"ssm:GetParameter":           {types: map[string]resourceType{"parameter": must("aws:ResourceTag/")}},
		"sts:AssumeRole":             {types: map[string]resourceType{"role": must(requestTags + " " + iamTags)}},
		"sts:TagSession":             {types: map[string]resourceType{"role": may(requestTags + " " + iamTags)}},

		// Its types are load balancers; a cluster is told by arc-zonal-shift:ResourceIdentifier.
		"arc-zonal-shift:GetManagedResource": {},
		"eks:ListClusters":                   {},
		"events:ListRules":                   {},
		"iam:ListInstanceProfiles":           {},
		"iam:ListRoles":                      {},
		"kms:ListKeys":                       {},
		"pricing:GetProducts":                {},
		"sqs:ListQueues":                     {},
	}
	for _, name := range []string{"Create", "Tag"} {
		m["iam:"+name+"InstanceProfile"] = action{types: map[string]resourceType{"instance-profile": must(requestTags + " aws:ResourceTag/")}}
	}
	for _, name := range []string{"AddRoleTo", "RemoveRoleFrom", "Delete", "Get"} {
		m["iam:"+name+"InstanceProfile"] = action{types: map[string]resourceType{"instance-profile": must("aws:ResourceTag/")}}
	}
	for _, name := range []string{"AttachedRolePolicies", "InstanceProfilesForRole", "RolePolicies"} {
		m["iam:List"+name] = action{types: map[string]resourceType{"role": must(iamTags)}}
	}
	for _, name := range []string{"DeleteMessage", "GetQueueAttributes", "GetQueueUrl", "ListQueueTags", "PurgeQueue", "ReceiveMessage", "SendMessage"} {
		m["sqs:"+name] = action{types: map[string]resourceType{"queue": must("aws:ResourceTag/")}}
	}
	for _, name := range []string{
		"CapacityReservations", "Images", "InstanceStatus", "InstanceTypeOfferings", "InstanceTypes", "Instances",
		"LaunchTemplateVersions", "LaunchTemplates", "NetworkInterfaces", "PlacementGroups", "SecurityGroups",
		"SpotInstanceRequests", "SpotPriceHistory", "Subnets", "Tags", "Volumes", "Vpcs", "AvailabilityZones", "Regions", "Fleets",
	} {
		m["ec2:Describe"+name] = action{}
	}
	return m
})
