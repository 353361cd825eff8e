package wire

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/karpenter-provider-aws/pkg/controllers/interruption/messages"
	"github.com/aws/karpenter-provider-aws/pkg/controllers/interruption/messages/rebalancerecommendation"
	"github.com/aws/karpenter-provider-aws/pkg/controllers/interruption/messages/scheduledchange"
	"github.com/aws/karpenter-provider-aws/pkg/controllers/interruption/messages/spotinterruption"
	"github.com/aws/karpenter-provider-aws/pkg/controllers/interruption/messages/statechange"
	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// TestKarpenterReadsEvents: Karpenter's own parsers find the instance in every event, by the program's
// rules, in the queue.
func TestKarpenterReadsEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.account.SetQueueAttributes(queueURL, map[string]string{"Policy": `{"Statement":{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"arn:aws:sqs:us-west-2:111122223333:c-karpenter"}}`}))
	_, image := w.controller()
	launch := func(spot bool) string {
		t.Helper()
		out, err := w.account.RunInstances(account.LaunchInput{Data: account.LaunchTemplateData{ImageID: image, InstanceType: "g4dn.xlarge"}, Count: 1, Spot: spot})
		w.ok(err)
		return out[0].ID
	}
	onDemand, spot := launch(false), launch(true)
	for name, pattern := range map[string]string{ // ../../../karpenter/queue.go
		"health":       `{"detail-type":["AWS Health Event"],"source":["aws.health"]}`,
		"interruption": `{"detail-type":["EC2 Spot Instance Interruption Warning"],"source":["aws.ec2"]}`,
		"rebalance":    `{"detail-type":["EC2 Instance Rebalance Recommendation"],"source":["aws.ec2"]}`,
		"state-change": `{"detail-type":["EC2 Instance State-change Notification"],"source":["aws.ec2"]}`,
	} {
		_, err := w.account.PutRule(account.EventRule{Name: name, EventPattern: pattern})
		w.ok(err)
		w.ok(w.account.PutTarget("", name, account.EventTarget{ID: "karpenter", ARN: "arn:aws:sqs:us-west-2:111122223333:c-karpenter"}))
	}
	w.account.SetDelays(account.Delays{SpotNotice: time.Hour})
	w.ok(w.account.RecommendRebalance(spot))
	w.ok(w.account.InterruptSpotInstance(spot))
	w.ok(w.account.ScheduleRetirement(onDemand, time.Hour))
	_, err := w.account.StopInstances(onDemand)
	w.ok(err)
	_, err = w.account.TerminateInstances(onDemand)
	w.ok(err)

	type told struct {
		kind     messages.Kind
		ids      []string
		resource string
	}
	zone, err := w.account.DescribeInstances([]string{spot})
	w.ok(err)
	arn := func(id string) string { return "arn:aws:ec2:us-west-2:111122223333:instance/" + id }
	var got []told
	parsers := []messages.Parser{rebalancerecommendation.Parser{}, scheduledchange.Parser{}, spotinterruption.Parser{}, statechange.Parser{}}
	out, err := clientsOf(w.admin()).sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(queueURL), MaxNumberOfMessages: 10})
	w.ok(err)
	for _, m := range out.Messages {
		var about messages.Metadata
		w.ok(json.Unmarshal([]byte(*m.Body), &about))
		for _, p := range parsers {
			if p.Source() != about.Source || p.DetailType() != about.DetailType || p.Version() != about.Version {
				continue
			}
			parsed, err := p.Parse(*m.Body)
			w.ok(err)
			if parsed == nil {
				t.Errorf("Karpenter ignores %s", *m.Body)
				continue
			}
			got = append(got, told{parsed.Kind(), parsed.EC2InstanceIDs(), about.Resources[0]})
		}
	}
	want := []told{
		{messages.RebalanceRecommendationKind, []string{spot}, arn(spot)},
		{messages.SpotInterruptionKind, []string{spot}, "arn:aws:ec2:" + zone[0].AvailabilityZone + ":instance/" + spot},
		{messages.ScheduledChangeKind, []string{onDemand}, onDemand},
		{messages.InstanceStoppedKind, []string{onDemand}, arn(onDemand)},    // stopping
		{messages.InstanceStoppedKind, []string{onDemand}, arn(onDemand)},    // stopped
		{messages.InstanceTerminatedKind, []string{onDemand}, arn(onDemand)}, // shutting-down
		{messages.InstanceTerminatedKind, []string{onDemand}, arn(onDemand)}, // terminated
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(told{})); d != "" {
		t.Errorf("what Karpenter reads (-want +got):\n%s", d)
	}
}

// TestScheduledEvents: DescribeInstanceStatus tells of a retirement, as Karpenter asks for it.
func TestScheduledEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, image := w.controller()
	out, err := w.account.RunInstances(account.LaunchInput{Data: account.LaunchTemplateData{ImageID: image, InstanceType: "g4dn.xlarge"}, Count: 2})
	w.ok(err)
	w.ok(w.account.ScheduleRetirement(out[0].ID, time.Hour))
	ask := func(name string, values ...string) []ec2types.InstanceStatus {
		t.Helper()
		got, err := c.ec2.DescribeInstanceStatus(t.Context(), &ec2.DescribeInstanceStatusInput{Filters: []ec2types.Filter{{Name: &name, Values: values}}})
		w.ok(err)
		return got.InstanceStatuses
	}
	got := ask("event.code", "instance-reboot", "instance-retirement")
	if len(got) != 1 || *got[0].InstanceId != out[0].ID || len(got[0].Events) != 1 || got[0].Events[0].Code != ec2types.EventCodeInstanceRetirement || time.Until(*got[0].Events[0].NotBefore) < 50*time.Minute {
		t.Errorf("to be retired: %+v", got)
	}
	if got := ask("event.code", "instance-reboot"); len(got) != 0 {
		t.Errorf("to be rebooted: %+v", got)
	}
	if got := ask("instance-status.status", "impaired"); len(got) != 0 {
		t.Errorf("impaired: %+v", got)
	}
	if got := ask("instance-status.status", "ok"); len(got) != 2 {
		t.Errorf("well: %+v", got)
	}
}
