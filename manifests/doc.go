// Package manifests is the parent of the Karpenter API as typed Pulumi resources:
//
//	manifests/karpenter/v1        NodePool
//	manifests/karpenter/v1alpha1  NodeOverlay
//	manifests/karpenteraws/v1     EC2NodeClass
package manifests
