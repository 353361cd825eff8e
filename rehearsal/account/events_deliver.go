package account

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"eks-gpu-slicing/rehearsal/account/authz"
)

// FailedInvocation is an event that a rule picked and that did not reach a target. EventBridge
// counts such events in the metric FailedInvocations and drops them.
type FailedInvocation struct{ Rule, TargetARN, DetailType, Reason string }

// FailedInvocations lists the events that did not reach their target, oldest first.
func (a *Account) FailedInvocations() []FailedInvocation {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.compute.failed)
}

// SendEvent sends an event of an AWS service through the account's rules, as EventBridge does. The
// detail is put into JSON.
func (a *Account) SendEvent(source, detailType string, resources []string, detail any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.emit(source, detailType, resources, detail)
}

// emit builds the event ("AWS service event metadata" in the EventBridge User Guide) and hands it
// to the targets of every rule that picks it.
func (a *Account) emit(source, detailType string, resources []string, detail any) {
	if len(a.events.rules) == 0 {
		return
	}
	event := map[string]any{
		"version": "0", "id": a.nextUUID(), "detail-type": detailType, "source": source, "account": ID,
		"time": a.timestamp().Format("2006-01-02T15:04:05Z"), "region": a.region, "resources": resources, "detail": detail,
	}
	text, err := json.Marshal(event)
	if err != nil {
		a.compute.failed = append(a.compute.failed, FailedInvocation{DetailType: detailType, Reason: err.Error()})
		return
	}
	var plain map[string]any
	if err := json.Unmarshal(text, &plain); err != nil {
		a.compute.failed = append(a.compute.failed, FailedInvocation{DetailType: detailType, Reason: err.Error()})
		return
	}
	for _, name := range sortedKeys(a.events.rules) {
		r := a.events.rules[name]
		if r.State != "ENABLED" || r.EventPattern == "" {
			continue
		}
		fail := func(target, reason string) {
			a.compute.failed = append(a.compute.failed, FailedInvocation{Rule: name, TargetARN: target, DetailType: detailType, Reason: reason})
		}
		var pattern map[string]any
		if err := json.Unmarshal([]byte(r.EventPattern), &pattern); err != nil {
			fail("", err.Error())
			continue
		}
		picked, err := matchObject(pattern, plain)
		if err != nil {
			fail("", err.Error())
			continue
		}
		for _, t := range r.targets {
			if !picked {
				break
			}
			if err := a.deliver(r, t, string(text)); err != nil {
				fail(t.ARN, err.Error())
			}
		}
	}
}

// deliver puts an event into a target, which must be a queue of this account whose policy lets
// EventBridge send for this rule.
func (a *Account) deliver(r *eventRule, t EventTarget, body string) error {
	at := slices.IndexFunc(sortedKeys(a.sqs.queues), func(url string) bool { return a.sqs.queues[url].ARN == t.ARN })
	if at < 0 {
		return fmt.Errorf("no queue %s; the rehearsal delivers to SQS queues only", t.ARN)
	}
	q := a.sqs.queues[sortedKeys(a.sqs.queues)[at]]
	if t.InputPath != "" && t.InputPath != "$" {
		return fmt.Errorf("InputPath %s: the rehearsal hands on whole events or a constant Input", t.InputPath)
	}
	if t.Input != "" {
		body = t.Input
	}
	req := authz.Request{
		Principal: authz.Principal{Service: "events.amazonaws.com"}, Action: "sqs:SendMessage", Resource: q.ARN, Account: ID,
		Context: map[string][]string{"aws:SourceArn": {r.ARN}, "aws:SourceAccount": {ID}, "aws:SecureTransport": {"true"}},
	}
	var policies []*authz.Policy
	if q.policy != nil {
		policies = append(policies, q.policy)
	}
	if d := authz.Evaluate(req, policies...); !d.Allowed {
		return fmt.Errorf("%s (%s)", d.Message(), d.Reason())
	}
	a.send(q, body)
	return nil
}

// matchObject tells whether an event has what a pattern wants ("Amazon EventBridge event patterns"):
// every field of the pattern is there, and holds one of the values.
func matchObject(pattern, event map[string]any) (bool, error) {
	for _, key := range sortedKeys(pattern) {
		value, there := event[key]
		switch want := pattern[key].(type) {
		case map[string]any:
			inner, _ := value.(map[string]any)
			ok, err := matchObject(want, inner)
			if err != nil || !ok {
				return false, err
			}
		case []any:
			ok, err := matchAnyOf(want, value, there)
			if err != nil || !ok {
				return false, err
			}
		default:
			return false, fmt.Errorf("%q must be an object or an array", key)
		}
	}
	return true, nil
}

// matchAnyOf tells whether a field holds one of the values; of a field that is an array, any
// element will do.
func matchAnyOf(want []any, value any, there bool) (bool, error) {
	values, isList := value.([]any)
	if !isList {
		values = []any{value}
	}
	for _, w := range want {
		m, isMatcher := w.(map[string]any)
		if isMatcher {
			if exists, ok := m["exists"].(bool); ok && len(m) == 1 {
				if exists == there {
					return true, nil
				}
				continue
			}
		}
		if !there {
			continue
		}
		for _, v := range values {
			ok, err := v == w, error(nil)
			if isMatcher {
				ok, err = matchWith(m, v)
			}
			if err != nil || ok {
				return ok, err
			}
		}
	}
	return false, nil
}

// matchWith applies a matcher such as {"prefix": "i-"}. One that is not simulated is an error, so
// that it does not look like an event that was not wanted.
func matchWith(matcher map[string]any, value any) (bool, error) {
	for name, arg := range matcher {
		text, isText := value.(string)
		switch name {
		case "prefix", "suffix", "equals-ignore-case":
			a, ok := arg.(string)
			if !ok {
				return false, fmt.Errorf("the matcher %s takes a string", name)
			}
			match := map[string]func(string, string) bool{"prefix": strings.HasPrefix, "suffix": strings.HasSuffix, "equals-ignore-case": strings.EqualFold}[name]
			return isText && match(text, a), nil
		case "anything-but":
			but, isList := arg.([]any)
			if !isList {
				but = []any{arg}
			}
			for _, b := range but {
				if m, ok := b.(map[string]any); ok {
					hit, err := matchWith(m, value)
					if err != nil || hit {
						return false, err
					}
				} else if b == value {
					return false, nil
				}
			}
			return true, nil
		case "numeric":
			return matchNumeric(arg, value)
		default:
			return false, fmt.Errorf("the matcher %s is not simulated; prefix, suffix, equals-ignore-case, anything-but, numeric and exists are", name)
		}
	}
	return false, fmt.Errorf("a matcher must not be empty")
}

func matchNumeric(arg, value any) (bool, error) {
	list, ok := arg.([]any)
	if !ok || len(list) == 0 || len(list)%2 != 0 {
		return false, fmt.Errorf("the matcher numeric takes pairs of a comparison and a number")
	}
	got, isNumber := value.(float64)
	for i := 0; i < len(list); i += 2 {
		want, ok := list[i+1].(float64)
		if !ok {
			return false, fmt.Errorf("the matcher numeric takes numbers, not %v", list[i+1])
		}
		holds, known := map[any]bool{"=": got == want, "<": got < want, "<=": got <= want, ">": got > want, ">=": got >= want}[list[i]]
		if !known {
			return false, fmt.Errorf("the matcher numeric compares by =, <, <=, > and >=, not %s", strconv.Quote(fmt.Sprint(list[i])))
		}
		if !isNumber || !holds {
			return false, nil
		}
	}
	return true, nil
}
