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
	"k8s.io/apimachinery/pkg/types"
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

// A pod that Karpenter has no pool for any more is told what AWS has refused in the pool
// that its node was to come from: what was refused since the pod was made, each refusal
// once, the newest first. Other pods are not.
func TestReasonOfARefusedLaunch(t *testing.T) {
	t.Parallel()
	now := time.Now()
	controlled := func(name, by string) corev1.Pod {
		yes := true
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now),
			OwnerReferences: []metav1.OwnerReference{{UID: types.UID(by), Controller: &yes}},
		}}
	}
	event := func(after time.Duration, reason, of, message string) corev1.Event {
		return corev1.Event{
			Reason: reason, InvolvedObject: corev1.ObjectReference{Name: of, UID: types.UID(of)}, Message: message,
			LastTimestamp: metav1.NewTime(now.Add(after)), Source: corev1.EventSource{Component: karpenterReporter},
		}
	}
	const spot = "InsufficientInstanceCapacity: There is no Spot capacity available that matches your request."
	s := state{
		pods: []corev1.Pod{controlled("nominated", "a"), controlled("sibling", "a"), controlled("stranger", "b")},
		events: []corev1.Event{
			event(0, nominated, "nominated", "Pod should schedule on: nodeclaim/gpu-large-x2x4z"),
			event(-time.Hour, insufficientCapacity, "gpu-large-aaaaa", "NodeClaim gpu-large-aaaaa event: of an hour ago"),
			event(time.Second, insufficientCapacity, "gpu-large-x2x4z", "NodeClaim gpu-large-x2x4z event: creating instance, insufficient capacity, with fleet error(s), "+spot+" (aws-error-code=UnfulfillableCapacity, aws-request-id=1)"),
			event(2*time.Second, insufficientCapacity, "gpu-large-bbbbb", "NodeClaim gpu-large-bbbbb event: creating instance, insufficient capacity, with fleet error(s), "+spot+" (aws-error-code=UnfulfillableCapacity, aws-request-id=2)"),
			event(3*time.Second, insufficientCapacity, "gpu-large-ccccc", "NodeClaim gpu-large-ccccc event: creating instance, insufficient capacity, with fleet error(s), VcpuLimitExceeded: You have..."),
			event(3*time.Second, insufficientCapacity, "x86-ddddd", "NodeClaim x86-ddddd event: of another pool"),
			event(4*time.Second, failedScheduling, "nominated", "Failed to schedule pod"),
			event(4*time.Second, failedScheduling, "sibling", "Failed to schedule pod"),
			event(4*time.Second, failedScheduling, "stranger", "Failed to schedule pod"),
		},
	}
	const refused = "AWS has refused a node of pool gpu-large: VcpuLimitExceeded: You have... (the rest is in Karpenter's log). " +
		"AWS has refused a node of pool gpu-large: InsufficientInstanceCapacity: There is no Spot capacity available that matches your request. Karpenter: Failed to schedule pod"
	for i, want := range []string{refused, refused, "Karpenter: Failed to schedule pod"} {
		if got := s.reason(&s.pods[i]); got != want {
			t.Errorf("%s: %s\nwant %s", s.pods[i].Name, got, want)
		}
	}
}

// A pod is not given up on the word of a Karpenter that has just come to lead.
func TestHopeless(t *testing.T) {
	t.Parallel()
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "a"}}
	s := state{pods: []corev1.Pod{pod}, events: []corev1.Event{{
		Reason: failedScheduling, InvolvedObject: corev1.ObjectReference{Name: "a", UID: "a"}, Message: "Failed to schedule pod",
		LastTimestamp: metav1.Now(), Source: corev1.EventSource{Component: karpenterReporter},
	}}}
	for led, want := range map[time.Time]bool{{}: true, time.Now(): false, time.Now().Add(-firstLook / 2): false, time.Now().Add(-time.Hour): true} {
		if s.led = led; s.hopeless() != want {
			t.Errorf("under a Karpenter that has led since %v: hopeless is %v", led, !want)
		}
	}
	s.led, s.events = time.Time{}, nil
	if s.hopeless() {
		t.Error("a pod of which nobody has said anything is hopeless")
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
