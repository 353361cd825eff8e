package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	awseks "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// ControllerLabel is both the label and the taint key of the controller nodes;
// its value is "true". Karpenter must not run on nodes it manages itself, and
// nothing but Karpenter and CoreDNS belongs on these.
const ControllerLabel = "karpenter.sh/controller"

// controllerVolumeGiB is the size of a controller's root volume; EKS's default.
const controllerVolumeGiB = 20

// addNodes adds the add-ons and the controller node group.
func (c *Cluster) addNodes(ctx *pulumi.Context, name string, args *Args, role *Role) error {
	s, parent := args.Settings, pulumi.Parent(c)
	// EKS would add an entry for a node group by itself, and leave it. Ours goes
	// after the nodes: one that loses its access cannot be drained.
	entry, err := NewNodeEntry(ctx, name+"-controller-node", c.Name, role, parent)
	if err != nil {
		return err
	}
	ready := append(role.Ready(), entry)
	for _, a := range []addon{vpcCNI, kubeProxy} {
		added, err := a.add(ctx, name, c, s.Version)
		if err != nil {
			return err
		}
		ready = append(ready, added)
	}
	agent, err := podIdentityAgent.add(ctx, name, c, s.Version)
	if err != nil {
		return err
	}
	c.PodIdentityAgent = agent

	template, err := ec2.NewLaunchTemplate(ctx, name+"-controllers", launchTemplate(s), parent)
	if err != nil {
		return fmt.Errorf("launch template: %w", err)
	}
	amiType := AMIType(s.AMIFamily, args.ControllerType.Arch)
	// EKS refuses a group of which one subnet's zone has not the type (eksctl issue 6461).
	subnets := args.Network.in(args.ControllerType.Zones)
	generation := fingerprint(append([]string{amiType, s.ControllerInstanceType}, subnets...)...)
	group, err := awseks.NewNodeGroup(ctx, name+"-controllers", &awseks.NodeGroupArgs{
		ClusterName: c.Name,
		// EKS changes none of these in place. With them in its name, the new group stands
		// before the old one goes, and Karpenter and CoreDNS are never without a node.
		NodeGroupName: pulumi.String(s.Name("controllers-"+generation, 63)), // CreateNodegroup's limit
		NodeRoleArn:   role.Arn,
		SubnetIds:     pulumi.ToStringArray(subnets),
		Version:       pulumi.String(s.Version.String()),
		AmiType:       pulumi.String(amiType),
		InstanceTypes: pulumi.ToStringArray([]string{s.ControllerInstanceType}),
		LaunchTemplate: awseks.NodeGroupLaunchTemplateArgs{
			Id:      template.ID(),
			Version: pulumi.Sprintf("%d", template.LatestVersion),
		},
		ScalingConfig: awseks.NodeGroupScalingConfigArgs{
			MinSize: pulumi.Int(s.ControllerMin), MaxSize: pulumi.Int(s.ControllerMax), DesiredSize: pulumi.Int(s.ControllerDesired),
		},
		UpdateConfig: awseks.NodeGroupUpdateConfigArgs{MaxUnavailable: pulumi.Int(1)},
		Labels:       pulumi.StringMap{ControllerLabel: pulumi.String("true")},
		Taints: awseks.NodeGroupTaintArray{awseks.NodeGroupTaintArgs{
			Key: pulumi.String(ControllerLabel), Value: pulumi.String("true"), Effect: pulumi.String("NO_SCHEDULE"),
		}},
	}, parent, pulumi.DependsOn(ready))
	if err != nil {
		return fmt.Errorf("controller node group: %w", err)
	}
	c.Controllers = group

	dns, err := coreDNS.add(ctx, name, c, s.Version, pulumi.DependsOn([]pulumi.Resource{group}))
	if err != nil {
		return err
	}
	c.CoreDNS = dns
	return nil
}

// fingerprint tells lists of texts apart, in six letters and digits.
func fingerprint(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:])[:6]
}

// launchTemplate is what a node group cannot say itself. It names no AMI, no
// instance type and no security group: those stay EKS's to choose.
func launchTemplate(s *settings.Settings) *ec2.LaunchTemplateArgs {
	tags := maps.Clone(s.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags["Name"] = s.Name("controller", 255)
	args := &ec2.LaunchTemplateArgs{
		Name:                 pulumi.String(s.Name("controllers", 128)), // CreateLaunchTemplate's limit
		UpdateDefaultVersion: pulumi.Bool(true),
		MetadataOptions: ec2.LaunchTemplateMetadataOptionsArgs{
			HttpEndpoint: pulumi.String("enabled"),
			HttpTokens:   pulumi.String("required"),
			// One hop ends at the host: no pod can reach the node's credentials.
			HttpPutResponseHopLimit: pulumi.Int(1),
		},
		BlockDeviceMappings: ec2.LaunchTemplateBlockDeviceMappingArray{ec2.LaunchTemplateBlockDeviceMappingArgs{
			DeviceName: pulumi.String("/dev/xvda"),
			Ebs: ec2.LaunchTemplateBlockDeviceMappingEbsArgs{
				VolumeType: pulumi.String("gp3"), VolumeSize: pulumi.Int(controllerVolumeGiB),
				Encrypted: pulumi.String("true"), DeleteOnTermination: pulumi.String("true"),
			},
		}},
	}
	// Tags of a node group stop at the group; instances get theirs from here.
	var specs ec2.LaunchTemplateTagSpecificationArray
	for _, resource := range []string{"instance", "volume", "network-interface"} {
		specs = append(specs, ec2.LaunchTemplateTagSpecificationArgs{
			ResourceType: pulumi.String(resource), Tags: pulumi.ToStringMap(tags),
		})
	}
	args.TagSpecifications = specs
	return args
}

// AMIType is EKS's name of an AMI for managed nodes (AMITypes in the EKS API
// reference), by family and by Kubernetes' name of the architecture.
func AMIType(family settings.AMIFamily, arch string) string {
	switch {
	case family == settings.AMIFamilyAL2 && arch == "arm64":
		return "AL2_ARM_64"
	case family == settings.AMIFamilyAL2:
		return "AL2_x86_64"
	case arch == "arm64":
		return "AL2023_ARM_64_STANDARD"
	default:
		return "AL2023_x86_64_STANDARD"
	}
}
