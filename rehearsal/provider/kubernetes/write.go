package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"eks-gpu-slicing/rehearsal/provider"
)

// Create makes a new object and waits for it. In a preview the API server is
// asked what the object would become; inputs with unknowns, kinds it does not
// serve yet and clusters out of reach are shown as the program wrote them. So is
// an object that exists already, which may be there only until it is replaced:
// that it is others' shows in the up (provider.go, Create).
func (p *Provider) Create(ctx context.Context, r plugin.CreateRequest) (plugin.CreateResponse, error) {
	ctx, cancel := p.Context(ctx)
	defer cancel()
	if isRelease(r.URN) {
		return p.createRelease(ctx, r)
	}
	s := p.current()
	inputs := toObject(r.Properties)
	asWritten := plugin.CreateResponse{Properties: r.Properties, Status: resource.StatusOK}
	if r.Preview && (r.Properties.ContainsUnknowns() || !s.serves(ctx, KindOf(inputs))) {
		return asWritten, nil
	}
	cluster, err := s.reach()
	if err != nil {
		return plugin.CreateResponse{}, err
	}
	from, err := originOf(nil, inputs)
	if err != nil {
		return plugin.CreateResponse{}, err
	}

	live, err := cluster.Create(ctx, Write{
		Object: inputs, FieldManager: from.fieldManager, Timeout: seconds(r.Timeout), DryRun: r.Preview,
	})
	var late *NotReady
	switch {
	case err == nil, errors.As(err, &late):
	case r.Preview && (errors.Is(err, ErrForbidden) || errors.Is(err, ErrNoNamespace) || errors.Is(err, ErrExists)):
		return asWritten, nil
	case errors.Is(err, ErrNoKind):
		return plugin.CreateResponse{}, fmt.Errorf("creation of resource %q with kind %s failed because the Kubernetes "+
			"API server reported that the apiVersion for this resource does not exist. "+
			"Verify that any required CRDs have been created: %w", r.URN, KindOf(inputs), err)
	default:
		return plugin.CreateResponse{}, fmt.Errorf(
			"resource %q was not successfully created by the Kubernetes API server: %w", r.URN, err)
	}

	if r.Preview {
		delete(live, "status") // a program must not read it before it exists
		return plugin.CreateResponse{Properties: checkpoint(inputs, live, r.Properties, from)}, nil
	}
	state := checkpoint(inputs, live, r.Properties, from)
	if late != nil {
		return plugin.CreateResponse{}, initFailed(id(live), nil, state, late,
			fmt.Sprintf("resource %q was successfully created, but the Kubernetes API server "+
				"reported that it failed to fully initialize or become live", r.URN))
	}
	return plugin.CreateResponse{ID: id(live), Properties: state, Status: resource.StatusOK}, nil
}

// Update applies changed inputs to an existing object and waits for it, with
// previews as in Create. Whatever goes wrong while the object exists is an
// initialization error: the new inputs are in the state, and the next update
// tries again (provider.go, Update).
func (p *Provider) Update(ctx context.Context, r plugin.UpdateRequest) (plugin.UpdateResponse, error) {
	ctx, cancel := p.Context(ctx)
	defer cancel()
	if isRelease(r.URN) {
		return p.updateRelease(ctx, r)
	}
	s := p.current()
	inputs := s.normalize(toObject(r.NewInputs), r.NewInputs.ContainsUnknowns())
	asWritten := plugin.UpdateResponse{Properties: r.NewInputs, Status: resource.StatusOK}
	if r.Preview && (r.NewInputs.ContainsUnknowns() || !s.serves(ctx, KindOf(inputs))) {
		return asWritten, nil
	}
	cluster, err := s.reach()
	if err != nil {
		return plugin.UpdateResponse{}, err
	}
	from, err := originOf(r.OldOutputs, inputs)
	if err != nil {
		return plugin.UpdateResponse{}, err
	}
	_, last := parseCheckpoint(r.OldOutputs)

	live, err := cluster.Update(ctx, Write{
		Object: inputs, FieldManager: from.fieldManager, Timeout: seconds(r.Timeout), DryRun: r.Preview,
		IgnoreChanges: r.IgnoreChanges,
	}, last)
	switch {
	case err == nil:
		return plugin.UpdateResponse{
			Properties: checkpoint(inputs, live, r.NewInputs, from), Status: resource.StatusOK,
		}, nil
	case r.Preview && errors.Is(err, ErrForbidden):
		return asWritten, nil
	case errors.Is(err, ErrNoKind):
		return plugin.UpdateResponse{}, fmt.Errorf("update of resource %q failed because the Kubernetes API server "+
			"reported that the apiVersion for this resource does not exist. "+
			"Verify that any required CRDs have been created: %w", r.URN, err)
	}
	live, getErr := cluster.Get(ctx, last)
	if getErr != nil {
		return plugin.UpdateResponse{}, errors.Join(
			fmt.Errorf("update of resource %q failed: %w", r.URN, err),
			fmt.Errorf("unable to get cluster state: %w", getErr))
	}
	return plugin.UpdateResponse{}, initFailed(id(live), nil, checkpoint(inputs, live, r.NewInputs, from), err,
		fmt.Sprintf("the Kubernetes API server reported that %q failed to fully initialize or become live", id(live)))
}

// Delete deletes an object, in the foreground unless its annotation says
// otherwise, and waits until it is gone (await.go, Deletion).
func (p *Provider) Delete(ctx context.Context, r plugin.DeleteRequest) (plugin.DeleteResponse, error) {
	ctx, cancel := p.Context(ctx)
	defer cancel()
	if isRelease(r.URN) {
		return plugin.DeleteResponse{}, p.deleteRelease(ctx, r)
	}
	s := p.current()
	if s.cluster == nil {
		return plugin.DeleteResponse{}, p.unreachableRead(ctx, s, r.URN, "delete "+string(r.ID))
	}
	inputs, live := parseCheckpoint(r.Outputs)
	namespace, name := parseFqName(r.ID)
	setMeta(live, "name", name)
	setMeta(live, "namespace", namespace)
	err := s.cluster.Delete(ctx, inputs, live, seconds(r.Timeout))
	if late := (*NotReady)(nil); errors.As(err, &late) {
		// The real provider says no more of it (await/condition/deleted.go).
		for _, cause := range late.Causes {
			p.Log(ctx, pulumirpc.LogSeverity_WARNING, r.URN, cause)
		}
		err = late.Err
	}
	return plugin.DeleteResponse{}, err
}

// initFailed tells the engine that a resource exists but is not what it
// should be. The reasons are what, then why.
func initFailed(id resource.ID, inputs, state resource.PropertyMap, err error, what string) error {
	reasons := []string{fmt.Sprintf("%s: %v", what, err)}
	var late *NotReady
	if errors.As(err, &late) && len(late.Causes) > 1 {
		reasons = append(reasons, late.Causes[1:]...)
	}
	return provider.InitFailed(id, inputs, state, reasons...)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
