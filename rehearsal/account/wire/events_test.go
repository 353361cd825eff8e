package wire

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"eks-gpu-slicing/rehearsal/account"
)

const queueURL = "https://sqs." + region + ".amazonaws.com/" + account.ID + "/c-karpenter"

const interruptions = `{"Effect":"Allow","Action":["sqs:DeleteMessage","sqs:GetQueueUrl","sqs:ReceiveMessage"],"Resource":"arn:aws:sqs:us-west-2:111122223333:c-karpenter"}`

// TestQueue: the controller reads its own queue and no other, and messages live as SQS's do.
func TestQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.grant("queue", interruptions)
	other, err := w.account.CreateQueue("other", nil, nil)
	w.ok(err)
	pod, admin, ctx := clientsOf(w.config(w.pod())).sqs, clientsOf(w.admin()).sqs, t.Context()

	_, err = pod.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &other.URL})
	wantCode(t, err, "AccessDenied", http.StatusForbidden, "sqs:ReceiveMessage on resource: arn:aws:sqs:us-west-2:111122223333:other")
	_, err = pod.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("other")})
	wantCode(t, err, "AccessDenied", http.StatusForbidden, "sqs:GetQueueUrl")
	_, err = pod.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(queueURL), MessageBody: aws.String("x")})
	wantCode(t, err, "AccessDenied", http.StatusForbidden, "sqs:SendMessage")
	_, err = admin.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("nothing")})
	if _, ok := errors.AsType[*sqstypes.QueueDoesNotExist](err); !ok {
		t.Errorf("a queue that is not there: %v", err)
	}
	_, err = admin.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(queueURL), MaxNumberOfMessages: 11})
	wantCode(t, err, "InvalidParameterValue", http.StatusBadRequest, "Must be between 1 and 10")

	// An explicit deny in the queue's own policy holds against the administrator too.
	w.ok(w.account.SetQueueAttributes(other.URL, map[string]string{"Policy": `{"Statement":{"Effect":"Deny","Principal":"*","Action":"sqs:SendMessage","Resource":"` + other.ARN + `"}}`}))
	_, err = admin.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &other.URL, MessageBody: aws.String("x")})
	wantCode(t, err, "AccessDenied", http.StatusForbidden, "with an explicit deny in a resource-based policy")

	url, err := pod.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("c-karpenter")})
	w.ok(err)
	if *url.QueueUrl != queueURL {
		t.Errorf("queue URL %s", *url.QueueUrl)
	}
	receive := func(visibility, wait int32) []sqstypes.Message {
		out, err := pod.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: url.QueueUrl, MaxNumberOfMessages: 10, VisibilityTimeout: visibility, WaitTimeSeconds: wait, MessageAttributeNames: []string{"All"},
			AttributeNames: []sqstypes.QueueAttributeName{"SentTimestamp"}, //nolint:staticcheck // as Karpenter asks
		})
		w.ok(err)
		return out.Messages
	}
	if got := receive(20, 0); len(got) != 0 {
		t.Fatalf("an empty queue holds %v", got)
	}
	// A long poll ends with the first message.
	go func() {
		time.Sleep(50 * time.Millisecond)
		_, _ = admin.SendMessage(context.WithoutCancel(ctx), &sqs.SendMessageInput{QueueUrl: url.QueueUrl, MessageBody: aws.String("hello")})
	}()
	got := receive(3, 20) // the SDK checks the MD5 of the body
	if len(got) != 1 || *got[0].Body != "hello" || got[0].Attributes["SentTimestamp"] == "" {
		t.Fatalf("received %+v", got)
	}
	if hidden := receive(20, 0); len(hidden) != 0 {
		t.Errorf("a received message is seen again at once: %+v", hidden)
	}
	time.Sleep(3100 * time.Millisecond)
	again := receive(20, 0)
	if len(again) != 1 || *again[0].MessageId != *got[0].MessageId {
		t.Fatalf("a message that was not deleted does not come back: %+v", again)
	}
	_, err = pod.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url.QueueUrl, ReceiptHandle: again[0].ReceiptHandle})
	w.ok(err)
	attributes, err := admin.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: url.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{"QueueArn"}})
	w.ok(err)
	if len(attributes.Attributes) != 1 || attributes.Attributes["QueueArn"] != "arn:aws:sqs:us-west-2:111122223333:c-karpenter" {
		t.Errorf("attributes %v", attributes.Attributes)
	}
}

// TestInstanceEvents: what happens to instances reaches the queue through the rules, if the queue's
// policy lets EventBridge in, in the form Karpenter reads.
func TestInstanceEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.grant("queue", interruptions)
	c, image := w.controller()
	ctx := t.Context()
	_, err := w.account.PutRule(account.EventRule{Name: "state", EventPattern: `{"source":["aws.ec2"],"detail-type":["EC2 Instance State-change Notification"]}`})
	w.ok(err)
	w.ok(w.account.PutTarget("", "state", account.EventTarget{ID: "karpenter", ARN: "arn:aws:sqs:us-west-2:111122223333:c-karpenter"}))
	launch := account.LaunchInput{Data: account.LaunchTemplateData{ImageID: image, InstanceType: "g4dn.xlarge"}, Count: 1}

	// Without a queue policy EventBridge may not send, and the events are lost, not queued.
	_, err = w.account.RunInstances(launch)
	w.ok(err)
	failed := w.account.FailedInvocations()
	if len(failed) != 2 || !strings.Contains(failed[0].Reason, "events.amazonaws.com is not authorized to perform: sqs:SendMessage") {
		t.Fatalf("failed invocations %+v", failed)
	}
	w.ok(w.account.SetQueueAttributes(queueURL, map[string]string{"Policy": `{"Statement":{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage",
		"Resource":"arn:aws:sqs:us-west-2:111122223333:c-karpenter","Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:events:us-west-2:111122223333:rule/state"}}}}`}))
	launched, err := w.account.RunInstances(launch)
	w.ok(err)
	id := launched[0].ID
	_, err = w.account.TerminateInstances(id)
	w.ok(err)
	w.account.SendEvent("aws.health", "AWS Health Event", nil, map[string]string{}) // no rule wants it

	out, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(queueURL), MaxNumberOfMessages: 10})
	w.ok(err)
	var states []string
	for _, m := range out.Messages {
		var event struct {
			Version, ID, Source, Account, Region, Time string
			DetailType                                 string `json:"detail-type"`
			Resources                                  []string
			Detail                                     struct {
				InstanceID string `json:"instance-id"`
				State      string `json:"state"`
			}
		}
		w.ok(json.Unmarshal([]byte(*m.Body), &event))
		if _, err := time.Parse(time.RFC3339, event.Time); err != nil || event.Version != "0" || event.Source != "aws.ec2" || event.Account != account.ID || event.Region != region ||
			event.DetailType != "EC2 Instance State-change Notification" || event.Resources[0] != "arn:aws:ec2:us-west-2:111122223333:instance/"+id || event.Detail.InstanceID != id {
			t.Errorf("event %s", *m.Body)
		}
		states = append(states, event.Detail.State)
	}
	if got := strings.Join(states, " "); got != "pending running shutting-down terminated" {
		t.Errorf("states %s", got)
	}
	if n := len(w.account.FailedInvocations()); n != 2 {
		t.Errorf("%d failed invocations", n)
	}
}
