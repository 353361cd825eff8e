package account

import (
	"slices"
	"strings"
	"time"
)

// Types of access entries. All but STANDARD are for nodes.
const (
	AccessStandard = "STANDARD"
	AccessEC2Linux = "EC2_LINUX"
)

// AccessEntryTypes are the types an access entry can have (API reference,
// CreateAccessEntry).
func AccessEntryTypes() []string {
	return []string{AccessStandard, AccessEC2Linux, "EC2_WINDOWS", "FARGATE_LINUX", "EC2", "HYBRID_LINUX", "HYPERPOD_LINUX"}
}

// AccessEntry lets an IAM principal into a cluster.
type AccessEntry struct {
	ClusterName, PrincipalARN, ARN, Type, Username string
	KubernetesGroups                               []string
	// PrincipalID is the unique ID of the role the entry was made for. A role
	// made again under the same name has another one, and the entry does not
	// let it in ("Grant IAM users access to Kubernetes with EKS access
	// entries"). "" for users and principals of other accounts.
	PrincipalID       string
	Created, Modified time.Time
	Tags              Tags
}

// AccessPolicyAssociation gives an access entry the permissions of a policy.
type AccessPolicyAssociation struct {
	PolicyARN string
	// ScopeType is cluster or namespace; Namespaces are for the latter.
	ScopeType            string
	Namespaces           []string
	Associated, Modified time.Time
}

type accessEntry struct {
	AccessEntry
	policies []AccessPolicyAssociation
}

func (e *accessEntry) clone() AccessEntry {
	c := e.AccessEntry
	c.KubernetesGroups, c.Tags = slices.Clone(e.KubernetesGroups), e.Tags.with(nil)
	return c
}

// CreateAccessEntryInput says what an access entry is to be. Type "" is
// STANDARD; Username "" is made from the principal.
type CreateAccessEntryInput struct {
	ClusterName, PrincipalARN, Type, Username string
	KubernetesGroups                          []string
	Tags                                      Tags
}

// CreateAccessEntry lets a principal into a cluster. A principal has one entry
// only, and EKS makes the entry of a managed node group's role by itself.
func (a *Account) CreateAccessEntry(in CreateAccessEntryInput) (AccessEntry, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.apiCluster(in.ClusterName)
	if err != nil {
		return AccessEntry{}, err
	}
	if in.Type == "" {
		in.Type = AccessStandard
	}
	if !slices.Contains(AccessEntryTypes(), in.Type) {
		return AccessEntry{}, refuse("InvalidParameterException", "The type %s is not one of %s", in.Type, strings.Join(AccessEntryTypes(), ", "))
	}
	if err := a.checkPrincipal(in); err != nil {
		return AccessEntry{}, err
	}
	if _, taken := c.entries[in.PrincipalARN]; taken {
		return AccessEntry{}, refuse("ResourceInUseException", "The specified access entry resource is already in use on this cluster.")
	}
	if err := checkAccess(in.Type, in.Username, in.KubernetesGroups); err != nil {
		return AccessEntry{}, err
	}
	if err := in.Tags.check("InvalidParameterException"); err != nil {
		return AccessEntry{}, err
	}
	return a.newAccessEntry(c, in).clone(), nil
}

// apiCluster finds a cluster that has access entries.
func (a *Account) apiCluster(name string) (*cluster, error) {
	c, err := a.cluster(name)
	if err != nil {
		return nil, err
	}
	if c.AuthenticationMode == AuthConfigMap {
		return nil, refuse("InvalidRequestException", "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation.")
	}
	return c, nil
}

func (a *Account) checkPrincipal(in CreateAccessEntryInput) error {
	service, resource, ok := cutARN(in.PrincipalARN)
	isRole := strings.HasPrefix(resource, "role/")
	invalid := refuse("InvalidParameterException", "The specified principalArn is invalid: invalid principal.")
	switch {
	case !ok || service != "iam" || !isRole && !strings.HasPrefix(resource, "user/"):
		return invalid
	case in.Type != AccessStandard && !isRole:
		return refuse("InvalidParameterException", "The principalArn of an access entry of type %s must be that of a role", in.Type)
	case !strings.HasPrefix(in.PrincipalARN, "arn:aws:iam::"+ID+":"):
		return nil // another account's, which EKS cannot look into
	case !isRole && in.PrincipalARN != CallerARN:
		return invalid
	case isRole:
		_, err := a.roleSeenByEKS("CreateAccessEntry", in.PrincipalARN, invalid)
		return err
	}
	return nil
}

// cutARN gives an ARN's service and resource.
func cutARN(arn string) (service, resource string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return "", "", false
	}
	return parts[2], parts[5], true
}

// checkAccess holds the rules of "Create access entries" in the EKS User Guide.
func checkAccess(kind, username string, groups []string) error {
	if kind != AccessStandard && (username != "" || len(groups) > 0) {
		return refuse("InvalidParameterException", "An access entry of type %s takes neither a username nor kubernetesGroups", kind)
	}
	for _, prefix := range []string{"system:", "eks:", "aws:", "amazon:", "iam:"} {
		if strings.HasPrefix(username, prefix) {
			return refuse("InvalidParameterException", "The username %s is invalid, it cannot start with %s", username, prefix)
		}
		for _, g := range groups {
			if strings.HasPrefix(g, prefix) {
				return refuse("InvalidParameterException", "The kubernetes group name %s is invalid, it cannot start with %s", g, prefix)
			}
		}
	}
	return nil
}

func (a *Account) newAccessEntry(c *cluster, in CreateAccessEntryInput) *accessEntry {
	_, resource, _ := cutARN(in.PrincipalARN)
	kind, _, _ := strings.Cut(resource, "/")
	name := resource[strings.LastIndex(resource, "/")+1:]
	e := &accessEntry{AccessEntry: AccessEntry{
		ClusterName: c.Name, PrincipalARN: in.PrincipalARN, Type: in.Type, Username: in.Username,
		ARN:              a.arn("eks", strings.Join([]string{"access-entry", c.Name, kind, ID, name, a.nextUUID()}, "/")),
		KubernetesGroups: slices.Clone(in.KubernetesGroups), Created: a.timestamp(), Modified: a.timestamp(), Tags: in.Tags.with(nil),
	}}
	if r := a.roleByARN(in.PrincipalARN); r != nil {
		e.PrincipalID = r.ID
	}
	switch {
	case e.Type == AccessEC2Linux:
		e.Username, e.KubernetesGroups = "system:node:{{EC2PrivateDNSName}}", []string{"system:nodes"}
	case e.Type != AccessStandard:
		e.Username = "system:node:{{SessionName}}"
	case e.Username == "":
		e.Username = defaultUsername(in.PrincipalARN, kind, name)
	}
	c.entries[e.PrincipalARN] = e
	return e
}

// defaultUsername is what EKS calls a principal in the audit log.
func defaultUsername(arn, kind, name string) string {
	if kind == "role" {
		account := strings.SplitN(arn, ":", 6)[4]
		return "arn:aws:sts::" + account + ":assumed-role/" + name + "/{{SessionName}}"
	}
	return arn
}

// bootstrapAdmin makes who created the cluster its administrator.
func (a *Account) bootstrapAdmin(c *cluster) {
	e := a.newAccessEntry(c, CreateAccessEntryInput{PrincipalARN: CallerARN, Type: AccessStandard})
	e.policies = []AccessPolicyAssociation{{
		PolicyARN: accessPolicyARN("AmazonEKSClusterAdminPolicy"), ScopeType: "cluster", Associated: e.Created, Modified: e.Created,
	}}
}

func (a *Account) entry(clusterName, principalARN string) (*accessEntry, error) {
	c, err := a.apiCluster(clusterName)
	if err != nil {
		return nil, err
	}
	if e, ok := c.entries[principalARN]; ok {
		return e, nil
	}
	return nil, refuse("ResourceNotFoundException", "The specified principalArn could not be found. You can view your available access entries with 'aws eks list-access-entries'.")
}

// DescribeAccessEntry finds a principal's entry.
func (a *Account) DescribeAccessEntry(clusterName, principalARN string) (AccessEntry, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, err := a.entry(clusterName, principalARN)
	if err != nil {
		return AccessEntry{}, err
	}
	return e.clone(), nil
}

// ListAccessEntries lists the principals that have an entry.
func (a *Account) ListAccessEntries(clusterName string) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.apiCluster(clusterName)
	if err != nil {
		return nil, err
	}
	return sortedKeys(c.entries), nil
}

// UpdateAccessEntry changes username and groups of an entry; principal and type
// stay for ever.
func (a *Account) UpdateAccessEntry(clusterName, principalARN, username string, groups []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, err := a.entry(clusterName, principalARN)
	if err != nil {
		return err
	}
	if err := checkAccess(e.Type, username, groups); err != nil {
		return err
	}
	if username != "" {
		e.Username = username
	}
	e.KubernetesGroups, e.Modified = slices.Clone(groups), a.timestamp()
	return nil
}

// DeleteAccessEntry shuts a principal out.
func (a *Account) DeleteAccessEntry(clusterName, principalARN string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.entry(clusterName, principalARN); err != nil {
		return err
	}
	delete(a.eks.clusters[clusterName].entries, principalARN)
	return nil
}

func accessPolicyARN(name string) string { return "arn:aws:eks::aws:cluster-access-policy/" + name }

// accessPolicies are the policies that entries can be given ("Review access
// policy permissions" in the EKS User Guide).
func accessPolicies() []string {
	names := []string{
		"AmazonEKSAdminPolicy", "AmazonEKSAdminViewPolicy", "AmazonEKSAutoNodePolicy",
		"AmazonEKSBlockStorageClusterPolicy", "AmazonEKSBlockStoragePolicy", "AmazonEKSClusterAdminPolicy",
		"AmazonEKSClusterInsightsPolicy", "AmazonEKSComputeClusterPolicy", "AmazonEKSComputePolicy",
		"AmazonEKSEditPolicy", "AmazonEKSHybridPolicy", "AmazonEKSLoadBalancingClusterPolicy",
		"AmazonEKSLoadBalancingPolicy", "AmazonEKSNetworkingClusterPolicy", "AmazonEKSNetworkingPolicy",
		"AmazonEKSSecretReaderPolicy", "AmazonEKSViewPolicy",
	}
	for i, n := range names {
		names[i] = accessPolicyARN(n)
	}
	return names
}

// AssociateAccessPolicy gives an entry a policy, or changes the scope it has it
// in. Only STANDARD entries take policies.
func (a *Account) AssociateAccessPolicy(clusterName, principalARN, policyARN, scopeType string, namespaces []string) (AccessPolicyAssociation, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, err := a.entry(clusterName, principalARN)
	if err != nil {
		return AccessPolicyAssociation{}, err
	}
	switch {
	case !slices.Contains(accessPolicies(), policyARN):
		return AccessPolicyAssociation{}, refuse("InvalidParameterException", "The policyArn %s is not one of %s", policyARN, strings.Join(accessPolicies(), ", "))
	case e.Type != AccessStandard && e.Type != "EC2":
		return AccessPolicyAssociation{}, refuse("InvalidRequestException", "Access policies cannot be associated with an access entry of type %s", e.Type)
	case scopeType != "cluster" && scopeType != "namespace":
		return AccessPolicyAssociation{}, refuse("InvalidParameterException", "accessScope type %s is not one of cluster, namespace", scopeType)
	case (scopeType == "namespace") != (len(namespaces) > 0):
		return AccessPolicyAssociation{}, refuse("InvalidParameterException", "accessScope of type namespace, and only that, takes namespaces")
	}
	p := AccessPolicyAssociation{PolicyARN: policyARN, ScopeType: scopeType, Namespaces: slices.Clone(namespaces), Associated: a.timestamp(), Modified: a.timestamp()}
	policies := slices.Clone(e.policies)
	if at := slices.IndexFunc(policies, func(have AccessPolicyAssociation) bool { return have.PolicyARN == policyARN }); at >= 0 {
		p.Associated = policies[at].Associated
		policies[at] = p
	} else {
		policies = append(policies, p)
	}
	e.policies = policies
	return p, nil
}

// ListAssociatedAccessPolicies lists the policies of an entry in the order they
// were associated.
func (a *Account) ListAssociatedAccessPolicies(clusterName, principalARN string) ([]AccessPolicyAssociation, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, err := a.entry(clusterName, principalARN)
	if err != nil {
		return nil, err
	}
	return slices.Clone(e.policies), nil
}

// DisassociateAccessPolicy takes a policy off an entry.
func (a *Account) DisassociateAccessPolicy(clusterName, principalARN, policyARN string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, err := a.entry(clusterName, principalARN)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(e.policies, func(p AccessPolicyAssociation) bool { return p.PolicyARN == policyARN })
	if at < 0 {
		return refuse("ResourceNotFoundException", "The access policy %s is not associated with %s", policyARN, principalARN)
	}
	e.policies = slices.Delete(slices.Clone(e.policies), at, at+1)
	return nil
}
