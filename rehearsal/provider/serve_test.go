package provider_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blang/semver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"eks-gpu-slicing/rehearsal/provider"
)

// regional answers every invoke with the region it was configured with.
type regional struct {
	*provider.Base
	region string
	closed *atomic.Int32
}

func (p *regional) Configure(_ context.Context, r plugin.ConfigureRequest) (plugin.ConfigureResponse, error) {
	p.region = provider.String(r.Inputs, "region")
	return plugin.ConfigureResponse{}, nil
}

func (p *regional) Invoke(ctx context.Context, r plugin.InvokeRequest) (plugin.InvokeResponse, error) {
	switch r.Tok {
	case "t:index:wait":
		ctx, done := p.Context(ctx)
		defer done()
		<-ctx.Done()
		return plugin.InvokeResponse{}, context.Cause(ctx)
	case "t:index:region":
		return plugin.InvokeResponse{Properties: resource.PropertyMap{"region": resource.NewStringProperty(p.region)}}, nil
	}
	return plugin.InvokeResponse{}, p.Unsupported("function", string(r.Tok))
}

func (p *regional) Create(context.Context, plugin.CreateRequest) (plugin.CreateResponse, error) {
	return plugin.CreateResponse{}, provider.InitFailed("id-1", resource.PropertyMap{},
		resource.PropertyMap{"status": resource.NewStringProperty("PENDING")}, "no nodes")
}

func (p *regional) Close() error {
	p.closed.Add(1)
	return p.Base.Close()
}

func serve(t *testing.T) (*provider.Server, *atomic.Int32) {
	t.Helper()
	closed := &atomic.Int32{}
	s, err := provider.Serve(t.Context(), func() plugin.Provider {
		return &regional{Base: provider.NewBase("t", semver.MustParse("1.2.3")), closed: closed}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, closed
}

func dial(t *testing.T, s *provider.Server) (pulumirpc.ResourceProviderClient, *grpc.ClientConn) {
	t.Helper()
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", s.Port()), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return pulumirpc.NewResourceProviderClient(conn), conn
}

func TestServeKeepsInstancesApart(t *testing.T) {
	t.Parallel()
	s, closed := serve(t)
	regions := []string{"us-west-1", "us-west-2"}
	clients := make([]pulumirpc.ResourceProviderClient, len(regions))
	conns := make([]*grpc.ClientConn, len(regions))
	for i, region := range regions {
		clients[i], conns[i] = dial(t, s)
		args, err := structpb.NewStruct(map[string]any{"region": region})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := clients[i].Configure(t.Context(), &pulumirpc.ConfigureRequest{Args: args, AcceptSecrets: true}); err != nil {
			t.Fatal(err)
		}
	}
	for i, region := range regions {
		res, err := clients[i].Invoke(t.Context(), &pulumirpc.InvokeRequest{Tok: "t:index:region"})
		if err != nil {
			t.Fatal(err)
		}
		if got := res.GetReturn().GetFields()["region"].GetStringValue(); got != region {
			t.Errorf("instance %d answers for %q, was configured with %q", i, got, region)
		}
	}
	if err := conns[0].Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); closed.Load() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d providers closed after one connection went, want 1", closed.Load())
		}
	}
	s.Close()
	if got := closed.Load(); got != 2 {
		t.Errorf("%d providers closed with the server, want 2", got)
	}
}

func TestServeAnswersTheHandshakeCalls(t *testing.T) {
	t.Parallel()
	s, _ := serve(t)
	c, _ := dial(t, s)
	h, err := c.Handshake(t.Context(), &pulumirpc.ProviderHandshakeRequest{})
	if err != nil || !h.GetAcceptSecrets() || !h.GetAcceptResources() || !h.GetAcceptOutputs() {
		t.Errorf("Handshake = %v, %v", h, err)
	}
	if info, err := c.GetPluginInfo(t.Context(), &emptypb.Empty{}); err != nil || info.GetVersion() != "1.2.3" {
		t.Errorf("GetPluginInfo = %v, %v", info, err)
	}
	if schema, err := c.GetSchema(t.Context(), &pulumirpc.GetSchemaRequest{}); err != nil || schema.GetSchema() != `{"name":"t","version":"1.2.3"}` {
		t.Errorf("GetSchema = %v, %v", schema, err)
	}
	_, err = c.Invoke(t.Context(), &pulumirpc.InvokeRequest{Tok: "t:index:other"})
	if err == nil || !strings.Contains(err.Error(), `does not implement the function "t:index:other"`) {
		t.Errorf("an unknown function: %v", err)
	}
}

func TestInitFailedReachesTheEngine(t *testing.T) {
	t.Parallel()
	s, _ := serve(t)
	c, _ := dial(t, s)
	_, err := c.Create(t.Context(), &pulumirpc.CreateRequest{Urn: "urn:pulumi:s::p::t:index:T::n"})
	for _, d := range rpcerror.Convert(err).Details() {
		if f, ok := d.(*pulumirpc.ErrorResourceInitFailed); ok {
			if f.GetId() != "id-1" || f.GetProperties().GetFields()["status"].GetStringValue() != "PENDING" || f.GetReasons()[0] != "no nodes" {
				t.Errorf("detail = %v", f)
			}
			return
		}
	}
	t.Errorf("no ErrorResourceInitFailed in %v", err)
}

func TestCancellationEndsAWait(t *testing.T) {
	t.Parallel()
	s, _ := serve(t)
	c, _ := dial(t, s)
	done := make(chan error, 1)
	go func() {
		_, err := c.Invoke(t.Context(), &pulumirpc.InvokeRequest{Tok: "t:index:wait"})
		done <- err
	}()
	if _, err := c.Cancel(t.Context(), &emptypb.Empty{}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), provider.ErrCancelled.Error()) {
		t.Errorf("the wait ended with %v, want %v", err, provider.ErrCancelled)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := provider.Serve(ctx, func() plugin.Provider {
		return &regional{Base: provider.NewBase("t", semver.MustParse("1.2.3")), closed: &atomic.Int32{}}
	})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := dial(t, s)
	if _, err := c.GetPluginInfo(t.Context(), &emptypb.Empty{}); err != nil {
		t.Fatal(err)
	}
	cancel()
	s.Close()
	if _, err := c.GetPluginInfo(t.Context(), &emptypb.Empty{}); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a stopped server answered: %v", err)
	}
}
