package leftovers

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// readCluster finds the cluster, and its node groups if it is the stack's.
func (f *finder) readCluster(ctx context.Context) error {
	f.foreign = true // unless it turns out to be the stack's
	found, err := f.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &f.names.Cluster})
	if isCode(err, "ResourceNotFoundException") {
		// What outlives a cluster that the stack made is its own.
		f.foreign = f.existing
		return nil
	}
	if err != nil {
		return err
	}
	f.cluster = found.Cluster
	if f.foreign = f.existing || !f.bears(f.clusterTags()); f.foreign {
		f.report.Notes = append(f.report.Notes, fmt.Sprintf("This stack has not made cluster %s: only what bears the tag %s is listed.", f.names.Cluster, f.names.Tag),
			"Instances that a Karpenter of the cluster's own launched for the stack's NodePools bear that Karpenter's tags alone, and nobody can tell them from its others. It ends them by itself once their NodePool is gone; `kubectl get nodepools,nodeclaims` shows both.")
		return nil
	}
	pages := eks.NewListNodegroupsPaginator(f.eks, &eks.ListNodegroupsInput{ClusterName: &f.names.Cluster})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		f.nodegroups = append(f.nodegroups, page.Nodegroups...)
	}
	return nil
}

func (f *finder) clusterTags() map[string]string {
	if f.cluster == nil {
		return nil
	}
	return f.cluster.Tags
}

// addNodegroups are those of the stack's cluster, whoever made them: none of them outlives it.
func (f *finder) addNodegroups(context.Context) error {
	name := f.names.Cluster
	for _, group := range f.nodegroups {
		f.add("AWS::EKS::Nodegroup", group, "in cluster "+name, "",
			[]string{"eks", "delete-nodegroup", "--cluster-name", name, "--nodegroup-name", group},
			[]string{"eks", "wait", "nodegroup-deleted", "--cluster-name", name, "--nodegroup-name", group})
	}
	return nil
}

func (f *finder) addCluster(context.Context) error {
	if name := f.names.Cluster; f.cluster != nil && !f.foreign {
		f.named("AWS::EKS::Cluster", name, string(f.cluster.Status), f.cluster.Tags,
			[]string{"eks", "delete-cluster", "--name", name}, []string{"eks", "wait", "cluster-deleted", "--name", name})
	}
	return nil
}

// What follows the stack adds to a cluster of others; from its own it goes with the cluster.

func (f *finder) association(ctx context.Context) error {
	if f.cluster == nil || !f.foreign {
		return nil
	}
	name := &f.names.Cluster
	list, err := f.eks.ListPodIdentityAssociations(ctx, &eks.ListPodIdentityAssociationsInput{
		ClusterName: name, Namespace: aws.String(karpenterNamespace), ServiceAccount: aws.String(karpenterAccount), // which has one at most
	})
	if err != nil {
		return err
	}
	for _, a := range list.Associations {
		whole, err := f.eks.DescribePodIdentityAssociation(ctx, &eks.DescribePodIdentityAssociationInput{ClusterName: name, AssociationId: a.AssociationId})
		if err != nil {
			return err
		}
		f.named("AWS::EKS::PodIdentityAssociation", *a.AssociationId, "", whole.Association.Tags,
			[]string{"eks", "delete-pod-identity-association", "--cluster-name", *name, "--association-id", *a.AssociationId})
	}
	return nil
}

func (f *finder) accessEntry(ctx context.Context) error {
	if f.cluster == nil || !f.foreign {
		return nil
	}
	name, principal := &f.names.Cluster, "arn:"+f.partition+":iam::"+f.report.Account+":role/"+f.names.NodeRole
	found, err := f.eks.DescribeAccessEntry(ctx, &eks.DescribeAccessEntryInput{ClusterName: name, PrincipalArn: &principal})
	if isCode(err, "ResourceNotFoundException", "InvalidRequestException") { // the latter where the aws-auth ConfigMap alone counts
		return nil
	}
	if err != nil {
		return err
	}
	f.named("AWS::EKS::AccessEntry", principal, "", found.AccessEntry.Tags, []string{"eks", "delete-access-entry", "--cluster-name", *name, "--principal-arn", principal})
	return nil
}

func (f *finder) agent(ctx context.Context) error {
	if f.cluster == nil || !f.foreign {
		return nil
	}
	name := &f.names.Cluster
	found, err := f.eks.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: name, AddonName: aws.String(agentAddon)})
	if isCode(err, "ResourceNotFoundException") {
		return nil
	}
	if err != nil {
		return err
	}
	f.named("AWS::EKS::Addon", agentAddon, string(found.Addon.Status), found.Addon.Tags,
		[]string{"eks", "delete-addon", "--cluster-name", *name, "--addon-name", agentAddon},
		[]string{"eks", "wait", "addon-deleted", "--cluster-name", *name, "--addon-name", agentAddon})
	return nil
}

func (f *finder) rules(ctx context.Context) error {
	for _, name := range f.names.Rules {
		targets, err := f.targets(ctx, name)
		if isCode(err, "ResourceNotFoundException") {
			continue
		}
		if err != nil {
			return err
		}
		var commands [][]string
		if len(targets) > 0 {
			commands = append(commands, append([]string{"events", "remove-targets", "--rule", name, "--ids"}, targets...))
		}
		arn := "arn:" + f.partition + ":events:" + f.report.Region + ":" + f.report.Account + ":rule/" + name
		list, err := f.events.ListTagsForResource(ctx, &eventbridge.ListTagsForResourceInput{ResourceARN: &arn})
		if err != nil {
			return err
		}
		tags := map[string]string{}
		for _, t := range list.Tags {
			tags[*t.Key] = *t.Value
		}
		f.named("AWS::Events::Rule", name, "", tags, append(commands, []string{"events", "delete-rule", "--name", name})...)
	}
	return nil
}

// targets are the IDs of a rule's targets.
func (f *finder) targets(ctx context.Context, rule string) ([]string, error) {
	var ids []string
	in := &eventbridge.ListTargetsByRuleInput{Rule: &rule}
	for {
		page, err := f.events.ListTargetsByRule(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, t := range page.Targets {
			ids = append(ids, *t.Id)
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			return ids, nil
		}
	}
}

func (f *finder) queue(ctx context.Context) error {
	q, err := f.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &f.names.Queue})
	if isCode(err, "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue") {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := f.sqs.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: q.QueueUrl})
	if err != nil {
		return err
	}
	f.named("AWS::SQS::Queue", *q.QueueUrl, "", list.Tags, []string{"sqs", "delete-queue", "--queue-url", *q.QueueUrl})
	return nil
}

// logGroup is the cluster's, which EKS makes again while the cluster lives.
func (f *finder) logGroup(ctx context.Context) error {
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(f.logs, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &f.names.LogGroup})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, g := range page.LogGroups {
			if aws.ToString(g.LogGroupName) != f.names.LogGroup {
				continue
			}
			list, err := f.logs.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: g.LogGroupArn})
			if err != nil {
				return err
			}
			f.named("AWS::Logs::LogGroup", f.names.LogGroup, "", list.Tags, []string{"logs", "delete-log-group", "--log-group-name", f.names.LogGroup})
		}
	}
	return nil
}

// key is the KMS key of the cluster's secrets, with its alias. An up that was killed may
// have made the one without the other, so that all keys are asked for their tags.
func (f *finder) key(ctx context.Context) error {
	named, err := f.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &f.names.KeyAlias})
	if err != nil && !isCode(err, "NotFoundException") {
		return err
	}
	denied := 0
	pages := kms.NewListKeysPaginator(f.kms, &kms.ListKeysInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, k := range page.Keys {
			byAlias := named != nil && *named.KeyMetadata.KeyId == *k.KeyId
			tags, err := f.keyTags(ctx, k.KeyId)
			if isCode(err, "AccessDeniedException") && !byAlias {
				denied++ // by the policy of a key that is somebody else's
				continue
			}
			if err != nil {
				return err
			}
			if byAlias {
				f.named("AWS::KMS::Alias", f.names.KeyAlias, "", tags, []string{"kms", "delete-alias", "--alias-name", f.names.KeyAlias})
			} else if !f.bears(tags) {
				continue
			}
			about := named
			if !byAlias {
				if about, err = f.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: k.KeyId}); err != nil {
					return err
				}
			}
			if state := about.KeyMetadata.KeyState; state != types.KeyStatePendingDeletion {
				f.named("AWS::KMS::Key", *k.KeyId, string(state), tags, []string{"kms", "schedule-key-deletion", "--key-id", *k.KeyId, "--pending-window-in-days", "7"})
			}
		}
	}
	if denied > 0 {
		f.report.Notes = append(f.report.Notes, fmt.Sprintf("%d KMS keys do not let you read their tags: a key of the stack's without its alias may be among them.", denied))
	}
	return nil
}

func (f *finder) keyTags(ctx context.Context, id *string) (map[string]string, error) {
	tags := map[string]string{}
	pages := kms.NewListResourceTagsPaginator(f.kms, &kms.ListResourceTagsInput{KeyId: id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, t := range page.Tags {
			tags[*t.TagKey] = *t.TagValue
		}
	}
	return tags, nil
}
