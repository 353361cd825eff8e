package account

import (
	"cmp"
	"maps"
	"slices"
)

// This file runs the members of managed node groups: EKS makes an Auto Scaling group, and that
// launches instances from the node group's template and replaces those that end.

// fillNodegroup brings a node group to its desired size: new instances spread over its subnets, or
// the newest ones ended. Errors leave it short, as an Auto Scaling group that cannot launch is.
func (a *Account) fillNodegroup(n *Nodegroup) {
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
		subnet := slices.MinFunc(n.SubnetIDs, func(x, y string) int { return cmp.Compare(perSubnet[x], perSubnet[y]) })
		perSubnet[subnet]++
		if err := a.launchMember(n, subnet); err != nil {
			a.compute.health[n.ARN] = append(a.compute.health[n.ARN], err.Error())
		}
	}
}

// NodegroupHealth says why members of a node group could not be launched; nil where they all were.
func (a *Account) NodegroupHealth(clusterName, name string) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, n, err := a.nodegroup(clusterName, name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(a.compute.health[n.ARN]), nil
}

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
