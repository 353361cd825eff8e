package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// Network is the part of the default VPC that the cluster uses.
type Network struct {
	// VPCID is the default VPC's.
	VPCID string
	// SubnetIDs are the usable subnets', sorted.
	SubnetIDs []string
	// Zones are those subnets' availability zones, sorted, each once.
	Zones []string
	// zone is each subnet's.
	zone map[string]string
}

// add adds a subnet. The lists are to be sorted once all are in.
func (n *Network) add(subnet, zone string) {
	if n.zone == nil {
		n.zone = map[string]string{}
	}
	n.SubnetIDs = append(n.SubnetIDs, subnet)
	n.Zones = append(n.Zones, zone)
	n.zone[subnet] = zone
}

// sort puts the lists in order.
func (n *Network) sort() {
	slices.Sort(n.SubnetIDs)
	slices.Sort(n.Zones)
	n.Zones = slices.Compact(n.Zones)
}

// in are the subnets in some of the zones.
func (n *Network) in(zones []string) []string {
	return slices.DeleteFunc(slices.Clone(n.SubnetIDs), func(id string) bool { return !slices.Contains(zones, n.zone[id]) })
}

// refusedZones are the zone IDs in which EKS takes no cluster subnet (EKS user
// guide, "Subnet requirements for clusters"). Zone names are shuffled from
// account to account, IDs are not.
var refusedZones = []string{"use1-az3", "usw1-az2", "cac1-az3"}

// minZones is how many zones an EKS cluster's subnets must span (same page).
const minZones = 2

// LookupNetwork finds the default VPC of the region and its usable subnets: in
// an availability zone (not a Local or Wavelength Zone) that EKS takes, giving
// instances public addresses, since the default VPC has no NAT gateway. Of a cluster
// that stands, they are those in its zones: EKS moves no control plane to others
// (containers-roadmap issue 2258), so a subnet that came later would stop each up. It
// returns settings.Problems when there is no default VPC or when the usable
// subnets lie in fewer than two zones; subnets it leaves out are told of.
func LookupNetwork(ctx *pulumi.Context, region string, standing *eks.LookupClusterResult, opts ...pulumi.InvokeOption) (*Network, error) {
	var problems settings.Problems
	vpcs, err := ec2.GetVpcs(ctx, &ec2.GetVpcsArgs{Filters: []ec2.GetVpcsFilter{{Name: "is-default", Values: []string{"true"}}}}, opts...)
	if err != nil {
		return nil, fmt.Errorf("default VPC of %s: %w", region, err)
	}
	if len(vpcs.Ids) == 0 {
		problems.Add("default VPC of "+region, "", "the stack builds on the region's default VPC, and this account has none",
			"aws ec2 create-default-vpc --region "+region)
		return &Network{}, problems
	}
	vpc := vpcs.Ids[0]
	zones, err := aws.GetAvailabilityZones(ctx, &aws.GetAvailabilityZonesArgs{
		Filters: []aws.GetAvailabilityZonesFilter{{Name: "zone-type", Values: []string{"availability-zone"}}},
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("availability zones of %s: %w", region, err)
	}
	found, err := ec2.GetSubnets(ctx, &ec2.GetSubnetsArgs{Filters: []ec2.GetSubnetsFilter{{Name: "vpc-id", Values: []string{vpc}}}}, opts...)
	if err != nil {
		return nil, fmt.Errorf("subnets of %s: %w", vpc, err)
	}
	subnets := make([]*ec2.LookupSubnetResult, 0, len(found.Ids))
	for _, id := range found.Ids {
		subnet, err := ec2.LookupSubnet(ctx, &ec2.LookupSubnetArgs{Id: &id}, opts...)
		if err != nil {
			return nil, fmt.Errorf("subnet %s: %w", id, err)
		}
		subnets = append(subnets, subnet)
	}
	network, refused := usable(vpc, zones.ZoneIds, subnets, standing)
	if len(network.Zones) < minZones {
		problems.Add("subnets of "+vpc, strings.Join(network.SubnetIDs, " "),
			fmt.Sprintf("usable subnets in at least %d zones, which EKS asks for; these are in %d%s", minZones, len(network.Zones), explain(refused)),
			"aws ec2 create-default-subnet --availability-zone ZONE, for a zone that has none, or another aws:region")
	}
	if len(problems) == 0 && len(refused) > 0 {
		if err := ctx.Log.Info("subnets of the default VPC that the cluster does not use: "+strings.Join(refused, ", "), nil); err != nil {
			return nil, err
		}
	}
	return network, problems.Err()
}

// usable chooses the subnets that the cluster and its nodes can be in, and says of each
// other one why not.
func usable(vpc string, zoneIDs []string, subnets []*ec2.LookupSubnetResult, standing *eks.LookupClusterResult) (*Network, []string) {
	network := &Network{VPCID: vpc}
	var refused, made []string // made are the zones the cluster was made in, if it stands
	for _, s := range subnets {
		if standing != nil && slices.Contains(standing.VpcConfig.SubnetIds, s.Id) {
			made = append(made, s.AvailabilityZoneId)
		}
	}
	for _, s := range subnets {
		why := ""
		switch {
		case !slices.Contains(zoneIDs, s.AvailabilityZoneId):
			why = "a Local or Wavelength Zone"
		case slices.Contains(refusedZones, s.AvailabilityZoneId):
			why = "a zone EKS refuses, " + s.AvailabilityZoneId
		case !s.MapPublicIpOnLaunch:
			why = "assigns no public addresses"
		case len(made) > 0 && !slices.Contains(made, s.AvailabilityZoneId):
			why = "a zone the cluster was not made in"
		}
		if why != "" {
			refused = append(refused, fmt.Sprintf("%s in %s: %s", s.Id, s.AvailabilityZone, why))
			continue
		}
		network.add(s.Id, s.AvailabilityZone)
	}
	network.sort()
	slices.Sort(refused)
	return network, refused
}

func explain(refused []string) string {
	if len(refused) == 0 {
		return ""
	}
	return "; not usable: " + strings.Join(refused, ", ")
}
