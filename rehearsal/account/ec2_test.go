package account_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

func defaultVPC(t *testing.T, a *account.Account) account.VPC {
	t.Helper()
	vpcs, err := a.DescribeVpcs(account.Filter{Name: "is-default", Values: []string{"true"}})
	if len(must(t, vpcs, err)) != 1 {
		t.Fatalf("%d default VPCs, want 1", len(vpcs))
	}
	return vpcs[0]
}

func group(t *testing.T, a *account.Account, name string) account.SecurityGroup {
	t.Helper()
	g, err := a.CreateSecurityGroup(account.CreateSecurityGroupInput{Name: name, Description: "d", VPCID: defaultVPC(t, a).ID})
	return must(t, g, err)
}

func TestEC2Refuses(t *testing.T) {
	t.Parallel()
	https := account.RulePorts{Protocol: "tcp", FromPort: 443, ToPort: 443}
	everybody := []account.RulePeer{{CIDR: "0.0.0.0/0"}}
	tests := map[string]struct {
		do            func(t *testing.T, a *account.Account) error
		code, message string
	}{
		"a security group of a VPC that is not there": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateSecurityGroup(account.CreateSecurityGroupInput{Name: "g", Description: "d", VPCID: "vpc-1"})
				return err
			},
			"InvalidVpcID.NotFound", "The vpc ID 'vpc-1' does not exist",
		},
		"a second security group of a name": {
			func(t *testing.T, a *account.Account) error {
				g := group(t, a, "g")
				_, err := a.CreateSecurityGroup(account.CreateSecurityGroupInput{Name: "g", Description: "d", VPCID: g.VPCID})
				return err
			},
			"InvalidGroup.Duplicate", "The security group 'g' already exists for VPC 'vpc-0ca75773fb120a9d2'",
		},
		"a rule of a group that is not there": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.AuthorizeSecurityGroupIngress("sg-1", https, everybody, "")
				return err
			},
			"InvalidGroup.NotFound", "The security group 'sg-1' does not exist",
		},
		"a rule that names a group that is not there": {
			func(t *testing.T, a *account.Account) error {
				_, err := a.AuthorizeSecurityGroupIngress(group(t, a, "g").ID, https, []account.RulePeer{{GroupID: "sg-1"}}, "")
				return err
			},
			"InvalidGroup.NotFound", "The security group 'sg-1' does not exist",
		},
		"a rule twice": {
			func(t *testing.T, a *account.Account) error {
				g := group(t, a, "g")
				_, err := a.AuthorizeSecurityGroupIngress(g.ID, https, everybody, "")
				ok(t, err)
				_, err = a.AuthorizeSecurityGroupIngress(g.ID, https, everybody, "other")
				return err
			},
			"InvalidPermission.Duplicate", `the specified rule "peer: 0.0.0.0/0, TCP, from port: 443, to port: 443, ALLOW" already exists`,
		},
		"the rule a group is born with": {
			func(t *testing.T, a *account.Account) error {
				_, err := a.AuthorizeSecurityGroupEgress(group(t, a, "g").ID, account.RulePorts{Protocol: "-1"}, everybody, "")
				return err
			},
			"InvalidPermission.Duplicate", `the specified rule "peer: 0.0.0.0/0, ALL, ALLOW" already exists`,
		},
		"to delete a security group that a rule names": {
			func(t *testing.T, a *account.Account) error {
				g, h := group(t, a, "g"), group(t, a, "h")
				_, err := a.AuthorizeSecurityGroupIngress(h.ID, https, []account.RulePeer{{GroupID: g.ID}}, "")
				ok(t, err)
				err = a.DeleteSecurityGroup(g.ID)
				if account.IsCode(err, "DependencyViolation") && err.Error() == "DependencyViolation: resource "+g.ID+" has a dependent object" {
					return a.DeleteSecurityGroup("sg-1")
				}
				return err
			},
			"InvalidGroup.NotFound", "The security group 'sg-1' does not exist",
		},
		"a filter EC2 does not have": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.DescribeSubnets(account.Filter{Name: "vpcid2", Values: []string{"x"}})
				return err
			},
			"InvalidParameterValue", "The filter 'vpcid2' is invalid",
		},
		"an instance type that does not exist": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.DescribeInstanceType("g4dn.tiny")
				return err
			},
			"InvalidInstanceType", "The following supplied instance types do not exist: [g4dn.tiny]",
		},
		"a second launch template of a name": {
			func(t *testing.T, a *account.Account) error {
				l, err := a.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: "lt1"})
				must(t, l, err)
				_, err = a.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: "lt1"})
				return err
			},
			"InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.",
		},
		"a launch template that is not there": {
			func(_ *testing.T, a *account.Account) error { return a.DeleteLaunchTemplate("lt-1") },
			"InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID lt-1, does not exist.",
		},
		"groups both ways": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: "lt1", Data: account.LaunchTemplateData{
					SecurityGroupIDs: []string{"sg-1"}, NetworkInterfaces: []account.NetworkInterfaceSpec{{}},
				}})
				return err
			},
			"InvalidParameterCombination", "Network interfaces and an instance-level security groups may not be specified on the same request",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefusal(t, tc.do(t, open(t, "us-west-2", "")), tc.code, tc.message)
		})
	}
}

func TestDefaultNetwork(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-1", "")
	vpc := defaultVPC(t, a)
	subnets, err := a.DescribeSubnets(
		account.Filter{Name: "vpc-id", Values: []string{vpc.ID}}, account.Filter{Name: "default-for-az", Values: []string{"true"}})
	type row struct {
		Zone, ID, CIDR string
		Public         bool
	}
	var got []row
	for _, s := range must(t, subnets, err) {
		got = append(got, row{s.AvailabilityZone, s.AvailabilityZoneID, s.CIDR, s.MapPublicIPOnLaunch})
	}
	want := []row{
		{"us-west-1a", "usw1-az1", "172.31.0.0/20", true},
		{"us-west-1b", "usw1-az3", "172.31.16.0/20", true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("subnets (-want +got):\n%s", d)
	}
	again := open(t, "us-west-1", "")
	if d := cmp.Diff(vpc, defaultVPC(t, again)); d != "" {
		t.Errorf("another account of the region has another network:\n%s", d)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	for name, tc := range map[string]struct {
		filter account.Filter
		want   int
	}{
		"exact":           {account.Filter{Name: "availability-zone-id", Values: []string{"usw2-az1"}}, 1},
		"one of several":  {account.Filter{Name: "availability-zone-id", Values: []string{"usw2-az1", "usw2-az2", "none"}}, 2},
		"star":            {account.Filter{Name: "availability-zone", Values: []string{"us-west-2*"}}, 4},
		"question mark":   {account.Filter{Name: "availabilityZone", Values: []string{"us-west-2?"}}, 4},
		"no expression":   {account.Filter{Name: "availability-zone", Values: []string{"us-west-2."}}, 0},
		"a tag not there": {account.Filter{Name: "tag:Name", Values: []string{"*"}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := a.DescribeSubnets(tc.filter)
			if len(must(t, got, err)) != tc.want {
				t.Errorf("%d subnets, want %d", len(got), tc.want)
			}
		})
	}
}

func TestEC2RoundTrip(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	g := group(t, a, "g")
	rules, err := a.AuthorizeSecurityGroupIngress(g.ID, account.RulePorts{Protocol: "-1", FromPort: 0, ToPort: 0}, []account.RulePeer{{GroupID: g.ID}}, "self")
	must(t, rules, err)
	ok(t, a.UpdateSecurityGroupRuleDescriptions(g.ID, "all of us", rules[0].ID))
	ok(t, a.CreateTags([]string{g.ID}, account.Tags{"k": "v"}))
	got, err := a.DescribeSecurityGroup(g.ID)
	if last := must(t, got, err).Rules[1]; last.Description != "all of us" || last.GroupID != g.ID || last.FromPort != -1 || got.Tags["k"] != "v" {
		t.Errorf("group = %+v", got)
	}
	ok(t, a.RevokeSecurityGroupRules(g.ID, rules[0].ID))
	ok(t, a.DeleteSecurityGroup(g.ID))

	lt, err := a.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: "lt1", Data: account.LaunchTemplateData{InstanceType: "m7g.large"}})
	must(t, lt, err)
	lt, err = a.CreateLaunchTemplateVersion(lt.ID, "", account.LaunchTemplateData{InstanceType: "m7g.xlarge"})
	if must(t, lt, err).LatestVersion != 2 || lt.DefaultVersion != 1 {
		t.Errorf("template = %+v", lt)
	}
	for version, want := range map[string]string{"$Latest": "m7g.xlarge", "$Default": "m7g.large", "2": "m7g.xlarge"} {
		v, err := a.DescribeLaunchTemplateVersion(lt.ID, version)
		if must(t, v, err).Data.InstanceType != want {
			t.Errorf("version %s = %+v, want %s", version, v, want)
		}
	}
	ok(t, a.ModifyLaunchTemplate(lt.ID, 2))
	if err := a.ModifyLaunchTemplate(lt.ID, 3); !account.IsCode(err, "InvalidLaunchTemplateId.VersionNotFound") {
		t.Errorf("a default version that is not there: %v", err)
	}
	ok(t, a.DeleteLaunchTemplate(lt.ID))
	wantEmpty(t, a)
}
