package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/cluster"
	"eks-gpu-slicing/internal/settings"
	"eks-gpu-slicing/karpenter"
)

// buildCluster makes the cluster, or uses the one that is there.
func buildCluster(ctx *pulumi.Context, s *settings.Settings, found *found) (*cluster.Cluster, error) {
	if s.Existing {
		return cluster.NewExisting(ctx, "cluster", s, found.existing, pulumi.Providers(found.provider))
	}
	return cluster.New(ctx, "cluster", &cluster.Args{
		Settings: s, Account: found.account, Network: found.network, ControllerType: found.controller,
	}, pulumi.Providers(found.provider))
}

// buildKarpenter installs Karpenter, or uses the one that is there, where any pool is
// Karpenter's.
func buildKarpenter(ctx *pulumi.Context, s *settings.Settings, found *found, c *cluster.Cluster, refuse func(settings.Problems)) (*karpenter.Karpenter, error) {
	switch {
	case s.InstallKarpenter:
		return karpenter.New(ctx, "karpenter", &karpenter.Args{Settings: s, Account: found.account, Cluster: c}, pulumi.Providers(found.provider))
	case s.NeedsKarpenter():
		return karpenter.NewExisting(ctx, "karpenter", &karpenter.ExistingArgs{Settings: s, Cluster: c, Refuse: refuse})
	}
	return karpenter.None(), nil
}
