package live

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
)

// maxCauses bounds how many pods or events an error names.
const maxCauses = 5

// causes gathers what is known about why an object is not ready: the trouble
// of the pods it selects and the warnings of its events. It is asked after a
// wait has failed, so it takes its own little time and stays silent about what
// it cannot learn.
func (c *cluster) causes(ctx context.Context, o *unstructured.Unstructured) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	selector, found, err := unstructured.NestedMap(o.Object, "spec", "selector")
	var causes []string
	if found && err == nil {
		var s metav1.LabelSelector
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(selector, &s); err == nil {
			causes = c.podTroubles(ctx, o.GetNamespace(), &s)
		}
	}
	return append(causes, c.warnings(ctx, o)...)
}

// podTroubles says of each selected pod that is not ready why it is not.
func (c *cluster) podTroubles(ctx context.Context, namespace string, s *metav1.LabelSelector) []string {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil || selector.Empty() {
		return nil
	}
	pods, err := c.dynamic.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(namespace).
		List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil //nolint:nilerr // a cause less in the message of another error
	}
	var causes []string
	for i := range pods.Items {
		if met, instead, err := typed(podReady)(&pods.Items[i]); err == nil && !met && len(causes) < maxCauses {
			causes = append(causes, fmt.Sprintf("[Pod %s/%s]: %s", namespace, pods.Items[i].GetName(), instead))
		}
	}
	return causes
}

// podTrouble says what keeps a pod from being ready, in the words of its
// conditions and containers (checker/pod).
func podTrouble(p *corev1.Pod) string {
	var out []string
	for _, c := range p.Status.Conditions {
		if c.Status != corev1.ConditionTrue && c.Message != "" {
			out = append(out, c.Message)
		}
	}
	if p.Status.Message != "" { // an eviction or a refused admission
		out = append(out, strings.TrimSpace("["+p.Status.Reason+"] "+p.Status.Message))
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if w := s.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			out = append(out, fmt.Sprintf("container %q is waiting: [%s] %s", s.Name, w.Reason, w.Message))
		}
		if t := cmp.Or(s.State.Terminated, s.LastTerminationState.Terminated); t != nil && !s.Ready && t.ExitCode != 0 {
			out = append(out, strings.TrimSpace(fmt.Sprintf("container %q terminated (%s: exit code %d) %s",
				s.Name, t.Reason, t.ExitCode, t.Message)))
		}
	}
	if len(out) == 0 {
		return fmt.Sprintf("it is %s", cmp.Or(string(p.Status.Phase), "not seen by the scheduler yet"))
	}
	return strings.Join(slices.Compact(out), "; ")
}

// warnings are the newest warning events about an object.
func (c *cluster) warnings(ctx context.Context, o *unstructured.Unstructured) []string {
	if o.GetUID() == "" {
		return nil
	}
	namespace := cmp.Or(o.GetNamespace(), metav1.NamespaceDefault)
	raw, err := c.dynamic.Resource(corev1.SchemeGroupVersion.WithResource("events")).Namespace(namespace).
		List(ctx, metav1.ListOptions{FieldSelector: fields.Set{
			"involvedObject.uid": string(o.GetUID()), "type": corev1.EventTypeWarning,
		}.String()})
	if err != nil {
		return nil //nolint:nilerr // a cause less in the message of another error
	}
	events := make([]corev1.Event, len(raw.Items))
	for i := range raw.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw.Items[i].Object, &events[i]); err != nil {
			return nil //nolint:nilerr // as above
		}
	}
	slices.SortFunc(events, func(a, b corev1.Event) int { return b.LastTimestamp.Compare(a.LastTimestamp.Time) })
	var out []string
	for _, e := range events[:min(len(events), maxCauses)] {
		out = append(out, fmt.Sprintf("[%s] %s", e.Reason, e.Message))
	}
	return out
}

func describe(kind, namespace, name string, finalizers []string) string {
	s := kind + " " + name
	if namespace != "" {
		s = kind + " " + namespace + "/" + name
	}
	if len(finalizers) > 0 {
		s += " (finalizers " + strings.Join(finalizers, ", ") + ")"
	}
	return s
}
