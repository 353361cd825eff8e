package world

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"eks-gpu-slicing/rehearsal/account"
)

// addons is EKS's add-on manager for a cluster: an [account.AddonSoftware]. It
// installs what takes room on nodes or stands in the way of a drain; roles, Services
// and ConfigMaps would serve containers that do not run.
type addons struct {
	region string
	// access is an administrator's, given once the cluster is there.
	access func() *rest.Config
	// patience is how long the pods of a Deployment may take to run.
	patience time.Duration
}

// addonPatience is long for pods that find a node. EKS does not give up, and who made
// the add-on waits 20 minutes for it.
const addonPatience = time.Minute

// addonManager is EKS's field manager, which its add-ons' objects show.
const addonManager = "eks"

// Install implements [account.AddonSoftware]. It takes over fields that others have
// set, which is what the mode OVERWRITE does. As with EKS, an add-on works once the
// pods of its Deployment do; of a DaemonSet there are as many as there are nodes,
// which may be none.
func (a *addons) Install(d account.Addon) ([]account.AddonIssue, error) {
	s, err := softwareOf(d, a.region)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.patience)
	defer cancel()
	objects, err := s.objects()
	if err == nil {
		err = a.apply(ctx, objects)
	}
	if err != nil {
		return []account.AddonIssue{{Code: "InternalFailure", Message: err.Error()}}, nil
	}
	if s.deployment == nil {
		return nil, nil
	}
	why, err := a.lacking(ctx, s.deployment.Name)
	switch {
	case err != nil:
		return []account.AddonIssue{{Code: "ClusterUnreachable", Message: err.Error()}}, nil
	case why != "":
		return []account.AddonIssue{{
			Code:    "InsufficientNumberOfReplicas",
			Message: "The add-on is unhealthy because it doesn't have the desired number of replicas. " + why,
		}}, nil
	}
	return nil, nil
}

// Uninstall implements [account.AddonSoftware]. The pods follow.
func (a *addons) Uninstall(d account.Addon) error {
	s, err := softwareOf(d, a.region)
	if err != nil {
		return err
	}
	objects, err := s.objects()
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(a.access())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.patience)
	defer cancel()
	background := metav1.DeletePropagationBackground
	for _, o := range slices.Backward(objects) {
		err := client.Resource(o.resource).Namespace(metav1.NamespaceSystem).Delete(ctx, o.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("uninstalling add-on %s: deleting %s: %w", d.Name, o, err)
		}
	}
	return nil
}

func (a *addons) apply(ctx context.Context, objects []addonObject) error {
	client, err := dynamic.NewForConfig(a.access())
	if err != nil {
		return err
	}
	for _, o := range objects {
		_, err := client.Resource(o.resource).Namespace(metav1.NamespaceSystem).Apply(ctx, o.GetName(), o.Unstructured,
			metav1.ApplyOptions{FieldManager: addonManager, Force: true})
		if err != nil {
			return fmt.Errorf("applying %s: %w", o, err)
		}
	}
	return nil
}

// lacking waits for the pods of a Deployment of kube-system and says, when ctx ends,
// why it does not have them all; "" where it has.
func (a *addons) lacking(ctx context.Context, name string) (string, error) {
	client, err := kubernetes.NewForConfig(a.access())
	if err != nil {
		return "", err
	}
	for {
		d, err := client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
		if err == nil && available(d) {
			return "", nil
		}
		if errWait := sleep(ctx); errWait == nil && err == nil {
			continue
		}
		if err != nil && ctx.Err() == nil {
			return "", err
		}
		// Time is over: one last look without it.
		return shortOf(context.WithoutCancel(ctx), client, name)
	}
}

func available(d *appsv1.Deployment) bool {
	want := *d.Spec.Replicas
	return d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas >= want && d.Status.AvailableReplicas >= want
}

// shortOf says how many pods a Deployment has, and why one of them has no node.
func shortOf(ctx context.Context, client kubernetes.Interface, name string) (string, error) {
	d, err := client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	why := fmt.Sprintf("Deployment %s has %d of %d", name, d.Status.AvailableReplicas, *d.Spec.Replicas)
	pods, err := client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector)})
	if err != nil {
		return "", err
	}
	for i := range pods.Items {
		if c := condition(&pods.Items[i], corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse {
			return fmt.Sprintf("%s; pod %s: %s", why, pods.Items[i].Name, c.Message), nil
		}
	}
	return why, nil
}

// addonObject is one object of an add-on's software.
type addonObject struct {
	*unstructured.Unstructured
	resource schema.GroupVersionResource
}

func (o addonObject) String() string { return o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName() }

// objects are the software's objects in the order of their making.
func (s *software) objects() ([]addonObject, error) {
	var out []addonObject
	for _, o := range []struct {
		there          bool
		version        schema.GroupVersion
		kind, resource string
		object         any
	}{
		{s.serviceAccount != nil, corev1.SchemeGroupVersion, "ServiceAccount", "serviceaccounts", s.serviceAccount},
		{s.daemonSet != nil, appsv1.SchemeGroupVersion, "DaemonSet", "daemonsets", s.daemonSet},
		{s.deployment != nil, appsv1.SchemeGroupVersion, "Deployment", "deployments", s.deployment},
		{s.budget != nil, policyv1.SchemeGroupVersion, "PodDisruptionBudget", "poddisruptionbudgets", s.budget},
	} {
		if !o.there {
			continue
		}
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.object)
		if err != nil {
			return nil, fmt.Errorf("%s of an add-on: %w", o.kind, err)
		}
		delete(fields, "status")
		u := &unstructured.Unstructured{Object: fields}
		u.SetGroupVersionKind(o.version.WithKind(o.kind))
		out = append(out, addonObject{u, o.version.WithResource(o.resource)})
	}
	return out, nil
}
