package account_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// imageID is an image for x86 instances.
func imageID(t *testing.T, a *account.Account) string {
	t.Helper()
	p, err := a.GetParameter("/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended/image_id")
	return must(t, p, err).Value
}

// launchInput is a launch that works, in a zone that has the type.
func launchInput(t *testing.T, a *account.Account) account.LaunchInput {
	t.Helper()
	return account.LaunchInput{Data: account.LaunchTemplateData{ImageID: imageID(t, a), InstanceType: "g4dn.xlarge"}, Count: 1}
}

func TestLaunchRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		world         string
		change        func(*account.Account, *account.LaunchInput)
		code, message string
	}{
		"no image":           {"", func(_ *account.Account, in *account.LaunchInput) { in.Data.ImageID = "" }, "MissingParameter", "The request must contain the parameter ImageId"},
		"unknown image":      {"", func(_ *account.Account, in *account.LaunchInput) { in.Data.ImageID = "ami-0" }, "InvalidAMIID.NotFound", "The image id '[ami-0]' does not exist"},
		"unknown type":       {"", func(_ *account.Account, in *account.LaunchInput) { in.Data.InstanceType = "g9.mega" }, "InvalidParameterValue", "Invalid value 'g9.mega' for InstanceType."},
		"not in this region": {"no-g4dn", func(*account.Account, *account.LaunchInput) {}, "InvalidParameterValue", "Invalid value 'g4dn.xlarge' for InstanceType."},
		"wrong architecture": {"", func(_ *account.Account, in *account.LaunchInput) { in.Data.InstanceType = "m7g.large" }, "InvalidParameterValue", "The architecture 'arm64' of the specified instance type does not match the architecture 'x86_64' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again."},
		"unknown subnet":     {"", func(_ *account.Account, in *account.LaunchInput) { in.SubnetID = "subnet-0" }, "InvalidSubnetID.NotFound", "The subnet ID 'subnet-0' does not exist"},
		"unknown group":      {"", func(_ *account.Account, in *account.LaunchInput) { in.Data.SecurityGroupIDs = []string{"sg-0"} }, "InvalidGroup.NotFound", "The security group 'sg-0' does not exist"},
		"no default VPC":     {"no-default-vpc", func(*account.Account, *account.LaunchInput) {}, "MissingInput", "No subnets found for the default VPC. Please specify a subnet."},
		"unknown template": {"", func(_ *account.Account, in *account.LaunchInput) {
			in.Template = &account.LaunchTemplateRef{Name: "none"}
		}, "InvalidLaunchTemplateName.NotFoundException", "At least one of the launch templates specified in the request does not exist."},
		"unknown profile": {"", func(_ *account.Account, in *account.LaunchInput) { in.Data.IAMInstanceProfile = "none" }, "InvalidParameterValue", "Value (none) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"},
		"profile without role": {"", func(a *account.Account, in *account.LaunchInput) {
			if _, err := a.CreateInstanceProfile("p", "", nil); err == nil {
				in.Data.IAMInstanceProfile = "p"
			}
		}, "InvalidParameterValue", `Value (p) for parameter iamInstanceProfile.name is invalid. IAM Instance Profile "arn:aws:iam::111122223333:instance-profile/p" has no associated IAM Roles`},
		"spot without its role":   {"no-spot-role", func(_ *account.Account, in *account.LaunchInput) { in.Spot = true }, "AuthFailure.ServiceLinkedRoleCreationNotPermitted", "The provided credentials do not have permission to create the service-linked role for EC2 Spot Instances."},
		"too many for the subnet": {"", func(a *account.Account, in *account.LaunchInput) { in.Count = 4092 }, "InsufficientFreeAddressesInSubnet", ""},
		"a tag of AWS's own": {"", func(_ *account.Account, in *account.LaunchInput) {
			in.Tags = map[string]account.Tags{"instance": {"aws:x": "y"}}
		}, "InvalidParameterValue", "aws: prefixed tag key names are not allowed for external use."},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, "us-west-2", tc.world)
			in := launchInput(t, a)
			tc.change(a, &in)
			_, err := a.RunInstances(in)
			if tc.message == "" {
				if !account.IsCode(err, tc.code) {
					t.Errorf("got %v, want %s", err, tc.code)
				}
			} else {
				wantRefusal(t, err, tc.code, tc.message)
			}
			if got, err := a.DescribeInstances(nil); err != nil || len(got) != 0 {
				t.Errorf("a refused launch left %d instances (%v)", len(got), err)
			}
		})
	}
	t.Run("a zone without the type", func(t *testing.T) {
		t.Parallel()
		a := open(t, "us-west-2", "")
		in := launchInput(t, a)
		in.AvailabilityZone = "us-west-2d"
		_, err := a.RunInstances(in)
		wantRefusal(t, err, "Unsupported", "Your requested instance type (g4dn.xlarge) is not supported in your requested Availability Zone (us-west-2d). Please retry your request by not specifying an Availability Zone or choosing another one.")
	})
}

// TestLifecycle: states follow each other after their delays, and who waits sees them.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := open(t, "us-west-2", "")
		a.SetDelays(account.Delays{Pending: 30 * time.Millisecond, ShuttingDown: 30 * time.Millisecond})
		free := func() int {
			n := 0
			subnets, err := a.DescribeSubnets()
			for _, s := range must(t, subnets, err) {
				n += s.AvailableIPs
			}
			return n
		}
		before := free()
		launched, err := a.RunInstances(launchInput(t, a))
		id := must(t, launched, err)[0].ID
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		revision := int64(0)
		await := func(want string) account.Instance {
			t.Helper()
			for {
				changed, next, err := a.WaitInstances(ctx, revision)
				ok(t, err)
				if next <= revision || len(changed) != 1 {
					t.Fatalf("revision %d after %d with %d changes", next, revision, len(changed))
				}
				revision = next
				if changed[0].State == want {
					return changed[0]
				}
			}
		}
		if i := await(account.StatePending); i.PrivateIP == "" || free() != before-1 {
			t.Errorf("pending: %+v, %d addresses free of %d", i, free(), before)
		}
		await(account.StateRunning)
		ok(t, a.CreateTags([]string{id}, account.Tags{"Name": "n"}))
		if i := await(account.StateRunning); i.Tags["Name"] != "n" {
			t.Errorf("a new tag is not seen: %v", i.Tags)
		}
		changes, err := a.TerminateInstances(id)
		if d := cmp.Diff([]account.StateChange{{ID: id, Previous: account.StateRunning, Current: account.StateShuttingDown}}, must(t, changes, err)); d != "" {
			t.Error(d)
		}
		if left := a.Leftovers(); len(left) != 1 || left[0].ID != id {
			t.Errorf("while it shuts down, left over is %v", left)
		}
		if i := await(account.StateTerminated); i.PrivateIP != "" || i.StateReason != "Client.UserInitiatedShutdown" || free() != before {
			t.Errorf("terminated: %+v, %d addresses free of %d", i, free(), before)
		}
		wantEmpty(t, a)
		changes, err = a.TerminateInstances(id)
		if d := cmp.Diff([]account.StateChange{{ID: id, Previous: account.StateTerminated, Current: account.StateTerminated}}, must(t, changes, err)); d != "" {
			t.Errorf("ended twice: %s", d)
		}
		short, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer stop()
		if _, _, err := a.WaitInstances(short, revision); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for nothing: %v", err)
		}
		// The address is given again: the first free one of the subnet.
		again, err := a.RunInstances(launchInput(t, a))
		if got, want := must(t, again, err)[0].PrivateIP, launched[0].PrivateIP; got != want {
			t.Errorf("address %s, want %s", got, want)
		}
	})
}

// TestFleet: the cheapest way that works, and errors for those that do not.
func TestFleet(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	lt, err := a.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: "lt-1", Data: account.LaunchTemplateData{ImageID: imageID(t, a)}})
	ok(t, err)
	allowed := func(...authz.Call) error { return nil }
	input := func(types ...string) account.FleetInput {
		in := account.FleetInput{Target: 1, Configs: []account.FleetConfig{{Template: account.LaunchTemplateRef{Name: "lt-1", Version: "$Latest"}}}}
		for i, name := range types {
			in.Configs[0].Overrides = append(in.Configs[0].Overrides, account.FleetOverride{InstanceType: name, AvailabilityZone: "us-west-2a", Priority: float64(i)})
		}
		return in
	}
	_, err = a.CreateFleet(account.FleetInput{Target: 1, Configs: []account.FleetConfig{{Template: account.LaunchTemplateRef{Name: "none"}}}}, allowed)
	wantRefusal(t, err, "InvalidLaunchTemplateName.NotFoundException", "At least one of the launch templates specified in the request does not exist.")
	_, err = a.CreateFleet(account.FleetInput{Configs: input("m5.large").Configs}, allowed)
	wantRefusal(t, err, "InvalidParameterValue", "TotalTargetCapacity must be at least 1, not 0")

	f, err := a.CreateFleet(input("m7g.large", "g9.mega"), allowed)
	ok(t, err)
	if len(f.Instances) != 0 || len(f.Errors) != 2 || f.Errors[0].Code != "InvalidParameterValue" || f.Errors[0].Override.InstanceType != "m7g.large" {
		t.Errorf("nothing can be launched: %+v", f)
	}
	denied := errors.New("no")
	var asked []string
	f, err = a.CreateFleet(input("m5.large", "c5.large"), func(calls ...authz.Call) error {
		for _, c := range calls {
			asked = append(asked, c.Action)
		}
		if len(asked) == 1 {
			return denied
		}
		return nil
	})
	ok(t, err)
	if len(f.Errors) != 1 || f.Errors[0].Override.InstanceType != "c5.large" || len(f.Instances) != 1 || f.Instances[0].InstanceType != "m5.large" || len(asked) != 2 {
		t.Errorf("the cheapest way denied: %+v, asked %v", f, asked)
	}
	for name, tc := range map[string]struct {
		spot, prioritized bool
		want              string
	}{"on-demand": {false, false, "c5.large"}, "spot": {true, false, "c5.large"}, "prioritized": {false, true, "m5.2xlarge"}} {
		in := input("m5.2xlarge", "c5.large", "m5.large")
		in.Spot, in.Prioritized, in.Target = tc.spot, tc.prioritized, 3
		f, err := a.CreateFleet(in, allowed)
		ok(t, err)
		if len(f.Instances) != 1 || len(f.Instances[0].IDs) != 3 || f.Instances[0].InstanceType != tc.want || f.Instances[0].Template.ID != lt.ID {
			t.Errorf("%s: %+v", name, f)
			continue
		}
		got, err := a.DescribeInstances(f.Instances[0].IDs, account.Filter{Name: "tag:aws:ec2:fleet-id", Values: []string{f.ID}})
		if len(must(t, got, err)) != 3 || got[0].Spot != tc.spot || (got[0].SpotRequestID != "") != tc.spot {
			t.Errorf("%s launched %+v", name, got)
		}
	}
	// Between zones of one price, new instances go where most addresses are free.
	in := account.FleetInput{Target: 1, Configs: []account.FleetConfig{{Template: account.LaunchTemplateRef{Name: "lt-1"}}}}
	for _, zone := range []string{"us-west-2a", "us-west-2b"} {
		in.Configs[0].Overrides = append(in.Configs[0].Overrides, account.FleetOverride{InstanceType: "m5.large", AvailabilityZone: zone})
	}
	f, err = a.CreateFleet(in, allowed)
	ok(t, err)
	if zone := f.Instances[0].Override.AvailabilityZone; zone != "us-west-2b" {
		t.Errorf("launched in %s, where ten instances are already", zone)
	}
}

// TestMembers: a node group keeps its number of instances, spread over its subnets.
func TestMembers(t *testing.T) {
	t.Parallel()
	a := withCluster(t, "1.28")
	in := nodegroupInput(t, a)
	_, err := a.CreateNodegroup(in)
	ok(t, err)
	members := func() []account.Instance {
		t.Helper()
		got, err := a.DescribeInstances(nil, account.Filter{Name: "tag:eks:nodegroup-name", Values: []string{"n"}}, account.Filter{Name: "instance-state-name", Values: []string{account.StateRunning}})
		return must(t, got, err)
	}
	two := members()
	if len(two) != 2 || two[0].AvailabilityZone == two[1].AvailabilityZone {
		t.Fatalf("members %+v", two)
	}
	cluster, err := a.DescribeCluster("c")
	ok(t, err)
	image, err := a.DescribeImages([]string{two[0].ImageID}, nil)
	ok(t, err)
	if m := two[0]; m.Cluster != "c" || m.Nodegroup != "n" || !cmp.Equal(m.SecurityGroupIDs, []string{cluster.VPC.ClusterSecurityGroupID}) || m.Metadata.HopLimit != 2 ||
		image[0].Name != "amazon-eks-arm64-node-1.28-v20251120" || m.Tags["kubernetes.io/cluster/c"] != "owned" {
		t.Errorf("member %+v of %s", m, image[0].Name)
	}
	_, err = a.TerminateInstances(two[0].ID)
	ok(t, err)
	after := members()
	if len(after) != 2 || after[0].ID == two[0].ID || after[1].ID == two[0].ID {
		t.Errorf("a member that ended was not replaced: %+v", after)
	}
	ok(t, a.UpdateNodegroupConfig("c", "n", account.Scaling{Min: 1, Max: 3, Desired: 3}, nil, nil, account.UpdateConfig{MaxUnavailable: 1}))
	if n := len(members()); n != 3 {
		t.Errorf("%d members after growing to 3", n)
	}
	ok(t, a.UpdateNodegroupConfig("c", "n", account.Scaling{Min: 1, Max: 3, Desired: 1}, nil, nil, account.UpdateConfig{MaxUnavailable: 1}))
	if n := len(members()); n != 1 {
		t.Errorf("%d members after shrinking to 1", n)
	}
	ok(t, a.DeleteNodegroup("c", "n"))
	for _, left := range a.Leftovers() {
		if left.Type == "AWS::EC2::Instance" {
			t.Errorf("left over after the node group: %+v", left)
		}
	}
}

// TestInstanceHolds: what an instance uses cannot be taken from under it, nor a role from a profile.
func TestInstanceHolds(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	wantRefusal(t, a.DeleteInstanceProfile("p"), "NoSuchEntity", "Instance Profile p cannot be found.")
	role(t, a, "node", "ec2.amazonaws.com")
	role(t, a, "other", "ec2.amazonaws.com")
	_, err := a.CreateInstanceProfile("p", "/x/", nil)
	ok(t, err)
	_, err = a.CreateInstanceProfile("P", "", nil)
	wantRefusal(t, err, "EntityAlreadyExists", "Instance Profile P already exists.")
	wantRefusal(t, a.AddRoleToInstanceProfile("p", "none"), "NoSuchEntity", "The role with name none cannot be found.")
	ok(t, a.AddRoleToInstanceProfile("p", "node"))
	wantRefusal(t, a.AddRoleToInstanceProfile("p", "other"), "LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
	wantRefusal(t, a.RemoveRoleFromInstanceProfile("p", "other"), "NoSuchEntity", "The role with name other cannot be found.")
	wantRefusal(t, a.DeleteInstanceProfile("p"), "DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
	wantRefusal(t, a.DeleteRole("node"), "DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")

	vpcs, err := a.DescribeVpcs()
	ok(t, err)
	group, err := a.CreateSecurityGroup(account.CreateSecurityGroupInput{Name: "g", Description: "d", VPCID: vpcs[0].ID})
	ok(t, err)
	in := launchInput(t, a)
	in.Data.SecurityGroupIDs, in.Data.IAMInstanceProfile = []string{group.ID}, "arn:aws:iam::111122223333:instance-profile/x/p"
	launched, err := a.RunInstances(in)
	id := must(t, launched, err)[0].ID
	wantRefusal(t, a.DeleteSecurityGroup(group.ID), "DependencyViolation", "resource "+group.ID+" has a dependent object")
	session, err := a.InstanceCredentials(id)
	if s := must(t, session, err); s.Principal.ARN != "arn:aws:sts::111122223333:assumed-role/node/"+id {
		t.Errorf("the instance acts as %s", s.Principal.ARN)
	}
	_, err = a.TerminateInstances(id)
	ok(t, err)
	ok(t, a.DeleteSecurityGroup(group.ID))
	ok(t, a.RemoveRoleFromInstanceProfile("p", "node"))
	ok(t, a.DeleteInstanceProfile("p"))
	ok(t, a.DeleteRole("node"))
	ok(t, a.DeleteRole("other"))
	wantEmpty(t, a)
}
