package wire

import (
	"strings"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

func logsOperations() map[string]operation {
	return map[string]operation{"DescribeLogGroups": (*call).describeLogGroups, "ListTagsForResource": (*call).listLogTags}
}

// listLogTags wants the ARN of a log group without the :* at its end (API reference).
func (c *call) listLogTags() (any, error) {
	var in struct {
		ARN string `json:"resourceArn"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	_, name, _ := strings.Cut(in.ARN, ":log-group:")
	g, missing := c.account.DescribeLogGroup(name)
	if err := c.authorize(authz.Call{Action: "logs:ListTagsForResource", Targets: []authz.Target{{Type: "log-group", ARN: in.ARN, Tags: g.Tags}}}); err != nil {
		return nil, err
	}
	if missing != nil {
		return nil, missing
	}
	return map[string]account.Tags{"tags": g.Tags}, nil
}

func (c *call) describeLogGroups() (any, error) {
	var in struct {
		Prefix string `json:"logGroupNamePrefix"`
		Token  string `json:"nextToken"`
		Limit  int    `json:"limit"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	// The action is authorised on the account's log groups as a whole (Service Authorization
	// Reference), which AWS writes with an empty name.
	target := authz.Target{Type: "log-group", ARN: "arn:aws:logs:" + c.account.Region() + ":" + account.ID + ":log-group::log-stream:"}
	if err := c.authorize(authz.Call{Action: "logs:DescribeLogGroups", Targets: []authz.Target{target}}); err != nil {
		return nil, err
	}
	items, next, err := page(c.account.DescribeLogGroups(in.Prefix), in.Limit, in.Token)
	if err != nil {
		return nil, err
	}
	type group struct {
		Name      string `json:"logGroupName"`
		ARN       string `json:"arn"` // ends in :*
		PlainARN  string `json:"logGroupArn"`
		Class     string `json:"logGroupClass"`
		Created   int64  `json:"creationTime"` // milliseconds
		Retention int    `json:"retentionInDays,omitempty"`
		Filters   int    `json:"metricFilterCount"`
		Bytes     int64  `json:"storedBytes"`
	}
	out := struct {
		Groups []group `json:"logGroups"`
		Next   string  `json:"nextToken,omitempty"`
	}{Groups: []group{}, Next: next}
	for _, g := range items {
		out.Groups = append(out.Groups, group{Name: g.Name, ARN: g.ARN + ":*", PlainARN: g.ARN, Class: g.Class, Created: g.Created.UnixMilli(), Retention: g.RetentionInDays})
	}
	return out, nil
}
