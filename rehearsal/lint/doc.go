// Package lint finds what keeps a user's workloads from running on a stack, from
// their manifests and the stack's plan alone: nothing is brought up.
//
// The verdicts are those of the code that decides in a cluster. The API server's
// decodes, defaults, validates and admits (k8s.io/kubernetes, with the admission
// plugin that EKS enables); NVIDIA's config parser says what a node advertises and
// what a container may ask for (package kubelet/nvidia); Karpenter's scheduler says
// which pods get a node (package packing). What is ours is to find out why: a pod that
// Karpenter refuses is asked about again, one pool at a time, with fewer of its
// demands, until it is known which of them the nearest pool does not meet.
//
// Gotchas:
//   - A [Note] is no problem: it is what cannot be judged from the files, or what works
//     on EKS but not everywhere.
//   - Volumes, images, quotas, and objects that are in the cluster but not in the files
//     are not looked at. A required affinity to pods that are not among the files is
//     left out of the question.
//   - The API server that decodes is that of Kubernetes 1.35, whatever version the
//     stack asks for.
//   - Kinds that are not built in are looked into for pod templates, but their own
//     fields are not checked: their schema is elsewhere.
package lint
