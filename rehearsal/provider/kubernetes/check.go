package kubernetes

import (
	"context"
	"errors"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/provider"
)

// annotationAutonamed marks a name that the provider chose, for Diff to know
// that a replacement may have another (metadata/naming.go).
const annotationAutonamed = "pulumi.com/autonamed"

// Check gives an object its name and namespace if the program gives none.
// Nothing else is added; what the API server defaults stays out of the inputs.
func (p *Provider) Check(ctx context.Context, r plugin.CheckRequest) (plugin.CheckResponse, error) {
	ctx, cancel := p.Context(ctx)
	defer cancel()
	if isRelease(r.URN) {
		return p.checkRelease(ctx, r)
	}
	kind, err := p.supported(r.URN)
	if err != nil {
		return plugin.CheckResponse{}, err
	}
	s := p.current()
	olds := toObject(r.Olds)
	news := s.normalize(toObject(r.News), r.News.ContainsUnknowns())

	if err := name(news, olds, r); err != nil {
		return plugin.CheckResponse{}, err
	}
	if s.settings.namespace != "" && !provider.Has(r.News, "metadata", "namespace") {
		scope, err := s.scope(ctx, kind)
		if err != nil {
			return plugin.CheckResponse{}, err
		}
		if scope == ScopeNamespaced {
			setMeta(news, "namespace", s.settings.namespace)
		}
	}

	checked := fromObject(news)
	annotateSecrets(checked, r.News)
	return plugin.CheckResponse{Properties: checked}, nil
}

// name keeps the name an earlier Check chose, or chooses <logical name>-<8 hex
// digits> for a new object without one.
func name(news, olds Object, r plugin.CheckRequest) error {
	if named(news) {
		return nil
	}
	if provider.Has(r.News, "metadata", "generateName") {
		return errors.New("the `.metadata.generateName` field is not supported in Server-Side Apply mode")
	}
	if len(olds) > 0 {
		if annotation(olds, annotationAutonamed) == "true" {
			setMeta(news, "name", nameOf(olds))
			setAnnotation(news, annotationAutonamed, "true")
		}
		return nil
	}
	auto, err := resource.NewUniqueName(r.RandomSeed, r.URN.Name()+"-", 0, 0, nil)
	if err != nil {
		return fmt.Errorf("naming %s: %w", r.URN.Name(), err)
	}
	if a := r.Autonaming; a != nil {
		switch a.Mode {
		case plugin.AutonamingModeDisabled:
			return errors.New("autonaming is disabled, resource requires the .metadata.name field to be set")
		case plugin.AutonamingModeEnforce, plugin.AutonamingModePropose:
			auto = a.ProposedName
		}
	}
	setMeta(news, "name", auto)
	setAnnotation(news, annotationAutonamed, "true")
	return nil
}

// named tells whether the object has a name, known or not.
func named(o Object) bool {
	v, ok := metadata(o)["name"]
	return ok && v != ""
}
