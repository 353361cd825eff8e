package page_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/report/page"
)

const refused = `Karpenter: Failed to schedule pod, incompatible with nodepool "gpu", daemonset overhead={"cpu":"180m","memory":"120Mi","pods":"4"}, no instance type satisfied resources {"cpu":"680m","memory":"1144Mi","nvidia.com/gpu":"3","pods":"5"} and requirements karpenter.sh/capacity-type In [on-demand spot], karpenter.sh/nodepool In [gpu], node.kubernetes.io/instance-type In [g4dn.2xlarge g4dn.4xlarge g4dn.xlarge] (no instance type has enough resources)`

func about() report.About {
	a := report.NewAbout("dev", "us-west-1")
	a.Workloads = []string{"Deployment gpu-inference (examples/gpu-inference.yaml)", "Deployment web <b>&co</b> (web.yaml)"}
	a.Real = []string{"the program and the Pulumi engine", "Kubernetes 1.35.4, which stands in for the configured version", "Karpenter 1.14.1"}
	a.Simulated = []string{"the AWS account (world plain)", "the containers"}
	return a
}

func node(i int, pool, instanceType, capacity string, price float64, slices, used int64) report.Node {
	return report.Node{
		Name: fmt.Sprintf("ip-10-0-%d-%d.us-west-1.compute.internal", i/250, i%250), Pool: pool, InstanceType: instanceType, CapacityType: capacity,
		Zone: "us-west-1a", PricePerHour: price, GPUSlices: slices, GPUSlicesUsed: used, Fixed: pool == "gpu-slicing-controllers",
	}
}

// cluster is how n pods of a slice each and three of another kind stand.
func cluster(n, slices int) (nodes []report.Node, pods []report.Pod) {
	for i := range 2 {
		nodes = append(nodes, node(i, "gpu-slicing-controllers", "m7g.large", report.OnDemand, 0.1032, 0, 0))
	}
	nodes = append(nodes, node(9, "x86", "c7i.large", report.Spot, 0.0412, 0, 0))
	for at := 0; at < n; at += slices {
		if at == 0 {
			nodes = append(nodes, node(10, "gpu", "g4dn.2xlarge", report.OnDemand, 0.902, int64(slices), int64(min(slices, n))))
			continue
		}
		nodes = append(nodes, node(10+at, "gpu", "g4dn.xlarge", report.Spot, 0.2475, int64(slices), int64(min(slices, n-at))))
	}
	for i := range n + 1 {
		p := report.Pod{Namespace: "default", Name: fmt.Sprintf("gpu-inference-%d", i), Phase: "Running", Node: "ip-10-0-0-10"}
		if i == n {
			p.Phase, p.Node, p.Reason = "Pending", "", refused
		}
		pods = append(pods, p)
	}
	return nodes, pods
}

func forecast(t *testing.T, pods int, counts ...int) *report.Forecast {
	t.Helper()
	f := report.NewForecast(about())
	f.LeftOut = []report.LeftOut{{Object: "ServiceMonitor metrics (monitoring.yaml)", Reason: "the cluster has no kind ServiceMonitor of monitoring.coreos.com/v1"}}
	for _, slices := range counts {
		nodes, all := cluster(pods, slices)
		pools := []report.Pool{{Name: "gpu", Sharing: "time-slicing", Slices: slices, Slice: "turns on a GPU"}}
		if err := f.Add(report.Count{Slices: slices, Asked: slices != 1, Pools: pools, Nodes: nodes, Pods: all}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func run(t *testing.T) *report.Run {
	t.Helper()
	r := report.New("dev")
	r.About = about()
	r.Phases = []report.Phase{{Name: "world", Seconds: 4.1, OK: true}, {Name: "up", Seconds: 8.64, OK: true}, {Name: "workloads", Seconds: 16, OK: false}}
	r.Nodes, r.Pods = cluster(10, 4)
	if err := r.AddPrices(r.Nodes); err != nil {
		t.Fatal(err)
	}
	for s, n := range []int{0, 0, 0, 4, 4, 8, 10, 10} {
		nodes, _ := cluster(n, 4)
		if s < 2 {
			nodes = nodes[:2]
		}
		r.Timeline = append(r.Timeline, report.NewMoment(float64(s)*1.9, nodes))
	}
	r.NodeClaimsLaunched = []report.NodeClaim{
		{Name: "gpu-7x2lq", Pool: "gpu", InstanceID: "i-1", InstanceType: "g4dn.2xlarge", CapacityType: report.OnDemand, Zone: "us-west-1a", Node: "ip-10-0-0-10"},
		{Name: "x86-b7m4d", Pool: "x86", InstanceID: "i-2", InstanceType: "c7i.large", CapacityType: report.Spot, Zone: "us-west-1b"},
	}
	r.DeniedCalls = []report.DeniedCall{{Principal: "role/x", Action: "ec2:RunInstances", Resource: "*", Reason: "no policy allows it", Count: 2}}
	r.Leftovers = []report.Leftover{{Type: "AWS::EC2::Instance", ID: "i-1"}}
	return r
}

// pages are those of the goldens.
func pages(t *testing.T) map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"forecast": func(out io.Writer) error { return page.Forecast(out, forecast(t, 10, 1, 2, 4, 8)) },
		"run":      func(out io.Writer) error { return page.Run(out, run(t)) },
	}
}

// TestGolden compares the pages with those that were looked at in a browser.
// UPDATE_GOLDEN=1 writes them anew.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, write := range pages(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got bytes.Buffer
			if err := write(&got); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".html")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
				t.Errorf("the page is not as it was (-then +now); look at it in a browser, then set UPDATE_GOLDEN=1:\n%s", diff)
			}
		})
	}
}

// The page asks for nothing, and the policy in it would have the browser refuse it.
func TestSelfContained(t *testing.T) {
	t.Parallel()
	for name, write := range pages(t) {
		var text bytes.Buffer
		if err := write(&text); err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(`(?i)https?:|src=|href=|url\(|@import|<script|<link|\son\w+=`).FindString(text.String()); found != "" {
			t.Errorf("%s: there is %q in it", name, found)
		}
		if !strings.Contains(text.String(), `content="default-src &#39;none&#39;`) && !strings.Contains(text.String(), `content="default-src 'none'`) {
			t.Errorf("%s: it has no policy that refuses requests", name)
		}
		if strings.Contains(text.String(), "<b>&co") {
			t.Errorf("%s: a name is not escaped", name)
		}
	}
}

// All colours are variables that both modes define, those of charts too.
func TestColours(t *testing.T) {
	t.Parallel()
	for name, write := range pages(t) {
		var text bytes.Buffer
		if err := write(&text); err != nil {
			t.Fatal(err)
		}
		style, body, found := strings.Cut(text.String(), "</style>")
		if !found {
			t.Fatalf("%s has no style", name)
		}
		if literal := regexp.MustCompile(`(?i)(fill|stroke|background|color): *(#|rgb)[^;"]*`).FindString(body); literal != "" {
			t.Errorf("%s: a colour is the same in both modes: %s", name, literal)
		}
		light, dark, found := strings.Cut(style, "prefers-color-scheme: dark")
		if !found {
			t.Fatalf("%s has no dark mode", name)
		}
		defined := regexp.MustCompile(`(--[a-z]+): #`)
		in := func(mode string) (names []string) {
			for _, m := range defined.FindAllStringSubmatch(mode, -1) {
				names = append(names, m[1])
			}
			return names
		}
		if diff := cmp.Diff(in(light), in(dark)); diff != "" {
			t.Errorf("%s: colours of light and dark mode differ: %s", name, diff)
		}
		for _, used := range regexp.MustCompile(`var\((--[a-z]+)\)`).FindAllStringSubmatch(body, -1) {
			if !slices.Contains(in(light), used[1]) {
				t.Errorf("%s: %s is no colour", name, used[1])
			}
		}
	}
}

// Each chart says in words what it shows.
func TestCharts(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"forecast": {
			`aria-label="Cost a month in USD: Whole GPUs $2,315, 2 slices a GPU $1,411, 4 slices a GPU $1,050, 8 slices a GPU $869"`,
			`aria-label="Nodes that Karpenter launches: Whole GPUs 11 nodes, 2 slices a GPU 6 nodes, 4 slices a GPU 4 nodes, 8 slices a GPU 3 nodes"`,
		},
		"run": {
			`aria-label="Nodes over time: gpu from 0 to 3, gpu-slicing-controllers from 2 to 2, x86 from 0 to 1"`,
			`aria-label="GPU slices over time: in the end 10 of 12 are taken"`,
			`aria-label="Cost an hour over time: in the end $1.4382, with whole GPUs $5.1342"`,
		},
	} {
		var text bytes.Buffer
		if err := pages(t)[name](&text); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(text.String(), "<svg"); n != len(want) {
			t.Errorf("%s has %d charts, want %d", name, n, len(want))
		}
		for _, w := range want {
			if !strings.Contains(text.String(), w) {
				t.Errorf("%s: there is no %s", name, w)
			}
		}
	}
}

// A page of nothing much is a page all the same.
func TestLittle(t *testing.T) {
	t.Parallel()
	empty := report.NewForecast(report.NewAbout("dev", "us-west-1"))
	idle := report.NewForecast(report.NewAbout("dev", "us-west-1"))
	if err := idle.Add(report.Count{Slices: 1}); err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(io.Writer) error{
		"no counts": func(out io.Writer) error { return page.Forecast(out, empty) },
		"no pods":   func(out io.Writer) error { return page.Forecast(out, idle) },
		"no steps":  func(out io.Writer) error { return page.Run(out, report.New("dev")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text bytes.Buffer
			if err := write(&text); err != nil {
				t.Fatal(err)
			}
			for _, bad := range []string{"NaN", "Inf", "ZgotmplZ", "%!"} {
				if strings.Contains(text.String(), bad) {
					t.Errorf("there is %s in\n%s", bad, &text)
				}
			}
			if !strings.HasSuffix(text.String(), "</html>\n") {
				t.Error("it has no end")
			}
		})
	}
}
