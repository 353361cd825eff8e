package account

import (
	"cmp"
	"errors"
	"maps"
	"slices"
)

// This file runs the members of managed node groups: EKS makes an Auto Scaling group, and that
// launches instances from the node group's template and replaces those that end.

// fillNodegroup brings a node group to its desired size: new instances spread over its subnets, or
// the newest ones ended. Where a subnet's zone cannot have one, another's may; each refusal is an
// issue of the group's health (containers-roadmap #2204 for the words). What cannot be launched is
// tried again when a fault is lifted, as an Auto Scaling group tries again by itself.
func (a *Account) fillNodegroup(n *Nodegroup) {
	delete(a.compute.health, n.ARN)
	members := a.members(n)
	for len(members) > n.Scaling.Desired {
		last := members[len(members)-1]
		members = members[:len(members)-1]
		last.Cluster, last.Nodegroup = "", "" // no longer a member that is replaced
		a.shutDown(last, "Client.InstanceInitiatedShutdown")
	}
	perSubnet := map[string]int{}
	for _, m := range members {
		perSubnet[m.SubnetID]++
	}
	for range n.Scaling.Desired - len(members) {
		for _, subnet := range slices.SortedStableFunc(slices.Values(n.SubnetIDs), func(x, y string) int { return cmp.Compare(perSubnet[x], perSubnet[y]) }) {
			err := a.launchMember(n, subnet)
			if err == nil {
				perSubnet[subnet]++
				break
			}
			if issue := launchIssue(n, err); !slices.Contains(a.compute.health[n.ARN], issue) {
				a.compute.health[n.ARN] = append(a.compute.health[n.ARN], issue)
			}
		}
	}
}

func launchIssue(n *Nodegroup, err error) string {
	market := "On-Demand"
	if n.CapacityType == "SPOT" {
		market = "Spot"
	}
	text := err.Error()
	if e, ok := errors.AsType[*Error](err); ok {
		text = e.Code + " - " + e.Message
	}
	return "AsgInstanceLaunchFailures: Could not launch " + market + " Instances. " + text + " Launching EC2 instance failed."
}

// refillNodegroups has every node group try again.
func (a *Account) refillNodegroups() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range sortedKeys(a.eks.clusters) {
		c := a.eks.clusters[name]
		for _, group := range sortedKeys(c.nodegroups) {
			a.fillNodegroup(c.nodegroups[group])
		}
	}
}

// NodegroupHealth says why members of a node group could not be launched, as "CODE: MESSAGE" of its
// health's issues; nil where they all were.
func (a *Account) NodegroupHealth(clusterName, name string) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, n, err := a.nodegroup(clusterName, name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(a.compute.health[n.ARN]), nil
}

// NodegroupCreateFailed is the status of a node group that could not launch its first nodes: for
// good, also where they come later (containers-roadmap #2204).
const NodegroupCreateFailed = "CREATE_FAILED"

// members are the live instances of a node group, oldest first.
func (a *Account) members(n *Nodegroup) []*instance {
	var out []*instance
	for i := range maps.Values(a.compute.instances) {
		if i.Cluster == n.ClusterName && i.Nodegroup == n.Name && i.alive() {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(x, y *instance) int { return cmp.Or(x.LaunchTime.Compare(y.LaunchTime), cmp.Compare(x.ID, y.ID)) })
	return out
}

func (a *Account) launchMember(n *Nodegroup, subnet string) error {
	tags := Tags{
		"eks:cluster-name": n.ClusterName, "eks:nodegroup-name": n.Name, "kubernetes.io/cluster/" + n.ClusterName: "owned",
		"k8s.io/cluster-autoscaler/enabled": "true", "k8s.io/cluster-autoscaler/" + n.ClusterName: "owned",
	}
	in := LaunchInput{SubnetID: subnet, Count: 1, Spot: n.CapacityType == "SPOT", Tags: map[string]Tags{"instance": tags}}
	if n.LaunchTemplate != nil {
		ref := *n.LaunchTemplate
		in.Template = &LaunchTemplateRef{ID: ref.ID, Version: ref.Version}
	} else {
		in.Data.Metadata = &MetadataOptions{HopLimit: 2} // EKS's own template
	}
	if n.AMIType != customAMI {
		image, err := a.nodegroupImage(n)
		if err != nil {
			return err
		}
		in.Data.ImageID = image.ID
	}
	if len(n.InstanceTypes) > 0 {
		in.Data.InstanceType = n.InstanceTypes[0]
	}
	if groups := a.eks.clusters[n.ClusterName]; groups != nil && !a.templateHasGroups(n) {
		in.Data.SecurityGroupIDs = []string{groups.VPC.ClusterSecurityGroupID}
	}
	l, err := a.resolveLaunch(in)
	if err != nil {
		return err
	}
	l.Profile = &InstanceProfile{ARN: instanceProfileARN("/", "eks-"+n.Name), Name: "eks-" + n.Name}
	_, err = a.launch(l)
	return err
}

// templateHasGroups tells whether the node group's launch template names security groups; without,
// EKS puts the cluster's own on the nodes.
func (a *Account) templateHasGroups(n *Nodegroup) bool {
	if n.LaunchTemplate == nil {
		return false
	}
	t, err := a.template(n.LaunchTemplate.ID)
	if err != nil {
		return false
	}
	v, err := t.version(n.LaunchTemplate.Version)
	return err == nil && (len(v.Data.SecurityGroupIDs) > 0 || slices.ContainsFunc(v.Data.NetworkInterfaces, func(i NetworkInterfaceSpec) bool { return len(i.SecurityGroupIDs) > 0 }))
}

// emptyNodegroup ends the members of a node group that is being deleted.
func (a *Account) emptyNodegroup(n *Nodegroup) {
	for _, i := range a.members(n) {
		i.Cluster, i.Nodegroup = "", ""
		a.shutDown(i, "Client.UserInitiatedShutdown")
		a.terminated(i) // EKS answers when they are gone
	}
	delete(a.compute.health, n.ARN)
}

// Access is what lets a principal into a cluster.
type Access struct {
	Entry    AccessEntry
	Policies []AccessPolicyAssociation
}

// AccessOf finds what lets a principal, by the ARN of its user or role, into a cluster. An entry
// that was made for a role of the same name that has been deleted since lets nobody in.
func (a *Account) AccessOf(clusterName, principalARN string) (Access, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, err := a.entry(clusterName, principalARN)
	if err != nil {
		return Access{}, err
	}
	if r := a.roleByARN(principalARN); r != nil && r.ID != e.PrincipalID {
		return Access{}, refuse("AccessDenied", "the access entry was made for another role of that name, which has been deleted")
	}
	return Access{Entry: e.clone(), Policies: slices.Clone(e.policies)}, nil
}
