package scenario

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"eks-gpu-slicing/rehearsal/engine"
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
