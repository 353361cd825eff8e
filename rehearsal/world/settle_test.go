package world

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"eks-gpu-slicing/rehearsal/workload"
)

// A pod that waits for a node is told why that hangs: by a pod on it that waits itself.
func TestReasonOfAHangingNode(t *testing.T) {
	t.Parallel()
	s := state{
		starting: []claim{{name: "gpu-1", node: "ip-1", why: "ResourceNotRegistered: nvidia.com/gpu", registered: time.Now().Add(-time.Hour)}},
		system:   []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "plugin"}, Spec: corev1.PodSpec{NodeName: "ip-1"}}},
	}
	got := s.reason(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
	for _, want := range []string{"gpu-1", "ResourceNotRegistered", "on it pod plugin: not ready"} {
		if !strings.Contains(got, want) {
			t.Errorf("the reason does not say %q: %s", want, got)
		}
	}
}

func TestLacksPods(t *testing.T) {
	t.Parallel()
	meta := metav1.ObjectMeta{Name: "a", Namespace: "default", Generation: 2}
	three, two := int32(3), int32(2)
	for _, c := range []struct {
		name   string
		object runtime.Object
		gvk    string // apiVersion and kind
		lacks  string // "" for nothing
	}{
		{"a Deployment nobody has looked at", &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &three}}, "apps/v1 Deployment", "not been seen"},
		{"a Deployment in the making", &appsv1.Deployment{
			ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &three},
			Status: appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2},
		}, "apps/v1 Deployment", "2 of 3 pods"},
		{"a Deployment", &appsv1.Deployment{
			ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &three},
			Status: appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3},
		}, "apps/v1 Deployment", ""},
		{"a ReplicaSet in the making", &appsv1.ReplicaSet{
			ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Replicas: &three},
			Status: appsv1.ReplicaSetStatus{ObservedGeneration: 2, Replicas: 1},
		}, "apps/v1 ReplicaSet", "1 of 3 pods"},
		{"a StatefulSet between two pods", &appsv1.StatefulSet{
			ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: &three},
			Status: appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 2, ReadyReplicas: 2},
		}, "apps/v1 StatefulSet", "2 of 3 pods"},
		{"a StatefulSet whose second pod is not ready, which the third waits for", &appsv1.StatefulSet{
			ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: &three},
			Status: appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 2, ReadyReplicas: 1},
		}, "apps/v1 StatefulSet", ""},
		{"a DaemonSet on a new node", &appsv1.DaemonSet{
			ObjectMeta: meta, Status: appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 2, CurrentNumberScheduled: 1},
		}, "apps/v1 DaemonSet", "1 of 2 pods"},
		{"a Job in the making", &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Completions: &three}}, "batch/v1 Job", "0 of 3 pods"},
		{"a Job of two at a time", &batchv1.Job{
			ObjectMeta: meta, Spec: batchv1.JobSpec{Completions: &three, Parallelism: &two}, Status: batchv1.JobStatus{Active: 2},
		}, "batch/v1 Job", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			version, kind, _ := strings.Cut(c.gvk, " ")
			o := workload.Object{File: "a.yaml", Unstructured: &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": version, "kind": kind, "metadata": map[string]any{"name": "a"},
			}}}
			got, err := lacksPods(t.Context(), fake.NewClientset(c.object), o)
			if err != nil || (got == "") != (c.lacks == "") || !strings.Contains(got, c.lacks) {
				t.Errorf("it says %q (%v), want %q", got, err, c.lacks)
			}
		})
	}
}
