package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/blang/semver"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"eks-gpu-slicing/rehearsal/provider"
)

const (
	packageName = "kubernetes"

	// Version is the pulumi-kubernetes that is stood in for.
	Version = "4.29.0"
)

// errNoCluster is why nothing but a preview works without a Connect.
var errNoCluster = errors.New("this preview has no Kubernetes cluster; " +
	"`rehearse up` and `rehearse run` start one and apply the stack to it")

// Provider is one instance of the stand-in: what one connection of the engine
// talks to.
type Provider struct {
	*provider.Base

	connect Connect
	session atomic.Pointer[session] // nil until Configure
}

// session is what Configure found out.
type session struct {
	settings    settings
	cluster     Cluster // nil if it could not be reached
	unreachable error   // why
}

// New returns a provider that reaches its cluster through connect. With a nil
// connect it previews only.
func New(connect Connect) *Provider {
	return &Provider{Base: provider.NewBase(packageName, semver.MustParse(Version)), connect: connect}
}

// Handshake adds to the base's that autonaming settings are honoured.
func (p *Provider) Handshake(
	ctx context.Context, r plugin.ProviderHandshakeRequest,
) (*plugin.ProviderHandshakeResponse, error) {
	resp, err := p.Base.Handshake(ctx, r)
	if err != nil {
		return nil, err
	}
	resp.SupportsAutonamingConfiguration = true
	return resp, nil
}

// Configure reads the provider's settings and reaches for its cluster. A
// cluster that cannot be reached is no error yet: a preview goes on without
// it, and every operation that needs it says why it failed.
func (p *Provider) Configure(ctx context.Context, r plugin.ConfigureRequest) (plugin.ConfigureResponse, error) {
	s := &session{}
	defer func() { p.session.Store(s) }()
	if r.Inputs.ContainsUnknowns() {
		s.unreachable = errors.New("the provider's configuration is not known yet")
		return plugin.ConfigureResponse{}, nil
	}
	s.settings, s.unreachable = readSettings(r.Inputs)
	switch {
	case p.connect == nil:
		s.unreachable = errNoCluster
	case s.unreachable == nil:
		ctx, cancel := p.Context(ctx)
		defer cancel()
		s.cluster, s.unreachable = p.connect(ctx, s.settings.kubeconfig)
	}
	return plugin.ConfigureResponse{}, nil
}

// current is the session, or an unreachable one before Configure.
func (p *Provider) current() *session {
	if s := p.session.Load(); s != nil {
		return s
	}
	return &session{unreachable: errors.New("the provider is not configured yet")}
}

// reach is the cluster, or the error for an operation that needs one.
func (s *session) reach() (Cluster, error) {
	if s.cluster == nil {
		return nil, fmt.Errorf("configured Kubernetes cluster is unreachable: %w", s.unreachable)
	}
	return s.cluster, nil
}

// unreachableRead is what Read and Delete answer without a cluster: nil if
// deleteUnreachable gives the resource up (provider.go, Read and Delete).
func (p *Provider) unreachableRead(ctx context.Context, s *session, urn resource.URN, what string) error {
	reason := fmt.Sprintf("configured Kubernetes cluster is unreachable: %v", s.unreachable)
	p.Log(ctx, pulumirpc.LogSeverity_WARNING, urn, reason)
	if s.settings.deleteUnreachable {
		p.Log(ctx, pulumirpc.LogSeverity_INFO, urn, "configured Kubernetes cluster is unreachable and the "+
			"`deleteUnreachable` option is enabled. Deleting the unreachable resource from Pulumi state")
		return nil
	}
	return fmt.Errorf("failed to %s: %s. If the cluster was deleted, you can remove this resource from Pulumi "+
		"state by setting the provider's deleteUnreachable to true", what, reason)
}

// scope is where objects of the kind live. A kind nobody knows (yet) counts as
// namespaced, as it does in the real provider.
func (s *session) scope(ctx context.Context, k Kind) (Scope, error) {
	scope := k.staticScope()
	if scope == ScopeUnknown && s.cluster != nil {
		var err error
		if scope, err = s.cluster.Scope(ctx, k); err != nil {
			return 0, fmt.Errorf("asking the API server whether %s is namespaced: %w", k, err)
		}
	}
	if scope == ScopeUnknown {
		scope = ScopeNamespaced
	}
	return scope, nil
}

// serves tells whether a dry run of the object can work: there is a cluster
// and it knows the kind.
func (s *session) serves(ctx context.Context, k Kind) bool {
	if s.cluster == nil {
		return false
	}
	scope, err := s.cluster.Scope(ctx, k)
	return err == nil && scope != ScopeUnknown
}

// normalize gives inputs the form that Diff compares: canonical values for
// built-in types, no read-only metadata (provider.go, normalizeInputs).
func (s *session) normalize(o Object, unknowns bool) Object {
	if !unknowns && s.cluster != nil && KindOf(o).builtin() {
		o = s.cluster.Normalize(o)
	}
	dropReadOnlyMetadata(o)
	return o
}

func isRelease(urn resource.URN) bool { return urn.Type() == "kubernetes:helm.sh/v3:Release" }

// supported refuses the types that need more than an object applied: patches
// of objects that others own, and lists, which the real one refuses too.
func (p *Provider) supported(urn resource.URN) (Kind, error) {
	k, err := kindOfType(urn)
	if err != nil {
		return Kind{}, err
	}
	if k.builtin() && strings.HasSuffix(k.Kind, "List") {
		return Kind{}, errors.New("list resources exist for compatibility with YAML manifests and Helm charts, " +
			"and cannot be created directly. Use the underlying resource type instead")
	}
	if k.builtin() && strings.HasSuffix(k.Kind, "Patch") {
		return Kind{}, p.Unsupported("resource type", string(urn.Type()))
	}
	return k, nil
}

// Construct refuses the provider's components (charts rendered client-side,
// YAML and kustomize files).
func (p *Provider) Construct(_ context.Context, r plugin.ConstructRequest) (plugin.ConstructResponse, error) {
	return plugin.ConstructResponse{}, p.Unsupported("component", string(r.Type))
}

// Invoke refuses the provider's functions (decoding YAML, rendering charts).
func (p *Provider) Invoke(_ context.Context, r plugin.InvokeRequest) (plugin.InvokeResponse, error) {
	return plugin.InvokeResponse{}, p.Unsupported("function", string(r.Tok))
}
