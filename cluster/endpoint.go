package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// WarnEndpoint warns in the preview of an API endpoint that anyone can reach. It is
// a warning because callers must still be known to IAM, and a stack to try things
// on may be used from anywhere.
func WarnEndpoint(ctx *pulumi.Context, s *settings.Settings) error {
	for _, message := range worldOpen(s.PublicAccessCIDRs) {
		if err := ctx.Log.Warn(message, nil); err != nil {
			return err
		}
	}
	return nil
}

// worldOpen is what to say of CIDRs that let the whole Internet in.
func worldOpen(cidrs []string) []string {
	mend := func(at string) string { return settings.Set(at, address) }
	var messages []string
	for i, cidr := range cidrs {
		if internet([]string{cidr}) {
			at := fmt.Sprintf("publicAccessCidrs[%d]", i)
			messages = append(messages, fmt.Sprintf("%s is %s: the whole Internet reaches the API endpoint; mend: %s", at, cidr, mend(at)))
		}
	}
	if len(messages) == 0 && internet(cidrs) {
		messages = append(messages, fmt.Sprintf("publicAccessCidrs are together every address, %s: the whole Internet reaches the API endpoint; mend: pulumi config rm publicAccessCidrs && %s",
			strings.Join(cidrs, ", "), mend("publicAccessCidrs[0]")))
	}
	return messages
}

// address is this machine's, in a shell.
const address = `"$(curl -s https://checkip.amazonaws.com)/32"`

// othersOpen is what to say of the endpoint of a cluster that is there, which is not the
// stack's to change; "" where it lets in some alone.
func othersOpen(s *settings.Settings, vpc eks.GetClusterVpcConfig) string {
	if !vpc.EndpointPublicAccess || !internet(vpc.PublicAccessCidrs) {
		return ""
	}
	// Nodes that came by the public endpoint need the private one then.
	return fmt.Sprintf("the public access CIDRs of cluster %s are %s: the whole Internet reaches the API endpoint; mend, which the stack leaves to the cluster's owner: aws eks update-cluster-config --region %s --name %[1]s --resources-vpc-config endpointPrivateAccess=true,publicAccessCidrs=%[4]s",
		s.ClusterName, strings.Join(vpc.PublicAccessCidrs, ", "), s.Region, address)
}

// reserved are the IPv4 addresses that nobody on the Internet has (RFC 6890; above 224
// are multicast and what is kept for later): CIDRs that leave out but these keep nobody out.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
}

// internet tells whether CIDRs hold, together, all addresses of the Internet, by IPv4 or by
// IPv6, whose global addresses are 2000::/3; EKS takes both.
func internet(cidrs []string) bool {
	all := slices.Clone(reserved)
	for _, cidr := range cidrs {
		if prefix, err := netip.ParsePrefix(cidr); err == nil { // what is none lets nobody in
			all = append(all, prefix.Masked())
		}
	}
	return hold(all, netip.MustParsePrefix("0.0.0.0/0")) || hold(all, netip.MustParsePrefix("2000::/3"))
}

// hold tells whether prefixes have, together, every address of one: one of them has, or
// they have each of its halves.
func hold(all []netip.Prefix, one netip.Prefix) bool {
	some := false
	for _, p := range all {
		if p.Bits() <= one.Bits() && p.Contains(one.Addr()) {
			return true
		}
		some = some || p.Overlaps(one)
	}
	if !some {
		return false
	}
	// One that some overlap and none has is more than a single address.
	upper := one.Addr().AsSlice()
	upper[one.Bits()/8] |= 0x80 >> (one.Bits() % 8)
	from, _ := netip.AddrFromSlice(upper)
	return hold(all, netip.PrefixFrom(one.Addr(), one.Bits()+1)) && hold(all, netip.PrefixFrom(from, one.Bits()+1))
}
