package engine_test

import (
	"context"
	"strings"
	"sync"

	"github.com/blang/semver"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/provider"
)

// echo is a provider whose resources have their inputs for outputs, and those
// that the component's parts read from each other.
type echo struct {
	*provider.Base
	created *creations
}

// creations counts resources by type.
type creations struct {
	mu sync.Mutex
	of map[string]int
}

func newEcho(name string) (*creations, func() plugin.Provider) {
	c := &creations{of: map[string]int{}}
	return c, func() plugin.Provider {
		return &echo{Base: provider.NewBase(name, semver.MustParse("6.83.2")), created: c}
	}
}

func (p *echo) CheckConfig(_ context.Context, r plugin.CheckConfigRequest) (plugin.CheckConfigResponse, error) {
	return plugin.CheckConfigResponse{Properties: r.News}, nil
}

func (p *echo) Configure(context.Context, plugin.ConfigureRequest) (plugin.ConfigureResponse, error) {
	return plugin.ConfigureResponse{}, nil
}

func (p *echo) Check(_ context.Context, r plugin.CheckRequest) (plugin.CheckResponse, error) {
	return plugin.CheckResponse{Properties: r.News}, nil
}

func (p *echo) DiffConfig(_ context.Context, r plugin.DiffConfigRequest) (plugin.DiffConfigResponse, error) {
	return provider.Diff(r.OldInputs, r.NewInputs, provider.Rules{}), nil
}

func (p *echo) Diff(_ context.Context, r plugin.DiffRequest) (plugin.DiffResponse, error) {
	return provider.Diff(r.OldInputs, r.NewInputs, provider.Rules{}), nil
}

func (p *echo) Create(_ context.Context, r plugin.CreateRequest) (plugin.CreateResponse, error) {
	if r.Preview {
		return plugin.CreateResponse{Properties: r.Properties, Status: resource.StatusOK}, nil
	}
	p.created.mu.Lock()
	p.created.of[string(r.URN.Type())]++
	p.created.mu.Unlock()
	out := r.Properties.Copy()
	text := func(s string) resource.PropertyValue { return resource.NewStringProperty(s) }
	out["arn"] = text("arn:aws:test:us-west-2:111122223333:" + r.URN.Name())
	if r.URN.Type() == "aws:eks/cluster:Cluster" {
		out["name"], out["endpoint"] = text(r.URN.Name()), text("https://c.gr7.us-west-2.eks.amazonaws.com")
		out["certificateAuthority"] = resource.NewObjectProperty(resource.PropertyMap{"data": text("Y2E=")})
		issuer := resource.NewObjectProperty(resource.PropertyMap{"issuer": text("https://oidc.eks.us-west-2.amazonaws.com/id/C")})
		out["identities"] = resource.NewArrayProperty([]resource.PropertyValue{
			resource.NewObjectProperty(resource.PropertyMap{"oidcs": resource.NewArrayProperty([]resource.PropertyValue{issuer})}),
		})
	}
	return plugin.CreateResponse{ID: resource.ID(r.URN.Name()), Properties: out, Status: resource.StatusOK}, nil
}

func (p *echo) Delete(context.Context, plugin.DeleteRequest) (plugin.DeleteResponse, error) {
	return plugin.DeleteResponse{Status: resource.StatusOK}, nil
}

func (p *echo) Invoke(_ context.Context, r plugin.InvokeRequest) (plugin.InvokeResponse, error) {
	out := r.Args.Copy()
	if strings.HasSuffix(string(r.Tok), ":getPartition") {
		out["partition"], out["dnsSuffix"] = resource.NewStringProperty("aws"), resource.NewStringProperty("amazonaws.com")
	}
	return plugin.InvokeResponse{Properties: out}, nil
}
