// Package manifests is the parent of the Karpenter API as typed Pulumi resources:
//
//	manifests/karpenter/v1        NodePool      (karpenter.sh/v1)
//	manifests/karpenter/v1alpha1  NodeOverlay   (karpenter.sh/v1alpha1, behind the feature gate NodeOverlay)
//	manifests/karpenteraws/v1     EC2NodeClass  (karpenter.k8s.aws/v1)
//
// Everything below this directory is generated from the CRDs of the Karpenter release that rehearsal/go.mod pins; the
// first line of each file names it. After moving that pin, and the version of the charts with it, generate anew:
//
//	(cd rehearsal && go run ./manifestgen)          # add -check to only learn what is stale
//
// The comments on types and fields are Karpenter's own, under its Apache License 2.0.
//
// Gotchas:
//   - Give each object a Metadata.Name: without one Pulumi appends a random suffix to the resource's name.
//   - Pulumi waits for no custom resource by itself. Annotate it with "pulumi.com/waitFor": "condition=Ready". A
//     NodeOverlay whose gate is off never gets that condition, so the wait is also what notices the gate.
//   - Quantities (NodePool limits, NodeOverlay capacity, kubelet reservations, volume sizes) are strings, as they are
//     in Pulumi's own Kubernetes types: pulumi.StringMap{"nvidia.com/gpu": pulumi.String("4")}.
//   - The constructors set apiVersion and kind, and refuse a nil Spec. Required fields further down are refused by the
//     API server only, as are the CRDs' rules on values. Its defaults are its own too: a field left out here is absent
//     from the inputs and present in the outputs.
//   - Capacity of a NodeOverlay replaces a quantity that the instance type already has (nvidia.com/gpu, say), although
//     its comment says that it does not.
//   - There is no status: what the cluster observes is not for the program to declare.
//   - ObjectMeta and the plugin's version come from Pulumi's Kubernetes SDK, so these resources ask for the same
//     plugin as the program's other Kubernetes objects. Given an explicit provider, the engine goes by that alone.
package manifests
