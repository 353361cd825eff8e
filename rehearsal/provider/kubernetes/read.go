package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

// Read fetches the live object. Its inputs become the live object reduced to
// what the old inputs named: drift elsewhere is none (provider.go, Read).
// Without old inputs (import, get) everything but the status is an input.
func (p *Provider) Read(ctx context.Context, r plugin.ReadRequest) (plugin.ReadResponse, error) {
	ctx, cancel := p.Context(ctx)
	defer cancel()
	s := p.current()
	if s.cluster == nil {
		return plugin.ReadResponse{}, p.unreachableRead(ctx, s, r.URN, "read resource state of "+string(r.ID))
	}
	if isRelease(r.URN) {
		return p.readRelease(ctx, s, r)
	}
	kind, err := p.supported(r.URN)
	if err != nil {
		return plugin.ReadResponse{}, err
	}

	inputs := s.normalize(toObject(r.Inputs), false)
	_, last := parseCheckpoint(r.State)
	imported := inputs["kind"] == nil && last["kind"] == nil
	if inputs["kind"] == nil {
		inputs["apiVersion"], inputs["kind"] = kind.APIVersion(), kind.Kind
		namespace, name := parseFqName(r.ID)
		setMeta(inputs, "name", name)
		setMeta(inputs, "namespace", namespace)
	}
	from, err := originOf(r.State, inputs)
	if err != nil {
		return plugin.ReadResponse{}, err
	}

	read := s.cluster.Read
	if imported {
		read = s.cluster.Get // nothing was promised about its readiness
	}
	live, err := read(ctx, inputs)
	var late *NotReady
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrNoKind):
		return plugin.ReadResponse{}, nil // gone
	case err != nil && !errors.As(err, &late):
		return plugin.ReadResponse{}, fmt.Errorf("reading %s: %w", r.ID, err)
	}

	liveInputs := Prune(live, inputs)
	if imported {
		liveInputs = importedInputs(live)
	}
	ins := fromObject(liveInputs)
	annotateSecrets(ins, r.Inputs)
	state := checkpoint(liveInputs, live, r.Inputs, from)
	if late != nil {
		return plugin.ReadResponse{}, initFailed(r.ID, ins, state, late, "Resource '"+nameOf(live)+"' is not ready")
	}
	return plugin.ReadResponse{
		ReadResult: plugin.ReadResult{ID: r.ID, Inputs: ins, Outputs: state}, Status: resource.StatusOK,
	}, nil
}

// importedInputs are what a program would have to write to get the object.
func importedInputs(live Object) Object {
	out := maps.Clone(live)
	delete(out, "status")
	meta := maps.Clone(metadata(live))
	out["metadata"] = meta
	dropReadOnlyMetadata(out)
	if a, ok := meta["annotations"].(Object); ok {
		a = maps.Clone(a)
		delete(a, "deployment.kubernetes.io/revision")
		delete(a, "kubectl.kubernetes.io/last-applied-configuration")
		meta["annotations"] = a
	}
	return out
}
