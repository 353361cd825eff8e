package account

import (
	"context"
	"crypto/md5" //nolint:gosec // SQS's own checksum of a message, no secret
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Message is a message in a queue, or received from it.
type Message struct {
	ID, Body, MD5 string
	// ReceiptHandle deletes it; a new one each time it is received.
	ReceiptHandle string
	Sent          time.Time
	// FirstReceived and Receives are of this and earlier receptions.
	FirstReceived time.Time
	Receives      int
}

type message struct {
	Message
	visible time.Time // not received again before
}

// queued are the messages of a queue, with a channel that is closed when one is sent.
type queued struct {
	messages []*message
	sent     chan struct{}
}

func (a *Account) queuedOf(q *queue) *queued {
	if a.compute.queued[q.URL] == nil {
		a.compute.queued[q.URL] = &queued{sent: make(chan struct{})}
	}
	return a.compute.queued[q.URL]
}

// send puts a message into a queue.
func (a *Account) send(q *queue, body string) Message {
	sum := md5.Sum([]byte(body)) //nolint:gosec // see above
	m := &message{Message: Message{ID: a.nextUUID(), Body: body, MD5: hex.EncodeToString(sum[:]), Sent: a.now()}}
	box := a.queuedOf(q)
	box.messages = append(box.messages, m)
	close(box.sent)
	box.sent = make(chan struct{})
	return m.Message
}

// SendMessage puts a message into a queue.
func (a *Account) SendMessage(url, body string) (Message, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q, err := a.queue(url)
	if err != nil {
		return Message{}, err
	}
	if limit, err := strconv.Atoi(q.Attributes["MaximumMessageSize"]); err == nil && len(body) > limit {
		return Message{}, refuse("InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", limit)
	}
	if body == "" {
		return Message{}, refuse("MissingParameter", "The request must contain the parameter MessageBody.")
	}
	return a.send(q, body), nil
}

// ReceiveMessage takes up to maxMessages out of sight for a while (visibility; -1 is the queue's
// own) and waits up to wait for the first one (-1: the queue's own).
func (a *Account) ReceiveMessage(ctx context.Context, url string, maxMessages int, visibility, wait time.Duration) ([]Message, error) {
	if maxMessages < 1 || maxMessages > 10 {
		return nil, refuse("InvalidParameterValue", "Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", maxMessages)
	}
	if wait > 20*time.Second {
		return nil, refuse("InvalidParameterValue", "Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", int(wait.Seconds()))
	}
	var deadline <-chan time.Time
	for {
		got, sent, seconds, err := a.takeMessages(url, maxMessages, visibility)
		if err != nil || len(got) > 0 {
			return got, err
		}
		if deadline == nil {
			if wait < 0 {
				wait = time.Duration(seconds) * time.Second
			}
			timer := time.NewTimer(wait)
			defer timer.Stop()
			deadline = timer.C
		}
		select {
		case <-sent:
		case <-deadline:
			return nil, nil
		case <-ctx.Done():
			return nil, fmt.Errorf("receiving from %s: %w", url, context.Cause(ctx))
		}
	}
}

// takeMessages is one look into the queue. It also returns what tells of the next message and the
// queue's own waiting time.
func (a *Account) takeMessages(url string, maxMessages int, visibility time.Duration) ([]Message, <-chan struct{}, int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q, err := a.queue(url)
	if err != nil {
		return nil, nil, 0, err
	}
	seconds := func(name string) int {
		n, _ := strconv.Atoi(q.Attributes[name]) // checked when it was set
		return n
	}
	if visibility < 0 {
		visibility = time.Duration(seconds("VisibilityTimeout")) * time.Second
	}
	box, now := a.queuedOf(q), a.now()
	retention := time.Duration(seconds("MessageRetentionPeriod")) * time.Second
	box.messages = slices.DeleteFunc(box.messages, func(m *message) bool { return now.Sub(m.Sent) > retention })
	var out []Message
	for _, m := range box.messages {
		if len(out) == maxMessages {
			break
		}
		if now.Before(m.visible) {
			continue
		}
		if m.Receives == 0 {
			m.FirstReceived = now
		}
		m.Receives++
		m.visible, m.ReceiptHandle = now.Add(visibility), a.nextUUID()
		out = append(out, m.Message)
	}
	return out, box.sent, seconds("ReceiveMessageWaitTimeSeconds"), nil
}

// DeleteMessage deletes a received message; one that is gone is no error.
func (a *Account) DeleteMessage(url, receiptHandle string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	q, err := a.queue(url)
	if err != nil {
		return err
	}
	if receiptHandle == "" {
		return refuse("ReceiptHandleIsInvalid", "The input receipt handle \"\" is not a valid receipt handle.")
	}
	box := a.queuedOf(q)
	box.messages = slices.DeleteFunc(box.messages, func(m *message) bool { return m.ReceiptHandle == receiptHandle })
	return nil
}

// QueueNamed finds a queue by name.
func (a *Account) QueueNamed(name string) (Queue, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.sqs.queues {
		if q.Name == name {
			return q.clone(), nil
		}
	}
	_, err := a.queue(name)
	return Queue{}, err
}
