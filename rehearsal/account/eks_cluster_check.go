package account

import (
	"net/netip"
	"slices"
	"strings"
)

func (a *Account) checkClusterRole(arn string) error {
	r, err := a.roleSeenByEKS("CreateCluster", arn, refuse("InvalidParameterException", "roleArn, %s, does not exist", arn))
	if err != nil {
		return err
	}
	if !trusts(r.trust, "eks.amazonaws.com") {
		return refuse("InvalidParameterException", "Role with arn: %s, could not be assumed because it does not exist or the trusted entity is not correct", arn)
	}
	return nil
}

// checkClusterVPC gives the VPC's ID.
func (a *Account) checkClusterVPC(name string, v ClusterVPC) (string, error) {
	vpcID, err := a.checkClusterSubnets(name, v.SubnetIDs)
	if err != nil {
		return "", err
	}
	for _, id := range v.SecurityGroupIDs {
		if _, err := a.group(id); err != nil {
			return "", asInvalidParameter(err)
		}
	}
	return vpcID, checkEndpointAccess(v)
}

func (a *Account) checkClusterSubnets(name string, ids []string) (vpcID string, err error) {
	zones := map[string]bool{}
	for _, id := range ids {
		s, err := a.subnet(id)
		if err != nil {
			return "", asInvalidParameter(err)
		}
		zones[s.AvailabilityZone], vpcID = true, s.VPCID
	}
	var good []string
	refused := ""
	for _, z := range a.zones {
		switch {
		case !z.RefusedByEKS:
			good = append(good, z.Name)
		case zones[z.Name]:
			refused = z.Name
		}
	}
	if refused != "" {
		// EKS User Guide, "Troubleshoot problems with Amazon EKS clusters and
		// nodes", Insufficient capacity.
		e := refuse("UnsupportedAvailabilityZoneException",
			"Cannot create cluster '%s' because %s, the targeted availability zone, does not currently have sufficient capacity to support the cluster. Retry and choose from these availability zones: %s",
			name, refused, strings.Join(good, ", "))
		e.ValidZones = good
		return "", e
	}
	if len(zones) < 2 {
		return "", refuse("InvalidParameterException", "Subnets specified must be in at least two different AZs")
	}
	return vpcID, nil
}

// asInvalidParameter is how EKS passes on what another service refused.
func asInvalidParameter(err error) error { return passOn("InvalidParameterException", err) }

func checkEndpointAccess(v ClusterVPC) error {
	if !v.EndpointPublicAccess && !v.EndpointPrivateAccess {
		return refuse("InvalidParameterException", "Private and public endpoint access cannot be false")
	}
	var bad []string
	for _, c := range v.PublicAccessCIDRs {
		p, err := netip.ParsePrefix(c)
		if err != nil || p.Masked() != p {
			return refuse("InvalidParameterException", "The following CIDRs are invalid in publicAccessCidrs: [%s]", c)
		}
		if p.Bits() > 0 && reserved(p.Addr()) {
			bad = append(bad, c)
		}
	}
	if len(bad) > 0 {
		return refuse("InvalidParameterException", "The following CIDRs are not allowed in publicAccessCidrs: [%s]", strings.Join(bad, ", "))
	}
	return nil
}

// reserved addresses cannot be those of a caller on the Internet.
func reserved(ip netip.Addr) bool {
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() ||
		netip.MustParsePrefix("100.64.0.0/10").Contains(ip)
}

func checkLogTypes(types []string) error {
	for _, t := range types {
		if !slices.Contains(LogTypes(), t) {
			return refuse("InvalidParameterException", "Invalid log types provided: [%s]. Allowed are %s", t, strings.Join(LogTypes(), ", "))
		}
	}
	return nil
}

// checkServiceCIDR holds the rules of the API reference,
// KubernetesNetworkConfigRequest: private, between /24 and /12.
func checkServiceCIDR(cidr string) error {
	p, err := netip.ParsePrefix(cidr)
	if err != nil || !p.Addr().Is4() || p.Masked() != p || !p.Addr().IsPrivate() || p.Bits() < 12 || p.Bits() > 24 {
		return refuse("InvalidParameterException", "serviceIpv4Cidr %s is not a block of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 between /24 and /12", cidr)
	}
	return nil
}

func checkSupportType(t string) error {
	if t != "EXTENDED" && t != "STANDARD" {
		return refuse("InvalidParameterException", "supportType %s is not one of STANDARD, EXTENDED", t)
	}
	return nil
}
