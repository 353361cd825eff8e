package account_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

const queueURL = "https://sqs.us-west-2.amazonaws.com/111122223333/q"

func TestSQSEventsLogsRefuse(t *testing.T) {
	t.Parallel()
	pattern := account.EventRule{Name: "r", EventPattern: `{"source":["aws.ec2"]}`}
	target := account.EventTarget{ID: "t", ARN: "arn:aws:sqs:us-west-2:111122223333:q"}
	tests := map[string]struct {
		do            func(t *testing.T, a *account.Account) error
		code, message string
	}{
		"a queue that is not there": {
			func(_ *testing.T, a *account.Account) error { _, err := a.GetQueue(queueURL); return err },
			"AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.",
		},
		"a queue of other attributes": {
			func(t *testing.T, a *account.Account) error {
				_, err := a.CreateQueue("q", nil, nil)
				ok(t, err)
				_, err = a.CreateQueue("q", map[string]string{"DelaySeconds": "5"}, nil)
				return err
			},
			"QueueAlreadyExists", "A queue already exists with the same name and a different value for attribute DelaySeconds",
		},
		"a retention out of range": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateQueue("q", map[string]string{"MessageRetentionPeriod": "59"}, nil)
				return err
			},
			"InvalidAttributeValue", "Invalid value for the parameter MessageRetentionPeriod. (59; allowed are 60 to 1209600)",
		},
		"an attribute SQS does not have": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateQueue("q", map[string]string{"Retention": "60"}, nil)
				return err
			},
			"InvalidAttributeName", "Unknown Attribute Retention.",
		},
		"a queue's name": {
			func(_ *testing.T, a *account.Account) error { _, err := a.CreateQueue("q.q", nil, nil); return err },
			"InvalidParameterValue", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
		},
		"a rule of no pattern": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.PutRule(account.EventRule{Name: "r"})
				return err
			},
			"ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified.",
		},
		"a pattern without an array": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.PutRule(account.EventRule{Name: "r", EventPattern: `{"detail":{"state":"running"}}`})
				return err
			},
			"InvalidEventPatternException", `Event pattern is not valid. Reason: "detail.state" must be an object or an array`,
		},
		"a bus that is not there": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.PutRule(account.EventRule{Name: "r", EventBusName: "b", EventPattern: `{"source":["x"]}`})
				return err
			},
			"ResourceNotFoundException", "Event bus b does not exist.",
		},
		"a target of no rule": {
			func(_ *testing.T, a *account.Account) error { return a.PutTarget("", "r", target) },
			"ResourceNotFoundException", "Rule r does not exist on EventBus default.",
		},
		"to delete a rule with targets": {
			func(t *testing.T, a *account.Account) error {
				_, err := a.PutRule(pattern)
				ok(t, err)
				ok(t, a.PutTarget("", "r", target))
				return a.DeleteRule("", "r")
			},
			"ValidationException", "Rule can't be deleted since it has targets.",
		},
		"a sixth target": {
			func(t *testing.T, a *account.Account) error {
				_, err := a.PutRule(pattern)
				ok(t, err)
				for _, id := range []string{"1", "2", "3", "4", "5", "6"} {
					if err := a.PutTarget("", "r", account.EventTarget{ID: id, ARN: target.ARN}); err != nil {
						return err
					}
				}
				return nil
			},
			"LimitExceededException", "The requested resource exceeds the maximum number allowed.",
		},
		"a second log group of a name": {
			func(t *testing.T, a *account.Account) error {
				_, err := a.CreateLogGroup("/g", "", nil)
				ok(t, err)
				_, err = a.CreateLogGroup("/g", "", nil)
				return err
			},
			"ResourceAlreadyExistsException", "The specified log group already exists",
		},
		"a log group that is not there": {
			func(_ *testing.T, a *account.Account) error { return a.DeleteLogGroup("/g") },
			"ResourceNotFoundException", "The specified log group does not exist.",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefusal(t, tc.do(t, open(t, "us-west-2", "")), tc.code, tc.message)
		})
	}
}

func TestQueuePolicyMustBeOne(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	_, err := a.CreateQueue("q", nil, nil)
	ok(t, err)
	if err := a.SetQueueAttributes(queueURL, map[string]string{"Policy": allowAll}); !account.IsCode(err, "InvalidAttributeValue") {
		t.Errorf("a policy without a principal: %v", err)
	}
	q, err := a.GetQueue(queueURL)
	if _, set := must(t, q, err).Attributes["Policy"]; set {
		t.Error("the refused policy is set")
	}
}

func TestRetentionMustBeOneOfTheList(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	_, err := a.CreateLogGroup("/g", "", nil)
	ok(t, err)
	if err := a.PutRetentionPolicy("/g", 31); !account.IsCode(err, "InvalidParameterException") {
		t.Errorf("31 days: %v", err)
	}
}

func TestServicesRoundTrip(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	q, err := a.CreateQueue("q", map[string]string{"MessageRetentionPeriod": "300", "SqsManagedSseEnabled": "true"}, account.Tags{"k": "v"})
	must(t, q, err)
	again, err := a.CreateQueue("q", map[string]string{"MessageRetentionPeriod": "300"}, nil)
	if d := cmp.Diff(q, must(t, again, err)); d != "" {
		t.Errorf("the same queue again (-first +second):\n%s", d)
	}
	if q.URL != queueURL || q.ARN != "arn:aws:sqs:us-west-2:111122223333:q" || q.Attributes["VisibilityTimeout"] != "30" {
		t.Errorf("queue = %+v", q)
	}
	ok(t, a.UntagQueue(queueURL, []string{"k"}))

	r, err := a.PutRule(account.EventRule{Name: "r", EventPattern: `{"source":["aws.ec2"],"detail":{"state":[{"prefix":"run"}]}}`, Tags: account.Tags{"k": "v"}})
	must(t, r, err)
	r, err = a.PutRule(account.EventRule{Name: "r", EventPattern: `{"source":["aws.health"]}`, State: "DISABLED"})
	if must(t, r, err).Tags["k"] != "v" || r.State != "DISABLED" {
		t.Errorf("changed rule = %+v", r)
	}
	ok(t, a.PutTarget("", "r", account.EventTarget{ID: "t", ARN: q.ARN}))
	targets, err := a.ListTargetsByRule("", "r")
	if d := cmp.Diff([]account.EventTarget{{ID: "t", ARN: q.ARN}}, must(t, targets, err)); d != "" {
		t.Errorf("targets (-want +got):\n%s", d)
	}
	ok(t, a.RemoveTarget("", "r", "t"))
	ok(t, a.DeleteRule("default", "r"))
	ok(t, a.DeleteRule("default", "r"))
	ok(t, a.DeleteQueue(queueURL))

	g, err := a.CreateLogGroup("/g", "", account.Tags{"k": "v"})
	must(t, g, err)
	ok(t, a.PutRetentionPolicy("/g", 30))
	if g, err = a.DescribeLogGroup("/g"); must(t, g, err).RetentionInDays != 30 || g.Class != "STANDARD" {
		t.Errorf("log group = %+v", g)
	}
	ok(t, a.DeleteLogGroup("/g"))
	wantEmpty(t, a)
}
