package gpu

import (
	"fmt"
	"strings"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// namespace: system-node-critical pods belong in kube-system.
const namespace = "kube-system"

// daemon is a DaemonSet on GPU nodes before it is one.
type daemon struct {
	name         string // the DaemonSet's
	part         string // ends the resource's name
	nodeSelector map[string]string
	taints       []Taint // tolerated
	// orNodes are labels of which a node must have one. Nodes of others may have any
	// taint: then all are tolerated.
	orNodes        []settings.NodeLabel
	tolerateAll    bool
	podAnnotations map[string]string
	// keep leaves pods as they are when the DaemonSet changes, until their node goes.
	keep       bool
	init       corev1.ContainerArray
	containers corev1.ContainerArray
	volumes    corev1.VolumeArray
	hostPID    bool
	// noToken leaves the service account's token out of the pods.
	noToken bool
}

// metadata names an object of this package and labels it with its name.
func metadata(name string) metav1.ObjectMetaArgs {
	return metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: pulumi.String(namespace), Labels: labels(name)}
}

func labels(name string) pulumi.StringMap {
	return pulumi.StringMap{"app.kubernetes.io/name": pulumi.String(name)}
}

// add makes the DaemonSet.
func (d daemon) add(ctx *pulumi.Context, name string, opts ...pulumi.ResourceOption) (*appsv1.DaemonSet, error) {
	spec := corev1.PodSpecArgs{
		PriorityClassName: pulumi.String("system-node-critical"),
		Tolerations:       d.tolerations(),
		Containers:        d.containers,
		Volumes:           d.volumes,
	}
	if d.nodeSelector != nil {
		spec.NodeSelector = pulumi.ToStringMap(d.nodeSelector)
	}
	if d.orNodes != nil {
		spec.Affinity = anyOf(d.orNodes)
	}
	if d.init != nil {
		spec.InitContainers = d.init
	}
	if d.hostPID {
		spec.HostPID = pulumi.Bool(true)
	}
	if d.noToken {
		spec.AutomountServiceAccountToken = pulumi.Bool(false)
	}
	meta, strategy := metadata(d.name), "RollingUpdate"
	if d.keep {
		strategy = "OnDelete"
		// There is then no rollout that an up could wait for.
		meta.Annotations = pulumi.StringMap{"pulumi.com/skipAwait": pulumi.String("true")}
	}
	made, err := appsv1.NewDaemonSet(ctx, name+"-"+d.part, &appsv1.DaemonSetArgs{
		Metadata: meta,
		Spec: appsv1.DaemonSetSpecArgs{
			Selector:       metav1.LabelSelectorArgs{MatchLabels: labels(d.name)},
			UpdateStrategy: appsv1.DaemonSetUpdateStrategyArgs{Type: pulumi.String(strategy)},
			Template: corev1.PodTemplateSpecArgs{
				Metadata: metav1.ObjectMetaArgs{Labels: labels(d.name), Annotations: pulumi.ToStringMap(d.podAnnotations)},
				Spec:     spec,
			},
		},
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("DaemonSet %s: %w", d.name, err)
	}
	return made, nil
}

// imageOf is an image by its tag, and by its digest too where the release has one:
// before and after are around the release in the tag.
func imageOf(repository, before, release, after string) pulumi.String {
	release, digest, pinned := strings.Cut(release, "@")
	tagged := repository + ":" + before + release + after
	if pinned {
		return pulumi.String(tagged + "@" + digest)
	}
	return pulumi.String(tagged)
}

// anyOf is the affinity to nodes that have one of the labels.
func anyOf(labels []settings.NodeLabel) corev1.AffinityPtrInput {
	var terms corev1.NodeSelectorTermArray
	for _, l := range labels {
		terms = append(terms, corev1.NodeSelectorTermArgs{MatchExpressions: corev1.NodeSelectorRequirementArray{corev1.NodeSelectorRequirementArgs{
			Key: pulumi.String(l.Key), Operator: pulumi.String("In"), Values: pulumi.ToStringArray([]string{l.Value}),
		}}})
	}
	return corev1.AffinityArgs{NodeAffinity: corev1.NodeAffinityArgs{
		RequiredDuringSchedulingIgnoredDuringExecution: corev1.NodeSelectorArgs{NodeSelectorTerms: terms},
	}}
}

func (d daemon) tolerations() corev1.TolerationArray {
	if d.tolerateAll {
		return corev1.TolerationArray{corev1.TolerationArgs{Operator: pulumi.String("Exists")}}
	}
	var all corev1.TolerationArray
	for _, t := range d.taints {
		all = append(all, corev1.TolerationArgs{Key: pulumi.String(t.Key), Operator: pulumi.String("Exists"), Effect: pulumi.String("NoSchedule")})
	}
	return all
}

func mount(name, path string) corev1.VolumeMountArgs {
	return corev1.VolumeMountArgs{Name: pulumi.String(name), MountPath: pulumi.String(path)}
}

// hostPath is a volume of the node's own files; kind is empty to leave them
// unchecked.
func hostPath(name, path, kind string) corev1.VolumeArgs {
	source := corev1.HostPathVolumeSourceArgs{Path: pulumi.String(path)}
	if kind != "" {
		source.Type = pulumi.String(kind)
	}
	return corev1.VolumeArgs{Name: pulumi.String(name), HostPath: source}
}
