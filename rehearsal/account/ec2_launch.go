package account

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// LaunchInput says what instances to launch: a launch template, if any, and what overrides it.
type LaunchInput struct {
	// Template names a launch template by ID or name; nil for none.
	Template *LaunchTemplateRef
	// Data overrides the template's field by field.
	Data     LaunchTemplateData
	SubnetID string
	// AvailabilityZone picks the default subnet of a zone where SubnetID is empty.
	AvailabilityZone string
	Count            int
	Spot             bool
	FleetID          string
	// Tags are by resource type: instance, volume, network-interface, spot-instances-request.
	Tags map[string]Tags
}

// Launch is a LaunchInput with everything it names looked up: what will run, and what IAM is
// asked about.
type Launch struct {
	LaunchInput
	Type      InstanceType
	Image     Image
	Subnet    Subnet
	Groups    []SecurityGroup
	Profile   *InstanceProfile
	FromLT    *LaunchTemplate
	LTVersion int
}

// ResolveLaunch looks up what a launch names and refuses what EC2 refuses, in EC2's words. Nothing
// is changed.
func (a *Account) ResolveLaunch(in LaunchInput) (Launch, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.resolveLaunch(in)
}

func (a *Account) resolveLaunch(in LaunchInput) (Launch, error) {
	l := Launch{LaunchInput: in}
	l.Tags = maps.Clone(in.Tags)
	if l.Tags == nil {
		l.Tags = map[string]Tags{}
	}
	if in.Template != nil {
		if err := l.readTemplate(a); err != nil {
			return l, err
		}
	}
	for _, spec := range l.Data.TagSpecifications {
		// Tags of the request win over those of the template.
		l.Tags[spec.ResourceType] = spec.Tags.with(l.Tags[spec.ResourceType])
	}
	if l.Data.ImageID == "" {
		return l, refuse("MissingParameter", "The request must contain the parameter ImageId")
	}
	var err error
	if l.Image, err = a.image(l.Data.ImageID); err != nil {
		return l, err
	}
	if l.Data.InstanceType == "" {
		l.Data.InstanceType = "m1.small" // EC2's default
	}
	if l.Type, err = a.DescribeInstanceType(l.Data.InstanceType); err != nil {
		return l, refuse("InvalidParameterValue", "Invalid value '%s' for InstanceType.", l.Data.InstanceType)
	}
	if !slices.Contains(l.Type.Architectures, l.Image.Architecture) {
		return l, refuse("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again.",
			l.Type.Architectures[0], l.Image.Architecture)
	}
	if err := l.place(a); err != nil {
		return l, err
	}
	if l.Data.IAMInstanceProfile != "" {
		p, err := a.profileOf(l.Data.IAMInstanceProfile)
		if err != nil {
			return l, err
		}
		profile := a.profileClone(p)
		l.Profile = &profile
	}
	return l, l.Data.check()
}

// readTemplate puts the template's data under that of the request.
func (l *Launch) readTemplate(a *Account) error {
	t, err := a.findTemplate(*l.Template)
	if err != nil {
		return err
	}
	v, err := t.version(l.Template.Version)
	if err != nil {
		return err
	}
	found := t.clone()
	l.FromLT, l.LTVersion = &found, v.Number
	d, o := v.Data, l.Data
	d.ImageID, d.InstanceType, d.KeyName = cmp.Or(o.ImageID, d.ImageID), cmp.Or(o.InstanceType, d.InstanceType), cmp.Or(o.KeyName, d.KeyName)
	d.UserData, d.IAMInstanceProfile = cmp.Or(o.UserData, d.UserData), cmp.Or(o.IAMInstanceProfile, d.IAMInstanceProfile)
	d.Metadata = cmp.Or(o.Metadata, d.Metadata)
	if len(o.SecurityGroupIDs) > 0 {
		d.SecurityGroupIDs = o.SecurityGroupIDs
	}
	if len(o.NetworkInterfaces) > 0 {
		d.NetworkInterfaces, d.SecurityGroupIDs = mergeInterfaces(d, o), nil
	}
	if len(o.BlockDevices) > 0 {
		d.BlockDevices = o.BlockDevices
	}
	d.TagSpecifications = slices.Concat(d.TagSpecifications, o.TagSpecifications)
	l.Data = d
	return nil
}

// mergeInterfaces gives the request's interfaces the template's security groups where they have
// none of their own.
func mergeInterfaces(d, o LaunchTemplateData) []NetworkInterfaceSpec {
	groups := d.SecurityGroupIDs
	for _, i := range d.NetworkInterfaces {
		groups = append(slices.Clip(groups), i.SecurityGroupIDs...)
	}
	out := slices.Clone(o.NetworkInterfaces)
	for i := range out {
		if len(out[i].SecurityGroupIDs) == 0 {
			out[i].SecurityGroupIDs = groups
		}
	}
	return out
}

// place finds subnet and security groups, and whether the zone has the type.
func (l *Launch) place(a *Account) error {
	for _, i := range l.Data.NetworkInterfaces {
		if i.SubnetID != "" {
			l.SubnetID = i.SubnetID
		}
	}
	subnet, err := a.subnet(l.SubnetID)
	if l.SubnetID == "" {
		subnet, err = a.defaultSubnet(l.AvailabilityZone, l.Type.Name)
	}
	if err != nil {
		return err
	}
	l.Subnet, l.SubnetID = subnet.clone(), subnet.ID
	if l.AvailabilityZone != "" && l.AvailabilityZone != subnet.AvailabilityZone {
		return refuse("InvalidParameterValue", "The availability zone '%s' does not match that of subnet '%s'", l.AvailabilityZone, subnet.ID)
	}
	l.AvailabilityZone = subnet.AvailabilityZone
	if !a.offeredIn(l.Type.Name, subnet.AvailabilityZone) {
		return refuse("Unsupported", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s). Please retry your request by not specifying an Availability Zone or choosing another one.", l.Type.Name, subnet.AvailabilityZone)
	}
	if l.Spot && !slices.Contains(l.Type.UsageClasses, catalogue.UsageSpot) {
		return refuse("Unsupported", "The requested configuration is currently not supported. %s is not sold as spot.", l.Type.Name)
	}
	ids := slices.Clone(l.Data.SecurityGroupIDs)
	for _, i := range l.Data.NetworkInterfaces {
		ids = append(ids, i.SecurityGroupIDs...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) == 0 {
		ids = a.defaultGroup(subnet.VPCID)
	}
	for _, id := range ids {
		g, err := a.group(id)
		if err != nil {
			return err
		}
		l.Groups = append(l.Groups, g.clone())
	}
	return nil
}

func (a *Account) offeredIn(instanceType, zone string) bool {
	o, err := a.types.Offered(a.region, instanceType)
	return err == nil && slices.ContainsFunc(o.Zones, func(z catalogue.Zone) bool { return z.Name == zone })
}

// defaultSubnet is the default VPC's subnet in a zone; without one EC2 picks a zone that has the
// type.
func (a *Account) defaultSubnet(zone, instanceType string) (*Subnet, error) {
	for _, id := range sortedKeys(a.ec2.subnets) {
		s := a.ec2.subnets[id]
		if s.DefaultForAZ && (zone == s.AvailabilityZone || zone == "" && a.offeredIn(instanceType, s.AvailabilityZone)) {
			return s, nil
		}
	}
	return nil, refuse("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
}

func (a *Account) defaultGroup(vpcID string) []string {
	for _, id := range sortedKeys(a.ec2.groups) {
		if g := a.ec2.groups[id]; g.VPCID == vpcID && g.Name == "default" {
			return []string{id}
		}
	}
	return nil
}

// findTemplate finds a launch template by ID or name.
func (a *Account) findTemplate(ref LaunchTemplateRef) (*launchTemplate, error) {
	if ref.Name != "" {
		return a.templateByName(ref.Name)
	}
	return a.template(ref.ID)
}

// RunInstances launches instances: all of them or none.
func (a *Account) RunInstances(in LaunchInput) ([]Instance, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l, err := a.resolveLaunch(in)
	if err != nil {
		return nil, err
	}
	return a.launch(l)
}

// launch makes the instances of a resolved launch.
func (a *Account) launch(l Launch) ([]Instance, error) {
	if l.Spot {
		if _, err := a.role(serviceLinkedRoles()["spot.amazonaws.com"]); err != nil {
			return nil, refuse("AuthFailure.ServiceLinkedRoleCreationNotPermitted",
				"The provided credentials do not have permission to create the service-linked role for EC2 Spot Instances.")
		}
	}
	for _, tags := range l.Tags {
		if err := tags.check("InvalidParameterValue"); err != nil {
			return nil, err
		}
	}
	if _, why := a.room(l); why != nil {
		return nil, why
	}
	subnet := a.ec2.subnets[l.Subnet.ID]
	if subnet.AvailableIPs < l.Count {
		return nil, refuse("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", subnet.ID)
	}
	reservation := a.nextID("r")
	var out []Instance
	for range l.Count {
		i := &instance{Instance{
			ID: a.nextID("i"), Type: l.Type.Name, ImageID: l.Image.ID, Architecture: l.Image.Architecture,
			Spot: l.Spot, FleetID: l.FleetID, SubnetID: subnet.ID, VPCID: subnet.VPCID,
			AvailabilityZone: subnet.AvailabilityZone, AvailabilityZoneID: subnet.AvailabilityZoneID,
			UserData: l.Data.UserData, Metadata: metadataDefaults(l.Data.Metadata, l.Image),
			NetworkInterfaceID: a.nextID("eni"), VolumeID: a.nextID("vol"), ReservationID: reservation,
			LaunchTime: a.timestamp(), Tags: l.Tags["instance"].with(l.ownTags()),
		}}
		for _, g := range l.Groups {
			i.SecurityGroupIDs = append(i.SecurityGroupIDs, g.ID)
		}
		if l.Profile != nil {
			i.InstanceProfileARN = l.Profile.ARN
		}
		if l.FromLT != nil {
			i.LaunchTemplateID, i.LaunchTemplateVersion = l.FromLT.ID, l.LTVersion
		}
		if l.Spot {
			i.SpotRequestID = a.nextID("sir")
		}
		i.Cluster, i.Nodegroup = i.Tags["eks:cluster-name"], i.Tags["eks:nodegroup-name"]
		ip, err := a.takeAddress(subnet)
		if err != nil {
			return nil, err
		}
		i.PrivateIP, i.PrivateDNSName = ip.String(), a.privateDNSName(ip)
		a.attach(i, l)
		a.compute.instances[i.ID] = i
		a.setState(i, StatePending)
		a.later(a.compute.delays.Pending, func() {
			if i.State == StatePending {
				a.setState(i, StateRunning)
			}
		})
		out = append(out, i.clone())
		out[len(out)-1].State = StatePending // what the call answers, however fast it boots
	}
	return out, nil
}

// privateDNSName is the name that EC2 gives the address of an instance.
func (a *Account) privateDNSName(ip netip.Addr) string {
	domain := a.region + ".compute.internal"
	if a.region == "us-east-1" {
		domain = "ec2.internal"
	}
	return "ip-" + strings.ReplaceAll(ip.String(), ".", "-") + "." + domain
}

// ownTags are those that EC2 itself puts on what it launches.
func (l Launch) ownTags() Tags {
	tags := Tags{}
	if l.FromLT != nil {
		tags["aws:ec2launchtemplate:id"], tags["aws:ec2launchtemplate:version"] = l.FromLT.ID, strconv.Itoa(l.LTVersion)
	}
	if l.FleetID != "" {
		tags["aws:ec2:fleet-id"] = l.FleetID
	}
	return tags
}

// metadataDefaults are what EC2 sets where nobody says: images that ask for IMDSv2, as Amazon Linux
// 2023 does, get tokens required and two hops ("Configure instance metadata options").
func metadataDefaults(m *MetadataOptions, image Image) MetadataOptions {
	out := MetadataOptions{}
	if m != nil {
		out = *m
	}
	tokens, hops := "optional", 1
	if strings.Contains(image.Name, "al2023") {
		tokens, hops = "required", 2
	}
	out.HTTPEndpoint, out.HTTPTokens, out.HopLimit = cmp.Or(out.HTTPEndpoint, "enabled"), cmp.Or(out.HTTPTokens, tokens), cmp.Or(out.HopLimit, hops)
	return out
}
