package engine_test

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/toolcache"
	"os"
)

func TestComponent(t *testing.T) {
	t.Parallel()
	cache, err := toolcache.Open(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	eks, err := cache.EKSComponent(t.Context(), checkout)
	if err != nil {
		t.Fatal(err)
	}
	_, aws := newEcho("aws")
	_, kubernetes := newEcho("kubernetes")
	e := start(t, "cluster", func(o *engine.Options) {
		o.Component = &engine.Component{Package: "eks", Command: eks.Command}
		o.Providers["aws"], o.Providers["kubernetes"] = aws, kubernetes
	})
	for _, args := range [][]string{{"preview"}, {"up", "--yes", "--skip-preview"}, {"destroy", "--yes", "--skip-preview"}} {
		out := newTranscript()
		status, err := e.Run(t.Context(), engine.IO{Stdout: out, Stderr: out}, args...)
		if err != nil || status != 0 {
			t.Fatalf("%s: status %d, %v\n%s", args[0], status, err, out)
		}
		t.Log(out)
	}
	_ = strings.ToLower
	_ = plugin.DiffNone
}
