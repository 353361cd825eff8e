// Package gpu slices the GPUs of pools: it tells Karpenter how many pods a GPU
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
//   - A slice is no partition: time-sliced pods share the GPU's memory, and both
//     strategies share its faults.
//   - Slices appear in no NodePool template. A label there would change its hash,
//     and every node would be replaced for a number.
//   - Under MPS the plugin mounts the daemon's /dev/shm into every container that
//     gets a slice. A pod that mounts one of its own does not reach the daemon.
//   - A change of the strategy does replace them, one at a time. The pool's new
//     MPS daemon is for new nodes only. The other way round there is no such
//     grace: what runs under MPS ends with its daemon, so leave MPS by another pool.
package gpu

import (
	"fmt"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/outputs"
	"eks-gpu-slicing/internal/settings"
	karpenterv1alpha1 "eks-gpu-slicing/manifests/karpenter/v1alpha1"
)

const (
	// poolLabel is Karpenter's label of a node's pool.
	poolLabel = "karpenter.sh/nodepool"
	// overlayTimeout bounds the wait for an overlay: Karpenter validates one in
	// seconds, or never when its gate is off.
	overlayTimeout = "3m"
)

// Args says which pools to slice, and with what.
type Args struct {
	// Settings are the stack's.
	Settings *settings.Settings
	// Pools are the pools whose GPUs are shared.
	Pools []*Pool
	// Kubernetes is the cluster's provider.
	Kubernetes pulumi.ProviderResource
	// Karpenter is what the overlays need in place: the CRDs and the controller. It is
	// nil where no pool is Karpenter's.
	Karpenter pulumi.Resource
	// Fit is what the overlays' names come after: see karpenter.Karpenter.
	Fit []pulumi.StringInput
}

// Slicing is the overlays and the device plugins of sliced pools.
type Slicing struct {
	pulumi.ResourceState

	// Pools are the pools.
	Pools []*Pool
	// Ready are the resources that must be in place before a GPU node is planned.
	Ready []pulumi.Resource
}

// New tells Karpenter and the device plugins of the pools' slices.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*Slicing, error) {
	s := &Slicing{Pools: args.Pools}
	if err := ctx.RegisterComponentResource("eks-gpu-slicing:gpu:Slicing", name, s, opts...); err != nil {
		return nil, err
	}
	in := []pulumi.ResourceOption{pulumi.Parent(s), pulumi.Provider(args.Kubernetes)}
	for _, p := range args.Pools {
		if err := s.addPool(ctx, name, p, args, in); err != nil {
			return nil, fmt.Errorf("GPU pool %s: %w", p.Name, err)
		}
	}
	if args.Settings.GPUMetrics {
		exporter, err := metricsExporter(args.Settings.DCGMExporterVersion, args.Pools).add(ctx, name, in...)
		if err != nil {
			return nil, err
		}
		// Karpenter must count its pod on the first node already.
		s.Ready = append(s.Ready, exporter)
	}
	return s, ctx.RegisterResourceOutputs(s, pulumi.Map{"pools": Summary(s.Pools)})
}

// addPool adds what slices one pool.
func (s *Slicing) addPool(ctx *pulumi.Context, name string, p *Pool, args *Args, in []pulumi.ResourceOption) error {
	var overlays []pulumi.Resource
	for _, o := range p.Overlays() {
		overlay, err := karpenterv1alpha1.NewNodeOverlay(ctx, name+"-"+o.Name, overlayArgs(p.Name, o, args.Fit),
			append(in, pulumi.DependsOn([]pulumi.Resource{args.Karpenter}), pulumi.Timeouts(&pulumi.CustomTimeouts{Create: overlayTimeout, Update: overlayTimeout}))...)
		if err != nil {
			return fmt.Errorf("NodeOverlay %s: %w", o.Name, err)
		}
		overlays = append(overlays, overlay)
	}
	config, err := p.Sharing.PluginConfig()
	if err != nil {
		return err
	}
	stored, err := corev1.NewConfigMap(ctx, name+"-plugin"+p.suffix(), &corev1.ConfigMapArgs{
		Metadata: metadata(configName(p)),
		Data:     pulumi.StringMap{configKey: pulumi.String(config)},
	}, in...)
	if err != nil {
		return fmt.Errorf("device plugin config: %w", err)
	}
	// Karpenter must plan with the new number before the plugin advertises it:
	// the other way round it would see nodes fall short and launch more.
	before := append([]pulumi.Resource{stored}, overlays...)
	s.Ready = append(s.Ready, overlays...)
	daemons := []daemon{plugin(p, args.Settings.DevicePluginVersion)}
	if p.Sharing.Strategy == settings.SharingMPS {
		daemons = append(daemons, mpsDaemon(p, args.Settings.DevicePluginVersion))
	}
	for _, d := range daemons {
		d.podAnnotations = map[string]string{hashKey: configHash(config)}
		made, err := d.add(ctx, name, append(in, pulumi.DependsOn(before))...)
		if err != nil {
			return err
		}
		s.Ready = append(s.Ready, made)
	}
	return nil
}

// Summary describes pools for outputs.
func Summary(pools []*Pool) pulumi.Array {
	var all pulumi.Array
	for _, p := range pools {
		one := pulumi.Map{
			"name": pulumi.String(p.Name), "instanceTypes": pulumi.ToStringArray(p.TypeNames()),
			"sharing": pulumi.String(p.Sharing.Strategy), "slices": pulumi.Int(p.Sharing.Slices), "slice": pulumi.String(p.Sharing.Slice()),
		}
		if !p.Karpenter() {
			one["nodeLabel"] = pulumi.String(p.Nodes.String())
		}
		all = append(all, one)
	}
	return all
}

func overlayArgs(pool string, o Overlay, fit []pulumi.StringInput) *karpenterv1alpha1.NodeOverlayArgs {
	in := func(key string, values ...string) karpenterv1alpha1.NodeOverlaySpecRequirementsArgs {
		return karpenterv1alpha1.NodeOverlaySpecRequirementsArgs{
			Key: pulumi.String(key), Operator: pulumi.String("In"), Values: pulumi.ToStringArray(values),
		}
	}
	return &karpenterv1alpha1.NodeOverlayArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:        outputs.After(pulumi.String(o.Name), fit...).ToStringOutput().ToStringPtrOutput(),
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
