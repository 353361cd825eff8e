package account_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"eks-gpu-slicing/rehearsal/account"
)

// TestEventPatterns: which rules an event goes through.
func TestEventPatterns(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]bool{
		`{"source":["aws.health"]}`:                                                  false,
		`{"source":["aws.ec2"],"detail-type":["Other"]}`:                             false,
		`{"detail":{"state":["stopped"]}}`:                                           false,
		`{"detail":{"nothing":["x"]}}`:                                               false,
		`{"detail":{"nothing":[{"exists":true}]}}`:                                   false,
		`{"detail":{"state":[{"exists":false}]}}`:                                    false,
		`{"detail":{"state":[{"prefix":"stop"}]}}`:                                   false,
		`{"detail":{"state":[{"anything-but":["running","x"]}]}}`:                    false,
		`{"detail":{"state":[{"anything-but":{"prefix":"run"}}]}}`:                   false,
		`{"detail":{"n":[{"numeric":[">",0,"<",5]}]}}`:                               false,
		`{"detail":{"n":["5"]}}`:                                                     false,
		`{"source":["aws.ec2","aws.health"],"detail-type":["Sample"]}`:               true,
		`{"resources":["arn:b"]}`:                                                    true,
		`{"detail":{"state":["stopped","running"]}}`:                                 true,
		`{"detail":{"state":[{"suffix":"ing"}],"n":[5]}}`:                            true,
		`{"detail":{"state":[{"equals-ignore-case":"RUNNING"}]}}`:                    true,
		`{"detail":{"state":[{"anything-but":"stopped"}]}}`:                          true,
		`{"detail":{"nothing":[{"exists":false}]}}`:                                  true,
		`{"detail":{"n":[{"numeric":[">=",5]}]}}`:                                    true,
		`{"account":["111122223333"],"region":["us-west-2"],"detail":{"ok":[true]}}`: true,
	} {
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			a := open(t, "us-west-2", "")
			q := queueForEvents(t, a)
			_, err := a.PutRule(account.EventRule{Name: "r", EventPattern: pattern})
			ok(t, err)
			ok(t, a.PutTarget("", "r", account.EventTarget{ID: "q", ARN: q.ARN}))
			a.SendEvent("aws.ec2", "Sample", []string{"arn:a", "arn:b"}, map[string]any{"state": "running", "n": 5, "ok": true})
			got, err := a.ReceiveMessage(t.Context(), q.URL, 10, 0, 0)
			if len(must(t, got, err)) > 0 != want {
				t.Errorf("picked %v, want %v (%v)", len(got) > 0, want, a.FailedInvocations())
			}
			if failed := a.FailedInvocations(); len(failed) > 0 {
				t.Errorf("failed %v", failed)
			}
		})
	}
}

func queueForEvents(t *testing.T, a *account.Account) account.Queue {
	t.Helper()
	q, err := a.CreateQueue("q", map[string]string{
		"Policy": `{"Statement":{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*"}}`,
	}, nil)
	return must(t, q, err)
}

// TestLostEvents: an event that cannot be delivered is told of, never silently dropped.
func TestLostEvents(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pattern string
		target  account.EventTarget
		want    string
	}{
		"a matcher that is not simulated": {`{"detail":{"ip":[{"cidr":"10.0.0.0/8"}]}}`, account.EventTarget{ID: "q", ARN: "arn:aws:sqs:us-west-2:111122223333:q"}, "the matcher cidr is not simulated"},
		"no such queue":                   {`{"source":["aws.ec2"]}`, account.EventTarget{ID: "q", ARN: "arn:aws:sqs:us-west-2:111122223333:other"}, "no queue arn:aws:sqs:us-west-2:111122223333:other"},
		"a function":                      {`{"source":["aws.ec2"]}`, account.EventTarget{ID: "f", ARN: "arn:aws:lambda:us-west-2:111122223333:function:f"}, "delivers to SQS queues only"},
		"a part of the event":             {`{"source":["aws.ec2"]}`, account.EventTarget{ID: "q", ARN: "arn:aws:sqs:us-west-2:111122223333:q", InputPath: "$.detail"}, "InputPath $.detail"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, "us-west-2", "")
			queueForEvents(t, a)
			_, err := a.PutRule(account.EventRule{Name: "r", EventPattern: tc.pattern})
			ok(t, err)
			ok(t, a.PutTarget("", "r", tc.target))
			a.SendEvent("aws.ec2", "Sample", nil, map[string]any{"ip": "10.0.0.1"})
			if failed := a.FailedInvocations(); len(failed) != 1 || failed[0].Rule != "r" || !strings.Contains(failed[0].Reason, tc.want) {
				t.Errorf("failed %+v, want %s", failed, tc.want)
			}
		})
	}
	a := open(t, "us-west-2", "")
	q := queueForEvents(t, a)
	_, err := a.PutRule(account.EventRule{Name: "off", State: "DISABLED", EventPattern: `{"source":["aws.ec2"]}`})
	ok(t, err)
	ok(t, a.PutTarget("", "off", account.EventTarget{ID: "q", ARN: q.ARN}))
	a.SendEvent("aws.ec2", "Sample", nil, nil)
	if got, err := a.ReceiveMessage(t.Context(), q.URL, 10, 0, 0); err != nil || len(got) != 0 {
		t.Errorf("a disabled rule delivered %v (%v)", got, err)
	}
}

// TestInterruption: a warning first, the end after the notice; only spot instances can be taken.
func TestInterruption(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := open(t, "us-west-2", "")
		a.SetDelays(account.Delays{SpotNotice: 20 * time.Millisecond})
		q := queueForEvents(t, a)
		_, err := a.PutRule(account.EventRule{Name: "r", EventPattern: `{"detail-type":["EC2 Spot Instance Interruption Warning","EC2 Instance Rebalance Recommendation"]}`})
		ok(t, err)
		ok(t, a.PutTarget("", "r", account.EventTarget{ID: "q", ARN: q.ARN}))
		in := launchInput(t, a)
		onDemand, err := a.RunInstances(in)
		ok(t, err)
		in.Spot = true
		spot, err := a.RunInstances(in)
		ok(t, err)
		for _, take := range []func(string) error{a.InterruptSpotInstance, a.RecommendRebalance} {
			if err := take(onDemand[0].ID); err == nil || !strings.Contains(err.Error(), "is not a live spot instance") {
				t.Errorf("an on-demand instance: %v", err)
			}
			if err := take("i-0"); !account.IsCode(err, "InvalidInstanceID.NotFound") {
				t.Errorf("no instance: %v", err)
			}
		}
		id := spot[0].ID
		ok(t, a.RecommendRebalance(id))
		ok(t, a.InterruptSpotInstance(id))
		messages, err := a.ReceiveMessage(t.Context(), q.URL, 10, 0, 0)
		if len(must(t, messages, err)) != 2 || !strings.Contains(messages[0].Body, "Rebalance") || !strings.Contains(messages[1].Body, `"detail":{"instance-action":"terminate","instance-id":"`+id+`"}`) {
			t.Fatalf("messages %+v", messages)
		}
		if got, err := a.DescribeInstances([]string{id}); err != nil || got[0].State != account.StateRunning {
			t.Errorf("the instance ended with the warning: %+v (%v)", got, err)
		}
		time.Sleep(30 * time.Millisecond) // by the clock of the test's bubble
		synctest.Wait()
		got, err := a.DescribeInstances([]string{id})
		if must(t, got, err)[0].State != account.StateTerminated || got[0].StateReason != "Server.SpotInstanceTermination" {
			t.Errorf("after the notice it is %+v", got[0])
		}
	})
}
