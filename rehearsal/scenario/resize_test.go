package scenario

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"eks-gpu-slicing/rehearsal/workload"
)

// TestSoakResize: the number of slices of a stack on which pods run goes from 4 to 8 to
// 2. Nothing is evicted, in no direction. More slices are offered at once by the nodes
// that run; with fewer, what runs goes on, a node that has more pods than slices takes
// no new one, and new nodes have the new number, as those have that take the place of
// nodes that are rolled, with one pod at most away at a time, as a budget asks.
func TestSoakResize(t *testing.T) {
	t.Parallel()
	soak(t)
	s := tell(t, nil)
	s.up()
	first := s.slicePods(8)
	s.offer(4, 4)
	running := s.podsOf()

	s.move("config set gpuSlices 8")
	s.offer(8, 8)
	s.unmoved("8 slices a GPU", running)
	s.slicePods(16)
	if got := s.launched("gpu"); got != 2 {
		t.Errorf("%d GPU nodes were launched, want 2: the nodes of 4 slices have 8 now", got)
	}
	running = s.podsOf()

	s.move("config set gpuSlices 2")
	s.offer(2, 2)
	s.unmoved("2 slices a GPU", running)
	s.slicePods(18)
	s.offer(2, 2, 2)
	if got := s.launched("gpu"); got != 3 {
		t.Errorf("%d GPU nodes were launched, want 3: the full ones take no more, and the new one has 2 slices", got)
	}
	now := s.podsOf()
	maps.DeleteFunc(now, func(pod, _ string) bool { return running[pod] == "" })
	if diff := cmp.Diff(running, now); diff != "" {
		t.Errorf("new pods moved those that ran (-before +after):\n%s", diff)
	}
	budget := s.read("rehearsal/scenario/testdata/slices-budget.yaml")
	s.apply(budget)
	s.guard(2, 17)
	s.roll()
	s.offer(2, 2, 2, 2, 2, 2, 2, 2, 2)
	s.slicePods(18)
	s.nodes(3+9, 9)
	s.delete(append(first, budget...))
	s.destroy()
}

// roll does what the guide has for whoever wants the nodes to follow at once.
func (s *story) roll() {
	s.t.Helper()
	guide, err := os.ReadFile(filepath.Join(checkout, "docs", "gpu-slicing.md"))
	if err != nil {
		s.t.Fatal(err)
	}
	commands := regexp.MustCompile("(?s)```sh aws\n(for claim in [^`]*)```").FindAllSubmatch(guide, -1)
	if len(commands) != 1 {
		s.t.Fatalf("the guide has the commands that roll nodes %d times, want once", len(commands))
	}
	shell := exec.CommandContext(s.t.Context(), "bash", "-eu", "-o", "pipefail", "-c", string(commands[0][1]))
	shell.Env = s.kubectl("")
	out, err := shell.CombinedOutput()
	if err != nil || strings.Count(string(out), "deleted") != 3 {
		s.t.Fatalf("three nodes were to be rolled: %v\n%s", err, out)
	}
}

// slicePods scales a Deployment to so many one-slice pods, all of which must run.
func (s *story) slicePods(n int) []workload.Object {
	s.t.Helper()
	objects, err := workload.Asked{Paths: []string{"testdata/slices.yaml"}, Scales: []string{fmt.Sprintf("slices=%d", n)}}.Read()
	if err != nil {
		s.t.Fatal(err)
	}
	cluster, err := s.Place(s.t.Context(), objects)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range cluster.Pods {
		if p.Phase != "Running" {
			s.t.Errorf("%s is %s: %s", p.Name, p.Phase, p.Reason)
		}
	}
	if len(cluster.Pods) != n {
		s.t.Errorf("%d pods, want %d", len(cluster.Pods), n)
	}
	return objects
}

// podsOf are the nodes of the pods that run, by the pods' names and UIDs.
func (s *story) podsOf() map[string]string {
	s.t.Helper()
	pods, err := s.client().CoreV1().Pods(metav1.NamespaceDefault).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]string{}
	for _, p := range pods.Items {
		if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
			out[p.Name+" "+string(p.UID)] = p.Spec.NodeName
		}
	}
	return out
}

// offer waits until the GPU nodes offer so many slices each.
func (s *story) offer(want ...int64) {
	s.t.Helper()
	s.await(fmt.Sprintf("the GPU nodes offer %v slices", want), time.Minute, func() (bool, string) {
		nodes, err := s.client().CoreV1().Nodes().List(s.t.Context(), metav1.ListOptions{LabelSelector: "karpenter.sh/nodepool=gpu"})
		if err != nil {
			s.t.Fatal(err)
		}
		var got []int64
		for i := range nodes.Items {
			got = append(got, nodes.Items[i].Status.Allocatable.Name(slice, "").Value())
		}
		return slices.Equal(got, want), fmt.Sprintf("they offer %v", got)
	})
}
