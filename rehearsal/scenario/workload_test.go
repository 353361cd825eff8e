package scenario

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/kubernetes"

	"eks-gpu-slicing/rehearsal/lint"
	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/request"
	"eks-gpu-slicing/rehearsal/workload"
)

// finish runs the command to its end and reads the JSON it writes.
func finish(t *testing.T, status int, into any, args ...string) *rehearsed {
	t.Helper()
	file := filepath.Join(t.TempDir(), "out.json")
	r := start(t.Context(), t, append(args, "--json", file)...)
	if got := r.end(t); got != status {
		t.Fatalf("it exits with %d, want %d:\n%s", got, status, r.said(t))
	}
	r.leavesNothing(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
	return r
}

// kinds counts nodes by pool, type and capacity type.
func kinds(nodes []report.Node) map[string]int {
	count := map[string]int{}
	for _, n := range nodes {
		count[fmt.Sprintf("%s %s %s", n.Pool, n.InstanceType, n.CapacityType)]++
	}
	return count
}

// TestForecast: a forecast's nodes are those that a run then gets, whole GPUs are
// computed to compare with, and both write their page.
func TestForecast(t *testing.T) {
	t.Parallel()
	args := []string{"--workload", filepath.Join(checkout, "examples"), "--scale", "inflate-amd64=2", "--scale", "inflate-arm64=1"}
	html := filepath.Join(t.TempDir(), "page.html")
	var forecast report.Forecast
	said := finish(t, request.StatusOK, &forecast, append([]string{"forecast", "--slices", "4", "--html", html}, args...)...)
	run := live(t, request.StatusOK, append(args, "--html", html+".run")...)
	if len(forecast.Counts) != 2 || forecast.Counts[0].Slices != 1 || forecast.Counts[0].Asked || forecast.Counts[1].Slices != 4 {
		t.Fatalf("the counts are %+v; want whole GPUs, which were not asked for, and 4 slices", forecast.Counts)
	}
	if diff := cmp.Diff(kinds(run.Nodes), kinds(forecast.Counts[1].Nodes)); diff != "" {
		t.Errorf("nodes (-run +forecast):\n%s", diff)
	}
	// Eight pods of the one example and one of the other.
	if got := kinds(forecast.Counts[0].Nodes)["gpu g4dn.xlarge spot"]; got != 9 {
		t.Errorf("with whole GPUs there are %d GPU nodes, want 9", got)
	}
	for _, want := range []string{"Saves ", "2025-05-28", "Simulated: "} {
		if !strings.Contains(said.said(t), want) {
			t.Errorf("the forecast does not say %q:\n%s", want, said.said(t))
		}
	}
	for _, file := range []string{html, html + ".run"} {
		if page, err := os.ReadFile(file); err != nil || !strings.Contains(string(page), "</html>") || strings.Contains(string(page), "src=\"http") {
			t.Errorf("%s is no page of its own: %v", file, err)
		}
	}
}

// TestSoakForecast: what the plan says of three sizes of a mixed workload, with a pod that
// is refused, is what becomes of it when each number is brought up.
func TestSoakForecast(t *testing.T) {
	t.Parallel()
	soak(t)
	args := []string{
		"forecast", "--slices", "2,4,8", "--workload", filepath.Join(checkout, "examples"), "--workload", filepath.Join("testdata", "slices.yaml"),
		"--workload", filepath.Join("testdata", "refused.yaml"), "--scale", "slices=21", "--scale", "inflate-amd64=7", "--scale", "inflate-arm64=5",
		"--config", "gpuLimit=40",
	}
	var planned, lived report.Forecast
	finish(t, request.StatusOK, &planned, args...)
	finish(t, request.StatusOK, &lived, append(args, "--live")...)
	if len(planned.Counts) != 4 || len(lived.Counts) != 4 {
		t.Fatalf("%d counts are planned and %d lived, want 4 each", len(planned.Counts), len(lived.Counts))
	}
	for i, p := range planned.Counts {
		l := lived.Counts[i]
		if diff := cmp.Diff(kinds(l.Nodes), kinds(p.Nodes)); diff != "" {
			t.Errorf("nodes at %d slices (-live +planned):\n%s", p.Slices, diff)
		}
		if p.PodsPlaced != l.PodsPlaced || len(p.Unplaced) != len(l.Unplaced) {
			t.Errorf("at %d slices %d pods are placed by the plan, %d live; not placed: %v, live %v",
				p.Slices, p.PodsPlaced, l.PodsPlaced, p.Unplaced, l.Unplaced)
		}
	}
}

// TestLint: the examples have no problems; the problems of a workload that has some
// make the command fail.
func TestLint(t *testing.T) {
	t.Parallel()
	var clean, bad lint.Result
	finish(t, request.StatusOK, &clean, "lint", "--workload", filepath.Join(checkout, "examples"))
	if len(clean.Problems) > 0 || len(clean.Placed) != 4 {
		t.Errorf("of the examples it finds %+v, and places for %+v", clean.Problems, clean.Placed)
	}
	r := finish(t, request.StatusFailed, &bad, "lint", "--workload", filepath.Join("testdata", "refused.yaml"))
	rules := map[string]lint.Rule{}
	for _, p := range bad.Problems {
		rules[p.Object] = p.Rule
	}
	if diff := cmp.Diff(map[string]lint.Rule{"Pod pinned-c6g": lint.RuleSelector, "Pod two-slices": lint.RuleShare}, rules); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, want := range []string{"refused.yaml:9: Pod pinned-c6g", "ask for c7g.xlarge"} {
		if !strings.Contains(r.said(t), want) {
			t.Errorf("it does not say %q:\n%s", want, r.said(t))
		}
	}
}

// TestCeil: n one-slice pods at s slices take ceil(n/s) nodes, none more is ever
// launched. All n to 40 are tried in package packing; these go through a cluster.
func TestCeil(t *testing.T) {
	t.Parallel()
	for slices, pods := range map[int][]int{2: {1, 5}, 4: {7, 12}, 8: {17, 40}} {
		t.Run(fmt.Sprint(slices), func(t *testing.T) {
			t.Parallel()
			s := tell(t, nil, fmt.Sprintf("gpuSlices=%d", slices))
			s.up()
			client, err := kubernetes.NewForConfig(s.World.RESTConfig())
			if err != nil {
				t.Fatal(err)
			}
			before := 0
			for _, n := range pods {
				objects, err := workload.Asked{Paths: []string{"testdata/slices.yaml"}, Scales: []string{fmt.Sprintf("slices=%d", n)}}.Read()
				if err != nil {
					t.Fatal(err)
				}
				cluster, err := s.Place(t.Context(), objects)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range cluster.Pods {
					if p.Phase != "Running" {
						t.Errorf("%s is %s: %s", p.Name, p.Phase, p.Reason)
					}
				}
				if got, want := s.launched("gpu")-before, (n+slices-1)/slices; got != want || len(cluster.Pods) != n {
					t.Errorf("%d nodes were launched for %d pods; want %d for %d", got, len(cluster.Pods), want, n)
				}
				before = s.launched("gpu")
				if err := s.World.DeleteWorkloads(t.Context(), objects); err != nil {
					t.Fatal(err)
				}
				s.newGPUNodes(client)
			}
		})
	}
}
