package world

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// watchSettled watches the pods outside of kube-system until ctx ends, and sends each
// time that the last one which was not settled is. It spares whoever waits for that
// from looking often, which costs much with many pods, or seldom, which costs time.
func watchSettled(ctx context.Context, client kubernetes.Interface) (<-chan struct{}, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = "metadata.namespace!=" + metav1.NamespaceSystem
		}),
		informers.WithTransform(func(object any) (any, error) {
			if p, ok := object.(*corev1.Pod); ok {
				p.ManagedFields, p.Spec = nil, corev1.PodSpec{} // of no use here
			}
			return object, nil
		}))
	pods := factory.Core().V1().Pods().Informer()
	open := map[types.UID]bool{}
	all := make(chan struct{}, 1)
	note := func(uid types.UID, isOpen bool) {
		if isOpen {
			open[uid] = true
			return
		}
		had := len(open) > 0
		delete(open, uid)
		if had && len(open) == 0 {
			select {
			case all <- struct{}{}:
			default:
			}
		}
	}
	// A handler is called by one goroutine.
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			if p, ok := object.(*corev1.Pod); ok {
				note(p.UID, !settled(p))
			}
		},
		UpdateFunc: func(_, object any) {
			if p, ok := object.(*corev1.Pod); ok {
				note(p.UID, !settled(p))
			}
		},
		DeleteFunc: func(object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			if p, ok := object.(*corev1.Pod); ok {
				note(p.UID, false)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced) {
		return nil, fmt.Errorf("watching pods: %w", context.Cause(ctx))
	}
	return all, nil
}
