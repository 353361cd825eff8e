package kubelet_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"eks-gpu-slicing/rehearsal/kubelet"
)

// TestKillContainers: a device plugin that is killed is started again, and its node
// then offers what it did.
func TestKillContainers(t *testing.T) {
	t.Parallel()
	f, node := gpuFixture(t, sliced(4))
	f.create(f.plugin("plugin"))
	f.waitAllocatable(node, 4)
	if err := f.KillContainers(types.NamespacedName{Namespace: f.namespace, Name: "plugin"}); err != nil {
		t.Fatal(err)
	}
	f.waitEvent(kubelet.ContainerDied, "exit status 137, run 1")
	f.waitPod("plugin", "restarted once", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].RestartCount == 1 && s[0].State.Running != nil && s[0].LastTerminationState.Terminated.ExitCode == 137
	})
	f.waitAllocatable(node, 4)
	if err := f.KillContainers(types.NamespacedName{Namespace: f.namespace, Name: "none"}); err == nil {
		t.Error("a pod that is not there is killed without an error")
	}
}
