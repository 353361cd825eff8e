package kubelet

import (
	"testing"
)

// An instance may get the address, and with it the name, of one that has ended,
// whose Lease is still queued for its renewal. It has no node to write one for yet.
func TestLeaseOfAnEarlierInstance(t *testing.T) {
	t.Parallel()
	n := &node{machine: &machine{Instance: Instance{PrivateDNSName: "ip-172-31-0-4.us-west-1.compute.internal"}}, kubelet: &Kubelet{}}
	if again, err := n.renew(t.Context()); again != 0 || err != nil {
		t.Errorf("the Lease of a node that has not joined: again in %v, error %v; want to hear of it when it joins", again, err)
	}
}
