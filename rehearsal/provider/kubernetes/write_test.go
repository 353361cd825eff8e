package kubernetes_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

// initFailure takes the initialization error out of an error, as the engine
// does.
func initFailure(t *testing.T, err error) (reasons string, id string, state resource.PropertyMap) {
	t.Helper()
	status, ok := rpcerror.FromError(err)
	if err == nil || !ok {
		t.Fatalf("error %v, want an initialization error", err)
	}
	for _, d := range status.Details() {
		if failed, ok := d.(*pulumirpc.ErrorResourceInitFailed); ok {
			state, err := plugin.UnmarshalProperties(failed.Properties, plugin.MarshalOptions{KeepSecrets: true})
			if err != nil {
				t.Fatal(err)
			}
			return strings.Join(failed.Reasons, "\n"), failed.Id, state
		}
	}
	t.Fatalf("error %v is no initialization error", err)
	return "", "", nil
}

func TestCreateLeavesWhatDiffNeeds(t *testing.T) {
	t.Parallel()
	cluster := &scripted{live: object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns, uid: u}, data: {a: '1'}}")}
	p := start(t, cluster.connect, "{}")
	resp, err := p.Create(t.Context(), plugin.CreateRequest{
		URN: urn("core/v1:ConfigMap"), Properties: props(t, configMap), Timeout: 90,
	})
	if err != nil {
		t.Fatal(err)
	}
	if resp.ID != "ns/c" {
		t.Errorf("ID %q, want ns/c", resp.ID)
	}
	manager := cluster.writes[0].FieldManager
	if !strings.HasPrefix(manager, "pulumi-kubernetes-") || len(manager) != len("pulumi-kubernetes-01234567") {
		t.Errorf("field manager %q", manager)
	}
	if cluster.writes[0].Timeout != 90*time.Second {
		t.Errorf("timeout %v, want 90s", cluster.writes[0].Timeout)
	}
	want := canonical(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns, uid: u}, data: {a: '1'},
		__inputs: `+configMap+`, __initialApiVersion: v1, __fieldManager: `+manager+`}`)
	if diff := cmp.Diff(want, plain(t, resp.Properties)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}

	if _, err := p.Update(t.Context(), plugin.UpdateRequest{
		URN: urn("core/v1:ConfigMap"), OldOutputs: resp.Properties, NewInputs: props(t, configMap),
	}); err != nil {
		t.Fatal(err)
	}
	if got := cluster.writes[1].FieldManager; got != manager {
		t.Errorf("an update is by field manager %q, want the creating %q", got, manager)
	}
}

func TestNotReadyIsAnInitializationError(t *testing.T) {
	t.Parallel()
	late := &kubernetes.NotReady{
		Err:    errors.New("timed out waiting for the condition"),
		Causes: []string{"condition Ready is False: NodeClassNotReady", "Warning FailedX: why"},
	}
	cluster := &scripted{err: late, live: object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {a: '1'}}")}
	p := start(t, cluster.connect, "{}")
	in := props(t, configMap)
	cause := "timed out waiting for the condition: condition Ready is False: NodeClassNotReady\nWarning FailedX: why"

	_, err := p.Create(t.Context(), plugin.CreateRequest{URN: urn("core/v1:ConfigMap"), Properties: in})
	reasons, id, state := initFailure(t, err)
	if !strings.Contains(reasons, "was successfully created, but the Kubernetes API server reported that it failed to "+
		"fully initialize or become live: "+cause) || id != "ns/c" || !state.HasValue("__inputs") {
		t.Errorf("create: %s (id %q, state %v)", reasons, id, state)
	}

	_, err = p.Update(t.Context(), plugin.UpdateRequest{URN: urn("core/v1:ConfigMap"), OldOutputs: in, NewInputs: in})
	if reasons, _, _ := initFailure(t, err); !strings.Contains(reasons,
		`the Kubernetes API server reported that "ns/c" failed to fully initialize or become live: `+cause) {
		t.Errorf("update: %s", reasons)
	}

	_, err = p.Read(t.Context(), plugin.ReadRequest{URN: urn("core/v1:ConfigMap"), ID: "ns/c", State: state, Inputs: in})
	if reasons, _, _ := initFailure(t, err); !strings.Contains(reasons, cause) {
		t.Errorf("read: %s", reasons)
	}
}

func TestARefusedUpdateKeepsTheResource(t *testing.T) {
	t.Parallel()
	cluster := &scripted{err: errors.New("spec.weight: Invalid value"), live: object(t, configMap)}
	p := start(t, cluster.connect, "{}")
	in := props(t, configMap)
	_, err := p.Update(t.Context(), plugin.UpdateRequest{URN: urn("core/v1:ConfigMap"), OldOutputs: in, NewInputs: in})
	if reasons, _, _ := initFailure(t, err); !strings.Contains(reasons, "spec.weight: Invalid value") {
		t.Errorf("update: %s", reasons)
	}
}

func TestAMissingDefinitionIsNamed(t *testing.T) {
	t.Parallel()
	cluster := &scripted{err: kubernetes.ErrNoKind}
	p := start(t, cluster.connect, "{}")
	_, err := p.Create(t.Context(), plugin.CreateRequest{URN: urn("karpenter.sh/v1:NodePool"),
		Properties: props(t, "{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: x}}")})
	if err == nil || !strings.Contains(err.Error(), "with kind karpenter.sh/v1/NodePool failed because the Kubernetes API "+
		"server reported that the apiVersion for this resource does not exist. Verify that any required CRDs") {
		t.Errorf("create: %v", err)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	cluster := &scripted{live: object(t, `{apiVersion: v1, kind: ConfigMap,
		metadata: {name: c, namespace: ns, uid: u, annotations: {kubectl.kubernetes.io/last-applied-configuration: x}},
		data: {a: changed, theirs: x}}`)}
	p := start(t, cluster.connect, "{}")

	in := props(t, configMap)
	resp, err := p.Read(t.Context(), plugin.ReadRequest{URN: urn("core/v1:ConfigMap"), ID: "ns/c", State: in, Inputs: in})
	if err != nil {
		t.Fatal(err)
	}
	want := canonical(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {a: changed}}")
	if diff := cmp.Diff(want, plain(t, resp.Inputs)); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}

	resp, err = p.Read(t.Context(), plugin.ReadRequest{URN: urn("core/v1:ConfigMap"), ID: "ns/c"})
	if err != nil {
		t.Fatal(err)
	}
	want = canonical(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns, annotations: {}},
		data: {a: changed, theirs: x}}`)
	if diff := cmp.Diff(want, plain(t, resp.Inputs)); diff != "" {
		t.Errorf("imported inputs (-want +got):\n%s", diff)
	}

	for _, gone := range []error{kubernetes.ErrNotFound, kubernetes.ErrNoKind} {
		cluster.err = gone
		resp, err = p.Read(t.Context(), plugin.ReadRequest{URN: urn("core/v1:ConfigMap"), ID: "ns/c", State: in, Inputs: in})
		if err != nil || resp.ID != "" {
			t.Errorf("with %v Read gives %q, %v; want the resource to be gone", gone, resp.ID, err)
		}
	}
}
