// Package instances looks instance types up: what they have, and where they are
// offered. AWS answers, no table of ours does, so a new type works on the day
// it appears.
package instances

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// Type is what the stack needs to know of an instance type.
type Type struct {
	// Name is the type's, such as g4dn.xlarge.
	Name string
	// Zones are those of the availability zones asked about in which it is offered.
	Zones []string
	// Arch is Kubernetes' name of the architecture: amd64 or arm64.
	Arch string
	// GPUs is the number of NVIDIA GPUs, 0 for none.
	GPUs int
	// GPUName is EC2's name of the GPU, such as T4; empty for none.
	GPUName string
	// MaxPods is the most pods a node of this type holds with the VPC CNI, its
	// DaemonSets included.
	MaxPods int
}

// Lookup describes the instance types that a setting names, in the setting's
// order; each must be offered in one of the zones at least. key names the
// setting in problems, which come back as settings.Problems.
func Lookup(ctx *pulumi.Context, key string, names, zones []string, opts ...pulumi.InvokeOption) ([]Type, error) {
	if len(names) == 0 || len(zones) == 0 {
		return nil, nil // reported where they are missing
	}
	offerings, err := ec2.GetInstanceTypeOfferings(ctx, &ec2.GetInstanceTypeOfferingsArgs{
		LocationType: new("availability-zone"),
		Filters: []ec2.GetInstanceTypeOfferingsFilter{
			{Name: "instance-type", Values: names},
			{Name: "location", Values: zones},
		},
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("where instance types %s are offered: %w", strings.Join(names, ", "), err)
	}
	var problems settings.Problems
	var types []Type
	offered := map[string][]string{} // zones, by type: the answer's lists are parallel
	for i, name := range offerings.InstanceTypes {
		offered[name] = append(offered[name], offerings.Locations[i])
	}
	for _, name := range names {
		if len(offered[name]) == 0 {
			problems.Add(key, name, fmt.Sprintf("an instance type that AWS offers in one of the zones %s, or another region", strings.Join(zones, ", ")),
				fmt.Sprintf("aws ec2 describe-instance-type-offerings --location-type availability-zone --filters Name=instance-type,Values='%s.*' lists the zones' types; then pulumi config set",
					strings.SplitN(name, ".", 2)[0]))
			continue
		}
		described, err := ec2.GetInstanceType(ctx, &ec2.GetInstanceTypeArgs{InstanceType: name}, opts...)
		if err != nil {
			return nil, fmt.Errorf("instance type %s: %w", name, err)
		}
		t := fromAWS(described)
		t.Zones = offered[name]
		types = append(types, t)
	}
	return types, problems.Err()
}

func fromAWS(d *ec2.GetInstanceTypeResult) Type {
	interfaces := d.MaximumNetworkInterfaces
	for _, card := range d.NetworkCards {
		if card.Index == d.DefaultNetworkCardIndex {
			interfaces = card.MaximumInterfaces // the VPC CNI uses no other card
		}
	}
	t := Type{Name: d.InstanceType, Arch: "amd64", MaxPods: maxPods(interfaces, d.MaximumIpv4AddressesPerInterface)}
	if slices.Contains(d.SupportedArchitectures, "arm64") {
		t.Arch = "arm64"
	}
	for _, gpu := range d.Gpuses {
		if gpu.Manufacturer == "NVIDIA" { // the device plugin drives no other
			t.GPUs += gpu.Count
			t.GPUName = gpu.Name
		}
	}
	return t
}

// maxPods is EKS's formula (amazon-eks-ami, eni-max-pods.txt): each interface
// keeps one address for itself, and two pods use the host's.
func maxPods(interfaces, addresses int) int { return interfaces*(addresses-1) + 2 }
