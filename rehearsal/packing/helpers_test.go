package packing_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/packing"
)

const gpu corev1.ResourceName = "nvidia.com/gpu"

func plannerOf(t testing.TB, a *account.Account, s *packing.Stack) *packing.Planner {
	t.Helper()
	p, err := packing.New(t.Context(), a, s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pods are n pods of a name that ask for CPU and slices.
func pods(n int, name, cpu string, slices int) []*corev1.Pod {
	var out []*corev1.Pod
	for i := range n {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("%s-%03d", name, i)}}
		p.Spec.Containers = []corev1.Container{{Name: "main", Image: "image", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)},
		}}}
		if slices > 0 {
			r := &p.Spec.Containers[0].Resources
			r.Limits = corev1.ResourceList{gpu: *resource.NewQuantity(int64(slices), resource.DecimalSI)}
			r.Requests[gpu] = r.Limits[gpu]
			p.Spec.Tolerations = []corev1.Toleration{{Key: string(gpu), Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
		}
		out = append(out, p)
	}
	return out
}
