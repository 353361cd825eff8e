package wire

import (
	"net/http"
	"strings"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// eksOperations are the EKS actions that Karpenter, nodes, `aws eks update-kubeconfig` and
// `rehearse leftovers` use.
func eksOperations() map[string]operation {
	return map[string]operation{
		"DescribeCluster": (*call).describeCluster,
		"ListClusters":    (*call).listClusters,
		"ListNodegroups":  (*call).listNodegroups,

		"DescribeAccessEntry":            (*call).describeAccessEntry,
		"DescribeAddon":                  (*call).describeAddon,
		"DescribePodIdentityAssociation": (*call).describePodIdentityAssociation,
		"ListPodIdentityAssociations":    (*call).listPodIdentityAssociations,
	}
}

// route names the operation of a method and path of EKS's REST APIs.
func route(method, path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if parts[0] != "clusters" {
		return method + " " + path
	}
	switch {
	case method == http.MethodGet && len(parts) == 1:
		return "ListClusters"
	case method == http.MethodGet && len(parts) == 2:
		return "DescribeCluster"
	case method == http.MethodGet && len(parts) == 3 && parts[2] == "node-groups":
		return "ListNodegroups"
	case method == http.MethodGet && len(parts) == 3 && parts[2] == "pod-identity-associations":
		return "ListPodIdentityAssociations"
	case method == http.MethodGet && len(parts) == 4 && parts[2] == "pod-identity-associations":
		return "DescribePodIdentityAssociation"
	case method == http.MethodGet && len(parts) == 4 && parts[2] == "addons":
		return "DescribeAddon"
	case method == http.MethodGet && len(parts) > 3 && parts[2] == "access-entries": // an ARN has slashes
		return "DescribeAccessEntry"
	case method == http.MethodPost && len(parts) == 3 && parts[2] == "assume-role-for-pod-identity":
		return "AssumeRoleForPodIdentity"
	}
	return method + " " + path
}

// clusterInPath is the cluster that a path names.
func (c *call) clusterInPath() string {
	return strings.Split(strings.Trim(c.request.URL.Path, "/"), "/")[1]
}

// clusterTarget is a cluster as IAM sees it, whether it is there or not.
func (c *call) clusterTarget(name string) (authz.Target, account.Cluster, error) {
	cluster, err := c.account.DescribeCluster(name)
	target := authz.Target{Type: "cluster", ARN: cluster.ARN, Tags: cluster.Tags}
	if err != nil {
		target.ARN = "arn:aws:eks:" + c.account.Region() + ":" + account.ID + ":cluster/" + name
	}
	return target, cluster, err
}

func (c *call) describeCluster() (any, error) {
	target, cluster, missing := c.clusterTarget(c.clusterInPath())
	if err := c.authorize(authz.Call{Action: "eks:DescribeCluster", Targets: []authz.Target{target}}); err != nil {
		return nil, err
	}
	if missing != nil {
		return nil, missing
	}
	type authority struct {
		Data string `json:"data"`
	}
	type network struct {
		CIDR   string `json:"serviceIpv4Cidr"`
		Family string `json:"ipFamily"`
	}
	type access struct {
		Mode string `json:"authenticationMode"`
	}
	type oidc struct {
		Issuer string `json:"issuer"`
	}
	type identity struct {
		OIDC oidc `json:"oidc"`
	}
	type vpc struct {
		ID      string   `json:"vpcId"`
		Subnets []string `json:"subnetIds"`
		Groups  []string `json:"securityGroupIds"`
		Own     string   `json:"clusterSecurityGroupId"`
		Public  bool     `json:"endpointPublicAccess"`
		Private bool     `json:"endpointPrivateAccess"`
		CIDRs   []string `json:"publicAccessCidrs"`
	}
	type body struct {
		Name            string            `json:"name"`
		ARN             string            `json:"arn"`
		CreatedAt       int64             `json:"createdAt"`
		Version         string            `json:"version"`
		PlatformVersion string            `json:"platformVersion"`
		Endpoint        string            `json:"endpoint"`
		RoleARN         string            `json:"roleArn"`
		Status          string            `json:"status"`
		Authority       authority         `json:"certificateAuthority"`
		Network         network           `json:"kubernetesNetworkConfig"`
		VPC             vpc               `json:"resourcesVpcConfig"`
		Access          access            `json:"accessConfig"`
		Identity        identity          `json:"identity"`
		Tags            map[string]string `json:"tags"`
	}
	v := cluster.VPC
	return map[string]body{"cluster": {
		Name: cluster.Name, ARN: cluster.ARN, CreatedAt: cluster.CreatedAt.Unix(), Version: cluster.Version, PlatformVersion: cluster.PlatformVersion,
		Endpoint: cluster.Endpoint, RoleARN: cluster.RoleARN, Status: cluster.Status, Authority: authority{cluster.CertificateAuthority},
		Network: network{cluster.ServiceIPv4CIDR, cluster.IPFamily}, Access: access{cluster.AuthenticationMode}, Identity: identity{oidc{cluster.OIDCIssuer}},
		VPC:  vpc{v.VPCID, v.SubnetIDs, v.SecurityGroupIDs, v.ClusterSecurityGroupID, v.EndpointPublicAccess, v.EndpointPrivateAccess, v.PublicAccessCIDRs},
		Tags: cluster.Tags,
	}}, nil
}

func (c *call) listNodegroups() (any, error) {
	name := c.clusterInPath()
	target, _, missing := c.clusterTarget(name)
	if err := c.authorize(authz.Call{Action: "eks:ListNodegroups", Targets: []authz.Target{target}}); err != nil {
		return nil, err
	}
	if missing != nil {
		return nil, missing
	}
	names, err := c.account.ListNodegroups(name)
	if err != nil {
		return nil, err
	}
	return map[string][]string{"nodegroups": append([]string{}, names...)}, nil
}

func (c *call) listClusters() (any, error) {
	if err := c.authorize(authz.Call{Action: "eks:ListClusters"}); err != nil {
		return nil, err
	}
	return map[string][]string{"clusters": append([]string{}, c.account.ListClusters()...)}, nil
}
