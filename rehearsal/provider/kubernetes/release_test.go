package kubernetes_test

import (
	"errors"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

const releaseDefaults = `allowNullValues: false, atomic: false, chart: '', cleanupOnFail: false, createNamespace: false,
	dependencyUpdate: false, description: '', devel: false, disableCRDHooks: false, disableOpenapiValidation: false,
	disableWebhooks: false, forceUpdate: false, keyring: '', lint: false, name: '', namespace: '', postrender: '',
	recreatePods: false, renderSubchartNotes: false, replace: false, resetValues: false, reuseValues: false,
	skipAwait: false, skipCrds: false, timeout: 300, values: {}, verify: false, version: '', waitForJobs: false`

// checked is a release's checked inputs: the defaults with what is given.
func checked(t *testing.T, given string) resource.PropertyMap {
	t.Helper()
	m := props(t, "{"+releaseDefaults+"}")
	maps.Copy(m, props(t, given))
	return m
}

func TestCheckRelease(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cluster    *scripted // nil for none
		olds, news string
		want       string // beside the defaults
		failure    string
	}{
		"autonaming, the default namespace, the default timeout": {
			news: "{chart: c, compat: 'true'}",
			want: "{chart: c, name: AUTO, namespace: default}",
		},
		"an old name is kept": {
			olds: "{name: web-01234567, chart: c}", news: "{chart: c}",
			want: "{chart: c, name: web-01234567, namespace: default}",
		},
		"given values": {
			news: `{chart: c, name: karpenter, namespace: kube-system, version: 1.14.1, skipCrds: true, timeout: 60,
				values: {a: {b: 1, gone: null}}, repositoryOpts: {repo: 'https://charts.test'}}`,
			want: `{chart: c, name: karpenter, namespace: kube-system, version: 1.14.1, skipCrds: true, timeout: 60,
				values: {a: {b: 1}}, repositoryOpts: {repo: 'https://charts.test', caFile: '', certFile: '', keyFile: '',
				username: '', password: ''}}`,
		},
		"no timeout where nothing is awaited": {
			news: "{chart: c, name: ns, skipAwait: true}",
			want: "{chart: c, name: ns, namespace: default, skipAwait: true, timeout: 0}",
		},
		"unknown values": {
			cluster: &scripted{chartErr: errors.New("must not be asked")},
			news:    "{chart: c, name: ns, values: {queue: <unknown>, list: [<unknown>, 1]}}",
			want:    "{chart: c, name: ns, namespace: default, values: {queue: <unknown>, list: [<unknown>, 1]}}",
		},
		"the chart's own version": {
			cluster: &scripted{chart: "1.14.1"},
			news:    "{chart: c, name: ns, version: '>= 1.0'}",
			want:    "{chart: c, name: ns, namespace: default, version: 1.14.1}",
		},
		"no such chart": {
			cluster: &scripted{chartErr: errors.New("no chart c")}, news: "{chart: c, name: ns}",
			failure: "chart: no chart c; check the chart name and repository configuration.",
		},
		"what is not built is refused": {
			news: "{chart: c, name: ns, postrender: ./x}", failure: `postrender: `,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connect kubernetes.Connect
			if tt.cluster != nil {
				connect = tt.cluster.connect
			}
			p := start(t, connect, "{}")
			resp, err := p.Check(t.Context(), plugin.CheckRequest{
				URN: urn("helm.sh/v3:Release"), Olds: props(t, tt.olds), News: props(t, tt.news),
			})
			if err != nil {
				t.Fatal(err)
			}
			if tt.failure != "" {
				if len(resp.Failures) != 1 ||
					!strings.HasPrefix(string(resp.Failures[0].Property)+": "+resp.Failures[0].Reason, tt.failure) {
					t.Errorf("failures %v, want %q", resp.Failures, tt.failure)
				}
				return
			}
			auto := regexp.MustCompile(`web-[0-9a-f]{8}\b`)
			got := plain(t, resp.Properties)
			if strings.Contains(tt.want, "AUTO") {
				got = auto.ReplaceAllString(got, "AUTO")
			}
			if diff := cmp.Diff(plain(t, checked(t, tt.want)), got); diff != "" {
				t.Errorf("inputs (-want +got):\n%s", diff)
			}
		})
	}
}

var deployed = kubernetes.Deployed{
	Status: kubernetes.ReleaseStatus{
		AppVersion: "1.14.1", Chart: "karpenter", Name: "karpenter", Namespace: "kube-system", Revision: 1,
		Status: "deployed", Version: "1.14.1",
	},
	Values:        map[string]any{"replicas": 2},
	ResourceNames: map[string][]string{"Deployment.apps/apps/v1": {"kube-system/karpenter"}},
}

const karpenter = "{chart: c, name: karpenter, namespace: kube-system, version: 1.14.1, values: {replicas: 2}}"

func TestReleaseState(t *testing.T) {
	t.Parallel()
	p := start(t, (&scripted{deployed: deployed}).connect, "{}")
	in := checked(t, karpenter)

	preview, err := p.Create(t.Context(), plugin.CreateRequest{URN: urn("helm.sh/v3:Release"), Properties: in, Preview: true})
	if err != nil {
		t.Fatal(err)
	}
	want := checked(t, "{status: <unknown>, resourceNames: <unknown>, "+karpenter[1:])
	want["__inputs"] = resource.MakeSecret(resource.NewObjectProperty(in))
	if diff := cmp.Diff(plain(t, want), plain(t, preview.Properties)); diff != "" {
		t.Errorf("preview (-want +got):\n%s", diff)
	}

	resp, err := p.Create(t.Context(), plugin.CreateRequest{URN: urn("helm.sh/v3:Release"), Properties: in})
	if err != nil {
		t.Fatal(err)
	}
	if resp.ID != "kube-system/karpenter" {
		t.Errorf("ID %q", resp.ID)
	}
	maps.Copy(want, props(t, `{status: {appVersion: 1.14.1, chart: karpenter, name: karpenter, namespace: kube-system,
		revision: 1, status: deployed, version: 1.14.1},
		resourceNames: {Deployment.apps/apps/v1: [kube-system/karpenter]}}`))
	if diff := cmp.Diff(plain(t, want), plain(t, resp.Properties)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}

	read, err := p.Read(t.Context(), plugin.ReadRequest{
		URN: urn("helm.sh/v3:Release"), ID: resp.ID, Inputs: in, State: resp.Properties,
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plain(t, want), plain(t, read.Outputs)); diff != "" {
		t.Errorf("refreshed state (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(plain(t, in), plain(t, read.Inputs)); diff != "" {
		t.Errorf("refreshed inputs (-want +got):\n%s", diff)
	}
}

func TestAFailedReleaseIsAnInitializationError(t *testing.T) {
	t.Parallel()
	p := start(t, (&scripted{deployed: deployed, err: &kubernetes.NotReady{
		Err:    errors.New("failed to become available within allocated timeout"),
		Causes: []string{"Deployment is not ready: kube-system/karpenter"},
	}}).connect, "{}")
	_, err := p.Create(t.Context(), plugin.CreateRequest{URN: urn("helm.sh/v3:Release"), Properties: checked(t, karpenter)})
	reasons, id, state := initFailure(t, err)
	if id != "kube-system/karpenter" || !state.HasValue("status") || !strings.Contains(reasons,
		`Helm release "kube-system/karpenter" was created, but failed to initialize completely`) ||
		!strings.Contains(reasons, "Deployment is not ready: kube-system/karpenter") {
		t.Errorf("create: %s (id %q)", reasons, id)
	}
}

func TestDiffRelease(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		drift   map[string]any // values found in the cluster
		updated string
		ignore  []string
		want    map[string]plugin.DiffKind
	}{
		"nothing":       {updated: karpenter},
		"a value":       {updated: strings.Replace(karpenter, "replicas: 2", "replicas: 3", 1), want: map[string]plugin.DiffKind{"values.replicas": plugin.DiffUpdate}},
		"a value more":  {updated: strings.Replace(karpenter, "replicas: 2", "replicas: 2, x: {y: z}", 1), want: map[string]plugin.DiffKind{"values.x": plugin.DiffAdd}},
		"a value less":  {updated: strings.Replace(karpenter, "replicas: 2", "", 1), want: map[string]plugin.DiffKind{"values.replicas": plugin.DiffDelete}},
		"the version":   {updated: strings.Replace(karpenter, "1.14.1", "1.15.0", 1), want: map[string]plugin.DiffKind{"version": plugin.DiffUpdate}},
		"one ignored":   {updated: strings.Replace(karpenter, "1.14.1", "1.15.0", 1), ignore: []string{"version"}},
		"the name":      {updated: strings.Replace(karpenter, "name: karpenter", "name: other", 1), want: map[string]plugin.DiffKind{"name": plugin.DiffUpdateReplace}},
		"the namespace": {updated: strings.Replace(karpenter, "kube-system", "karpenter", 1), want: map[string]plugin.DiffKind{"namespace": plugin.DiffUpdateReplace}},
		"drift":         {drift: map[string]any{"replicas": 5}, updated: karpenter, want: map[string]plugin.DiffKind{"values.replicas": plugin.DiffUpdate}},
		"not ours":      {drift: map[string]any{"replicas": 2, "theirs": true}, updated: karpenter},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := deployed
			if tt.drift != nil {
				found.Values = tt.drift
			}
			p := start(t, (&scripted{deployed: found}).connect, "{}")
			in := checked(t, karpenter)
			state, err := p.Create(t.Context(), plugin.CreateRequest{URN: urn("helm.sh/v3:Release"), Properties: in})
			if err != nil {
				t.Fatal(err)
			}
			d, err := p.Diff(t.Context(), plugin.DiffRequest{
				URN: urn("helm.sh/v3:Release"), OldInputs: in, OldOutputs: state.Properties,
				NewInputs: checked(t, tt.updated), IgnoreChanges: tt.ignore,
			})
			if err != nil {
				t.Fatal(err)
			}
			got, want := map[string]plugin.DiffKind{}, map[string]plugin.DiffKind{}
			for path, change := range d.DetailedDiff {
				got[path] = change.Kind
			}
			maps.Copy(want, tt.want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("detailed diff (-want +got):\n%s", diff)
			}
			if d.DeleteBeforeReplace {
				t.Error("a release is never deleted first")
			}
		})
	}
}
