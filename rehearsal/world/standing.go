package world

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider/kubernetes"
	"eks-gpu-slicing/rehearsal/provider/kubernetes/live"
	"eks-gpu-slicing/rehearsal/workload"
)

// standTime is how long the Karpenter of a cluster that stands may take to work.
const standTime = 2 * time.Minute

// stand makes the cluster that stands in the account's kind of world, runs its node
// groups and its Karpenter, and notes how all of it is found: see [World.Difference].
func (w *World) stand(ctx context.Context) error {
	standing, err := w.account.Stand()
	if err != nil || standing == nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, standTime, fmt.Errorf("it was given %v", standTime))
	defer cancel()
	if k := standing.Karpenter; k != nil {
		if err := w.standKarpenter(ctx, standing.Cluster, k); err != nil {
			return fmt.Errorf("the Karpenter of cluster %s: %w", standing.Cluster, err)
		}
		if err := w.account.Settled(); err != nil {
			return err
		}
	}
	w.found, err = w.still(ctx)
	return err
}

// standKarpenter installs a Karpenter by its charts, as its getting-started guide
// does, and what it is to manage.
func (w *World) standKarpenter(ctx context.Context, cluster string, k *account.StandingKarpenter) error {
	if k.Release != "" {
		return fmt.Errorf("there is no Karpenter %s to run; this world is for `rehearse preview`", k.Release)
	}
	kubeconfig, err := os.ReadFile(w.Kubeconfig())
	if err != nil {
		return err
	}
	helm, err := live.Connector(charts(w.options.Karpenter))(ctx, string(kubeconfig))
	if err != nil {
		return err
	}
	for _, name := range []string{"karpenter-crd", "karpenter"} {
		release := kubernetes.Release{
			Name: name, Namespace: metav1.NamespaceSystem, Chart: chartRegistry + name, Version: w.options.Karpenter[0].Version,
			SkipCrds: true, Values: map[string]any{},
		}
		if name == "karpenter" {
			release.Values["settings"] = map[string]any{
				"clusterName": cluster, "interruptionQueue": k.Queue, "eksControlPlane": true,
				"featureGates": map[string]any{"nodeOverlay": k.Overlays},
			}
		}
		if _, err := helm.Install(ctx, release); err != nil {
			return fmt.Errorf("chart %s: %w", name, err)
		}
	}
	var objects []workload.Object
	for _, o := range k.Objects {
		objects = append(objects, workload.Object{File: "the cluster's own", Unstructured: &unstructured.Unstructured{Object: o}})
	}
	if err := w.Apply(ctx, objects); err != nil {
		return err
	}
	for _, o := range objects {
		if err := w.awaitReady(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// awaitReady waits for the condition Ready of an object.
func (w *World) awaitReady(ctx context.Context, o workload.Object) error {
	client, err := w.resource(o)
	if err != nil {
		return fmt.Errorf("%v: %w", o, err)
	}
	for {
		now, err := client.Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("%v: %w", o, err)
		}
		conditions, _, _ := unstructured.NestedSlice(now.Object, "status", "conditions")
		if slices.ContainsFunc(conditions, func(c any) bool {
			condition, _ := c.(map[string]any)
			return condition["type"] == "Ready" && condition["status"] == string(metav1.ConditionTrue)
		}) {
			return nil
		}
		if err := sleep(ctx); err != nil {
			return fmt.Errorf("%v is not Ready, its conditions are %v: %w", o, conditions, err)
		}
	}
}
