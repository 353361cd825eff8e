package controlplane

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
)

// followKinds starts the garbage collector anew whenever there are new kinds, until
// ctx ends. It knows the kinds that are there when it starts, and looks for others
// every thirty seconds only (cmd/kube-controller-manager/app/core.go): a cluster that
// lives for half a minute would spend most of that waiting for the foreground
// deletion of custom resources, which the collector does.
func (cp *ControlPlane) followKinds(ctx context.Context) error {
	client, err := metadata.NewForConfig(cp.RESTConfig())
	if err != nil {
		return err
	}
	anew := make(chan struct{}, 1)
	informer := metadatainformer.NewSharedInformerFactory(client, 0).
		ForResource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}).Informer()
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) {
		select {
		case anew <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		return err
	}
	go informer.RunWithContext(ctx)
	go func() {
		// Kinds come in groups, and are served a moment after they are there.
		const settle = time.Second
		var due <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case <-anew:
				due = time.After(settle)
			case <-due:
				due = nil
				if err := cp.restartCollector(); err != nil {
					cp.cfg.Log.WarnContext(ctx, "the garbage collector does not know the new kinds yet", "error", err)
				}
			}
		}
	}()
	return nil
}

// restartCollector replaces the garbage collector's process.
func (cp *ControlPlane) restartCollector() error {
	cp.mu.Lock()
	defer cp.mu.Unlock() // Stop waits: it finds the new process, or stops the old one
	if cp.stopping || cp.err != nil {
		return nil
	}
	if old := cp.components[collector]; old != nil { // nil: it could not be started the last time
		delete(cp.components, collector) // so that its end is no failure
		if err := old.Stop(5 * time.Second); err != nil {
			// On a busy machine it takes longer. It keeps nothing, so its kill does no harm.
			cp.cfg.Log.Info(err.Error())
		}
	}
	if err := cp.run(collector); err != nil {
		return fmt.Errorf("starting the garbage collector again: %w", err)
	}
	go cp.watch(cp.components[collector])
	return nil
}
