package aws

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// securityGroupKinds are from internal/service/ec2/vpc_security_group.go and
// vpc_security_group_rule.go. Rules inside a group are not implemented.
func securityGroupKinds() map[string]*kind {
	return map[string]*kind{
		"aws:ec2/securityGroup:SecurityGroup": {
			name: "name", maxName: 255, tagged: true,
			schema: schema{
				"name":                {},
				"description":         {def: "Managed by Pulumi"},
				"vpcId":               {computed: true},
				"revokeRulesOnDelete": {local: true, def: false},
				"arn":                 {output: true},
				"egress":              {output: true},
				"ingress":             {output: true},
				"ownerId":             {output: true},
			},
			replace: []string{"name", "description", "vpcId"},
			create:  createSecurityGroup, read: readSecurityGroup, tag: ec2Tag, destroy: deleteSecurityGroup,
		},
		"aws:ec2/securityGroupRule:SecurityGroupRule": {
			schema: schema{
				"type":                  {required: true, oneOf: []string{"egress", "ingress"}},
				"securityGroupId":       {required: true},
				"protocol":              {required: true},
				"fromPort":              {required: true},
				"toPort":                {required: true},
				"cidrBlocks":            {},
				"ipv6CidrBlocks":        {},
				"prefixListIds":         {},
				"self":                  {def: false},
				"sourceSecurityGroupId": {computed: true},
				"description":           {},
				"securityGroupRuleId":   {output: true},
			},
			replace: []string{
				"type", "securityGroupId", "protocol", "fromPort", "toPort", "cidrBlocks", "ipv6CidrBlocks", "prefixListIds",
				"self", "sourceSecurityGroupId",
			},
			create: createSecurityGroupRule, read: readSecurityGroupRule, imported: importedSecurityGroupRule,
			update: func(c *call) error {
				rules, err := ownRules(c, c.state)
				if err != nil {
					return err
				}
				return c.do("updating Security Group ("+c.str("securityGroupId")+") Rule ("+c.id+") description", "EC2", "UpdateSecurityGroupRuleDescriptions", func() error {
					return c.UpdateSecurityGroupRuleDescriptions(c.str("securityGroupId"), c.str("description"), ruleIDs(rules)...)
				})
			},
			destroy: func(c *call) error {
				rules, err := ownRules(c, c.state)
				if err != nil {
					return err
				}
				return c.do("revoking Security Group ("+c.was("securityGroupId")+") Rule ("+c.id+")", "EC2", "RevokeSecurityGroupRules", func() error {
					return c.RevokeSecurityGroupRules(c.was("securityGroupId"), ruleIDs(rules)...)
				})
			},
		},
	}
}

// ec2Tag sets tags of what EC2 knows by its ID.
func ec2Tag(c *call, set account.Tags, remove []string) error {
	doing := "updating tags for EC2 resource (" + c.id + ")"
	if len(remove) > 0 {
		if err := c.do(doing, "EC2", "DeleteTags", func() error {
			return c.DeleteTags([]string{c.id}, remove)
		}); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	return c.do(doing, "EC2", "CreateTags", func() error {
		return c.CreateTags([]string{c.id}, set)
	})
}

// createSecurityGroup takes away the rule that lets everything out, as
// Terraform does: a group has the rules that are declared.
func createSecurityGroup(c *call) (string, error) {
	vpcID := c.str("vpcId")
	if vpcID == "" {
		vpcs, err := send(c, "creating Security Group ("+c.str("name")+")", "EC2", "DescribeVpcs", func() ([]account.VPC, error) {
			return c.DescribeVpcs(account.Filter{Name: "is-default", Values: []string{"true"}})
		})
		if err != nil {
			return "", err
		}
		for _, v := range vpcs {
			vpcID = v.ID
		}
	}
	g, err := send(c, "creating Security Group ("+c.str("name")+")", "EC2", "CreateSecurityGroup", func() (account.SecurityGroup, error) {
		return c.CreateSecurityGroup(account.CreateSecurityGroupInput{
			Name: c.str("name"), Description: c.str("description"), VPCID: vpcID, Tags: c.tags,
		})
	})
	if err != nil {
		return "", err
	}
	return g.ID, c.do("revoking default Security Group ("+g.ID+") egress rule", "EC2", "RevokeSecurityGroupEgress", func() error {
		return c.RevokeSecurityGroupRules(g.ID, ruleIDs(g.Rules)...)
	})
}

func ruleIDs(rules []account.SecurityGroupRule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, r.ID)
	}
	return out
}

func readSecurityGroup(c *call) (props, account.Tags, error) {
	g, err := send(c, "reading Security Group ("+c.id+")", "EC2", "DescribeSecurityGroups", func() (account.SecurityGroup, error) {
		return c.DescribeSecurityGroup(c.id)
	})
	if err != nil {
		return nil, nil, err
	}
	return object(map[string]any{
		"name": g.Name, "description": g.Description, "vpcId": g.VPCID, "ownerId": account.ID,
		"arn":     "arn:aws:ec2:" + c.Region() + ":" + account.ID + ":security-group/" + g.ID,
		"ingress": ruleList(g, false), "egress": ruleList(g, true),
	}), g.Tags, nil
}

// ruleList are the rules of one direction as the group's outputs show them:
// those of the same ports and description together.
func ruleList(g account.SecurityGroup, egress bool) []any {
	type key struct {
		account.RulePorts
		description string
	}
	var order []key
	byKey := map[key][]account.RulePeer{}
	for _, r := range g.Rules {
		if k := (key{r.RulePorts, r.Description}); r.Egress == egress {
			if byKey[k] == nil {
				order = append(order, k)
			}
			byKey[k] = append(byKey[k], r.RulePeer)
		}
	}
	out := []any{}
	for _, k := range order {
		from, to := ports(k.RulePorts)
		cidrs, v6, lists, groups, self := []string{}, []string{}, []string{}, []string{}, false
		for _, p := range byKey[k] {
			switch {
			case p.CIDR != "":
				cidrs = append(cidrs, p.CIDR)
			case p.IPv6CIDR != "":
				v6 = append(v6, p.IPv6CIDR)
			case p.PrefixListID != "":
				lists = append(lists, p.PrefixListID)
			case p.GroupID == g.ID:
				self = true
			default:
				groups = append(groups, p.GroupID)
			}
		}
		out = append(out, map[string]any{
			"protocol": k.Protocol, "fromPort": from, "toPort": to, "description": k.description,
			"cidrBlocks": cidrs, "ipv6CidrBlocks": v6, "prefixListIds": lists, "securityGroups": groups, "self": self,
		})
	}
	return out
}

// ports are the ports as Terraform keeps them: 0 and 0 for all protocols.
func ports(p account.RulePorts) (from, to int) {
	if p.Protocol == "-1" {
		return 0, 0
	}
	return p.FromPort, p.ToPort
}

func deleteSecurityGroup(c *call) error {
	doing := "deleting Security Group (" + c.id + ")"
	if provider.Bool(c.state, "revokeRulesOnDelete") {
		g, err := send(c, doing, "EC2", "DescribeSecurityGroups", func() (account.SecurityGroup, error) {
			return c.DescribeSecurityGroup(c.id)
		})
		if err != nil {
			return err
		}
		if err := c.do(doing, "EC2", "RevokeSecurityGroupIngress", func() error {
			return c.RevokeSecurityGroupRules(c.id, ruleIDs(g.Rules)...)
		}); err != nil {
			return err
		}
	}
	_, err := retryFor(c, cmp.Or(c.limit, groupDeletion), func() (struct{}, error) {
		return struct{}{}, c.do(doing, "EC2", "DeleteSecurityGroup", func() error { return c.DeleteSecurityGroup(c.id) })
	}, func(err error) bool { return account.IsCode(err, "DependencyViolation") })
	return err
}

// groupDeletion is how long a group's deletion is tried while something bears it
// (resourceSecurityGroupDelete and the timeouts of vpc_security_group.go).
const groupDeletion = 15 * time.Minute

// rulePorts are protocol and ports of a rule's properties.
func rulePorts(in props) account.RulePorts {
	protocol := strings.ToLower(provider.String(in, "protocol"))
	switch protocol {
	case "all":
		protocol = "-1"
	case "6":
		protocol = "tcp"
	case "17":
		protocol = "udp"
	case "1":
		protocol = "icmp"
	case "58":
		protocol = "icmpv6"
	}
	p := account.RulePorts{Protocol: protocol, FromPort: provider.Int(in, "fromPort"), ToPort: provider.Int(in, "toPort")}
	if protocol == "-1" {
		p.FromPort, p.ToPort = -1, -1
	}
	return p
}

func rulePeers(in props) []account.RulePeer {
	var out []account.RulePeer
	for _, c := range provider.Strings(in, "cidrBlocks") {
		out = append(out, account.RulePeer{CIDR: c})
	}
	for _, c := range provider.Strings(in, "ipv6CidrBlocks") {
		out = append(out, account.RulePeer{IPv6CIDR: c})
	}
	for _, id := range provider.Strings(in, "prefixListIds") {
		out = append(out, account.RulePeer{PrefixListID: id})
	}
	if provider.Bool(in, "self") {
		out = append(out, account.RulePeer{GroupID: provider.String(in, "securityGroupId")})
	} else if id := provider.String(in, "sourceSecurityGroupId"); id != "" {
		out = append(out, account.RulePeer{GroupID: id})
	}
	return out
}

// ruleID is made of what a rule is: EC2 knows nothing of it.
func ruleID(in props) string {
	return fmt.Sprintf("sgrule-%d", crc32.ChecksumIEEE(fmt.Append(nil, provider.String(in, "securityGroupId"), provider.String(in, "type"), rulePorts(in), rulePeers(in))))
}

func createSecurityGroupRule(c *call) (string, error) {
	group, ports, peers, id := c.str("securityGroupId"), rulePorts(c.in), rulePeers(c.in), ruleID(c.in)
	authorize, operation := c.AuthorizeSecurityGroupIngress, "AuthorizeSecurityGroupIngress"
	if c.str("type") == "egress" {
		authorize, operation = c.AuthorizeSecurityGroupEgress, "AuthorizeSecurityGroupEgress"
	}
	err := c.do("authorizing Security Group ("+group+") Rule ("+id+")", "EC2", operation, func() error {
		_, err := authorize(group, ports, peers, c.str("description"))
		return err
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// ownRules are the rules that a rule resource's properties stand for: one for
// each peer. All of them must be there.
func ownRules(c *call, in props) ([]account.SecurityGroupRule, error) {
	doing := "reading Security Group (" + provider.String(in, "securityGroupId") + ") Rule (" + c.id + ")"
	g, err := send(c, doing, "EC2", "DescribeSecurityGroups", func() (account.SecurityGroup, error) {
		return c.DescribeSecurityGroup(provider.String(in, "securityGroupId"))
	})
	if err != nil {
		return nil, err
	}
	var out []account.SecurityGroupRule
	for _, peer := range rulePeers(in) {
		at := slices.IndexFunc(g.Rules, func(r account.SecurityGroupRule) bool {
			return r.RulePeer == peer && r.RulePorts == rulePorts(in) && r.Egress == (provider.String(in, "type") == "egress")
		})
		if at < 0 {
			return nil, notFound(doing)
		}
		out = append(out, g.Rules[at])
	}
	return out, nil
}

func importedSecurityGroupRule(id string) (string, map[string]any, error) {
	malformed := malformedID(id, "SECURITYGROUPID_TYPE_PROTOCOL_FROMPORT_TOPORT_SOURCE[_SOURCE]*")
	parts := strings.Split(id, "_")
	if len(parts) < 6 || !strings.HasPrefix(parts[0], "sg-") || parts[1] != "ingress" && parts[1] != "egress" {
		return "", nil, malformed
	}
	from, errFrom := strconv.Atoi(parts[3])
	to, errTo := strconv.Atoi(parts[4])
	if errFrom != nil || errTo != nil {
		return "", nil, malformed
	}
	out := map[string]any{"securityGroupId": parts[0], "type": parts[1], "protocol": parts[2], "fromPort": from, "toPort": to}
	lists := map[string][]string{}
	for _, source := range parts[5:] {
		switch {
		case source == "self":
			out["self"] = true
		case strings.HasPrefix(source, "sg-"):
			out["sourceSecurityGroupId"] = source
		case strings.HasPrefix(source, "pl-"):
			lists["prefixListIds"] = append(lists["prefixListIds"], source)
		case strings.Contains(source, ":"):
			lists["ipv6CidrBlocks"] = append(lists["ipv6CidrBlocks"], source)
		default:
			lists["cidrBlocks"] = append(lists["cidrBlocks"], source)
		}
	}
	for key, sources := range lists {
		out[key] = sources
	}
	return ruleID(object(out)), out, nil
}

// readSecurityGroupRule finds the rules by their properties, because EC2 knows
// nothing of the ID.
func readSecurityGroupRule(c *call) (props, account.Tags, error) {
	in := c.in
	if len(in) == 0 {
		in = c.state
	}
	rules, err := ownRules(c, in)
	if err != nil {
		return nil, nil, err
	}
	out := map[string]any{"self": false}
	for _, k := range []string{"type", "securityGroupId", "cidrBlocks", "ipv6CidrBlocks", "prefixListIds", "self"} {
		if v, ok := provider.Get(in, k); ok {
			out[k] = v
		}
	}
	p := rulePorts(in)
	from, to := ports(p)
	out["protocol"], out["fromPort"], out["toPort"] = p.Protocol, from, to
	for _, r := range rules {
		if r.Description != "" {
			out["description"] = r.Description
		}
		if r.GroupID != "" && !provider.Bool(in, "self") {
			out["sourceSecurityGroupId"] = r.GroupID
		}
	}
	out["securityGroupRuleId"] = ""
	if len(rules) == 1 {
		out["securityGroupRuleId"] = rules[0].ID
	}
	return object(out), nil, nil
}
