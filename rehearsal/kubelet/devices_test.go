package kubelet

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

const gpu corev1.ResourceName = "nvidia.com/gpu"

// gpuPod asks for GPUs in its init containers and in its containers; a negative
// number is a sidecar's.
func gpuPod(uid string, init []int64, main ...int64) *corev1.Pod {
	container := func(n int64) corev1.Container {
		c := corev1.Container{}
		if n < 0 {
			always := corev1.ContainerRestartPolicyAlways
			c.RestartPolicy = &always
			n = -n
		}
		c.Resources.Limits = corev1.ResourceList{gpu: *resource.NewQuantity(n, resource.DecimalSI)}
		return c
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}}
	for _, n := range init {
		p.Spec.InitContainers = append(p.Spec.InitContainers, container(n))
	}
	for _, n := range main {
		p.Spec.Containers = append(p.Spec.Containers, container(n))
	}
	return p
}

func TestAllocate(t *testing.T) {
	t.Parallel()
	onlyOne := func(n int) error {
		if n > 1 {
			return errors.New("too many")
		}
		return nil
	}
	for name, tc := range map[string]struct {
		pod    *corev1.Pod
		offer  Devices
		gone   bool
		held   int // by another pod
		want   int // held by the pod afterwards
		refuse string
	}{
		"one":                          {pod: gpuPod("a", nil, 1), want: 1},
		"all":                          {pod: gpuPod("a", nil, 4), want: 4},
		"none asked":                   {pod: gpuPod("a", nil, 0), gone: true},
		"two containers":               {pod: gpuPod("a", nil, 1, 1), offer: Devices{Allocate: onlyOne}, want: 2},
		"the plugin refuses":           {pod: gpuPod("a", nil, 1, 2), offer: Devices{Allocate: onlyOne}, refuse: "rpc error: code = Unknown desc = too many"},
		"more than there are":          {pod: gpuPod("a", nil, 5), refuse: "requested number of devices unavailable for nvidia.com/gpu. Requested: 5, Available: 4"},
		"more than are left":           {pod: gpuPod("a", nil, 2), held: 3, refuse: "requested number of devices unavailable for nvidia.com/gpu. Requested: 2, Available: 1"},
		"more than the pod left":       {pod: gpuPod("a", nil, 3, 2), refuse: "requested number of devices unavailable for nvidia.com/gpu. Requested: 2, Available: 1"},
		"the plugin has ended":         {pod: gpuPod("a", nil, 1), gone: true, refuse: "no healthy devices present; cannot allocate unhealthy devices nvidia.com/gpu"},
		"an init container's are free": {pod: gpuPod("a", []int64{3}, 2), want: 3},
		"and are not enough":           {pod: gpuPod("a", []int64{1}, 3), want: 3},
		"two of them":                  {pod: gpuPod("a", []int64{2, 3}, 3), want: 3},
		"two containers share them":    {pod: gpuPod("a", []int64{3}, 2, 2), want: 4},
		"a sidecar keeps its own":      {pod: gpuPod("a", []int64{-2}, 2), want: 4},
		"a sidecar takes them over":    {pod: gpuPod("a", []int64{2, -2}, 2), want: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, plugin := newDevices(), &run{}
			tc.offer.Resource, tc.offer.Count = gpu, 4
			d.register(plugin, tc.offer)
			if tc.held > 0 {
				if err := d.allocate(gpuPod("other", nil, int64(tc.held))); err != nil {
					t.Fatal(err)
				}
			}
			if tc.gone && !d.unregister(plugin) {
				t.Fatal("the plugin was not there")
			}
			err := d.allocate(tc.pod)
			if tc.refuse != "" {
				if err == nil || err.Error() != tc.refuse {
					t.Fatalf("error %v, want %q", err, tc.refuse)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if got := d.inUse(gpu) - tc.held; got != tc.want {
				t.Errorf("the pod holds %d, want %d", got, tc.want)
			}
			d.release("a")
			if got := d.inUse(gpu); got != tc.held {
				t.Errorf("%d are in use after its release, want %d", got, tc.held)
			}
		})
	}
}

// The node's API object may say 0 while the pod already has its device.
func TestAdmitPlugin(t *testing.T) {
	t.Parallel()
	d := newDevices()
	d.register(&run{}, Devices{Resource: gpu, Count: 4})
	has := gpuPod("has", nil, 2)
	if err := d.allocate(has); err != nil {
		t.Fatal(err)
	}
	for pod, want := range map[*corev1.Pod]int64{has: 2, gpuPod("hasn't", nil): 0} {
		info := framework.NewNodeInfo()
		info.SetNode(&corev1.Node{Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{gpu: resource.MustParse("0")}}})
		if err := d.admitPlugin(info, &lifecycle.PodAdmitAttributes{Pod: pod}); err != nil {
			t.Fatal(err)
		}
		if got := info.Allocatable.ScalarResources[gpu]; got != want {
			t.Errorf("pod %s is checked against %d GPUs, want %d", pod.UID, got, want)
		}
	}
}

func TestDevicesInStatus(t *testing.T) {
	t.Parallel()
	d, first, second := newDevices(), &run{}, &run{}
	check := func(when string, capacity, allocatable int64) {
		t.Helper()
		c, a := corev1.ResourceList{}, corev1.ResourceList{}
		d.addTo(c, a)
		gotC, gotA := c[gpu], a[gpu]
		if gotC.Value() != capacity || gotA.Value() != allocatable {
			t.Errorf("%s: %d of %d, want %d of %d", when, gotA.Value(), gotC.Value(), allocatable, capacity)
		}
	}
	d.register(first, Devices{Resource: gpu, Count: 4})
	check("registered", 4, 4)
	d.register(second, Devices{Resource: gpu, Count: 2})
	check("registered again", 2, 2)
	if d.unregister(first) {
		t.Error("the end of a plugin that was replaced withdraws devices")
	}
	check("the replaced one has ended", 2, 2)
	if !d.unregister(second) {
		t.Error("the end of the plugin withdraws nothing")
	}
	check("ended", 2, 0)
}

// A node whose status was mended by an old copy of it has other devices than there are.
func TestAdvertises(t *testing.T) {
	t.Parallel()
	n := &node{devices: newDevices()}
	plugin := &run{}
	count := func(c int64) corev1.ResourceList {
		return corev1.ResourceList{gpu: *resource.NewQuantity(c, resource.DecimalSI)}
	}
	if !n.advertises(corev1.ResourceList{}) {
		t.Error("a node without devices lacks some")
	}
	n.devices.register(plugin, Devices{Resource: gpu, Count: 4})
	for has, want := range map[int64]bool{0: false, 4: true} {
		if got := n.advertises(count(has)); got != want {
			t.Errorf("with 4 devices and %d allocatable: %v, want %v", has, got, want)
		}
	}
	n.devices.unregister(plugin)
	if n.advertises(count(4)) || !n.advertises(count(0)) {
		t.Error("devices without a plugin are told of as allocatable")
	}
}
