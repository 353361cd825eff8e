package karpenter

import (
	"fmt"
	"path"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sqs"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// CheckQueue looks whether somebody else has a queue of the name of the interruption
// queue. Other names that are taken AWS refuses; CreateQueue answers with the queue
// that is there, as if it had made it. It returns settings.Problems for such a one.
func CheckQueue(ctx *pulumi.Context, s *settings.Settings, opts ...pulumi.InvokeOption) error {
	if s.ClusterName == "" || !s.InstallKarpenter {
		return nil
	}
	name := queueName(s)
	queues, err := sqs.GetQueues(ctx, &sqs.GetQueuesArgs{QueueNamePrefix: &name}, opts...)
	if err != nil {
		return fmt.Errorf("queues named %s: %w", name, err)
	}
	at := slices.IndexFunc(queues.QueueUrls, func(url string) bool { return path.Base(url) == name })
	if at < 0 {
		return nil
	}
	queue, err := sqs.LookupQueue(ctx, &sqs.LookupQueueArgs{Name: name}, opts...)
	if err != nil {
		return fmt.Errorf("queue %s: %w", name, err)
	}
	if queue.Tags[settings.ClusterTag] == s.ClusterName {
		return nil
	}
	var problems settings.Problems
	problems.Add("the interruption queue", name, "a name that no other queue has: there is one, made by others, since it has no tag "+settings.ClusterTag+"="+s.ClusterName,
		fmt.Sprintf("aws sqs delete-queue --region %s --queue-url %s, if nobody needs it", s.Region, queues.QueueUrls[at]))
	return problems
}
