package kubelet_test

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"eks-gpu-slicing/rehearsal/kubelet"
)

// BenchmarkNodes adds many nodes at once, runs four pods on each, deletes those
// again and again, and holds all that for a minute longer than the controllers wait
// for a heartbeat. It reports how long nodes and pods took and how often a node was
// not Ready, which must be never.
//
//	go test -run '^$' -bench Nodes -benchtime 1x -timeout 30m ./kubelet
func BenchmarkNodes(b *testing.B) {
	for _, nodes := range []int{100, 1000, 4000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			for b.Loop() {
				benchmarkNodes(b, nodes)
			}
		})
	}
}

func benchmarkNodes(b *testing.B, nodes int) {
	f := newFixture(b, kubelet.Config{})
	var ready, lost, running atomic.Int64
	watchWorld(b, f, &ready, &lost, &running)

	began := time.Now()
	var instances []kubelet.Instance
	for range nodes {
		i := f.instance("g4dn.xlarge")
		if err := f.AddInstance(i); err != nil {
			b.Fatal(err)
		}
		instances = append(instances, i)
	}
	until(b, "nodes", &ready, int64(nodes))
	b.ReportMetric(time.Since(began).Seconds(), "s/nodes")

	began = time.Now()
	replicas := int32(4 * nodes)
	labels := map[string]string{"app": "load"}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "load"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: f.pod("", requests(corev1.ResourceCPU, "800m")).Spec},
		},
	}
	if _, err := world.admin.AppsV1().Deployments(f.namespace).Create(b.Context(), deployment, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	until(b, "pods", &running, int64(replicas))
	b.ReportMetric(time.Since(began).Seconds(), "s/pods")

	for hold := time.Now(); time.Since(hold) < 110*time.Second; {
		err := world.admin.CoreV1().Pods(f.namespace).DeleteCollection(b.Context(), metav1.DeleteOptions{}, metav1.ListOptions{Limit: 500})
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(10 * time.Second)
	}
	b.ReportMetric(float64(lost.Load()), "lost-nodes")
	b.ReportMetric(residentMiB(b), "MiB-agents")
	if lost.Load() > 0 {
		b.Errorf("%d times a node was not Ready", lost.Load())
	}
	for _, i := range instances {
		if err := f.RemoveInstance(i.ID); err != nil {
			b.Error(err)
		}
	}
	if err := world.admin.CoreV1().Namespaces().Delete(b.Context(), f.namespace, metav1.DeleteOptions{}); err != nil {
		b.Error(err)
	}
}

// watchWorld counts the test's Ready nodes and pods, and nodes that cease to be so.
func watchWorld(b *testing.B, f *fixture, nodes, lost, pods *atomic.Int64) {
	factory := informers.NewSharedInformerFactory(world.admin, 0)
	isReady := func(n *corev1.Node) bool { return nodeCondition(n, corev1.NodeReady).Status == corev1.ConditionTrue }
	handlers := map[cache.SharedIndexInformer]cache.ResourceEventHandlerFuncs{
		factory.Core().V1().Nodes().Informer(): {
			AddFunc: func(o any) {
				if n, ok := o.(*corev1.Node); ok && n.Labels["test"] == f.namespace && isReady(n) {
					nodes.Add(1)
				}
			},
			UpdateFunc: func(before, now any) {
				was, ok1 := before.(*corev1.Node)
				is, ok2 := now.(*corev1.Node)
				if ok1 && ok2 && is.Labels["test"] == f.namespace && isReady(was) && !isReady(is) {
					lost.Add(1)
				}
			},
		},
		factory.Core().V1().Pods().Informer(): {
			UpdateFunc: func(before, now any) {
				was, ok1 := before.(*corev1.Pod)
				is, ok2 := now.(*corev1.Pod)
				if ok1 && ok2 && is.Namespace == f.namespace && !ready(was) && ready(is) {
					pods.Add(1)
				}
			},
		},
	}
	for informer, handler := range handlers {
		if _, err := informer.AddEventHandler(handler); err != nil {
			b.Fatal(err)
		}
	}
	factory.Start(b.Context().Done())
	factory.WaitForCacheSync(b.Context().Done())
}

func until(b *testing.B, what string, n *atomic.Int64, want int64) {
	for deadline := time.Now().Add(10 * time.Minute); n.Load() < want; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d %s after 10 minutes", n.Load(), want, what)
		}
	}
}

// residentMiB is this process's memory.
func residentMiB(b *testing.B) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kib); err == nil {
			return kib / 1024
		}
	}
	return 0
}
