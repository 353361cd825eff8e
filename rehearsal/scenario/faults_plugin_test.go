package scenario

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"eks-gpu-slicing/rehearsal/report"
)

// devicePlugin is the name of the plugin's DaemonSet and of its ConfigMap.
const devicePlugin = "nvidia-device-plugin"

// tolerate sets what the device plugin tolerates; without anything it runs on no GPU
// node.
func (s *story) tolerate(tolerations string) {
	s.t.Helper()
	patch := []byte(`{"spec":{"template":{"spec":{"tolerations":` + tolerations + `}}}}`)
	if _, err := s.client().AppsV1().DaemonSets("kube-system").Patch(s.t.Context(), devicePlugin, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// TestSoakPlugin: a device plugin that is late by two minutes, one that keeps crashing
// under pods that come and go, and one that offers half of the slices that Karpenter was
// promised. The number of nodes is bounded each time: by what the pods need of what the
// overlay promises, by one node more, and by what they need of what there is.
func TestSoakPlugin(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tell(t, nil)
	s.audit()
	s.up()
	objects := s.read(inference)
	client := s.client()

	s.tolerate("null")
	s.apply(objects)
	s.await("two nodes run", time.Minute, func() (bool, string) { return len(s.running()) == 2, "they do not" })
	time.Sleep(2 * time.Minute)
	s.nodes(2, 2)
	begin := time.Now()
	s.tolerate(`[{"key":"nvidia.com/gpu","operator":"Exists","effect":"NoSchedule"}]`)
	s.settle(objects)
	s.nodes(2, 2)
	t.Logf("late by 2m: 2 nodes all along, and all pods run %v after the plugin does", time.Since(begin).Round(time.Second))

	// Pods hold their slices while the plugin is away, and no others start.
	begin = time.Now()
	for n := range 6 {
		if n == 2 {
			pods, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{Limit: 4})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pods.Items {
				if err := client.CoreV1().Pods("default").Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.kill(s.system(devicePlugin))
		time.Sleep(5 * time.Second)
	}
	cluster, err := s.Place(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	// A pod that a node was to run just when its plugin went has been refused: it stays,
	// failed, and the Deployment has made another for it.
	s.allRun(slices.DeleteFunc(cluster.Pods, func(p report.Pod) bool {
		return p.Phase == "Failed" && strings.Contains(p.Reason, "no healthy devices present")
	}))
	got := s.launched("gpu")
	t.Logf("crashing for 30s while 4 of 8 pods are replaced: %d nodes more, and all pods run after %v", got-2, time.Since(begin).Round(time.Second))
	if got > 3 {
		t.Errorf("%d GPU nodes were launched while the plugin crashed, want one at most", got-2)
	}
	s.clear(objects)

	config, err := client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), devicePlugin, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	was := config.Data["config.yaml"]
	config.Data["config.yaml"] = strings.Replace(was, "replicas: 4", "replicas: 2", 1)
	if config.Data["config.yaml"] == was {
		t.Fatalf("the sharing config has no four replicas:\n%s", was)
	}
	if _, err := client.CoreV1().ConfigMaps("kube-system").Update(t.Context(), config, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	before := s.launched("gpu")
	begin = time.Now()
	s.settle(objects)
	t.Logf("two slices where four are promised: %d nodes for 8 pods after %v", s.launched("gpu")-before, time.Since(begin).Round(time.Second))
	s.nodes(before+4, 4)
	s.destroy()
}
