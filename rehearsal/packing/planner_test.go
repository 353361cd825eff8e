package packing_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/apis/v1alpha1"

	"eks-gpu-slicing/rehearsal/packing"
	"eks-gpu-slicing/rehearsal/packing/packingtest"
)

// sliced is a change to so many slices a GPU, for at most so many GPUs.
func sliced(slices, gpus int64) func(*packing.Stack) {
	return func(s *packing.Stack) {
		s.NodeOverlays[0].Spec.Capacity[gpu] = *resource.NewQuantity(slices, resource.DecimalSI)
		poolOf(s, "gpu").Spec.Limits[gpu] = *resource.NewQuantity(slices*gpus, resource.DecimalSI)
	}
}

func poolOf(s *packing.Stack, name string) *karpv1.NodePool {
	return &s.NodePools[slices.IndexFunc(s.NodePools, func(p karpv1.NodePool) bool { return p.Name == name })]
}

// mustPlan plans, and wants every pod to have a node.
func mustPlan(t testing.TB, p *packing.Planner, pods []*corev1.Pod) *packing.Plan {
	t.Helper()
	plan, err := p.Plan(t.Context(), pods)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range plan.Refused {
		t.Errorf("%s is refused: %v", r.Pod.Name, r.Err)
	}
	return plan
}

// TestSlicesBind: n pods of one slice take the nodes that their slices fill, no more.
func TestSlicesBind(t *testing.T) {
	t.Parallel()
	a, s := packingtest.Rendered(t, "dev")
	base := plannerOf(t, a, s)
	for _, slices := range []int{2, 4, 8} {
		t.Run(fmt.Sprint(slices, " slices"), func(t *testing.T) {
			t.Parallel()
			p, err := base.With(t.Context(), sliced(int64(slices), 40))
			if err != nil {
				t.Fatal(err)
			}
			for n := 1; n <= 40; n++ {
				plan := mustPlan(t, p, pods(n, "gpu", "100m", 1))
				if want := (n + slices - 1) / slices; len(plan.Nodes) != want {
					t.Errorf("%d pods get %d nodes, want %d", n, len(plan.Nodes), want)
				}
				placed := 0
				for _, node := range plan.Nodes {
					placed += len(node.Pods)
					if node.NodePool != "gpu" || !strings.HasPrefix(node.Launch.InstanceType, "g4dn.") || len(node.Pods) > slices {
						t.Errorf("%d pods: %s of pool %s has %d of them", n, node.Launch.InstanceType, node.NodePool, len(node.Pods))
					}
				}
				if placed != n {
					t.Errorf("%d of %d pods are on nodes", placed, n)
				}
			}
		})
	}
}

// TestWithoutOverlayAPodTakesAGPU: what the overlay is for; Karpenter counts whole GPUs
// without it, and without the gate that turns overlays on.
func TestWithoutOverlayAPodTakesAGPU(t *testing.T) {
	t.Parallel()
	for name, without := range map[string]func(*packing.Stack){
		"no overlay": func(s *packing.Stack) { s.NodeOverlays = nil },
		"gate off": func(s *packing.Stack) {
			for i := range s.Controller {
				e := &s.Controller[i]
				e.Value = strings.ReplaceAll(e.Value, "NodeOverlay=true", "NodeOverlay=false")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, s := packingtest.Rendered(t, "dev")
			without(s)
			p := plannerOf(t, a, s)
			for _, n := range []int{1, 2, 8, 40} {
				if plan := mustPlan(t, p, pods(n, "gpu", "100m", 1)); len(plan.Nodes) != n {
					t.Errorf("%d pods get %d nodes, want one each", n, len(plan.Nodes))
				}
			}
		})
	}
}

// TestCPUPodsStayOffGPUs: pods that ask for no GPU never share a node with those that
// do, whatever else they ask for.
func TestCPUPodsStayOffGPUs(t *testing.T) {
	t.Parallel()
	a, s := packingtest.Rendered(t, "prod")
	p := plannerOf(t, a, s)
	for _, load := range []struct{ gpus, cpus int }{{1, 1}, {3, 20}, {30, 3}, {17, 40}} {
		all := append(pods(load.gpus, "gpu", "250m", 1), pods(load.cpus, "cpu", "700m", 0)...)
		for i := range load.cpus / 3 { // some do not mind ARM, some want it
			all[load.gpus+3*i].Spec.NodeSelector = map[string]string{corev1.LabelArchStable: []string{"arm64", "amd64"}[i%2]}
		}
		for _, node := range mustPlan(t, p, all).Nodes {
			for _, pod := range node.Pods {
				if wants := strings.HasPrefix(pod.Name, "gpu"); wants != (node.NodePool == "gpu") {
					t.Errorf("%+v: %s is on pool %s", load, pod.Name, node.NodePool)
				}
			}
		}
	}
}

// TestLimitOfAPool: as many nodes as the limit allows of the type that is launched, of
// which Karpenter cannot be sure in its first round.
func TestLimitOfAPool(t *testing.T) {
	t.Parallel()
	a, s := packingtest.Rendered(t, "dev")
	x86 := poolOf(s, "x86")
	x86.Spec.Limits[corev1.ResourceCPU] = resource.MustParse("12")
	s.NodePools = []karpv1.NodePool{*x86}
	all := pods(9, "cpu", "1500m", 0)
	plan, err := plannerOf(t, a, s).Plan(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	cpus, placed := resource.Quantity{}, 0
	for _, node := range plan.Nodes {
		cpu, err := resource.ParseQuantity(node.Labels["karpenter.k8s.aws/instance-cpu"])
		if err != nil {
			t.Fatal(err)
		}
		cpus.Add(cpu)
		placed += len(node.Pods)
	}
	if cpus.Value() != 12 || placed != 6 || len(plan.Refused) != 3 {
		t.Errorf("%d pods are on %d nodes of %v vCPUs, %d are refused: want 6 on 12 vCPUs, and 3", placed, len(plan.Nodes), cpus.Value(), len(plan.Refused))
	}
	for _, r := range plan.Refused {
		if !strings.Contains(r.Err.Error(), "all available instance types exceed limits for nodepool") {
			t.Errorf("%s is refused for another reason: %v", r.Pod.Name, r.Err)
		}
	}
}

// TestZonesAreKnownOnceLaunched: anti-affinity between zones keeps all zones that a node
// may be in, until it is in one.
func TestZonesAreKnownOnceLaunched(t *testing.T) {
	t.Parallel()
	a, s := packingtest.Rendered(t, "dev") // whose region has two zones
	all := pods(3, "apart", "100m", 0)
	for _, pod := range all {
		pod.Labels = map[string]string{"app": "apart"}
		pod.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelTopologyZone, LabelSelector: &metav1.LabelSelector{MatchLabels: pod.Labels},
		}}}}
	}
	plan, err := plannerOf(t, a, s).Plan(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	zones := map[string]bool{}
	for _, node := range plan.Nodes {
		zones[node.Launch.Zone] = true
	}
	if len(plan.Nodes) != 2 || len(zones) != 2 || len(plan.Refused) != 1 {
		t.Errorf("3 pods are on %d nodes in the zones %v, %d are refused; want 2 zones, and 1", len(plan.Nodes), zones, len(plan.Refused))
	}
}

// TestRefusals are in Karpenter's words, one for each pod and in their order.
func TestRefusals(t *testing.T) {
	t.Parallel()
	a, s := packingtest.Rendered(t, "dev")
	p := plannerOf(t, a, s)
	with := func(change func(*corev1.Pod)) *corev1.Pod {
		pod := pods(1, "pod", "100m", 1)[0]
		change(pod)
		return pod
	}
	for _, c := range []struct {
		name string
		pod  *corev1.Pod
		want string
	}{
		{"type of no pool", with(func(p *corev1.Pod) {
			p.Spec.NodeSelector = map[string]string{corev1.LabelInstanceTypeStable: "c6g.xlarge"}
		}), "incompatible requirements"},
		{"no toleration", with(func(p *corev1.Pod) { p.Spec.Tolerations = nil }), "did not tolerate taint"},
		{"more slices than a node", with(func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests[gpu] = resource.MustParse("5")
		}), "no instance type has enough resources"},
		{"label that Karpenter keeps to itself", with(func(p *corev1.Pod) {
			p.Spec.NodeSelector = map[string]string{"karpenter.sh/foo": "bar"}
		}), "using label karpenter.sh/foo is not allowed"},
	} {
		plan, err := p.Plan(t.Context(), []*corev1.Pod{pods(1, "good", "100m", 0)[0], c.pod})
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Refused) != 1 || plan.Refused[0].Pod != c.pod {
			t.Fatalf("%s: %d pods are refused, want this one", c.name, len(plan.Refused))
		}
		if err := plan.Refused[0].Err; !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: it is refused for %v, want %q", c.name, err, c.want)
		}
		if len(plan.Nodes) != 1 {
			t.Errorf("%s: the good pod is on %d nodes", c.name, len(plan.Nodes))
		}
	}
}

// TestDaemonSetsTakeTheirPart: a DaemonSet that matches a pool lessens its nodes.
func TestDaemonSetsTakeTheirPart(t *testing.T) {
	t.Parallel()
	a, s := packingtest.Rendered(t, "dev")
	p, err := plannerOf(t, a, s).With(t.Context(), func(s *packing.Stack) {
		plugin := &s.DaemonSets[0].Spec.Template.Spec.Containers[0]
		plugin.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3")}
	})
	if err != nil {
		t.Fatal(err)
	}
	plan := mustPlan(t, p, append(pods(2, "gpu", "500m", 1), pods(2, "cpu", "500m", 0)...))
	for _, node := range plan.Nodes {
		want := int64(0)
		if node.NodePool == "gpu" {
			want = 3
		}
		if got := node.Overhead.Cpu().Value(); got != want {
			t.Errorf("pool %s: DaemonSets take %d CPUs, want %d", node.NodePool, got, want)
		}
		if node.NodePool == "gpu" && node.Launch.InstanceType != "g4dn.2xlarge" {
			t.Errorf("3 CPUs of DaemonSets and two pods are on a %s", node.Launch.InstanceType)
		}
		if sum := 1000 + 1000*want; node.Requests.Cpu().MilliValue() != sum {
			t.Errorf("pool %s: %v CPUs are asked for, want %dm", node.NodePool, node.Requests.Cpu(), sum)
		}
	}
}

// TestNodeGroup: what tolerates the taint of the controllers' nodes goes there.
func TestNodeGroup(t *testing.T) {
	t.Parallel()
	a, s := packingtest.Rendered(t, "dev")
	s.NodeGroups = []packing.NodeGroup{{
		Name: "controllers", InstanceType: "m7g.large", Size: 2, Labels: map[string]string{"karpenter.sh/controller": "true"},
		Taints: []corev1.Taint{{Key: "karpenter.sh/controller", Value: "true", Effect: corev1.TaintEffectNoSchedule}},
	}}
	p := plannerOf(t, a, s)
	tolerant := pods(2, "tolerant", "1500m", 0)
	for _, pod := range tolerant {
		pod.Spec.Tolerations = []corev1.Toleration{{Key: "karpenter.sh/controller", Operator: corev1.TolerationOpExists}}
	}
	for _, node := range mustPlan(t, p, append(pods(1, "other", "1500m", 0), tolerant...)).Nodes {
		for _, pod := range node.Pods {
			if tolerates := len(pod.Spec.Tolerations) > 0; tolerates != (node.NodeGroup == "controllers") {
				t.Errorf("%s is on a node of group %q, pool %q", pod.Name, node.NodeGroup, node.NodePool)
			}
		}
	}
}

// TestMistakesOfAStack are told with the object's name.
func TestMistakesOfAStack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mistake func(*packing.Stack)
		want    string
	}{
		"overlay of a core resource": {func(s *packing.Stack) {
			s.NodeOverlays[0].Spec.Capacity[corev1.ResourceCPU] = resource.MustParse("9")
		}, ": RuntimeValidation: "},
		"two overlays of one resource": {func(s *packing.Stack) {
			other := s.NodeOverlays[0].DeepCopy()
			other.Name = "other"
			s.NodeOverlays = append(s.NodeOverlays, *other)
		}, ": Conflict: conflict with another overlay"},
		"pool": {func(s *packing.Stack) { poolOf(s, "arm64").Spec.Template.Labels["karpenter.sh/nodepool"] = "mine" }, "NodePool arm64: "},
		"foreign subnet": {func(s *packing.Stack) {
			s.NodeClasses[0].Spec.SubnetSelectorTerms = s.NodeClasses[0].Spec.SubnetSelectorTerms[:1]
			s.NodeClasses[0].Spec.SubnetSelectorTerms[0].ID = "subnet-0000000000000dead"
		}, "EC2NodeClass default: the account has none of its subnets"},
		"setting": {func(s *packing.Stack) {
			s.Controller = append(s.Controller, corev1.EnvVar{Name: "PREFERENCE_POLICY", Value: "Sometimes"})
		}, `invalid PREFERENCE_POLICY "Sometimes"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, s := packingtest.Rendered(t, "dev")
			c.mistake(s)
			if _, err := packing.New(t.Context(), a, s); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v; it should say %q", err, c.want)
			}
		})
	}
}

// TestWithChangesNothingElse: planners of one account do not see each other's stacks.
func TestWithChangesNothingElse(t *testing.T) {
	t.Parallel()
	a, s := packingtest.Rendered(t, "dev")
	base := plannerOf(t, a, s)
	if _, err := base.With(t.Context(), func(s *packing.Stack) {
		sliced(8, 16)(s)
		s.NodeOverlays = append([]v1alpha1.NodeOverlay{}, s.NodeOverlays...)
		s.NodePools = s.NodePools[:1]
	}); err != nil {
		t.Fatal(err)
	}
	if got := len(mustPlan(t, base, pods(8, "gpu", "100m", 1)).Nodes); got != 2 {
		t.Errorf("8 pods of 4 slices get %d nodes after another planner was made, want 2", got)
	}
}

func BenchmarkPlan(b *testing.B) {
	a, s := packingtest.Rendered(b, "dev")
	base := plannerOf(b, a, s)
	p, err := base.With(context.Background(), sliced(4, 1000))
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 100, 1000} {
		all := pods(n, "gpu", "100m", 1)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				mustPlan(b, p, all)
			}
		})
	}
}
