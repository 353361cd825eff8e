// Package packing asks Karpenter which nodes it would launch for pods, in this
// process: Karpenter's own scheduler (sigs.k8s.io/karpenter) over the instance types
// of its own AWS provider, whose numbers (pods a node, kube-reserved, overhead) are
// therefore Karpenter's too. Only EC2 is simulated, and there is no API server:
// objects come from a plan or from whoever calls.
//
// Gotchas:
//   - A plan begins with a cluster that has no nodes of Karpenter's. When pods are left
//     over, it is asked again with the nodes it has launched and their pods, as it asks
//     itself: until EC2 has chosen, a limit counts the largest of a node's possible
//     types, and anti-affinity all zones it may be in.
//   - Pods get their nodes from the Kubernetes scheduler in the end. The nodes are
//     those of the plan; who is on which may differ. The nodes of node groups are
//     filled first, by the scheduler's checks of a pod and a node; demands that pods
//     make on each other are not looked at there.
//   - EC2 chooses among a node's possible types. [Node.Launch] is the cheapest, which
//     it is here; AWS weighs spot capacity as well.
//   - Volumes that claim storage are left out: which zones and how many volumes are
//     possible is the storage driver's business, and the stack has none.
//   - Pods are not admitted: defaults and what the API server adds are the caller's.
package packing
