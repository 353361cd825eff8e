package world

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"eks-gpu-slicing/rehearsal/workload"
)

// fieldManager is who applies workloads.
const fieldManager = "rehearse"

// Apply applies workloads by server-side apply, in their order.
func (w *World) Apply(ctx context.Context, objects []workload.Object) error {
	for _, o := range objects {
		resource, err := w.resource(o)
		if err != nil {
			return fmt.Errorf("%v: %w", o, err)
		}
		if _, err := resource.Apply(ctx, o.GetName(), o.Unstructured, metav1.ApplyOptions{FieldManager: fieldManager}); err != nil {
			return fmt.Errorf("%v: %w", o, err)
		}
	}
	return nil
}

// DeleteWorkloads deletes applied workloads, the last first, and waits until they
// and what they own are gone. Those that are gone already are no error.
func (w *World) DeleteWorkloads(ctx context.Context, objects []workload.Object) error {
	foreground := metav1.DeletePropagationForeground
	for _, o := range slices.Backward(objects) {
		resource, err := w.resource(o)
		if err != nil {
			return fmt.Errorf("%v: %w", o, err)
		}
		if err := resource.Delete(ctx, o.GetName(), metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("%v: %w", o, err)
		}
	}
	for _, o := range objects {
		resource, err := w.resource(o)
		if err != nil {
			return fmt.Errorf("%v: %w", o, err)
		}
		for {
			_, err := resource.Get(ctx, o.GetName(), metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				break
			}
			if err != nil {
				return fmt.Errorf("%v: %w", o, err)
			}
			if err := sleep(ctx); err != nil {
				return fmt.Errorf("%v is not gone: %w", o, err)
			}
		}
	}
	return nil
}

// DeleteNodeClaims has Karpenter take the nodes of a pool down; it does not wait for
// that.
func (w *World) DeleteNodeClaims(ctx context.Context, pool string) error {
	client, err := dynamic.NewForConfig(w.RESTConfig())
	if err != nil {
		return err
	}
	err = client.Resource(nodeClaims).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "karpenter.sh/nodepool=" + pool})
	if err != nil {
		return fmt.Errorf("deleting the NodeClaims of pool %s: %w", pool, err)
	}
	return nil
}

// poll is how often the cluster is asked for what is waited for.
const poll = 200 * time.Millisecond

// sleep waits for the time of a poll.
func sleep(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(poll):
		return nil
	}
}

// resource is where an object is written.
func (w *World) resource(o workload.Object) (dynamic.ResourceInterface, error) {
	config := w.RESTConfig()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	kind := o.GroupVersionKind()
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return client.Resource(mapping.Resource), nil
	}
	namespace := o.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return client.Resource(mapping.Resource).Namespace(namespace), nil
}
