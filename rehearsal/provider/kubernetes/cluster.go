package kubernetes

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Object is a Kubernetes object as decoded JSON.
type Object = map[string]any

// Kind names an API type. The core group is "".
type Kind struct {
	Group, Version, Kind string
}

// String writes the kind as karpenter.sh/v1/NodePool, or v1/Pod.
func (k Kind) String() string { return k.APIVersion() + "/" + k.Kind }

// APIVersion is the kind's group and version as objects carry them.
func (k Kind) APIVersion() string {
	if k.Group == "" {
		return k.Version
	}
	return k.Group + "/" + k.Version
}

// KindOf reads the kind an object says it is of. Programs may write the core
// group as "core/v1", which means "v1".
func KindOf(o Object) Kind {
	apiVersion, _ := o["apiVersion"].(string)
	kind, _ := o["kind"].(string)
	group, version, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group, version = "", apiVersion
	}
	if group == "core" {
		group = ""
	}
	return Kind{Group: group, Version: version, Kind: kind}
}

// Scope says whether objects of a kind live in namespaces.
type Scope int

// The scopes. ScopeUnknown is that of a kind the API server does not serve
// (yet), such as a custom resource whose definition is still to come.
const (
	ScopeUnknown Scope = iota
	ScopeNamespaced
	ScopeCluster
)

// Errors a Cluster's methods wrap, for the cases a provider treats apart.
var (
	// ErrNotFound: there is no such object or release.
	ErrNotFound = errors.New("not found")
	// ErrNoKind: the API server does not serve the kind.
	ErrNoKind = errors.New("the API server does not serve this kind")
	// ErrForbidden: the provider's identity may not do this.
	ErrForbidden = errors.New("forbidden")
	// ErrExists: there is such an object already.
	ErrExists = errors.New("already exists")
	// ErrNoNamespace: the object's namespace does not exist.
	ErrNoNamespace = errors.New("the namespace does not exist")
)

// NotReady is the error of a write that reached the API server and whose
// object, or release, did not become ready. The value returned beside it is
// the last state seen.
type NotReady struct {
	// Err says what went wrong, as pulumi-kubernetes words it.
	Err error
	// Causes are what is known about why: conditions, pod states, log lines.
	Causes []string
}

// Error is Err with the first cause, if there is one.
func (e *NotReady) Error() string {
	if len(e.Causes) == 0 {
		return e.Err.Error()
	}
	return e.Err.Error() + ": " + e.Causes[0]
}

// Unwrap is Err.
func (e *NotReady) Unwrap() error { return e.Err }

// Connect reaches the cluster that the kubeconfig's current context names. ctx
// bounds the attempt, not the life of the Cluster. The error is what
// "configured Kubernetes cluster is unreachable" goes on with.
type Connect func(ctx context.Context, kubeconfig string) (Cluster, error)

// Cluster is a reachable cluster. Its methods may be called concurrently and
// stop when ctx ends.
type Cluster interface {
	// Scope asks the API server about a kind.
	Scope(ctx context.Context, kind Kind) (Scope, error)

	// Normalize gives o the form its built-in type has in the API (quantities,
	// a Secret's stringData in base64), drops fields that type lacks and adds
	// none. What cannot be decoded comes back as it is.
	Normalize(o Object) Object

	// Create makes an object and waits until it is ready. One that is there is
	// left alone and an error. Kinds and namespaces that do not exist yet are
	// waited for, for a minute. The error is a *NotReady if the object was written.
	Create(ctx context.Context, w Write) (Object, error)

	// Update applies w to the object that live was the last known state of and
	// waits until it is ready. The error is a *NotReady if the object was
	// written.
	Update(ctx context.Context, w Write, live Object) (Object, error)

	// Get reads the object of o's kind, namespace and name as it is.
	Get(ctx context.Context, o Object) (Object, error)

	// Read is Get with a look at readiness: the error is a *NotReady if the
	// object is not what a Create or Update would have waited for.
	Read(ctx context.Context, o Object) (Object, error)

	// Delete deletes the object that live is the last known state of and waits
	// until it is gone. inputs carry the annotations that govern it. An object
	// or kind that does not exist is deleted already. The error is a *NotReady
	// if it is not gone in time.
	Delete(ctx context.Context, inputs, live Object, timeout time.Duration) error

	// ChartVersion is the exact version of the chart that r names.
	ChartVersion(ctx context.Context, r Release) (string, error)

	// Install installs a release. The error is a *NotReady if Helm recorded it.
	Install(ctx context.Context, r Release) (Deployed, error)

	// Upgrade upgrades the release r.Namespace/r.Name. The error is a *NotReady
	// if Helm recorded the attempt.
	Upgrade(ctx context.Context, r Release) (Deployed, error)

	// Deployed reads a release's newest revision.
	Deployed(ctx context.Context, namespace, name string) (Deployed, error)

	// Uninstall removes a release; info is what Helm wants the user to know,
	// such as objects it kept.
	Uninstall(ctx context.Context, r Release) (info string, err error)
}

// Write is an object on its way to the API server.
type Write struct {
	Object Object
	// FieldManager owns the fields of an Update.
	FieldManager string
	// Timeout bounds the wait; 0 is pulumi-kubernetes' default.
	Timeout time.Duration
	// DryRun asks the API server for the result without writing it; nothing is
	// waited for.
	DryRun bool
	// IgnoreChanges are property paths that keep their live value on an Update.
	IgnoreChanges []string
}
