package live_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	standin "eks-gpu-slicing/rehearsal/provider/kubernetes"
	"eks-gpu-slicing/rehearsal/provider/kubernetes/live"
)

// charts gives a chart of two versions with a ConfigMap that shows its values,
// a Deployment nobody can place, and a definition in crds/.
func charts(group string) live.Charts {
	return func(_ context.Context, repo, name, version string) (*chart.Chart, error) {
		if name != "oci://charts.test/demo" || repo != "" {
			return nil, fmt.Errorf("no chart %q in repository %q", name, repo)
		}
		if version == "" || version == ">= 1.0.0" {
			version = "2.0.0"
		}
		return &chart.Chart{
			Metadata: &chart.Metadata{APIVersion: "v2", Name: "demo", Version: version, AppVersion: "app-" + version},
			Values:   map[string]any{"color": "red", "replicas": 0, "broken": false},
			Files:    []*chart.File{{Name: "crds/widgets.yaml", Data: []byte(definition(group))}},
			Templates: []*chart.File{
				{Name: "templates/config.yaml", Data: []byte(`
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-config"}
data: {color: {{ .Values.color }}, chart: {{ .Chart.Version }}}
`)},
				{Name: "templates/deployment.yaml", Data: []byte(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}", namespace: "{{ .Release.Namespace }}"}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: demo}}
  template:
    metadata: {labels: {app: demo}}
    spec: {nodeSelector: {none: such}, containers: [{name: c, image: i}]}
`)},
				{Name: "templates/broken.yaml", Data: []byte(`
{{- if .Values.broken }}
apiVersion: v1
kind: ConfigMap
metadata: {name: "Not Valid"}
{{- end }}
`)},
			},
		}, nil
	}
}

func program(ns, more string) string {
	return "{chart: oci://charts.test/demo, name: demo, namespace: " + ns + ", version: 1.0.0, skipCrds: true" + more + "}"
}

func release(t *testing.T, ns string) (d *deployment, data func() map[string]string) {
	t.Helper()
	d = declare(t, start(t, charts("unused.example.com"), "{}"), "helm.sh/v3:Release")
	return d, func() map[string]string {
		t.Helper()
		c, err := clientset(t).CoreV1().ConfigMaps(ns).Get(t.Context(), "demo-config", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Data
	}
}

func text(t *testing.T, m resource.PropertyMap, path string) string {
	t.Helper()
	p, err := resource.ParsePropertyPath(path)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := p.Get(resource.NewObjectProperty(m))
	return fmt.Sprint(v.Mappable())
}

func TestReleaseLife(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	d, data := release(t, ns)
	d.up(program(ns, ", values: {color: blue}"))
	if string(d.id) != ns+"/demo" {
		t.Errorf("ID %q", d.id)
	}
	for path, want := range map[string]string{
		"status.status": "deployed", "status.revision": "1", "status.version": "1.0.0", "status.appVersion": "app-1.0.0",
		"status.namespace": ns, "version": "1.0.0", `resourceNames["ConfigMap/v1"]`: "[demo-config]",
		`resourceNames["Deployment.apps/apps/v1"]`: "[" + ns + "/demo]",
	} {
		if got := text(t, d.state, path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if got := data(); got["color"] != "blue" || got["chart"] != "1.0.0" {
		t.Errorf("the chart rendered %v", got)
	}
	if got := d.diff(program(ns, ", values: {color: blue}")); len(got) > 0 {
		t.Errorf("a second preview shows %v", got)
	}

	// An upgrade by a range; the inputs hold what it came to.
	upgraded := strings.Replace(program(ns, ", values: {color: green}"), "1.0.0", "'>= 1.0.0'", 1)
	if got := d.diff(upgraded); len(got) != 2 || !slices.Contains(got, "version") || !slices.Contains(got, "values.color") {
		t.Errorf("an upgrade shows %v", got)
	}
	d.up(upgraded)
	if got := data(); got["color"] != "green" || got["chart"] != "2.0.0" {
		t.Errorf("the upgrade rendered %v", got)
	}
	if got := text(t, d.state, "status.revision"); got != "2" {
		t.Errorf("revision %s, want 2", got)
	}

	// Somebody else's upgrade is drift.
	theirs, _ := release(t, ns)
	theirs.id, theirs.inputs, theirs.state = d.id, d.inputs, d.state
	theirs.up(strings.Replace(upgraded, "green", "theirs", 1))
	d.mustRefresh()
	if got := d.diff(upgraded); !slices.Equal(got, []string{"values.color"}) {
		t.Errorf("drift shows %v", got)
	}
	d.up(upgraded)

	if err := d.down(); err != nil {
		t.Fatal(err)
	}
	if there, err := d.refresh(); there || err != nil {
		t.Errorf("after the delete it is there: %v, %v", there, err)
	}
	left, err := clientset(t).AppsV1().Deployments(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(left.Items) > 0 {
		t.Errorf("left behind: %v, %v", left.Items, err)
	}
	if err := d.down(); err == nil || !strings.Contains(err.Error(), "release: not found") {
		t.Errorf("uninstalling it again: %v", err)
	}
}

func TestReleaseThatDoesNotGetReady(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	d, _ := release(t, ns)
	stuck := program(ns, ", timeout: 5, values: {replicas: 2}")
	wantInitFailure(t, d.tryUp(stuck), `Helm release "`+ns+`/demo" was created, but failed to initialize completely`,
		"context deadline exceeded", "Deployment is not ready: "+ns+"/demo. 0 out of 2 expected pods are ready",
		"[Pod "+ns+"/demo-")
	if got := text(t, d.state, "status.status"); got != "failed" {
		t.Errorf("status %s, want failed", got)
	}
	// It is in the state, and an update that can work mends it.
	d.up(program(ns, ", timeout: 20, values: {replicas: 0}"))
	if got := text(t, d.state, "status.status"); got != "deployed" {
		t.Errorf("status %s, want deployed", got)
	}
	wantInitFailure(t, d.tryUp(stuck), `Helm release "`+ns+`/demo" failed to initialize completely`, "Deployment is not ready")
	d.up(program(ns, ", skipAwait: true, values: {replicas: 2}"))
	if err := d.down(); err != nil {
		t.Error(err)
	}
}

func TestReleaseThatFailsOutright(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	d, _ := release(t, ns)
	err := d.tryUp(program(ns, ", atomic: true, timeout: 2, values: {replicas: 1}"))
	if err == nil || initFailure(err) != nil {
		t.Errorf("a failed atomic install is in the state: %v", err)
	}
	if left, err := clientset(t).CoreV1().Secrets(ns).List(t.Context(), metav1.ListOptions{}); err != nil || len(left.Items) > 0 {
		t.Errorf("a failed atomic install left %v, %v", left.Items, err)
	}
	wantInitFailure(t, d.tryUp(program(ns, ", values: {broken: true}")), `metadata.name: Invalid value: "Not Valid"`)

	elsewhere, _ := release(t, ns)
	err = elsewhere.tryUp(program(ns, ""))
	if err == nil || !strings.Contains(err.Error(), "cannot re-use a name that is still in use") {
		t.Errorf("a second release of the name: %v", err)
	}
}

func TestReleaseDefinitionsAndNamespace(t *testing.T) {
	t.Parallel()
	group, ns := rand.String(8)+".example.com", "made-"+rand.String(8)
	p := start(t, charts(group), "{}")
	crds := client(t, "apiextensions.k8s.io", "customresourcedefinitions", "")

	d := declare(t, p, "helm.sh/v3:Release")
	d.up(program(ns, ", createNamespace: true"))
	if _, err := crds.Get(t.Context(), "widgets."+group, metav1.GetOptions{}); err == nil {
		t.Error("skipCrds installed the definition")
	}
	t.Cleanup(func() {
		_ = clientset(t).CoreV1().Namespaces().Delete(context.Background(), ns, metav1.DeleteOptions{})
	})
	if err := d.down(); err != nil {
		t.Fatal(err)
	}

	with := declare(t, p, "helm.sh/v3:Release")
	with.up(strings.Replace(program(ns, ""), "skipCrds: true", "skipCrds: false", 1))
	t.Cleanup(func() { _ = crds.Delete(context.Background(), "widgets."+group, metav1.DeleteOptions{}) })
	// The provider knows the new kind at once.
	declare(t, p, group+"/v1:Widget").up("{apiVersion: " + group + "/v1, kind: Widget, metadata: {name: w}}")

	missing := declare(t, p, "helm.sh/v3:Release")
	err := missing.tryUp(strings.Replace(program("nowhere", ""), "name: demo", "name: other", 1))
	if err == nil || !strings.Contains(err.Error(), `namespaces "nowhere" not found`) {
		t.Errorf("a release in a namespace that does not exist: %v", err)
	}
}

func TestUninstallSaysWhatIsStillThere(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	d, _ := release(t, ns)
	d.up(program(ns, ""))
	d.state["timeout"] = resource.NewProperty(1.0) // for the uninstall alone
	maps := clientset(t).CoreV1().ConfigMaps(ns)
	hold := func(finalizers string) {
		if _, err := maps.Patch(t.Context(), "demo-config", types.MergePatchType,
			[]byte(`{"metadata": {"finalizers": `+finalizers+`}}`), metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	}
	hold(`["example.com/hold"]`)
	err := d.down()
	if err == nil || !strings.Contains(err.Error(), "ConfigMap "+ns+"/demo-config (finalizers example.com/hold)") {
		t.Errorf("uninstall: %v", err)
	}
	hold("null")
}

func TestChartsThatAreNotThere(t *testing.T) {
	t.Parallel()
	c, err := live.Connector(charts("x"))(t.Context(), kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.ChartVersion(t.Context(), standin.Release{
		Chart: "demo", RepositoryOpts: &standin.RepositoryOpts{Repo: "https://charts.test"},
	})
	if err == nil || err.Error() != `no chart "demo" in repository "https://charts.test"` {
		t.Errorf("error %v", err)
	}
}
