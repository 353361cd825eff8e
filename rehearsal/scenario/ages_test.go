package scenario

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"eks-gpu-slicing/rehearsal/session"
	"eks-gpu-slicing/rehearsal/toolcache"
)

// previousPlugin is a release of the device plugin before the program's default.
const previousPlugin = "0.17.3"

// TestSoakAges: what a stack is made of moves on while pods run on it. Karpenter's charts
// and CRDs go from the previous release to this one over live objects, then the device
// plugin does: no pod is moved, no node replaced, and the new Karpenter launches the
// next node. Then an instance type is added to the GPU pool, which changes nothing that
// runs, and the one that the nodes are of is taken out: they are replaced one at a
// time, each after the one that takes its place. Each plan is made first, and updates in place.
func TestSoakAges(t *testing.T) {
	t.Parallel()
	soak(t)
	cache, err := toolcache.Open(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	previous, err := cache.PreviousKarpenter(t.Context(), checkout)
	if err != nil {
		t.Fatal(err)
	}
	s := tellOf(t, session.Options{
		Karpenter: []toolcache.Release{previous},
		Config:    []string{"kubernetesVersion=1.35", "karpenterVersion=" + previous.Version, "devicePluginVersion=" + previousPlugin, `gpuInstanceTypes=["g4dn.xlarge"]`},
	}, nil)
	s.up()
	s.runs("karpenter", previous.Version)
	if s.balanced() {
		t.Error("the CRDs of the previous release are this one's")
	}
	budget := s.read("rehearsal/scenario/testdata/slices-budget.yaml")
	s.apply(budget)
	objects := append(s.slicePods(8), budget...)
	s.offer(4, 4)
	running := s.podsOf()

	s.move("config set karpenterVersion " + toolcache.KarpenterVersion)
	s.runs("karpenter", toolcache.KarpenterVersion)
	if !s.balanced() {
		t.Error("the CRDs stay the previous release's")
	}
	s.unmoved("a new Karpenter", running)

	s.move("config rm devicePluginVersion")
	s.await("the new plugin runs on both nodes", time.Minute, func() (bool, string) {
		images := s.imagesOf("nvidia-device-plugin")
		return len(images) == 2 && !slices.ContainsFunc(images, func(i string) bool { return strings.Contains(i, previousPlugin) }), fmt.Sprintf("the plugins are %q", images)
	})
	s.offer(4, 4)
	s.unmoved("a new plugin", running)
	s.nodes(2, 2)
	s.slicePods(12)
	s.nodes(3, 3)
	running = s.podsOf()

	s.move("config set --path gpuInstanceTypes[1] g4dn.2xlarge")
	time.Sleep(20 * time.Second) // Karpenter looks for drift on each change of a pool, within seconds
	s.unmoved("one more type", running)
	s.nodes(3, 3)

	s.guard(3, 11)
	s.move("config rm --path gpuInstanceTypes[0]")
	s.await("all GPU nodes are of the type that is left", 5*time.Minute, func() (bool, string) {
		var types []string
		for _, i := range s.running() {
			types = append(types, i.Type)
		}
		return slices.Equal(types, []string{"g4dn.2xlarge", "g4dn.2xlarge", "g4dn.2xlarge"}), fmt.Sprintf("they are of %q", types)
	})
	s.offer(4, 4, 4)
	s.nodes(6, 3)
	s.slicePods(12)
	s.delete(objects)
	s.destroy()
}

// move changes the stack by a command, and brings it up. The plan, which is made first,
// updates alone; a second one finds nothing to do.
func (s *story) move(command string) {
	s.t.Helper()
	plan, ok := s.try(command, "preview")
	if !ok || !strings.Contains(plan, "to update") || strings.Contains(plan, "to replace") || strings.Contains(plan, "to delete") {
		s.t.Fatalf("%s: the plan is not to update alone:\n%s", command, plan)
	}
	for _, c := range []string{"up --yes --skip-preview", "preview --expect-no-changes"} {
		if out, ok := s.try(c); !ok {
			s.t.Fatalf("%s, %s:\n%s", command, c, out)
		}
	}
}

// unmoved fails the test unless the pods that ran still do, where they did.
func (s *story) unmoved(what string, running map[string]string) {
	s.t.Helper()
	if diff := cmp.Diff(running, s.podsOf()); diff != "" {
		s.t.Errorf("%s changed the pods that ran (-before +after):\n%s", what, diff)
	}
}

// imagesOf are the images of an application's pods that run in kube-system.
func (s *story) imagesOf(app string) (out []string) {
	s.t.Helper()
	for _, p := range s.system(app) {
		if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
			out = append(out, p.Spec.Containers[0].Image)
		}
	}
	return out
}

// runs waits until the two replicas of an application are of a version.
func (s *story) runs(app, version string) {
	s.t.Helper()
	s.await(fmt.Sprintf("two pods of %s %s run", app, version), 2*time.Minute, func() (bool, string) {
		images := s.imagesOf(app)
		other := slices.ContainsFunc(images, func(i string) bool { return !strings.Contains(i, ":"+version) })
		return len(images) == 2 && !other, fmt.Sprintf("their images are %q", images)
	})
}

// balanced tells whether the CRD of NodePools knows the consolidation policy Balanced,
// which Karpenter 1.14 has brought.
func (s *story) balanced() bool {
	s.t.Helper()
	client, err := dynamic.NewForConfig(s.World.RESTConfig())
	if err != nil {
		s.t.Fatal(err)
	}
	crd, err := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}).
		Get(s.t.Context(), "nodepools.karpenter.sh", metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := crd.MarshalJSON()
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Contains(string(text), `"Balanced"`)
}
