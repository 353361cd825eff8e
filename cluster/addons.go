package cluster

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// addon is an EKS add-on the stack manages.
type addon struct {
	// name is EKS's name of it.
	name string
	// daemonSet tells that it puts one pod on every node.
	daemonSet bool
	// values configure it; nil leaves EKS's own.
	values any
	// yields tells that it takes over nothing of the same names that is there by other
	// means; EKS refuses to create it then.
	yields bool
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

// add registers an add-on of a cluster, in the version that EKS gives new clusters of
// the Kubernetes version. EKS moves no add-on by itself when it moves the cluster on,
// and after three minor versions there is none left that suits both ("Update an Amazon
// EKS add-on" in the EKS user guide). EKS installs some add-ons by itself in every new
// cluster, so ours overwrites what it finds, unless it yields.
func (a addon) add(ctx *pulumi.Context, name string, c *Cluster, kubernetes settings.Version, opts ...pulumi.ResourceOption) (*eks.Addon, error) {
	standard, err := eks.GetAddonVersion(ctx, &eks.GetAddonVersionArgs{AddonName: a.name, KubernetesVersion: kubernetes.String()}, pulumi.Parent(c))
	if err != nil {
		return nil, fmt.Errorf("version of add-on %s for Kubernetes %s: %w", a.name, kubernetes, err)
	}
	onCreate := "OVERWRITE"
	if a.yields {
		onCreate = "NONE"
	}
	args := &eks.AddonArgs{
		ClusterName:              c.Name,
		AddonName:                pulumi.String(a.name),
		AddonVersion:             pulumi.String(standard.Version),
		ResolveConflictsOnCreate: pulumi.String(onCreate),
		ResolveConflictsOnUpdate: pulumi.String("OVERWRITE"),
	}
	if a.values != nil {
		text, err := json.Marshal(a.values)
		if err != nil {
			return nil, fmt.Errorf("values of add-on %s: %w", a.name, err)
		}
		args.ConfigurationValues = pulumi.String(text)
	}
	added, err := eks.NewAddon(ctx, name+"-"+a.name, args, append(slices.Clip(opts), pulumi.Parent(c))...)
	if err != nil {
		return nil, fmt.Errorf("add-on %s: %w", a.name, err)
	}
	return added, nil
}
