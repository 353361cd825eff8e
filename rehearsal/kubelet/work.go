package kubelet

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

// How many requests are under way at once. Renewals have workers and a connection
// of their own: they must not wait behind a thousand pods.
const (
	podWorkers   = 24
	nodeWorkers  = 8
	leaseWorkers = 128
)

// byNode is the index of pods by the node they are bound to.
const byNode = "node"

func (k *Kubelet) connect() error {
	// Thousands of pods are watched, and every answer to a patch is a whole one: in
	// JSON they would cost the API server and this process several times the CPU.
	admin := rest.CopyConfig(k.cfg.RESTConfig)
	admin.ContentType = runtime.ContentTypeProtobuf
	admin.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	var err error
	if k.admin, err = kubernetes.NewForConfig(admin); err != nil {
		return err
	}
	if k.nodeClient, err = kubernetes.NewForConfig(nodeConfig(admin)); err != nil {
		return err
	}
	k.leaseClient, err = coordinationv1.NewForConfig(nodeConfig(admin))
	return err
}

// watch starts to follow nodes and bound pods and waits until it knows them all.
func (k *Kubelet) watch() error {
	broadcaster := record.NewBroadcaster(record.WithContext(k.ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: k.admin.CoreV1().Events("")})
	k.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet"})

	k.podQueue = workqueue.NewTypedRateLimitingQueue(retry[podKey]())
	k.nodeQueue = workqueue.NewTypedRateLimitingQueue(retry[string]())
	k.leaseQueue = workqueue.NewTypedRateLimitingQueue(retry[string]())

	// Who changed which field is most of an object's size and of no use here.
	slim := func(object any) (any, error) {
		if m, ok := object.(metav1.Object); ok {
			m.SetManagedFields(nil)
		}
		return object, nil
	}
	bound := informers.NewSharedInformerFactoryWithOptions(k.admin, 0, informers.WithTransform(slim),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
		}))
	pods := bound.Core().V1().Pods()
	k.pods, k.podIndex = pods.Lister(), pods.Informer().GetIndexer()
	err := pods.Informer().AddIndexers(cache.Indexers{byNode: func(object any) ([]string, error) {
		if p, ok := object.(*corev1.Pod); ok {
			return []string{p.Spec.NodeName}, nil
		}
		return nil, nil
	}})
	if err != nil {
		return err
	}
	if _, err := pods.Informer().AddEventHandler(handler(func(p *corev1.Pod) { k.podQueue.Add(keyOf(p)) })); err != nil {
		return err
	}
	all := informers.NewSharedInformerFactoryWithOptions(k.admin, 0, informers.WithTransform(slim))
	nodes := all.Core().V1().Nodes()
	k.nodes = nodes.Lister()
	if _, err := nodes.Informer().AddEventHandler(handler(func(object *corev1.Node) {
		n := k.nodeNamed(object.Name)
		if n == nil {
			return
		}
		// Somebody took a node of ours for lost, or a status was mended that was not the
		// newest, because this one had not come yet: say what is so.
		if !isReady(object) || !n.advertises(object.Status.Allocatable) {
			k.nodeQueue.Add(object.Name)
		}
		if inService(object) {
			k.joining.end(n)
		}
	})); err != nil {
		return err
	}
	for _, factory := range []informers.SharedInformerFactory{bound, all} {
		factory.Start(k.ctx.Done())
		for kind, synced := range factory.WaitForCacheSync(k.ctx.Done()) {
			if !synced {
				return fmt.Errorf("%v: %w", kind, context.Cause(k.ctx))
			}
		}
	}
	return nil
}

// retry is how fast failed work is tried again: 100 ms, doubling up to 10 s.
func retry[T comparable]() workqueue.TypedRateLimiter[T] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[T](100*time.Millisecond, 10*time.Second)
}

// handler calls f for each object that is there, has changed or is gone.
func handler[T any](f func(T)) cache.ResourceEventHandlerFuncs {
	call := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if t, ok := object.(T); ok {
			f(t)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    call,
		UpdateFunc: func(_, now any) { call(now) },
		DeleteFunc: call,
	}
}

// work starts the workers.
func (k *Kubelet) work() {
	serve(k, podWorkers, k.podQueue, func(key podKey) (time.Duration, error) {
		return k.syncPod(k.ctx, key)
	})
	serve(k, nodeWorkers, k.nodeQueue, func(name string) (time.Duration, error) {
		if n := k.nodeNamed(name); n != nil && !n.isDead() {
			return n.sync(n.ctx)
		}
		return 0, nil
	})
	serve(k, leaseWorkers, k.leaseQueue, func(name string) (time.Duration, error) {
		if n := k.nodeNamed(name); n != nil && !n.isDead() {
			return n.renew(n.ctx)
		}
		return 0, nil
	})
	context.AfterFunc(k.ctx, func() {
		k.podQueue.ShutDown()
		k.nodeQueue.ShutDown()
		k.leaseQueue.ShutDown()
	})
}

// serve handles the keys of a queue. do says when the key is due again, 0 for
// never; after an error it is tried again.
func serve[T comparable](k *Kubelet, workers int, queue workqueue.TypedRateLimitingInterface[T], do func(T) (time.Duration, error)) {
	for range workers {
		k.running.Go(func() {
			for {
				key, shutdown := queue.Get()
				if shutdown {
					return
				}
				again, err := do(key)
				switch {
				case err != nil:
					if k.ctx.Err() == nil {
						k.cfg.Log.Warn("the simulated nodes will try again", "about", fmt.Sprint(key), "error", err)
					}
					queue.AddRateLimited(key)
				case again > 0:
					queue.Forget(key)
					queue.AddAfter(key, again)
				default:
					queue.Forget(key)
				}
				queue.Done(key)
			}
		})
	}
}
