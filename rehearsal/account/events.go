package account

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// DefaultEventBus is the bus that AWS's own services send their events to, and
// the only one there is.
const DefaultEventBus = "default"

// maxTargets is the quota of targets a rule ("Amazon EventBridge quotas").
const maxTargets = 5

type eventsState struct {
	rules map[string]*eventRule // by name
}

func (s *eventsState) init() { *s = eventsState{rules: map[string]*eventRule{}} }

func (s *eventsState) leftovers(add func(string, []string)) {
	add("AWS::Events::Rule", sortedKeys(s.rules))
}

// EventRule picks events of a bus.
type EventRule struct {
	Name, ARN, EventBusName, Description string
	// EventPattern is JSON, ScheduleExpression rate(…) or cron(…); one of them
	// is set at least.
	EventPattern, ScheduleExpression string
	// State is ENABLED or DISABLED.
	State, RoleARN string
	Tags           Tags
}

// EventTarget is where a rule sends what it picks.
type EventTarget struct{ ID, ARN, RoleARN, Input, InputPath string }

type eventRule struct {
	EventRule
	targets []EventTarget
}

func (r *eventRule) clone() EventRule {
	c := r.EventRule
	c.Tags = r.Tags.with(nil)
	return c
}

// PutRule makes a rule or changes the one of that name; its ARN and tags stay.
func (a *Account) PutRule(in EventRule) (EventRule, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := checkBus(in.EventBusName); err != nil {
		return EventRule{}, err
	}
	if len(in.Name) == 0 || len(in.Name) > 64 || !regexp.MustCompile(`^[.\-_A-Za-z0-9]+$`).MatchString(in.Name) {
		return EventRule{}, refuse("ValidationException", "Value '%s' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+ and have 1 to 64 characters", in.Name)
	}
	if in.EventPattern == "" && in.ScheduleExpression == "" {
		return EventRule{}, refuse("ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified.")
	}
	if in.EventPattern != "" {
		if err := CheckEventPattern(in.EventPattern); err != nil {
			return EventRule{}, err
		}
	}
	if s := in.ScheduleExpression; s != "" && !regexp.MustCompile(`^(rate|cron)\(.+\)$`).MatchString(s) {
		return EventRule{}, refuse("ValidationException", "Parameter ScheduleExpression is not valid.")
	}
	if err := in.Tags.check("ValidationException"); err != nil {
		return EventRule{}, err
	}
	if in.State == "" {
		in.State = "ENABLED"
	}
	in.EventBusName, in.ARN = DefaultEventBus, a.arn("events", "rule/"+in.Name)
	r, ok := a.events.rules[in.Name]
	if !ok {
		r = &eventRule{}
		a.events.rules[in.Name] = r
		r.Tags = in.Tags.with(nil)
	}
	in.Tags = r.Tags
	r.EventRule = in
	return r.clone(), nil
}

func checkBus(name string) error {
	if name != "" && name != DefaultEventBus {
		return jsonNotFound("Event bus %s does not exist.", name)
	}
	return nil
}

// CheckEventPattern tells why EventBridge would refuse a pattern: it is a JSON
// object whose leaves are arrays of values or of matchers ("Creating Amazon
// EventBridge event patterns"). nil where it would not.
func CheckEventPattern(pattern string) error {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal([]byte(pattern), &doc); err != nil {
		return refuse("InvalidEventPatternException", "Event pattern is not valid. Reason: %s", err)
	}
	return checkPatternObject("", doc)
}

func checkPatternObject(path string, doc map[string]json.RawMessage) error {
	if len(doc) == 0 {
		return refuse("InvalidEventPatternException", "Event pattern is not valid. Reason: Empty objects are not allowed")
	}
	for _, k := range sortedKeys(doc) {
		at := strings.TrimPrefix(path+"."+k, ".")
		var list []json.RawMessage
		var obj map[string]json.RawMessage
		switch {
		case json.Unmarshal(doc[k], &list) == nil && list != nil:
			if len(list) == 0 {
				return refuse("InvalidEventPatternException", "Event pattern is not valid. Reason: Empty arrays are not allowed at %s", at)
			}
		case json.Unmarshal(doc[k], &obj) == nil && obj != nil:
			if err := checkPatternObject(at, obj); err != nil {
				return err
			}
		default:
			return refuse("InvalidEventPatternException", "Event pattern is not valid. Reason: \"%s\" must be an object or an array", at)
		}
	}
	return nil
}

func (a *Account) rule(bus, name string) (*eventRule, error) {
	if err := checkBus(bus); err != nil {
		return nil, err
	}
	if r, ok := a.events.rules[name]; ok {
		return r, nil
	}
	return nil, jsonNotFound("Rule %s does not exist on EventBus %s.", name, DefaultEventBus)
}

// DescribeRule finds a rule; bus "" is the default one.
func (a *Account) DescribeRule(bus, name string) (EventRule, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.rule(bus, name)
	if err != nil {
		return EventRule{}, err
	}
	return r.clone(), nil
}

// ListRules lists the rules, by name.
func (a *Account) ListRules() []EventRule {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []EventRule
	for _, name := range sortedKeys(a.events.rules) {
		out = append(out, a.events.rules[name].clone())
	}
	return out
}

// TagRule is TagResource of a rule.
func (a *Account) TagRule(name string, tags Tags) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.rule("", name)
	if err != nil {
		return err
	}
	if err := r.Tags.with(tags).check("ValidationException"); err != nil {
		return err
	}
	r.Tags = r.Tags.with(tags)
	return nil
}

// UntagRule is UntagResource of a rule: it takes tags off by key.
func (a *Account) UntagRule(name string, keys []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.rule("", name)
	if err != nil {
		return err
	}
	r.Tags = r.Tags.without(keys)
	return nil
}

// DeleteRule deletes a rule without targets; one that is not there is no
// error.
func (a *Account) DeleteRule(bus, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := checkBus(bus); err != nil {
		return err
	}
	r, ok := a.events.rules[name]
	if !ok {
		return nil
	}
	if len(r.targets) > 0 {
		return refuse("ValidationException", "Rule can't be deleted since it has targets.")
	}
	delete(a.events.rules, name)
	return nil
}

// PutTarget is PutTargets of one target: it adds the target or changes the one
// of that ID. EventBridge does not look at whether the target exists, nor
// whether it may be sent to.
func (a *Account) PutTarget(bus, rule string, target EventTarget) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.rule(bus, rule)
	if err != nil {
		return err
	}
	if len(target.ID) > 64 || !regexp.MustCompile(`^[.\-_A-Za-z0-9]+$`).MatchString(target.ID) {
		return refuse("ValidationException", "Value '%s' at 'targets.1.member.id' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+ and have 1 to 64 characters", target.ID)
	}
	if !strings.HasPrefix(target.ARN, "arn:") {
		return refuse("ValidationException", "Parameter %s is not valid. Reason: Provided Arn is not in correct format.", target.ARN)
	}
	at := slices.IndexFunc(r.targets, func(t EventTarget) bool { return t.ID == target.ID })
	targets := slices.Clone(r.targets)
	switch {
	case at >= 0:
		targets[at] = target
	case len(targets) >= maxTargets:
		return refuse("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
	default:
		targets = append(targets, target)
	}
	r.targets = targets
	return nil
}

// ListTargetsByRule lists a rule's targets in the order they were put.
func (a *Account) ListTargetsByRule(bus, rule string) ([]EventTarget, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.rule(bus, rule)
	if err != nil {
		return nil, err
	}
	return slices.Clone(r.targets), nil
}

// RemoveTarget is RemoveTargets of one target; one that is not there is no
// error.
func (a *Account) RemoveTarget(bus, rule, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.rule(bus, rule)
	if err != nil {
		return err
	}
	r.targets = slices.DeleteFunc(slices.Clone(r.targets), func(t EventTarget) bool { return t.ID == id })
	return nil
}
