package world

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The reasons of the events that are read; see pkg/events of sigs.k8s.io/karpenter.
const (
	// failedScheduling is a pod's: no node and no pool can have it.
	failedScheduling = "FailedScheduling"
	// nominated is a pod's: which NodeClaim is being launched for it. Karpenter tells five
	// pods a second of it, so that of many pods not each has one.
	nominated = "Nominated"
	// insufficientCapacity is a NodeClaim's, which Karpenter then deletes: AWS has refused
	// to launch it.
	insufficientCapacity = "InsufficientCapacityError"
)

// karpenterReporter is the component in Karpenter's events.
const karpenterReporter = "karpenter"

// refusal is the newest FailedScheduling of a pod by a reporter; "" where there is
// none.
func (s *state) refusal(p *corev1.Pod, reporter string) string {
	var newest *corev1.Event
	for i := range s.events {
		e := &s.events[i]
		if e.Reason != failedScheduling || e.InvolvedObject.UID != p.UID || e.ReportingController != reporter && e.Source.Component != reporter {
			continue
		}
		if newest == nil || newest.LastTimestamp.Before(&e.LastTimestamp) {
			newest = e
		}
	}
	if newest == nil {
		return ""
	}
	return newest.Message
}

// nominee is the NodeClaim in the message of an event nominated.
var nominee = regexp.MustCompile(`nodeclaim/([^,\s]+)`)

// mostRefusals is how many different refusals a pod's reason tells.
const mostRefusals = 3

// refusedLaunches is what AWS has refused since a pod was made in the pools whose nodes
// were to have it, or to have another pod of the same controller's; "" where nothing.
// Karpenter itself says of such a pod only why the other pools cannot have it: a pool
// that AWS has refused it does not try for three minutes (UnavailableOfferingsTTL in
// pkg/cache of karpenter-provider-aws).
func (s *state) refusedLaunches(p *corev1.Pod) string {
	kin := map[any]bool{p.UID: true}
	if owner := metav1.GetControllerOf(p); owner != nil {
		for i := range s.pods {
			if other := metav1.GetControllerOf(&s.pods[i]); other != nil && other.UID == owner.UID {
				kin[s.pods[i].UID] = true
			}
		}
	}
	var pools []string
	for i := range s.events {
		e := &s.events[i]
		if m := nominee.FindStringSubmatch(e.Message); e.Reason == nominated && m != nil && kin[e.InvolvedObject.UID] {
			pools = append(pools, poolOf(m[1]))
		}
	}
	var refused []*corev1.Event
	for i := range s.events {
		e := &s.events[i]
		if e.Reason == insufficientCapacity && slices.Contains(pools, poolOf(e.InvolvedObject.Name)) && !e.LastTimestamp.Before(&p.CreationTimestamp) {
			refused = append(refused, e)
		}
	}
	slices.SortFunc(refused, func(x, y *corev1.Event) int { return y.LastTimestamp.Compare(x.LastTimestamp.Time) }) // newest first
	var all []string
	for _, e := range refused {
		text := fmt.Sprintf("AWS has refused a node of pool %s: %s", poolOf(e.InvolvedObject.Name), fleetError(e.Message))
		if !slices.Contains(all, text) && len(all) < mostRefusals {
			all = append(all, text)
		}
	}
	return strings.Join(all, ". ")
}

// poolOf is the NodePool of a NodeClaim, whose name Kubernetes makes of the pool's, a
// hyphen and five characters.
func poolOf(claim string) string {
	if at := strings.LastIndexByte(claim, '-'); at > 0 {
		return claim[:at]
	}
	return claim
}

// fleetError is what EC2 has said, of the message of an event insufficientCapacity, which
// Karpenter cuts to 300 characters.
func fleetError(message string) string {
	for _, before := range []string{" event: ", "with fleet error(s), "} {
		if _, after, found := strings.Cut(message, before); found {
			message = after
		}
	}
	message, _, _ = strings.Cut(message, " (aws-") // the request's number, and what is the same each time
	if strings.HasSuffix(message, "...") {
		return message + " (the rest is in Karpenter's log)"
	}
	return strings.TrimSuffix(message, ".")
}
