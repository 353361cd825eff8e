package nodepools

import (
	"fmt"
	"slices"

	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	karpenteraws "eks-gpu-slicing/manifests/karpenteraws/v1"
)

// class is what differs between the EC2NodeClasses.
type class struct {
	// name is the EC2NodeClass's.
	name string
	// volume is the size of the root volume.
	volume string
	// theirs is a class that the stack uses and does not make.
	theirs bool
}

func theirClass(name string) class { return class{name: name, theirs: true} }

var (
	cpuClass = class{name: "default", volume: "50Gi"}
	// gpuClass has room for CUDA images, which run to tens of gibibytes.
	gpuClass = class{name: "gpu", volume: "100Gi"}
)

// classArgs describes nodes: Amazon Linux in the version's family (its alias
// picks the NVIDIA build for GPU types by itself), in the cluster's own security
// group and in the one of [addGroup]. Subnets and groups are named by ID, because
// tags for finding them would have to be put on a default VPC that others share.
func classArgs(c class, args *Args, group pulumi.StringInput) *karpenteraws.EC2NodeClassArgs {
	s := args.Settings
	var subnets karpenteraws.EC2NodeClassSpecSubnetSelectorTermsArray
	for _, id := range args.Network.SubnetIDs {
		subnets = append(subnets, karpenteraws.EC2NodeClassSpecSubnetSelectorTermsArgs{Id: pulumi.String(id)})
	}
	var groups karpenteraws.EC2NodeClassSpecSecurityGroupSelectorTermsArray
	for _, id := range append(slices.Clip(args.Cluster.SecurityGroupIDs), group) {
		groups = append(groups, karpenteraws.EC2NodeClassSpecSecurityGroupSelectorTermsArgs{Id: id.ToStringOutput().ToStringPtrOutput()})
	}
	spec := karpenteraws.EC2NodeClassSpecArgs{
		Role: args.Karpenter.NodeRole.ToStringPtrOutput(),
		AmiSelectorTerms: karpenteraws.EC2NodeClassSpecAmiSelectorTermsArray{karpenteraws.EC2NodeClassSpecAmiSelectorTermsArgs{
			Alias: pulumi.String(fmt.Sprintf("%s@%s", s.AMIFamily, s.AMIVersion)),
		}},
		SubnetSelectorTerms:        subnets,
		SecurityGroupSelectorTerms: groups,
		MetadataOptions: karpenteraws.EC2NodeClassSpecMetadataOptionsArgs{
			HttpEndpoint:            pulumi.String("enabled"),
			HttpProtocolIPv6:        pulumi.String("disabled"),
			HttpTokens:              pulumi.String("required"),
			HttpPutResponseHopLimit: pulumi.Int(1), // pods reach no node credentials
		},
		BlockDeviceMappings: karpenteraws.EC2NodeClassSpecBlockDeviceMappingsArray{karpenteraws.EC2NodeClassSpecBlockDeviceMappingsArgs{
			DeviceName: pulumi.String("/dev/xvda"),
			Ebs: karpenteraws.EC2NodeClassSpecBlockDeviceMappingsEbsArgs{
				VolumeSize: pulumi.String(c.volume), VolumeType: pulumi.String("gp3"),
				Encrypted: pulumi.Bool(true), DeleteOnTermination: pulumi.Bool(true),
			},
		}},
	}
	spec.Tags = pulumi.ToStringMap(s.Tags)
	return &karpenteraws.EC2NodeClassArgs{Metadata: metadata(pulumi.String(c.name), nil), Spec: spec}
}

// metadata names an object, annotates it, and has the up wait until Karpenter calls
// it ready.
func metadata(name pulumi.StringInput, annotations map[string]string) metav1.ObjectMetaArgs {
	all := pulumi.StringMap{"pulumi.com/waitFor": pulumi.String("condition=Ready")}
	for key, value := range annotations {
		all[key] = pulumi.String(value)
	}
	return metav1.ObjectMetaArgs{Name: name.ToStringOutput().ToStringPtrOutput(), Annotations: all}
}
