package packing_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/packing"
	"eks-gpu-slicing/rehearsal/packing/packingtest"
)

// controllerChart is where Karpenter's chart is published.
const controllerChart = "oci://public.ecr.aws/karpenter/karpenter"

func TestFromPlan(t *testing.T) {
	t.Parallel()
	pool := map[string]any{
		"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": map[string]any{"name": "gpu"},
		"spec": map[string]any{"weight": 10.0, "limits": map[string]any{"cpu": "8"}},
	}
	plan := &engine.Plan{Succeeded: true, Resources: []engine.Resource{
		{Type: "aws:eks/nodeGroup:NodeGroup", Inputs: map[string]any{
			"nodeGroupName": "controllers", "instanceTypes": []any{"m7g.large"}, "labels": map[string]any{"a": "b"},
			"taints":        []any{map[string]any{"key": "k", "value": "v", "effect": "NO_SCHEDULE"}},
			"scalingConfig": map[string]any{"desiredSize": 2.0, "minSize": 1.0}, "version": "1.28",
		}},
		{Type: "kubernetes:karpenter.sh/v1:NodePool", Inputs: pool},
		{Type: "kubernetes:helm.sh/v3:Release", Inputs: map[string]any{"chart": controllerChart + "-crd"}},
		{Type: "kubernetes:helm.sh/v3:Release", Inputs: map[string]any{"chart": controllerChart, "values": map[string]any{
			"settings": map[string]any{"clusterName": "c", "reservedENIs": "1", "featureGates": map[string]any{"nodeOverlay": true}},
		}}},
		{Type: "kubernetes:core/v1:Namespace", Inputs: map[string]any{"kind": "Namespace"}},
	}}
	s, err := packing.FromPlan(plan, packingtest.Charts(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []packing.NodeGroup{{
		Name: "controllers", InstanceType: "m7g.large", Size: 2, Labels: map[string]string{"a": "b"},
		Taints: []corev1.Taint{{Key: "k", Value: "v", Effect: corev1.TaintEffectNoSchedule}},
	}}
	if diff := cmp.Diff(want, s.NodeGroups); diff != "" {
		t.Errorf("node groups (-want +got):\n%s", diff)
	}
	if len(s.NodePools) != 1 || s.NodePools[0].Name != "gpu" || *s.NodePools[0].Spec.Weight != 10 {
		t.Errorf("pools are %+v", s.NodePools)
	}
	environment := map[string]string{}
	for _, e := range s.Controller {
		environment[e.Name] = e.Value
	}
	if environment["CLUSTER_NAME"] != "c" || environment["RESERVED_ENIS"] != "1" || !strings.Contains(environment["FEATURE_GATES"], "NodeOverlay=true") {
		t.Errorf("the controller's environment is %v", environment)
	}

	plan.Resources = plan.Resources[:2]
	if s, err = packing.FromPlan(plan, packingtest.Charts(t)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]corev1.EnvVar{{Name: "FEATURE_GATES", Value: "NodeOverlay=true"}}, s.Controller); diff != "" {
		t.Errorf("without a release of ours the controller's environment is (-want +got):\n%s", diff)
	}
}

func TestFromPlanTellsMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		resource engine.Resource
		want     string
	}{
		"unknown field": {engine.Resource{URN: "urn:pool", Inputs: map[string]any{
			"kind": "NodePool", "metadata": map[string]any{"name": "gpu"}, "spec": map[string]any{"wieght": 1.0},
		}}, `urn:pool: NodePool gpu: unknown field "spec.wieght"`},
		"effect": {engine.Resource{URN: "urn:group", Type: "aws:eks/nodeGroup:NodeGroup", Inputs: map[string]any{
			"instanceTypes": []any{"m7g.large"}, "taints": []any{map[string]any{"key": "k", "effect": "NoSchedule"}},
		}}, `urn:group: taint k has the effect "NoSchedule"`},
		"no instance type": {engine.Resource{URN: "urn:group", Type: "aws:eks/nodeGroup:NodeGroup"}, "urn:group: it states no instance type"},
		"values": {engine.Resource{URN: "urn:release", Type: "kubernetes:helm.sh/v3:Release", Inputs: map[string]any{
			"chart": controllerChart,
		}}, "valid settings.clusterName"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := packing.FromPlan(&engine.Plan{Resources: []engine.Resource{c.resource}}, packingtest.Charts(t))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v; it should say %q", err, c.want)
			}
		})
	}
}

// TestControllerEnvironmentIsParsed: settings reach the numbers of instance types.
func TestControllerEnvironmentIsParsed(t *testing.T) {
	t.Parallel()
	a, s := packingtest.Rendered(t, "dev")
	before := mustPlan(t, plannerOf(t, a, s), pods(1, "gpu", "100m", 1)).Nodes[0]
	s.Controller = append(s.Controller, corev1.EnvVar{Name: "RESERVED_ENIS", Value: "1"}, corev1.EnvVar{Name: "VM_MEMORY_OVERHEAD_PERCENT", Value: "0.5"})
	after := mustPlan(t, plannerOf(t, a, s), pods(1, "gpu", "100m", 1)).Nodes[0]
	// A g4dn.xlarge has 3 interfaces of 10 addresses, and 16 GiB.
	if before.Allocatable.Pods().Value() != 29 || after.Allocatable.Pods().Value() != 20 {
		t.Errorf("pods a node: %v, and %v with a reserved interface; want 29 and 20", before.Allocatable.Pods(), after.Allocatable.Pods())
	}
	if got := after.Allocatable.Memory().Value() * 100 / before.Allocatable.Memory().Value(); got < 45 || got > 60 {
		t.Errorf("half of the memory as overhead leaves %d %%", got)
	}
}
