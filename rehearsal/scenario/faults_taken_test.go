package scenario

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"eks-gpu-slicing/rehearsal/account"
)

// TestSoakTaken: what AWS takes away is replaced, as soon as Karpenter hears of it by the
// stack's rules and queue. Each time one node goes, one is launched, and all pods run
// again. Advice that an instance may be taken moves nothing.
func TestSoakTaken(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tell(t, nil)
	s.audit()
	s.up()
	objects, pods := s.place(inference)
	s.allRun(pods)
	s.nodes(2, 2)
	in := s.World.Account()

	advised := s.running()[0]
	if err := in.RecommendRebalance(advised.ID); err != nil {
		t.Fatal(err)
	}
	s.await("Karpenter has heard of the rebalance advice", time.Minute, func() (bool, string) {
		events, err := s.client().CoreV1().Events("").List(t.Context(), metav1.ListOptions{FieldSelector: "reason=SpotRebalanceRecommendation"})
		if err != nil {
			return false, err.Error()
		}
		return len(events.Items) > 0, "there is no event SpotRebalanceRecommendation"
	})
	s.settle(objects)
	s.nodes(2, 2)

	// What replaces the first is on demand, for only that can be stopped.
	s.install(account.Shortage{Market: account.Spot})
	onSpot := func(i account.Instance) bool { return i.Spot }
	onDemand := func(i account.Instance) bool { return !i.Spot }
	for n, fault := range []struct {
		name string
		of   func(account.Instance) bool
		take func(account.Instance) error
	}{
		{"spot interruption", onSpot, func(i account.Instance) error { return in.InterruptSpotInstance(i.ID) }},
		{"stop by hand", onDemand, func(i account.Instance) error { _, err := in.StopInstances(i.ID); return err }},
		{"end by hand", onDemand, func(i account.Instance) error { _, err := in.TerminateInstances(i.ID); return err }},
		{"scheduled retirement", onSpot, func(i account.Instance) error { return in.ScheduleRetirement(i.ID, time.Hour) }},
	} {
		all := s.running()
		at := slices.IndexFunc(all, fault.of)
		if at < 0 {
			t.Fatalf("before the %s there is no instance for it among %+v", fault.name, all)
		}
		gone, begin := all[at], time.Now()
		if err := fault.take(gone); err != nil {
			t.Fatalf("%s: %v", fault.name, err)
		}
		s.await("after the "+fault.name+" the node goes", time.Minute, func() (bool, string) {
			nodes, err := s.client().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + gone.PrivateDNSName})
			if err != nil {
				return false, err.Error()
			}
			return len(nodes.Items) == 0, gone.PrivateDNSName + " is there"
		})
		s.settle(objects)
		s.nodes(3+n, 2)
		t.Logf("%s: all pods run again after %v", fault.name, time.Since(begin).Round(100*time.Millisecond))
		s.await("the instance has ended", time.Minute, func() (bool, string) {
			now, err := in.DescribeInstances([]string{gone.ID})
			if err != nil || len(now) != 1 {
				return err == nil && len(now) == 0, "it cannot be described"
			}
			return now[0].State == account.StateTerminated, gone.ID + " is " + now[0].State
		})
	}
	s.destroy()
}
