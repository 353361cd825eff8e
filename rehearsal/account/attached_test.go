package account_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// TestWhatAnInstanceLeaves: the root volume and the interface go with the instance, other volumes and
// those that are told to stay do not.
func TestWhatAnInstanceLeaves(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	tests := map[string]struct {
		devices []account.BlockDevice
		left    []string // device names
	}{
		"the image's root":            {nil, nil},
		"the root":                    {[]account.BlockDevice{{DeviceName: "/dev/xvda", VolumeSize: 100}}, nil},
		"a root that stays":           {[]account.BlockDevice{{DeviceName: "/dev/xvda", DeleteOnTermination: &no}}, []string{"/dev/xvda"}},
		"a second volume":             {[]account.BlockDevice{{DeviceName: "/dev/xvdb"}}, []string{"/dev/xvdb"}},
		"a second volume that goes":   {[]account.BlockDevice{{DeviceName: "/dev/xvdb", DeleteOnTermination: &yes}}, nil},
		"a device that is left empty": {[]account.BlockDevice{{DeviceName: "/dev/xvdc", NoDevice: "true"}}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, "us-west-2", "")
			in := launchInput(t, a)
			in.Data.BlockDevices = tc.devices
			in.Tags = map[string]account.Tags{"volume": {"k": "v"}, "network-interface": {"k": "n"}}
			launched, err := a.RunInstances(in)
			id := must(t, launched, err)[0].ID
			device := map[string]string{}
			volumes, err := a.DescribeVolumes(nil, account.Filter{Name: "attachment.instance-id", Values: []string{id}}, account.Filter{Name: "tag:k", Values: []string{"v"}})
			for _, v := range must(t, volumes, err) {
				device[v.ID] = v.Device
				if v.State() != "in-use" {
					t.Errorf("volume %s is %s", v.Device, v.State())
				}
				if err := a.DeleteVolume(v.ID); !account.IsCode(err, "VolumeInUse") {
					t.Errorf("volume %s was deleted under its instance: %v", v.Device, err)
				}
			}
			interfaces, err := a.DescribeNetworkInterfaces(nil, account.Filter{Name: "tag:k", Values: []string{"n"}})
			if len(must(t, interfaces, err)) != 1 || interfaces[0].ID != launched[0].NetworkInterfaceID || interfaces[0].PrivateIP != launched[0].PrivateIP {
				t.Errorf("interfaces %+v", interfaces)
			}
			_, err = a.TerminateInstances(id)
			ok(t, err)
			var left []string
			for _, r := range a.Leftovers() {
				left = append(left, device[r.ID])
				ok(t, a.DeleteVolume(r.ID))
			}
			if d := cmp.Diff(tc.left, left); d != "" {
				t.Errorf("left (-want +got):\n%s", d)
			}
			wantEmpty(t, a)
		})
	}
}

// TestStrandedInterface: an interface that nobody deleted holds its security group and its address.
func TestStrandedInterface(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	g := group(t, a, "g")
	subnet := subnetIDs(t, a)[0]
	free := func() int {
		got, err := a.DescribeSubnets(account.Filter{Name: "subnet-id", Values: []string{subnet}})
		return must(t, got, err)[0].AvailableIPs
	}
	before := free()
	n, err := a.CreateNetworkInterface(account.NetworkInterface{SubnetID: subnet, SecurityGroupIDs: []string{g.ID}, Description: "aws-K8S-i-1"})
	if must(t, n, err).State() != "available" || free() != before-1 {
		t.Errorf("%+v, %d addresses of %d", n, free(), before)
	}
	if err := a.DeleteSecurityGroup(g.ID); !account.IsCode(err, "DependencyViolation") {
		t.Errorf("a security group in use: %v", err)
	}
	for name, in := range map[string]account.NetworkInterface{
		"InvalidSubnetID.NotFound": {SubnetID: "subnet-0"},
		"InvalidGroup.NotFound":    {SubnetID: subnet, SecurityGroupIDs: []string{"sg-0"}},
		"InvalidParameterValue":    {SubnetID: subnet, Tags: account.Tags{"aws:x": "y"}},
	} {
		if _, err := a.CreateNetworkInterface(in); !account.IsCode(err, name) {
			t.Errorf("%+v: %v, want %s", in, err, name)
		}
	}
	ok(t, a.DeleteNetworkInterface(n.ID))
	ok(t, a.DeleteSecurityGroup(g.ID))
	wantRefusal(t, a.DeleteNetworkInterface(n.ID), "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '"+n.ID+"' does not exist")
	_, err = a.DescribeVolumes([]string{"vol-0"})
	wantRefusal(t, err, "InvalidVolume.NotFound", "The volume 'vol-0' does not exist.")
	if free() != before {
		t.Errorf("%d addresses of %d", free(), before)
	}
	launched, err := a.RunInstances(launchInput(t, a))
	if err := a.DeleteNetworkInterface(must(t, launched, err)[0].NetworkInterfaceID); !account.IsCode(err, "InvalidParameterValue") {
		t.Errorf("an interface was deleted under its instance: %v", err)
	}
}
