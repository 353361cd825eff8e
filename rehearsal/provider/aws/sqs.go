package aws

import (
	"maps"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// sqsKinds are from internal/service/sqs/queue.go and queue_policy.go.
func sqsKinds() map[string]*kind {
	return map[string]*kind{
		"aws:sqs/queue:Queue": {
			name: "name", maxName: 80, tagged: true,
			schema: schema{
				"name":                         {},
				"delaySeconds":                 {def: 0},
				"maxMessageSize":               {def: 262144},
				"messageRetentionSeconds":      {def: 345600},
				"receiveWaitTimeSeconds":       {def: 0},
				"visibilityTimeoutSeconds":     {def: 30},
				"kmsMasterKeyId":               {},
				"kmsDataKeyReusePeriodSeconds": {computed: true},
				"sqsManagedSseEnabled":         {computed: true},
				"fifoQueue":                    {def: false},
				"contentBasedDeduplication":    {def: false},
				"deduplicationScope":           {computed: true},
				"fifoThroughputLimit":          {computed: true},
				"policy":                       {computed: true, json: "JSON policy"},
				"redrivePolicy":                {computed: true, json: "JSON"},
				"redriveAllowPolicy":           {computed: true, json: "JSON"},
				"arn":                          {output: true},
				"url":                          {output: true},
			},
			replace: []string{"name", "fifoQueue"},
			create:  createQueue, read: readQueue, update: updateQueue, tag: tagQueue,
			destroy: func(c *call) error {
				return c.do("deleting SQS Queue ("+c.id+")", "SQS", "DeleteQueue", func() error {
					return c.DeleteQueue(c.id)
				})
			},
		},
		"aws:sqs/queuePolicy:QueuePolicy": {
			schema:  schema{"queueUrl": {required: true}, "policy": {required: true, json: "JSON policy"}},
			replace: []string{"queueUrl"},
			create: func(c *call) (string, error) {
				return c.str("queueUrl"), putQueuePolicy(c)
			},
			read: readQueuePolicy, update: putQueuePolicy,
			destroy: func(c *call) error {
				return c.do("deleting SQS Queue ("+c.id+") attribute (Policy)", "SQS", "SetQueueAttributes", func() error {
					return c.SetQueueAttributes(c.id, map[string]string{"Policy": ""})
				})
			},
		},
	}
}

// queueAttributes are SQS's names of a queue's inputs.
func queueAttributes() map[string]string {
	return map[string]string{
		"delaySeconds": "DelaySeconds", "maxMessageSize": "MaximumMessageSize", "messageRetentionSeconds": "MessageRetentionPeriod",
		"receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds", "visibilityTimeoutSeconds": "VisibilityTimeout",
		"kmsMasterKeyId": "KmsMasterKeyId", "kmsDataKeyReusePeriodSeconds": "KmsDataKeyReusePeriodSeconds",
		"sqsManagedSseEnabled": "SqsManagedSseEnabled", "policy": "Policy", "redrivePolicy": "RedrivePolicy",
		"redriveAllowPolicy": "RedriveAllowPolicy", "fifoQueue": "FifoQueue", "contentBasedDeduplication": "ContentBasedDeduplication",
		"deduplicationScope": "DeduplicationScope", "fifoThroughputLimit": "FifoThroughputLimit",
	}
}

// wantedAttributes are the attributes that inputs set. Those that only FIFO
// queues have are left out of others.
func wantedAttributes(in props) map[string]string {
	out := map[string]string{}
	for key, name := range queueAttributes() {
		fifo := strings.HasPrefix(key, "fifo") || key == "contentBasedDeduplication" || key == "deduplicationScope"
		if v := provider.String(in, key); v != "" && (!fifo || provider.Bool(in, "fifoQueue")) {
			out[name] = v
		}
	}
	return out
}

func createQueue(c *call) (string, error) {
	q, err := send(c, "creating SQS Queue ("+c.str("name")+")", "SQS", "CreateQueue", func() (account.Queue, error) {
		return c.CreateQueue(c.str("name"), wantedAttributes(c.in), c.tags)
	})
	if err != nil {
		return "", err
	}
	return q.URL, nil
}

func readQueue(c *call) (props, account.Tags, error) {
	q, err := send(c, "reading SQS Queue ("+c.id+")", "SQS", "GetQueueAttributes", func() (account.Queue, error) {
		return c.GetQueue(c.id)
	})
	if err != nil {
		return nil, nil, err
	}
	out := map[string]any{
		"name": q.Name, "arn": q.ARN, "url": q.URL, "fifoQueue": false, "contentBasedDeduplication": false,
		"kmsDataKeyReusePeriodSeconds": 300, "policy": "", "redrivePolicy": "", "redriveAllowPolicy": "",
	}
	for key, name := range queueAttributes() {
		v, ok := q.Attributes[name]
		if !ok {
			continue
		}
		out[key] = v
		if n, err := strconv.Atoi(v); err == nil {
			out[key] = n
		} else if b, err := strconv.ParseBool(v); err == nil {
			out[key] = b
		}
	}
	return object(out), q.Tags, nil
}

// updateQueue sets what is wanted and clears what was and is no more.
func updateQueue(c *call) error {
	was, want := wantedAttributes(c.old), wantedAttributes(c.in)
	change := map[string]string{}
	for _, name := range queueAttributes() {
		if was[name] != want[name] {
			change[name] = want[name]
		}
	}
	maps.DeleteFunc(change, func(name, v string) bool {
		clearable := strings.HasSuffix(name, "Policy") || name == "KmsMasterKeyId"
		return v == "" && !clearable
	})
	if len(change) == 0 {
		return nil
	}
	return c.do("updating SQS Queue ("+c.id+") attributes", "SQS", "SetQueueAttributes", func() error {
		return c.SetQueueAttributes(c.id, change)
	})
}

func tagQueue(c *call, set account.Tags, remove []string) error {
	doing := "updating tags for SQS Queue (" + c.id + ")"
	if len(remove) > 0 {
		if err := c.do(doing, "SQS", "UntagQueue", func() error {
			return c.UntagQueue(c.id, remove)
		}); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	return c.do(doing, "SQS", "TagQueue", func() error {
		return c.TagQueue(c.id, set)
	})
}

func putQueuePolicy(c *call) error {
	url := c.str("queueUrl")
	return c.do("setting SQS Queue ("+url+") attribute (Policy)", "SQS", "SetQueueAttributes", func() error {
		return c.SetQueueAttributes(url, map[string]string{"Policy": c.str("policy")})
	})
}

func readQueuePolicy(c *call) (props, account.Tags, error) {
	doing := "reading SQS Queue (" + c.id + ") attribute (Policy)"
	q, err := send(c, doing, "SQS", "GetQueueAttributes", func() (account.Queue, error) {
		return c.GetQueue(c.id)
	})
	if err != nil {
		return nil, nil, err
	}
	policy, ok := q.Attributes["Policy"]
	if !ok {
		return nil, nil, notFound(doing)
	}
	return props{"queueUrl": resource.NewStringProperty(c.id), "policy": resource.NewStringProperty(policy)}, nil, nil
}
