package planning

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider/kubernetes"
	"eks-gpu-slicing/rehearsal/toolcache"
)

// standing is the cluster that stands in an account's world, as far as a preview looks
// at it: it gives the objects of the cluster's own Karpenter, and takes for granted
// what would be applied. There is no API server, so nothing can be changed.
type standing struct {
	objects map[string]kubernetes.Object // by kind and ID
}

var errPreview = errors.New("a preview changes nothing; `rehearse run` starts a Kubernetes API server and applies the stack to it")

// connect reaches the cluster that stands, whatever the kubeconfig says: there is no
// other.
func connect(s *account.Standing) kubernetes.Connect {
	if s == nil {
		return nil
	}
	c := standing{objects: map[string]kubernetes.Object{}}
	if k := s.Karpenter; k != nil {
		c.add(deployment(k))
		if k.Release == "" { // the others are too old for it
			c.add(kubernetes.Object{
				"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": kubernetes.Object{"name": "nodeoverlays.karpenter.sh"},
			})
		}
		for _, o := range k.Objects {
			c.add(o)
		}
	}
	return func(context.Context, string) (kubernetes.Cluster, error) { return c, nil }
}

// deployment is the controller's as Karpenter's chart makes it, in what a program may
// look at (charts/karpenter/templates/deployment.yaml).
func deployment(k *account.StandingKarpenter) kubernetes.Object {
	type object = kubernetes.Object
	release := cmp.Or(k.Release, toolcache.KarpenterVersion)
	labels := object{
		"app.kubernetes.io/name": "karpenter", "app.kubernetes.io/instance": "karpenter", "app.kubernetes.io/version": release,
		"app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "karpenter-" + release,
	}
	gates := fmt.Sprintf("ReservedCapacity=true,SpotToSpotConsolidation=false,NodeRepair=false,NodeOverlay=%v,StaticCapacity=false,CapacityBuffer=false", k.Overlays)
	return object{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": object{"name": "karpenter", "namespace": "kube-system", "labels": labels},
		"spec": object{"replicas": 2, "template": object{"spec": object{
			"serviceAccountName": "karpenter",
			"containers": []any{object{
				"name": "controller", "image": "public.ecr.aws/karpenter/controller:" + release,
				"env": []any{
					object{"name": "CLUSTER_NAME", "value": account.StandingCluster},
					object{"name": "INTERRUPTION_QUEUE", "value": k.Queue},
					object{"name": "FEATURE_GATES", "value": gates},
				},
			}},
		}}},
	}
}

func key(o kubernetes.Object) string {
	metadata, _ := o["metadata"].(kubernetes.Object)
	return fmt.Sprint(kubernetes.KindOf(o), " ", metadata["namespace"], "/", metadata["name"])
}

func (c standing) add(o kubernetes.Object) { c.objects[key(o)] = o }

// Scope implements kubernetes.Cluster. Karpenter's kinds are there where a Karpenter is.
func (c standing) Scope(_ context.Context, k kubernetes.Kind) (kubernetes.Scope, error) {
	switch k.Group {
	case "karpenter.sh", "karpenter.k8s.aws":
		if len(c.objects) == 0 {
			return kubernetes.ScopeUnknown, nil
		}
		return kubernetes.ScopeCluster, nil
	case "apiextensions.k8s.io":
		return kubernetes.ScopeCluster, nil
	}
	return kubernetes.ScopeNamespaced, nil
}

// Normalize implements kubernetes.Cluster.
func (standing) Normalize(o kubernetes.Object) kubernetes.Object { return o }

// Create implements kubernetes.Cluster, for previews.
func (standing) Create(_ context.Context, w kubernetes.Write) (kubernetes.Object, error) {
	if !w.DryRun {
		return nil, errPreview
	}
	return maps.Clone(w.Object), nil
}

// Update implements kubernetes.Cluster, for previews.
func (c standing) Update(ctx context.Context, w kubernetes.Write, _ kubernetes.Object) (kubernetes.Object, error) {
	return c.Create(ctx, w)
}

// Get implements kubernetes.Cluster.
func (c standing) Get(_ context.Context, o kubernetes.Object) (kubernetes.Object, error) {
	if found, ok := c.objects[key(o)]; ok {
		return found, nil
	}
	return nil, kubernetes.ErrNotFound
}

// Read implements kubernetes.Cluster.
func (c standing) Read(ctx context.Context, o kubernetes.Object) (kubernetes.Object, error) {
	return c.Get(ctx, o)
}

// Delete implements kubernetes.Cluster.
func (standing) Delete(context.Context, kubernetes.Object, kubernetes.Object, time.Duration) error {
	return errPreview
}

// ChartVersion implements kubernetes.Cluster.
func (standing) ChartVersion(_ context.Context, r kubernetes.Release) (string, error) {
	return r.Version, nil
}

// Install implements kubernetes.Cluster.
func (standing) Install(context.Context, kubernetes.Release) (kubernetes.Deployed, error) {
	return kubernetes.Deployed{}, errPreview
}

// Upgrade implements kubernetes.Cluster.
func (standing) Upgrade(context.Context, kubernetes.Release) (kubernetes.Deployed, error) {
	return kubernetes.Deployed{}, errPreview
}

// Deployed implements kubernetes.Cluster.
func (standing) Deployed(context.Context, string, string) (kubernetes.Deployed, error) {
	return kubernetes.Deployed{}, kubernetes.ErrNotFound
}

// Uninstall implements kubernetes.Cluster.
func (standing) Uninstall(context.Context, kubernetes.Release) (string, error) {
	return "", errPreview
}
