package account

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Inventory is everything in the account that somebody can make, and how it is: JSON by
// "TYPE ID". Two of them tell what has changed in between. Instances that have ended are left
// out.
func (a *Account) Inventory() (map[string]string, error) {
	i, err := a.inventory()
	return i.items, err
}

type inventory struct {
	items map[string]string
	// names are the keys of items by what calls name these by: ARNs, URLs and IDs that only one
	// thing can have, and "SERVICE/NAME" for what a service calls by its name. A VPC has none but
	// its ARN, and a cluster: what is made in them names them.
	names map[string]string
	errs  []error
}

func (i *inventory) add(kind, id string, is any, err error, names ...string) {
	text, errJSON := json.Marshal(is)
	if err = errors.Join(err, errJSON); err != nil {
		i.errs = append(i.errs, fmt.Errorf("%s %s: %w", kind, id, err))
	}
	i.items[kind+" "+id] = string(text)
	for _, name := range names {
		i.names[name] = kind + " " + id
	}
}

func (a *Account) inventory() (*inventory, error) {
	i := &inventory{items: map[string]string{}, names: map[string]string{}}
	for _, name := range a.ListClusters() {
		i.cluster(a, name)
	}
	i.identities(a)
	for _, r := range a.ListRules() {
		targets, err := a.ListTargetsByRule(r.EventBusName, r.Name)
		i.add("AWS::Events::Rule", r.Name, []any{r, targets}, err, r.ARN, "cloudwatch/"+r.Name)
	}
	for _, url := range a.ListQueues("") {
		q, err := a.GetQueue(url)
		i.add("AWS::SQS::Queue", q.Name, q, err, q.ARN, q.URL)
	}
	for _, g := range a.DescribeLogGroups("") {
		i.add("AWS::Logs::LogGroup", g.Name, g, nil, g.ARN, "cloudwatch/"+g.Name)
	}
	for _, alias := range a.ListAliases() {
		key, err := a.DescribeKey(alias.TargetKeyID)
		i.add("AWS::KMS::Alias", alias.Name, []any{alias, key}, err, alias.ARN, "kms/"+alias.Name, key.ARN, key.ID)
	}
	i.network(a)
	i.compute(a)
	return i, errors.Join(i.errs...)
}

// identities are what IAM holds, but for users.
func (i *inventory) identities(a *Account) {
	for _, r := range a.ListRoles("") {
		attached, err := a.ListAttachedRolePolicies(r.Name)
		i.add("AWS::IAM::Role", r.Name, []any{r, attached}, err, r.ARN, "iam/"+r.Name)
	}
	a.mu.Lock()
	own := sortedKeys(a.iam.policies)
	a.mu.Unlock()
	for _, arn := range own {
		p, err := a.GetPolicy(arn)
		versions, errVersions := a.ListPolicyVersions(arn)
		i.add("AWS::IAM::ManagedPolicy", arn, []any{p, versions}, errors.Join(err, errVersions), arn)
	}
	for _, p := range a.ListInstanceProfiles("") {
		i.add("AWS::IAM::InstanceProfile", p.Name, p, nil, p.ARN, "iam/"+p.Name)
	}
}

// ec2 adds a thing of EC2's, which goes by its ID.
func (i *inventory) ec2(a *Account, kind, resource, id string, is any) {
	i.add(kind, id, is, nil, id, a.arn("ec2", resource+"/"+id))
}

func (i *inventory) network(a *Account) {
	vpcs, err := a.DescribeVpcs()
	i.errs = append(i.errs, err)
	for _, v := range vpcs {
		i.add("AWS::EC2::VPC", v.ID, v, nil, a.arn("ec2", "vpc/"+v.ID))
	}
	subnets, err := a.DescribeSubnets()
	i.errs = append(i.errs, err)
	for _, s := range subnets {
		s.AvailableIPs = 0 // nodes take them
		i.ec2(a, "AWS::EC2::Subnet", "subnet", s.ID, s)
	}
	groups, err := a.DescribeSecurityGroups()
	i.errs = append(i.errs, err)
	for _, g := range groups {
		i.ec2(a, "AWS::EC2::SecurityGroup", "security-group", g.ID, g)
	}
}

// compute is what runs, and what it is made of.
func (i *inventory) compute(a *Account) {
	templates, err := a.DescribeLaunchTemplates(nil, nil)
	i.errs = append(i.errs, err)
	for _, t := range templates {
		i.ec2(a, "AWS::EC2::LaunchTemplate", "launch-template", t.ID, t)
	}
	instances, err := a.DescribeInstances(nil)
	i.errs = append(i.errs, err)
	for _, one := range instances {
		if one.Revision = 0; one.State != StateTerminated { // which EC2 forgets
			i.ec2(a, "AWS::EC2::Instance", "instance", one.ID, one)
		}
	}
	volumes, err := a.DescribeVolumes(nil)
	i.errs = append(i.errs, err)
	for _, v := range volumes {
		i.ec2(a, "AWS::EC2::Volume", "volume", v.ID, v)
	}
	interfaces, err := a.DescribeNetworkInterfaces(nil)
	i.errs = append(i.errs, err)
	for _, n := range interfaces {
		i.ec2(a, "AWS::EC2::NetworkInterface", "network-interface", n.ID, n)
	}
}

func (i *inventory) cluster(a *Account, name string) {
	c, err := a.DescribeCluster(name)
	i.add("AWS::EKS::Cluster", name, c, err, c.ARN)
	if c.AuthenticationMode != AuthConfigMap {
		principals, err := a.ListAccessEntries(name)
		i.errs = append(i.errs, err)
		for _, principal := range principals {
			access, err := a.AccessOf(name, principal)
			i.add("AWS::EKS::AccessEntry", name+" "+principal, access, err, "eks/"+name+":"+principal)
		}
	}
	addons, err := a.ListAddons(name)
	i.errs = append(i.errs, err)
	for _, addon := range addons {
		d, err := a.DescribeAddon(name, addon)
		i.add("AWS::EKS::Addon", name+" "+addon, d, err, d.ARN, "eks/"+name+":"+addon)
	}
	groups, err := a.ListNodegroups(name)
	i.errs = append(i.errs, err)
	for _, group := range groups {
		n, err := a.DescribeNodegroup(name, group)
		i.add("AWS::EKS::Nodegroup", name+" "+group, n, err, n.ARN, "eks/"+name+":"+group)
	}
	associations, err := a.ListPodIdentityAssociations(name)
	i.errs = append(i.errs, err)
	for _, p := range associations {
		i.add("AWS::EKS::PodIdentityAssociation", name+" "+p.Namespace+"/"+p.ServiceAccount, p, nil, p.ARN, p.ID)
	}
}
