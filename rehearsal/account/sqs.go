package account

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account/authz"
)

type sqsState struct {
	queues map[string]*queue // by URL
}

func (s *sqsState) init() { *s = sqsState{queues: map[string]*queue{}} }

func (s *sqsState) leftovers(add func(string, []string)) {
	add("AWS::SQS::Queue", sortedKeys(s.queues))
}

// Queue is an SQS queue.
type Queue struct {
	URL, ARN, Name string
	// Attributes are all attributes by their API names, defaults included; an
	// attribute without a value is left out.
	Attributes map[string]string
	Created    time.Time
	Tags       Tags
}

type queue struct {
	Queue
	policy *authz.Policy
}

func (q *queue) clone() Queue {
	c := q.Queue
	c.Attributes, c.Tags = maps.Clone(q.Attributes), q.Tags.with(nil)
	return c
}

// queueRanges are the numeric attributes with smallest, largest and default
// value (API reference, SetQueueAttributes). Times are in seconds, sizes in
// bytes.
func queueRanges() map[string][3]int {
	return map[string][3]int{
		"DelaySeconds":                  {0, 900, 0},
		"MaximumMessageSize":            {1024, 1048576, 262144},
		"MessageRetentionPeriod":        {60, 1209600, 345600},
		"ReceiveMessageWaitTimeSeconds": {0, 20, 0},
		"VisibilityTimeout":             {0, 43200, 30},
		"KmsDataKeyReusePeriodSeconds":  {60, 86400, 300},
	}
}

// CreateQueue makes a queue. As on SQS, a second call with the same name and
// attributes gives the same queue; other attributes are refused.
func (a *Account) CreateQueue(name string, attributes map[string]string, tags Tags) (Queue, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	base := strings.TrimSuffix(name, ".fifo")
	if len(name) > 80 || !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(base) {
		return Queue{}, refuse("InvalidParameterValue", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	if fifo := attributes["FifoQueue"] == "true"; fifo != strings.HasSuffix(name, ".fifo") {
		return Queue{}, refuse("InvalidParameterValue", "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.")
	}
	if err := tags.check("InvalidParameterValue"); err != nil {
		return Queue{}, err
	}
	url := fmt.Sprintf("https://sqs.%s.amazonaws.com/%s/%s", a.region, ID, name)
	if have, ok := a.sqs.queues[url]; ok {
		for _, k := range sortedKeys(attributes) {
			if have.Attributes[k] != attributes[k] {
				return Queue{}, refuse("QueueAlreadyExists", "A queue already exists with the same name and a different value for attribute %s", k)
			}
		}
		return have.clone(), nil
	}
	q := &queue{Queue: Queue{
		URL: url, ARN: a.arn("sqs", name), Name: name, Created: a.timestamp(), Tags: tags.with(nil),
		Attributes: map[string]string{"SqsManagedSseEnabled": "true"},
	}}
	for k, r := range queueRanges() {
		if k != "KmsDataKeyReusePeriodSeconds" {
			q.Attributes[k] = strconv.Itoa(r[2])
		}
	}
	if err := q.set(attributes); err != nil {
		return Queue{}, err
	}
	a.sqs.queues[url] = q
	return q.clone(), nil
}

// set changes all the attributes or none. An empty value takes Policy,
// RedrivePolicy, RedriveAllowPolicy and KmsMasterKeyId away.
func (q *queue) set(attributes map[string]string) error {
	next, policy := maps.Clone(q.Attributes), q.policy
	for _, k := range sortedKeys(attributes) {
		v := attributes[k]
		if r, numeric := queueRanges()[k]; numeric {
			if n, err := strconv.Atoi(v); err != nil || n < r[0] || n > r[1] {
				return refuse("InvalidAttributeValue", "Invalid value for the parameter %s. (%s; allowed are %d to %d)", k, v, r[0], r[1])
			}
			next[k] = v
			continue
		}
		switch k {
		case "Policy":
			policy = nil
			if v != "" {
				var err error
				if policy, err = authz.Parse(authz.Resource, q.ARN, []byte(v)); err != nil {
					return refuse("InvalidAttributeValue", "Invalid value for the parameter Policy. %s", err)
				}
			}
		case "SqsManagedSseEnabled", "FifoQueue", "ContentBasedDeduplication":
			if v != "true" && v != "false" {
				return refuse("InvalidAttributeValue", "Invalid value for the parameter %s. (%s; allowed are true and false)", k, v)
			}
		case "KmsMasterKeyId", "RedrivePolicy", "RedriveAllowPolicy", "DeduplicationScope", "FifoThroughputLimit":
		default:
			return refuse("InvalidAttributeName", "Unknown Attribute %s.", k)
		}
		if next[k] = v; v == "" {
			delete(next, k)
		}
	}
	q.Attributes, q.policy = next, policy
	return nil
}

func (a *Account) queue(url string) (*queue, error) {
	if q, ok := a.sqs.queues[url]; ok {
		return q, nil
	}
	return nil, refuse("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
}

// GetQueue is GetQueueAttributes of all attributes with the tags.
func (a *Account) GetQueue(url string) (Queue, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q, err := a.queue(url)
	if err != nil {
		return Queue{}, err
	}
	return q.clone(), nil
}

// SetQueueAttributes changes attributes, all of them or none.
func (a *Account) SetQueueAttributes(url string, attributes map[string]string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	q, err := a.queue(url)
	if err != nil {
		return err
	}
	return q.set(attributes)
}

// TagQueue sets tags.
func (a *Account) TagQueue(url string, tags Tags) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	q, err := a.queue(url)
	if err != nil {
		return err
	}
	if err := q.Tags.with(tags).check("InvalidParameterValue"); err != nil {
		return err
	}
	q.Tags = q.Tags.with(tags)
	return nil
}

// UntagQueue takes tags off by key.
func (a *Account) UntagQueue(url string, keys []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	q, err := a.queue(url)
	if err != nil {
		return err
	}
	q.Tags = q.Tags.without(keys)
	return nil
}

// ListQueues lists the URLs of queues whose names begin with prefix.
func (a *Account) ListQueues(prefix string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(sortedKeys(a.sqs.queues), func(url string) bool {
		return !strings.HasPrefix(a.sqs.queues[url].Name, prefix)
	})
}

// DeleteQueue deletes a queue with its messages.
func (a *Account) DeleteQueue(url string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.queue(url); err != nil {
		return err
	}
	delete(a.sqs.queues, url)
	delete(a.compute.queued, url)
	return nil
}
