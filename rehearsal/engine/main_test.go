package engine_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/toolcache"
)

const checkout = "../.."

// built is what the tests run: it is built once and kept from run to run.
type built struct{ cli, program string }

var build = sync.OnceValues(func() (b built, err error) {
	cache, err := toolcache.Open(os.Stderr)
	if err != nil {
		return b, err
	}
	ctx := context.Background()
	cli, err := cache.Pulumi(ctx, checkout)
	if err != nil {
		return b, err
	}
	program, err := cache.Binary(ctx, checkout, toolcache.Tool{
		Name: "engine-test", Title: "the engine's test program", Module: "rehearsal",
		Package: "eks-gpu-slicing/rehearsal/engine/testdata/program", Estimate: 2 * time.Minute,
	})
	return built{cli: cli.Path, program: program}, err
})

// start starts an engine on the test program that does what it is told.
func start(t testing.TB, does string, change func(*engine.Options)) *engine.Engine {
	t.Helper()
	b, err := build()
	if err != nil {
		t.Fatal(err)
	}
	o := engine.Options{CLI: b.cli, Program: b.program, Project: project(t, "does="+does), Providers: map[string]func() plugin.Provider{}}
	if change != nil {
		change(&o)
	}
	e, err := engine.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func project(t testing.TB, overrides ...string) *engine.Project {
	t.Helper()
	var parsed []engine.Override
	for _, text := range overrides {
		o, err := engine.ParseOverride(text)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, o)
	}
	p, err := engine.LoadProject("testdata/program", "dev", parsed)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// transcript collects output, and lets a test wait for some of it.
type transcript struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{}, 1)} }

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// until waits for text and returns the line it is in.
func (o *transcript) until(t *testing.T, text string) string {
	t.Helper()
	for {
		if all := o.String(); strings.Contains(all, text) {
			for line := range strings.Lines(all) {
				if strings.Contains(line, text) {
					return strings.TrimSpace(line)
				}
			}
		}
		select {
		case <-o.changed:
		case <-t.Context().Done():
			t.Fatalf("the output never said %q:\n%s", text, o)
		}
	}
}
