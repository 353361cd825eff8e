package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/account"
	"eks-gpu-slicing/internal/settings"
)

// Existing is a cluster that was there before the stack.
type Existing struct {
	// Network is where nodes run: see LookupExisting.
	Network *Network
	// endpoint is the API server's URL, authority its CA as base64.
	endpoint, authority string
	// securityGroup is the one that EKS made for the cluster.
	securityGroup string
	// agent tells that the Pod Identity agent is missing, or the stack's.
	agent bool
}

// Statuses and authentication modes of clusters (EKS API reference, Cluster and
// AccessConfigResponse).
const (
	statusActive   = "ACTIVE"
	statusUpdating = "UPDATING"
	modeAPI        = "API"
	modeConfigMap  = "CONFIG_MAP"
)

// LookupExisting finds an existing cluster and tells the settings which version it
// runs. The network is that of the nodes that the stack's Karpenter launches; the
// cluster's own Karpenter has its own, so then it is all zones of the region. It
// returns settings.Problems for a cluster that is not there, that the caller may not
// read or reach, that is not in order, or in which the stack cannot work.
func LookupExisting(ctx *pulumi.Context, s *settings.Settings, in *account.Account, opts ...pulumi.InvokeOption) (*Existing, error) {
	none := &Existing{Network: &Network{}}
	found, err := eks.LookupCluster(ctx, &eks.LookupClusterArgs{Name: s.ClusterName}, opts...)
	if err != nil {
		return none, unreadable(ctx, s, in, err, opts...)
	}
	problems := checkStatus(s, found.Status)
	if len(problems) > 0 {
		return none, problems
	}
	version, err := settings.ParseVersion(found.Version)
	if err != nil {
		problems.Add("existingCluster", s.ClusterName, "a cluster of a version that this program knows how to compare; it runs "+found.Version, describe(s))
		return none, problems
	}
	problems = append(problems, s.Runs(version)...)
	mode := ""
	if len(found.AccessConfigs) > 0 {
		mode = found.AccessConfigs[0].AuthenticationMode
	}
	auto := len(found.ComputeConfigs) > 0 && found.ComputeConfigs[0].Enabled
	problems = append(problems, checkAccessMode(s, mode)...)
	problems = append(problems, checkAutoMode(s, auto)...)
	if mode == modeAPI {
		if err := problems.Collect(checkCaller(ctx, s, in, opts...)); err != nil {
			return nil, err
		}
	}
	e := &Existing{Network: &Network{}, endpoint: found.Endpoint, securityGroup: found.VpcConfig.ClusterSecurityGroupId}
	if len(found.CertificateAuthorities) > 0 {
		e.authority = found.CertificateAuthorities[0].Data
	}
	if err := warnPrivate(ctx, s, found.VpcConfig); err != nil {
		return nil, err
	}
	if err := warn(ctx, othersOpen(s, found.VpcConfig)); err != nil {
		return nil, err
	}
	var groups []*eks.LookupNodeGroupResult
	if s.InstallKarpenter {
		if e.agent, err = lacksAgent(ctx, s, opts...); err != nil {
			return nil, err
		}
		if groups, err = nodeGroups(ctx, s, opts...); err != nil {
			return nil, err
		}
		if err := warnNodes(ctx, s, groups); err != nil {
			return nil, err
		}
		if err := warnSecurityGroups(ctx, s, e.securityGroup, groups, opts...); err != nil {
			return nil, err
		}
		if err := warn(ctx, lacksIPv6(s, found.KubernetesNetworkConfigs)); err != nil {
			return nil, err
		}
	}
	e.Network, err = nodeNetwork(ctx, s, found.VpcConfig, groups, opts...)
	if err := problems.Collect(err); err != nil {
		return nil, err
	}
	return e, problems.Err()
}

// warn shows a warning; "" is none.
func warn(ctx *pulumi.Context, text string) error {
	if text == "" {
		return nil
	}
	return ctx.Log.Warn(text, nil)
}

// unreadable says why a cluster could not be looked up.
func unreadable(ctx *pulumi.Context, s *settings.Settings, in *account.Account, err error, opts ...pulumi.InvokeOption) error {
	var problems settings.Problems
	switch {
	case absent(err):
		want := "an EKS cluster in " + s.Region
		mend := fmt.Sprintf("aws eks list-clusters --region %s shows those there are; or pulumi config rm existingCluster, and the stack makes one", s.Region)
		if all, err := eks.GetClusters(ctx, opts...); err == nil && len(all.Names) > 0 {
			slices.Sort(all.Names)
			want += "; there are " + strings.Join(all.Names, ", ")
			mend = settings.Set("existingCluster", all.Names[0])
		}
		problems.Add("existingCluster", s.ClusterName, want, mend)
	case denied(err):
		problems.Add("existingCluster", s.ClusterName, fmt.Sprintf("a cluster that you may read: %s is denied eks:DescribeCluster", in.Caller),
			fmt.Sprintf("allow %s eks:DescribeCluster on %s; then %s", in.Caller, in.ARN("eks", "cluster/"+s.ClusterName), describe(s)))
	default:
		return fmt.Errorf("EKS cluster %s: %w", s.ClusterName, err)
	}
	return problems
}

// absent and denied tell what became of a look-up, by the words of
// terraform-provider-aws and of the AWS SDK.
func absent(err error) bool { return strings.Contains(err.Error(), "couldn't find resource") }

func denied(err error) bool {
	return strings.Contains(err.Error(), "AccessDenied") || strings.Contains(err.Error(), "StatusCode: 403")
}

func describe(s *settings.Settings) string {
	return fmt.Sprintf("aws eks describe-cluster --region %s --name %s", s.Region, s.ClusterName)
}

func checkStatus(s *settings.Settings, status string) (problems settings.Problems) {
	switch status {
	case statusActive, statusUpdating:
	case "CREATING", "PENDING":
		problems.Add("existingCluster", s.ClusterName, "a cluster that is ready; this one is still "+status,
			fmt.Sprintf("aws eks wait cluster-active --region %s --name %s", s.Region, s.ClusterName))
	default:
		problems.Add("existingCluster", s.ClusterName, "a cluster that works; this one is "+status, describe(s)+" tells why; or pulumi config set existingCluster NAME")
	}
	return problems
}

// checkAccessMode: nodes of the stack's role are let in by an access entry.
func checkAccessMode(s *settings.Settings, mode string) (problems settings.Problems) {
	if s.InstallKarpenter && mode == modeConfigMap {
		problems.Add("existingCluster", s.ClusterName, "a cluster with access entries, which let Karpenter's nodes in; its authentication mode is "+mode+
			". The mode below keeps the aws-auth ConfigMap, and EKS does not go back from it",
			fmt.Sprintf("aws eks update-cluster-config --region %s --name %s --access-config authenticationMode=API_AND_CONFIG_MAP", s.Region, s.ClusterName))
	}
	return problems
}

// checkAutoMode: EKS Auto Mode is a Karpenter of AWS's, in which no gate can be
// turned on, and whose definitions of the Karpenter API are no chart's.
func checkAutoMode(s *settings.Settings, auto bool) (problems settings.Problems) {
	if auto && s.NeedsKarpenter() {
		problems.Add("existingCluster", s.ClusterName, "a cluster without EKS Auto Mode, whose Karpenter takes no NodeOverlays; GPU nodes that are there can be sliced",
			settings.Set("installKarpenter", "false")+" && "+settings.Set("gpuNodeLabel", "KEY=VALUE"))
	}
	return problems
}

// checkCaller looks for the access entry of whoever calls: where the mode is API,
// nobody gets in without one. Who may not look it up is not told.
func checkCaller(ctx *pulumi.Context, s *settings.Settings, in *account.Account, opts ...pulumi.InvokeOption) error {
	session, err := iam.GetSessionContext(ctx, &iam.GetSessionContextArgs{Arn: in.Caller}, opts...)
	if err != nil {
		return nil //nolint:nilerr // a role whose path IAM alone can tell
	}
	_, err = eks.LookupAccessEntry(ctx, &eks.LookupAccessEntryArgs{ClusterName: s.ClusterName, PrincipalArn: session.IssuerArn}, opts...)
	if err == nil || !absent(err) {
		return nil
	}
	var problems settings.Problems
	at := fmt.Sprintf("--region %s --cluster-name %s --principal-arn %s", s.Region, s.ClusterName, session.IssuerArn)
	problems.Add("existingCluster", s.ClusterName, fmt.Sprintf("a cluster that lets you in: it has no access entry for %s", session.IssuerArn),
		fmt.Sprintf("aws eks create-access-entry %s && aws eks associate-access-policy %[1]s --access-scope type=cluster --policy-arn arn:%s:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
			at, in.Partition))
	return problems
}

// nodeNetwork is where nodes run: by default where those of the managed node groups do.
// The cluster's own subnets are its control plane's, and those may have no way out, as
// with terraform-aws-eks's control_plane_subnet_ids.
func nodeNetwork(ctx *pulumi.Context, s *settings.Settings, vpc eks.GetClusterVpcConfig, groups []*eks.LookupNodeGroupResult, opts ...pulumi.InvokeOption) (*Network, error) {
	zones, err := aws.GetAvailabilityZones(ctx, &aws.GetAvailabilityZonesArgs{
		Filters: []aws.GetAvailabilityZonesFilter{{Name: "zone-type", Values: []string{"availability-zone"}}},
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("availability zones of %s: %w", s.Region, err)
	}
	network := &Network{VPCID: vpc.VpcId}
	if !s.InstallKarpenter {
		network.Zones = zones.Names
		return network, nil
	}
	var problems settings.Problems
	ids := s.NodeSubnets
	if len(ids) == 0 {
		for _, g := range groups {
			ids = append(ids, g.SubnetIds...)
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
	}
	if len(ids) == 0 {
		ids = vpc.SubnetIds
	}
	for _, id := range ids {
		subnet, err := ec2.LookupSubnet(ctx, &ec2.LookupSubnetArgs{Id: &id}, opts...)
		switch {
		case err != nil && len(s.NodeSubnets) > 0:
			problems.Add("nodeSubnets", id, fmt.Sprintf("a subnet that you may read: %v", err), "aws ec2 describe-subnets --region "+s.Region+" --filters Name=vpc-id,Values="+vpc.VpcId)
		case err != nil:
			return nil, fmt.Errorf("subnet %s: %w", id, err)
		case subnet.VpcId != vpc.VpcId:
			problems.Add("nodeSubnets", id, fmt.Sprintf("a subnet of the cluster's VPC, %s; this one is of %s", vpc.VpcId, subnet.VpcId),
				"aws ec2 describe-subnets --region "+s.Region+" --filters Name=vpc-id,Values="+vpc.VpcId)
		case slices.Contains(zones.ZoneIds, subnet.AvailabilityZoneId): // no Local or Wavelength Zone
			network.add(id, subnet.AvailabilityZone)
		}
	}
	if len(network.SubnetIDs) == 0 && len(problems) == 0 {
		problems.Add("nodeSubnets", strings.Join(s.NodeSubnets, " "), "a subnet in an availability zone, for Karpenter's nodes: the cluster's are in Local or Wavelength Zones",
			"aws ec2 describe-subnets --region "+s.Region+" --filters Name=vpc-id,Values="+vpc.VpcId+"; then "+settings.Set("nodeSubnets[0]", "ID"))
	}
	network.sort()
	return network, problems.Err()
}

// warnPrivate warns of an endpoint that only the cluster's network reaches: from
// elsewhere the engine waits in vain, and says that the cluster is unreachable.
func warnPrivate(ctx *pulumi.Context, s *settings.Settings, vpc eks.GetClusterVpcConfig) error {
	if vpc.EndpointPublicAccess {
		return nil
	}
	return ctx.Log.Warn(fmt.Sprintf("the API endpoint of cluster %s is private: run Pulumi where VPC %s is reached, or it will find the cluster unreachable", s.ClusterName, vpc.VpcId), nil)
}

// lacksAgent tells whether the stack has the Pod Identity agent to make: there is
// none, or it is the stack's.
func lacksAgent(ctx *pulumi.Context, s *settings.Settings, opts ...pulumi.InvokeOption) (bool, error) {
	agent, err := eks.LookupAddon(ctx, &eks.LookupAddonArgs{ClusterName: s.ClusterName, AddonName: podIdentityAgent.name}, opts...)
	switch {
	case err == nil:
		return agent.Tags[settings.ClusterTag] == s.ClusterName, nil
	case absent(err):
		return true, nil
	}
	return false, fmt.Errorf("add-on %s of cluster %s: %w", podIdentityAgent.name, s.ClusterName, err)
}

// nodeGroups are the managed node groups of the cluster, by name.
func nodeGroups(ctx *pulumi.Context, s *settings.Settings, opts ...pulumi.InvokeOption) (all []*eks.LookupNodeGroupResult, err error) {
	names, err := eks.GetNodeGroups(ctx, &eks.GetNodeGroupsArgs{ClusterName: s.ClusterName}, opts...)
	if err != nil {
		return nil, fmt.Errorf("node groups of cluster %s: %w", s.ClusterName, err)
	}
	for _, name := range slices.Sorted(slices.Values(names.Names)) {
		group, err := eks.LookupNodeGroup(ctx, &eks.LookupNodeGroupArgs{ClusterName: s.ClusterName, NodeGroupName: name}, opts...)
		if err != nil {
			return nil, fmt.Errorf("node group %s: %w", name, err)
		}
		all = append(all, group)
	}
	return all, nil
}

// warnSecurityGroups warns of managed node groups whose nodes are in other security
// groups than the stack's. Who may not read their launch templates is not told.
func warnSecurityGroups(ctx *pulumi.Context, s *settings.Settings, made string, groups []*eks.LookupNodeGroupResult, opts ...pulumi.InvokeOption) error {
	if len(s.NodeSecurityGroups) > 0 {
		return nil
	}
	for _, g := range groups {
		for _, of := range g.LaunchTemplates {
			template, err := ec2.LookupLaunchTemplate(ctx, &ec2.LookupLaunchTemplateArgs{Id: &of.Id}, opts...)
			if err != nil {
				continue
			}
			theirs := template.VpcSecurityGroupIds
			for _, i := range template.NetworkInterfaces {
				theirs = append(theirs, i.SecurityGroups...)
			}
			if apart := groupsApart(g.NodeGroupName, made, theirs); apart != "" {
				return ctx.Log.Warn(apart, nil)
			}
		}
	}
	return nil
}

// groupsApart tells of nodes that are in security groups of their launch template and
// not in the one that EKS made, which the stack's nodes are in by default; "" where they
// are in that one, as they are where the template names none.
func groupsApart(nodeGroup, made string, theirs []string) string {
	if len(theirs) == 0 || slices.Contains(theirs, made) {
		return ""
	}
	var mend []string
	for i, id := range theirs {
		mend = append(mend, settings.Set(fmt.Sprintf("nodeSecurityGroups[%d]", i), id))
	}
	return fmt.Sprintf("the launch template of node group %s puts its nodes into %s, and not into %s, the group that EKS made and that the stack's nodes are in: these may not reach the pods on those, CoreDNS above all; mend: %s",
		nodeGroup, strings.Join(theirs, ", "), made, strings.Join(mend, " && "))
}

// lacksIPv6 tells of a cluster whose pods have addresses that the nodes' role does not let
// them have, "" of another: AmazonEKS_CNI_Policy is for IPv4 (EKS user guide, "Amazon EKS
// node IAM role").
func lacksIPv6(s *settings.Settings, networks []eks.GetClusterKubernetesNetworkConfig) string {
	if len(networks) == 0 || networks[0].IpFamily != "ipv6" {
		return ""
	}
	return fmt.Sprintf("pods of cluster %s have IPv6 addresses, and the role of the stack's nodes does not allow ec2:AssignIpv6Addresses: these get ready only where the VPC CNI has a role of its own that does; "+
		"aws eks describe-addon --region %s --cluster-name %[1]s --addon-name vpc-cni shows it", s.ClusterName, s.Region)
}

// warnNodes warns where Karpenter has no two nodes to run on. It does not run on
// nodes of its own, and nodes that are not of managed groups do not show.
func warnNodes(ctx *pulumi.Context, s *settings.Settings, groups []*eks.LookupNodeGroupResult) error {
	nodes := 0
	for _, group := range groups {
		for _, scaling := range group.ScalingConfigs {
			nodes += scaling.DesiredSize
		}
	}
	if nodes >= 2 {
		return nil
	}
	mend := fmt.Sprintf("aws eks create-nodegroup --region %s --cluster-name %s …", s.Region, s.ClusterName)
	if len(groups) > 0 {
		mend = fmt.Sprintf("aws eks update-nodegroup-config --region %s --cluster-name %s --nodegroup-name %s --scaling-config minSize=2,desiredSize=2", s.Region, s.ClusterName, groups[0].NodeGroupName)
	}
	return ctx.Log.Warn(fmt.Sprintf("the managed node groups of cluster %s have %d nodes, and Karpenter's two replicas run on hosts of their own: the up waits for both; mend, unless there are other nodes: %s",
		s.ClusterName, nodes, mend), nil)
}

// NewExisting is New for a cluster that is there: it makes nothing but what is
// missing in it.
func NewExisting(ctx *pulumi.Context, name string, s *settings.Settings, e *Existing, opts ...pulumi.ResourceOption) (*Cluster, error) {
	c := &Cluster{}
	if err := ctx.RegisterComponentResource("eks-gpu-slicing:cluster:Cluster", name, c, opts...); err != nil {
		return nil, err
	}
	access, err := kubeconfig(s, s.ClusterName, e.endpoint, e.authority)
	if err != nil {
		return nil, err
	}
	c.Name = pulumi.String(s.ClusterName).ToStringOutput()
	c.Endpoint = pulumi.String(e.endpoint).ToStringOutput()
	c.Kubeconfig = pulumi.String(access).ToStringOutput()
	c.SecurityGroupIDs = pulumi.ToStringArray([]string{e.securityGroup})
	if len(s.NodeSecurityGroups) > 0 {
		c.SecurityGroupIDs = pulumi.ToStringArray(s.NodeSecurityGroups)
	}
	if e.agent {
		agent := podIdentityAgent
		agent.yields = true // one that Helm put there is no add-on, and not the stack's to replace
		if c.PodIdentityAgent, err = agent.add(ctx, name, c, s.Version); err != nil {
			return nil, err
		}
	}
	return c, c.register(ctx, name)
}
