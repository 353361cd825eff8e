// Package leftovers lists what a stack of the program has left in an AWS account, with the commands
// that remove it. It reads only; whoever reads the list decides.
//
// A thing is the stack's by an exact tag: the program's own, or one of those that Karpenter and EKS
// put on what they make for the cluster. What the program names (see [Names]) is looked for by its
// exact name; without the program's tag it is listed as what it is, [Item.NameOnly]. A name that
// merely begins alike, and a tag of another cluster, are never enough.
//
// A cluster that was there before the stack, or that others made, is not the stack's, and nor is what
// EKS and Karpenter made for it: of that only what bears the program's own tag is listed, and never the
// cluster or a node group. What bears that tag with the name of another cluster is another stack's.
//
// Gotchas:
//
//   - Of a stack that is up everything is listed: it is what a destroy will remove.
//   - Instances that a Karpenter of the cluster's own launched for the stack's NodePools bear its tags
//     alone. The name of a pool is no owner's, so they are not listed, and [Report.Notes] says so.
//   - What goes with something else is not listed: a volume or an interface that its instance takes
//     with it, the nodes and the launch template of a managed node group that is listed.
//   - The list is in the order in which the commands work: what holds something comes before what
//     it holds.
//   - A KMS key is found by its tag, or by its alias, and not once it waits for its deletion: nothing
//     makes it go sooner.
//   - Calls that are denied leave their part of the list out; [Find] says which they were.
//     [Actions] are the permissions it needs.
package leftovers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// Item is one thing that is left.
type Item struct {
	// Type is the CloudFormation name of its type, such as AWS::EC2::Instance. ID is the name or
	// ID it goes by.
	Type string `json:"type"`
	ID   string `json:"id"`
	// Why says by what it is the stack's: a tag as KEY=VALUE, a name, a path.
	Why string `json:"why"`
	// NameOnly: it has a name of the stack's and not the tag that the program gives it. Somebody
	// else made it, as EKS makes the cluster's log group when it finds none: look before you
	// remove it.
	NameOnly bool `json:"nameOnly"`
	// State is what EC2 or EKS say of it, such as running; "" for types without.
	State string `json:"state"`
	// Remove are the commands that remove it, to be run one after the other.
	Remove []string `json:"remove"`
}

// Report is what Find found.
type Report struct {
	// Account is the number of the account that was asked, Region where, Cluster for which
	// cluster's stack.
	Account string `json:"account"`
	Region  string `json:"region"`
	Cluster string `json:"cluster"`
	// Notes say what is not listed although it is there, and why.
	Notes []string `json:"notes"`
	Items []Item   `json:"items"`
}

// Actions are the IAM actions that [Find] calls, all of them reads.
func Actions() []string {
	return []string{
		"ec2:DescribeInstances", "ec2:DescribeLaunchTemplates", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeVolumes",
		"eks:DescribeAccessEntry", "eks:DescribeAddon", "eks:DescribeCluster", "eks:DescribePodIdentityAssociation", "eks:ListNodegroups", "eks:ListPodIdentityAssociations",
		"events:ListTagsForResource", "events:ListTargetsByRule",
		"iam:GetInstanceProfile", "iam:GetPolicy", "iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfiles", "iam:ListInstanceProfilesForRole",
		"iam:ListPolicyVersions", "iam:ListRolePolicies",
		"kms:DescribeKey", "kms:ListKeys", "kms:ListResourceTags",
		"logs:DescribeLogGroups", "logs:ListTagsForResource",
		"sqs:GetQueueUrl", "sqs:ListQueueTags",
	}
}

// finder asks one account for one stack.
type finder struct {
	names  Names
	report *Report
	// partition is that of the caller's ARN, such as aws.
	partition string

	ec2    *ec2.Client
	eks    *eks.Client
	events *eventbridge.Client
	iam    *iam.Client
	kms    *kms.Client
	logs   *cloudwatchlogs.Client
	sqs    *sqs.Client

	// existing tells that the stack has not made its cluster.
	existing bool
	// cluster is nil where there is none; nodegroups are the names of its node groups, if it is
	// the stack's.
	cluster    *types.Cluster
	nodegroups []string
	// foreign tells that what was made for the cluster is not the stack's on that account: only
	// the program's own tag tells.
	foreign bool
}

// Find lists what the stack of a cluster has left in the account and region that cfg is for. existing
// tells that the stack has not made that cluster (its setting existingCluster). With an error the list
// holds what could be read.
func Find(ctx context.Context, cfg aws.Config, cluster string, existing bool) (*Report, error) {
	if cluster == "" {
		return nil, errors.New("no cluster name: give the stack's clusterName, `pulumi config get clusterName`, or its existingCluster")
	}
	if cfg.Region == "" {
		return nil, errors.New("no region: give the stack's, `pulumi config get aws:region`, as AWS_REGION")
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, fmt.Errorf("who calls: %w; check with `aws sts get-caller-identity`", err)
	}
	f := &finder{
		names:    NamesOf(cluster, cfg.Region),
		report:   &Report{Account: aws.ToString(who.Account), Region: cfg.Region, Cluster: cluster, Notes: []string{}, Items: []Item{}},
		existing: existing,
		ec2:      ec2.NewFromConfig(cfg), eks: eks.NewFromConfig(cfg), events: eventbridge.NewFromConfig(cfg),
		iam: iam.NewFromConfig(cfg), kms: kms.NewFromConfig(cfg), logs: cloudwatchlogs.NewFromConfig(cfg), sqs: sqs.NewFromConfig(cfg),
	}
	if parts := strings.SplitN(aws.ToString(who.Arn), ":", 3); len(parts) == 3 {
		f.partition = parts[1]
	}
	if err := f.readCluster(ctx); err != nil {
		err = fmt.Errorf("the EKS cluster and its node groups could not be read: %w", err)
		if f.foreign {
			f.report.Notes = append(f.report.Notes, fmt.Sprintf("Whose cluster %s is could not be read: only what bears the tag %s is listed.", cluster, f.names.Tag))
		}
		return f.report, errors.Join(err, f.list(ctx))
	}
	if f.foreign && f.bears(f.clusterTags()) {
		f.report.Notes = []string{fmt.Sprintf("Another stack made cluster %s, by its tag %s: what is that stack's and what is this one's cannot be told apart, and nothing is listed. Ask with the stack that made the cluster.", cluster, f.names.Tag)}
		return f.report, nil
	}
	return f.report, f.list(ctx)
}

// list puts on the list what there is, the cluster having been read.
func (f *finder) list(ctx context.Context) error {
	var errs []error
	for _, step := range []struct {
		what string
		find func(context.Context) error
	}{
		// Node groups go first: Karpenter runs on one, and launches again what is ended. In a cluster
		// of others it loses its permissions first. EKS deletes the cluster's security group only
		// if no network interface bears it.
		{"the EKS node groups", f.addNodegroups},
		{"Karpenter's pod identity association", f.association},
		{"EC2 instances", f.instances},
		{"network interfaces", f.interfaces},
		{"the access entry of Karpenter's nodes", f.accessEntry},
		{"the Pod Identity agent", f.agent},
		{"the EKS cluster", f.addCluster},
		{"EBS volumes", f.volumes},
		{"security groups", f.securityGroups},
		{"launch templates", f.launchTemplates},
		{"instance profiles", f.profiles},
		{"IAM roles", f.roles},
		{"IAM policies", f.policies},
		{"EventBridge rules", f.rules},
		{"the interruption queue", f.queue},
		{"the log group", f.logGroup},
		{"the KMS key", f.key},
	} {
		if err := step.find(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s could not be read: %w", step.what, err))
		}
	}
	return errors.Join(errs...)
}

// bears tells whether tags have the program's, with the name of the stack's cluster.
func (f *finder) bears(tags map[string]string) bool {
	return tags[f.names.Tag.Key] == f.names.Tag.Value
}

// named puts something on the list that was found by its name and has tags, unless these say that it
// is another stack's.
func (f *finder) named(kind, id, state string, tags map[string]string, commands ...[]string) {
	_, others := tags[f.names.Tag.Key]
	switch {
	case f.bears(tags):
		f.add(kind, id, f.names.Tag.String(), state, commands...)
	case !others && !f.foreign:
		f.add(kind, id, "name", state, commands...)
		f.report.Items[len(f.report.Items)-1].NameOnly = true
	}
}

// add puts something on the list. Each command is the words of one, without the region.
func (f *finder) add(kind, id, why, state string, commands ...[]string) {
	item := Item{Type: kind, ID: id, Why: why, State: state}
	for _, words := range commands {
		item.Remove = append(item.Remove, f.command(words...))
	}
	f.report.Items = append(f.report.Items, item)
}

// command is a call of the AWS CLI, quoted for a shell.
func (f *finder) command(words ...string) string {
	at := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "--") })
	// The CLI wants a region for IAM too, which has none.
	all := slices.Concat([]string{"aws"}, words[:at], []string{"--region", f.report.Region}, words[at:])
	for i, w := range all {
		if strings.ContainsFunc(w, func(r rune) bool { return !strings.ContainsRune(plain, r) }) {
			all[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(all, " ")
}

const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@,+"

// isCode tells whether AWS answered with one of the error codes.
func isCode(err error, codes ...string) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && slices.Contains(codes, e.ErrorCode())
}
