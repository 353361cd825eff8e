package live

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

// Delete implements kubernetes.Cluster (await.go, Deletion). Dependents go
// first, unless pulumi.com/deletionPropagationPolicy says otherwise.
func (c *cluster) Delete(ctx context.Context, inputs, last kubernetes.Object, limit time.Duration) error {
	in, object := unstructuredOf(inputs), unstructuredOf(last)
	client, err := c.client(last)
	if meta.IsNoMatchError(err) {
		return nil // its definition is gone, and it with that
	}
	if err != nil {
		return err
	}
	policy := propagation(in)
	err = client.Delete(ctx, object.GetName(), metav1.DeleteOptions{PropagationPolicy: &policy})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting %s: %w", describe(object.GetKind(), object.GetNamespace(), object.GetName(), nil), err)
	}
	if isTrue(in, annotationSkipAwait) && maySkipDeletion(object) {
		return nil
	}

	limit = timeout(limit, in)
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	gone := func(s cache.Store) (bool, error) { return len(s.List()) == 0, nil }
	_, err = watchtools.UntilWithSync(waiting, one(client, object.GetName()), &unstructured.Unstructured{}, gone,
		func(e watch.Event) (bool, error) {
			if o, ok := e.Object.(*unstructured.Unstructured); ok && o.GetUID() != "" {
				object = o
			}
			return e.Type == watch.Deleted, nil
		})
	if err == nil {
		return nil
	}
	late := &kubernetes.NotReady{Err: c.waitError(waiting, err)}
	if f := object.GetFinalizers(); len(f) > 0 {
		late.Causes = []string{"finalizers might be preventing deletion (" + strings.Join(f, ", ") + ")"}
	}
	return late
}

// maySkipDeletion lists the kinds whose skipAwait also skips the wait for
// their end (metadata/overrides.go, allowsSkipAwaitWithDelete).
func maySkipDeletion(o *unstructured.Unstructured) bool {
	switch o.GetAPIVersion() + "/" + o.GetKind() {
	case "v1/Namespace", "v1/Pod", "v1/ReplicationController", "apps/v1/DaemonSet", "apps/v1/Deployment",
		"apps/v1/StatefulSet", "batch/v1/Job":
		return true
	}
	return false
}
