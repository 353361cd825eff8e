package kubelet

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// devices is a node's device manager. It follows pkg/kubelet/cm/devicemanager of
// Kubernetes, counting devices where that one names them: all devices of a
// resource are alike here. The node's lock guards it.
type devices struct {
	byResource map[corev1.ResourceName]*offer
	// allocated is what each admitted pod holds.
	allocated map[types.UID]map[corev1.ResourceName]int
}

// offer is one resource that a device plugin has registered.
type offer struct {
	Devices
	// plugin is the run of the plugin's container; nil once it has ended, from when
	// on the devices count as unhealthy: there, but not to be had.
	plugin *run
}

func newDevices() *devices {
	return &devices{
		byResource: map[corev1.ResourceName]*offer{},
		allocated:  map[types.UID]map[corev1.ResourceName]int{},
	}
}

// register takes what a plugin offers.
func (d *devices) register(plugin *run, offered Devices) {
	d.byResource[offered.Resource] = &offer{Devices: offered, plugin: plugin}
}

// unregister marks what an ended plugin offered as unhealthy and reports whether
// there was any. A kubelet drops the resource altogether after five minutes
// (endpointStopGracePeriod); a capacity that is not allocatable does no harm, so
// here it stays.
func (d *devices) unregister(plugin *run) bool {
	any := false
	for _, o := range d.byResource {
		if o.plugin == plugin {
			o.plugin = nil
			any = true
		}
	}
	return any
}

// addTo puts the devices into a node's capacity and allocatable (GetCapacity).
func (d *devices) addTo(capacity, allocatable corev1.ResourceList) {
	for name, o := range d.byResource {
		healthy := o.Count
		if o.plugin == nil {
			healthy = 0
		}
		capacity[name] = *resource.NewQuantity(int64(o.Count), resource.DecimalSI)
		allocatable[name] = *resource.NewQuantity(int64(healthy), resource.DecimalSI)
	}
}

// allocate gives a pod the devices its containers ask for, or says why not in the
// words of the real one (devicesToAllocate, allocateContainerResources). Devices
// of a finished init container are used again by the containers after it.
func (d *devices) allocate(pod *corev1.Pod) error {
	held := map[corev1.ResourceName]int{}
	reusable := map[corev1.ResourceName]int{}
	for _, group := range []struct {
		containers []corev1.Container
		init       bool
	}{{pod.Spec.InitContainers, true}, {pod.Spec.Containers, false}} {
		for i := range group.containers {
			c := &group.containers[i]
			ends := group.init && !podutil.IsRestartableInitContainer(c)
			for _, name := range slices.Sorted(maps.Keys(c.Resources.Limits)) {
				o, ok := d.byResource[name]
				if !ok {
					continue // no device plugin's resource, or none yet
				}
				limit := c.Resources.Limits[name]
				needed := int(limit.Value())
				if needed == 0 {
					continue
				}
				reused := min(needed, reusable[name])
				fresh := needed - reused
				if err := d.allocateOne(o, needed, fresh, held[name]); err != nil {
					return err
				}
				held[name] += fresh
				if ends {
					reusable[name] += fresh
				} else {
					reusable[name] -= reused
				}
			}
		}
	}
	if len(held) > 0 {
		d.allocated[pod.UID] = held
	}
	return nil
}

// allocateOne checks a container that asks for needed devices, of which fresh are
// not yet the pod's, which already took taken in this admission.
func (d *devices) allocateOne(o *offer, needed, fresh, taken int) error {
	if o.plugin == nil {
		return fmt.Errorf("no healthy devices present; cannot allocate unhealthy devices %s", o.Resource)
	}
	available := o.Count - d.inUse(o.Resource) - taken
	if available < fresh {
		return fmt.Errorf("requested number of devices unavailable for %s. Requested: %d, Available: %d", o.Resource, fresh, available)
	}
	if o.Allocate == nil {
		return nil
	}
	if err := o.Allocate(needed); err != nil {
		// The plugin answers over gRPC, whose client puts it into these words.
		return status.Error(codes.Unknown, err.Error())
	}
	return nil
}

// release takes back what a pod held.
func (d *devices) release(pod types.UID) { delete(d.allocated, pod) }

// inUse counts the devices that pods hold.
func (d *devices) inUse(name corev1.ResourceName) int {
	n := 0
	for _, held := range d.allocated {
		n += held[name]
	}
	return n
}

// admitPlugin lets a pod that got its devices pass the check against the node's
// allocatable, in which they need not be yet, or no longer (UpdatePluginResources
// and sanitizeNodeAllocatable).
func (d *devices) admitPlugin(info *framework.NodeInfo, attrs *lifecycle.PodAdmitAttributes) error {
	if d.allocated[attrs.Pod.UID] == nil {
		return nil
	}
	allocatable := info.Allocatable.Clone()
	if allocatable.ScalarResources == nil {
		allocatable.ScalarResources = map[corev1.ResourceName]int64{}
	}
	for name := range d.byResource {
		allocatable.ScalarResources[name] = max(allocatable.ScalarResources[name], int64(d.inUse(name)))
	}
	info.Allocatable = allocatable
	return nil
}
