package live

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestReadiness(t *testing.T) {
	t.Parallel()
	const (
		available = "{type: Available, status: 'True'}"
		rolledOut = "{type: Progressing, status: 'True', reason: NewReplicaSetAvailable}"
		rolling   = "{type: Progressing, status: 'True', reason: ReplicaSetUpdated}"
	)
	deployment := func(rev, generation, status string) string {
		return "{apiVersion: apps/v1, kind: Deployment, metadata: {generation: " + generation +
			", annotations: {deployment.kubernetes.io/revision: '" + rev + "'}}, spec: {replicas: 2}, status: {" + status + "}}"
	}
	daemonSet := func(status string) string {
		return "{apiVersion: apps/v1, kind: DaemonSet, metadata: {generation: 2}, status: {" + status + "}}"
	}
	statefulSet := func(status string) string {
		return "{apiVersion: apps/v1, kind: StatefulSet, metadata: {generation: 1}, spec: {replicas: 2}, status: {" + status + "}}"
	}
	pod := func(status string) string { return "{apiVersion: v1, kind: Pod, status: {" + status + "}}" }

	tests := map[string]struct {
		object string
		want   string // "" is ready
	}{
		"first revision":      {deployment("1", "1", "observedGeneration: 1, updatedReplicas: 2, readyReplicas: 2, conditions: ["+available+"]"), ""},
		"rolled out":          {deployment("2", "2", "observedGeneration: 2, updatedReplicas: 2, readyReplicas: 2, conditions: ["+available+", "+rolledOut+"]"), ""},
		"still rolling out":   {deployment("2", "2", "observedGeneration: 2, updatedReplicas: 2, readyReplicas: 2, conditions: ["+available+", "+rolling+"]"), "2 of 2 pods are updated"},
		"old pods only":       {deployment("2", "2", "observedGeneration: 2, updatedReplicas: 1, readyReplicas: 2, conditions: ["+available+", "+rolledOut+"]"), "1 of 2 pods are updated, 2 ready"},
		"an old status":       {deployment("2", "3", "observedGeneration: 2, updatedReplicas: 2, readyReplicas: 2, conditions: ["+available+", "+rolledOut+"]"), "its status is about generation 2, the object is at 3"},
		"no replica set yet":  {deployment("", "1", "observedGeneration: 1"), "0 of 2 pods"},
		"not available":       {deployment("1", "1", "observedGeneration: 1, conditions: [{type: Available, status: 'False', reason: Min, message: too few}]"), "[Min] too few"},
		"deadline":            {deployment("1", "1", "observedGeneration: 1, conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, message: late}]"), "[ProgressDeadlineExceeded] late"},
		"on every node":       {daemonSet("observedGeneration: 2, desiredNumberScheduled: 3, currentNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 3, numberReady: 3"), ""},
		"on no node":          {daemonSet("observedGeneration: 2"), ""},
		"of an old status":    {daemonSet("observedGeneration: 1, desiredNumberScheduled: 0"), "its status is about generation 1"},
		"not everywhere":      {daemonSet("observedGeneration: 2, desiredNumberScheduled: 3, currentNumberScheduled: 2"), "2 of 3 nodes have a pod"},
		"not updated":         {daemonSet("observedGeneration: 2, desiredNumberScheduled: 3, currentNumberScheduled: 3, updatedNumberScheduled: 1"), "1 of 3 nodes have an updated pod"},
		"not available there": {daemonSet("observedGeneration: 2, desiredNumberScheduled: 1, currentNumberScheduled: 1, updatedNumberScheduled: 1"), "0 of 1 nodes have an available pod"},
		"not ready there":     {daemonSet("observedGeneration: 2, desiredNumberScheduled: 1, currentNumberScheduled: 1, updatedNumberScheduled: 1, numberAvailable: 1"), "0 of 1 nodes have a ready pod"},
		"stateful":            {statefulSet("observedGeneration: 1, replicas: 2, readyReplicas: 2, currentRevision: a, updateRevision: a"), ""},
		"stateful, rolling":   {statefulSet("observedGeneration: 1, replicas: 2, readyReplicas: 2, updatedReplicas: 1, currentRevision: a, updateRevision: b"), "1 of 2 pods are updated"},
		"stateful, starting":  {statefulSet("observedGeneration: 1, replicas: 2, readyReplicas: 1, currentRevision: a, updateRevision: a"), "1 of 2 pods are ready"},
		"complete":            {"{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: Complete, status: 'True'}]}}", ""},
		"failed":              {"{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded, message: no more}]}}", "[BackoffLimitExceeded] no more"},
		"pending":             {pod("phase: Pending"), "it is Pending"},
		"succeeded":           {pod("phase: Succeeded, conditions: [{type: Ready, status: 'False'}]"), ""},
		"running":             {pod("phase: Running, conditions: [{type: PodScheduled, status: 'True'}, {type: Initialized, status: 'True'}, {type: Ready, status: 'True'}]"), ""},
		"unschedulable":       {pod("phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: 0/3 nodes are available}]"), "0/3 nodes are available"},
		"refused":             {pod("phase: Failed, reason: UnexpectedAdmissionError, message: 'Allocate failed'"), "[UnexpectedAdmissionError] Allocate failed"},
		"crashing":            {pod("phase: Running, containerStatuses: [{name: c, ready: false, state: {waiting: {reason: CrashLoopBackOff, message: back-off}}, lastState: {terminated: {exitCode: 2, reason: Error, message: boom}}}]"), `container "c" is waiting: [CrashLoopBackOff] back-off; container "c" terminated (Error: exit code 2) boom`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &unstructured.Unstructured{}
			b, err := yaml.YAMLToJSON([]byte(tt.object))
			if err != nil {
				t.Fatal(err)
			}
			if err := o.UnmarshalJSON(b); err != nil {
				t.Fatal(err)
			}
			ready, err := readiness(o)
			if err != nil {
				t.Fatal(err)
			}
			met, instead, err := ready(o)
			if err != nil {
				t.Fatal(err)
			}
			if met != (tt.want == "") || !strings.Contains(instead, tt.want) {
				t.Errorf("met is %v, %q; want %q", met, instead, tt.want)
			}
		})
	}
}
