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
	existing   *cluster.Existing // nil where the stack makes the cluster
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
	if s.Existing {
		err = f.existingCluster(ctx, s, problems, via)
	} else {
		err = f.newCluster(ctx, s, problems, via)
	}
	if err != nil {
		return nil, err
	}
	unfit, warning := karpenter.CheckVersion(s)
	if err := problems.Collect(unfit.Err()); err != nil {
		return nil, err
	}
	if warning != "" {
		if err := ctx.Log.Warn(warning, nil); err != nil {
			return nil, err
		}
	}
	if err := problems.Collect(karpenter.CheckQueue(ctx, s, via)); err != nil {
		return nil, err
	}
	if err := f.gpuPools(ctx, s, problems, via); err != nil {
		return nil, err
	}
	if !s.NeedsKarpenter() {
		return f, nil
	}
	return f, karpenter.WarnSpotRole(ctx, s, via)
}

// newCluster looks up what a cluster is to be made of.
func (f *found) newCluster(ctx *pulumi.Context, s *settings.Settings, problems *settings.Problems, via pulumi.InvokeOption) error {
	standing, err := cluster.LookupStanding(ctx, s, via)
	if err != nil {
		return err
	}
	network, err := cluster.LookupNetwork(ctx, s.Region, standing, via)
	f.network = network
	if err := problems.Collect(err); err != nil {
		return err
	}
	if err := problems.Collect(cluster.CheckLife(ctx, s, standing, via)); err != nil {
		return err
	}
	if err := problems.Collect(cluster.CheckLogs(ctx, s, standing, via)); err != nil {
		return err
	}
	if err := problems.Collect(cluster.CheckSecretsKey(ctx, s, via)); err != nil {
		return err
	}
	if s.ControllerInstanceType != "" {
		types, err := instances.Lookup(ctx, "controllerInstanceType", []string{s.ControllerInstanceType}, f.network.Zones, via)
		if err := problems.Collect(err); err != nil {
			return err
		}
		if len(types) == 1 {
			f.controller = types[0]
		}
	}
	return cluster.WarnEndpoint(ctx, s)
}

// existingCluster looks up a cluster that is there.
func (f *found) existingCluster(ctx *pulumi.Context, s *settings.Settings, problems *settings.Problems, via pulumi.InvokeOption) error {
	f.network = &cluster.Network{}
	if s.ClusterName == "" {
		return nil // reported where it is missing
	}
	existing, err := cluster.LookupExisting(ctx, s, f.account, via)
	if existing != nil {
		f.existing, f.network = existing, existing.Network
	}
	return problems.Collect(err)
}

// gpuPools describes the pools of GPUs. What others' nodes are is not asked.
func (f *found) gpuPools(ctx *pulumi.Context, s *settings.Settings, problems *settings.Problems, via pulumi.InvokeOption) error {
	types := map[string][]instances.Type{} // by the setting that names them
	for i := range s.GPUPools {
		p := &s.GPUPools[i]
		var of []instances.Type
		if p.Nodes == (settings.NodeLabel{}) {
			key := p.From.InstanceTypes
			if _, asked := types[key]; !asked {
				var err error
				types[key], err = instances.Lookup(ctx, key, p.InstanceTypes, f.network.Zones, via)
				if err := problems.Collect(err); err != nil {
					return err
				}
			}
			of = types[key]
		}
		pool, err := gpu.NewPool(p, of, cluster.DaemonSets()+gpu.DaemonSets(s))
		if err := problems.Collect(err); err != nil {
			return err
		}
		f.pools = append(f.pools, pool)
	}
	return nil
}
