package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"eks-gpu-slicing/rehearsal/provider"
	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

// TestOverTheWire takes a resource through the calls the engine makes, with
// two provider instances of different settings on one server.
func TestOverTheWire(t *testing.T) {
	t.Parallel()
	cluster := &scripted{
		live: object(t, configMap),
		err:  &kubernetes.NotReady{Err: errors.New("timed out"), Causes: []string{"the cause"}},
	}
	server, err := provider.Serve(t.Context(), func() plugin.Provider { return kubernetes.New(cluster.connect) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)

	mutable := dial(t, server, "{enableConfigMapMutable: 'true'}")
	fixed := dial(t, server, "{}")
	typ := urn("core/v1:ConfigMap")

	check, err := fixed.Check(t.Context(), &pulumirpc.CheckRequest{
		Urn: string(typ), News: wire(t, props(t, "{apiVersion: v1, kind: ConfigMap, data: {a: '1'}}")), RandomSeed: []byte("s"),
	})
	if err != nil {
		t.Fatal(err)
	}
	name := check.Inputs.Fields["metadata"].GetStructValue().Fields["name"].GetStringValue()
	if !strings.HasPrefix(name, "web-") {
		t.Errorf("name %q, want web-…", name)
	}

	_, err = fixed.Create(t.Context(), &pulumirpc.CreateRequest{Urn: string(typ), Properties: check.Inputs})
	reasons, id, state := initFailure(t, err)
	if !strings.Contains(reasons, "the cause") || id != "ns/c" {
		t.Errorf("create: %s (id %q)", reasons, id)
	}

	for want, client := range map[bool]pulumirpc.ResourceProviderClient{true: fixed, false: mutable} {
		d, err := client.Diff(t.Context(), &pulumirpc.DiffRequest{
			Urn: string(typ), Olds: wire(t, state), OldInputs: check.Inputs, Id: id,
			News: wire(t, props(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {a: '2'}}")),
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(d.Replaces) > 0; got != want {
			t.Errorf("replaces %v, want replaced=%v", d.Replaces, want)
		}
	}
}

func dial(t *testing.T, server *provider.Server, config string) pulumirpc.ResourceProviderClient {
	t.Helper()
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", server.Port()),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := pulumirpc.NewResourceProviderClient(conn)
	hands, err := client.Handshake(context.Background(), &pulumirpc.ProviderHandshakeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !hands.SupportsAutonamingConfiguration {
		t.Error("the handshake does not offer autonaming settings")
	}
	inputs := props(t, config)
	inputs["kubeconfig"] = resource.NewStringProperty(kubeconfigA)
	if _, err := client.Configure(t.Context(), &pulumirpc.ConfigureRequest{
		Args: wire(t, inputs), AcceptSecrets: true, AcceptResources: true,
	}); err != nil {
		t.Fatal(err)
	}
	return client
}

func wire(t *testing.T, m resource.PropertyMap) *structpb.Struct {
	t.Helper()
	s, err := plugin.MarshalProperties(m, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
