package kubelet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	"k8s.io/kubernetes/pkg/kubelet/status"
)

// status is what the node has to report of a pod: what others wrote is kept.
func (p *pod) status(object *corev1.Pod) corev1.PodStatus {
	s := *object.Status.DeepCopy()
	if podutil.IsPodPhaseTerminal(s.Phase) {
		return s // nothing changes a finished pod
	}
	if s.StartTime == nil {
		s.StartTime = timestamp(p.created)
	}
	if p.refusal != nil {
		// rejectPod in pkg/kubelet/kubelet.go.
		s.Phase, s.Reason, s.Message = corev1.PodFailed, p.refusal.Reason, "Pod was rejected: "+p.refusal.Message
		return s
	}
	s.HostIP, s.HostIPs = p.node.PrivateIP, []corev1.HostIP{{IP: p.node.PrivateIP}}
	var inits, others []corev1.ContainerStatus
	for _, c := range p.containers {
		if c.state != waiting {
			// A pod has its address once its sandbox is there.
			s.PodIP, s.PodIPs = p.ip, []corev1.PodIP{{IP: p.ip}}
		}
		if c.init {
			inits = append(inits, c.status(p))
		} else {
			others = append(others, c.status(p))
		}
	}
	s.InitContainerStatuses, s.ContainerStatuses = inits, others
	s.Phase = p.phase(object)
	for _, condition := range []corev1.PodCondition{
		status.GeneratePodInitializedCondition(object, &object.Status, append(inits, others...), s.Phase),
		status.GeneratePodReadyCondition(object, &object.Status, s.Conditions, others, s.Phase),
		status.GenerateContainersReadyCondition(object, &object.Status, others, s.Phase),
	} {
		if podutil.UpdatePodCondition(&s, &condition) {
			_, set := podutil.GetPodConditionFromList(s.Conditions, condition.Type)
			set.LastTransitionTime = set.LastTransitionTime.Rfc3339Copy()
		}
	}
	return s
}

// phase is the pod's phase (getPhase in pkg/kubelet/kubelet_pods.go). A pod is
// finished only when nothing of it runs any more.
func (p *pod) phase(object *corev1.Pod) corev1.PodPhase {
	if p.stopped() && (object.DeletionTimestamp != nil || p.over()) {
		for _, c := range p.containers {
			if !c.sidecar && !c.succeeded() {
				return corev1.PodFailed
			}
		}
		return corev1.PodSucceeded
	}
	for _, c := range p.containers {
		switch {
		case c.sidecar:
			if c.state == waiting {
				return corev1.PodPending
			}
		case c.init:
			if !c.succeeded() {
				return corev1.PodPending
			}
		case c.state == waiting:
			return corev1.PodPending
		}
	}
	return corev1.PodRunning
}

// status is the container's part of the pod's status.
func (c *container) status(p *pod) corev1.ContainerStatus {
	ready := c.ready() || c.init && !c.sidecar && c.succeeded()
	started := c.state == active
	s := corev1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, Ready: ready, Started: &started, RestartCount: c.restarts,
	}
	if c.last != nil {
		s.LastTerminationState.Terminated = c.last
	}
	switch c.state {
	case waiting:
		reason := "ContainerCreating"
		if !c.init && len(p.object.Spec.InitContainers) > 0 {
			reason = "PodInitializing"
		}
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason}
		return s
	case active:
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: *timestamp(c.startedAt)}
	case ended:
		if !c.asked && !p.over() && c.toBeRestarted() {
			s.State.Waiting = &corev1.ContainerStateWaiting{
				Reason:  "CrashLoopBackOff",
				Message: fmt.Sprintf("back-off %v restarting failed container=%s pod=%s", c.notBefore.Sub(c.endedAt), c.spec.Name, p.key.Name),
			}
			s.LastTerminationState.Terminated = c.terminated()
		} else {
			s.State.Terminated = c.terminated()
		}
	}
	s.ImageID, s.ContainerID = c.spec.Image, c.id()
	return s
}

// terminated describes the end of the run that ended last.
func (c *container) terminated() *corev1.ContainerStateTerminated {
	t := &corev1.ContainerStateTerminated{
		ExitCode: c.exit.Code, Reason: "Completed",
		StartedAt: *timestamp(c.startedAt), FinishedAt: *timestamp(c.endedAt), ContainerID: c.id(),
	}
	if c.exit.Code != 0 {
		t.Reason = "Error"
		if c.spec.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError {
			t.Message = c.tail
		}
	}
	return t
}

// id names the present run as containerd would.
func (c *container) id() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", c.pod.key.uid, c.spec.Name, c.restarts))
	return "containerd://" + hex.EncodeToString(sum[:])
}

// timestamp is a time as the API keeps it: to the second.
func timestamp(t time.Time) *metav1.Time {
	m := metav1.NewTime(t).Rfc3339Copy()
	return &m
}
