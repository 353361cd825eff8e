// Package gpu slices the GPUs of a pool: it tells Karpenter how many pods a GPU
// takes, and NVIDIA's device plugin to let that many in.
//
// Both must be told the same. Karpenter plans with the overlay's number before
// a node exists; the plugin advertises its own once the node runs. Without the
// overlay Karpenter launches one GPU node a pod (measured: 8 pods, 8 nodes, where
// 2 would do). If the plugin advertises less than the overlay promised, Karpenter
// launches more and more nodes. Sharing is the one source of both.
//
// Gotchas:
//   - An overlay needs Karpenter's NodeOverlay gate. Without it the overlay is
//     ignored and gets no condition at all, so the up waits for Ready and fails.
//   - A slice is no partition: time-sliced pods share the GPU's memory and its
//     faults.
//   - Slices appear in no NodePool template. A label there would change its hash,
//     and every node would be replaced for a number.
package gpu

import (
	"fmt"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	karpenterv1alpha1 "eks-gpu-slicing/manifests/karpenter/v1alpha1"
)

const (
	// pluginName names the plugin's DaemonSet and its ConfigMap.
	pluginName = "nvidia-device-plugin"
	// namespace: system-node-critical pods belong in kube-system.
	namespace   = "kube-system"
	image       = "nvcr.io/nvidia/k8s-device-plugin"
	configKey   = "config.yaml"
	configMount = "/config"
	socketMount = "/var/lib/kubelet/device-plugins"
	hashKey     = "eks-gpu-slicing/config-hash"
	// poolLabel is Karpenter's label of a node's pool.
	poolLabel = "karpenter.sh/nodepool"
	// overlayTimeout bounds the wait for an overlay: Karpenter validates one in
	// seconds, or never when its gate is off.
	overlayTimeout = "3m"
)

// Args says which pool to slice, and with what.
type Args struct {
	// Pool is the pool whose GPUs are shared.
	Pool *Pool
	// PluginVersion is the device plugin's release, such as 0.17.4.
	PluginVersion string
	// Kubernetes is the cluster's provider.
	Kubernetes pulumi.ProviderResource
	// Karpenter is what the overlays need in place: the CRDs and the controller.
	Karpenter pulumi.Resource
}

// Slicing is a sliced pool's overlays and device plugin.
type Slicing struct {
	pulumi.ResourceState

	// Pool is the pool.
	Pool *Pool
	// Ready are the resources that must be in place before a GPU node is planned.
	Ready []pulumi.Resource
}

// New tells Karpenter and the device plugin of the pool's slices.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*Slicing, error) {
	s := &Slicing{Pool: args.Pool}
	if err := ctx.RegisterComponentResource("eks-gpu-slicing:gpu:Slicing", name, s, opts...); err != nil {
		return nil, err
	}
	in := []pulumi.ResourceOption{pulumi.Parent(s), pulumi.Provider(args.Kubernetes)}
	for _, o := range args.Pool.Overlays() {
		overlay, err := karpenterv1alpha1.NewNodeOverlay(ctx, name+"-"+o.Name, overlayArgs(args.Pool.Name, o),
			append(in, pulumi.DependsOn([]pulumi.Resource{args.Karpenter}), pulumi.Timeouts(&pulumi.CustomTimeouts{Create: overlayTimeout, Update: overlayTimeout}))...)
		if err != nil {
			return nil, fmt.Errorf("NodeOverlay %s: %w", o.Name, err)
		}
		s.Ready = append(s.Ready, overlay)
	}
	config, err := args.Pool.Sharing.PluginConfig()
	if err != nil {
		return nil, err
	}
	stored, err := corev1.NewConfigMap(ctx, name+"-plugin", &corev1.ConfigMapArgs{
		Metadata: metadata(),
		Data:     pulumi.StringMap{configKey: pulumi.String(config)},
	}, in...)
	if err != nil {
		return nil, fmt.Errorf("device plugin config: %w", err)
	}
	// Karpenter must plan with the new number before the plugin advertises it:
	// the other way round it would see nodes fall short and launch more.
	plugin, err := appsv1.NewDaemonSet(ctx, name+"-plugin", daemonSet(args, configHash(config)),
		append(in, pulumi.DependsOn(append([]pulumi.Resource{stored}, s.Ready...)))...)
	if err != nil {
		return nil, fmt.Errorf("device plugin: %w", err)
	}
	s.Ready = append(s.Ready, plugin)
	return s, ctx.RegisterResourceOutputs(s, pulumi.Map{"slices": pulumi.Int(args.Pool.Sharing.Slices)})
}

func metadata() metav1.ObjectMetaArgs {
	return metav1.ObjectMetaArgs{Name: pulumi.String(pluginName), Namespace: pulumi.String(namespace), Labels: pluginLabels()}
}

func pluginLabels() pulumi.StringMap {
	return pulumi.StringMap{"app.kubernetes.io/name": pulumi.String(pluginName)}
}

func overlayArgs(pool string, o Overlay) *karpenterv1alpha1.NodeOverlayArgs {
	in := func(key string, values ...string) karpenterv1alpha1.NodeOverlaySpecRequirementsArgs {
		return karpenterv1alpha1.NodeOverlaySpecRequirementsArgs{
			Key: pulumi.String(key), Operator: pulumi.String("In"), Values: pulumi.ToStringArray(values),
		}
	}
	return &karpenterv1alpha1.NodeOverlayArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:        pulumi.String(o.Name),
			Annotations: pulumi.StringMap{"pulumi.com/waitFor": pulumi.String("condition=Ready")},
		},
		Spec: karpenterv1alpha1.NodeOverlaySpecArgs{
			Requirements: karpenterv1alpha1.NodeOverlaySpecRequirementsArray{
				in(poolLabel, pool), // another pool's nodes of the type may not be sliced
				in("node.kubernetes.io/instance-type", o.Types...),
			},
			Capacity: pulumi.StringMap{Resource: pulumi.String(o.Capacity)},
		},
	}
}

// daemonSet is the device plugin, as NVIDIA's own manifest runs it
// (NVIDIA/k8s-device-plugin, deployments/static), bound to the pool. Its config
// is one mounted file: the chart's config-manager sidecar leaves nodes without
// GPUs from 0.18.2 on (k8s-device-plugin issue 1645).
func daemonSet(args *Args, hash string) *appsv1.DaemonSetArgs {
	version := pulumi.String(image + ":v" + args.PluginVersion)
	return &appsv1.DaemonSetArgs{
		Metadata: metadata(),
		Spec: appsv1.DaemonSetSpecArgs{
			Selector:       metav1.LabelSelectorArgs{MatchLabels: pluginLabels()},
			UpdateStrategy: appsv1.DaemonSetUpdateStrategyArgs{Type: pulumi.String("RollingUpdate")},
			Template: corev1.PodTemplateSpecArgs{
				Metadata: metav1.ObjectMetaArgs{Labels: pluginLabels(), Annotations: pulumi.StringMap{hashKey: pulumi.String(hash)}},
				Spec: corev1.PodSpecArgs{
					PriorityClassName: pulumi.String("system-node-critical"),
					NodeSelector:      pulumi.StringMap{poolLabel: pulumi.String(args.Pool.Name)},
					Tolerations: corev1.TolerationArray{corev1.TolerationArgs{
						Key: pulumi.String(Resource), Operator: pulumi.String("Exists"), Effect: pulumi.String("NoSchedule"),
					}},
					Containers: corev1.ContainerArray{corev1.ContainerArgs{
						Name:  pulumi.String(pluginName),
						Image: version,
						Env:   corev1.EnvVarArray{corev1.EnvVarArgs{Name: pulumi.String("CONFIG_FILE"), Value: pulumi.String(configMount + "/" + configKey)}},
						SecurityContext: corev1.SecurityContextArgs{
							AllowPrivilegeEscalation: pulumi.Bool(false),
							Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
						},
						VolumeMounts: corev1.VolumeMountArray{
							corev1.VolumeMountArgs{Name: pulumi.String("device-plugins"), MountPath: pulumi.String(socketMount)},
							corev1.VolumeMountArgs{Name: pulumi.String("config"), MountPath: pulumi.String(configMount), ReadOnly: pulumi.Bool(true)},
						},
					}},
					Volumes: corev1.VolumeArray{
						corev1.VolumeArgs{Name: pulumi.String("device-plugins"), HostPath: corev1.HostPathVolumeSourceArgs{Path: pulumi.String(socketMount)}},
						corev1.VolumeArgs{Name: pulumi.String("config"), ConfigMap: corev1.ConfigMapVolumeSourceArgs{Name: pulumi.String(pluginName)}},
					},
				},
			},
		},
	}
}
