// Command eks-gpu-slicing is a Pulumi program: an EKS cluster on the default
// VPC, Karpenter, and node pools whose GPUs are shared by several pods.
//
// It loads the settings, asks AWS what they depend on, reports every problem at
// once, and only then builds: cluster, Karpenter, slicing, pools.
package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/common/constant"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/gpu"
	"eks-gpu-slicing/internal/settings"
	"eks-gpu-slicing/nodepools"
)

//go:embed Pulumi.yaml
var project []byte

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		config := map[string]string{}
		if text := os.Getenv(pulumi.EnvConfig); text != "" { // the SDK reads single keys only
			if err := json.Unmarshal([]byte(text), &config); err != nil {
				return fmt.Errorf("%s: %w", pulumi.EnvConfig, err)
			}
		}
		refuse := func(problems settings.Problems) {
			// Returned, they would be called an unhandled error.
			if err := ctx.Log.Error(problems.Error(), nil); err != nil {
				fmt.Fprintln(os.Stderr, problems)
			}
			os.Exit(constant.ExitStatusLoggedError)
		}
		err := run(ctx, config, refuse)
		if problems, ok := errors.AsType[settings.Problems](err); ok {
			refuse(problems)
		}
		return err
	})
}

// run builds the stack of a config. Problems that show only while it is built go to
// refuse, which need not return; all others are the error.
func run(ctx *pulumi.Context, config map[string]string, refuse func(settings.Problems)) error {
	schema, err := settings.ParseSchema(project)
	if err != nil {
		return err
	}
	s, problems := settings.Load(schema, config)
	found, err := lookup(ctx, s, &problems)
	if err != nil {
		return errors.Join(problems.Err(), err)
	}
	if err := problems.Err(); err != nil {
		return err
	}

	c, err := buildCluster(ctx, s, found)
	if err != nil {
		return err
	}
	k, err := buildKarpenter(ctx, s, found, c, refuse)
	if err != nil {
		return err
	}
	slicing, err := gpu.New(ctx, "gpu", &gpu.Args{
		Settings: s, Pools: found.pools, Kubernetes: c.Kubernetes, Karpenter: k.Controller, Fit: k.Fit,
	})
	if err != nil {
		return err
	}
	pools, err := nodepools.New(ctx, "pools", &nodepools.Args{
		Settings: s, Network: found.network, Cluster: c, Karpenter: k, Slicing: slicing,
	}, pulumi.Providers(found.provider))
	if err != nil {
		return err
	}

	// These names are a stable interface.
	ctx.Export("clusterName", c.Name)
	ctx.Export("region", pulumi.String(s.Region))
	ctx.Export("kubeconfigCommand", c.KubeconfigCommand(s))
	ctx.Export("kubeconfig", c.Kubeconfig)
	ctx.Export("clusterEndpoint", c.Endpoint)
	ctx.Export("nodeRoleName", k.NodeRole)
	ctx.Export("interruptionQueue", k.Queue)
	ctx.Export("gpuSlices", pulumi.Int(found.pools[0].Sharing.Slices))
	ctx.Export("gpuPools", gpu.Summary(found.pools))
	ctx.Export("nodePools", pulumi.ToStringArray(pools.Names))
	return nil
}
