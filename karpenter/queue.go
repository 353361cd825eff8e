package karpenter

import (
	"encoding/json"
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sqs"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/iampolicy"
	"eks-gpu-slicing/internal/settings"
)

// retentionSeconds: a warning older than this is about an instance that is gone.
const retentionSeconds = 300

// eventRule is one kind of event the queue is told of.
type eventRule struct {
	name, source, detailType string
}

// eventRules are the events Karpenter 1.14 handles (its pkg/controllers/interruption/messages).
var eventRules = []eventRule{
	{"health", "aws.health", "AWS Health Event"},
	{"spot-interruption", "aws.ec2", "EC2 Spot Instance Interruption Warning"},
	{"rebalance", "aws.ec2", "EC2 Instance Rebalance Recommendation"},
	{"state-change", "aws.ec2", "EC2 Instance State-change Notification"},
	{"capacity-reservation", "aws.ec2", "EC2 Capacity Reservation Instance Interruption Warning"},
}

// fullName is the rule's name in the account.
func (r eventRule) fullName(s *settings.Settings) string {
	return s.Name("karpenter-"+r.name, 64) // PutRule's limit
}

// pattern is the rule's event pattern.
func (r eventRule) pattern() (string, error) {
	text, err := json.Marshal(map[string][]string{"source": {r.source}, "detail-type": {r.detailType}})
	if err != nil {
		return "", fmt.Errorf("event pattern of %s: %w", r.name, err)
	}
	return string(text), nil
}

// queuePolicy lets the rules send to the queue, and nobody without TLS. Without the
// rules any account's could: EventBridge sends for all of them as the same principal.
func queuePolicy(arn string, rules []string) iampolicy.Document {
	return iampolicy.New(
		iampolicy.Statement{
			Sid:       "Send",
			Principal: iampolicy.Services("events.amazonaws.com"),
			Action:    []string{"sqs:SendMessage"},
			Resource:  []string{arn},
			Condition: iampolicy.Conditions{"ArnEquals": {"aws:SourceArn": rules}},
		},
		iampolicy.Statement{
			Sid: "DenyPlainHTTP", Effect: "Deny",
			Principal: "*",
			Action:    []string{"sqs:*"},
			Resource:  []string{arn},
			Condition: iampolicy.Conditions{"Bool": {"aws:SecureTransport": {"false"}}},
		},
	)
}

// addQueue makes the interruption queue and the rules that fill it.
func (k *Karpenter) addQueue(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) ([]pulumi.Resource, error) {
	s := args.Settings
	queue, err := sqs.NewQueue(ctx, name+"-interruptions", &sqs.QueueArgs{
		Name:                    pulumi.String(queueName(s)),
		MessageRetentionSeconds: pulumi.Int(retentionSeconds),
		SqsManagedSseEnabled:    pulumi.Bool(true),
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("interruption queue: %w", err)
	}
	k.Queue = queue.Name
	var rules []string // known by their names, so that the policy waits for none
	for _, r := range eventRules {
		rules = append(rules, args.Account.ARN("events", "rule/"+r.fullName(s)))
	}
	policy, err := sqs.NewQueuePolicy(ctx, name+"-interruptions", &sqs.QueuePolicyArgs{
		QueueUrl: queue.Url,
		Policy:   pulumi.String(queuePolicy(args.Account.ARN("sqs", queueName(s)), rules).JSON()),
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("policy of the interruption queue: %w", err)
	}
	made := []pulumi.Resource{queue, policy}
	for _, r := range eventRules {
		pattern, err := r.pattern()
		if err != nil {
			return nil, err
		}
		rule, err := cloudwatch.NewEventRule(ctx, name+"-"+r.name, &cloudwatch.EventRuleArgs{
			// PutRule overwrites a rule of the name: it must be nobody else's.
			Name:         pulumi.String(r.fullName(s)),
			Description:  pulumi.String(r.detailType + " for Karpenter"),
			EventPattern: pulumi.String(pattern),
		}, opts...)
		if err != nil {
			return nil, fmt.Errorf("event rule %s: %w", r.name, err)
		}
		target, err := cloudwatch.NewEventTarget(ctx, name+"-"+r.name, &cloudwatch.EventTargetArgs{
			Rule:     rule.Name,
			TargetId: pulumi.String("karpenter"),
			Arn:      queue.Arn,
		}, opts...)
		if err != nil {
			return nil, fmt.Errorf("target of event rule %s: %w", r.name, err)
		}
		made = append(made, rule, target)
	}
	return made, nil
}
