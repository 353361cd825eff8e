package account

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

type eksState struct {
	clusters map[string]*cluster // by name
}

func (s *eksState) init() { *s = eksState{clusters: map[string]*cluster{}} }

func (s *eksState) leftovers(add func(string, []string)) {
	add("AWS::EKS::Cluster", sortedKeys(s.clusters))
	for _, name := range sortedKeys(s.clusters) {
		add("AWS::EKS::Nodegroup", sortedKeys(s.clusters[name].nodegroups))
	}
}

// Authentication modes of a cluster.
const (
	AuthConfigMap       = "CONFIG_MAP"
	AuthAPIAndConfigMap = "API_AND_CONFIG_MAP"
	AuthAPI             = "API"
)

// LogTypes are the kinds of control plane logs.
func LogTypes() []string {
	return []string{"api", "audit", "authenticator", "controllerManager", "scheduler"}
}

// Cluster is an EKS cluster.
type Cluster struct {
	Name, ARN, Version, PlatformVersion, Status, RoleARN string
	Endpoint                                             string
	// CertificateAuthority is the base64 of the CA's PEM.
	CertificateAuthority string
	OIDCIssuer           string
	VPC                  ClusterVPC
	LogTypes             []string
	AuthenticationMode   string
	// SecretsKeyARN is the KMS key that encrypts what the cluster stores; "" is one
	// that AWS owns.
	SecretsKeyARN string
	// BootstrapAdmin says that the creator was made an administrator.
	BootstrapAdmin bool
	// ServiceIPv4CIDR is where services get their addresses; IPFamily is ipv4.
	ServiceIPv4CIDR, IPFamily string
	// SupportType is EXTENDED or STANDARD: what happens when standard support
	// of the version ends.
	SupportType string
	CreatedAt   time.Time
	Tags        Tags
}

// ClusterVPC is a cluster's network.
type ClusterVPC struct {
	VPCID string
	// ClusterSecurityGroupID is the group that EKS made with the cluster.
	ClusterSecurityGroupID                      string
	SubnetIDs, SecurityGroupIDs                 []string
	EndpointPublicAccess, EndpointPrivateAccess bool
	PublicAccessCIDRs                           []string
}

func (v ClusterVPC) clone() ClusterVPC {
	v.SubnetIDs, v.SecurityGroupIDs = slices.Clone(v.SubnetIDs), slices.Clone(v.SecurityGroupIDs)
	v.PublicAccessCIDRs = slices.Clone(v.PublicAccessCIDRs)
	return v
}

type cluster struct {
	Cluster
	entries      map[string]*accessEntry // by principal ARN
	addons       map[string]*Addon       // by name
	nodegroups   map[string]*Nodegroup   // by name
	associations map[string]*PodIdentityAssociation
}

func (c *cluster) clone() Cluster {
	out := c.Cluster
	out.VPC, out.LogTypes, out.Tags = c.VPC.clone(), slices.Clone(c.LogTypes), c.Tags.with(nil)
	return out
}

// CreateClusterInput says what a cluster is to be. Zero values are EKS's
// defaults: the default version, CONFIG_MAP, 172.20.0.0/16, EXTENDED, everybody
// may reach the public endpoint.
type CreateClusterInput struct {
	Name, Version, RoleARN       string
	VPC                          ClusterVPC
	LogTypes                     []string
	AuthenticationMode           string
	SecretsKeyARN                string
	BootstrapAdmin               bool
	ServiceIPv4CIDR, SupportType string
	Tags                         Tags
}

// CreateCluster makes a cluster, and what EKS makes with it: the cluster
// security group, the creator's access entry, the log group if logs are on and
// there is none, and the account's EKS roles the first time.
func (a *Account) CreateCluster(in CreateClusterInput) (Cluster, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(in.Name) == 0 || len(in.Name) > 100 || !regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9\-_]*$`).MatchString(in.Name) {
		return Cluster{}, refuse("InvalidParameterException", "Cluster name %q must have 1 to 100 characters and match ^[0-9A-Za-z][A-Za-z0-9\\-_]*$", in.Name)
	}
	if _, taken := a.eks.clusters[in.Name]; taken {
		return Cluster{}, refuse("ResourceInUseException", "Cluster already exists with name: %s", in.Name)
	}
	in.defaults()
	version, err := a.offered(in.Version)
	if err != nil {
		return Cluster{}, err
	}
	if err := a.checkClusterRole(in.RoleARN); err != nil {
		return Cluster{}, err
	}
	if in.VPC.VPCID, err = a.checkClusterVPC(in.Name, in.VPC); err != nil {
		return Cluster{}, err
	}
	if err := checkLogTypes(in.LogTypes); err != nil {
		return Cluster{}, err
	}
	if !slices.Contains([]string{AuthConfigMap, AuthAPIAndConfigMap, AuthAPI}, in.AuthenticationMode) {
		return Cluster{}, refuse("InvalidParameterException", "authenticationMode %s is not one of CONFIG_MAP, API_AND_CONFIG_MAP, API", in.AuthenticationMode)
	}
	if err := checkServiceCIDR(in.ServiceIPv4CIDR); err != nil {
		return Cluster{}, err
	}
	if err := checkSupportType(in.SupportType); err != nil {
		return Cluster{}, err
	}
	if err := in.Tags.check("InvalidParameterException"); err != nil {
		return Cluster{}, err
	}
	if in.SecretsKeyARN != "" {
		if in.SecretsKeyARN, err = a.checkSecretsKey(in.SecretsKeyARN); err != nil {
			return Cluster{}, err
		}
	}
	id := a.nextHex()[:32]
	endpoint, ca, err := a.plane(in.Name, id)
	if err != nil {
		return Cluster{}, refuse("ServerException", "%s", err)
	}
	if err := a.ensureServiceLinkedRole("eks.amazonaws.com"); err != nil {
		return Cluster{}, err
	}
	in.VPC.ClusterSecurityGroupID = a.newClusterSecurityGroup(in.Name, in.VPC.VPCID).ID
	c := &cluster{
		Cluster: Cluster{
			Name: in.Name, ARN: a.arn("eks", "cluster/"+in.Name), Version: in.Version, PlatformVersion: version.PlatformVersion,
			Status: "ACTIVE", RoleARN: in.RoleARN, Endpoint: endpoint, CertificateAuthority: encodeCA(ca),
			OIDCIssuer: "https://oidc.eks." + a.region + ".amazonaws.com/id/" + strings.ToUpper(id),
			VPC:        in.VPC.clone(), LogTypes: slices.Clone(in.LogTypes), AuthenticationMode: in.AuthenticationMode,
			SecretsKeyARN: in.SecretsKeyARN, BootstrapAdmin: in.BootstrapAdmin, ServiceIPv4CIDR: in.ServiceIPv4CIDR, IPFamily: "ipv4",
			SupportType: in.SupportType, CreatedAt: a.timestamp(), Tags: in.Tags.with(nil),
		},
		entries: map[string]*accessEntry{}, addons: map[string]*Addon{}, nodegroups: map[string]*Nodegroup{},
		associations: map[string]*PodIdentityAssociation{},
	}
	a.eks.clusters[c.Name] = c
	if c.BootstrapAdmin && c.AuthenticationMode != AuthConfigMap {
		a.bootstrapAdmin(c)
	}
	a.eks.writeLogs(a)
	return c.clone(), nil
}

func (in *CreateClusterInput) defaults() {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&in.Version, defaultEKSVersion)
	set(&in.AuthenticationMode, AuthConfigMap)
	set(&in.ServiceIPv4CIDR, "172.20.0.0/16")
	set(&in.SupportType, "EXTENDED")
	in.VPC.defaults()
}

func (v *ClusterVPC) defaults() {
	if v.EndpointPublicAccess && len(v.PublicAccessCIDRs) == 0 {
		v.PublicAccessCIDRs = []string{"0.0.0.0/0"}
	}
}

// newClusterSecurityGroup makes the group that EKS puts on the control plane
// and on managed nodes ("View Amazon EKS security group requirements").
func (a *Account) newClusterSecurityGroup(cluster, vpcID string) *securityGroup {
	a.serial++
	g := a.newSecurityGroup("eks-cluster-sg-"+cluster+"-"+strconv.Itoa(1_000_000_000+a.serial),
		"EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as well as any managed workloads.",
		vpcID, Tags{
			"Name":                             "eks-cluster-sg-" + cluster + "-" + strconv.Itoa(1_000_000_000+a.serial),
			"aws:eks:cluster-name":             cluster,
			"kubernetes.io/cluster/" + cluster: "owned",
		})
	g.Rules = append(g.Rules, SecurityGroupRule{
		ID: a.nextID("sgr"), RulePeer: RulePeer{GroupID: g.ID}, RulePorts: RulePorts{Protocol: "-1", FromPort: -1, ToPort: -1},
	})
	return g
}

// writeLogs makes the log groups of clusters whose logs are on.
func (s *eksState) writeLogs(a *Account) {
	for name, c := range s.clusters {
		if _, there := a.logs.groups[clusterLogGroup(name)]; !there && len(c.LogTypes) > 0 {
			a.newLogGroup(clusterLogGroup(name), "STANDARD", nil)
		}
	}
}

// usesSecurityGroup tells whether a control plane's network interfaces bear
// the group.
func (s *eksState) usesSecurityGroup(id string) bool {
	for _, c := range s.clusters {
		if c.VPC.ClusterSecurityGroupID == id || slices.Contains(c.VPC.SecurityGroupIDs, id) {
			return true
		}
	}
	return false
}

func (a *Account) cluster(name string) (*cluster, error) {
	if c, ok := a.eks.clusters[name]; ok {
		return c, nil
	}
	return nil, refuse("ResourceNotFoundException", "No cluster found for name: %s.", name)
}

// DescribeCluster finds a cluster by name.
func (a *Account) DescribeCluster(name string) (Cluster, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(name)
	if err != nil {
		return Cluster{}, err
	}
	return c.clone(), nil
}

// ListClusters lists the names of the clusters.
func (a *Account) ListClusters() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return sortedKeys(a.eks.clusters)
}

// DeleteCluster deletes a cluster without node groups, and with it its add-ons,
// access entries, Pod Identity associations and cluster security group. The log
// group stays, and so does the security group while another one's rules name it or
// an instance bears it.
func (a *Account) DeleteCluster(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(name)
	if err != nil {
		return err
	}
	if len(c.nodegroups) > 0 {
		return refuse("ResourceInUseException", "Cluster has nodegroups attached")
	}
	delete(a.eks.clusters, name)
	own := c.VPC.ClusterSecurityGroupID
	for _, g := range a.ec2.groups {
		if g.ID != own && slices.ContainsFunc(g.Rules, func(r SecurityGroupRule) bool { return r.GroupID == own }) {
			return nil
		}
	}
	if a.compute.usesGroup(own) {
		return nil
	}
	delete(a.ec2.groups, own)
	return nil
}

// TagEKSResource is EKS's TagResource, for anything EKS has made by its ARN.
func (a *Account) TagEKSResource(arn string, tags Tags) error {
	if err := tags.check("BadRequestException"); err != nil {
		return err
	}
	return a.changeEKSTags(arn, func(t Tags) Tags { return t.with(tags) })
}

// UntagEKSResource is EKS's UntagResource.
func (a *Account) UntagEKSResource(arn string, keys []string) error {
	return a.changeEKSTags(arn, func(t Tags) Tags { return t.without(keys) })
}

func (a *Account) changeEKSTags(arn string, change func(Tags) Tags) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[string]*Tags{}
	for _, c := range a.eks.clusters {
		all[c.ARN] = &c.Tags
		for e := range maps.Values(c.entries) {
			all[e.ARN] = &e.Tags
		}
		for d := range maps.Values(c.addons) {
			all[d.ARN] = &d.Tags
		}
		for n := range maps.Values(c.nodegroups) {
			all[n.ARN] = &n.Tags
		}
		for p := range maps.Values(c.associations) {
			all[p.ARN] = &p.Tags
		}
	}
	tags, ok := all[arn]
	if !ok {
		return refuse("NotFoundException", "No resource found for ARN: %s", arn)
	}
	*tags = change(*tags)
	return nil
}
