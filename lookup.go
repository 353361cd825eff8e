package main

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/cluster"
	"eks-gpu-slicing/gpu"
	"eks-gpu-slicing/internal/account"
	"eks-gpu-slicing/internal/instances"
	"eks-gpu-slicing/internal/settings"
	"eks-gpu-slicing/karpenter"
)

// found is what AWS answers before anything is planned.
type found struct {
	provider   *aws.Provider
	account    *account.Account
	network    *cluster.Network
	controller instances.Type
	pools      []*gpu.Pool
}

// lookup asks AWS what the settings depend on. What does not fit is added to
// the problems, so that a user sees those of the settings and those of the
// account in one go; an error is a question that got no answer.
func lookup(ctx *pulumi.Context, s *settings.Settings, problems *settings.Problems) (*found, error) {
	if s.Region == "" {
		return nil, nil // no region, nobody to ask; run reports it
	}
	provider, err := account.NewProvider(ctx, s)
	if err != nil {
		return nil, err
	}
	f, via := &found{provider: provider}, pulumi.Provider(provider)
	if f.account, err = account.Lookup(ctx, s.Region, via); err != nil {
		return nil, err
	}
	f.network, err = cluster.LookupNetwork(ctx, s.Region, via)
	if err := problems.Collect(err); err != nil {
		return nil, err
	}
	if err := problems.Collect(cluster.CheckVersion(ctx, s, via)); err != nil {
		return nil, err
	}
	if err := problems.Collect(cluster.CheckSecretsKey(ctx, s, via)); err != nil {
		return nil, err
	}
	if s.ControllerInstanceType != "" {
		types, err := instances.Lookup(ctx, "controllerInstanceType", []string{s.ControllerInstanceType}, f.network.Zones, via)
		if err := problems.Collect(err); err != nil {
			return nil, err
		}
		if len(types) == 1 {
			f.controller = types[0]
		}
	}
	types := map[string][]instances.Type{} // by the setting that names them
	for i := range s.GPUPools {
		p := &s.GPUPools[i]
		if _, asked := types[p.From.InstanceTypes]; !asked {
			types[p.From.InstanceTypes], err = instances.Lookup(ctx, p.From.InstanceTypes, p.InstanceTypes, f.network.Zones, via)
			if err := problems.Collect(err); err != nil {
				return nil, err
			}
		}
		pool, err := gpu.NewPool(p, types[p.From.InstanceTypes], cluster.DaemonSets()+gpu.DaemonSets(s))
		if err := problems.Collect(err); err != nil {
			return nil, err
		}
		f.pools = append(f.pools, pool)
	}
	if err := cluster.WarnEndpoint(ctx, s); err != nil {
		return nil, err
	}
	return f, karpenter.WarnSpotRole(ctx, s, via)
}
