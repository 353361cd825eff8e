package account_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"eks-gpu-slicing/rehearsal/account"
)

func TestNodegroupRefuses(t *testing.T) {
	t.Parallel()
	template := func(t *testing.T, a *account.Account, in *account.Nodegroup, data account.LaunchTemplateData) {
		t.Helper()
		lt, err := a.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: "lt1", Data: data})
		in.LaunchTemplate = &account.LaunchTemplateRef{ID: must(t, lt, err).ID, Version: "1"}
	}
	tests := map[string]struct {
		version       string // 1.28 where empty
		change        func(t *testing.T, a *account.Account, in *account.Nodegroup)
		code, message string
	}{
		"Amazon Linux 2 after 1.32": {
			"1.33", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) {},
			"InvalidParameterException", "AMI Type AL2_ARM_64 is only supported for kubernetes versions 1.32 or earlier",
		},
		"an image of another architecture": {
			"", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) { in.AMIType = "AL2_x86_64" },
			"InvalidParameterException", "[m7g.large] is not a valid instance type for requested amiType AL2_x86_64",
		},
		"a GPU image without a GPU": {
			"", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) {
				in.AMIType, in.InstanceTypes = "AL2_x86_64_GPU", []string{"m7i.large"}
			},
			"InvalidParameterException", "[m7i.large] is not a valid instance type for requested amiType AL2_x86_64_GPU",
		},
		"a subnet in a zone without the type": {
			"", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) {
				in.AMIType, in.InstanceTypes = "AL2_x86_64_GPU", []string{"g4dn.xlarge"}
			},
			"InvalidRequestException", "Your requested instance type (g4dn.xlarge) is not supported in your requested Availability Zone (us-west-2d). Please retry your request by not specifying an Availability Zone or choosing us-west-2a, us-west-2b, us-west-2c.",
		},
		"an instance type that does not exist": {
			"", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) { in.InstanceTypes = []string{"m7g.tiny"} },
			"InvalidParameterException", "The following supplied instance types do not exist: [m7g.tiny] (Status Code: 400, Error Code: InvalidInstanceType)",
		},
		"a role for another service": {
			"", func(t *testing.T, a *account.Account, in *account.Nodegroup) {
				in.NodeRoleARN = role(t, a, "other", "eks.amazonaws.com").ARN
			},
			"InvalidParameterException", "Following required service principals [ec2.amazonaws.com] were not found in the trust relationships of nodeRole arn:aws:iam::111122223333:role/other",
		},
		"a role that is not there": {
			"", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) { in.NodeRoleARN += "x" },
			"InvalidParameterException", "The role with name c-nodex cannot be found. (Status Code: 404, Error Code: NoSuchEntity)",
		},
		"more than the most": {
			"", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) { in.Scaling.Desired = 4 },
			"InvalidParameterException", "desired capacity 4 can't be greater than max size 3",
		},
		"less than the least": {
			"", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) { in.Scaling.Min = 3 },
			"InvalidParameterException", "Minimum capacity 3 can't be greater than desired size 2",
		},
		"a capacity type": {
			"", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) { in.CapacityType = "RESERVED" },
			"InvalidParameterException", "capacityType RESERVED is not one of ON_DEMAND, SPOT",
		},
		"a taint's effect": {
			"", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) {
				in.Taints = []account.Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}}
			},
			"InvalidParameterException", "Taint k=v:NoSchedule must have a key and one of the effects NO_SCHEDULE, NO_EXECUTE, PREFER_NO_SCHEDULE",
		},
		"a label of Kubernetes' own": {
			"", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) {
				in.Labels = map[string]string{"node.kubernetes.io/role": "x"}
			},
			"InvalidParameterException", "Label cannot contain reserved prefixes [kubernetes.io/, k8s.io/, eks.amazonaws.com/]: node.kubernetes.io/role",
		},
		"a launch template that is not there": {
			"", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) {
				in.LaunchTemplate = &account.LaunchTemplateRef{ID: "lt-1", Version: "1"}
			},
			"InvalidRequestException", "The specified launch template, with template ID lt-1, does not exist. (Status Code: 400, Error Code: InvalidLaunchTemplateId.NotFound)",
		},
		"instance types twice": {
			"", func(t *testing.T, a *account.Account, in *account.Nodegroup) {
				template(t, a, in, account.LaunchTemplateData{InstanceType: "m7g.large"})
			},
			"InvalidRequestException", "Cannot specify instance types in launch template and API request",
		},
		"an instance profile in the template": {
			"", func(t *testing.T, a *account.Account, in *account.Nodegroup) {
				template(t, a, in, account.LaunchTemplateData{IAMInstanceProfile: "p"})
			},
			"InvalidParameterException", "Launch template should not specify an instance profile. The noderole in your request will be used to construct an instance profile.",
		},
		"the disk twice": {
			"", func(t *testing.T, a *account.Account, in *account.Nodegroup) {
				in.DiskSize = 50
				template(t, a, in, account.LaunchTemplateData{})
			},
			"InvalidParameterException", "Disk size must be specified within the launch template.",
		},
		"the image twice": {
			"", func(t *testing.T, a *account.Account, in *account.Nodegroup) {
				template(t, a, in, account.LaunchTemplateData{ImageID: "ami-1"})
			},
			"InvalidParameterException", "You cannot specify an AMI Type when specifying a custom image ID in your launch template.",
		},
		"a version the template does not have": {
			"", func(t *testing.T, a *account.Account, in *account.Nodegroup) {
				template(t, a, in, account.LaunchTemplateData{})
				in.LaunchTemplate.ID, in.LaunchTemplate.Name, in.LaunchTemplate.Version = "", "lt1", "2"
			},
			"InvalidRequestException", "Could not find the specified version 2 for the launch template with ID lt-01e37a20eb8cf00ab. (Status Code: 400, Error Code: InvalidLaunchTemplateId.VersionNotFound)",
		},
		"a newer version than the cluster's": {
			"", func(_ *testing.T, _ *account.Account, in *account.Nodegroup) { in.Version = "1.29" },
			"InvalidParameterException", "Requested Nodegroup version 1.29 is not supported for cluster version 1.28",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.version == "" {
				tc.version = "1.28"
			}
			a := withCluster(t, tc.version)
			in := nodegroupInput(t, a)
			tc.change(t, a, &in)
			_, err := a.CreateNodegroup(in)
			wantRefusal(t, err, tc.code, tc.message)
		})
	}
}

func TestNodegroupTwice(t *testing.T) {
	t.Parallel()
	a := withCluster(t, "1.28")
	in := nodegroupInput(t, a)
	_, err := a.CreateNodegroup(in)
	ok(t, err)
	_, err = a.CreateNodegroup(in)
	wantRefusal(t, err, "ResourceInUseException", "NodeGroup already exists with name n and cluster name c")
}

func TestNodegroupFollowsItsTemplate(t *testing.T) {
	t.Parallel()
	a := withCluster(t, "1.28")
	lt, err := a.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: "lt1"})
	must(t, lt, err)
	in := nodegroupInput(t, a)
	in.LaunchTemplate = &account.LaunchTemplateRef{ID: lt.ID, Version: "$Latest"}
	n, err := a.CreateNodegroup(in)
	if must(t, n, err).LaunchTemplate.Version != "1" || n.LaunchTemplate.Name != "lt1" || n.DiskSize != 0 {
		t.Errorf("node group = %+v, template %+v", n, n.LaunchTemplate)
	}
	_, err = a.CreateLaunchTemplateVersion(lt.ID, "", account.LaunchTemplateData{UserData: "x"})
	ok(t, err)
	ok(t, a.UpdateNodegroupVersion("c", "n", "", &account.LaunchTemplateRef{ID: lt.ID, Version: "2"}))
	if n, err = a.DescribeNodegroup("c", "n"); must(t, n, err).LaunchTemplate.Version != "2" {
		t.Errorf("template %+v", n.LaunchTemplate)
	}
	ok(t, a.UpdateNodegroupConfig("c", "n", account.Scaling{Min: 0, Max: 5, Desired: 0}, map[string]string{"a": "b"}, nil, account.UpdateConfig{MaxUnavailablePercentage: 33}))
	if n, err = a.DescribeNodegroup("c", "n"); must(t, n, err).Scaling.Max != 5 || n.Labels["a"] != "b" || n.Update.MaxUnavailable != 0 {
		t.Errorf("node group = %+v", n)
	}
	if err := a.UpdateNodegroupVersion("c", "n", "", &account.LaunchTemplateRef{ID: "lt-2", Version: "1"}); !account.IsCode(err, "InvalidParameterException") {
		t.Errorf("another template: %v", err)
	}
}

// drainer notes what it is to drain, and whether its replacement runs then; it cannot
// drain stuck.
type drainer struct {
	account *account.Account
	stuck   string
	drained []string
}

func (d *drainer) Drain(id, replacement string) error {
	if id == d.stuck {
		return errors.New("a budget")
	}
	if i, err := d.account.DescribeInstances([]string{replacement}); err != nil || len(i) != 1 || id == replacement {
		return fmt.Errorf("replacement %s: %v, %w", replacement, i, err)
	}
	d.drained = append(d.drained, id)
	return nil
}

// TestNodegroupRolls: a new version replaces each node, the new one first; one that
// cannot be drained leaves the node group what it was.
func TestNodegroupRolls(t *testing.T) {
	t.Parallel()
	for _, stuck := range []bool{false, true} {
		d := &drainer{}
		a, err := account.New(account.Options{Region: "us-west-1", Nodes: d})
		must(t, a, err)
		d.account = a
		cluster := clusterInput(t, a)
		cluster.Version = "1.28"
		_, err = a.CreateCluster(cluster)
		ok(t, err)
		in := nodegroupInput(t, a)
		_, err = a.CreateNodegroup(in)
		ok(t, err)
		members := func() (ids []string, versions []string) {
			t.Helper()
			all, err := a.DescribeInstances(nil)
			ok(t, err)
			for _, i := range all {
				if i.Nodegroup == in.Name && i.State != account.StateTerminated && i.State != account.StateShuttingDown {
					images, err := a.DescribeImages([]string{i.ImageID}, nil)
					ok(t, err)
					ids, versions = append(ids, i.ID), append(versions, images[0].Version)
				}
			}
			return ids, versions
		}
		old, _ := members()
		ok(t, a.UpdateClusterVersion("c", "1.29"))
		if stuck {
			d.stuck = old[1]
		}
		err = a.UpdateNodegroupVersion("c", in.Name, "1.29", nil)
		n, errNow := a.DescribeNodegroup("c", in.Name)
		must(t, n, errNow)
		ids, versions := members()
		slices.Sort(versions)
		if stuck {
			wantRefusal(t, err, "PodEvictionFailure", "Reached max retries while trying to evict pods from nodes in node group n: instance "+d.stuck+": a budget")
			if n.Version != "1.28" || !slices.Equal(versions, []string{"1.28", "1.29"}) || !slices.Contains(ids, d.stuck) {
				t.Errorf("the node group is of %s, its nodes %v of %v", n.Version, ids, versions)
			}
			continue
		}
		ok(t, err)
		slices.Sort(d.drained)
		if n.Version != "1.29" || !slices.Equal(versions, []string{"1.29", "1.29"}) || !slices.Equal(d.drained, old) {
			t.Errorf("the node group is of %s, its nodes of %v; drained %v of %v", n.Version, versions, d.drained, old)
		}
	}
}
