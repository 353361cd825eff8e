package leftovers

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// profiles are Karpenter's instance profiles, by their path, which names region and cluster.
func (f *finder) profiles(ctx context.Context) error {
	pages := iam.NewListInstanceProfilesPaginator(f.iam, &iam.ListInstanceProfilesInput{PathPrefix: &f.names.ProfilePath})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, p := range page.InstanceProfiles {
			whole, err := f.iam.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: p.InstanceProfileName}) // lists are without tags
			if err != nil {
				return err
			}
			tags := tagMap(whole.InstanceProfile.Tags)
			if _, others := tags[f.names.Tag.Key]; !f.bears(tags) && (others || f.foreign) {
				continue
			}
			var commands [][]string
			for _, r := range p.Roles {
				commands = append(commands, removeRole(p, *r.RoleName))
			}
			commands = append(commands, []string{"iam", "delete-instance-profile", "--instance-profile-name", *p.InstanceProfileName})
			f.add("AWS::IAM::InstanceProfile", *p.InstanceProfileName, "path "+*p.Path, "", commands...)
		}
	}
	return nil
}

func removeRole(p types.InstanceProfile, role string) []string {
	return []string{"iam", "remove-role-from-instance-profile", "--instance-profile-name", *p.InstanceProfileName, "--role-name", role}
}

func (f *finder) roles(ctx context.Context) error {
	for _, name := range f.names.Roles {
		r, err := f.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
		if isCode(err, "NoSuchEntity") {
			continue
		}
		if err != nil {
			return err
		}
		commands, err := f.emptyRole(ctx, name)
		if err != nil {
			return err
		}
		f.named("AWS::IAM::Role", name, "", tagMap(r.Role.Tags), append(commands, []string{"iam", "delete-role", "--role-name", name})...)
	}
	return nil
}

func tagMap(tags []types.Tag) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		out[*t.Key] = *t.Value
	}
	return out
}

// emptyRole are the commands that take everything off a role that keeps it from being deleted.
func (f *finder) emptyRole(ctx context.Context, name string) ([][]string, error) {
	var out [][]string
	attached := iam.NewListAttachedRolePoliciesPaginator(f.iam, &iam.ListAttachedRolePoliciesInput{RoleName: &name})
	for attached.HasMorePages() {
		page, err := attached.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range page.AttachedPolicies {
			out = append(out, []string{"iam", "detach-role-policy", "--role-name", name, "--policy-arn", *p.PolicyArn})
		}
	}
	inline := iam.NewListRolePoliciesPaginator(f.iam, &iam.ListRolePoliciesInput{RoleName: &name})
	for inline.HasMorePages() {
		page, err := inline.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range page.PolicyNames {
			out = append(out, []string{"iam", "delete-role-policy", "--role-name", name, "--policy-name", p})
		}
	}
	profiles := iam.NewListInstanceProfilesForRolePaginator(f.iam, &iam.ListInstanceProfilesForRoleInput{RoleName: &name})
	for profiles.HasMorePages() {
		page, err := profiles.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range page.InstanceProfiles {
			// Karpenter's own are listed themselves.
			if !strings.HasPrefix(aws.ToString(p.Path), f.names.ProfilePath) {
				out = append(out, removeRole(p, name))
			}
		}
	}
	return out, nil
}

func (f *finder) policies(ctx context.Context) error {
	for _, name := range f.names.Policies {
		arn := "arn:" + f.partition + ":iam::" + f.report.Account + ":policy/" + name
		p, err := f.iam.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
		if isCode(err, "NoSuchEntity") {
			continue
		}
		if err != nil {
			return err
		}
		var commands [][]string
		versions := iam.NewListPolicyVersionsPaginator(f.iam, &iam.ListPolicyVersionsInput{PolicyArn: &arn})
		for versions.HasMorePages() {
			page, err := versions.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, v := range page.Versions {
				if !v.IsDefaultVersion {
					commands = append(commands, []string{"iam", "delete-policy-version", "--policy-arn", arn, "--version-id", *v.VersionId})
				}
			}
		}
		f.named("AWS::IAM::ManagedPolicy", arn, "", tagMap(p.Policy.Tags), append(commands, []string{"iam", "delete-policy", "--policy-arn", arn})...)
	}
	return nil
}
