// Package karpenter installs Karpenter: the permissions of its controller and
// of its nodes, the queue that tells it of interruptions, and its two charts.
//
// Everything but the charts is named by the settings alone, so it is built while
// the cluster is; the charts wait for the controller nodes.
//
// Gotchas:
//   - The CRDs come from a chart of their own. The main chart installs them only
//     the first time and never upgrades them, so it skips them here.
//   - Helm replaces lists: the tolerations below are the chart's and ours.
//   - Karpenter must outlive everything it made. Its permissions, its queue and
//     its nodes' access entry must outlive it.
package karpenter

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/cluster"
	"eks-gpu-slicing/internal/account"
	"eks-gpu-slicing/internal/iampolicy"
	"eks-gpu-slicing/internal/settings"
)

const (
	// Namespace is Karpenter's; API priority and fairness favours kube-system.
	Namespace = "kube-system"
	// serviceAccount is the chart's name for its service account.
	serviceAccount = "karpenter"
	chartSource    = "oci://public.ecr.aws/karpenter/"
	// installSeconds bounds the wait for the controller to be ready.
	installSeconds = 600
)

// Args says what to install, and where.
type Args struct {
	// Settings are the stack's.
	Settings *settings.Settings
	// Account is where nodes are launched.
	Account *account.Account
	// Cluster is where Karpenter runs.
	Cluster *cluster.Cluster
}

// Karpenter is a running Karpenter.
type Karpenter struct {
	pulumi.ResourceState

	// NodeRole is the name of the role for the nodes it launches, and Queue that of the
	// interruption queue; empty for a Karpenter that an existing cluster has.
	NodeRole, Queue pulumi.StringOutput
	// Controller is what runs it; what Karpenter manages depends on it.
	Controller pulumi.Resource
	// Fit holds what is known only once a Karpenter that was there is found fit. The
	// names of what it manages must come after it; see [outputs.After].
	Fit []pulumi.StringInput
}

// None is for a stack of which no node is Karpenter's.
func None() *Karpenter {
	none := pulumi.String("").ToStringOutput()
	return &Karpenter{NodeRole: none, Queue: none}
}

func queueName(s *settings.Settings) string { return s.Name("karpenter", 80) } // CreateQueue's limit

// New installs Karpenter.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*Karpenter, error) {
	k := &Karpenter{}
	if err := ctx.RegisterComponentResource("eks-gpu-slicing:karpenter:Karpenter", name, k, opts...); err != nil {
		return nil, err
	}
	s, c, parent := args.Settings, args.Cluster, pulumi.Parent(k)

	nodeRoleName := s.Name("karpenter-node-"+s.Region, cluster.MaxRoleName)
	nodeRole, err := cluster.NewNodeRole(ctx, name+"-node", nodeRoleName, args.Account, parent)
	if err != nil {
		return nil, err
	}
	k.NodeRole = nodeRole.Name
	controller, err := controllerRole(ctx, name, args, nodeRoleName, parent)
	if err != nil {
		return nil, err
	}
	queue, err := k.addQueue(ctx, name, args, parent)
	if err != nil {
		return nil, err
	}
	spot, err := addSpotRole(ctx, name, s, parent)
	if err != nil {
		return nil, err
	}

	entry, err := cluster.NewNodeEntry(ctx, name+"-node", c.Name, nodeRole, parent)
	if err != nil {
		return nil, err
	}
	identity, err := eks.NewPodIdentityAssociation(ctx, name+"-controller", &eks.PodIdentityAssociationArgs{
		ClusterName:    c.Name,
		Namespace:      pulumi.String(Namespace),
		ServiceAccount: pulumi.String(serviceAccount),
		RoleArn:        controller.Arn,
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("pod identity of Karpenter's controller: %w", err)
	}

	// The charts come after all that the controller needs, so that a destroy
	// takes none of it from under a controller that still drains nodes.
	needs := append(c.Nodes(), entry, identity)
	if c.PodIdentityAgent != nil {
		needs = append(needs, c.PodIdentityAgent)
	}
	needs = append(needs, nodeRole.Ready()...)
	needs = append(needs, controller.Ready()...)
	needs = append(needs, queue...)
	needs = append(needs, spot...)
	if err := k.addCharts(ctx, name, args, needs, parent); err != nil {
		return nil, err
	}
	return k, ctx.RegisterResourceOutputs(k, pulumi.Map{
		"nodeRole": k.NodeRole,
		"queue":    k.Queue,
	})
}

// controllerRole makes the role that the controller's pods get by Pod Identity.
func controllerRole(ctx *pulumi.Context, name string, args *Args, nodeRole string, opts ...pulumi.ResourceOption) (*cluster.Role, error) {
	s := args.Settings
	role, err := cluster.NewRole(ctx, name+"-controller", &cluster.RoleArgs{
		Name:  s.Name("karpenter-"+s.Region, cluster.MaxRoleName),
		Trust: iampolicy.Trust("pods.eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession"),
	}, opts...)
	if err != nil {
		return nil, err
	}
	policies := ControllerPolicies(PolicyArgs{Account: args.Account, Cluster: s.ClusterName, NodeRole: nodeRole, Queue: queueName(s), SharedNetwork: s.Existing})
	for _, p := range policies {
		policy, err := iam.NewPolicy(ctx, name+"-"+p.Part, &iam.PolicyArgs{
			Name:   pulumi.String(s.Name("karpenter-"+p.Part+"-"+s.Region, 128)), // CreatePolicy's limit
			Policy: pulumi.String(p.Document.JSON()),
		}, opts...)
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", p.Part, err)
		}
		if err := role.Attach(ctx, name+"-"+p.Part, policy.Arn, opts...); err != nil {
			return nil, err
		}
	}
	return role, nil
}

// addCharts installs the CRDs, then the controller.
func (k *Karpenter) addCharts(ctx *pulumi.Context, name string, args *Args, needs []pulumi.Resource, parent pulumi.ResourceOption) error {
	s, provider := args.Settings, pulumi.Provider(args.Cluster.Kubernetes)
	version := pulumi.String(s.KarpenterVersion)
	crds, err := NewRelease(ctx, name+"-crd", &ReleaseArgs{
		Chart:     pulumi.String(chartSource + "karpenter-crd"),
		Version:   version,
		Name:      pulumi.String("karpenter-crd"),
		Namespace: pulumi.String(Namespace),
	}, parent, provider, pulumi.DependsOn(args.Cluster.Nodes()))
	if err != nil {
		return fmt.Errorf("chart karpenter-crd: %w", err)
	}
	k.Controller, err = NewRelease(ctx, name, &ReleaseArgs{
		Chart:     pulumi.String(chartSource + "karpenter"),
		Version:   version,
		Name:      pulumi.String("karpenter"),
		Namespace: pulumi.String(Namespace),
		Values:    chartValues(args, k.Queue),
		SkipCRDs:  pulumi.Bool(true),
		Timeout:   pulumi.Int(installSeconds),
	}, parent, provider, pulumi.DependsOn(append(needs, crds)))
	if err != nil {
		return fmt.Errorf("chart karpenter: %w", err)
	}
	return nil
}

// chartValues are what differs from the chart's own values.
func chartValues(args *Args, queue pulumi.StringInput) pulumi.Map {
	s := args.Settings
	toleration := func(key string) pulumi.Map {
		return pulumi.Map{"key": pulumi.String(key), "operator": pulumi.String("Exists")}
	}
	values := pulumi.Map{
		"settings": pulumi.Map{
			"clusterName":       args.Cluster.Name,
			"interruptionQueue": queue,
			// The version then comes from EKS, which is what AMI aliases go by.
			"eksControlPlane": pulumi.Bool(true),
			"featureGates": pulumi.Map{
				// Off by default; without it Karpenter ignores the overlays, sees one
				// GPU a node and launches one node a pod.
				"nodeOverlay": pulumi.Bool(true),
			},
		},
		"replicas": pulumi.Int(2), // on hosts of their own
		"controller": pulumi.Map{
			"resources": pulumi.Map{ // Karpenter's getting-started guide
				"requests": pulumi.Map{"cpu": pulumi.String("1"), "memory": pulumi.String("1Gi")},
				"limits":   pulumi.Map{"cpu": pulumi.String("1"), "memory": pulumi.String("1Gi")},
			},
			// The hop limit keeps pods from the instance's metadata, so the region
			// must be told.
			"env": pulumi.Array{pulumi.Map{"name": pulumi.String("AWS_REGION"), "value": pulumi.String(s.Region)}},
		},
		// CoreDNS may be down while there are no nodes; Karpenter must not need it.
		"dnsPolicy": pulumi.String("Default"),
	}
	if !s.Existing { // whose nodes are others', and may be any but Karpenter's own
		values["replicas"] = pulumi.Int(min(2, s.ControllerDesired))
		values["nodeSelector"] = pulumi.StringMap{cluster.ControllerLabel: pulumi.String("true")}
		values["tolerations"] = pulumi.Array{toleration("CriticalAddonsOnly"), toleration(cluster.ControllerLabel)}
	}
	return values
}
