package account

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Inventory is everything in the account that somebody can make, and how it is: JSON by
// "TYPE ID". Two of them tell what has changed in between. Instances and what is attached
// to them are left out, which come and go by themselves.
func (a *Account) Inventory() (map[string]string, error) {
	i := inventory{items: map[string]string{}}
	for _, name := range a.ListClusters() {
		i.cluster(a, name)
	}
	for _, r := range a.ListRoles("") {
		attached, err := a.ListAttachedRolePolicies(r.Name)
		i.add("AWS::IAM::Role", r.Name, []any{r, attached}, err)
	}
	for _, p := range a.ListInstanceProfiles("") {
		i.add("AWS::IAM::InstanceProfile", p.Name, p, nil)
	}
	for _, r := range a.ListRules() {
		targets, err := a.ListTargetsByRule(r.EventBusName, r.Name)
		i.add("AWS::Events::Rule", r.Name, []any{r, targets}, err)
	}
	for _, url := range a.ListQueues("") {
		q, err := a.GetQueue(url)
		i.add("AWS::SQS::Queue", q.Name, q, err)
	}
	for _, g := range a.DescribeLogGroups("") {
		i.add("AWS::Logs::LogGroup", g.Name, g, nil)
	}
	for _, alias := range a.ListAliases() {
		key, err := a.DescribeKey(alias.TargetKeyID)
		i.add("AWS::KMS::Alias", alias.Name, []any{alias, key}, err)
	}
	groups, err := a.DescribeSecurityGroups()
	i.errs = append(i.errs, err)
	for _, g := range groups {
		i.add("AWS::EC2::SecurityGroup", g.ID, g, nil)
	}
	templates, err := a.DescribeLaunchTemplates(nil, nil)
	i.errs = append(i.errs, err)
	for _, t := range templates {
		i.add("AWS::EC2::LaunchTemplate", t.ID, t, nil)
	}
	subnets, err := a.DescribeSubnets()
	i.errs = append(i.errs, err)
	for _, s := range subnets {
		i.add("AWS::EC2::Subnet", s.ID, s.Tags, nil)
	}
	return i.items, errors.Join(i.errs...)
}

type inventory struct {
	items map[string]string
	errs  []error
}

func (i *inventory) add(kind, id string, is any, err error) {
	text, errJSON := json.Marshal(is)
	if err = errors.Join(err, errJSON); err != nil {
		i.errs = append(i.errs, fmt.Errorf("%s %s: %w", kind, id, err))
	}
	i.items[kind+" "+id] = string(text)
}

func (i *inventory) cluster(a *Account, name string) {
	c, err := a.DescribeCluster(name)
	i.add("AWS::EKS::Cluster", name, c, err)
	if c.AuthenticationMode != AuthConfigMap {
		principals, err := a.ListAccessEntries(name)
		i.errs = append(i.errs, err)
		for _, principal := range principals {
			access, err := a.AccessOf(name, principal)
			i.add("AWS::EKS::AccessEntry", name+" "+principal, access, err)
		}
	}
	addons, err := a.ListAddons(name)
	i.errs = append(i.errs, err)
	for _, addon := range addons {
		d, err := a.DescribeAddon(name, addon)
		i.add("AWS::EKS::Addon", name+" "+addon, d, err)
	}
	groups, err := a.ListNodegroups(name)
	i.errs = append(i.errs, err)
	for _, group := range groups {
		n, err := a.DescribeNodegroup(name, group)
		i.add("AWS::EKS::Nodegroup", name+" "+group, n, err)
	}
	associations, err := a.ListPodIdentityAssociations(name)
	i.errs = append(i.errs, err)
	for _, p := range associations {
		i.add("AWS::EKS::PodIdentityAssociation", name+" "+p.Namespace+"/"+p.ServiceAccount, p, nil)
	}
}
