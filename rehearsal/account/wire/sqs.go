package wire

import (
	"strconv"
	"time"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// sqsOperations are the SQS actions that Karpenter and people at a shell use.
func sqsOperations() map[string]operation {
	return map[string]operation{
		"DeleteMessage":      (*call).deleteMessage,
		"GetQueueAttributes": (*call).getQueueAttributes,
		"GetQueueUrl":        (*call).getQueueURL,
		"ListQueueTags":      (*call).listQueueTags,
		"ListQueues":         (*call).listQueues,
		"ReceiveMessage":     (*call).receiveMessage,
		"SendMessage":        (*call).sendMessage,
	}
}

// onQueue authorises an action on the queue of a URL. A queue that is not there is an error, which
// SQS tells before it asks IAM.
func (c *call) onQueue(url string) error {
	q, err := c.account.GetQueue(url)
	if err != nil {
		return err
	}
	return c.authorizeQueue(q)
}

func (c *call) authorizeQueue(q account.Queue) error {
	return c.authorize(authz.Call{Action: "sqs:" + c.action, Targets: []authz.Target{{Type: "queue", ARN: q.ARN, Tags: q.Tags}}})
}

func (c *call) getQueueURL() (any, error) {
	var in struct {
		QueueName              string
		QueueOwnerAWSAccountId string //nolint:revive,staticcheck // SQS's name
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	q, err := c.account.QueueNamed(in.QueueName)
	if err != nil {
		return nil, err
	}
	if err := c.authorizeQueue(q); err != nil {
		return nil, err
	}
	return map[string]string{"QueueUrl": q.URL}, nil
}

func (c *call) listQueues() (any, error) {
	var in struct {
		QueueNamePrefix, NextToken string
		MaxResults                 int
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.authorize(authz.Call{Action: "sqs:ListQueues"}); err != nil {
		return nil, err
	}
	items, next, err := page(c.account.ListQueues(in.QueueNamePrefix), in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return struct {
		QueueUrls []string
		NextToken string `json:",omitempty"`
	}{items, next}, nil
}

func (c *call) listQueueTags() (any, error) {
	var in struct {
		QueueUrl string //nolint:revive,staticcheck // SQS's name
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.onQueue(in.QueueUrl); err != nil {
		return nil, err
	}
	q, err := c.account.GetQueue(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	return struct {
		Tags account.Tags `json:",omitempty"`
	}{q.Tags}, nil
}

func (c *call) getQueueAttributes() (any, error) {
	var in struct {
		QueueUrl       string //nolint:revive,staticcheck // SQS's name
		AttributeNames []string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.onQueue(in.QueueUrl); err != nil {
		return nil, err
	}
	q, err := c.account.GetQueue(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	q.Attributes["QueueArn"] = q.ARN
	attributes := map[string]string{}
	for k, v := range q.Attributes {
		if contains(in.AttributeNames, k) || contains(in.AttributeNames, "All") {
			attributes[k] = v
		}
	}
	return map[string]any{"Attributes": attributes}, nil
}

func (c *call) sendMessage() (any, error) {
	var in struct {
		QueueUrl    string //nolint:revive,staticcheck // SQS's name
		MessageBody string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.onQueue(in.QueueUrl); err != nil {
		return nil, err
	}
	m, err := c.account.SendMessage(in.QueueUrl, in.MessageBody)
	if err != nil {
		return nil, err
	}
	return map[string]string{"MessageId": m.ID, "MD5OfMessageBody": m.MD5}, nil
}

func (c *call) receiveMessage() (any, error) {
	var in struct {
		QueueUrl                    string //nolint:revive,staticcheck // SQS's name
		MaxNumberOfMessages         *int
		VisibilityTimeout           *int
		WaitTimeSeconds             *int
		AttributeNames              []string
		MessageSystemAttributeNames []string
		// MessageAttributeNames asks for attributes of the sender's own; nobody here sends any.
		MessageAttributeNames []string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.onQueue(in.QueueUrl); err != nil {
		return nil, err
	}
	number, seconds := 1, func(p *int) time.Duration {
		if p == nil {
			return -1
		}
		return time.Duration(*p) * time.Second
	}
	if in.MaxNumberOfMessages != nil {
		number = *in.MaxNumberOfMessages
	}
	got, err := c.account.ReceiveMessage(c.ctx, in.QueueUrl, number, seconds(in.VisibilityTimeout), seconds(in.WaitTimeSeconds))
	if err != nil {
		return nil, err
	}
	type message struct {
		MessageId, ReceiptHandle, MD5OfBody, Body string            //nolint:revive,staticcheck // SQS's names
		Attributes                                map[string]string `json:",omitempty"`
	}
	out := struct {
		Messages []message `json:",omitempty"`
	}{}
	names := append(in.AttributeNames, in.MessageSystemAttributeNames...)
	for _, m := range got {
		x := message{m.ID, m.ReceiptHandle, m.MD5, m.Body, map[string]string{}}
		for k, v := range map[string]string{
			"SentTimestamp":                    strconv.FormatInt(m.Sent.UnixMilli(), 10),
			"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.FirstReceived.UnixMilli(), 10),
			"ApproximateReceiveCount":          strconv.Itoa(m.Receives),
		} {
			if contains(names, k) || contains(names, "All") {
				x.Attributes[k] = v
			}
		}
		out.Messages = append(out.Messages, x)
	}
	return out, nil
}

func (c *call) deleteMessage() (any, error) {
	var in struct {
		QueueUrl, ReceiptHandle string //nolint:revive,staticcheck // SQS's names
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.onQueue(in.QueueUrl); err != nil {
		return nil, err
	}
	return nil, c.account.DeleteMessage(in.QueueUrl, in.ReceiptHandle)
}
