package live

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
)

// revision is the annotation by which the deployment controller counts the
// replica sets of a Deployment.
const revision = "deployment.kubernetes.io/revision"

// readiness is what is waited for after an object of a kind was written, and
// looked at again on a refresh; nil for kinds that are ready at once. It is an
// error for kinds the real provider waits for and this package does not:
// passing over the wait would pretend.
func readiness(o *unstructured.Unstructured) (condition, error) {
	switch id := o.GetAPIVersion() + "/" + o.GetKind(); id {
	case "apps/v1/DaemonSet":
		return typed(daemonSetReady), nil
	case "apps/v1/Deployment":
		return typed(deploymentReady), nil
	case "apps/v1/StatefulSet":
		return typed(statefulSetReady), nil
	case "batch/v1/Job":
		return typed(jobReady), nil
	case "v1/Pod":
		return typed(podReady), nil
	case "v1/PersistentVolume", "v1/PersistentVolumeClaim", "v1/ReplicationController", "v1/ResourceQuota", "v1/Service",
		"networking.k8s.io/v1/Ingress":
		return nil, fmt.Errorf("the rehearsal does not wait for a %s as pulumi-kubernetes does; "+
			"annotate it with %s: \"true\", or with %s and what to wait for", o.GetKind(), annotationSkipAwait, annotationWaitFor)
	}
	return nil, nil
}

// typed decodes the object for a condition on its Go type.
func typed[T any](check func(*T) (bool, string)) condition {
	return func(o *unstructured.Unstructured) (bool, string, error) {
		var t T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &t); err != nil {
			return false, "", fmt.Errorf("reading a %s: %w", o.GetKind(), err)
		}
		met, instead := check(&t)
		return met, instead, nil
	}
}

// daemonSetReady is what kstatus takes for current, as the real provider does
// (daemonset.go, rolloutComplete): pods of the newest template are available
// on every node there should be one on. OnDelete makes no difference.
func daemonSetReady(d *appsv1.DaemonSet) (bool, string) {
	s := d.Status
	desired := s.DesiredNumberScheduled
	switch {
	case s.ObservedGeneration < d.Generation:
		return false, staleStatus(s.ObservedGeneration, d.Generation)
	case s.CurrentNumberScheduled < desired:
		return false, fmt.Sprintf("%d of %d nodes have a pod", s.CurrentNumberScheduled, desired)
	case s.UpdatedNumberScheduled < desired:
		return false, fmt.Sprintf("%d of %d nodes have an updated pod", s.UpdatedNumberScheduled, desired)
	case s.NumberAvailable < desired:
		return false, fmt.Sprintf("%d of %d nodes have an available pod", s.NumberAvailable, desired)
	case s.NumberReady < desired:
		return false, fmt.Sprintf("%d of %d nodes have a ready pod", s.NumberReady, desired)
	}
	return true, ""
}

// deploymentReady is a Deployment whose newest replica set is rolled out and
// which is available (deployment.go, checkAndLogStatus). The first revision is
// not rolled out but created, so it needs no Progressing condition.
func deploymentReady(d *appsv1.Deployment) (bool, string) {
	s := d.Status
	want := ptr.Deref(d.Spec.Replicas, 1)
	var available, rolledOut bool
	var complaint string
	for _, c := range s.Conditions {
		switch c.Type {
		case appsv1.DeploymentAvailable:
			available = c.Status == corev1.ConditionTrue
		case appsv1.DeploymentProgressing:
			rolledOut = c.Status == corev1.ConditionTrue && c.Reason == "NewReplicaSetAvailable"
		default:
			continue
		}
		if c.Status != corev1.ConditionTrue {
			complaint = fmt.Sprintf("[%s] %s", c.Reason, c.Message)
		}
	}
	number := d.Annotations[revision]
	switch {
	case s.ObservedGeneration < d.Generation:
		return false, staleStatus(s.ObservedGeneration, d.Generation)
	case !available && complaint != "":
		return false, complaint
	case number == "", !available, number != "1" && !rolledOut, s.UpdatedReplicas < want, s.ReadyReplicas < want:
		return false, fmt.Sprintf("%d of %d pods are updated, %d ready", s.UpdatedReplicas, want, s.ReadyReplicas)
	}
	return true, ""
}

// statefulSetReady is a StatefulSet whose newest revision runs everywhere
// (statefulset.go, checkAndLogStatus).
func statefulSetReady(s *appsv1.StatefulSet) (bool, string) {
	want := ptr.Deref(s.Spec.Replicas, 1)
	switch {
	case s.Status.ObservedGeneration < s.Generation:
		return false, staleStatus(s.Status.ObservedGeneration, s.Generation)
	case s.Status.ReadyReplicas < want:
		return false, fmt.Sprintf("%d of %d pods are ready", s.Status.ReadyReplicas, want)
	case s.Status.CurrentRevision != s.Status.UpdateRevision:
		return false, fmt.Sprintf("%d of %d pods are updated", s.Status.UpdatedReplicas, want)
	}
	return true, ""
}

// jobReady is a Job that is complete (checker/job).
func jobReady(j *batchv1.Job) (bool, string) {
	for _, c := range j.Status.Conditions {
		switch {
		case c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue:
			return true, ""
		case c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue:
			return false, fmt.Sprintf("[%s] %s", c.Reason, c.Message)
		}
	}
	return false, fmt.Sprintf("%d pods are active, %d succeeded, %d failed", j.Status.Active, j.Status.Succeeded, j.Status.Failed)
}

// podReady is a Pod that is ready or has succeeded (checker/pod).
func podReady(p *corev1.Pod) (bool, string) {
	if p.Status.Phase == corev1.PodSucceeded {
		return true, ""
	}
	met := map[corev1.PodConditionType]bool{}
	for _, c := range p.Status.Conditions {
		met[c.Type] = c.Status == corev1.ConditionTrue
	}
	if met[corev1.PodScheduled] && met[corev1.PodInitialized] && met[corev1.PodReady] {
		return true, ""
	}
	return false, podTrouble(p)
}

func staleStatus(observed, generation int64) string {
	return fmt.Sprintf("its status is about generation %d, the object is at %d", observed, generation)
}
