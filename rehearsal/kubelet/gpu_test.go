package kubelet_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"eks-gpu-slicing/rehearsal/kubelet"
	"eks-gpu-slicing/rehearsal/kubelet/nvidia"
)

const gpu corev1.ResourceName = "nvidia.com/gpu"

// sliced is the plugin's config for so many pods a GPU.
func sliced(n int) string {
	return fmt.Sprintf(`
version: v1
sharing:
  timeSlicing:
    failRequestsGreaterThanOne: true
    resources:
      - {name: nvidia.com/gpu, replicas: %d}
`, n)
}

// gpuFixture has one GPU node and the plugin's ConfigMap.
func gpuFixture(t *testing.T, config string) (*fixture, string) {
	t.Helper()
	f := newFixture(t, kubelet.Config{Images: map[string]kubelet.Image{nvidia.Repository: nvidia.Plugin{}}})
	f.configure(config)
	return f, f.node(f.instance("g4dn.xlarge"))
}

func (f *fixture) configure(config string) {
	f.t.Helper()
	maps := world.admin.CoreV1().ConfigMaps(f.namespace)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "plugin"}, Data: map[string]string{"config.yaml": config}}
	_, err := maps.Update(f.t.Context(), cm, metav1.UpdateOptions{})
	if err != nil {
		_, err = maps.Create(f.t.Context(), cm, metav1.CreateOptions{})
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// plugin is a pod of NVIDIA's DaemonSet, as the program makes it.
func (f *fixture) plugin(name string) *corev1.Pod {
	return f.pod(name, func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "plugin"},
		}}}}
		c := &p.Spec.Containers[0]
		c.Image = nvidia.Repository + ":v0.17.4"
		c.Env = []corev1.EnvVar{{Name: "CONFIG_FILE", Value: "/config/config.yaml"}}
		c.VolumeMounts = []corev1.VolumeMount{{Name: "config", MountPath: "/config", ReadOnly: true}}
	})
}

func (f *fixture) waitAllocatable(node string, want int64) {
	f.t.Helper()
	f.wait(fmt.Sprintf("node %s to have %d GPUs", node, want), func() (bool, string) {
		n := getNode(f.t, node)
		got, ok := n.Status.Allocatable[gpu]
		return ok && got.Value() == want, fmt.Sprint(n.Status.Allocatable)
	})
}

func TestSlices(t *testing.T) {
	t.Parallel()
	f, node := gpuFixture(t, sliced(4))
	if got, ok := getNode(t, node).Status.Capacity[gpu]; ok {
		t.Errorf("a node without the plugin has %s GPUs", got.String())
	}
	f.create(f.plugin("plugin"))
	f.waitAllocatable(node, 4)
	f.waitEvent(kubelet.DevicesAdvertised, "4 of nvidia.com/gpu")
	for i := range 4 {
		f.create(f.pod(fmt.Sprint("slice-", i), requests(gpu, "1")))
	}
	for i := range 4 {
		f.waitPod(fmt.Sprint("slice-", i), "Ready", ready)
	}
	f.create(f.pod("fifth", requests(gpu, "1")))
	f.waitPod("fifth", "unschedulable", func(p *corev1.Pod) bool {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && strings.Contains(c.Message, "Insufficient nvidia.com/gpu") {
				return true
			}
		}
		return false
	})
	f.delete("slice-0", 1)
	f.waitPod("fifth", "Ready", ready)
}

// TestSliceIsFreeOnceItsPodIsOver: the scheduler gives a slice away as soon as it hears
// that the pod on it has ended, however late the node gets its answer.
func TestSliceIsFreeOnceItsPodIsOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{
		RESTConfig: proxied(t, func(r *http.Request, _ *http.Response) {
			// The API server has acted on it by then.
			if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/pods/first/status") {
				time.Sleep(2 * time.Second)
			}
		}),
		Images: map[string]kubelet.Image{nvidia.Repository: nvidia.Plugin{}},
	})
	f.configure(sliced(2))
	node := f.node(f.instance("g4dn.xlarge"))
	f.create(f.plugin("plugin"))
	f.waitAllocatable(node, 2)
	for _, name := range []string{"first", "second"} {
		f.create(f.pod(name, requests(gpu, "1")))
		f.waitPod(name, "Ready", ready)
	}
	f.create(f.pod("next", requests(gpu, "1")))
	f.delete("first", 1)
	f.waitPod("next", "Ready", ready)
}

func TestMoreThanOneSliceIsRefused(t *testing.T) {
	t.Parallel()
	f, node := gpuFixture(t, sliced(4))
	f.create(f.plugin("plugin"))
	f.waitAllocatable(node, 4)
	f.create(f.pod("greedy", requests(gpu, "2")))
	p := f.waitPod("greedy", "Failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	want := `Pod was rejected: Allocate failed due to rpc error: code = Unknown desc = invalid allocation request for "nvidia.com/gpu": invalid request: maximum request size for shared resources is 1; found 2, which is unexpected`
	if p.Status.Reason != "UnexpectedAdmissionError" || p.Status.Message != want {
		t.Errorf("it failed for %s: %s\nwant %s", p.Status.Reason, p.Status.Message, want)
	}
	// The plugin counts for each container by itself.
	f.create(f.pod("double", requests(gpu, "1"), func(p *corev1.Pod) {
		second := p.Spec.Containers[0]
		second.Name = "second"
		p.Spec.Containers = append(p.Spec.Containers, second)
	}))
	f.waitPod("double", "Ready", ready)
	f.create(f.pod("a", requests(gpu, "1")))
	f.create(f.pod("b", requests(gpu, "1")))
	f.waitPod("a", "Ready", ready)
	f.waitPod("b", "Ready", ready)
	f.create(f.pod("late", requests(gpu, "1"), func(p *corev1.Pod) { p.Spec.NodeName = node }))
	p = f.waitPod("late", "Failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	want = "Pod was rejected: Allocate failed due to requested number of devices unavailable for nvidia.com/gpu. Requested: 1, Available: 0, which is unexpected"
	if p.Status.Reason != "UnexpectedAdmissionError" || p.Status.Message != want {
		t.Errorf("it failed for %s: %s\nwant %s", p.Status.Reason, p.Status.Message, want)
	}
}

func TestPluginRestarts(t *testing.T) {
	t.Parallel()
	f, node := gpuFixture(t, sliced(4))
	f.create(f.plugin("old"))
	f.waitAllocatable(node, 4)
	f.create(f.pod("running", requests(gpu, "1")))
	f.waitPod("running", "Ready", ready)
	f.delete("old", 1)
	f.waitAllocatable(node, 0)
	if got := getNode(t, node).Status.Capacity[gpu]; got.Value() != 4 {
		t.Errorf("the capacity is %s, want it to stay 4", got.String())
	}
	// Planned before the plugin went, bound after.
	f.create(f.pod("unlucky", requests(gpu, "1"), func(p *corev1.Pod) { p.Spec.NodeName = node }))
	p := f.waitPod("unlucky", "Failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if want := "no healthy devices present; cannot allocate unhealthy devices nvidia.com/gpu"; !strings.Contains(p.Status.Message, want) {
		t.Errorf("it failed for %s: %s", p.Status.Reason, p.Status.Message)
	}
	f.configure(sliced(8))
	f.create(f.plugin("new"))
	f.waitAllocatable(node, 8)
	if p, err := f.get("running"); err != nil || !ready(p) {
		t.Errorf("the pod that ran all the time is %+v, %v", p.Status, err)
	}
}

func TestRefusedConfig(t *testing.T) {
	t.Parallel()
	f, node := gpuFixture(t, sliced(1))
	f.create(f.plugin("plugin"))
	want := "error starting plugins: unable to load config: unable to finalize config: unable to parse config file: error parsing config file: unmarshal error: " +
		"error unmarshaling JSON: while decoding JSON: number of replicas must be >= 2"
	e := f.waitEvent(kubelet.ContainerDied, want)
	if e.Pod.Name != "plugin" || e.Node != node {
		t.Errorf("event %+v", e)
	}
	f.waitPod("plugin", "restarted", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].RestartCount > 0
	})
	if got, ok := getNode(t, node).Status.Allocatable[gpu]; ok {
		t.Errorf("the node offers %s GPUs all the same", got.String())
	}
	// The next run reads the mended file.
	f.configure(sliced(2))
	f.waitAllocatable(node, 2)
}

func TestOnlyWherePluginRuns(t *testing.T) {
	t.Parallel()
	f, with := gpuFixture(t, sliced(4))
	f.create(f.plugin("plugin"))
	f.waitAllocatable(with, 4)
	without := f.node(f.instance("g4dn.xlarge"))
	f.create(f.pod("probe", func(p *corev1.Pod) { p.Spec.NodeName = without }))
	f.waitPod("probe", "Ready", ready)
	time.Sleep(500 * time.Millisecond)
	if got, ok := getNode(t, without).Status.Allocatable[gpu]; ok {
		t.Errorf("a node without the plugin offers %s GPUs", got.String())
	}
	// And on a node without a GPU the plugin gives up.
	cpu := f.node(f.instance("m7i.large"))
	p := f.plugin("stray")
	p.Spec.NodeName = cpu
	f.create(p)
	f.waitEvent(kubelet.ContainerDied, "invalid device discovery strategy")
}

func TestWholeGPUs(t *testing.T) {
	t.Parallel()
	f, node := gpuFixture(t, "version: v1\n")
	f.create(f.plugin("plugin"))
	f.waitAllocatable(node, 1)
	four := f.node(f.instance("g4dn.12xlarge"))
	p := f.plugin("plugin-4")
	p.Spec.NodeName = four
	f.create(p)
	f.waitAllocatable(four, 4)
	f.create(f.pod("all", func(p *corev1.Pod) {
		p.Spec.NodeName = four
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{gpu: resource.MustParse("4")}
	}))
	f.waitPod("all", "Ready", ready)
}
