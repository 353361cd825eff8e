package kubelet

import (
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// joinAtOnce is how many instances join the cluster at the same time.
	joinAtOnce = 8
	// turn is how long one may take to be in service before the next has its turn: the
	// controller that should see to it may be down, or refuse it.
	turn = 5 * time.Second
)

// turns lets a few instances at a time join the cluster. A node that joins makes for
// some fifty requests to the API server, most of them not its own: it is adopted,
// tainted and untainted, and gets its daemons' pods. Hundreds at once, as a machine
// that plays them all could ask for, keep Karpenter waiting for so long that it writes
// the NodeClaims of its last launches after half a minute only, when its garbage
// collection has taken their instances for orphans and ended them
// (pkg/controllers/nodeclaim/garbagecollection in karpenter-provider-aws). The zero
// value is ready for use.
type turns struct {
	mu      sync.Mutex
	has     map[*node]*time.Timer
	waiting []*node
}

// take tells whether the node may join now. One that may not is queued, and its name is
// added to the nodes' queue when it may.
func (t *turns) take(n *node) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.has[n] != nil:
		return true
	case len(t.has) < joinAtOnce:
		t.give(n)
		return true
	case !slices.Contains(t.waiting, n):
		t.waiting = append(t.waiting, n)
	}
	return false
}

// end ends the node's turn if it has one, and the next one's begins.
func (t *turns) end(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	timer := t.has[n]
	if timer == nil {
		return
	}
	timer.Stop()
	delete(t.has, n)
	for len(t.waiting) > 0 && len(t.has) < joinAtOnce {
		next := t.waiting[0]
		t.waiting = t.waiting[1:]
		if next.ctx.Err() == nil { // else its instance has ended meanwhile
			t.give(next)
			next.kubelet.nodeQueue.Add(next.name())
		}
	}
}

// give begins the node's turn. The caller holds t.mu.
func (t *turns) give(n *node) {
	if t.has == nil {
		t.has = map[*node]*time.Timer{}
	}
	t.has[n] = time.AfterFunc(turn, func() { t.end(n) })
}

// inService tells whether nobody holds pods off the node any more until they have seen
// it: Karpenter lets its nodes register with a taint that it takes away.
func inService(n *corev1.Node) bool {
	return !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Effect == corev1.TaintEffectNoExecute })
}
