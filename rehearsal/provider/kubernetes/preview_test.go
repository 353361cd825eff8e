package kubernetes_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

func TestPreviewWithoutAClusterShowsTheInputs(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "{}")
	for _, inputs := range []string{
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: <unknown>}}",
		"{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: x86}, spec: {weight: 10}}",
	} {
		in := props(t, inputs)
		created, err := p.Create(t.Context(), plugin.CreateRequest{
			URN: urn("core/v1:ConfigMap"), Properties: in, Preview: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if created.ID != "" {
			t.Errorf("a preview has no ID, got %q", created.ID)
		}
		updated, err := p.Update(t.Context(), plugin.UpdateRequest{
			URN: urn("core/v1:ConfigMap"), OldOutputs: props(t, configMap), NewInputs: in, Preview: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []resource.PropertyMap{created.Properties, updated.Properties} {
			if diff := cmp.Diff(canonical(t, inputs), plain(t, got)); diff != "" {
				t.Errorf("preview (-want +got):\n%s", diff)
			}
		}
	}
}

func TestPreviewIsADryRun(t *testing.T) {
	t.Parallel()
	const inputs = "{apiVersion: v1, kind: Namespace, metadata: {name: ns}}"
	serves := map[string]kubernetes.Scope{"v1/Namespace": kubernetes.ScopeCluster}
	tests := map[string]struct {
		inputs string
		scopes map[string]kubernetes.Scope
		err    error
		want   string // apart from what the state adds
		wrote  bool
		fails  string
	}{
		"the result of a dry run, without its status": {
			scopes: serves, wrote: true,
			want: "{apiVersion: v1, kind: Namespace, metadata: {name: ns, labels: {kubernetes.io/metadata.name: ns}}}",
		},
		"unknowns":             {inputs: "{apiVersion: v1, kind: Namespace, metadata: {name: ns, labels: <unknown>}}", scopes: serves, want: "{apiVersion: v1, kind: Namespace, metadata: {name: ns, labels: <unknown>}}"},
		"a kind not yet known": {want: inputs},
		"no permission":        {scopes: serves, err: kubernetes.ErrForbidden, want: inputs, wrote: true},
		"it exists":            {scopes: serves, err: kubernetes.ErrExists, want: inputs, wrote: true},
		"no namespace yet":     {scopes: serves, err: kubernetes.ErrNoNamespace, want: inputs, wrote: true},
		"refused":              {scopes: serves, err: errors.New("Invalid value"), wrote: true, fails: "was not successfully created by the Kubernetes API server: Invalid value"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.inputs == "" {
				tt.inputs = inputs
			}
			cluster := &scripted{scopes: tt.scopes, err: tt.err, live: object(t,
				"{apiVersion: v1, kind: Namespace, metadata: {name: ns, labels: {kubernetes.io/metadata.name: ns}}, status: {phase: Active}}")}
			p := start(t, cluster.connect, "{}")
			resp, err := p.Create(t.Context(), plugin.CreateRequest{
				URN: urn("core/v1:Namespace"), Properties: props(t, tt.inputs), Preview: true,
			})
			if len(cluster.writes) > 0 != tt.wrote {
				t.Errorf("wrote %d times", len(cluster.writes))
			}
			for _, w := range cluster.writes {
				if !w.DryRun {
					t.Error("a preview wrote for real")
				}
			}
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("error %v, want one with %q", err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for k := range resp.Properties {
				if strings.HasPrefix(string(k), "__") {
					delete(resp.Properties, k)
				}
			}
			if diff := cmp.Diff(canonical(t, tt.want), plain(t, resp.Properties)); diff != "" {
				t.Errorf("preview (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithoutAClusterOnlyAPreviewWorks(t *testing.T) {
	t.Parallel()
	obj, release := urn("core/v1:ConfigMap"), urn("helm.sh/v3:Release")
	down := func(string) error { return errors.New("dial tcp: connection refused") }
	for name, tt := range map[string]struct {
		connect kubernetes.Connect
		reason  string
	}{
		"previewing": {nil, "this preview has no Kubernetes cluster"},
		"unreachable": {func(_ context.Context, k string) (kubernetes.Cluster, error) { return nil, down(k) },
			"dial tcp: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, tt.connect, "{}")
			state := props(t, configMap)
			_, create := p.Create(t.Context(), plugin.CreateRequest{URN: obj, Properties: state})
			_, update := p.Update(t.Context(), plugin.UpdateRequest{URN: obj, OldOutputs: state, NewInputs: state})
			_, read := p.Read(t.Context(), plugin.ReadRequest{URN: obj, ID: "ns/c", State: state, Inputs: state})
			_, del := p.Delete(t.Context(), plugin.DeleteRequest{URN: obj, ID: "ns/c", Outputs: state})
			in := props(t, "{name: r, namespace: ns, chart: c}")
			_, install := p.Create(t.Context(), plugin.CreateRequest{URN: release, Properties: in})
			_, upgrade := p.Update(t.Context(), plugin.UpdateRequest{URN: release, OldOutputs: in, NewInputs: in})
			_, uninstall := p.Delete(t.Context(), plugin.DeleteRequest{URN: release, ID: "ns/r", Outputs: in})
			for op, got := range map[string]struct {
				err  error
				want string
			}{
				"create":    {create, "configured Kubernetes cluster is unreachable: "},
				"update":    {update, "configured Kubernetes cluster is unreachable: "},
				"read":      {read, "failed to read resource state of ns/c: configured Kubernetes cluster is unreachable: "},
				"delete":    {del, "failed to delete ns/c: configured Kubernetes cluster is unreachable: "},
				"install":   {install, "can't create Helm Release with unreachable cluster: "},
				"upgrade":   {upgrade, "can't update Helm Release with unreachable cluster: "},
				"uninstall": {uninstall, "can't delete Helm Release with unreachable cluster. Reason: "},
			} {
				if got.err == nil || !strings.Contains(got.err.Error(), got.want+tt.reason) {
					t.Errorf("%s says %v, want %q", op, got.err, got.want+tt.reason)
				}
			}
		})
	}
}

func TestDeleteUnreachableForgets(t *testing.T) {
	t.Parallel()
	p := start(t, func(context.Context, string) (kubernetes.Cluster, error) { return nil, errors.New("down") },
		"{deleteUnreachable: true}")
	state := props(t, configMap)
	read, err := p.Read(t.Context(), plugin.ReadRequest{URN: urn("core/v1:ConfigMap"), ID: "ns/c", State: state, Inputs: state})
	if err != nil || read.ID != "" {
		t.Errorf("Read gives %q, %v; want the resource to be gone", read.ID, err)
	}
	if _, err := p.Delete(t.Context(), plugin.DeleteRequest{URN: urn("core/v1:ConfigMap"), ID: "ns/c", Outputs: state}); err != nil {
		t.Errorf("Delete: %v", err)
	}
	// Helm releases have no such way out.
	if _, err := p.Delete(t.Context(), plugin.DeleteRequest{URN: urn("helm.sh/v3:Release"), ID: "ns/r",
		Outputs: props(t, "{name: r, namespace: ns}")}); err == nil {
		t.Error("a Helm release was forgotten")
	}
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "{}")
	_, construct := p.Construct(t.Context(), plugin.ConstructRequest{Type: "kubernetes:yaml/v2:ConfigFile"})
	_, invoke := p.Invoke(t.Context(), plugin.InvokeRequest{Tok: "kubernetes:helm:template"})
	for want, err := range map[string]error{
		`does not implement the component "kubernetes:yaml/v2:ConfigFile"`: construct,
		`does not implement the function "kubernetes:helm:template"`:       invoke,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
