// Package cluster builds the EKS cluster: the part of the default VPC it uses,
// its control plane, the add-ons, and the node group that carries Karpenter and
// CoreDNS.
//
// Order, and why:
//   - The log group comes before the cluster and goes after it: EKS makes one of
//     that name by itself when there is none, and then nobody deletes it.
//   - vpc-cni and kube-proxy come before the nodes and go after them. A CNI that
//     goes first leaves network interfaces behind.
//   - CoreDNS comes after the nodes, because its add-on waits for a place to run.
//
// Gotchas:
//   - The pulumi-eks component always makes its caller the cluster's
//     administrator (bootstrapClusterCreatorAdminPermissions). That access is
//     there before the API server answers and lasts as long as the cluster, so
//     everything in the cluster waits for it by waiting for the kubeconfig. An
//     access entry of our own for the same principal would be refused.
//   - The component's Core output must not be read: with access entries set, an
//     up fails on it (pulumi-eks issues 1435 and 1476).
package cluster

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-eks/sdk/v2/go/eks"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/account"
	"eks-gpu-slicing/internal/iampolicy"
	"eks-gpu-slicing/internal/instances"
	"eks-gpu-slicing/internal/outputs"
	"eks-gpu-slicing/internal/settings"
)

// logRetentionDays is how long the control plane's logs are kept.
const logRetentionDays = 30

// Args says what to build.
type Args struct {
	// Settings are the stack's.
	Settings *settings.Settings
	// Account is where to build.
	Account *account.Account
	// Network is what LookupNetwork found.
	Network *Network
	// ControllerType describes Settings.ControllerInstanceType.
	ControllerType instances.Type
}

// Cluster is a running EKS cluster with its controller nodes.
type Cluster struct {
	pulumi.ResourceState

	// Name is the cluster's, once it stands.
	Name pulumi.StringOutput
	// Endpoint is the URL of the API server.
	Endpoint pulumi.StringOutput
	// Kubeconfig is JSON and calls `aws eks get-token`: it holds no credential.
	Kubeconfig pulumi.StringOutput
	// SecurityGroupIDs are the groups for Karpenter's nodes. By itself it is the one
	// that EKS made for the cluster: managed nodes are in it.
	SecurityGroupIDs pulumi.StringArray
	// Kubernetes is the provider for everything in the cluster.
	Kubernetes *kubernetes.Provider
	// Controllers is the node group that runs Karpenter; nil in an existing cluster,
	// whose own nodes do.
	Controllers pulumi.Resource
	// PodIdentityAgent hands pods their credentials; nil where an existing cluster has
	// one already.
	PodIdentityAgent pulumi.Resource
	// CoreDNS is the last of the cluster's add-ons, which nothing else waits for; nil in an
	// existing cluster.
	CoreDNS pulumi.Resource
}

// Nodes are the controller nodes to depend on; none where others made them.
func (c *Cluster) Nodes() []pulumi.Resource {
	if c.Controllers == nil {
		return nil
	}
	return []pulumi.Resource{c.Controllers}
}

// New builds the cluster. The caller's provider for AWS must be among opts.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*Cluster, error) {
	c := &Cluster{}
	if err := ctx.RegisterComponentResource("eks-gpu-slicing:cluster:Cluster", name, c, opts...); err != nil {
		return nil, err
	}
	s, parent := args.Settings, pulumi.Parent(c)

	logs, err := cloudwatch.NewLogGroup(ctx, name+"-logs", &cloudwatch.LogGroupArgs{
		Name:            pulumi.String(logGroup(s)),
		RetentionInDays: pulumi.Int(logRetentionDays),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("log group: %w", err)
	}
	role, err := NewRole(ctx, name+"-role", &RoleArgs{
		Name:            s.Name("cluster-"+s.Region, MaxRoleName),
		Trust:           iampolicy.Trust("eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession"),
		ManagedPolicies: []string{args.Account.ManagedPolicy("AmazonEKSClusterPolicy")},
	}, parent)
	if err != nil {
		return nil, err
	}
	nodeRole, err := NewNodeRole(ctx, name+"-controller-node", s.Name("controller-node-"+s.Region, MaxRoleName), args.Account, parent)
	if err != nil {
		return nil, err
	}
	key, err := addSecretsKey(ctx, name, args, role, parent)
	if err != nil {
		return nil, err
	}
	// A component hands none of its own dependencies on to what it makes, so the log
	// group's and the policies' are part of the name: the cluster then comes after
	// them and goes before them. What they give for it is known in a preview.
	before := []pulumi.StringInput{logs.Name}
	for _, a := range role.Attachments {
		before = append(before, a.Role)
	}
	mode, tags := eks.AuthenticationModeApi, pulumi.StringMap{}
	if key != nil {
		tags[settings.SecretsKeyTag] = pulumi.String(s.SecretsEncryption)
	}
	built, err := eks.NewCluster(ctx, name, &eks.ClusterArgs{
		Name:        outputs.After(pulumi.String(s.ClusterName), before...),
		Version:     pulumi.String(s.Version.String()),
		VpcId:       pulumi.String(args.Network.VPCID),
		SubnetIds:   pulumi.ToStringArray(args.Network.SubnetIDs),
		ServiceRole: role.Role,
		// None for the component: it would register the controllers' role where no
		// node group can depend on it.
		InstanceRoles:          iam.RoleArray{},
		AuthenticationMode:     &mode,
		SkipDefaultNodeGroup:   new(true),
		UseDefaultVpcCni:       new(true), // else it applies a manifest of its own with kubectl
		EndpointPrivateAccess:  pulumi.Bool(true),
		EndpointPublicAccess:   pulumi.Bool(true),
		PublicAccessCidrs:      pulumi.ToStringArray(s.PublicAccessCIDRs),
		EncryptionConfigKeyArn: key,
		ClusterTags:            tags,
		EnabledClusterLogTypes: pulumi.ToStringArray([]string{"audit", "authenticator"}),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("EKS cluster %s: %w", s.ClusterName, err)
	}
	c.Name = built.EksCluster.Name()
	c.Endpoint = built.EksCluster.Endpoint()
	// The component's kubeconfig is there once the API server answers. By itself it
	// depends on the component alone, and a destroy would take the cluster from under
	// what is in it.
	authority := built.EksCluster.CertificateAuthority().Data().Elem()
	c.Kubeconfig = outputs.Of(func(v []string) (string, error) {
		return kubeconfig(s, v[0], v[1], v[2])
	}, c.Name, c.Endpoint, authority, built.KubeconfigJson)
	// The SDK reads a value that is unknown within a structure as an empty one. The
	// endpoint is unknown for as long, so that a preview shows neither.
	c.SecurityGroupIDs = pulumi.StringArray{outputs.After(built.EksCluster.VpcConfig().ClusterSecurityGroupId().Elem(), c.Endpoint)}

	if err := c.addNodes(ctx, name, args, nodeRole); err != nil {
		return nil, err
	}
	return c, c.register(ctx, name)
}

// register adds the provider for what is in the cluster, and ends the component.
func (c *Cluster) register(ctx *pulumi.Context, name string) error {
	if err := c.addKubernetes(ctx, name); err != nil {
		return err
	}
	return ctx.RegisterResourceOutputs(c, pulumi.Map{
		"name":       c.Name,
		"endpoint":   c.Endpoint,
		"kubeconfig": c.Kubeconfig,
	})
}
