package cluster

import (
	"encoding/json"
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// addon is an EKS add-on the stack manages.
type addon struct {
	// name is EKS's name of it.
	name string
	// daemonSet tells that it puts one pod on every node.
	daemonSet bool
	// values configure it; nil leaves EKS's own.
	values any
}

var (
	vpcCNI           = addon{name: "vpc-cni", daemonSet: true}
	kubeProxy        = addon{name: "kube-proxy", daemonSet: true}
	podIdentityAgent = addon{name: "eks-pod-identity-agent", daemonSet: true}
	// coreDNS runs beside Karpenter. By itself it tolerates only
	// CriticalAddonsOnly and the control plane, so on tainted controllers it
	// would stay Pending and the add-on would time out.
	coreDNS = addon{name: "coredns", values: map[string]any{
		"tolerations": []map[string]any{
			{"key": "CriticalAddonsOnly", "operator": "Exists"},
			{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"},
			{"key": ControllerLabel, "operator": "Exists", "effect": "NoSchedule"},
		},
	}}
)

// DaemonSets is how many pods the cluster's own add-ons put on every node.
func DaemonSets() int {
	n := 0
	for _, a := range []addon{vpcCNI, kubeProxy, podIdentityAgent, coreDNS} {
		if a.daemonSet {
			n++
		}
	}
	return n
}

// add registers an add-on. EKS installs some of them by itself in every new
// cluster, so ours overwrites what it finds.
func (a addon) add(ctx *pulumi.Context, name string, cluster pulumi.StringInput, opts ...pulumi.ResourceOption) (*eks.Addon, error) {
	args := &eks.AddonArgs{
		ClusterName:              cluster,
		AddonName:                pulumi.String(a.name),
		ResolveConflictsOnCreate: pulumi.String("OVERWRITE"),
		ResolveConflictsOnUpdate: pulumi.String("OVERWRITE"),
	}
	if a.values != nil {
		text, err := json.Marshal(a.values)
		if err != nil {
			return nil, fmt.Errorf("values of add-on %s: %w", a.name, err)
		}
		args.ConfigurationValues = pulumi.String(text)
	}
	added, err := eks.NewAddon(ctx, name+"-"+a.name, args, opts...)
	if err != nil {
		return nil, fmt.Errorf("add-on %s: %w", a.name, err)
	}
	return added, nil
}
