package world

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

func TestWatchSettled(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	all, err := watchSettled(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	pods := client.CoreV1().Pods("default")
	runs := corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	for _, name := range []string{"a", "b", "c"} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Status: corev1.PodStatus{Phase: corev1.PodPending}}
		if _, err := pods.Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	settle := func(name string, status corev1.PodStatus) {
		t.Helper()
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Status: status}
		if _, err := pods.UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	told := func(within time.Duration) bool {
		select {
		case <-all:
			return true
		case <-time.After(within):
			return false
		}
	}
	settle("a", runs)
	settle("b", corev1.PodStatus{Phase: corev1.PodRunning}) // but is not ready
	if err := pods.Delete(t.Context(), "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if told(300 * time.Millisecond) {
		t.Error("told although one pod is not ready")
	}
	settle("b", corev1.PodStatus{Phase: corev1.PodSucceeded})
	if !told(10 * time.Second) {
		t.Error("not told when the last one has ended")
	}
	settle("a", runs)
	if told(300 * time.Millisecond) {
		t.Error("told again without any that was not settled")
	}
}
