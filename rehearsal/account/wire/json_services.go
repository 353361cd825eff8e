package wire

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

func ssmOperations() map[string]operation {
	return map[string]operation{"GetParameter": (*call).getParameter}
}

func (c *call) getParameter() (any, error) {
	var in struct {
		Name           string
		WithDecryption bool
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	target := authz.Target{Type: "parameter", ARN: c.account.ParameterARN(in.Name)}
	if err := c.authorize(authz.Call{Action: "ssm:GetParameter", Targets: []authz.Target{target}}); err != nil {
		return nil, err
	}
	p, err := c.account.GetParameter(in.Name)
	if err != nil {
		return nil, err
	}
	type parameter struct {
		Name, ARN, Type, Value, DataType string
		Version                          int
		LastModifiedDate                 int64
	}
	return struct{ Parameter parameter }{parameter{p.Name, p.ARN, "String", p.Value, "text", 1, p.Modified.Unix()}}, nil
}

func pricingOperations() map[string]operation {
	return map[string]operation{"GetProducts": (*call).getProducts}
}

// getProducts answers the price list of EC2's Linux instances: a JSON text a product, in the form
// of the AWS Price List Query API, with the members that say what it is and what it costs.
func (c *call) getProducts() (any, error) {
	var in struct {
		ServiceCode, FormatVersion, NextToken string
		MaxResults                            int
		Filters                               []struct{ Field, Type, Value string }
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.authorize(authz.Call{Action: "pricing:GetProducts"}); err != nil {
		return nil, err
	}
	want := map[string]string{}
	for _, f := range in.Filters {
		want[f.Field] = f.Value
	}
	var products []string
	if in.ServiceCode == "AmazonEC2" && want["regionCode"] != "" {
		prices, err := c.account.OnDemandPrices(want["regionCode"])
		if err != nil {
			return nil, &account.Error{Code: "InvalidParameterException", Message: err.Error(), HTTPStatus: http.StatusBadRequest}
		}
		for _, p := range prices {
			text, ok, err := product(p, want)
			if err != nil {
				return nil, err
			}
			if ok {
				products = append(products, text)
			}
		}
	}
	items, next, err := page(products, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return struct {
		FormatVersion string
		PriceList     []string
		NextToken     string `json:",omitempty"`
	}{"aws_v1", items, next}, nil
}

// product is the price list's entry of an instance type, if it has the attributes that are wanted.
func product(p account.OnDemandPrice, want map[string]string) (string, bool, error) {
	family, tenancy := "Compute Instance", "Shared"
	if p.BareMetal {
		family, tenancy = "Compute Instance (bare metal)", "Dedicated"
	}
	attributes := map[string]string{
		"instanceType": p.InstanceType, "operatingSystem": "Linux", "preInstalledSw": "NA", "tenancy": tenancy,
		"capacitystatus": "Used", "marketoption": "OnDemand", "regionCode": want["regionCode"], "servicecode": "AmazonEC2",
	}
	for field, value := range want {
		switch field {
		case "serviceCode":
			field = "servicecode"
		case "productFamily":
			if value != family {
				return "", false, nil
			}
			continue
		}
		if attributes[field] != value {
			return "", false, nil
		}
	}
	sku := "REHEARSAL-" + p.InstanceType
	text, err := json.Marshal(map[string]any{
		"product": map[string]any{"productFamily": family, "sku": sku, "attributes": attributes},
		"terms": map[string]any{"OnDemand": map[string]any{sku + ".JRTCKXETXF": map[string]any{
			"priceDimensions": map[string]any{sku + ".JRTCKXETXF.6YS6EN2CT7": map[string]any{
				"unit": "Hrs", "pricePerUnit": map[string]string{"USD": strconv.FormatFloat(p.USDPerHour, 'f', 10, 64)},
			}},
		}}},
		"serviceCode": "AmazonEC2",
	})
	return string(text), true, err
}

func eventsOperations() map[string]operation {
	return map[string]operation{
		"ListRules": (*call).listRules, "ListTagsForResource": (*call).listRuleTags, "ListTargetsByRule": (*call).listTargetsByRule,
	}
}

func (c *call) listRuleTags() (any, error) {
	var in struct{ ResourceARN string }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	_, name, _ := strings.Cut(in.ResourceARN, ":rule/")
	r, missing := c.account.DescribeRule("", name)
	if err := c.authorize(authz.Call{Action: "events:ListTagsForResource", Targets: []authz.Target{{Type: "rule-on-default-event-bus", ARN: in.ResourceARN, Tags: r.Tags}}}); err != nil {
		return nil, err
	}
	if missing != nil {
		return nil, missing
	}
	type tag struct{ Key, Value string }
	out := struct{ Tags []tag }{Tags: []tag{}}
	for _, k := range sortedKeys(r.Tags) {
		out.Tags = append(out.Tags, tag{k, r.Tags[k]})
	}
	return out, nil
}

func (c *call) listRules() (any, error) {
	var in struct {
		NamePrefix, EventBusName, NextToken string
		Limit                               int
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.authorize(authz.Call{Action: "events:ListRules"}); err != nil {
		return nil, err
	}
	type rule struct{ Name, Arn, EventBusName, EventPattern, State, Description string }
	out := struct {
		Rules     []rule
		NextToken string `json:",omitempty"`
	}{Rules: []rule{}}
	var all []account.EventRule
	for _, r := range c.account.ListRules() {
		if len(r.Name) >= len(in.NamePrefix) && r.Name[:len(in.NamePrefix)] == in.NamePrefix {
			all = append(all, r)
		}
	}
	items, next, err := page(all, in.Limit, in.NextToken)
	if err != nil {
		return nil, err
	}
	out.NextToken = next
	for _, r := range items {
		out.Rules = append(out.Rules, rule{r.Name, r.ARN, r.EventBusName, r.EventPattern, r.State, r.Description})
	}
	return out, nil
}

func (c *call) listTargetsByRule() (any, error) {
	var in struct {
		Rule, EventBusName, NextToken string
		Limit                         int
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.authorize(authz.Call{Action: "events:ListTargetsByRule", Targets: []authz.Target{{
		Type: "rule-on-default-event-bus", ARN: "arn:aws:events:" + c.account.Region() + ":" + account.ID + ":rule/" + in.Rule,
	}}}); err != nil {
		return nil, err
	}
	targets, err := c.account.ListTargetsByRule(in.EventBusName, in.Rule)
	if err != nil {
		return nil, err
	}
	type target struct{ Id, Arn string } //nolint:revive,staticcheck // EventBridge's names
	out := struct{ Targets []target }{Targets: []target{}}
	for _, t := range targets {
		out.Targets = append(out.Targets, target{t.ID, t.ARN})
	}
	return out, nil
}
