package session

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/workload"
)

// served parts the objects that the cluster serves from those that it does not, or that
// nothing in it acts on.
func (s *Session) served(objects []workload.Object) (served []workload.Object, left []report.LeftOut, err error) {
	client, err := discovery.NewDiscoveryClientForConfig(s.World.RESTConfig())
	if err != nil {
		return nil, nil, err
	}
	groups, err := restmapper.GetAPIGroupResources(client)
	if err != nil {
		return nil, nil, fmt.Errorf("asking for the kinds that the cluster serves: %w", err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	for _, o := range objects {
		kind := o.GroupVersionKind()
		_, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		reason := idle(o.Unstructured)
		switch {
		case meta.IsNoMatchError(err):
			reason = unserved(o.Unstructured)
		case err != nil:
			return nil, nil, fmt.Errorf("%v: %w", o, err)
		}
		if reason == "" {
			served = append(served, o)
			continue
		}
		left = append(left, report.LeftOut{Object: o.String(), Reason: reason})
	}
	return served, left, nil
}

// known parts the objects of kinds that Kubernetes has from others, and from those that
// nothing in the cluster acts on: those a cluster serves that has only what the stack
// installs.
func known(objects []workload.Object) (known []workload.Object, left []report.LeftOut) {
	for _, o := range objects {
		reason := idle(o.Unstructured)
		if kind := o.GroupVersionKind(); !legacyscheme.Scheme.Recognizes(kind) {
			reason = unserved(o.Unstructured)
		}
		if reason == "" {
			known = append(known, o)
			continue
		}
		left = append(left, report.LeftOut{Object: o.String(), Reason: reason})
	}
	return known, left
}

// unserved is the reason to leave out an object of a kind that the cluster does not
// have.
func unserved(o *unstructured.Unstructured) string {
	return fmt.Sprintf("the cluster serves no kind %s of %s", o.GetKind(), o.GetAPIVersion())
}

// idle is why an object would come to nothing in a forecast although the API server
// takes it; "" for others.
func idle(o *unstructured.Unstructured) string {
	switch kind := o.GroupVersionKind().GroupKind().String(); kind {
	case "Service":
		if t, _, _ := unstructured.NestedString(o.Object, "spec", "type"); t == "LoadBalancer" {
			return "nothing makes load balancers here; what one costs is not in the forecast"
		}
	case "Ingress.networking.k8s.io":
		return "the stack has no ingress controller; what a load balancer costs is not in the forecast"
	case "HorizontalPodAutoscaler.autoscaling":
		return "there are no metrics to scale by: the forecast is of the replicas that the manifests state, or --scale does"
	case "CronJob.batch":
		return "it makes pods at its times alone: forecast a Job of its template"
	}
	return ""
}
