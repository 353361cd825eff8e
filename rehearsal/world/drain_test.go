package world

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

// TestDrain: the update of a node group moves its pods to nodes of the new version; pods
// that their budget holds keep their node, on which others may land again.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	withControllers(t, w)
	client, err := kubernetes.NewForConfig(w.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	labels, replicas := map[string]string{"app": "a"}, int32(4)
	_, err = client.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "a"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
				Containers:  []corev1.Container{{Name: "a", Image: "registry.k8s.io/pause:3.10"}},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var old []string // the nodes of before the update
	nodes := func() (names []string) {
		t.Helper()
		all, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range all.Items {
			// An old one takes no pods from when its replacement is there.
			if n.Spec.Unschedulable && !slices.Contains(old, n.Name) {
				t.Errorf("node %s takes no pods", n.Name)
			}
			names = append(names, n.Name)
		}
		return names
	}
	running := func() {
		t.Helper()
		for begin := time.Now(); ; time.Sleep(poll) {
			d, err := client.AppsV1().Deployments("default").Get(t.Context(), "a", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if available(d) {
				return
			}
			if time.Since(begin) > time.Minute {
				t.Fatalf("the Deployment has %+v", d.Status)
			}
		}
	}
	running()
	old = nodes()
	if err := w.account.UpdateClusterVersion("c", "1.29"); err != nil {
		t.Fatal(err)
	}
	if err := w.account.UpdateNodegroupVersion("c", "controllers", "1.29", nil); err != nil {
		t.Fatal(err)
	}
	running()
	for begin := time.Now(); slices.ContainsFunc(old, func(n string) bool { return slices.Contains(nodes(), n) }); time.Sleep(poll) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("of the nodes %v there are still %v", old, nodes())
		}
	}
	none := intstr.FromInt32(0)
	_, err = client.PolicyV1().PodDisruptionBudgets("default").Create(t.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "a"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &none, Selector: &metav1.LabelSelector{MatchLabels: labels}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	w.mu.Lock()
	for _, n := range nodes() {
		ids = append(ids, w.instances[n])
	}
	w.mu.Unlock()
	if len(ids) != 2 {
		t.Fatalf("the nodes are of %v", ids)
	}
	hasty := &drainer{access: w.RESTConfig, patience: 3 * time.Second}
	if err := hasty.Drain(ids[0], ids[1]); err == nil || !strings.Contains(err.Error(), "a-") {
		t.Errorf("pods that their budget holds: %v", err)
	}
	nodes()
	if err := hasty.Drain(ids[0], "i-none"); err == nil || !strings.Contains(err.Error(), "i-none is no node") {
		t.Errorf("a replacement that does not come: %v", err)
	}
}
