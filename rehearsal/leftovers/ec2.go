package leftovers

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// byTag calls a Describe action once for each ownership tag, and each once for every thing that has
// one, with the tag it was found by; those of another stack are left out. what tells of a thing its ID
// and its tags. What is made for a cluster of others counts only by the program's own tag.
func byTag[T any](f *finder, list func(types.Filter) ([]T, error), what func(T) (*string, []types.Tag), each func(T, string)) error {
	seen, owned := map[string]bool{}, f.names.Tags
	if f.foreign {
		owned = owned[:1]
	}
	for _, tag := range owned {
		found, err := list(types.Filter{Name: aws.String("tag:" + tag.Key), Values: []string{tag.Value}})
		if err != nil {
			return err
		}
		for _, one := range found {
			id, tags := what(one)
			stack := tagValue(tags, f.names.Tag.Key)
			if key := aws.ToString(id); !seen[key] && (stack == "" || stack == f.names.Tag.Value) {
				seen[key] = true
				each(one, tag.String())
			}
		}
	}
	return nil
}

func tagValue(tags []types.Tag, key string) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

// withNodegroup tells whether something is a managed node group's that is listed itself, or is one
// of others.
func (f *finder) withNodegroup(tags []types.Tag) bool {
	group := tagValue(tags, "eks:nodegroup-name")
	return slices.Contains(f.nodegroups, group) || f.foreign && group != ""
}

// instances are those that cost something or may again.
func (f *finder) instances(ctx context.Context) error {
	alive := types.Filter{Name: aws.String("instance-state-name"), Values: []string{"pending", "running", "stopping", "stopped"}}
	return byTag(f, func(tag types.Filter) ([]types.Instance, error) {
		var out []types.Instance
		pages := ec2.NewDescribeInstancesPaginator(f.ec2, &ec2.DescribeInstancesInput{Filters: []types.Filter{tag, alive}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, r := range page.Reservations {
				out = append(out, r.Instances...)
			}
		}
		return out, nil
	}, func(i types.Instance) (*string, []types.Tag) { return i.InstanceId, i.Tags }, func(i types.Instance, why string) {
		if f.withNodegroup(i.Tags) {
			return
		}
		f.add("AWS::EC2::Instance", *i.InstanceId, why, string(i.State.Name),
			[]string{"ec2", "terminate-instances", "--instance-ids", *i.InstanceId}, []string{"ec2", "wait", "instance-terminated", "--instance-ids", *i.InstanceId})
	})
}

func (f *finder) interfaces(ctx context.Context) error {
	return byTag(f, func(tag types.Filter) ([]types.NetworkInterface, error) {
		var out []types.NetworkInterface
		pages := ec2.NewDescribeNetworkInterfacesPaginator(f.ec2, &ec2.DescribeNetworkInterfacesInput{Filters: []types.Filter{tag}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			out = append(out, page.NetworkInterfaces...)
		}
		return out, nil
	}, func(n types.NetworkInterface) (*string, []types.Tag) { return n.NetworkInterfaceId, n.TagSet }, func(n types.NetworkInterface, why string) {
		if n.Attachment != nil && aws.ToBool(n.Attachment.DeleteOnTermination) {
			return // goes with its instance
		}
		f.add("AWS::EC2::NetworkInterface", *n.NetworkInterfaceId, why, string(n.Status),
			[]string{"ec2", "delete-network-interface", "--network-interface-id", *n.NetworkInterfaceId})
	})
}

func (f *finder) volumes(ctx context.Context) error {
	return byTag(f, func(tag types.Filter) ([]types.Volume, error) {
		var out []types.Volume
		pages := ec2.NewDescribeVolumesPaginator(f.ec2, &ec2.DescribeVolumesInput{Filters: []types.Filter{tag}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			out = append(out, page.Volumes...)
		}
		return out, nil
	}, func(v types.Volume) (*string, []types.Tag) { return v.VolumeId, v.Tags }, func(v types.Volume, why string) {
		if slices.ContainsFunc(v.Attachments, func(a types.VolumeAttachment) bool { return aws.ToBool(a.DeleteOnTermination) }) {
			return // goes with its instance
		}
		f.add("AWS::EC2::Volume", *v.VolumeId, why, string(v.State), []string{"ec2", "delete-volume", "--volume-id", *v.VolumeId})
	})
}

// securityGroups are those that EKS and the program made for the cluster.
func (f *finder) securityGroups(ctx context.Context) error {
	return byTag(f, func(tag types.Filter) ([]types.SecurityGroup, error) {
		var out []types.SecurityGroup
		pages := ec2.NewDescribeSecurityGroupsPaginator(f.ec2, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{tag}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			out = append(out, page.SecurityGroups...)
		}
		return out, nil
	}, func(g types.SecurityGroup) (*string, []types.Tag) { return g.GroupId, g.Tags }, func(g types.SecurityGroup, why string) {
		if f.cluster != nil && tagValue(g.Tags, "aws:eks:cluster-name") == f.names.Cluster {
			return // EKS deletes its own with the cluster
		}
		f.add("AWS::EC2::SecurityGroup", *g.GroupId, why, "", []string{"ec2", "delete-security-group", "--group-id", *g.GroupId})
	})
}

func (f *finder) launchTemplates(ctx context.Context) error {
	describe := func(by types.Filter) ([]types.LaunchTemplate, error) {
		var out []types.LaunchTemplate
		pages := ec2.NewDescribeLaunchTemplatesPaginator(f.ec2, &ec2.DescribeLaunchTemplatesInput{Filters: []types.Filter{by}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			out = append(out, page.LaunchTemplates...)
		}
		return out, nil
	}
	remove := func(t types.LaunchTemplate) []string {
		return []string{"ec2", "delete-launch-template", "--launch-template-id", *t.LaunchTemplateId}
	}
	own, err := describe(types.Filter{Name: aws.String("launch-template-name"), Values: []string{f.names.LaunchTemplate}})
	if err != nil {
		return err
	}
	for _, t := range own {
		tags := map[string]string{}
		for _, tag := range t.Tags {
			tags[*tag.Key] = *tag.Value
		}
		f.named("AWS::EC2::LaunchTemplate", *t.LaunchTemplateId, "", tags, remove(t))
	}
	return byTag(f, describe, func(t types.LaunchTemplate) (*string, []types.Tag) { return t.LaunchTemplateId, t.Tags }, func(t types.LaunchTemplate, why string) {
		if aws.ToString(t.LaunchTemplateName) != f.names.LaunchTemplate && !f.withNodegroup(t.Tags) {
			f.add("AWS::EC2::LaunchTemplate", *t.LaunchTemplateId, why, "", remove(t))
		}
	})
}
