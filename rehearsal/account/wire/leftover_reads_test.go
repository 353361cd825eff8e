package wire

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// TestAttached: the volumes and interfaces of a launch, with the tags that the launch gave them.
func TestAttached(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := w.controller()
	f, err := c.ec2.CreateFleet(t.Context(), w.fleet("lt-od", false, "g4dn.xlarge"))
	w.ok(err)
	id := f.Instances[0].InstanceIds[0]
	admin := clientsOf(w.admin())
	owned := []ec2types.Filter{{Name: aws.String("tag:kubernetes.io/cluster/c"), Values: []string{"owned"}}}
	volumes, err := admin.ec2.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{Filters: owned})
	w.ok(err)
	if len(volumes.Volumes) != 1 {
		t.Fatalf("volumes %+v", volumes.Volumes)
	}
	if v := volumes.Volumes[0]; *v.Size != 20 || v.VolumeType != ec2types.VolumeTypeGp3 || !*v.Encrypted || v.State != ec2types.VolumeStateInUse ||
		*v.Attachments[0].InstanceId != id || !*v.Attachments[0].DeleteOnTermination || len(v.Tags) != 1 {
		t.Errorf("volume %+v", v)
	}
	interfaces, err := admin.ec2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: owned})
	w.ok(err)
	if len(interfaces.NetworkInterfaces) != 1 {
		t.Fatalf("interfaces %+v", interfaces.NetworkInterfaces)
	}
	if n := interfaces.NetworkInterfaces[0]; *n.Attachment.InstanceId != id || *n.Groups[0].GroupId != w.group || n.Status != ec2types.NetworkInterfaceStatusInUse || len(n.TagSet) != 1 {
		t.Errorf("interface %+v", n)
	}
	_, err = admin.ec2.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{VolumeIds: []string{"vol-0"}})
	wantCode(t, err, "InvalidVolume.NotFound", http.StatusBadRequest, "vol-0")
	_, err = admin.ec2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{{Name: aws.String("mood"), Values: []string{"good"}}}})
	wantCode(t, err, "InvalidParameterValue", http.StatusBadRequest, "mood")
}

// TestRolePolicies: IAM's lists, page by page.
func TestRolePolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"one", "two", "three"} {
		w.grant(name, `{"Effect":"Allow","Action":"ec2:Describe*","Resource":"*"}`)
	}
	c, role := clientsOf(w.admin()), aws.String("c-controller")
	var names []string
	pages := iam.NewListAttachedRolePoliciesPaginator(c.iam, &iam.ListAttachedRolePoliciesInput{RoleName: role, MaxItems: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		w.ok(err)
		for _, p := range page.AttachedPolicies {
			names = append(names, *p.PolicyName)
		}
	}
	if d := cmp.Diff([]string{"one", "two", "three"}, names); d != "" {
		t.Errorf("attached (-want +got):\n%s", d)
	}
	arn := "arn:aws:iam::" + account.ID + ":policy/two"
	_, err := w.account.CreatePolicyVersion(arn, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`, true)
	w.ok(err)
	p, err := c.iam.GetPolicy(t.Context(), &iam.GetPolicyInput{PolicyArn: &arn})
	w.ok(err)
	versions, err := c.iam.ListPolicyVersions(t.Context(), &iam.ListPolicyVersionsInput{PolicyArn: &arn})
	w.ok(err)
	if *p.Policy.DefaultVersionId != "v2" || *p.Policy.AttachmentCount != 1 || len(versions.Versions) != 2 || !versions.Versions[0].IsDefaultVersion || *versions.Versions[1].VersionId != "v1" {
		t.Errorf("policy %+v, versions %+v", p.Policy, versions.Versions)
	}
	inline, err := c.iam.ListRolePolicies(t.Context(), &iam.ListRolePoliciesInput{RoleName: role})
	if err != nil || len(inline.PolicyNames) != 0 {
		t.Errorf("inline policies %v (%v)", inline, err)
	}
	profiles, err := c.iam.ListInstanceProfilesForRole(t.Context(), &iam.ListInstanceProfilesForRoleInput{RoleName: aws.String("c-node")})
	if err != nil || len(profiles.InstanceProfiles) != 0 {
		t.Errorf("profiles %v (%v)", profiles, err)
	}
	nobody := aws.String("nobody")
	_, err = c.iam.ListAttachedRolePolicies(t.Context(), &iam.ListAttachedRolePoliciesInput{RoleName: nobody})
	wantCode(t, err, "NoSuchEntity", http.StatusNotFound, "nobody")
	_, err = c.iam.ListInstanceProfilesForRole(t.Context(), &iam.ListInstanceProfilesForRoleInput{RoleName: nobody})
	wantCode(t, err, "NoSuchEntity", http.StatusNotFound, "nobody")
	_, err = c.iam.ListPolicyVersions(t.Context(), &iam.ListPolicyVersionsInput{PolicyArn: aws.String("arn:aws:iam::111122223333:policy/none")})
	wantCode(t, err, "NoSuchEntity", http.StatusNotFound, "none")

	pod := clientsOf(w.config(w.pod()))
	_, err = pod.iam.ListAttachedRolePolicies(t.Context(), &iam.ListAttachedRolePoliciesInput{RoleName: role})
	wantCode(t, err, "AccessDenied", http.StatusForbidden, "iam:ListAttachedRolePolicies")
	_, err = pod.iam.GetPolicy(t.Context(), &iam.GetPolicyInput{PolicyArn: &arn})
	wantCode(t, err, "AccessDenied", http.StatusForbidden, "iam:GetPolicy")
}

// TestKeys: a key by its alias, until it waits for its deletion and after.
func TestKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made, err := w.account.CreateKey("secrets", "", account.Tags{"k": "v"})
	w.ok(err)
	w.ok(w.account.CreateAlias("alias/eks/c", made.ID))
	alias, ctx := aws.String("alias/eks/c"), t.Context()
	c := kms.NewFromConfig(w.admin())
	k, err := c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: alias})
	w.ok(err)
	tags, err := c.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: k.KeyMetadata.KeyId})
	w.ok(err)
	if m := k.KeyMetadata; *m.Arn != made.ARN || !m.Enabled || m.KeyState != kmstypes.KeyStateEnabled || m.DeletionDate != nil || len(tags.Tags) != 1 || *tags.Tags[0].TagValue != "v" {
		t.Errorf("key %+v with tags %+v", m, tags.Tags)
	}
	w.ok(w.account.ScheduleKeyDeletion(made.ID, 7))
	if k, err := c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: alias}); err != nil || k.KeyMetadata.KeyState != kmstypes.KeyStatePendingDeletion || k.KeyMetadata.DeletionDate == nil {
		t.Errorf("while it waits: %+v (%v)", k, err)
	}
	_, err = c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/none")})
	wantCode(t, err, "NotFoundException", http.StatusBadRequest, "alias/none is not found")
	_, err = kms.NewFromConfig(w.config(w.pod())).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: alias})
	wantCode(t, err, "AccessDeniedException", http.StatusBadRequest, "kms:DescribeKey")
}

// TestMembers: what a cluster has beside node groups, with its tags.
func TestMembers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx, cluster := clientsOf(w.admin()).eks, t.Context(), aws.String("c")
	tags, pod := account.Tags{"k": "v"}, w.pod() // which has an association
	role := aws.String("arn:aws:iam::" + account.ID + ":role/c-node")
	_, err := w.account.CreateAccessEntry(account.CreateAccessEntryInput{ClusterName: "c", PrincipalARN: *role, Type: account.AccessEC2Linux, Tags: tags})
	w.ok(err)
	_, err = w.account.CreateAddon(account.CreateAddonInput{ClusterName: "c", Name: "kube-proxy", Tags: tags})
	w.ok(err)
	entry, err := c.DescribeAccessEntry(ctx, &eks.DescribeAccessEntryInput{ClusterName: cluster, PrincipalArn: role})
	w.ok(err)
	addon, err := c.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: cluster, AddonName: aws.String("kube-proxy")})
	w.ok(err)
	if d := cmp.Diff(map[string]string(tags), entry.AccessEntry.Tags); d != "" || *entry.AccessEntry.PrincipalArn != *role || *entry.AccessEntry.Type != account.AccessEC2Linux {
		t.Errorf("access entry %+v, its tags (-want +got):\n%s", entry.AccessEntry, d)
	}
	if d := cmp.Diff(map[string]string(tags), addon.Addon.Tags); d != "" || addon.Addon.Status != ekstypes.AddonStatusActive || *addon.Addon.AddonName != "kube-proxy" {
		t.Errorf("add-on %+v, its tags (-want +got):\n%s", addon.Addon, d)
	}
	of := func(account string) int {
		t.Helper()
		list, err := c.ListPodIdentityAssociations(ctx, &eks.ListPodIdentityAssociationsInput{ClusterName: cluster, Namespace: aws.String("kube-system"), ServiceAccount: &account})
		w.ok(err)
		for _, a := range list.Associations {
			whole, err := c.DescribePodIdentityAssociation(ctx, &eks.DescribePodIdentityAssociationInput{ClusterName: cluster, AssociationId: a.AssociationId})
			w.ok(err)
			if *whole.Association.ServiceAccount != account || len(whole.Association.Tags) != 0 {
				t.Errorf("association %+v", whole.Association)
			}
		}
		return len(list.Associations)
	}
	if of("karpenter") != 1 || of("others") != 0 {
		t.Errorf("%d associations of karpenter and %d of others, want 1 and 0", of("karpenter"), of("others"))
	}
	_, err = c.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: cluster, AddonName: aws.String("coredns")})
	wantCode(t, err, "ResourceNotFoundException", http.StatusNotFound, "No addon: coredns")
	_, err = c.DescribeAccessEntry(ctx, &eks.DescribeAccessEntryInput{ClusterName: cluster, PrincipalArn: aws.String(*role + "s")})
	wantCode(t, err, "ResourceNotFoundException", http.StatusNotFound, "principalArn")
	_, err = clientsOf(w.config(pod)).eks.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: cluster, AddonName: aws.String("kube-proxy")})
	wantCode(t, err, "AccessDeniedException", http.StatusForbidden, "eks:DescribeAddon")
}

// TestGroups: node groups and log groups.
func TestGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := w.admin()
	c, logs := clientsOf(cfg), cloudwatchlogs.NewFromConfig(cfg)
	groups, err := c.eks.ListNodegroups(t.Context(), &eks.ListNodegroupsInput{ClusterName: aws.String("c")})
	if err != nil || len(groups.Nodegroups) != 0 {
		t.Errorf("node groups %v (%v)", groups, err)
	}
	_, err = c.eks.ListNodegroups(t.Context(), &eks.ListNodegroupsInput{ClusterName: aws.String("d")})
	wantCode(t, err, "ResourceNotFoundException", http.StatusNotFound, "No cluster found for name: d.")
	for _, name := range []string{"/aws/eks/c/cluster", "/aws/eks/d/cluster", "/other"} {
		_, err := w.account.CreateLogGroup(name, "", nil)
		w.ok(err)
	}
	w.ok(w.account.PutRetentionPolicy("/aws/eks/c/cluster", 30))
	var found []string
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(logs, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/aws/eks/"), Limit: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		w.ok(err)
		for _, g := range page.LogGroups {
			found = append(found, *g.LogGroupName+" "+*g.Arn)
			if retained := g.RetentionInDays != nil; retained != (*g.LogGroupName == "/aws/eks/c/cluster") {
				t.Errorf("log group %+v", g)
			}
		}
	}
	const arn = "arn:aws:logs:us-west-2:111122223333:log-group:"
	if d := cmp.Diff([]string{"/aws/eks/c/cluster " + arn + "/aws/eks/c/cluster:*", "/aws/eks/d/cluster " + arn + "/aws/eks/d/cluster:*"}, found); d != "" {
		t.Errorf("log groups (-want +got):\n%s", d)
	}
	tags, err := logs.ListTagsForResource(t.Context(), &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: aws.String(arn + "/other")})
	if err != nil || len(tags.Tags) != 0 {
		t.Errorf("tags %v (%v)", tags, err)
	}
	_, err = logs.ListTagsForResource(t.Context(), &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: aws.String(arn + "none")})
	wantCode(t, err, "ResourceNotFoundException", http.StatusBadRequest, "The specified log group does not exist.")
	_, err = eventbridge.NewFromConfig(cfg).ListTagsForResource(t.Context(), &eventbridge.ListTagsForResourceInput{ResourceARN: aws.String("arn:aws:events:us-west-2:111122223333:rule/none")})
	wantCode(t, err, "ResourceNotFoundException", http.StatusBadRequest, "Rule none does not exist")
	_, err = c.sqs.ListQueueTags(t.Context(), &sqs.ListQueueTagsInput{QueueUrl: aws.String("https://sqs.us-west-2.amazonaws.com/111122223333/none")})
	wantCode(t, err, "AWS.SimpleQueueService.NonExistentQueue", http.StatusBadRequest, "does not exist")
	_, err = cloudwatchlogs.NewFromConfig(w.config(w.pod())).DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{})
	wantCode(t, err, "AccessDeniedException", http.StatusBadRequest, "logs:DescribeLogGroups")
}
