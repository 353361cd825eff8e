package wire

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"eks-gpu-slicing/rehearsal/account"
)

// launchPolicy is what a controller needs to launch, tag and end instances of cluster c, and no more:
// Karpenter's own template, shortened.
const launchPolicy = `
	{"Sid":"From","Effect":"Allow","Action":["ec2:RunInstances","ec2:CreateFleet"],"Resource":["arn:aws:ec2:us-west-2::image/*","arn:aws:ec2:us-west-2:*:security-group/*","arn:aws:ec2:us-west-2:*:subnet/*"]},
	{"Sid":"FromTemplates","Effect":"Allow","Action":["ec2:RunInstances","ec2:CreateFleet"],"Resource":"arn:aws:ec2:us-west-2:*:launch-template/*","Condition":{"StringEquals":{"aws:ResourceTag/kubernetes.io/cluster/c":"owned"}}},
	{"Sid":"Tagged","Effect":"Allow","Action":["ec2:RunInstances","ec2:CreateFleet","ec2:CreateLaunchTemplate"],
	 "Resource":["arn:aws:ec2:us-west-2:*:fleet/*","arn:aws:ec2:us-west-2:*:instance/*","arn:aws:ec2:us-west-2:*:volume/*","arn:aws:ec2:us-west-2:*:network-interface/*","arn:aws:ec2:us-west-2:*:launch-template/*","arn:aws:ec2:us-west-2:*:spot-instances-request/*"],
	 "Condition":{"StringEquals":{"aws:RequestTag/kubernetes.io/cluster/c":"owned"}}},
	{"Sid":"TagAtCreation","Effect":"Allow","Action":"ec2:CreateTags","Resource":"arn:aws:ec2:us-west-2:*:*/*","Condition":{"StringEquals":{"aws:RequestTag/kubernetes.io/cluster/c":"owned","ec2:CreateAction":["RunInstances","CreateFleet","CreateLaunchTemplate"]}}},
	{"Sid":"TagOwn","Effect":"Allow","Action":"ec2:CreateTags","Resource":"arn:aws:ec2:us-west-2:*:instance/*","Condition":{"StringEquals":{"aws:ResourceTag/kubernetes.io/cluster/c":"owned"},"ForAllValues:StringEquals":{"aws:TagKeys":["Name"]}}},
	{"Sid":"DeleteOwn","Effect":"Allow","Action":["ec2:TerminateInstances","ec2:DeleteLaunchTemplate"],"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/kubernetes.io/cluster/c":"owned"}}},
	{"Sid":"PassNodeRole","Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::111122223333:role/c-node","Condition":{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}},
	{"Sid":"CreateProfile","Effect":"Allow","Action":"iam:CreateInstanceProfile","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/kubernetes.io/cluster/c":"owned"}}},
	{"Sid":"OwnProfile","Effect":"Allow","Action":["iam:AddRoleToInstanceProfile","iam:RemoveRoleFromInstanceProfile","iam:DeleteInstanceProfile"],"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/kubernetes.io/cluster/c":"owned"}}},
	{"Sid":"Read","Effect":"Allow","Action":["ec2:Describe*","iam:GetInstanceProfile","iam:ListInstanceProfiles","ssm:GetParameter"],"Resource":"*"}`

func ownTags() map[string]string { return map[string]string{"kubernetes.io/cluster/c": "owned"} }

func ec2Tags(m map[string]string) []ec2types.Tag {
	var out []ec2types.Tag
	for _, k := range sortedKeys(m) {
		out = append(out, ec2types.Tag{Key: aws.String(k), Value: aws.String(m[k])})
	}
	return out
}

func specs(m map[string]string, kinds ...ec2types.ResourceType) []ec2types.TagSpecification {
	var out []ec2types.TagSpecification
	for _, k := range kinds {
		out = append(out, ec2types.TagSpecification{ResourceType: k, Tags: ec2Tags(m)})
	}
	return out
}

// profile makes an instance profile with the node role, as the controller does.
func (w *world) profile(c clients, name string) error {
	_, err := c.iam.CreateInstanceProfile(w.Context(), &iam.CreateInstanceProfileInput{
		InstanceProfileName: &name, Tags: []iamtypes.Tag{{Key: aws.String("kubernetes.io/cluster/c"), Value: aws.String("owned")}},
	})
	if err != nil {
		return err
	}
	_, err = c.iam.AddRoleToInstanceProfile(w.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &name, RoleName: aws.String("c-node")})
	return err
}

// template makes a launch template as Karpenter does.
func (w *world) template(c clients, name, image string, spot bool, change func(*ec2.CreateLaunchTemplateInput)) error {
	in := &ec2.CreateLaunchTemplateInput{
		LaunchTemplateName: &name, TagSpecifications: specs(ownTags(), ec2types.ResourceTypeLaunchTemplate),
		LaunchTemplateData: &ec2types.RequestLaunchTemplateData{
			ImageId: &image, IamInstanceProfile: &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: aws.String("p")},
			SecurityGroupIds: []string{w.group}, UserData: aws.String(base64.StdEncoding.EncodeToString([]byte("#!/bin/bash"))),
			Monitoring: &ec2types.LaunchTemplatesMonitoringRequest{Enabled: aws.Bool(false)},
			MetadataOptions: &ec2types.LaunchTemplateInstanceMetadataOptionsRequest{
				HttpTokens: ec2types.LaunchTemplateHttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(1), InstanceMetadataTags: ec2types.LaunchTemplateInstanceMetadataTagsStateDisabled,
			},
			BlockDeviceMappings: []ec2types.LaunchTemplateBlockDeviceMappingRequest{{
				DeviceName: aws.String("/dev/xvda"), Ebs: &ec2types.LaunchTemplateEbsBlockDeviceRequest{VolumeSize: aws.Int32(20), VolumeType: ec2types.VolumeTypeGp3, Encrypted: aws.Bool(true)},
			}},
			Placement: &ec2types.LaunchTemplatePlacementRequest{Tenancy: ec2types.TenancyDefault}, EnclaveOptions: &ec2types.LaunchTemplateEnclaveOptionsRequest{Enabled: aws.Bool(false)},
			TagSpecifications: []ec2types.LaunchTemplateTagSpecificationRequest{{ResourceType: ec2types.ResourceTypeNetworkInterface, Tags: ec2Tags(ownTags())}},
		},
	}
	if spot {
		in.LaunchTemplateData.TagSpecifications = append(in.LaunchTemplateData.TagSpecifications,
			ec2types.LaunchTemplateTagSpecificationRequest{ResourceType: ec2types.ResourceTypeSpotInstancesRequest, Tags: ec2Tags(ownTags())})
	}
	if change != nil {
		change(in)
	}
	_, err := c.ec2.CreateLaunchTemplate(w.Context(), in)
	return err
}

// fleet is CreateFleet as Karpenter makes it.
func (w *world) fleet(template string, spot bool, types ...string) *ec2.CreateFleetInput {
	in := &ec2.CreateFleetInput{
		Type: ec2types.FleetTypeInstant, TagSpecifications: specs(ownTags(), ec2types.ResourceTypeInstance, ec2types.ResourceTypeVolume, ec2types.ResourceTypeFleet),
		TargetCapacitySpecification: &ec2types.TargetCapacitySpecificationRequest{TotalTargetCapacity: aws.Int32(1), DefaultTargetCapacityType: ec2types.DefaultTargetCapacityTypeOnDemand},
		OnDemandOptions:             &ec2types.OnDemandOptionsRequest{AllocationStrategy: ec2types.FleetOnDemandAllocationStrategyLowestPrice},
	}
	if spot {
		in.TargetCapacitySpecification.DefaultTargetCapacityType, in.OnDemandOptions = ec2types.DefaultTargetCapacityTypeSpot, nil
		in.SpotOptions = &ec2types.SpotOptionsRequest{AllocationStrategy: ec2types.SpotAllocationStrategyPriceCapacityOptimized}
	}
	config := ec2types.FleetLaunchTemplateConfigRequest{
		LaunchTemplateSpecification: &ec2types.FleetLaunchTemplateSpecificationRequest{LaunchTemplateName: &template, Version: aws.String("$Latest")},
	}
	for _, t := range types {
		for _, s := range w.subnets {
			config.Overrides = append(config.Overrides, ec2types.FleetLaunchTemplateOverridesRequest{
				InstanceType: ec2types.InstanceType(t), SubnetId: aws.String(s.ID), AvailabilityZone: aws.String(s.AvailabilityZone), Priority: aws.Float64(0.1),
			})
		}
	}
	in.LaunchTemplateConfigs = []ec2types.FleetLaunchTemplateConfigRequest{config}
	return in
}

// controller is the controller's clients, with what a launch needs in place.
func (w *world) controller() (clients, string) {
	w.Helper()
	w.grant("launch", launchPolicy)
	c := clientsOf(w.config(w.pod()))
	p, err := c.ssm.GetParameter(w.Context(), &ssm.GetParameterInput{Name: aws.String("/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/nvidia/recommended/image_id")})
	w.ok(err)
	w.ok(w.profile(c, "p"))
	w.ok(w.template(c, "lt-od", *p.Parameter.Value, false, nil))
	w.ok(w.template(c, "lt-spot", *p.Parameter.Value, true, nil))
	return c, *p.Parameter.Value
}

// TestLaunchRefused: what the controller may not do, each with the resource that stands in the way.
func TestLaunchRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, image := w.controller()
	ctx := t.Context()
	foreign := map[string]string{"kubernetes.io/cluster/other": "owned"}

	_, err := c.iam.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("q")})
	wantCode(t, err, "AccessDenied", http.StatusForbidden, "iam:CreateInstanceProfile on resource: arn:aws:iam::111122223333:instance-profile/q")
	_, err = w.account.CreateInstanceProfile("theirs", "", foreign)
	w.ok(err)
	_, err = c.iam.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String("theirs"), RoleName: aws.String("c-node")})
	wantCode(t, err, "AccessDenied", http.StatusForbidden, "iam:AddRoleToInstanceProfile on resource: arn:aws:iam::111122223333:instance-profile/theirs")
	_, err = c.iam.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: aws.String("theirs")})
	wantCode(t, err, "AccessDenied", http.StatusForbidden, "iam:DeleteInstanceProfile")
	_, err = w.account.CreateInstanceProfile("ours", "", ownTags())
	w.ok(err)
	_, err = c.iam.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String("ours"), RoleName: aws.String("c-cluster")})
	wantCode(t, err, "AccessDenied", http.StatusForbidden, "iam:PassRole on resource: "+roleARN("c-cluster"))

	err = w.template(c, "lt-untagged", image, false, func(in *ec2.CreateLaunchTemplateInput) { in.TagSpecifications = nil })
	wantCode(t, err, "UnauthorizedOperation", http.StatusForbidden, "ec2:CreateLaunchTemplate on resource: arn:aws:ec2:us-west-2:111122223333:launch-template/*")
	var api string
	if err != nil {
		api = err.Error()
	}
	if _, encoded, ok := strings.Cut(api, "Encoded authorization failure message: "); !ok {
		t.Errorf("no encoded message in %s", api)
	} else if text, err := base64.StdEncoding.DecodeString(encoded); err != nil || !strings.Contains(string(text), "statement 2 Tagged") {
		t.Errorf("encoded message says %q (%v)", text, err)
	}
	theirs, err := w.account.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: "lt-theirs", Data: account.LaunchTemplateData{ImageID: image}, Tags: foreign})
	w.ok(err)
	_, err = c.ec2.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: &theirs.ID})
	wantCode(t, err, "UnauthorizedOperation", http.StatusForbidden, "launch-template/"+theirs.ID)
	_, err = c.ec2.CreateFleet(ctx, w.fleet("lt-theirs", false, "g4dn.xlarge"))
	wantCode(t, err, "UnauthorizedOperation", http.StatusForbidden, "ec2:CreateFleet on resource: arn:aws:ec2:us-west-2:111122223333:launch-template/"+theirs.ID)
	in := w.fleet("lt-od", false, "g4dn.xlarge")
	in.TagSpecifications = in.TagSpecifications[:1]
	_, err = c.ec2.CreateFleet(ctx, in)
	wantCode(t, err, "UnauthorizedOperation", http.StatusForbidden, "ec2:CreateFleet on resource: arn:aws:ec2:us-west-2:111122223333:fleet/*")

	// What only the launch inside a fleet shows is an error of each way to launch, not of the call.
	w.ok(w.template(c, "lt-bare", image, false, func(in *ec2.CreateLaunchTemplateInput) { in.LaunchTemplateData.TagSpecifications = nil }))
	out, err := c.ec2.CreateFleet(ctx, w.fleet("lt-bare", false, "g4dn.xlarge"))
	w.ok(err)
	if len(out.Instances) != 0 || len(out.Errors) == 0 {
		t.Fatalf("a launch without tags on its interface: %d instances, %d errors", len(out.Instances), len(out.Errors))
	}
	at := slices.IndexFunc(out.Errors, func(e ec2types.CreateFleetError) bool { return *e.ErrorCode != "Unsupported" }) // one zone has no g4dn
	if e := out.Errors[max(at, 0)]; *e.ErrorCode != "UnauthorizedOperation" || !strings.Contains(*e.ErrorMessage, "network-interface/*") || *e.LaunchTemplateAndOverrides.Overrides.AvailabilityZone == "" {
		t.Errorf("fleet error %s: %s", *e.ErrorCode, *e.ErrorMessage)
	}

	launched, err := w.account.RunInstances(account.LaunchInput{Data: account.LaunchTemplateData{ImageID: image, InstanceType: "g4dn.xlarge"}, Count: 1, Tags: map[string]account.Tags{"instance": foreign}})
	w.ok(err)
	id := launched[0].ID
	_, err = c.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	wantCode(t, err, "UnauthorizedOperation", http.StatusForbidden, "ec2:TerminateInstances on resource: arn:aws:ec2:us-west-2:111122223333:instance/"+id)
	_, err = c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: ec2Tags(ownTags())})
	wantCode(t, err, "UnauthorizedOperation", http.StatusForbidden, "ec2:CreateTags")
	if got, err := w.account.DescribeInstances([]string{id}); err != nil || got[0].State != account.StateRunning || len(got[0].Tags) != 1 {
		t.Errorf("the foreign instance is now %+v (%v)", got, err)
	}
	if n := len(w.handler.Denied()); n < 10 {
		t.Errorf("%d denials recorded", n)
	}
}

// TestLaunch: a controller's day, as Karpenter spends it.
func TestLaunch(t *testing.T) {
	t.Parallel()
	for name, spot := range map[string]bool{"on-demand": false, "spot": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c, image := w.controller()
			ctx := t.Context()
			template := map[bool]string{false: "lt-od", true: "lt-spot"}[spot]

			dry := w.fleet(template, spot, "g4dn.xlarge")
			dry.DryRun = aws.Bool(true)
			_, err := c.ec2.CreateFleet(ctx, dry)
			wantCode(t, err, "DryRunOperation", http.StatusPreconditionFailed, "Request would have succeeded")
			_, err = c.ec2.RunInstances(ctx, &ec2.RunInstancesInput{
				DryRun: aws.Bool(true), MinCount: aws.Int32(1), MaxCount: aws.Int32(1), InstanceType: "g4dn.xlarge",
				LaunchTemplate:    &ec2types.LaunchTemplateSpecification{LaunchTemplateName: &template, Version: aws.String("$Latest")},
				NetworkInterfaces: []ec2types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), SubnetId: aws.String(w.subnets[0].ID)}},
				TagSpecifications: specs(ownTags(), ec2types.ResourceTypeInstance, ec2types.ResourceTypeVolume, ec2types.ResourceTypeNetworkInterface),
			})
			wantCode(t, err, "DryRunOperation", http.StatusPreconditionFailed, "Request would have succeeded")

			in := w.fleet(template, spot, "g4dn.2xlarge", "g4dn.xlarge", "g4dn.4xlarge")
			in.ClientToken = aws.String("token")
			out, err := c.ec2.CreateFleet(ctx, in)
			w.ok(err)
			again, err := c.ec2.CreateFleet(ctx, in)
			w.ok(err)
			if len(out.Instances) != 1 || len(out.Instances[0].InstanceIds) != 1 {
				t.Fatalf("fleet launched %+v, errors %+v", out.Instances, out.Errors)
			}
			got := out.Instances[0]
			id := got.InstanceIds[0]
			if again.Instances[0].InstanceIds[0] != id || *again.FleetId != *out.FleetId {
				t.Errorf("the same client token launched again: %v, %v", again.Instances[0].InstanceIds, id)
			}
			if got.InstanceType != "g4dn.xlarge" || *got.LaunchTemplateAndOverrides.Overrides.ImageId != image || string(got.Lifecycle) != name {
				t.Errorf("launched %+v of %+v", got, got.LaunchTemplateAndOverrides.Overrides)
			}

			_, err = c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: ec2Tags(map[string]string{"Name": "node"})})
			w.ok(err)
			_, err = c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: ec2Tags(map[string]string{"owner": "me"})})
			wantCode(t, err, "UnauthorizedOperation", http.StatusForbidden, "ec2:CreateTags")

			list, err := c.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []ec2types.Filter{
				{Name: aws.String("tag:kubernetes.io/cluster/c"), Values: []string{"owned"}}, {Name: aws.String("instance-state-name"), Values: []string{"pending", "running"}},
			}})
			w.ok(err)
			if len(list.Reservations) != 1 || len(list.Reservations[0].Instances) != 1 {
				t.Fatalf("described %+v", list.Reservations)
			}
			i := list.Reservations[0].Instances[0]
			tags := map[string]string{}
			for _, tag := range i.Tags {
				tags[*tag.Key] = *tag.Value
			}
			want := ownTags()
			maps.Copy(want, map[string]string{"Name": "node", "aws:ec2:fleet-id": *out.FleetId, "aws:ec2launchtemplate:version": "1", "aws:ec2launchtemplate:id": tags["aws:ec2launchtemplate:id"]})
			if !maps.Equal(tags, want) {
				t.Errorf("tags %v, want %v", tags, want)
			}
			if (i.SpotInstanceRequestId != nil) != spot || i.State.Name != "running" || *i.SecurityGroups[0].GroupId != w.group ||
				*i.MetadataOptions.HttpPutResponseHopLimit != 1 || i.MetadataOptions.HttpTokens != "required" ||
				!strings.HasSuffix(*i.PrivateDnsName, ".us-west-2.compute.internal") || *i.IamInstanceProfile.Arn != "arn:aws:iam::111122223333:instance-profile/p" {
				t.Errorf("instance %+v", i)
			}

			ended, err := c.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
			w.ok(err)
			if s := ended.TerminatingInstances[0]; s.PreviousState.Name != "running" || s.CurrentState.Name != "terminated" && s.CurrentState.Name != "shutting-down" {
				t.Errorf("terminating %+v", s)
			}
			_, err = c.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{"i-0123456789abcdef0"}})
			wantCode(t, err, "InvalidInstanceID.NotFound", http.StatusBadRequest, "The instance ID 'i-0123456789abcdef0' does not exist")
			_, err = c.ec2.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateName: &template})
			w.ok(err)
			_, err = c.ec2.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{LaunchTemplateNames: []string{template}})
			wantCode(t, err, "InvalidLaunchTemplateName.NotFoundException", http.StatusBadRequest, "")
			_, err = c.iam.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: aws.String("p")})
			wantCode(t, err, "DeleteConflict", http.StatusConflict, "must remove roles from instance profile first")
			_, err = c.iam.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: aws.String("p"), RoleName: aws.String("c-node")})
			w.ok(err)
			_, err = c.iam.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: aws.String("p")})
			w.ok(err)
			_, err = c.iam.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String("p")})
			wantCode(t, err, "NoSuchEntity", http.StatusNotFound, "Instance Profile p cannot be found.")
			wantDenied := 1 // the tag that is not ours
			if d := w.handler.Denied(); len(d) != wantDenied {
				t.Errorf("%d denials, want %d: %+v", len(d), wantDenied, d)
			}
		})
	}
}
