package kubelet

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
)

// Eight instances join at once, the others each when one before it is in service, has
// had its time or has ended, in the order in which they came; and none twice.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &Kubelet{nodeQueue: workqueue.NewTypedRateLimitingQueue(retry[string]())}
		defer k.nodeQueue.ShutDown()
		var nodes []*node
		for i := range 2*joinAtOnce + 2 {
			n := &node{kubelet: k, machine: &machine{Instance: Instance{PrivateDNSName: fmt.Sprint("node-", i)}}}
			n.ctx, n.cancel = context.WithCancel(t.Context())
			nodes = append(nodes, n)
			for range 2 { // asking again changes nothing
				if got, want := k.joining.take(n), i < joinAtOnce; got != want {
					t.Fatalf("node %d may join: %v, want %v", i, got, want)
				}
			}
		}
		expect := func(why string, want ...int) {
			t.Helper()
			synctest.Wait()
			if got := k.nodeQueue.Len(); got != len(want) {
				t.Fatalf("%s: %d nodes are called to join, want %d", why, got, len(want))
			}
			for _, i := range want {
				name, _ := k.nodeQueue.Get()
				k.nodeQueue.Done(name)
				if name != nodes[i].name() || !k.joining.take(nodes[i]) {
					t.Errorf("%s: %s is called to join, want node %d", why, name, i)
				}
			}
		}
		expect("at first")
		k.joining.end(nodes[0])
		k.joining.end(nodes[0])
		expect("when one is in service", joinAtOnce)
		nodes[joinAtOnce+1].cancel()
		k.joining.end(nodes[1])
		expect("when the next instance has ended", joinAtOnce+2)
		time.Sleep(turn - time.Second)
		expect("before their time is over")
		time.Sleep(time.Second)
		var rest []int
		for i := joinAtOnce + 3; i < len(nodes); i++ {
			rest = append(rest, i)
		}
		expect("when their time is over", rest...)
		time.Sleep(turn)
	})
}

func TestInService(t *testing.T) {
	t.Parallel()
	gpu := corev1.Taint{Key: "nvidia.com/gpu", Effect: corev1.TaintEffectNoSchedule}
	unregistered := corev1.Taint{Key: "karpenter.sh/unregistered", Effect: corev1.TaintEffectNoExecute}
	for _, c := range []struct {
		taints []corev1.Taint
		want   bool
	}{{nil, true}, {[]corev1.Taint{gpu}, true}, {[]corev1.Taint{gpu, unregistered}, false}} {
		if got := inService(&corev1.Node{Spec: corev1.NodeSpec{Taints: c.taints}}); got != c.want {
			t.Errorf("in service with taints %v: %v, want %v", c.taints, got, c.want)
		}
	}
}
