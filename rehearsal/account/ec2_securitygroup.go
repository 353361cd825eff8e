package account

import (
	"fmt"
	"slices"
	"strings"
)

// SecurityGroup is a firewall of a VPC.
type SecurityGroup struct {
	ID, Name, Description, VPCID string
	Tags                         Tags
	// Rules are in the order they were authorised.
	Rules []SecurityGroupRule
}

// SecurityGroupRule lets one peer in or out.
type SecurityGroupRule struct {
	// ID is the rule's own, such as sgr-0123456789abcdef0.
	ID string
	// Egress tells rules for traffic out from rules for traffic in.
	Egress bool
	RulePeer
	RulePorts
	Description string
}

// RulePeer is the other side; exactly one of the fields is set.
type RulePeer struct{ CIDR, IPv6CIDR, PrefixListID, GroupID string }

// RulePorts are protocol and ports; protocol -1 is all of both, and the ports
// are -1 then.
type RulePorts struct {
	Protocol         string
	FromPort, ToPort int
}

type securityGroup struct{ SecurityGroup }

func (g *securityGroup) clone() SecurityGroup {
	c := g.SecurityGroup
	c.Tags, c.Rules = g.Tags.with(nil), slices.Clone(g.Rules)
	return c
}

// CreateSecurityGroupInput says what a security group is to be.
type CreateSecurityGroupInput struct {
	Name, Description, VPCID string
	Tags                     Tags
}

// CreateSecurityGroup makes a security group. As on EC2 it lets everything out
// from the start.
func (a *Account) CreateSecurityGroup(in CreateSecurityGroupInput) (SecurityGroup, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case in.Name == "":
		return SecurityGroup{}, refuse("MissingParameter", "The request must contain the parameter GroupName")
	case in.Description == "":
		return SecurityGroup{}, refuse("MissingParameter", "The request must contain the parameter GroupDescription")
	case strings.HasPrefix(in.Name, "sg-"):
		return SecurityGroup{}, refuse("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. Group names may not be in the format sg-*.", in.Name)
	case len(in.Name) > 255 || len(in.Description) > 255:
		return SecurityGroup{}, refuse("InvalidParameterValue", "GroupName and GroupDescription must have at most 255 characters")
	}
	if _, ok := a.ec2.vpcs[in.VPCID]; !ok {
		return SecurityGroup{}, refuse("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", in.VPCID)
	}
	for _, g := range a.ec2.groups {
		if g.VPCID == in.VPCID && g.Name == in.Name {
			return SecurityGroup{}, refuse("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", in.Name, in.VPCID)
		}
	}
	if err := in.Tags.check("InvalidParameterValue"); err != nil {
		return SecurityGroup{}, err
	}
	return a.newSecurityGroup(in.Name, in.Description, in.VPCID, in.Tags).clone(), nil
}

func (a *Account) newSecurityGroup(name, description, vpcID string, tags Tags) *securityGroup {
	g := &securityGroup{SecurityGroup{
		ID: a.nextID("sg"), Name: name, Description: description, VPCID: vpcID, Tags: tags.with(nil),
	}}
	g.Rules = []SecurityGroupRule{{
		ID: a.nextID("sgr"), Egress: true,
		RulePeer: RulePeer{CIDR: "0.0.0.0/0"}, RulePorts: RulePorts{Protocol: "-1", FromPort: -1, ToPort: -1},
	}}
	a.ec2.groups[g.ID] = g
	return g
}

func (a *Account) group(id string) (*securityGroup, error) {
	if g, ok := a.ec2.groups[id]; ok {
		return g, nil
	}
	return nil, refuse("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
}

// DescribeSecurityGroup finds a security group by ID.
func (a *Account) DescribeSecurityGroup(id string) (SecurityGroup, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.group(id)
	if err != nil {
		return SecurityGroup{}, err
	}
	return g.clone(), nil
}

// DescribeSecurityGroups lists security groups by ID. Filters: group-id,
// group-name, vpc-id, description, owner-id, tag:KEY, tag-key.
func (a *Account) DescribeSecurityGroups(filters ...Filter) ([]SecurityGroup, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []SecurityGroup
	for _, id := range sortedKeys(a.ec2.groups) {
		g := a.ec2.groups[id]
		ok, err := fields{
			"group-id": {g.ID}, "group-name": {g.Name}, "vpc-id": {g.VPCID}, "description": {g.Description}, "owner-id": {ID},
		}.match(filters, g.Tags)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, g.clone())
		}
	}
	return out, nil
}

// AuthorizeSecurityGroupIngress lets peers in. One call either adds all rules
// or none.
func (a *Account) AuthorizeSecurityGroupIngress(groupID string, ports RulePorts, peers []RulePeer, description string) ([]SecurityGroupRule, error) {
	return a.authorize(groupID, false, ports, peers, description)
}

// AuthorizeSecurityGroupEgress lets traffic out to peers.
func (a *Account) AuthorizeSecurityGroupEgress(groupID string, ports RulePorts, peers []RulePeer, description string) ([]SecurityGroupRule, error) {
	return a.authorize(groupID, true, ports, peers, description)
}

func (a *Account) authorize(groupID string, egress bool, ports RulePorts, peers []RulePeer, description string) ([]SecurityGroupRule, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.group(groupID)
	if err != nil {
		return nil, err
	}
	if len(peers) == 0 {
		return nil, refuse("MissingParameter", "Either 'ipPermissions' or 'securityGroupRules' should be provided.")
	}
	if ports.Protocol == "-1" {
		ports.FromPort, ports.ToPort = -1, -1
	}
	var rules []SecurityGroupRule
	for _, p := range peers {
		if p.GroupID != "" {
			if _, err := a.group(p.GroupID); err != nil {
				return nil, err
			}
		}
		r := SecurityGroupRule{ID: a.nextID("sgr"), Egress: egress, RulePeer: p, RulePorts: ports, Description: description}
		if slices.ContainsFunc(slices.Concat(g.Rules, rules), r.same) {
			return nil, refuse("InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", r)
		}
		rules = append(rules, r)
	}
	g.Rules = slices.Concat(g.Rules, rules)
	return rules, nil
}

func (r SecurityGroupRule) same(o SecurityGroupRule) bool {
	return r.Egress == o.Egress && r.RulePeer == o.RulePeer && r.RulePorts == o.RulePorts
}

// String is a rule as EC2's messages write it.
func (r SecurityGroupRule) String() string {
	peer := r.CIDR + r.IPv6CIDR + r.PrefixListID + r.GroupID
	if r.Protocol == "-1" {
		return fmt.Sprintf("peer: %s, ALL, ALLOW", peer)
	}
	return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", peer, strings.ToUpper(r.Protocol), r.FromPort, r.ToPort)
}

// RevokeSecurityGroupRules takes rules, by ID, out of a group: EC2's
// RevokeSecurityGroupIngress and RevokeSecurityGroupEgress.
func (a *Account) RevokeSecurityGroupRules(groupID string, ruleIDs ...string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.group(groupID)
	if err != nil {
		return err
	}
	for _, id := range ruleIDs {
		if !slices.ContainsFunc(g.Rules, func(r SecurityGroupRule) bool { return r.ID == id }) {
			return refuse("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
		}
	}
	g.Rules = slices.DeleteFunc(slices.Clone(g.Rules), func(r SecurityGroupRule) bool { return slices.Contains(ruleIDs, r.ID) })
	return nil
}

// UpdateSecurityGroupRuleDescriptions changes the description of rules.
func (a *Account) UpdateSecurityGroupRuleDescriptions(groupID, description string, ruleIDs ...string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.group(groupID)
	if err != nil {
		return err
	}
	rules := slices.Clone(g.Rules)
	for i := range rules {
		if slices.Contains(ruleIDs, rules[i].ID) {
			rules[i].Description = description
		}
	}
	g.Rules = rules
	return nil
}

// DeleteSecurityGroup deletes a security group that nothing uses: no rule of
// another group, no network interface of a cluster's control plane.
func (a *Account) DeleteSecurityGroup(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.group(id)
	if err != nil {
		return err
	}
	if g.Name == "default" {
		return refuse("CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", id)
	}
	used := a.eks.usesSecurityGroup(id) || a.compute.usesGroup(id)
	for _, other := range a.ec2.groups {
		used = used || other.ID != id && slices.ContainsFunc(other.Rules, func(r SecurityGroupRule) bool { return r.GroupID == id })
	}
	if used {
		return refuse("DependencyViolation", "resource %s has a dependent object", id)
	}
	delete(a.ec2.groups, id)
	return nil
}

// CreateTags sets tags on EC2 resources by ID, all of them or none.
func (a *Account) CreateTags(ids []string, tags Tags) error {
	if err := tags.check("InvalidParameterValue"); err != nil {
		return err
	}
	return a.changeTags(ids, func(t Tags) Tags { return t.with(tags) })
}

// DeleteTags takes tags, by key, off EC2 resources by ID.
func (a *Account) DeleteTags(ids, keys []string) error {
	return a.changeTags(ids, func(t Tags) Tags { return t.without(keys) })
}

func (a *Account) changeTags(ids []string, change func(Tags) Tags) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var targets []*Tags
	for _, id := range ids {
		switch {
		case a.ec2.groups[id] != nil:
			targets = append(targets, &a.ec2.groups[id].Tags)
		case a.ec2.templates[id] != nil:
			targets = append(targets, &a.ec2.templates[id].Tags)
		case a.ec2.subnets[id] != nil:
			targets = append(targets, &a.ec2.subnets[id].Tags)
		case a.ec2.vpcs[id] != nil:
			targets = append(targets, &a.ec2.vpcs[id].Tags)
		case a.compute.volumes[id] != nil:
			targets = append(targets, &a.compute.volumes[id].Tags)
		case a.compute.interfaces[id] != nil:
			targets = append(targets, &a.compute.interfaces[id].Tags)
		case a.compute.instances[id] != nil:
			i := a.compute.instances[id]
			targets = append(targets, &i.Tags)
			a.touch(i)
		default:
			return refuse("InvalidID", "The ID '%s' is not valid", id)
		}
	}
	for _, t := range targets {
		*t = change(*t)
	}
	return nil
}
