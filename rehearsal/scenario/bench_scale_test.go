package scenario

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"eks-gpu-slicing/rehearsal/session"
	"eks-gpu-slicing/rehearsal/toolcache"
	"eks-gpu-slicing/rehearsal/workload"
	"eks-gpu-slicing/rehearsal/world"
)

// BenchmarkScale places many one-slice pods on the dev stack and reports how long
// that takes from their application until all run, what was launched for them, how
// often a node was not Ready, which must be never, and what all processes of the
// rehearsal take: memory at the worst moment, and seconds of CPU each, which depend
// less on what else the machine does than the time.
//
//	go test -run '^$' -bench Scale/1000 -benchtime 1x -timeout 60m ./scenario
func BenchmarkScale(b *testing.B) {
	for _, pods := range []int{100, 1000, 4000} {
		b.Run(fmt.Sprint(pods), func(b *testing.B) {
			for b.Loop() {
				benchmarkScale(b, pods)
			}
		})
	}
}

// slicesOfDev is how many slices the dev stack makes of a GPU.
const slicesOfDev = 4

func benchmarkScale(b *testing.B, pods int) {
	s := startScale(b, pods)
	objects, err := workload.Asked{
		Paths: []string{filepath.Join(checkout, "examples", "gpu-inference.yaml")}, Scales: []string{fmt.Sprint("gpu-inference=", pods)},
	}.Read()
	if err != nil {
		b.Fatal(err)
	}
	lost := watchNodes(b, s)
	sampled := sample(b)

	begin := time.Now()
	if err := s.World.Apply(b.Context(), objects); err != nil {
		b.Fatal(err)
	}
	cluster, err := s.World.Settle(b.Context(), objects, func(what string, _ world.Cluster) {
		b.Logf("%4.0f s: %s; %d MB", time.Since(begin).Seconds(), what, sampled.now.Load()>>20)
	})
	took := time.Since(begin)
	if err != nil {
		b.Fatal(err)
	}
	use := sampled.stop()

	running := 0
	for _, p := range cluster.Pods {
		if p.Phase == string(corev1.PodRunning) && p.Reason == "" {
			running++
		}
	}
	claims, err := s.World.Launched()
	if err != nil {
		b.Fatal(err)
	}
	nodes := 0
	for _, n := range cluster.Nodes {
		if n.Pool == "gpu" {
			nodes++
		}
	}
	if want := (pods + slicesOfDev - 1) / slicesOfDev; running != pods || len(claims) != want || nodes != want {
		b.Errorf("%d of %d pods run, on %d GPU nodes of %d launched; want all, on %d", running, pods, nodes, len(claims), want)
	}
	if n := lost.Load(); n > 0 {
		b.Errorf("%d times a node was not Ready", n)
	}
	b.ReportMetric(0, "ns/op") // the time of the whole, with the up before it, says nothing
	b.ReportMetric(took.Seconds(), "s/placed")
	b.ReportMetric(float64(nodes), "gpu-nodes")
	b.ReportMetric(float64(len(claims)), "nodeclaims")
	b.ReportMetric(float64(lost.Load()), "not-ready")
	b.ReportMetric(float64(use.peak>>20), "peak-MB")
	for name, seconds := range use.cpu {
		b.ReportMetric(seconds, "cpu-s/"+name)
	}
}

// startScale brings the dev stack up with GPUs enough for so many pods.
func startScale(b *testing.B, pods int) *session.Session {
	b.Helper()
	tools, err := toolcache.Open(os.Stderr)
	if err != nil {
		b.Fatal(err)
	}
	set, err := tools.WorldSet(b.Context(), checkout)
	if err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	s, err := session.Start(b.Context(), session.Options{
		Checkout: checkout, Stack: "dev", Config: []string{fmt.Sprint("gpuLimit=", pods)}, Tools: set, Dir: b.TempDir(), Out: &out,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := s.Pulumi(b.Context(), "up", "--yes", "--skip-preview"); err != nil {
		b.Fatalf("%v\n%s", err, out.String())
	}
	return s
}

// watchNodes counts how often a node that was Ready ceases to be so.
func watchNodes(b *testing.B, s *session.Session) *atomic.Int64 {
	b.Helper()
	client, err := kubernetes.NewForConfig(s.World.RESTConfig())
	if err != nil {
		b.Fatal(err)
	}
	var lost atomic.Int64
	ready := func(object any) bool {
		n, ok := object.(*corev1.Node)
		return ok && slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	_, err = factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, now any) {
			if ready(before) && !ready(now) {
				lost.Add(1)
			}
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	b.Cleanup(cancel)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return &lost
}

// usage is what the processes of a rehearsal have taken.
type usage struct {
	peak int64              // of the resident memory of all together, in bytes
	cpu  map[string]float64 // seconds by process, user and system
}

// sampler looks at this process and its descendants.
type sampler struct {
	now  atomic.Int64 // resident memory of all together, in bytes
	stop func() usage
}

// sample starts to look, every second, until it is stopped. CPU counts from
// now on.
func sample(b *testing.B) *sampler {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	b.Cleanup(cancel)
	s := &sampler{}
	first, last := map[int]process{}, map[int]process{}
	for _, p := range family() {
		first[p.pid] = p
	}
	var peak int64
	var done sync.WaitGroup
	done.Go(func() {
		for tick := time.NewTicker(time.Second); ; {
			var sum int64
			for _, p := range family() {
				last[p.pid] = p
				sum += p.resident
			}
			s.now.Store(sum)
			peak = max(peak, sum)
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	})
	s.stop = func() usage {
		cancel()
		done.Wait()
		u := usage{peak: peak, cpu: map[string]float64{}}
		for pid, p := range last {
			u.cpu[p.name] += (p.cpu - first[pid].cpu).Seconds()
		}
		return u
	}
	return s
}

// process is one process as /proc tells of it.
type process struct {
	pid, parent int
	name        string // what it is in a rehearsal
	resident    int64  // bytes
	cpu         time.Duration
}

// family are this process and all that descend from it.
func family() []process {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	all := map[int]process{}
	for _, file := range files {
		if p, ok := readProcess(file); ok {
			all[p.pid] = p
		}
	}
	var out []process
	for p := range maps.Values(all) {
		for pid := p.pid; pid != 0; pid = all[pid].parent {
			if pid == os.Getpid() {
				out = append(out, p)
				break
			}
		}
	}
	return out
}

// readProcess reads /proc/PID/stat, as proc(5) describes it. A process that has ended
// meanwhile is none.
func readProcess(file string) (p process, ok bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return p, false
	}
	end := bytes.LastIndexByte(text, ')')
	fields := strings.Fields(string(text[end+1:]))
	const parent, user, system, resident = 1, 11, 12, 21 // counted from the state on
	if end < 0 || len(fields) <= resident {
		return p, false
	}
	number := func(i int) int64 {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	const ticks = time.Second / 100 // USER_HZ
	p = process{
		parent: int(number(parent)), resident: number(resident) * int64(os.Getpagesize()),
		cpu: time.Duration(number(user)+number(system)) * ticks,
	}
	if _, err := fmt.Sscan(filepath.Base(filepath.Dir(file)), &p.pid); err != nil {
		return p, false
	}
	line, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
	if err != nil {
		return p, false
	}
	words := strings.Split(string(line), "\x00")
	p.name = filepath.Base(words[0])
	switch {
	case p.pid == os.Getpid():
		p.name = "rehearsal"
	case p.name == "kube" && len(words) > 1:
		p.name = words[1]
	}
	return p, true
}
