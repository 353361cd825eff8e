package cluster

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/account"
	"eks-gpu-slicing/internal/iampolicy"
)

// MaxRoleName is the longest name of a role IAM takes (IAM user guide, "IAM and
// AWS STS quotas"). IAM has no regions, so a role's name carries the region:
// clusters of one name in two regions must not meet in it.
const MaxRoleName = 64

// RoleArgs describes a role.
type RoleArgs struct {
	// Name is the role's physical name.
	Name string
	// Trust says who may assume it.
	Trust iampolicy.Document
	// ManagedPolicies are the ARNs of policies to attach, AWS's own.
	ManagedPolicies []string
}

// Role is a role and what is attached to it. What uses the role must depend on
// Attachments too, or it starts before it may do anything, and is still at work
// when its permissions are gone.
type Role struct {
	*iam.Role
	// Attachments are in the order of RoleArgs.ManagedPolicies.
	Attachments []*iam.RolePolicyAttachment
}

// Ready lists the resources to depend on.
func (r *Role) Ready() []pulumi.Resource {
	ready := []pulumi.Resource{r.Role}
	for _, a := range r.Attachments {
		ready = append(ready, a)
	}
	return ready
}

// NewRole makes a role and attaches policies to it.
func NewRole(ctx *pulumi.Context, name string, args *RoleArgs, opts ...pulumi.ResourceOption) (*Role, error) {
	role, err := iam.NewRole(ctx, name, &iam.RoleArgs{
		Name:             pulumi.String(args.Name),
		AssumeRolePolicy: pulumi.String(args.Trust.JSON()),
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("role %s: %w", args.Name, err)
	}
	r := &Role{Role: role}
	for i, arn := range args.ManagedPolicies {
		if err := r.Attach(ctx, fmt.Sprintf("%s-%d", name, i), pulumi.String(arn), opts...); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Attach attaches one more policy.
func (r *Role) Attach(ctx *pulumi.Context, name string, arn pulumi.StringInput, opts ...pulumi.ResourceOption) error {
	attachment, err := iam.NewRolePolicyAttachment(ctx, name, &iam.RolePolicyAttachmentArgs{
		Role:      r.Name,
		PolicyArn: arn,
	}, opts...)
	if err != nil {
		return fmt.Errorf("attach policy %s: %w", name, err)
	}
	r.Attachments = append(r.Attachments, attachment)
	return nil
}

// nodePolicies are what an EKS node's role needs (EKS user guide, "Amazon EKS
// node IAM role"; Karpenter's getting-started template).
var nodePolicies = []string{
	"AmazonEKSWorkerNodePolicy",
	"AmazonEKS_CNI_Policy",
	"AmazonEC2ContainerRegistryPullOnly",
	"AmazonSSMManagedInstanceCore",
}

// NewNodeRole makes a role for EC2 instances that are EKS nodes.
func NewNodeRole(ctx *pulumi.Context, name, physical string, in *account.Account, opts ...pulumi.ResourceOption) (*Role, error) {
	args := &RoleArgs{Name: physical, Trust: iampolicy.Trust("ec2."+in.DNSSuffix, "sts:AssumeRole")}
	for _, policy := range nodePolicies {
		args.ManagedPolicies = append(args.ManagedPolicies, in.ManagedPolicy(policy))
	}
	return NewRole(ctx, name, args, opts...)
}

// NewNodeEntry lets instances of a node role join the cluster.
func NewNodeEntry(ctx *pulumi.Context, name string, cluster pulumi.StringInput, role *Role, opts ...pulumi.ResourceOption) (*eks.AccessEntry, error) {
	entry, err := eks.NewAccessEntry(ctx, name, &eks.AccessEntryArgs{
		ClusterName:  cluster,
		PrincipalArn: role.Arn,
		Type:         pulumi.String("EC2_LINUX"),
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("access entry %s: %w", name, err)
	}
	return entry, nil
}
