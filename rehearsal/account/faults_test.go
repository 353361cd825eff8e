package account_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

func install(t *testing.T, a *account.Account, fault account.Fault) *account.Installed {
	t.Helper()
	i, err := a.Faults().Install(fault)
	return must(t, i, err)
}

func TestUselessFaultsAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault account.Fault
		text  string
	}{
		"a service":  {account.Outage{Service: "iamm", Kind: account.Throttling}, `throttling: iamm:*: service "iamm" is none of ec2, eks, eks-auth, events, iam, kms, logs, pricing, sqs, ssm, sts`},
		"a kind":     {account.Outage{Service: "iam"}, `kind "" is none of throttling, internal error, unavailable`},
		"calls":      {account.Outage{Kind: account.InternalError, Calls: -1}, "-1 calls; it must be 0 (until lifted) or more"},
		"a type":     {account.Shortage{InstanceType: "g9.mega"}, "g9.mega"},
		"a zone":     {account.Shortage{Zone: "us-east-1a"}, "no capacity in us-east-1a: zone us-east-1a is none of us-west-2a, us-west-2b, us-west-2c, us-west-2d"},
		"a market":   {account.Shortage{Market: "reserved"}, `market "reserved" is none of spot, on-demand`},
		"a quota":    {account.Quota{Name: "GPUs"}, "the name is none of"},
		"vCPUs":      {account.Quota{Name: account.QuotaGAndVT, VCPUs: -1}, "-1 vCPUs; it must be 0 or more"},
		"no action":  {account.Hold{Service: "ec2"}, "a service and an action must be given"},
		"held, who":  {account.Hold{Service: "s4", Action: "Put"}, `service "s4" is none of`},
		"no gap":     {account.ConsistencyGap{}, "the times must be positive"},
		"IAM's last": {account.ConsistencyGap{InIAM: 2, Elsewhere: 1}, "the times must be positive"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, "us-west-2", "").Faults().Install(tc.fault)
			if err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want …%s…", err, tc.text)
			}
		})
	}
}

func TestOutage(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	f, done := a.Faults(), 0
	call := func(service, action string) error {
		return f.Do(t.Context(), service, action, func() error { done++; return nil })
	}
	wantCalls := func(n int) {
		t.Helper()
		if done != n {
			t.Errorf("%d calls were carried out, want %d", done, n)
		}
	}
	twice := install(t, a, account.Outage{Service: "iam", Action: "CreateRole", Kind: account.Throttling, Calls: 2})
	until := install(t, a, account.Outage{Service: "ec2", Kind: account.InternalError})
	for range 2 {
		wantRefusal(t, call("iam", "CreateRole"), "Throttling", "Rate exceeded")
	}
	ok(t, call("iam", "CreateRole"))
	ok(t, call("iam", "GetRole"))
	ok(t, call("sts", "CreateRole"))
	wantCalls(3)
	wantRefusal(t, call("ec2", "CreateFleet"), "InternalError", "An internal error has occurred")
	wantRefusal(t, call("ec2", "RunInstances"), "InternalError", "An internal error has occurred")
	if twice.Count() != 2 || until.Count() != 2 {
		t.Errorf("refused %d and %d calls, want 2 and 2", twice.Count(), until.Count())
	}
	until.Lift()
	ok(t, call("ec2", "CreateFleet"))
	wantCalls(4)
	want := []account.Refused{
		{Fault: "throttling: iam:CreateRole, 2 calls", Service: "iam", Action: "CreateRole", Code: "Throttling", Count: 2},
		{Fault: "internal error: ec2:*", Service: "ec2", Action: "CreateFleet", Code: "InternalError", Count: 1},
		{Fault: "internal error: ec2:*", Service: "ec2", Action: "RunInstances", Code: "InternalError", Count: 1},
	}
	if d := cmp.Diff(want, f.Refused()); d != "" {
		t.Errorf("the record (-want +got):\n%s", d)
	}
}

// TestLostAnswer: the call is carried out, and the caller is told that it was not.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	lost := install(t, a, account.Outage{Service: "iam", Kind: account.Unavailable, Calls: 1, AfterDeed: true})
	own := errors.New("its own")
	if err := a.Faults().Do(t.Context(), "iam", "CreateRole", func() error { return own }); !errors.Is(err, own) || lost.Count() != 0 {
		t.Errorf("a call that fails by itself: %v, counted %d times", err, lost.Count())
	}
	err := a.Faults().Do(t.Context(), "iam", "CreateRole", func() error { role(t, a, "r", "ec2.amazonaws.com"); return nil })
	wantRefusal(t, err, "ServiceUnavailable", "Service is unavailable")
	if _, err := a.GetRole("r"); err != nil {
		t.Errorf("the role was not made: %v", err)
	}
	ok(t, a.Faults().Do(t.Context(), "iam", "CreateRole", func() error { return nil }))
}

// TestHold: a call that is held back is not carried out, one whose answer is held back is; both go on
// when it is lifted, unless the caller has gone.
func TestHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, before := range []bool{true, false} {
			a := open(t, "us-west-2", "")
			hold := install(t, a, account.Hold{Service: "ec2", Action: "CreateFleet", BeforeDeed: before})
			ok(t, a.Faults().Do(t.Context(), "ec2", "RunInstances", func() error { return nil }))
			gone, cancel := context.WithCancelCause(t.Context())
			errGone := errors.New("gone")
			done := map[string]bool{}
			ends := make(chan error, 2)
			for name, ctx := range map[string]context.Context{"killed": gone, "patient": t.Context()} {
				go func() {
					ends <- a.Faults().Do(ctx, "ec2", "CreateFleet", func() error { done[name] = true; return nil })
				}()
				synctest.Wait()
			}
			if hold.Count() != 2 || len(done) != map[bool]int{true: 0, false: 2}[before] {
				t.Errorf("before %t: held %d, done %v", before, hold.Count(), done)
			}
			cancel(errGone)
			if err := <-ends; !errors.Is(err, errGone) || done["killed"] == before {
				t.Errorf("before %t: who has gone got %v, done %v", before, err, done)
			}
			hold.Lift()
			if err := <-ends; err != nil || !done["patient"] {
				t.Errorf("before %t: who waited got %v, done %v", before, err, done)
			}
			hold.Lift() // changes nothing
		}
	})
}

func TestShortage(t *testing.T) {
	t.Parallel()
	const spotWords = "There is no Spot capacity available that matches your request."
	tests := map[string]struct {
		fault account.Shortage
		spot  bool
		want  string // of a g4dn.xlarge in us-west-2a; "" where it is launched
	}{
		"all":                  {account.Shortage{}, false, "We currently do not have sufficient g4dn.xlarge capacity in the Availability Zone you requested (us-west-2a). Our system will be working on provisioning additional capacity."},
		"this zone":            {account.Shortage{Zone: "us-west-2a"}, false, "We currently do not have sufficient g4dn.xlarge capacity in the Availability Zone you requested (us-west-2a). Our system will be working on provisioning additional capacity. You can currently get g4dn.xlarge capacity by not specifying an Availability Zone in your request or choosing us-west-2b, us-west-2c."},
		"another zone":         {account.Shortage{Zone: "us-west-2b"}, false, ""},
		"spot":                 {account.Shortage{Market: account.Spot}, true, spotWords},
		"spot, asked for none": {account.Shortage{Market: account.Spot}, false, ""},
		"this type":            {account.Shortage{InstanceType: "g4dn.xlarge", Market: account.Spot}, true, spotWords},
		"another type":         {account.Shortage{InstanceType: "g4dn.2xlarge"}, true, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, "us-west-2", "")
			short := install(t, a, tc.fault)
			in := launchInput(t, a)
			in.Spot, in.AvailabilityZone = tc.spot, "us-west-2a"
			_, err := a.RunInstances(in)
			if tc.want == "" {
				ok(t, err)
				return
			}
			wantRefusal(t, err, "InsufficientInstanceCapacity", tc.want)
			if e, is := errors.AsType[*account.Error](err); !is || e.HTTPStatus != 500 {
				t.Errorf("status of %v, want 500", err)
			}
			short.Lift()
			_, err = a.RunInstances(in)
			ok(t, err)
			if short.Count() != 1 {
				t.Errorf("counted %d refusals, want 1", short.Count())
			}
		})
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		quota, instanceType string
		spot, covered       bool
	}{
		"GPUs":                 {account.QuotaGAndVT, "g4dn.xlarge", false, true},
		"GPUs, spot":           {account.QuotaGAndVTSpot, "g4dn.xlarge", true, true},
		"GPUs, the other way":  {account.QuotaGAndVTSpot, "g4dn.xlarge", false, false},
		"GPUs, another family": {account.QuotaGAndVT, "m7i.large", false, false},
		"standard":             {account.QuotaStandard, "m7i.large", false, true},
		"standard, spot":       {account.QuotaStandardSpot, "c7i.large", true, true},
		"not standard":         {account.QuotaStandard, "g4dn.xlarge", false, false},
		"inf is not I":         {account.QuotaStandard, "inf2.xlarge", false, false},
		"i is I":               {account.QuotaStandard, "i4i.large", false, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, "us-west-2", "")
			q := install(t, a, account.Quota{Name: tc.quota})
			in := launchInput(t, a)
			in.Data.InstanceType, in.Spot = tc.instanceType, tc.spot
			_, err := a.RunInstances(in)
			switch {
			case !tc.covered:
				ok(t, err)
			case tc.spot:
				wantRefusal(t, err, "MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
			default:
				wantRefusal(t, err, "VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of 0 allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.")
			}
			if got := q.Count() > 0; got != tc.covered {
				t.Errorf("counted: %t, want %t", got, tc.covered)
			}
		})
	}
}

// gpuFleet asks for GPU instances in every zone that has them.
func gpuFleet(t *testing.T, a *account.Account, target int, spot bool, types ...string) account.Fleet {
	t.Helper()
	lt, err := a.CreateLaunchTemplate(account.CreateLaunchTemplateInput{
		Name: "lt-" + strconv.Itoa(len(a.Leftovers())), Data: account.LaunchTemplateData{ImageID: imageID(t, a)},
	})
	config := account.FleetConfig{Template: account.LaunchTemplateRef{ID: must(t, lt, err).ID, Version: "$Latest"}}
	subnets, err := a.DescribeSubnets()
	for _, s := range must(t, subnets, err) {
		if s.AvailabilityZone == "us-west-2d" {
			continue // has no g4dn
		}
		for _, typ := range types {
			config.Overrides = append(config.Overrides, account.FleetOverride{InstanceType: typ, SubnetID: s.ID})
		}
	}
	f, err := a.CreateFleet(account.FleetInput{Spot: spot, Target: target, Configs: []account.FleetConfig{config}}, func(...authz.Call) error { return nil })
	return must(t, f, err)
}

func codes(f account.Fleet) map[string]int {
	out := map[string]int{}
	for _, e := range f.Errors {
		out[e.Code]++
	}
	return out
}

// TestFleetFallsBack: what a fleet cannot have in one way it takes in the next, and says why.
func TestFleetFallsBack(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	install(t, a, account.Shortage{InstanceType: "g4dn.xlarge", Market: account.Spot})
	f := gpuFleet(t, a, 1, true, "g4dn.xlarge", "g4dn.2xlarge")
	if len(f.Instances) != 1 || f.Instances[0].InstanceType != "g4dn.2xlarge" {
		t.Errorf("launched %+v, want one g4dn.2xlarge", f.Instances)
	}
	if d := cmp.Diff(map[string]int{"InsufficientInstanceCapacity": 3}, codes(f)); d != "" {
		t.Errorf("errors (-want +got):\n%s", d)
	}
	all := install(t, a, account.Shortage{Market: account.Spot})
	if f := gpuFleet(t, a, 1, true, "g4dn.xlarge", "g4dn.2xlarge"); len(f.Instances) != 0 || codes(f)["InsufficientInstanceCapacity"] != 6 {
		t.Errorf("with no spot capacity: %+v", f)
	}
	if f := gpuFleet(t, a, 1, false, "g4dn.xlarge"); len(f.Instances) != 1 {
		t.Errorf("on-demand: %+v", f)
	}
	all.Lift()
}

// TestFleetWithinQuota: a fleet takes what the quota leaves; what has ended leaves room again.
func TestFleetWithinQuota(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	install(t, a, account.Quota{Name: account.QuotaGAndVT, VCPUs: 8})
	f := gpuFleet(t, a, 3, false, "g4dn.xlarge")
	if len(f.Instances) != 1 || len(f.Instances[0].IDs) != 2 {
		t.Fatalf("a quota of 8 vCPUs launched %+v, want two of 4", f.Instances)
	}
	if d := cmp.Diff(map[string]int{"VcpuLimitExceeded": 3}, codes(f)); d != "" {
		t.Errorf("errors (-want +got):\n%s", d)
	}
	_, err := a.TerminateInstances(f.Instances[0].IDs[0])
	ok(t, err)
	if f := gpuFleet(t, a, 1, false, "g4dn.xlarge"); len(f.Instances) != 1 {
		t.Errorf("after one has ended: %+v", f)
	}
}

// TestNodegroupWithoutCapacity: a node group whose zones are short fails, takes what another zone
// has, and is filled when there is capacity again.
func TestNodegroupWithoutCapacity(t *testing.T) {
	t.Parallel()
	a := withCluster(t, "1.28")
	in := nodegroupInput(t, a)
	all := install(t, a, account.Quota{Name: account.QuotaStandard, VCPUs: 2})
	n, err := a.CreateNodegroup(in)
	if must(t, n, err).Status != account.NodegroupCreateFailed {
		t.Errorf("status %s", n.Status)
	}
	members := func() int {
		got, err := a.DescribeInstances(nil, account.Filter{Name: "tag:eks:nodegroup-name", Values: []string{"n"}})
		return len(must(t, got, err))
	}
	health, err := a.NodegroupHealth("c", "n")
	if d := cmp.Diff([]string{"AsgInstanceLaunchFailures: Could not launch On-Demand Instances. VcpuLimitExceeded - You have requested more vCPU capacity than your current vCPU limit of 2 allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit. Launching EC2 instance failed."}, must(t, health, err)); d != "" {
		t.Errorf("health (-want +got):\n%s", d)
	}
	if members() != 1 {
		t.Errorf("%d members, want 1", members())
	}
	wantRefusal(t, a.UpdateNodegroupConfig("c", "n", in.Scaling, nil, nil, account.UpdateConfig{MaxUnavailable: 1}),
		"ResourceInUseException", "Nodegroup cannot be updated as it is currently not in Active State")
	all.Lift()
	if health, err := a.NodegroupHealth("c", "n"); err != nil || len(health) > 0 || members() != 2 {
		t.Errorf("after the quota was raised: %v (%v), %d members", health, err, members())
	}
	ok(t, a.DeleteNodegroup("c", "n"))

	install(t, a, account.Shortage{Zone: "us-west-2a"})
	n, err = a.CreateNodegroup(in)
	if must(t, n, err).Status != account.NodegroupCreateFailed || members() < 2 {
		t.Errorf("one zone short: status %s, %d members", n.Status, members())
	}
}

func TestConsistencyGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, err := account.New(account.Options{Region: "us-west-2"})
		ok(t, err)
		old := role(t, a, "old", "ec2.amazonaws.com")
		time.Sleep(time.Second)
		gap := install(t, a, account.ConsistencyGap{InIAM: 2 * time.Second, Elsewhere: 10 * time.Second})
		cluster := clusterInput(t, a)
		node := role(t, a, "node", "ec2.amazonaws.com")

		ok(t, a.AttachRolePolicy("old", "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"))
		_, err = a.GetRole("node")
		wantRefusal(t, err, "NoSuchEntity", "The role with name node cannot be found.")
		wantRefusal(t, a.AttachRolePolicy("node", "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"), "NoSuchEntity", "The role with name node cannot be found.")
		time.Sleep(2 * time.Second)
		ok(t, a.AttachRolePolicy("node", "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"))

		_, err = a.CreateCluster(cluster)
		wantRefusal(t, err, "InvalidParameterException", "roleArn, arn:aws:iam::111122223333:role/c-cluster, does not exist")
		time.Sleep(8 * time.Second)
		_, err = a.CreateCluster(cluster)
		ok(t, err)

		fresh := role(t, a, "fresh", "ec2.amazonaws.com")
		_, err = a.CreateAccessEntry(account.CreateAccessEntryInput{ClusterName: "c", PrincipalARN: fresh.ARN, Type: account.AccessEC2Linux})
		wantRefusal(t, err, "InvalidParameterException", "The specified principalArn is invalid: invalid principal.")
		_, err = a.CreatePodIdentityAssociation("c", "kube-system", "karpenter", fresh.ARN, nil)
		wantRefusal(t, err, "InvalidParameterException", "Role provided in the request does not exist: "+fresh.ARN)
		_, err = a.CreateNodegroup(account.Nodegroup{ClusterName: "c", Name: "n", NodeRoleARN: fresh.ARN, SubnetIDs: subnetIDs(t, a), AMIType: "AL2_ARM_64"})
		wantRefusal(t, err, "InvalidParameterException", "The role with name fresh cannot be found. (Status Code: 404, Error Code: NoSuchEntity)")
		_, err = a.CreateAccessEntry(account.CreateAccessEntryInput{ClusterName: "c", PrincipalARN: old.ARN, Type: account.AccessEC2Linux})
		ok(t, err)

		_, err = a.CreateInstanceProfile("p", "", nil)
		ok(t, err)
		in := launchInput(t, a)
		in.Data.IAMInstanceProfile = "p"
		_, err = a.RunInstances(in)
		wantRefusal(t, err, "InvalidParameterValue", "Value (p) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name")
		time.Sleep(10 * time.Second)
		ok(t, a.AddRoleToInstanceProfile("p", node.Name))
		_, err = a.RunInstances(in)
		wantRefusal(t, err, "InvalidParameterValue", `Value (p) for parameter iamInstanceProfile.name is invalid. IAM Instance Profile "arn:aws:iam::111122223333:instance-profile/p" has no associated IAM Roles`)
		time.Sleep(10 * time.Second)
		_, err = a.RunInstances(in)
		ok(t, err)

		role(t, a, "last", "ec2.amazonaws.com")
		gap.Lift()
		_, err = a.GetRole("last")
		ok(t, err)
		const fault = "new roles are seen by IAM after 2s, elsewhere after 10s"
		want := []account.Refused{
			{Fault: fault, Service: "ec2", Action: "RunInstances", Code: "InvalidParameterValue", Count: 2},
			{Fault: fault, Service: "eks", Action: "CreateAccessEntry", Code: "InvalidParameterException", Count: 1},
			{Fault: fault, Service: "eks", Action: "CreateCluster", Code: "InvalidParameterException", Count: 1},
			{Fault: fault, Service: "eks", Action: "CreateNodegroup", Code: "InvalidParameterException", Count: 1},
			{Fault: fault, Service: "eks", Action: "CreatePodIdentityAssociation", Code: "InvalidParameterException", Count: 1},
			{Fault: fault, Service: "iam", Action: "AttachRolePolicy", Code: "NoSuchEntity", Count: 1},
			{Fault: fault, Service: "iam", Action: "GetRole", Code: "NoSuchEntity", Count: 1},
		}
		if d := cmp.Diff(want, a.Faults().Refused()); d != "" {
			t.Errorf("the record (-want +got):\n%s", d)
		}
	})
}
