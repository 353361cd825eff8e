package engine_test

import (
	"strings"
	"testing"
	"time"

	"eks-gpu-slicing/rehearsal/engine"
)

// The real pulumi-eks component makes a cluster, waits for its public endpoint
// and reads its issuer's certificate, all on this machine.
func TestComponent(t *testing.T) {
	t.Parallel()
	tools, err := built()
	if err != nil {
		t.Fatal(err)
	}
	made, aws := newEcho("aws")
	_, kubernetes := newEcho("kubernetes")
	e := start(t, "cluster", func(o *engine.Options) {
		o.Component = &engine.Component{Package: "eks", Command: tools.eks}
		o.Providers["aws"], o.Providers["kubernetes"] = aws, kubernetes
	})
	preview(t, e, 0)
	if len(made.of) != 0 {
		t.Errorf("the preview made %v", made.of)
	}
	run := func(args ...string) string {
		out := newTranscript()
		status, err := e.Run(t.Context(), engine.IO{Stdout: out, Stderr: out}, args...)
		if err != nil || status != 0 {
			t.Fatalf("%s: status %d, %v\n%s", args[0], status, err, out)
		}
		return out.String()
	}
	up := run("up", "--yes", "--skip-preview")
	if !strings.Contains(up, "Cluster is ready") {
		t.Errorf("the component did not wait for the cluster:\n%s", up)
	}
	for typ, want := range map[string]int{"aws:eks/cluster:Cluster": 1, "aws:iam/openIdConnectProvider:OpenIdConnectProvider": 1} {
		if got := made.of[typ]; got != want {
			t.Errorf("%d of %s, want %d", got, typ, want)
		}
	}
	// The thumbprint of the issuer is an input: were the edge another one at each
	// command, this would be a change.
	if again := run("up", "--yes", "--skip-preview", "--expect-no-changes"); strings.Contains(again, "created") {
		t.Errorf("the second up makes something:\n%s", again)
	}
	run("destroy", "--yes", "--skip-preview")
}

func TestComponentThatEnds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string
		want   []string
	}{
		"before it is ready": {"echo 'Error: no such module' >&2; exit 3", []string{"the eks component ended by itself with exit status 3", "Error: no such module"}},
		"without a word":     {"exit 4", []string{"exit status 4", "(it printed nothing)"}},
		"at work":            {"echo 1; sleep 1; echo 'out of memory'; exit 5", []string{"exit status 5", "out of memory"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t, "hang", func(o *engine.Options) {
				o.Component = &engine.Component{Package: "eks", Command: []string{writeScript(t, "#!/bin/sh\n"+tc.script+"\n")}}
			})
			out := newTranscript()
			began := time.Now()
			_, err := e.Run(t.Context(), engine.IO{Stdout: out, Stderr: out}, "preview")
			if err == nil {
				t.Fatalf("the command ended well:\n%s", out)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant it to say %q", err, want)
				}
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v to say so", took)
			}
		})
	}
}
