package aws

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// logsKinds are from internal/service/logs/group.go.
func logsKinds() map[string]*kind {
	return map[string]*kind{"aws:cloudwatch/logGroup:LogGroup": {
		name: "name", maxName: 512, tagged: true,
		schema: schema{
			"name":            {},
			"retentionInDays": {def: 0},
			"logGroupClass":   {computed: true, oneOf: []string{"STANDARD", "INFREQUENT_ACCESS", "DELIVERY"}},
			"skipDestroy":     {local: true, def: false},
			"arn":             {output: true},
		},
		replace: []string{"name", "logGroupClass"},
		check:   checkRetention, create: createLogGroup, read: readLogGroup, update: putRetention, tag: tagLogGroup,
		destroy: func(c *call) error {
			if provider.Bool(c.state, "skipDestroy") {
				return nil
			}
			return c.do("deleting CloudWatch Logs Log Group ("+c.id+")", "CloudWatch Logs", "DeleteLogGroup", func() error {
				return c.DeleteLogGroup(c.id)
			})
		},
	}}
}

func checkRetention(in props) []plugin.CheckFailure {
	days := provider.Int(in, "retentionInDays")
	allowed := append([]int{0}, account.RetentionDays()...)
	if provider.Unknown(in, "retentionInDays") || slices.Contains(allowed, days) {
		return nil
	}
	return []plugin.CheckFailure{{Property: "retentionInDays", Reason: fmt.Sprintf("expected retention_in_days to be one of %v, got %d", allowed, days)}}
}

func createLogGroup(c *call) (string, error) {
	name := c.str("name")
	err := c.do("creating CloudWatch Logs Log Group ("+name+")", "CloudWatch Logs", "CreateLogGroup", func() error {
		_, err := c.CreateLogGroup(name, c.str("logGroupClass"), c.tags)
		return err
	})
	if err != nil {
		return "", err
	}
	c.id = name
	return name, putRetention(c)
}

func putRetention(c *call) error {
	return c.do("setting CloudWatch Logs Log Group ("+c.id+") retention policy", "CloudWatch Logs", "PutRetentionPolicy", func() error {
		return c.PutRetentionPolicy(c.id, provider.Int(c.in, "retentionInDays"))
	})
}

func readLogGroup(c *call) (props, account.Tags, error) {
	g, err := send(c, "reading CloudWatch Logs Log Group ("+c.id+")", "CloudWatch Logs", "DescribeLogGroups", func() (account.LogGroup, error) {
		return c.DescribeLogGroup(c.id)
	})
	if err != nil {
		return nil, nil, err
	}
	return object(map[string]any{
		"name": g.Name, "retentionInDays": g.RetentionInDays, "logGroupClass": g.Class, "arn": g.ARN,
	}), g.Tags, nil
}

func tagLogGroup(c *call, set account.Tags, remove []string) error {
	doing := "updating tags for CloudWatch Logs Log Group (" + c.id + ")"
	if len(remove) > 0 {
		if err := c.do(doing, "CloudWatch Logs", "UntagResource", func() error {
			return c.UntagLogGroup(c.id, remove)
		}); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	return c.do(doing, "CloudWatch Logs", "TagResource", func() error {
		return c.TagLogGroup(c.id, set)
	})
}
