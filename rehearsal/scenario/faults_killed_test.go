package scenario

import (
	"testing"
	"time"

	"eks-gpu-slicing/rehearsal/account"
)

// TestSoakKarpenterKilled: both replicas of Karpenter are killed between a launch and their
// knowledge of it. What they launched is not known to anybody. The next leader launches
// what pods wait for, once, and ends what it finds without a NodeClaim.
func TestSoakKarpenterKilled(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tell(t, nil)
	s.audit()
	s.up()
	held := s.install(account.Hold{Service: "ec2", Action: "CreateFleet"})
	objects := s.read(inference)
	s.apply(objects)
	s.await("an instance is launched", time.Minute, func() (bool, string) {
		return held.Count() > 0 && s.launched("gpu") > 0, "there is none"
	})
	lost := s.launched("gpu")
	controllers := s.system("karpenter")
	if len(controllers) != 2 {
		t.Fatalf("Karpenter has %d pods, want 2", len(controllers))
	}
	begin := time.Now()
	s.kill(controllers)
	s.await("both are started again", time.Minute, func() (bool, string) {
		for _, p := range s.system("karpenter") {
			if c := p.Status.ContainerStatuses; len(c) != 1 || c[0].RestartCount == 0 || !c[0].Ready {
				return false, p.Name + " is not"
			}
		}
		return true, ""
	})
	held.Lift()
	s.settle(objects)
	t.Logf("killed with %d instances launched and unknown; all pods run %v later", lost, time.Since(begin).Round(time.Second))
	// At most what was under way is launched again.
	if got := s.launched("gpu"); got < 2 || got > 2+lost {
		t.Errorf("%d GPU nodes were launched, %d of them before the kill; want 2 to %d", got, lost, 2+lost)
	}
	s.twoRun()
	t.Logf("%d GPU nodes were launched in all, and two run %v after the kill", s.launched("gpu"), time.Since(begin).Round(time.Second))
	s.settle(objects)
	s.destroy()
}
