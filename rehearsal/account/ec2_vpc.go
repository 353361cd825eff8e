package account

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

type ec2State struct {
	vpcs      map[string]*VPC
	subnets   map[string]*Subnet
	groups    map[string]*securityGroup
	templates map[string]*launchTemplate
	// born holds the IDs of what the account was made with.
	born map[string]bool
}

// VPC is a virtual private cloud.
type VPC struct {
	ID        string
	CIDR      string
	IsDefault bool
	// MainRouteTableID and DHCPOptionsID name things that are not simulated;
	// look-ups of a VPC answer with them.
	MainRouteTableID, DHCPOptionsID string
	CIDRAssociationID               string
	// EnableDNSHostnames and EnableDNSSupport are true for a default VPC.
	EnableDNSHostnames, EnableDNSSupport bool
	Tags                                 Tags
}

// Subnet is a range of addresses in one zone.
type Subnet struct {
	ID, VPCID, CIDR    string
	AvailabilityZone   string
	AvailabilityZoneID string
	// DefaultForAZ is true for the zone's own subnet of the default VPC.
	DefaultForAZ bool
	// MapPublicIPOnLaunch gives instances a public address.
	MapPublicIPOnLaunch bool
	// AvailableIPs is the number of free addresses: EC2 keeps five of each
	// subnet for itself.
	AvailableIPs int
	Tags         Tags
}

// AvailabilityZone is a zone as DescribeAvailabilityZones shows it.
type AvailabilityZone struct {
	Name, ID string
	// Type is availability-zone; local and wavelength zones need opting in,
	// which this account has not done.
	Type string
	// GroupName is, for availability zones, the region and -zg-1.
	GroupName          string
	OptInStatus, State string
}

// init makes what an account is born with: the default VPC as AWS lays it out
// ("Default VPC components" in the VPC User Guide), a /20 for each zone out of
// 172.31.0.0/16, public, and the default security group.
func (s *ec2State) init(a *Account) {
	*s = ec2State{
		vpcs: map[string]*VPC{}, subnets: map[string]*Subnet{}, groups: map[string]*securityGroup{},
		templates: map[string]*launchTemplate{}, born: map[string]bool{},
	}
	if a.world.noDefaultVPC {
		return
	}
	vpc := &VPC{
		ID: a.nextID("vpc"), CIDR: "172.31.0.0/16", IsDefault: true,
		MainRouteTableID: a.nextID("rtb"), DHCPOptionsID: a.nextID("dopt"), CIDRAssociationID: a.nextID("vpc-cidr-assoc"),
		EnableDNSHostnames: true, EnableDNSSupport: true,
	}
	s.vpcs[vpc.ID] = vpc
	s.born[vpc.ID] = true
	for i, z := range a.zones {
		if a.world.oneZone && i > 0 {
			break
		}
		subnet := &Subnet{
			ID: a.nextID("subnet"), VPCID: vpc.ID, CIDR: fmt.Sprintf("172.31.%d.0/20", 16*i),
			AvailabilityZone: z.Name, AvailabilityZoneID: z.ID,
			DefaultForAZ: true, MapPublicIPOnLaunch: true, AvailableIPs: 1<<12 - 5,
		}
		s.subnets[subnet.ID] = subnet
		s.born[subnet.ID] = true
	}
	group := a.newSecurityGroup("default", "default VPC security group", vpc.ID, nil)
	s.born[group.ID] = true
}

func (s *ec2State) leftovers(add func(string, []string)) {
	fresh := func(ids []string) []string {
		return slices.DeleteFunc(ids, func(id string) bool { return s.born[id] })
	}
	add("AWS::EC2::LaunchTemplate", fresh(sortedKeys(s.templates)))
	add("AWS::EC2::SecurityGroup", fresh(sortedKeys(s.groups)))
	add("AWS::EC2::Subnet", fresh(sortedKeys(s.subnets)))
	add("AWS::EC2::VPC", fresh(sortedKeys(s.vpcs)))
}

// DescribeAvailabilityZones lists the zones the account sees, by name. Filters:
// zone-name, zone-id, zone-type, group-name, region-name, state, opt-in-status.
func (a *Account) DescribeAvailabilityZones(filters ...Filter) ([]AvailabilityZone, error) {
	var out []AvailabilityZone
	for _, z := range a.zones {
		zone := AvailabilityZone{
			Name: z.Name, ID: z.ID, Type: "availability-zone", GroupName: a.region + "-zg-1",
			OptInStatus: "opt-in-not-required", State: "available",
		}
		ok, err := fields{
			"zone-name": {zone.Name}, "zone-id": {zone.ID}, "zone-type": {zone.Type}, "state": {zone.State},
			"group-name": {zone.GroupName}, "region-name": {a.region}, "opt-in-status": {zone.OptInStatus},
		}.match(filters, nil)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, zone)
		}
	}
	return out, nil
}

// DescribeVpcs lists VPCs by ID. Filters: vpc-id, cidr, is-default, state,
// dhcp-options-id, owner-id, tag:KEY, tag-key.
func (a *Account) DescribeVpcs(filters ...Filter) ([]VPC, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []VPC
	for _, id := range sortedKeys(a.ec2.vpcs) {
		v := a.ec2.vpcs[id]
		ok, err := fields{
			"vpc-id": {v.ID}, "cidr": {v.CIDR}, "cidr-block-association.cidr-block": {v.CIDR},
			"is-default": {strconv.FormatBool(v.IsDefault)}, "state": {"available"},
			"dhcp-options-id": {v.DHCPOptionsID}, "owner-id": {ID},
		}.match(filters, v.Tags)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, v.clone())
		}
	}
	return out, nil
}

func (v *VPC) clone() VPC {
	c := *v
	c.Tags = v.Tags.with(nil)
	return c
}

// DescribeSubnets lists subnets by zone and ID. Filters: subnet-id, vpc-id,
// availability-zone, availability-zone-id, cidr-block, default-for-az,
// map-public-ip-on-launch, state, owner-id, tag:KEY, tag-key.
func (a *Account) DescribeSubnets(filters ...Filter) ([]Subnet, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Subnet
	for _, id := range sortedKeys(a.ec2.subnets) {
		s := a.ec2.subnets[id]
		ok, err := fields{
			"subnet-id": {s.ID}, "vpc-id": {s.VPCID}, "cidr-block": {s.CIDR}, "cidr": {s.CIDR},
			"availability-zone": {s.AvailabilityZone}, "availability-zone-id": {s.AvailabilityZoneID},
			"default-for-az":          {strconv.FormatBool(s.DefaultForAZ)},
			"map-public-ip-on-launch": {strconv.FormatBool(s.MapPublicIPOnLaunch)},
			"state":                   {"available"}, "owner-id": {ID},
		}.match(filters, s.Tags)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, s.clone())
		}
	}
	slices.SortStableFunc(out, func(x, y Subnet) int { return strings.Compare(x.AvailabilityZone, y.AvailabilityZone) })
	return out, nil
}

func (s *Subnet) clone() Subnet {
	c := *s
	c.Tags = s.Tags.with(nil)
	return c
}

// subnet finds a subnet or refuses its ID as EC2 does.
func (a *Account) subnet(id string) (*Subnet, error) {
	if s, ok := a.ec2.subnets[id]; ok {
		return s, nil
	}
	return nil, refuse("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
}
