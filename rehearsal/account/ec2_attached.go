package account

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// This file holds what an instance is launched with and may leave behind: volumes and network
// interfaces.

// Volume is an EBS volume.
type Volume struct {
	ID, AvailabilityZone string
	// Type is gp3 and the like; SizeGiB is in GiB.
	Type      string
	SizeGiB   int
	Encrypted bool
	// InstanceID is the instance it is attached to under the device name Device; "" for none.
	InstanceID, Device string
	// DeleteOnTermination: it goes with the instance.
	DeleteOnTermination bool
	Created             time.Time
	Tags                Tags
}

// State is in-use or available ("Volume" in the EC2 API reference).
func (v Volume) State() string { return attachment(v.InstanceID) }

// NetworkInterface is an elastic network interface.
type NetworkInterface struct {
	ID, SubnetID, VPCID, AvailabilityZone, PrivateIP, Description string
	SecurityGroupIDs                                              []string
	// InstanceID is the instance it is attached to; "" for none.
	InstanceID string
	// DeleteOnTermination: it goes with the instance.
	DeleteOnTermination bool
	Tags                Tags
}

// State is in-use or available ("NetworkInterface" in the EC2 API reference).
func (n NetworkInterface) State() string { return attachment(n.InstanceID) }

func attachment(instanceID string) string {
	if instanceID == "" {
		return "available"
	}
	return "in-use"
}

func (v *Volume) clone() Volume {
	c := *v
	c.Tags = v.Tags.with(nil)
	return c
}

func (n *NetworkInterface) clone() NetworkInterface {
	c := *n
	c.Tags, c.SecurityGroupIDs = n.Tags.with(nil), slices.Clone(n.SecurityGroupIDs)
	return c
}

// attach makes the interface and the volumes of an instance that is being launched. Where the
// launch does not say otherwise, the root volume and the interface go with the instance and other
// volumes stay ("Preserve data when an instance is terminated" in the EC2 User Guide).
func (a *Account) attach(i *instance, l Launch) {
	goes := true
	for _, n := range l.Data.NetworkInterfaces {
		if n.DeleteOnTermination != nil && n.DeviceIndex == 0 {
			goes = *n.DeleteOnTermination
		}
	}
	a.compute.interfaces[i.NetworkInterfaceID] = &NetworkInterface{
		ID: i.NetworkInterfaceID, SubnetID: i.SubnetID, VPCID: i.VPCID, AvailabilityZone: i.AvailabilityZone, PrivateIP: i.PrivateIP,
		SecurityGroupIDs: i.SecurityGroupIDs, InstanceID: i.ID, DeleteOnTermination: goes, Tags: l.Tags["network-interface"].with(nil),
	}
	volume := func(id, device string, b BlockDevice, stays bool) {
		v := &Volume{
			ID: id, AvailabilityZone: i.AvailabilityZone, InstanceID: i.ID, Device: device, Created: a.timestamp(), Tags: l.Tags["volume"].with(nil),
			Type: cmp.Or(b.VolumeType, "gp2"), SizeGiB: cmp.Or(b.VolumeSize, l.Image.VolumeSize), DeleteOnTermination: !stays,
		}
		if b.Encrypted != nil {
			v.Encrypted = *b.Encrypted
		}
		if b.DeleteOnTermination != nil {
			v.DeleteOnTermination = *b.DeleteOnTermination
		}
		a.compute.volumes[id] = v
	}
	root := BlockDevice{DeviceName: l.Image.RootDevice}
	for _, b := range l.Data.BlockDevices {
		switch {
		case b.DeviceName == l.Image.RootDevice:
			root = b
		case b.NoDevice == "" && b.VirtualName == "":
			volume(a.nextID("vol"), b.DeviceName, b, true)
		}
	}
	volume(i.VolumeID, root.DeviceName, root, false)
	i.VolumeStays = !a.compute.volumes[i.VolumeID].DeleteOnTermination
}

// detach takes the interface and the volumes off an instance that has ended: they go with it, or
// are left.
func (a *Account) detach(i *instance) {
	for id, n := range a.compute.interfaces {
		switch {
		case n.InstanceID != i.ID:
		case n.DeleteOnTermination:
			a.freeAddress(n.SubnetID, n.PrivateIP)
			delete(a.compute.interfaces, id)
		default:
			n.InstanceID = ""
		}
	}
	for id, v := range a.compute.volumes {
		switch {
		case v.InstanceID != i.ID:
		case v.DeleteOnTermination:
			delete(a.compute.volumes, id)
		default:
			v.InstanceID, v.Device = "", ""
		}
	}
}

// DescribeVolumes lists volumes by ID; no IDs are all. Filters: volume-id, status,
// availability-zone, attachment.instance-id, encrypted, tag:KEY, tag-key.
func (a *Account) DescribeVolumes(ids []string, filters ...Filter) ([]Volume, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return describe(ids, a.compute.volumes, a.volume, func(v *Volume) (Volume, fields, Tags) {
		return v.clone(), fields{
			"volume-id": {v.ID}, "status": {v.State()}, "availability-zone": {v.AvailabilityZone},
			"attachment.instance-id": attached(v.InstanceID), "encrypted": {boolText(v.Encrypted)},
		}, v.Tags
	}, filters)
}

// DescribeNetworkInterfaces lists network interfaces by ID; no IDs are all. Filters:
// network-interface-id, status, availability-zone, subnet-id, vpc-id, group-id, description,
// attachment.instance-id, tag:KEY, tag-key.
func (a *Account) DescribeNetworkInterfaces(ids []string, filters ...Filter) ([]NetworkInterface, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return describe(ids, a.compute.interfaces, a.networkInterface, func(n *NetworkInterface) (NetworkInterface, fields, Tags) {
		return n.clone(), fields{
			"network-interface-id": {n.ID}, "status": {n.State()}, "availability-zone": {n.AvailabilityZone}, "subnet-id": {n.SubnetID}, "vpc-id": {n.VPCID},
			"group-id": n.SecurityGroupIDs, "description": {n.Description}, "attachment.instance-id": attached(n.InstanceID),
		}, n.Tags
	}, filters)
}

func attached(instanceID string) []string {
	if instanceID == "" {
		return nil
	}
	return []string{instanceID}
}

// describe is what Describe actions do: the named things, or all, as far as the filters let them
// through.
func describe[V, T any](ids []string, all map[string]*V, find func(string) (*V, error), look func(*V) (T, fields, Tags), filters []Filter) ([]T, error) {
	if len(ids) == 0 {
		ids = sortedKeys(all)
	}
	var out []T
	for _, id := range ids {
		v, err := find(id)
		if err != nil {
			return nil, err
		}
		item, values, tags := look(v)
		ok, err := values.match(filters, tags)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, item)
		}
	}
	return out, nil
}

func (a *Account) volume(id string) (*Volume, error) {
	if v, ok := a.compute.volumes[id]; ok {
		return v, nil
	}
	return nil, refuse("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
}

func (a *Account) networkInterface(id string) (*NetworkInterface, error) {
	if n, ok := a.compute.interfaces[id]; ok {
		return n, nil
	}
	return nil, refuse("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
}

// DeleteVolume deletes a volume that is attached to nothing.
func (a *Account) DeleteVolume(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, err := a.volume(id)
	if err != nil {
		return err
	}
	if v.InstanceID != "" {
		return refuse("VolumeInUse", "Volume %s is currently attached to %s", id, v.InstanceID)
	}
	delete(a.compute.volumes, id)
	return nil
}

// CreateNetworkInterface makes an interface that is attached to nothing, as the VPC CNI makes them
// for nodes, and leaves them when a node ends before it has attached or deleted them
// (amazon-vpc-cni-k8s, "leaked ENIs"). What is asked for is subnet, security groups, description and
// tags.
func (a *Account) CreateNetworkInterface(in NetworkInterface) (NetworkInterface, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, err := a.subnet(in.SubnetID)
	if err != nil {
		return NetworkInterface{}, err
	}
	for _, id := range in.SecurityGroupIDs {
		if _, err := a.group(id); err != nil {
			return NetworkInterface{}, err
		}
	}
	if err := in.Tags.check("InvalidParameterValue"); err != nil {
		return NetworkInterface{}, err
	}
	ip, err := a.takeAddress(s)
	if err != nil {
		return NetworkInterface{}, err
	}
	n := &NetworkInterface{
		ID: a.nextID("eni"), SubnetID: s.ID, VPCID: s.VPCID, AvailabilityZone: s.AvailabilityZone, PrivateIP: ip.String(),
		Description: in.Description, SecurityGroupIDs: slices.Clone(in.SecurityGroupIDs), Tags: in.Tags.with(nil),
	}
	a.compute.interfaces[n.ID] = n
	return n.clone(), nil
}

// DeleteNetworkInterface deletes an interface that is attached to nothing.
func (a *Account) DeleteNetworkInterface(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, err := a.networkInterface(id)
	if err != nil {
		return err
	}
	if n.InstanceID != "" {
		return refuse("InvalidParameterValue", "Network interface '%s' is currently in use.", id)
	}
	a.freeAddress(n.SubnetID, n.PrivateIP)
	delete(a.compute.interfaces, id)
	return nil
}

// takeAddress takes the first free address of a subnet.
func (a *Account) takeAddress(s *Subnet) (netip.Addr, error) {
	prefix, err := netip.ParsePrefix(s.CIDR)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("subnet %s: %w", s.ID, err)
	}
	used := a.compute.addresses[s.ID]
	if used == nil {
		used = map[netip.Addr]bool{}
		a.compute.addresses[s.ID] = used
	}
	if s.AvailableIPs == 0 {
		return netip.Addr{}, refuse("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", s.ID)
	}
	// The first four addresses are the VPC's own ("Subnet CIDR blocks" in the VPC User Guide).
	ip := prefix.Addr()
	for range 4 {
		ip = ip.Next()
	}
	for used[ip] {
		ip = ip.Next()
	}
	used[ip] = true
	s.AvailableIPs--
	return ip, nil
}

func (a *Account) freeAddress(subnetID, address string) {
	ip, err := netip.ParseAddr(address)
	if err != nil || !a.compute.addresses[subnetID][ip] {
		return
	}
	delete(a.compute.addresses[subnetID], ip)
	if s := a.ec2.subnets[subnetID]; s != nil {
		s.AvailableIPs++
	}
}

// usesGroup tells whether a network interface bears the security group.
func (s *computeState) usesGroup(id string) bool {
	for _, n := range s.interfaces {
		if slices.Contains(n.SecurityGroupIDs, id) {
			return true
		}
	}
	return false
}
