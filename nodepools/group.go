package nodepools

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// addGroup makes a security group without rules that all nodes of the stack's classes
// bear beside those that let them talk.
//
// It has a destroy wait for the last instance. When Karpenter dies between the launch of
// an instance and the writing down of it, no NodeClaim holds the pools back for it, and it
// would outlive the cluster. EC2 deletes no group that an instance bears, so the deletion of
// this one, which comes after the classes' and before Karpenter's, is tried again until
// Karpenter's garbage collection has ended that instance: it looks every two minutes, and
// the AWS provider tries for fifteen (resourceSecurityGroupDelete of terraform-provider-aws).
//
// It has no tag kubernetes.io/cluster/…: load balancers take a node's rules to be in the one
// group that has it, and refuse nodes with two.
func addGroup(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*ec2.SecurityGroup, error) {
	group, err := ec2.NewSecurityGroup(ctx, name+"-nodes", &ec2.SecurityGroupArgs{
		Name:        pulumi.String(args.Settings.Name("karpenter-nodes", maxGroupName)),
		Description: pulumi.String("Borne by the nodes of Karpenter; it lets nothing through, and cannot be deleted before they are gone"),
		VpcId:       pulumi.String(args.Network.VPCID),
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("security group of the nodes: %w", err)
	}
	return group, nil
}

// maxGroupName is CreateSecurityGroup's limit.
const maxGroupName = 255
