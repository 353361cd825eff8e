package account

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Nodegroup is a managed node group.
type Nodegroup struct {
	ClusterName, Name, ARN, Status string
	// Version is the Kubernetes version of the nodes, ReleaseVersion the AMI's.
	Version, ReleaseVersion string
	// CapacityType is ON_DEMAND or SPOT.
	CapacityType, AMIType, NodeRoleARN string
	InstanceTypes, SubnetIDs           []string
	// DiskSize is in GiB; 0 where the launch template says it.
	DiskSize       int
	Scaling        Scaling
	Labels         map[string]string
	Taints         []Taint
	LaunchTemplate *LaunchTemplateRef
	Update         UpdateConfig
	// AutoScalingGroup is the name of the group EKS runs the nodes in.
	AutoScalingGroup  string
	Created, Modified time.Time
	Tags              Tags
}

// Scaling are numbers of nodes.
type Scaling struct{ Min, Max, Desired int }

// Taint keeps pods off nodes. Effect is NO_SCHEDULE, NO_EXECUTE or
// PREFER_NO_SCHEDULE.
type Taint struct{ Key, Value, Effect string }

// LaunchTemplateRef names a version of a launch template, by ID or by name.
type LaunchTemplateRef struct{ ID, Name, Version string }

// UpdateConfig says how many nodes, or what part of them in per cent, may be
// down during an update; one of both is set.
type UpdateConfig struct{ MaxUnavailable, MaxUnavailablePercentage int }

func (n *Nodegroup) clone() Nodegroup {
	c := *n
	c.InstanceTypes, c.SubnetIDs, c.Taints = slices.Clone(n.InstanceTypes), slices.Clone(n.SubnetIDs), slices.Clone(n.Taints)
	c.Labels, c.Tags = maps.Clone(n.Labels), n.Tags.with(nil)
	if n.LaunchTemplate != nil {
		ref := *n.LaunchTemplate
		c.LaunchTemplate = &ref
	}
	return c
}

// CreateNodegroup makes a managed node group. Empty fields are EKS's defaults.
// With it EKS makes the node role's access entry, unless the role has one, and
// the account's node group role the first time. The entry stays when the node
// group goes (terraform-aws-eks #3329).
func (a *Account) CreateNodegroup(in Nodegroup) (Nodegroup, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(in.ClusterName)
	if err != nil {
		return Nodegroup{}, err
	}
	if len(in.Name) == 0 || len(in.Name) > 63 || !regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9\-_]*$`).MatchString(in.Name) {
		return Nodegroup{}, refuse("InvalidParameterException", "Nodegroup name %q must have 1 to 63 characters and match ^[0-9A-Za-z][A-Za-z0-9\\-_]*$", in.Name)
	}
	if _, taken := c.nodegroups[in.Name]; taken {
		return Nodegroup{}, refuse("ResourceInUseException", "NodeGroup already exists with name %s and cluster name %s", in.Name, c.Name)
	}
	if in.Version == "" {
		in.Version = c.Version
	}
	if err := a.checkNodegroup(c, &in); err != nil {
		return Nodegroup{}, err
	}
	if err := a.ensureServiceLinkedRole("eks-nodegroup.amazonaws.com"); err != nil {
		return Nodegroup{}, err
	}
	n := in.clone()
	uuid := a.nextUUID()
	n.ARN = a.arn("eks", strings.Join([]string{"nodegroup", c.Name, n.Name, uuid}, "/"))
	n.AutoScalingGroup = "eks-" + n.Name + "-" + uuid
	n.Status, n.Created, n.Modified = "ACTIVE", a.timestamp(), a.timestamp()
	c.nodegroups[n.Name] = &n
	if _, there := c.entries[n.NodeRoleARN]; !there && c.AuthenticationMode != AuthConfigMap {
		a.newAccessEntry(c, CreateAccessEntryInput{PrincipalARN: n.NodeRoleARN, Type: AccessEC2Linux})
	}
	a.fillNodegroup(&n)
	if len(a.compute.health[n.ARN]) > 0 {
		n.Status = NodegroupCreateFailed
	}
	return n.clone(), nil
}

// nodegroupToChange is nodegroup for updates.
func (a *Account) nodegroupToChange(clusterName, name string) (*cluster, *Nodegroup, error) {
	c, n, err := a.nodegroup(clusterName, name)
	if err == nil && n.Status != "ACTIVE" {
		return nil, nil, refuse("ResourceInUseException", "Nodegroup cannot be updated as it is currently not in Active State")
	}
	return c, n, err
}

// checkNodegroup refuses what EKS refuses and fills in what it fills in.
func (a *Account) checkNodegroup(c *cluster, in *Nodegroup) error {
	version, ok := a.known(in.Version)
	if !ok || minor(in.Version) > minor(c.Version) {
		return refuse("InvalidParameterException", "Requested Nodegroup version %s is not supported for cluster version %s", in.Version, c.Version)
	}
	if err := a.checkNodeRole(in.NodeRoleARN); err != nil {
		return err
	}
	if len(in.SubnetIDs) == 0 {
		return refuse("InvalidParameterException", "Subnets cannot be empty.")
	}
	for _, id := range in.SubnetIDs {
		if _, err := a.subnet(id); err != nil {
			return asInvalidParameter(err)
		}
	}
	if err := in.checkSettings(); err != nil {
		return err
	}
	var template LaunchTemplateData
	if in.LaunchTemplate != nil {
		var err error
		if template, err = a.resolveTemplate(in.LaunchTemplate); err != nil {
			return err
		}
		if err := in.checkTemplate(template); err != nil {
			return err
		}
	} else if in.DiskSize == 0 {
		in.DiskSize = 20
	}
	switch {
	case template.ImageID != "" && (in.AMIType == "" || in.AMIType == customAMI):
		in.AMIType = customAMI
	case template.ImageID != "":
		return refuse("InvalidParameterException", "You cannot specify an AMI Type when specifying a custom image ID in your launch template.")
	case in.AMIType == customAMI:
		return refuse("InvalidParameterException", "AMI Type CUSTOM needs an image ID in a launch template.")
	case in.AMIType == "":
		in.AMIType = defaultAMIType(in.Version)
	}
	amiType, err := checkAMIType(in.AMIType, in.Version)
	if err != nil {
		return err
	}
	if in.AMIType != customAMI {
		in.ReleaseVersion = releaseVersion(in.AMIType, version)
	}
	return a.checkInstanceTypes(in, amiType, template.InstanceType)
}

func (a *Account) checkInstanceTypes(in *Nodegroup, amiType AMIType, inTemplate string) error {
	types := in.InstanceTypes
	switch {
	case inTemplate != "" && len(types) > 0:
		return refuse("InvalidRequestException", "Cannot specify instance types in launch template and API request")
	case inTemplate != "":
		types = []string{inTemplate}
	case len(types) == 0:
		in.InstanceTypes = []string{"t3.medium"}
		types = in.InstanceTypes
	case len(types) > 20:
		return refuse("InvalidParameterException", "At most 20 instance types may be specified")
	}
	for _, name := range types {
		t, err := a.DescribeInstanceType(name)
		if err != nil {
			return asInvalidParameter(err)
		}
		if !amiType.fits(t.Type) {
			return refuse("InvalidParameterException", "[%s] is not a valid instance type for requested amiType %s", name, in.AMIType)
		}
		if err := a.checkZones(name, in.SubnetIDs); err != nil {
			return err
		}
	}
	return nil
}

// checkZones refuses subnets in whose zones a type is not offered (eksctl issue 6461,
// ec2-spot-workshops issue 154).
func (a *Account) checkZones(instanceType string, subnets []string) error {
	zones, err := a.places(instanceType, "availability-zone")
	if err != nil {
		return err
	}
	for _, id := range subnets {
		subnet, err := a.subnet(id)
		if err != nil {
			return asInvalidParameter(err)
		}
		if !slices.Contains(zones, subnet.AvailabilityZone) {
			return refuse("InvalidRequestException", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s). Please retry your request by not specifying an Availability Zone or choosing %s.",
				instanceType, subnet.AvailabilityZone, strings.Join(zones, ", "))
		}
	}
	return nil
}

func (a *Account) checkNodeRole(arn string) error {
	missing := refuse("InvalidParameterException", "The role with name %s cannot be found. (Status Code: 404, Error Code: NoSuchEntity)", arn[strings.LastIndex(arn, "/")+1:])
	r, err := a.roleSeenByEKS("CreateNodegroup", arn, missing)
	if err != nil {
		return err
	}
	if !trusts(r.trust, "ec2.amazonaws.com") {
		return refuse("InvalidParameterException", "Following required service principals [ec2.amazonaws.com] were not found in the trust relationships of nodeRole %s", arn)
	}
	return nil
}

// checkSettings looks at what a node group says by itself.
func (n *Nodegroup) checkSettings() error {
	if n.CapacityType == "" {
		n.CapacityType = "ON_DEMAND"
	}
	if n.CapacityType != "ON_DEMAND" && n.CapacityType != "SPOT" {
		return refuse("InvalidParameterException", "capacityType %s is not one of ON_DEMAND, SPOT", n.CapacityType)
	}
	if n.Scaling == (Scaling{}) {
		n.Scaling = Scaling{Min: 1, Max: 2, Desired: 2}
	}
	if err := n.Scaling.check(); err != nil {
		return err
	}
	if n.Update == (UpdateConfig{}) {
		n.Update.MaxUnavailable = 1
	}
	if err := n.Update.check(); err != nil {
		return err
	}
	if err := checkNodeLabels(n.Labels, n.Taints); err != nil {
		return err
	}
	return n.Tags.check("InvalidParameterException")
}

func (s Scaling) check() error {
	switch {
	case s.Min < 0 || s.Desired < 0 || s.Max < 1:
		return refuse("InvalidParameterException", "minSize and desiredSize must be at least 0 and maxSize at least 1; they are %d, %d and %d", s.Min, s.Desired, s.Max)
	case s.Min > s.Desired:
		return refuse("InvalidParameterException", "Minimum capacity %d can't be greater than desired size %d", s.Min, s.Desired)
	case s.Desired > s.Max:
		return refuse("InvalidParameterException", "desired capacity %d can't be greater than max size %d", s.Desired, s.Max)
	}
	return nil
}

func (u UpdateConfig) check() error {
	if (u.MaxUnavailable > 0) == (u.MaxUnavailablePercentage > 0) || u.MaxUnavailable > 100 || u.MaxUnavailablePercentage > 100 {
		return refuse("InvalidParameterException", "One of maxUnavailable (1 to 100) and maxUnavailablePercentage (1 to 100) must be set")
	}
	return nil
}

// checkNodeLabels holds the rules of the API reference for labels and taints of
// node groups.
func checkNodeLabels(labels map[string]string, taints []Taint) error {
	for _, k := range sortedKeys(labels) {
		for _, reserved := range []string{"kubernetes.io/", "k8s.io/", "eks.amazonaws.com/"} {
			if host, _, ok := strings.Cut(k, "/"); ok && (host+"/" == reserved || strings.HasSuffix(host+"/", "."+reserved)) {
				return refuse("InvalidParameterException", "Label cannot contain reserved prefixes [kubernetes.io/, k8s.io/, eks.amazonaws.com/]: %s", k)
			}
		}
	}
	for _, t := range taints {
		if t.Key == "" || !slices.Contains(TaintEffects(), t.Effect) {
			return refuse("InvalidParameterException", "Taint %s=%s:%s must have a key and one of the effects %s", t.Key, t.Value, t.Effect, strings.Join(TaintEffects(), ", "))
		}
	}
	if len(taints) > 50 {
		return refuse("InvalidParameterException", "At most 50 taints may be specified")
	}
	return nil
}

// TaintEffects are the effects as EKS writes them.
func TaintEffects() []string { return []string{"NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"} }

// resolveTemplate finds the version a node group names, and writes the ID, the
// name and the number of the version into ref.
func (a *Account) resolveTemplate(ref *LaunchTemplateRef) (LaunchTemplateData, error) {
	if (ref.ID == "") == (ref.Name == "") {
		return LaunchTemplateData{}, refuse("InvalidParameterException", "You must specify either the launch template ID or the launch template name in the request, but not both.")
	}
	t, err := a.template(ref.ID)
	if ref.Name != "" {
		t, err = a.templateByName(ref.Name)
	}
	if err != nil {
		return LaunchTemplateData{}, passOn("InvalidRequestException", err)
	}
	v, err := t.version(ref.Version)
	if err != nil {
		return LaunchTemplateData{}, passOn("InvalidRequestException", err)
	}
	*ref = LaunchTemplateRef{ID: t.ID, Name: t.Name, Version: strconv.Itoa(v.Number)}
	return v.Data, nil
}

// checkTemplate refuses a launch template with settings that are the node
// group's ("Customize managed nodes with launch templates" lists them).
func (n *Nodegroup) checkTemplate(d LaunchTemplateData) error {
	switch {
	case d.IAMInstanceProfile != "":
		return refuse("InvalidParameterException", "Launch template should not specify an instance profile. The noderole in your request will be used to construct an instance profile.")
	case slices.ContainsFunc(d.NetworkInterfaces, func(i NetworkInterfaceSpec) bool { return i.SubnetID != "" }):
		return refuse("InvalidParameterException", "Launch template should not specify a subnet in its network interfaces. The subnets in your request will be used.")
	case d.ShutdownBehavior != "":
		return refuse("InvalidParameterException", "Launch template should not specify the instance initiated shutdown behavior.")
	case d.Hibernation != nil && *d.Hibernation:
		return refuse("InvalidParameterException", "Launch template should not specify hibernation.")
	case n.DiskSize != 0:
		return refuse("InvalidParameterException", "Disk size must be specified within the launch template.")
	}
	return nil
}

func (a *Account) nodegroup(clusterName, name string) (*cluster, *Nodegroup, error) {
	c, err := a.cluster(clusterName)
	if err != nil {
		return nil, nil, err
	}
	if n, ok := c.nodegroups[name]; ok {
		return c, n, nil
	}
	return nil, nil, refuse("ResourceNotFoundException", "No node group found for name: %s.", name)
}

// DescribeNodegroup finds a node group of a cluster.
func (a *Account) DescribeNodegroup(clusterName, name string) (Nodegroup, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, n, err := a.nodegroup(clusterName, name)
	if err != nil {
		return Nodegroup{}, err
	}
	return n.clone(), nil
}

// ListNodegroups lists the names of a cluster's node groups.
func (a *Account) ListNodegroups(clusterName string) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(clusterName)
	if err != nil {
		return nil, err
	}
	return sortedKeys(c.nodegroups), nil
}

// UpdateNodegroupConfig changes scaling, labels, taints and the update
// settings, all at once.
func (a *Account) UpdateNodegroupConfig(clusterName, name string, scaling Scaling, labels map[string]string, taints []Taint, update UpdateConfig) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, n, err := a.nodegroupToChange(clusterName, name)
	if err != nil {
		return err
	}
	if err := scaling.check(); err != nil {
		return err
	}
	if err := update.check(); err != nil {
		return err
	}
	if err := checkNodeLabels(labels, taints); err != nil {
		return err
	}
	n.Scaling, n.Labels, n.Taints, n.Update = scaling, maps.Clone(labels), slices.Clone(taints), update
	n.Modified = a.timestamp()
	a.fillNodegroup(n)
	return nil
}

// UpdateNodegroupVersion moves a node group to a Kubernetes version ("" is the
// cluster's) or to another version of its launch template (nil keeps it). It returns when its nodes
// are replaced, or with the reason why one could not be: the node group is then what it was.
func (a *Account) UpdateNodegroupVersion(clusterName, name, version string, template *LaunchTemplateRef) error {
	was, err := a.changeNodegroup(clusterName, name, version, template)
	if err != nil {
		return err
	}
	if err := a.rollNodegroup(clusterName, name); err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if _, n, gone := a.nodegroup(clusterName, name); gone == nil {
			*n = was
		}
		return err
	}
	return nil
}

// changeNodegroup makes a node group what its nodes are to be of, and returns what it was.
func (a *Account) changeNodegroup(clusterName, name, version string, template *LaunchTemplateRef) (was Nodegroup, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, n, err := a.nodegroupToChange(clusterName, name)
	if err != nil {
		return was, err
	}
	next := n.clone()
	if next.Version = version; version == "" {
		next.Version = c.Version
	}
	if template != nil {
		if n.LaunchTemplate == nil || template.ID != "" && template.ID != n.LaunchTemplate.ID || template.Name != "" && template.Name != n.LaunchTemplate.Name {
			return was, refuse("InvalidParameterException", "Node group %s can only be updated to another version of the launch template it was made with", name)
		}
		next.LaunchTemplate = &LaunchTemplateRef{ID: n.LaunchTemplate.ID, Version: template.Version}
	} else if n.LaunchTemplate != nil {
		next.LaunchTemplate = &LaunchTemplateRef{ID: n.LaunchTemplate.ID, Version: n.LaunchTemplate.Version}
	}
	if err := a.checkNodegroup(c, &next); err != nil {
		return was, err
	}
	next.Modified = a.timestamp()
	was, *n = *n, next
	return was, nil
}

// DeleteNodegroup deletes a node group with its nodes.
func (a *Account) DeleteNodegroup(clusterName, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, n, err := a.nodegroup(clusterName, name)
	if err != nil {
		return err
	}
	delete(c.nodegroups, name)
	a.emptyNodegroup(n)
	return nil
}
