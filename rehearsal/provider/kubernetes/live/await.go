package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

// await waits until the object that was written is ready; with a nil condition
// it is. The error is a *kubernetes.NotReady (await.go, Creation and Update).
func (c *cluster) await(
	ctx context.Context, client dynamic.ResourceInterface, ready condition, written *unstructured.Unstructured, limit time.Duration,
) (*unstructured.Unstructured, error) {
	if ready == nil {
		return written, nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	last, instead := written, ""
	_, err := watchtools.UntilWithSync(ctx, one(client, written.GetName()), &unstructured.Unstructured{}, nil,
		func(e watch.Event) (bool, error) {
			o, ok := e.Object.(*unstructured.Unstructured)
			if !ok || o.GetGeneration() < written.GetGeneration() {
				return false, nil // older than what was written
			}
			if e.Type == watch.Deleted {
				return false, errDeleted
			}
			last = o
			met, now, err := ready(o)
			if now != "" {
				instead = now
			}
			return met, err
		})
	if err == nil {
		return last, nil
	}
	late := &kubernetes.NotReady{Err: c.waitError(ctx, err)}
	if instead != "" {
		late.Causes = append(late.Causes, instead)
	}
	late.Causes = append(late.Causes, c.causes(ctx, last)...)
	return last, late
}

// promised is what an object lets one wait for: what its annotations say, or
// else what its kind wants; nil is nothing.
func promised(inputs *unstructured.Unstructured) (condition, error) {
	if isTrue(inputs, annotationSkipAwait) {
		return nil, nil
	}
	conditions, err := waitFor(inputs)
	if err != nil {
		return nil, err
	}
	if len(conditions) > 0 {
		return all(conditions), nil
	}
	return readiness(inputs)
}

// waitError says why a wait ended: its time was up, somebody cancelled it, or
// its condition gave up.
func (c *cluster) waitError(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return err
	case errors.Is(cause, context.DeadlineExceeded):
		return wait.ErrorInterrupted(nil) // "timed out waiting for the condition"
	default:
		return fmt.Errorf("cancelled while waiting: %w", cause)
	}
}

// one lists and watches a single object.
func one(client dynamic.ResourceInterface, name string) *cache.ListWatch {
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return client.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			return client.Watch(ctx, o)
		},
	}
}
