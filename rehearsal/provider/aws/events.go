package aws

import (
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// eventsKinds are from internal/service/events/rule.go and target.go; targets
// of other kinds than a queue or another bus have inputs of their own, which are
// not implemented.
func eventsKinds() map[string]*kind {
	return map[string]*kind{
		"aws:cloudwatch/eventRule:EventRule": {
			name: "name", maxName: 64, tagged: true,
			schema: schema{
				"name":               {},
				"description":        {},
				"eventBusName":       {def: account.DefaultEventBus},
				"eventPattern":       {json: "JSON"},
				"scheduleExpression": {},
				"roleArn":            {},
				"state":              {computed: true, oneOf: []string{"DISABLED", "ENABLED"}},
				"forceDestroy":       {local: true, def: false},
				"arn":                {output: true},
				"isEnabled":          {output: true},
			},
			replace: []string{"name", "eventBusName"},
			check:   checkRule, create: createRule, read: readRule, update: putRule, tag: tagRule,
			destroy: deleteRule,
		},
		"aws:cloudwatch/eventTarget:EventTarget": {
			schema: schema{
				"rule":         {required: true},
				"arn":          {required: true},
				"targetId":     {computed: true},
				"eventBusName": {def: account.DefaultEventBus},
				"forceDestroy": {local: true, def: false},
				"input":        {},
				"inputPath":    {},
				"roleArn":      {},
			},
			replace: []string{"rule", "eventBusName", "targetId"},
			create:  createTarget, read: readTarget, imported: importedTarget,
			update: func(c *call) error { return putTarget(c, c.was("targetId")) },
			destroy: func(c *call) error {
				return c.do("deleting EventBridge Target ("+c.id+")", "EventBridge", "RemoveTargets", func() error {
					return c.RemoveTarget(c.was("eventBusName"), c.was("rule"), c.was("targetId"))
				})
			},
		},
	}
}

// checkRule wants one of pattern and schedule at least.
func checkRule(in props) []plugin.CheckFailure {
	if provider.Has(in, "eventPattern") || provider.Has(in, "scheduleExpression") {
		return nil
	}
	return []plugin.CheckFailure{{Property: "eventPattern", Reason: `Missing required argument. "event_pattern": one of ` + "`event_pattern,schedule_expression`" + ` must be specified`}}
}

func createRule(c *call) (string, error) {
	if err := putRule(c); err != nil {
		return "", err
	}
	return c.str("name"), nil
}

func putRule(c *call) error {
	return c.do("creating EventBridge Rule ("+c.str("name")+")", "EventBridge", "PutRule", func() error {
		_, err := c.PutRule(account.EventRule{
			Name: c.str("name"), EventBusName: c.str("eventBusName"), Description: c.str("description"), EventPattern: c.str("eventPattern"),
			ScheduleExpression: c.str("scheduleExpression"), RoleARN: c.str("roleArn"), State: c.str("state"), Tags: c.tags,
		})
		return err
	})
}

func readRule(c *call) (props, account.Tags, error) {
	r, err := send(c, "reading EventBridge Rule ("+c.id+")", "EventBridge", "DescribeRule", func() (account.EventRule, error) {
		return c.DescribeRule("", c.id)
	})
	if err != nil {
		return nil, nil, err
	}
	out := map[string]any{
		"name": r.Name, "eventBusName": r.EventBusName, "state": r.State, "arn": r.ARN, "isEnabled": r.State == "ENABLED",
	}
	for key, v := range map[string]string{
		"description": r.Description, "eventPattern": r.EventPattern, "scheduleExpression": r.ScheduleExpression, "roleArn": r.RoleARN,
	} {
		if v != "" {
			out[key] = v
		}
	}
	return object(out), r.Tags, nil
}

func tagRule(c *call, set account.Tags, remove []string) error {
	doing := "updating tags for EventBridge Rule (" + c.id + ")"
	if len(remove) > 0 {
		if err := c.do(doing, "EventBridge", "UntagResource", func() error {
			return c.UntagRule(c.id, remove)
		}); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	return c.do(doing, "EventBridge", "TagResource", func() error {
		return c.TagRule(c.id, set)
	})
}

func deleteRule(c *call) error {
	return c.do("deleting EventBridge Rule ("+c.id+")", "EventBridge", "DeleteRule", func() error {
		return c.DeleteRule(c.was("eventBusName"), c.id)
	})
}

// createTarget makes the target's ID up where none is given; Terraform's is
// terraform- and a time.
func createTarget(c *call) (string, error) {
	target := c.str("targetId")
	if target == "" {
		name, err := resource.NewUniqueHex("terraform-", 26, 64)
		if err != nil {
			return "", err
		}
		target = name
	}
	if err := putTarget(c, target); err != nil {
		return "", err
	}
	return c.str("rule") + "-" + target, nil
}

func putTarget(c *call, target string) error {
	return c.do("creating EventBridge Target ("+c.str("rule")+"-"+target+")", "EventBridge", "PutTargets", func() error {
		return c.PutTarget(c.str("eventBusName"), c.str("rule"), account.EventTarget{
			ID: target, ARN: c.str("arn"), RoleARN: c.str("roleArn"), Input: c.str("input"), InputPath: c.str("inputPath"),
		})
	})
}

func importedTarget(id string) (string, map[string]any, error) {
	parts := strings.Split(id, "/")
	if len(parts) == 2 {
		parts = append([]string{account.DefaultEventBus}, parts...)
	}
	if len(parts) != 3 {
		return "", nil, malformedID(id, "EVENTBUSNAME/RULENAME/TARGETID or RULENAME/TARGETID")
	}
	return parts[1] + "-" + parts[2], map[string]any{"eventBusName": parts[0], "rule": parts[1], "targetId": parts[2]}, nil
}

func readTarget(c *call) (props, account.Tags, error) {
	doing := "reading EventBridge Target (" + c.id + ")"
	rule := c.known("rule")
	targets, err := send(c, doing, "EventBridge", "ListTargetsByRule", func() ([]account.EventTarget, error) {
		return c.ListTargetsByRule(c.known("eventBusName"), rule)
	})
	if err != nil {
		return nil, nil, err
	}
	for _, t := range targets {
		if t.ID != strings.TrimPrefix(c.id, rule+"-") {
			continue
		}
		out := map[string]any{"rule": rule, "eventBusName": account.DefaultEventBus, "targetId": t.ID, "arn": t.ARN}
		for key, v := range map[string]string{"roleArn": t.RoleARN, "input": t.Input, "inputPath": t.InputPath} {
			if v != "" {
				out[key] = v
			}
		}
		return object(out), nil, nil
	}
	return nil, nil, notFound(doing)
}
