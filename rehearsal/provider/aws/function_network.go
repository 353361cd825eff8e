package aws

import (
	"fmt"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// networkFunctions are from vpc_vpcs_data_source.go, vpc_data_source.go,
// vpc_subnets_data_source.go and vpc_subnet_data_source.go of
// internal/service/ec2.
func networkFunctions() map[string]function {
	return map[string]function{
		"aws:ec2/getVpcs:getVpcs":       {schema{"filters": filtersField(), "tags": {computed: true}}, getVpcs},
		"aws:ec2/getSubnets:getSubnets": {schema{"filters": filtersField(), "tags": {computed: true}}, getSubnets},
		"aws:ec2/getVpc:getVpc": {schema{
			"id": {}, "cidrBlock": {}, "default": {}, "dhcpOptionsId": {}, "state": {}, "filters": filtersField(), "tags": {},
		}, getVpc},
		"aws:ec2/getSubnet:getSubnet": {schema{
			"id": {}, "vpcId": {}, "availabilityZone": {}, "availabilityZoneId": {}, "cidrBlock": {}, "defaultForAz": {},
			"state": {}, "filters": filtersField(), "tags": {},
		}, getSubnet},
	}
}

// attributeFilters are the arguments of a look-up that are filters by another
// name.
func attributeFilters(args props, names map[string]string) []account.Filter {
	out := filters(args)
	for arg, filter := range names {
		if v := provider.String(args, arg); v != "" && v != "false" {
			out = append(out, account.Filter{Name: filter, Values: []string{v}})
		}
	}
	return out
}

// one picks the only result, or says in Terraform's words why there is none.
func one[T any](what string, found []T) (T, error) {
	var none T
	switch len(found) {
	case 0:
		return none, fmt.Errorf("no matching %s found", what)
	case 1:
		return found[0], nil
	}
	return none, fmt.Errorf("multiple %ss matched; use additional constraints to reduce matches to a single %s", what, what)
}

func getVpcs(c *client, args props) (map[string]any, error) {
	vpcs, err := send(c, "reading EC2 VPCs", "EC2", "DescribeVpcs", func() ([]account.VPC, error) {
		return c.DescribeVpcs(filters(args)...)
	})
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, v := range vpcs {
		ids = append(ids, v.ID)
	}
	return map[string]any{"id": c.Region(), "ids": ids}, nil
}

func getVpc(c *client, args props) (map[string]any, error) {
	vpcs, err := send(c, "reading EC2 VPC", "EC2", "DescribeVpcs", func() ([]account.VPC, error) {
		return c.DescribeVpcs(attributeFilters(args, map[string]string{
			"id": "vpc-id", "cidrBlock": "cidr", "default": "is-default", "dhcpOptionsId": "dhcp-options-id", "state": "state",
		})...)
	})
	if err != nil {
		return nil, err
	}
	v, err := one("EC2 VPC", vpcs)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"id": v.ID, "arn": "arn:aws:ec2:" + c.Region() + ":" + account.ID + ":vpc/" + v.ID, "cidrBlock": v.CIDR, "default": v.IsDefault,
		"cidrBlockAssociations": []any{map[string]any{"associationId": v.CIDRAssociationID, "cidrBlock": v.CIDR, "state": "associated"}},
		"dhcpOptionsId":         v.DHCPOptionsID, "enableDnsHostnames": v.EnableDNSHostnames, "enableDnsSupport": v.EnableDNSSupport,
		"enableNetworkAddressUsageMetrics": false, "instanceTenancy": "default", "ipv6AssociationId": "", "ipv6CidrBlock": "",
		"mainRouteTableId": v.MainRouteTableID, "ownerId": account.ID, "state": "available", "tags": map[string]string(v.Tags),
	}, nil
}

func getSubnets(c *client, args props) (map[string]any, error) {
	subnets, err := send(c, "reading EC2 Subnets", "EC2", "DescribeSubnets", func() ([]account.Subnet, error) {
		return c.DescribeSubnets(filters(args)...)
	})
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, s := range subnets {
		ids = append(ids, s.ID)
	}
	return map[string]any{"id": c.Region(), "ids": ids}, nil
}

func getSubnet(c *client, args props) (map[string]any, error) {
	subnets, err := send(c, "reading EC2 Subnet", "EC2", "DescribeSubnets", func() ([]account.Subnet, error) {
		return c.DescribeSubnets(attributeFilters(args, map[string]string{
			"id": "subnet-id", "vpcId": "vpc-id", "availabilityZone": "availability-zone", "availabilityZoneId": "availability-zone-id",
			"cidrBlock": "cidr-block", "defaultForAz": "default-for-az", "state": "state",
		})...)
	})
	if err != nil {
		return nil, err
	}
	s, err := one("EC2 Subnet", subnets)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"id": s.ID, "arn": "arn:aws:ec2:" + c.Region() + ":" + account.ID + ":subnet/" + s.ID, "vpcId": s.VPCID, "cidrBlock": s.CIDR,
		"availabilityZone": s.AvailabilityZone, "availabilityZoneId": s.AvailabilityZoneID, "availableIpAddressCount": s.AvailableIPs,
		"defaultForAz": s.DefaultForAZ, "mapPublicIpOnLaunch": s.MapPublicIPOnLaunch, "assignIpv6AddressOnCreation": false,
		"customerOwnedIpv4Pool": "", "enableDns64": false, "enableLniAtDeviceIndex": 0,
		"enableResourceNameDnsARecordOnLaunch": false, "enableResourceNameDnsAaaaRecordOnLaunch": false,
		"ipv6CidrBlock": "", "ipv6CidrBlockAssociationId": "", "ipv6Native": false, "mapCustomerOwnedIpOnLaunch": false,
		"outpostArn": "", "ownerId": account.ID, "privateDnsHostnameTypeOnLaunch": "ip-name", "state": "available",
		"tags": map[string]string(s.Tags),
	}, nil
}
