package scenario

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestSoakControllersAway: pods wait while no replica of Karpenter runs for two minutes,
// and while the API server is away in the middle of a launch for longer than a leader's
// lease lasts. Each time they get what they would have got, and at most what was being
// launched is launched twice.
func TestSoakControllersAway(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tell(t, nil)
	s.audit()
	s.up()
	objects := s.read(inference)

	scale := func(replicas string) {
		t.Helper()
		_, err := s.client().AppsV1().Deployments("kube-system").Patch(t.Context(), "karpenter", types.MergePatchType,
			[]byte(`{"spec":{"replicas":`+replicas+`}}`), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	scale("0")
	s.await("Karpenter is gone", time.Minute, func() (bool, string) {
		return len(s.system("karpenter")) == 0, "its pods are there"
	})
	s.apply(objects)
	time.Sleep(2 * time.Minute)
	s.nodes(0, 0)
	begin := time.Now()
	scale("2")
	s.settle(objects)
	s.nodes(2, 2)
	t.Logf("both replicas away for 2m: all pods run %v after they are back", time.Since(begin).Round(time.Second))

	s.clear(objects)
	before := s.launched("gpu")
	s.apply(objects)
	s.await("a launch", time.Minute, func() (bool, string) { return s.launched("gpu") > before, "there is none" })
	if err := s.World.RestartAPIServer(t.Context(), 30*time.Second); err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	s.settle(objects)
	took := time.Since(begin)
	s.twoRun()
	s.settle(objects)
	// An instance whose NodeClaim could not be told of it is launched once more, and ended.
	launched := s.launched("gpu") - before
	if launched < 2 || launched > 4 {
		t.Errorf("%d GPU nodes were launched, want 2, or 4 if no NodeClaim was told", launched)
	}
	t.Logf("API server away for 30s in a launch: all pods run %v after it is back; %d nodes were launched, and 2 run", took.Round(time.Second), launched)
	s.destroy()
}
