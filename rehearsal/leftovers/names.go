package leftovers

import (
	"crypto/sha256"
	"encoding/hex"
)

// Names are what a stack's things go by. The program makes them of the cluster's name and the region
// (its settings.Name); TestNamesAreTheProgramsOwn holds them together.
type Names struct {
	Cluster, LogGroup, LaunchTemplate, Queue string
	// KeyAlias is the alias of the KMS key for the cluster's secrets, if the stack has its own.
	KeyAlias               string
	Roles, Policies, Rules []string
	// NodeRole is the one of the roles that Karpenter's nodes have.
	NodeRole string
	// Tag is the tag of everything that the program makes and that takes tags (ClusterTag of its
	// settings).
	Tag Tag
	// ProfilePath is the path of the instance profiles that Karpenter makes (its
	// pkg/apis/v1, InstanceProfilePath).
	ProfilePath string
	// Tags are those by which a thing of EC2's is the cluster's, whoever made it; Tag, the first,
	// among them.
	Tags []Tag
}

// What the program makes in every cluster whose Karpenter is its own goes by the same names.
const (
	karpenterNamespace, karpenterAccount = "kube-system", "karpenter"
	agentAddon                           = "eks-pod-identity-agent"
)

// Tag is a tag with its value.
type Tag struct{ Key, Value string }

func (t Tag) String() string { return t.Key + "=" + t.Value }

// NamesOf are the names of a cluster's stack in a region.
func NamesOf(cluster, region string) Names {
	n := Names{
		Cluster: cluster, LogGroup: "/aws/eks/" + cluster + "/cluster",
		LaunchTemplate: name(cluster, "controllers", 128), Queue: name(cluster, "karpenter", 80),
		KeyAlias:    "alias/eks/" + cluster,
		NodeRole:    name(cluster, "karpenter-node-"+region, 64),
		ProfilePath: "/karpenter/" + region + "/" + cluster + "/",
		Tag:         Tag{"eks-gpu-slicing/cluster", cluster},
		Tags: []Tag{
			{"eks-gpu-slicing/cluster", cluster},          // the program
			{"kubernetes.io/cluster/" + cluster, "owned"}, // Karpenter, EKS and the program's node groups
			{"eks:eks-cluster-name", cluster},             // Karpenter
			{"eks:cluster-name", cluster},                 // managed node groups
			{"aws:eks:cluster-name", cluster},             // EKS, its security group
			{"cluster.k8s.amazonaws.com/name", cluster},   // the VPC CNI, its network interfaces
		},
	}
	for _, part := range []string{"cluster", "controller-node", "karpenter-node", "karpenter"} {
		n.Roles = append(n.Roles, name(cluster, part+"-"+region, 64))
	}
	for _, part := range []string{"karpenter-node-launch", "karpenter-node-lifecycle", "karpenter-instance-profiles", "karpenter-discovery", "cluster-secrets"} {
		n.Policies = append(n.Policies, name(cluster, part+"-"+region, 128))
	}
	for _, part := range []string{"health", "spot-interruption", "rebalance", "state-change", "capacity-reservation"} {
		n.Rules = append(n.Rules, name(cluster, "karpenter-"+part, 64))
	}
	return n
}

// name is the program's settings.Name: a name that is too long is cut and bears a hash of the whole
// cluster name.
func name(cluster, part string, limit int) string {
	if whole := cluster + "-" + part; len(whole) <= limit {
		return whole
	}
	sum := sha256.Sum256([]byte(cluster))
	hash := hex.EncodeToString(sum[:])[:8]
	return cluster[:max(limit-len(part)-len(hash)-2, 0)] + "-" + hash + "-" + part
}
