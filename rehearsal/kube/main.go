package main

import (
	_ "go.etcd.io/etcd/server/v3/etcdmain"
	_ "helm.sh/helm/v3/pkg/action"
	_ "k8s.io/kubectl/pkg/cmd"
	_ "k8s.io/kubernetes/cmd/kube-apiserver/app"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	_ "k8s.io/kubernetes/cmd/kube-scheduler/app"
	_ "github.com/NVIDIA/k8s-device-plugin/api/config/v1"
	_ "github.com/LeanerCloud/ec2-instances-info"
	_ "github.com/spf13/cobra"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/pulumi/pulumi/pkg/v3/codegen/go"
	_ "github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	_ "sigs.k8s.io/karpenter/pkg/apis/v1"
	_ "sigs.k8s.io/karpenter/pkg/apis/v1alpha1"
	_ "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	_ "github.com/aws/karpenter-provider-aws/pkg/providers/pricing"
)

func main() {}
