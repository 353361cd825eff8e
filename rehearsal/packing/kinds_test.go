package packing_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"eks-gpu-slicing/rehearsal/packing"
	"eks-gpu-slicing/rehearsal/packing/packingtest"
)

func TestKinds(t *testing.T) {
	t.Parallel()
	a, s := packingtest.Rendered(t, "dev")
	// What it takes of the CPUs leaves nothing of two, and most of four.
	s.DaemonSets[0].Spec.Template.Spec.NodeSelector = nil
	s.DaemonSets[0].Spec.Template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}
	kinds, err := plannerOf(t, a, s).Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pools := map[string][]packing.Kind{}
	for _, k := range kinds {
		pools[k.NodePool] = append(pools[k.NodePool], k)
		if cpu := k.Labels["karpenter.k8s.aws/instance-cpu"]; !slices.Contains([]string{"4", "8", "16"}, cpu[0]) {
			t.Errorf("%s of %s has %v vCPUs, of which DaemonSets want 2", k.InstanceType, k.NodePool, cpu)
		}
		if k.Overhead.Cpu().Value() != 2 {
			t.Errorf("%s of %s: DaemonSets take %v CPUs, want 2", k.InstanceType, k.NodePool, k.Overhead.Cpu())
		}
	}
	if kinds[0].NodePool != "x86" {
		t.Errorf("the first pool is %s, want the heaviest, x86", kinds[0].NodePool)
	}
	var names []string
	for _, k := range pools["gpu"] {
		names = append(names, k.InstanceType)
		slices := k.Allocatable[gpu]
		if slices.Value() != 4 {
			t.Errorf("%s has %d slices, want 4", k.InstanceType, slices.Value())
		}
		if diff := cmp.Diff([]string{"us-west-1a", "us-west-1b"}, k.Labels[corev1.LabelTopologyZone]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", k.InstanceType, diff)
		}
		if len(k.Taints) != 1 || k.Taints[0].Key != string(gpu) {
			t.Errorf("%s has the taints %v", k.InstanceType, k.Taints)
		}
	}
	if diff := cmp.Diff([]string{"g4dn.2xlarge", "g4dn.4xlarge", "g4dn.xlarge"}, names); diff != "" {
		t.Errorf("kinds of pool gpu (-want +got):\n%s", diff)
	}
	for _, k := range pools["arm64"] {
		if !strings.Contains(k.InstanceType, "7g") {
			t.Errorf("%s is of generation 7 for ARM", k.InstanceType)
		}
	}
}

func TestExclusions(t *testing.T) {
	t.Parallel()
	a, s := packingtest.Rendered(t, "dev")
	p := plannerOf(t, a, s)
	exclusions := func(pool, label string, values ...string) []packing.Exclusion {
		t.Helper()
		out, err := p.Exclusions(t.Context(), poolOf(s, pool), corev1.NodeSelectorRequirement{Key: label, Operator: corev1.NodeSelectorOpIn, Values: values})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	want := []packing.Exclusion{{InstanceType: "c6g.xlarge", By: []packing.Mismatch{
		{Label: "karpenter.k8s.aws/instance-generation", Has: []string{"6"}, Wants: "In [7]"},
	}}}
	if diff := cmp.Diff(want, exclusions("arm64", corev1.LabelInstanceTypeStable, "c6g.xlarge")); diff != "" {
		t.Errorf("c6g.xlarge in arm64 (-want +got):\n%s", diff)
	}
	want[0].By = []packing.Mismatch{
		{Label: "karpenter.k8s.aws/instance-generation", Has: []string{"6"}, Wants: "Gt [6]"},
		{Label: corev1.LabelArchStable, Has: []string{"arm64"}, Wants: "In [amd64]"},
	}
	if diff := cmp.Diff(want, exclusions("x86", corev1.LabelInstanceTypeStable, "c6g.xlarge")); diff != "" {
		t.Errorf("c6g.xlarge in x86 (-want +got):\n%s", diff)
	}
	if got := exclusions("x86", corev1.LabelInstanceTypeStable, "c7i.xlarg"); len(got) != 0 {
		t.Errorf("a type that there is not is excluded by %v", got)
	}
	if got := exclusions("x86", "karpenter.k8s.aws/instance-category", "m", "p"); len(got) < 10 || len(got[0].By) > len(got[len(got)-1].By) {
		t.Errorf("of the categories m and p there are %d types, the first excluded by %v", len(got), got[0].By)
	}
}
