package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/report"
)

const refused = `Karpenter: Failed to schedule pod, incompatible with nodepool "gpu", no instance type satisfied resources {"cpu":"500m","memory":"1Gi","nvidia.com/gpu":"3","pods":"1"} and requirements karpenter.sh/nodepool In [gpu]`

// gpuNodes are nodes that hold pods of a slice each, and the two of the controllers.
func gpuNodes(pods, slicesAGPU int) []report.Node {
	nodes := []report.Node{}
	for i := range 2 {
		nodes = append(nodes, report.Node{
			Name: fmt.Sprintf("ip-10-0-0-%d", i), Pool: "controllers", InstanceType: "m7g.large", CapacityType: report.OnDemand,
			Zone: "us-west-1a", PricePerHour: 0.0952, Fixed: true,
		})
	}
	for left := pods; left > 0; left -= slicesAGPU {
		nodes = append(nodes, report.Node{
			Name: fmt.Sprintf("ip-10-0-1-%d", left), Pool: "gpu", InstanceType: "g4dn.xlarge", CapacityType: report.Spot,
			Zone: "us-west-1a", PricePerHour: 0.2475, GPUSlices: int64(slicesAGPU), GPUSlicesUsed: int64(min(left, slicesAGPU)),
		})
	}
	return nodes
}

// somePods are pods that run, and others that do not.
func somePods(run, wait int) []report.Pod {
	pods := []report.Pod{}
	for i := range run + wait {
		p := report.Pod{Namespace: "default", Name: fmt.Sprintf("gpu-inference-%d", i), Phase: "Running", Node: "ip-10-0-1-1"}
		if i >= run {
			p.Phase, p.Node, p.Reason = "Pending", "", refused
		}
		pods = append(pods, p)
	}
	return pods
}

// pools are the stack's GPU pools.
func pools(slicesAGPU int) []report.Pool {
	p := report.Pool{Name: "gpu", Sharing: "time-slicing", Slices: slicesAGPU, Slice: "turns on a GPU"}
	if slicesAGPU == 1 {
		p.Sharing, p.Slice = "none", "a whole GPU"
	}
	return []report.Pool{p}
}

// forecast is of eight pods and one that fits nowhere, at the counts.
func forecast(t *testing.T, counts ...int) *report.Forecast {
	t.Helper()
	about := report.NewAbout("dev", "us-west-1")
	about.Workloads = []string{"Deployment gpu-inference (examples/gpu-inference.yaml)"}
	about.Real, about.Simulated = []string{"Karpenter 1.14.1"}, []string{"the AWS account"}
	f := report.NewForecast(about)
	f.LeftOut = []report.LeftOut{{Object: "ServiceMonitor metrics (monitoring.yaml)", Reason: "the cluster has no kind ServiceMonitor of monitoring.coreos.com/v1"}}
	for _, slicesAGPU := range counts {
		if err := f.Add(report.Count{
			Slices: slicesAGPU, Asked: slicesAGPU != 1, Pools: pools(slicesAGPU), Nodes: gpuNodes(8, slicesAGPU), Pods: somePods(8, 1),
		}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestForecastWrite(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := forecast(t, 4, 1, 8, 2).Write(&out); err != nil {
		t.Fatal(err)
	}
	const want = `
8 of 9 pods: 1 node, $0.25/h at 8 slices a GPU; 8 nodes, $1.98/h with whole GPUs. Saves 88 %, $1,265
a month.

Forecast of stack dev in us-west-1
SLICES A GPU                     1 (whole)  2           4             8
gpu g4dn.xlarge spot             8 nodes    4 nodes     2 nodes       1 node
controllers m7g.large on-demand  2 nodes    2 nodes     2 nodes       2 nodes
pods placed                      8 of 9     8 of 9      8 of 9        8 of 9
slices used                      8 of 8     8 of 8      8 of 8        8 of 8
GPU memory a slice               16 GiB     8 GiB       4 GiB         2 GiB
$/h spot                         $1.9800    $0.9900     $0.4950       $0.2475
$/h on-demand                    $0.0000    $0.0000     $0.0000       $0.0000
$/month spot                     $1,445     $723        $361          $181
$/month on-demand                $0         $0          $0            $0
saved a month                    -          $723, 50 %  $1,084, 75 %  $1,265, 88 %

Could not be placed
- 1 pod at 1 slice, 1 at 2, 1 at 4, 1 at 8, such as default/gpu-inference-8: Karpenter: Failed to
  schedule pod, incompatible with nodepool "gpu", no instance type satisfied resources
  {"cpu":"500m","memory":"1Gi","nvidia.com/gpu":"3","pods":"1"} and requirements
  karpenter.sh/nodepool In [gpu]

Left out of the workloads
- ServiceMonitor metrics (monitoring.yaml): the cluster has no kind ServiceMonitor of
  monitoring.coreos.com/v1

- Whole GPUs were not asked for: they are what the others are compared with.
- The cost is that of the nodes that Karpenter launches for the pods. The nodes that are there
  whatever the pods ask for cost $0.1904/h more at each count; the EKS control plane, volumes and
  traffic are not in it. A month has 730 hours.
- GPU memory a slice is the GPU's divided by its slices. Time-slicing reserves none of it: the
  pods of a GPU share its memory, and a fault of one can end the others.
- Prices are of the price list of 2025-05-28 for us-west-1; spot prices move from hour to hour.
- Real: Karpenter 1.14.1. Simulated: the AWS account.
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("%s\n%s", diff, &out)
	}
}

// However many counts and however long the names, the tables keep to the terminal.
func TestForecastWriteWidth(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := forecast(t, 1, 2, 3, 4, 6, 8, 12, 16, 24, 48).Write(&out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{"SLICES A GPU", "us-west-1, continued", "16", "48"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	if n := strings.Count(out.String(), "gpu g4dn.xlarge spot"); n < 2 {
		t.Errorf("the names of rows are there %d times", n)
	}
}

func TestForecastComparison(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		whole, four func() ([]report.Node, []report.Pod)
		saves       float64 // percent
		notCompared string
		headline    string
	}{
		{
			name:  "slices save",
			whole: func() ([]report.Node, []report.Pod) { return gpuNodes(8, 1), somePods(8, 0) },
			four:  func() ([]report.Node, []report.Pod) { return gpuNodes(8, 4), somePods(8, 0) },
			saves: 75, headline: "8 pods: 2 nodes, $0.50/h at 4 slices a GPU; 8 nodes, $1.98/h with whole GPUs. Saves 75 %, $1,084 a month.",
		},
		{
			name:        "fewer pods with whole GPUs, such as for the pool's limit",
			whole:       func() ([]report.Node, []report.Pod) { return gpuNodes(2, 1), somePods(2, 6) },
			four:        func() ([]report.Node, []report.Pod) { return gpuNodes(8, 4), somePods(8, 0) },
			notCompared: "8 of 8 pods are placed, with whole GPUs 2 of 8",
			headline:    "8 pods: no number of slices can be compared with whole GPUs: 8 of 8 pods are placed, with whole GPUs 2 of 8.",
		},
		{
			name:  "more nodes have more of a DaemonSet's pods",
			whole: func() ([]report.Node, []report.Pod) { return gpuNodes(8, 1), somePods(8+8, 0) },
			four:  func() ([]report.Node, []report.Pod) { return gpuNodes(8, 4), somePods(8+2, 0) },
			saves: 75, headline: "10 pods: 2 nodes, $0.50/h at 4 slices a GPU; 8 nodes, $1.98/h with whole GPUs. Saves 75 %, $1,084 a month.",
		},
		{
			name:  "one pod has one GPU either way",
			whole: func() ([]report.Node, []report.Pod) { return gpuNodes(1, 1), somePods(1, 0) },
			four:  func() ([]report.Node, []report.Pod) { return gpuNodes(1, 4), somePods(1, 0) },
			saves: 0, headline: "1 pod: slices save nothing; 1 node, $0.25/h with whole GPUs.",
		},
		{
			name:        "no pod needs a node",
			whole:       func() ([]report.Node, []report.Pod) { return gpuNodes(0, 1), nil },
			four:        func() ([]report.Node, []report.Pod) { return gpuNodes(0, 4), nil },
			notCompared: "the pods need no node that Karpenter launches",
			headline:    "0 pods: none has a GPU, and the number of slices changes nothing for them.",
		},
		{
			name:  "a node without a known price",
			whole: func() ([]report.Node, []report.Pod) { return gpuNodes(8, 1), somePods(8, 0) },
			four: func() ([]report.Node, []report.Pod) {
				nodes := gpuNodes(8, 4)
				nodes[2].InstanceType, nodes[2].PricePerHour = "g99.xlarge", 0
				return nodes, somePods(8, 0)
			},
			notCompared: "not all nodes have a known price",
			headline:    "8 pods: no number of slices can be compared with whole GPUs: not all nodes have a known price.",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := report.NewForecast(report.NewAbout("dev", "us-west-1"))
			for slicesAGPU, at := range map[int]func() ([]report.Node, []report.Pod){1: c.whole, 4: c.four} {
				nodes, pods := at()
				if err := f.Add(report.Count{Slices: slicesAGPU, Asked: true, Nodes: nodes, Pods: pods}); err != nil {
					t.Fatal(err)
				}
			}
			four := f.Counts[1]
			if four.NotCompared != c.notCompared || (four.Saving == nil) != (c.notCompared != "") {
				t.Errorf("the saving is %v, and not compared because %q", four.Saving, four.NotCompared)
			}
			if four.Saving != nil && math.Abs(four.Saving.Percent-c.saves) > 1e-9 {
				t.Errorf("it saves %v %%, want %v", four.Saving.Percent, c.saves)
			}
			if got := f.Headline(); got != c.headline {
				t.Errorf("the headline is\n%s\nwant\n%s", got, c.headline)
			}
		})
	}
}

// Of counts that cost the same, the one with the fewest slices is the best.
func TestForecastBest(t *testing.T) {
	t.Parallel()
	f := report.NewForecast(report.NewAbout("dev", "us-west-1"))
	for _, slicesAGPU := range []int{1, 4, 8} {
		if err := f.Add(report.Count{Slices: slicesAGPU, Nodes: gpuNodes(3, slicesAGPU), Pods: somePods(3, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	if best := f.Best(); best == nil || best.Slices != 4 {
		t.Errorf("the best is %+v", best)
	}
}

func TestForecastPrices(t *testing.T) {
	t.Parallel()
	f := report.NewForecast(report.NewAbout("dev", "eu-south-1")) // whose spot prices no source states
	nodes := []report.Node{
		{Pool: "gpu", InstanceType: "g4dn.xlarge", CapacityType: report.Spot, Zone: "eu-south-1a", PricePerHour: 0.20944},
		{Pool: "gpu", InstanceType: "g99.xlarge", CapacityType: report.Spot, Zone: "eu-south-1a"},
	}
	if err := f.Add(report.Count{Slices: 1, Nodes: nodes, EverLaunched: 5}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := f.Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"The price of g4dn.xlarge spot, $0.2094/h, is assumed: derived from the on-demand price",
		"No price is known for g99.xlarge spot: unknown", "At 1 slice Karpenter launched 5 nodes in all, and ended 3 of them again.",
		"price list of 2025-05-28 for eu-south-1",
	} {
		if !strings.Contains(strings.ReplaceAll(out.String(), "\n  ", " "), want) {
			t.Errorf("it does not say %q:\n%s", want, &out)
		}
	}
	if err := report.NewForecast(report.NewAbout("dev", "moon-1")).Add(report.Count{Slices: 1}); err == nil || !strings.Contains(err.Error(), "moon-1") {
		t.Errorf("the error of an unknown region is %v", err)
	}
}

// The names are an interface, and lists are never null.
func TestForecastJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	empty := report.NewForecast(report.NewAbout("dev", "us-west-1"))
	if err := empty.Add(report.Count{Slices: 1}); err != nil {
		t.Fatal(err)
	}
	if err := empty.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "null") {
		t.Errorf("a list is null in %s", &out)
	}
	out.Reset()
	if err := forecast(t, 1, 4).WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := []string{"counts", "leftOut", "prices", "pricesDate", "real", "region", "simulated", "stack", "workloads"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Error(diff)
	}
	counts, ok := got["counts"].([]any)
	if !ok || len(counts) != 2 {
		t.Fatalf("the counts are %v", got["counts"])
	}
	last, ok := counts[1].(map[string]any)
	if !ok {
		t.Fatalf("a count is %v", counts[1])
	}
	want = []string{
		"asked", "everLaunched", "fixedPerHour", "groups", "nodes", "nodesLaunched", "perHour", "perMonth", "pods", "podsPlaced", "pools",
		"saving", "slices", "slicesOffered", "slicesUsed", "unplaced", "unpriced",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(last))); diff != "" {
		t.Error(diff)
	}
}
