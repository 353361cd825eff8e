package scenario

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/toolcache"
)

// BenchmarkPreview times a warm preview of the dev stack, the whole command, and
// beside it the same engine's preview of a program without a resource.
func BenchmarkPreview(b *testing.B) {
	b.Run("dev", func(b *testing.B) {
		for b.Loop() {
			if out, err := exec.CommandContext(b.Context(), rehearse, "-C", checkout, "preview").CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
		}
	})
	b.Run("empty", func(b *testing.B) {
		cache, err := toolcache.Open(os.Stderr)
		if err != nil {
			b.Fatal(err)
		}
		cli, err := cache.Pulumi(b.Context(), checkout)
		if err != nil {
			b.Fatal(err)
		}
		program := filepath.Join(b.TempDir(), "empty")
		if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, "./testdata/empty").CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		for b.Loop() {
			project, err := engine.LoadProject("testdata/empty", "dev", nil)
			if err != nil {
				b.Fatal(err)
			}
			e, err := engine.Start(b.Context(), engine.Options{CLI: cli.Path, Program: program, Project: project})
			if err != nil {
				b.Fatal(err)
			}
			_, status, err := e.Preview(b.Context(), engine.IO{Stdout: io.Discard, Stderr: io.Discard}, false)
			e.Close()
			if err != nil || status != 0 {
				b.Fatalf("status %d: %v", status, err)
			}
		}
	})
}

// BenchmarkRun times the whole life of the dev stack with the examples, the whole
// command, and reports how long its phases took.
func BenchmarkRun(b *testing.B) {
	file := filepath.Join(b.TempDir(), "run.json")
	args := []string{"-C", checkout, "run", "--workload", filepath.Join(checkout, "examples"), "--scale", "inflate-amd64=5", "--scale", "inflate-arm64=3", "--json", file}
	seconds := map[string]float64{}
	for b.Loop() {
		if out, err := exec.CommandContext(b.Context(), rehearse, args...).CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		var run report.Run
		if err := json.Unmarshal(text, &run); err != nil {
			b.Fatal(err)
		}
		for _, p := range run.Phases {
			seconds[p.Name] += p.Seconds
		}
	}
	for _, name := range []string{"world", "up", "workloads", "destroy"} {
		b.ReportMetric(seconds[name]/float64(b.N), name+"-s")
	}
}

// BenchmarkForecast times a forecast of 200 one-slice pods over four numbers of slices,
// the whole command: as it is, and lived through on 375 nodes.
func BenchmarkForecast(b *testing.B) {
	args := []string{
		"-C", checkout, "forecast", "--workload", filepath.Join("testdata", "slices.yaml"), "--scale", "slices=200", "--slices", "1,2,4,8",
		"--config", "gpuLimit=200",
	}
	for name, more := range map[string][]string{"planned": nil, "live": {"--live"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if out, err := exec.CommandContext(b.Context(), rehearse, append(args, more...)...).CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
			}
		})
	}
}
