package engine_test

import (
	"context"
	"fmt"
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

// tools is what the tests run: they are built once and kept from run to run.
type tools struct {
	cli, program, policies string
	eks                    []string
}

// poison is the value of every variable that no child may see.
const poison = "poison"

func TestMain(m *testing.M) {
	if _, err := built(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// From here on all tests run as under a user with credentials for everything.
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL",
		"PULUMI_ACCESS_TOKEN", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_STACK", "PULUMI_HOME", "PULUMI_CONFIG",
		"PULUMI_DEBUG_PROVIDERS", "PULUMI_EXPERIMENTAL", "KUBECONFIG", "GOOGLE_APPLICATION_CREDENTIALS", "GITHUB_TOKEN", "VAULT_TOKEN",
		"HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy", "grpc_proxy", "NODE_OPTIONS", "GOFLAGS",
	} {
		if err := os.Setenv(name, poison); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

var built = sync.OnceValues(func() (t tools, err error) {
	cache, err := toolcache.Open(os.Stderr)
	if err != nil {
		return t, err
	}
	ctx := context.Background()
	eks, err := cache.EKSComponent(ctx, checkout)
	if err != nil {
		return t, err
	}
	cli, err := cache.Pulumi(ctx, checkout)
	if err != nil {
		return t, err
	}
	program, err := cache.Binary(ctx, checkout, toolcache.Tool{
		Name: "engine-test", Title: "the engine's test program", Module: "rehearsal",
		Package: "eks-gpu-slicing/rehearsal/engine/testdata/program", Estimate: 2 * time.Minute,
	})
	if err != nil {
		return t, err
	}
	policies, err := cache.Binary(ctx, checkout, toolcache.Policies())
	return tools{cli: cli.Path, program: program, policies: policies, eks: eks.Command}, err
})

// start starts an engine on the test program, which does what it is told.
func start(t testing.TB, does string, change func(*engine.Options)) *engine.Engine {
	t.Helper()
	tools, err := built()
	if err != nil {
		t.Fatal(err)
	}
	o := engine.Options{
		CLI: tools.cli, Program: tools.program, Project: project(t, "does="+does),
		Providers: map[string]func() plugin.Provider{},
	}
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
	p, err := engine.LoadProject("testdata/program", "dev", overrides)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// preview runs a preview that must end with this status, and returns what it
// printed.
func preview(t *testing.T, e *engine.Engine, status int) string {
	t.Helper()
	out := newTranscript()
	got, err := e.Run(t.Context(), engine.IO{Stdout: out, Stderr: out}, "preview")
	if err != nil || got != status {
		t.Fatalf("status %d, %v; want %d\n%s", got, err, status, out)
	}
	return out.String()
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

// until waits for a line with text.
func (o *transcript) until(t *testing.T, text string) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		for line := range strings.Lines(o.String()) {
			if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
				return
			}
		}
		select {
		case <-o.changed:
		case <-late:
			t.Fatalf("the output has not said %q within a minute:\n%s", text, o)
		}
	}
}
