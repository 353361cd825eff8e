// Package nodepools tells Karpenter which nodes it may launch: the x86 and
// arm64 NodePools and those of GPUs, and the EC2NodeClasses that say what a node is made of.
//
// Down is the reverse of up, and designed: a NodePool is deleted in the
// foreground and is gone only when its nodes are, an EC2NodeClass only after its
// pools, Karpenter only after both. All pools depend on the same things, the CPU
// ones on the slicing of GPUs too, so that they drain at once. A drain is bounded by the pools'
// terminationGracePeriod, without which one pod that must not be disrupted holds
// it for ever, and the engine waits longer than that: the provider's own default
// is shorter than a slow drain. Before all of that a guard looks for what others
// made (guard.go), and after it a security group waits for the last instance
// (group.go).
package nodepools

import (
	"fmt"
	"slices"
	"time"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/cluster"
	"eks-gpu-slicing/gpu"
	"eks-gpu-slicing/internal/settings"
	"eks-gpu-slicing/karpenter"
	karpenterv1 "eks-gpu-slicing/manifests/karpenter/v1"
	karpenteraws "eks-gpu-slicing/manifests/karpenteraws/v1"
)

const (
	// terminationGrace is how long a node may drain before its pods are killed.
	terminationGrace = 30 * time.Minute
	// deleteTimeout is how long the engine waits for a pool or class to go: a
	// drain, and instances that EC2 takes minutes to terminate.
	deleteTimeout = terminationGrace + 15*time.Minute
	// readyTimeout is how long Karpenter may take to call an object ready.
	readyTimeout = 5 * time.Minute
)

// Args says what the pools are made of.
type Args struct {
	// Settings are the stack's.
	Settings *settings.Settings
	// Network is where nodes run that are made of the stack's own classes.
	Network *cluster.Network
	// Cluster is what nodes join.
	Cluster *cluster.Cluster
	// Karpenter launches them.
	Karpenter *karpenter.Karpenter
	// Slicing must be in place before a GPU node is planned.
	Slicing *gpu.Slicing
}

// NodePools are the stack's pools.
type NodePools struct {
	pulumi.ResourceState

	// Names are the NodePools'.
	Names []string
}

// pools are the NodePools to make. A Karpenter that was there has CPU pools already,
// and gets none: they would take the pods that its own are for.
func pools(args *Args) []pool {
	var all []pool
	s := args.Settings
	if s.InstallKarpenter && s.CPULimit > 0 {
		all = cpuPools(s.CPULimit)
	}
	class := gpuClass
	if !s.InstallKarpenter {
		class = theirClass(s.NodeClass)
	}
	for _, p := range args.Slicing.Pools {
		if p.Karpenter() {
			all = append(all, gpuPool(p, class))
		}
	}
	return all
}

// New makes the classes and the pools.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*NodePools, error) {
	n := &NodePools{}
	if err := ctx.RegisterComponentResource("eks-gpu-slicing:nodepools:NodePools", name, n, opts...); err != nil {
		return nil, err
	}
	common := []pulumi.ResourceOption{
		pulumi.Parent(n), pulumi.Provider(args.Cluster.Kubernetes),
		pulumi.Timeouts(&pulumi.CustomTimeouts{
			Create: readyTimeout.String(), Update: readyTimeout.String(), Delete: deleteTimeout.String(),
		}),
	}
	if args.Karpenter.Controller != nil {
		common = append(common, pulumi.DependsOn([]pulumi.Resource{args.Karpenter.Controller}))
	}
	pools := pools(args)
	classes := map[string]pulumi.Resource{}
	var group *ec2.SecurityGroup
	for _, p := range pools {
		if c := p.class; !c.theirs && classes[c.name] == nil {
			if group == nil {
				var err error
				if group, err = addGroup(ctx, name, args, pulumi.Parent(n), pulumi.DependsOn([]pulumi.Resource{args.Karpenter.Controller})); err != nil {
					return nil, err
				}
			}
			made, err := karpenteraws.NewEC2NodeClass(ctx, name+"-class-"+c.name, classArgs(c, args, group.ID()), common...)
			if err != nil {
				return nil, fmt.Errorf("EC2NodeClass %s: %w", c.name, err)
			}
			classes[c.name] = made
		}
	}
	var made []pulumi.Resource
	for _, p := range pools {
		// A CPU pool needs no slices. But the engine destroys in layers: a pool that
		// waited for less would be in the layer of what the others waited for, and
		// start to drain only when they are gone.
		after := slices.Clip(args.Slicing.Ready)
		if of := classes[p.class.name]; of != nil {
			after = append(after, of)
		}
		one, err := karpenterv1.NewNodePool(ctx, name+"-"+p.name, p.args(args.Karpenter.Fit), append(slices.Clip(common), pulumi.DependsOn(after))...)
		if err != nil {
			return nil, fmt.Errorf("NodePool %s: %w", p.name, err)
		}
		made = append(made, one)
		n.Names = append(n.Names, p.name)
	}
	// A Karpenter that was there outlives the stack, and so may what it manages.
	if s := args.Settings; s.InstallKarpenter && !s.Version.Less(guardedFrom) {
		if err := addGuard(ctx, name, args, n.Names, made, pulumi.Parent(n), pulumi.Provider(args.Cluster.Kubernetes)); err != nil {
			return nil, err
		}
	}
	return n, ctx.RegisterResourceOutputs(n, pulumi.Map{"names": pulumi.ToStringArray(n.Names)})
}
