package live_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

func TestObjectLifeAndDrift(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	program := "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: " + ns + "}, data: {a: '1'}}"
	p := start(t, nil, "{enableConfigMapMutable: true}")
	d := declare(t, p, "core/v1:ConfigMap").up(program)
	if string(d.id) != ns+"/c" {
		t.Errorf("ID %q", d.id)
	}

	if got := d.diff(program); len(got) > 0 {
		t.Errorf("a second preview shows %v", got)
	}
	d.mustRefresh()
	if got := d.diff(program); len(got) > 0 {
		t.Errorf("after a refresh it shows %v", got)
	}

	edit(t, ns, "c", `{"data": {"a": "2", "b": "3"}}`)
	d.mustRefresh()
	if diff := cmp.Diff([]string{"data.a"}, d.diff(program)); diff != "" {
		t.Errorf("drift (-want +got):\n%s", diff)
	}
	d.up(program)
	live, err := clientset(t).CoreV1().ConfigMaps(ns).Get(t.Context(), "c", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if live.Data["a"] != "1" {
		t.Errorf("an update left the drift: %v", live.Data)
	}

	if err := d.down(); err != nil {
		t.Fatal(err)
	}
	if there, err := d.refresh(); there || err != nil {
		t.Errorf("after the delete it is there: %v, %v", there, err)
	}
	if err := d.down(); err != nil {
		t.Errorf("deleting it again: %v", err)
	}
}

// edit changes a ConfigMap as kubectl edit does.
func edit(t *testing.T, ns, name, patch string) {
	t.Helper()
	_, err := clientset(t).CoreV1().ConfigMaps(ns).Patch(t.Context(), name, types.MergePatchType, []byte(patch),
		metav1.PatchOptions{FieldManager: "kubectl-edit"})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFieldsOfAnotherManager(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	const force = ", annotations: {pulumi.com/patchForce: 'true'}"
	program := func(more string) string {
		return "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: " + ns + more + "}, data: {a: '1'}}"
	}
	p := start(t, nil, "{}")
	d := declare(t, p, "core/v1:ConfigMap").up(program(""))
	_, err := clientset(t).CoreV1().ConfigMaps(ns).Patch(t.Context(), "c", types.MergePatchType,
		[]byte(`{"data": {"a": "theirs"}}`), metav1.PatchOptions{FieldManager: "operator"})
	if err != nil {
		t.Fatal(err)
	}

	err = d.tryUp(program(", labels: {x: z}"))
	wantInitFailure(t, err, "server-side apply field conflict detected", `conflict with "operator"`)
	d.up(program(force))
	if got := d.state["data"].ObjectValue()["a"].StringValue(); got != "1" {
		t.Errorf("forced, data.a is %q", got)
	}
}

// TestWhatExistsIsLeftAlone: an object that others made is refused, whatever its
// kind, and stays as it was. The preview does not tell.
func TestWhatExistsIsLeftAlone(t *testing.T) {
	t.Parallel()
	ns, group := namespace(t), widgets(t)
	p := start(t, nil, "{upsertExistingObjects: false}")
	for typ, c := range map[string]struct{ theirs, ours, says string }{
		"core/v1:ConfigMap":  {"data: {a: theirs}", "data: {a: ours}", `configmaps "c" already exists`},
		group + "/v1:Widget": {"spec: {size: 1}", "spec: {size: 2}", `widgets.` + group + ` "c" already exists`},
	} {
		apiVersion, kind, _ := strings.Cut(strings.TrimPrefix(typ, "core/"), ":")
		metadata := "{name: c}"
		r := client(t, group, "widgets", "")
		if kind == "ConfigMap" {
			metadata, r = "{name: c, namespace: "+ns+"}", client(t, "", "configmaps", ns)
		}
		object := func(content string) string {
			return "{apiVersion: " + apiVersion + ", kind: " + kind + ", metadata: " + metadata + ", " + content + "}"
		}
		theirs, err := r.Create(t.Context(), &unstructured.Unstructured{Object: props(t, object(c.theirs)).Mappable()}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}

		d := declare(t, p, typ)
		shown, err := d.preview(object(c.ours))
		if err != nil || shown.HasValue("__inputs") {
			t.Errorf("the preview of the %s shows %v, %v; want what the program wrote", kind, shown, err)
		}
		err = d.tryUp(object(c.ours))
		for _, want := range []string{
			"was not successfully created by the Kubernetes API server: " + c.says, "The resource already exists in the cluster.",
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the up of the %s says %v, want %q", kind, err, want)
			}
		}
		if d.id != "" || initFailure(err) != nil {
			t.Errorf("the %s is in the state", kind)
		}
		now, err := r.Get(t.Context(), "c", metav1.GetOptions{})
		if diff := cmp.Diff(theirs, now); err != nil || diff != "" {
			t.Errorf("%v, the %s (-was +is):\n%s", err, kind, diff)
		}
	}
}

// TestAnUpdateTakesWhatTheCreateWrote: the create is by another field manager than
// the updates. Neither its preview nor an update conflicts with it, and what a
// program drops goes.
func TestAnUpdateTakesWhatTheCreateWrote(t *testing.T) {
	t.Parallel()
	group := widgets(t)
	p := start(t, nil, "{}")
	program := func(spec string) string {
		return "{apiVersion: " + group + "/v1, kind: Widget, metadata: {name: w}, spec: " + spec + "}"
	}
	r := client(t, group, "widgets", "")
	managers := func() (all []string) {
		t.Helper()
		o, err := r.Get(t.Context(), "w", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range o.GetManagedFields() {
			all = append(all, string(f.Operation)+" "+f.Manager)
		}
		return all
	}
	d := declare(t, p, group+"/v1:Widget").up(program("{size: 1, shape: round}"))
	if diff := cmp.Diff([]string{"Update pulumi-kubernetes"}, managers()); diff != "" {
		t.Errorf("managers after the create (-want +got):\n%s", diff)
	}
	if got := d.diff(program("{size: 1, shape: round}")); len(got) > 0 {
		t.Errorf("a second preview shows %v", got)
	}

	changed := program("{size: 2}")
	shown, err := d.p.Update(t.Context(), plugin.UpdateRequest{
		URN: d.urn, ID: d.id, OldInputs: d.inputs, OldOutputs: d.state, NewInputs: d.check(changed), Preview: true,
	})
	if err != nil || shown.Properties["spec"].ObjectValue()["size"].NumberValue() != 2 {
		t.Errorf("the preview of the update: %v, %v", shown.Properties, err)
	}
	d.up(changed)
	spec := d.state["spec"].ObjectValue()
	if spec["size"].NumberValue() != 2 || spec.HasValue("shape") {
		t.Errorf("after the update spec is %v; want size 2 and no shape", spec)
	}
	if diff := cmp.Diff([]string{"Apply " + d.state["__fieldManager"].StringValue()}, managers()); diff != "" {
		t.Errorf("managers after the update (-want +got):\n%s", diff)
	}
}

func TestCanonicalValuesAreNoDrift(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	p := start(t, nil, "{}")
	pod := `{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ` + ns + `, annotations: {pulumi.com/skipAwait: 'true'}},
		spec: {nodeSelector: {none: such}, notAField: x, containers: [{name: c, image: i,
		resources: {requests: {cpu: '0.5', memory: 1024Mi}, limits: {cpu: 1000m, memory: 1Gi}}}]}}`
	d := declare(t, p, "core/v1:Pod").up(pod)
	d.mustRefresh()
	if got := d.diff(pod); len(got) > 0 {
		t.Errorf("a Pod's quantities drift: %v", got)
	}

	secret := `{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ` + ns + `}, stringData: {token: hunter2}}`
	s := declare(t, p, "core/v1:Secret").up(secret)
	s.mustRefresh()
	if got := s.diff(secret); len(got) > 0 {
		t.Errorf("a Secret's stringData drifts: %v", got)
	}
	if got := s.diff(strings.Replace(secret, "hunter2", "hunter3", 1)); !slices.Equal(got, []string{"data.token!"}) {
		t.Errorf("a change of a Secret's stringData shows %v", got)
	}
}

func TestPreviewAgainstTheAPIServer(t *testing.T) {
	t.Parallel()
	group := widgets(t)
	p := start(t, nil, "{}")
	widget := func(size string) string {
		return "{apiVersion: " + group + "/v1, kind: Widget, metadata: {name: w}, spec: {size: " + size + "}}"
	}
	shown, err := declare(t, p, group+"/v1:Widget").preview(widget("3"))
	if err != nil {
		t.Fatal(err)
	}
	if got := shown["spec"].ObjectValue()["color"].StringValue(); got != "red" {
		t.Errorf("the preview lacks the API server's default: %v", shown)
	}
	if _, err := client(t, group, "widgets", "").Get(t.Context(), "w", metav1.GetOptions{}); err == nil {
		t.Error("the preview made the object")
	}
	_, err = declare(t, p, group+"/v1:Widget").preview(widget("101"))
	if err == nil || !strings.Contains(err.Error(), "should be less than or equal to 100") {
		t.Errorf("the preview of an invalid object says %v", err)
	}
	if _, err := declare(t, p, "core/v1:ConfigMap").preview(
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: not-yet}}"); err != nil {
		t.Errorf("the preview in a namespace to come: %v", err)
	}
	if _, err := declare(t, p, "later.example.com/v1:Thing").preview(
		"{apiVersion: later.example.com/v1, kind: Thing, metadata: {name: x}}"); err != nil {
		t.Errorf("the preview of a kind to come: %v", err)
	}
}

func TestPreviewOfAReplacement(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	p := start(t, nil, "{}")
	daemonSet := func(app string) string {
		return `{apiVersion: apps/v1, kind: DaemonSet,
			metadata: {name: d, namespace: ` + ns + `, annotations: {pulumi.com/skipAwait: 'true'}},
			spec: {selector: {matchLabels: {app: ` + app + `}}, template: {metadata: {labels: {app: ` + app + `}},
			spec: {nodeSelector: {none: such}, containers: [{name: c, image: i}]}}}}`
	}
	d := declare(t, p, "apps/v1:DaemonSet").up(daemonSet("one"))
	if got := d.diff(daemonSet("two")); !slices.Contains(got, "spec.selector.matchLabels.app!") {
		t.Errorf("another selector shows %v", got)
	}
	shown, err := declare(t, p, "apps/v1:DaemonSet").preview(daemonSet("two"))
	if err != nil {
		t.Fatalf("the preview of the replacement: %v", err)
	}
	if got := shown["metadata"].ObjectValue()["name"].StringValue(); got != "d" {
		t.Errorf("the replacement is previewed as %q", got)
	}
}

func TestCustomResourceBeforeItsDefinition(t *testing.T) {
	t.Parallel()
	group := rand.String(8) + ".example.com"
	p := start(t, nil, "{}")
	d := declare(t, p, group+"/v1:Widget")
	program := "{apiVersion: " + group + "/v1, kind: Widget, metadata: {name: w}, spec: {size: 1}}"
	done := make(chan error)
	go func() { done <- d.tryUp(program) }()
	time.Sleep(300 * time.Millisecond) // the first try fails meanwhile
	defineWidgets(t, group)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// It was taken for namespaced and is not.
	if d.id != "w" {
		t.Errorf("ID %q", d.id)
	}
	d.mustRefresh()
	if got := d.diff(program); len(got) > 0 {
		t.Errorf("it drifts: %v", got)
	}
	// Its delete is left out: foreground deletion of a kind waits until the
	// garbage collector knows it, which takes up to half a minute.
}

func TestDefinitionsAreReplacedNotMerged(t *testing.T) {
	t.Parallel()
	group := rand.String(8) + ".example.com"
	program := definition(group)
	p := start(t, nil, "{}")
	d := declare(t, p, "apiextensions.k8s.io/v1:CustomResourceDefinition").up(program)
	d.mustRefresh()
	if got := d.diff(program); len(got) > 0 {
		t.Errorf("it drifts: %v", got)
	}

	crds := client(t, "apiextensions.k8s.io", "customresourcedefinitions", "")
	if _, err := crds.Patch(t.Context(), "widgets."+group, types.MergePatchType,
		[]byte(`{"spec": {"names": {"shortNames": ["theirs"]}}}`), metav1.PatchOptions{FieldManager: "operator"}); err != nil {
		t.Fatal(err)
	}
	d.up(strings.Replace(program, "maximum: 100", "maximum: 200", 1))
	crd, err := crds.Get(t.Context(), "widgets."+group, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names, _, err := unstructured.NestedStringSlice(crd.Object, "spec", "names", "shortNames")
	if err != nil || len(names) > 0 {
		t.Errorf("what another manager added is still there: %v, %v", names, err)
	}

	// The definition goes first; the resource is then gone with it.
	w := declare(t, p, group+"/v1:Widget").up("{apiVersion: " + group + "/v1, kind: Widget, metadata: {name: w}}")
	if err := d.down(); err != nil {
		t.Fatal(err)
	}
	if there, err := w.refresh(); there || err != nil {
		t.Errorf("without its definition the widget is there: %v, %v", there, err)
	}
	if err := w.down(); err != nil {
		t.Error(err)
	}
}

func TestIgnoredChangesKeepTheirLiveValue(t *testing.T) {
	t.Parallel()
	group := widgets(t)
	p := start(t, nil, "{}")
	d := declare(t, p, group+"/v1:Widget")
	d.ignore = []string{"spec.size"}
	d.up("{apiVersion: " + group + "/v1, kind: Widget, metadata: {name: w}, spec: {size: 1}}")
	r := client(t, group, "widgets", "")
	if _, err := r.Patch(t.Context(), "w", types.MergePatchType, []byte(`{"spec": {"size": 7}}`),
		metav1.PatchOptions{FieldManager: "autoscaler"}); err != nil {
		t.Fatal(err)
	}
	d.up("{apiVersion: " + group + "/v1, kind: Widget, metadata: {name: w}, spec: {size: 2, shape: round}}")
	spec := d.state["spec"].ObjectValue()
	if spec["size"].NumberValue() != 7 || spec["shape"].StringValue() != "round" {
		t.Errorf("spec is %v, want size 7 and the new shape", spec)
	}
}
