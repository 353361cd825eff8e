package scenario

import (
	"testing"
	"time"

	"eks-gpu-slicing/rehearsal/account"
)

// TestSoakNoCapacity: when EC2 has no GPU at all, pods are pending with EC2's reason and
// nothing is launched; once it has, they run without anybody's help.
func TestSoakNoCapacity(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tell(t, nil)
	s.audit()
	s.up()
	var none []*account.Installed
	for _, name := range []string{"g4dn.xlarge", "g4dn.2xlarge", "g4dn.4xlarge"} {
		none = append(none, s.install(account.Shortage{InstanceType: name}))
	}
	objects, pods := s.place(inference)
	s.noneRuns(pods, "AWS has refused a node of pool gpu: InsufficientInstanceCapacity: ")
	t.Logf("the reason: %s", pods[0].Reason)
	s.nodes(0, 0)
	for _, f := range none {
		f.Lift()
	}
	// Karpenter asks EC2 again for what it was refused after three minutes
	// (UnavailableOfferingsTTL in pkg/cache of karpenter-provider-aws).
	begin := time.Now()
	s.await("nodes are launched again", 5*time.Minute, func() (bool, string) {
		return len(s.running()) > 0, "none runs"
	})
	s.settle(objects)
	t.Logf("all pods run %v after the capacity is there again", time.Since(begin).Round(time.Second))
	s.nodes(2, 2)
	s.destroy()
}
