// Package live is the kubernetes stand-in's [kubernetes.Cluster] on a real API
// server: objects through client-go's dynamic client, which creates them and applies
// updates server-side, releases through the Helm library.
//
// It waits as pulumi-kubernetes does: for the kinds of awaiters, for
// the conditions of the annotation pulumi.com/waitFor, and on delete until the
// object is gone. Comments name the file there a rule is from.
//
// Gotchas:
//
//   - Custom resources, CustomResourceDefinitions and Namespaces are ready as
//     soon as they are written, unless pulumi.com/waitFor says otherwise. What
//     needs a definition that is not served yet is retried for a minute.
//   - A create is by the field manager "pulumi-kubernetes", an update by one of
//     the resource's own, which takes the create's fields first. In between the
//     state names a manager that the object does not have.
//   - Field conflicts of an update are errors: only pulumi.com/patchForce and
//     fields last written by kubectl are forced.
//   - JSONPath expressions of pulumi.com/waitFor are those of kubectl, which the
//     real provider accepts too; what only RFC 9535 has is refused.
//   - A foreground deletion ends only when the garbage collector has looked at
//     the object, and it learns of a new kind within half a minute: the delete of
//     a custom resource younger than that takes as long.
//   - An API server whose address is not loopback is refused, whatever the
//     kubeconfig says.
package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"helm.sh/helm/v3/pkg/chart"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

// Charts gives the chart that a release names: name is a chart's name, a path
// or an oci:// reference, repo its repository's URL or "", version an exact
// one, a range or "" for the newest. The chart is the caller's to change.
type Charts func(ctx context.Context, repo, name, version string) (*chart.Chart, error)

// Connector returns what gives the stand-in its clusters, with the charts of
// their releases. It reaches loopback addresses only.
func Connector(charts Charts) kubernetes.Connect {
	return func(ctx context.Context, kubeconfig string) (kubernetes.Cluster, error) {
		c, err := connect(ctx, kubeconfig, charts)
		if err != nil {
			return nil, err // and no *cluster that is nil: to the caller that would be one
		}
		return c, nil
	}
}

type cluster struct {
	charts  Charts
	config  *rest.Config
	dynamic dynamic.Interface
	mapper  meta.ResettableRESTMapper
}

// connect makes the clients and has the API server list its APIs, which
// proves that it answers and accepts the credentials (provider.go, Configure).
func connect(ctx context.Context, kubeconfig string, charts Charts) (*cluster, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(kubeconfig))
	if err != nil {
		return nil, fmt.Errorf("unable to load Kubernetes client configuration from kubeconfig file: %w", err)
	}
	config.QPS = -1 // the API server is on this machine, and queues fairly itself
	config.UserAgent = "pulumi-kubernetes/" + kubernetes.Version
	config.WarningHandler = rest.NoWarnings{}
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } // none
	config.Dial = dialLoopback

	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("failed to initialize discovery client: %w", err)
	}
	if err := disco.RESTClient().Get().AbsPath("/apis").Do(ctx).Error(); err != nil {
		return nil, fmt.Errorf("unable to load schema information from the API server: %w", err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("failed to initialize dynamic client: %w", err)
	}
	return &cluster{
		charts: charts, config: config, dynamic: client,
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco)),
	}, nil
}

func dialLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("refusing to reach %s: a rehearsal talks to this machine only, "+
			"and the kubeconfig names an API server elsewhere", address)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// mapping finds how the API server serves a kind. Definitions may have come
// since it was last asked, so an unknown kind is asked for again.
func (c *cluster) mapping(k kubernetes.Kind) (*meta.RESTMapping, error) {
	gk := schema.GroupKind{Group: k.Group, Kind: k.Kind}
	m, err := c.mapper.RESTMapping(gk, k.Version)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		m, err = c.mapper.RESTMapping(gk, k.Version)
	}
	return m, err
}

// client gives access to the objects of o's kind in its namespace.
func (c *cluster) client(o kubernetes.Object) (dynamic.ResourceInterface, error) {
	m, err := c.mapping(kubernetes.KindOf(o))
	if err != nil {
		return nil, err
	}
	if m.Scope.Name() != meta.RESTScopeNameNamespace {
		return c.dynamic.Resource(m.Resource), nil
	}
	namespace := unstructuredOf(o).GetNamespace()
	if namespace == "" {
		namespace = "default"
	}
	return c.dynamic.Resource(m.Resource).Namespace(namespace), nil
}

// Scope implements kubernetes.Cluster.
func (c *cluster) Scope(_ context.Context, k kubernetes.Kind) (kubernetes.Scope, error) {
	m, err := c.mapping(k)
	switch {
	case meta.IsNoMatchError(err):
		return kubernetes.ScopeUnknown, nil
	case err != nil:
		return kubernetes.ScopeUnknown, err
	case m.Scope.Name() == meta.RESTScopeNameNamespace:
		return kubernetes.ScopeNamespaced, nil
	}
	return kubernetes.ScopeCluster, nil
}

func unstructuredOf(o kubernetes.Object) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: o}
}

// classified is an error of client-go as the error of package kubernetes that
// it amounts to, in client-go's words.
type classified struct {
	error
	as error
}

// Is makes errors.Is find what the error amounts to.
func (e classified) Is(target error) bool { return target == e.as }

// Unwrap is client-go's error.
func (e classified) Unwrap() error { return e.error }

func classify(err error) error {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case meta.IsNoMatchError(err):
		return classified{err, kubernetes.ErrNoKind}
	case apierrors.IsNotFound(err):
		if errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "namespaces" {
			return classified{err, kubernetes.ErrNoNamespace}
		}
		return classified{err, kubernetes.ErrNotFound}
	case apierrors.IsForbidden(err):
		return classified{err, kubernetes.ErrForbidden}
	case apierrors.IsAlreadyExists(err):
		return classified{err, kubernetes.ErrExists}
	}
	return err
}
