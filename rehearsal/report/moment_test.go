package report_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"eks-gpu-slicing/rehearsal/report"
)

func TestNewMoment(t *testing.T) {
	t.Parallel()
	got := report.NewMoment(2.5, gpuNodes(6, 4))
	want := report.Moment{
		Seconds: 2.5, Pools: []report.PoolSize{{Pool: "controllers", Nodes: 2}, {Pool: "gpu", Nodes: 2}},
		SlicesUsed: 6, SlicesOffered: 8, PerHour: 2 * 0.2475, WholePerHour: 6 * 0.2475,
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Error(diff)
	}
}

func TestWhole(t *testing.T) {
	t.Parallel()
	spot := func(instanceType string, price float64, slices, used int64) report.Node {
		return report.Node{Pool: "gpu", InstanceType: instanceType, CapacityType: report.Spot, PricePerHour: price, GPUSlices: slices, GPUSlicesUsed: used}
	}
	for _, c := range []struct {
		name    string
		node    report.Node
		count   int64
		perHour float64
	}{
		{"a slice each on one GPU", spot("g4dn.xlarge", 0.25, 4, 4), 4, 1},
		{"four GPUs of four slices", spot("g4dn.12xlarge", 2, 16, 13), 4, 8},
		{"four GPUs, two slices in use", spot("g4dn.12xlarge", 2, 16, 2), 1, 2},
		{"an empty node", spot("g4dn.xlarge", 0.25, 4, 0), 1, 0.25},
		{"a GPU that is not offered yet", spot("g4dn.xlarge", 0.25, 0, 0), 1, 0.25},
		{"no GPU", spot("c7i.large", 0.04, 0, 0), 1, 0.04},
		{"not Karpenter's", report.Node{InstanceType: "m7g.large", PricePerHour: 0.1, Fixed: true}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			count, perHour := report.Whole([]report.Node{c.node})
			if count != c.count || math.Abs(perHour-c.perHour) > 1e-9 {
				t.Errorf("%d nodes, $%v; want %d, $%v", count, perHour, c.count, c.perHour)
			}
		})
	}
}

func TestRunHeadline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		run  func(*report.Run)
		want string
	}{
		{"nothing", func(*report.Run) {}, ""},
		{
			"slices", func(r *report.Run) {
				r.Nodes, r.Pods, r.Phases = gpuNodes(8, 4), somePods(8, 0), []report.Phase{{Name: "up", OK: true}}
			},
			"8 of 8 pods placed on 2 nodes, $0.50/h. With a whole GPU for each slice in use: 8 nodes, $1.98/h; saves 75 %. Every step passed.",
		},
		{
			"whole GPUs, and a pod too many", func(r *report.Run) {
				r.Nodes, r.Pods, r.Phases = gpuNodes(2, 1), somePods(2, 1), []report.Phase{{Name: "up", OK: true}, {Name: "workloads"}}
			},
			"2 of 3 pods placed on 2 nodes, $0.50/h. Fell short: workloads.",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := report.New("dev")
			c.run(r)
			if got := r.Headline(); got != c.want {
				t.Errorf("it is\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// What ran on a node is known after its instance has ended.
func TestNoteLaunched(t *testing.T) {
	t.Parallel()
	r := report.New("dev")
	r.Pods = []report.Pod{{Namespace: "default", Name: "a", Node: "ip-1"}, {Namespace: "default", Name: "b"}}
	r.NoteLaunched([]report.NodeClaim{{Name: "gpu-1", InstanceID: "i-1", Node: "ip-1"}})
	r.NoteLaunched([]report.NodeClaim{{Name: "gpu-0", InstanceID: "i-0"}, {Name: "gpu-1", InstanceID: "i-1"}})
	want := []report.NodeClaim{{Name: "gpu-0", InstanceID: "i-0"}, {Name: "gpu-1", InstanceID: "i-1", Node: "ip-1"}}
	if diff := cmp.Diff(want, r.NodeClaimsLaunched); diff != "" {
		t.Error(diff)
	}
	if got := r.PodsOn("ip-1"); len(got) != 1 || got[0] != "default/a" {
		t.Errorf("on it are %v", got)
	}
	if got := r.PodsOn(""); len(got) != 0 {
		t.Errorf("on no node are %v", got)
	}
}
