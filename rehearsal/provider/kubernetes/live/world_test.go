package live_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"eks-gpu-slicing/rehearsal/controlplane"
	"eks-gpu-slicing/rehearsal/controlplane/controlplanetest"
	standin "eks-gpu-slicing/rehearsal/provider/kubernetes"
	"eks-gpu-slicing/rehearsal/provider/kubernetes/live"
)

// The control plane that all tests share; set once, before any test runs.
var (
	kubeconfig string
	admin      *rest.Config
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	fail := func(err error) int { fmt.Fprintln(os.Stderr, err); return 1 }

	// The tests wait more than they work: more of them than processors.
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		return fail(err)
	}
	binary, err := controlplanetest.Binary(ctx)
	if err != nil {
		return fail(err)
	}
	dir, err := os.MkdirTemp("", "live-test-")
	if err != nil {
		return fail(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cp, err := controlplane.Start(ctx, controlplane.Config{Dir: dir, Binary: binary})
	if err != nil {
		return fail(err)
	}
	defer func() { _ = cp.Stop(ctx) }()
	b, err := os.ReadFile(cp.Kubeconfig())
	if err != nil {
		return fail(err)
	}
	kubeconfig, admin = string(b), cp.RESTConfig()
	return m.Run()
}

// start returns a provider on the shared cluster.
func start(t *testing.T, charts live.Charts, config string) *standin.Provider {
	t.Helper()
	p := standin.New(live.Connector(charts))
	t.Cleanup(func() { _ = p.Close() })
	inputs := props(t, config)
	if !inputs.HasValue("kubeconfig") {
		inputs["kubeconfig"] = resource.NewStringProperty(kubeconfig)
	}
	if _, err := p.Configure(t.Context(), plugin.ConfigureRequest{Inputs: inputs}); err != nil {
		t.Fatal(err)
	}
	return p
}

func props(t *testing.T, text string) resource.PropertyMap {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return resource.NewPropertyMapFromMap(m)
}

// deployment is a resource in a stack, taken through the calls the engine
// makes for it.
type deployment struct {
	t      *testing.T
	p      *standin.Provider
	urn    resource.URN
	id     resource.ID
	inputs resource.PropertyMap
	state  resource.PropertyMap
	limit  time.Duration // customTimeouts
	ignore []string      // ignoreChanges
}

func declare(t *testing.T, p *standin.Provider, typ string) *deployment {
	t.Helper()
	return &deployment{t: t, p: p, urn: resource.NewURN("dev", "test", "", tokens.Type("kubernetes:"+typ), "web")}
}

// within sets the resource's custom timeouts.
func (d *deployment) within(limit time.Duration) *deployment {
	d.limit = limit
	return d
}

func (d *deployment) check(text string) resource.PropertyMap {
	d.t.Helper()
	resp, err := d.p.Check(d.t.Context(), plugin.CheckRequest{
		URN: d.urn, Olds: d.inputs, News: props(d.t, text), RandomSeed: []byte(rand.String(8)),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	if len(resp.Failures) > 0 {
		d.t.Fatalf("check failures: %v", resp.Failures)
	}
	return resp.Properties
}

// preview is what `pulumi preview` of a new resource shows.
func (d *deployment) preview(text string) (resource.PropertyMap, error) {
	d.t.Helper()
	resp, err := d.p.Create(d.t.Context(), plugin.CreateRequest{URN: d.urn, Properties: d.check(text), Preview: true})
	return resp.Properties, err
}

// tryUp creates or updates the resource. An initialization error leaves it in
// the state, as it does in the engine.
func (d *deployment) tryUp(text string) error {
	d.t.Helper()
	inputs := d.check(text)
	var err error
	if d.id == "" {
		var resp plugin.CreateResponse
		resp, err = d.p.Create(d.t.Context(), plugin.CreateRequest{
			URN: d.urn, Properties: inputs, Timeout: d.limit.Seconds(),
		})
		d.id, d.state = resp.ID, resp.Properties
	} else {
		var resp plugin.UpdateResponse
		resp, err = d.p.Update(d.t.Context(), plugin.UpdateRequest{
			URN: d.urn, ID: d.id, OldInputs: d.inputs, OldOutputs: d.state, NewInputs: inputs, Timeout: d.limit.Seconds(),
			IgnoreChanges: d.ignore,
		})
		if err == nil {
			d.state = resp.Properties
		}
	}
	if failed := initFailure(err); failed != nil {
		d.id = resource.ID(failed.Id)
		state, unmarshal := plugin.UnmarshalProperties(failed.Properties, plugin.MarshalOptions{KeepSecrets: true})
		if unmarshal != nil {
			d.t.Fatal(unmarshal)
		}
		d.state = state
	}
	d.inputs = inputs
	return err
}

func (d *deployment) up(text string) *deployment {
	d.t.Helper()
	if err := d.tryUp(text); err != nil {
		d.t.Fatal(err)
	}
	return d
}

// diff gives the changed paths, those that replace with a "!".
func (d *deployment) diff(text string) []string {
	d.t.Helper()
	resp, err := d.p.Diff(d.t.Context(), plugin.DiffRequest{
		URN: d.urn, ID: d.id, OldInputs: d.inputs, OldOutputs: d.state, NewInputs: d.check(text),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	var out []string
	for path, change := range resp.DetailedDiff {
		if change.Kind.IsReplace() {
			path += "!"
		}
		out = append(out, path)
	}
	return out
}

// refresh reads the resource; it is false if it is gone.
func (d *deployment) refresh() (bool, error) {
	d.t.Helper()
	resp, err := d.p.Read(d.t.Context(), plugin.ReadRequest{URN: d.urn, ID: d.id, Inputs: d.inputs, State: d.state})
	if err != nil {
		return false, err
	}
	if resp.ID == "" {
		return false, nil
	}
	d.inputs, d.state = resp.Inputs, resp.Outputs
	return true, nil
}

func (d *deployment) mustRefresh() {
	d.t.Helper()
	if there, err := d.refresh(); err != nil || !there {
		d.t.Fatalf("refresh: there=%v, %v", there, err)
	}
}

func (d *deployment) down() error {
	d.t.Helper()
	_, err := d.p.Delete(d.t.Context(), plugin.DeleteRequest{
		URN: d.urn, ID: d.id, Inputs: d.inputs, Outputs: d.state, Timeout: d.limit.Seconds(),
	})
	return err
}

// initFailure is the initialization error in err, nil if it is none.
func initFailure(err error) *pulumirpc.ErrorResourceInitFailed {
	status, ok := rpcerror.FromError(err)
	if err == nil || !ok {
		return nil
	}
	for _, detail := range status.Details() {
		if failed, ok := detail.(*pulumirpc.ErrorResourceInitFailed); ok {
			return failed
		}
	}
	return nil
}

// wantInitFailure requires an initialization error whose reasons contain all
// of want.
func wantInitFailure(t *testing.T, err error, want ...string) {
	t.Helper()
	failed := initFailure(err)
	if failed == nil {
		t.Fatalf("error %v, want an initialization error", err)
	}
	reasons := strings.Join(failed.Reasons, "\n")
	for _, w := range want {
		if !strings.Contains(reasons, w) {
			t.Errorf("reasons lack %q:\n%s", w, reasons)
		}
	}
}

func clientset(t *testing.T) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// namespace makes one for the test and deletes it afterwards.
func namespace(t *testing.T) string {
	t.Helper()
	n, err := clientset(t).CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := clientset(t).CoreV1().Namespaces().Delete(context.Background(), n.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return n.Name
}

// client is the dynamic client of a kind's plural, in version v1.
func client(t *testing.T, group, plural, namespace string) dynamic.ResourceInterface {
	t.Helper()
	d, err := dynamic.NewForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	r := d.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: plural})
	if namespace == "" {
		return r
	}
	return r.Namespace(namespace)
}

// widgets defines a cluster-scoped custom resource of the test's own and
// returns its group.
func widgets(t *testing.T) string {
	t.Helper()
	group := rand.String(8) + ".example.com"
	defineWidgets(t, group)
	return group
}

func defineWidgets(t *testing.T, group string) {
	t.Helper()
	crd := &unstructured.Unstructured{Object: props(t, definition(group)).Mappable()}
	crds := client(t, "apiextensions.k8s.io", "customresourcedefinitions", "")
	if _, err := crds.Create(t.Context(), crd, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = crds.Delete(context.Background(), crd.GetName(), metav1.DeleteOptions{}) })
	if err := poll(t, func() error {
		o, err := crds.Get(t.Context(), crd.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		b, err := json.Marshal(o.Object["status"])
		if err != nil {
			return err
		}
		if !strings.Contains(string(b), `"status":"True","type":"Established"`) {
			return fmt.Errorf("not established: %s", b)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func definition(group string) string {
	return `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.` + group + `},
		spec: {group: ` + group + `, scope: Cluster, names: {kind: Widget, plural: widgets, singular: widget},
		versions: [{name: v1, served: true, storage: true, subresources: {status: {}},
		schema: {openAPIV3Schema: {type: object, properties: {
			spec: {type: object, properties: {size: {type: integer, maximum: 100}, color: {type: string, default: red},
				shape: {type: string}}},
			status: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}}]}}`
}

// setStatus writes an object's status, as its controller would.
func setStatus(t *testing.T, r dynamic.ResourceInterface, name, status string) {
	t.Helper()
	patch, err := yaml.YAMLToJSON([]byte("{status: " + status + "}"))
	if err != nil {
		t.Error(err)
		return
	}
	if err := poll(t, func() error {
		_, err := r.Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		return err
	}); err != nil {
		t.Error(err)
	}
}

// poll tries f for a while and returns its last error.
func poll(t *testing.T, f func() error) error {
	t.Helper()
	var err error
	for range 1200 { // a minute, on a busy machine
		if err = f(); err == nil {
			return nil
		}
		select {
		case <-t.Context().Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
	return err
}
