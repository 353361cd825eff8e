package live_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"

	standin "eks-gpu-slicing/rehearsal/provider/kubernetes"
)

// waiting is the program of a widget that waits for something.
func waiting(group, waitFor, more string) string {
	return "{apiVersion: " + group + "/v1, kind: Widget, metadata: {name: w, annotations: {pulumi.com/waitFor: '" +
		waitFor + "'" + more + "}}}"
}

func TestWaitFor(t *testing.T) {
	t.Parallel()
	const ready = "{conditions: [{type: Ready, status: 'True'}], phase: Running, observedGeneration: 1}"
	tests := map[string]struct {
		waitFor string
		status  string // written while the provider waits; "" for none
		want    []string
	}{
		"the condition is met": {waitFor: "condition=Ready", status: ready},
		"the condition is False": {
			waitFor: "condition=Ready",
			status:  "{conditions: [{type: Ready, status: 'False', reason: NodeClassNotReady, message: the class lacks a role}]}",
			want: []string{"timed out waiting for the condition: condition Ready=False " +
				"(NodeClassNotReady: the class lacks a role) (want True)"},
		},
		"False is what is wanted":    {waitFor: "condition=Degraded=false", status: "{conditions: [{type: Degraded, status: 'False'}]}"},
		"there are no conditions":    {waitFor: "condition=Ready", want: []string{"it has no condition Ready yet (want True), nor any other"}},
		"there are others":           {waitFor: "condition=Ready", status: "{conditions: [{type: Valid, status: 'False', reason: R}]}", want: []string{"but: Valid=False (R)"}},
		"the condition is outdated":  {waitFor: "condition=Ready", status: "{conditions: [{type: Ready, status: 'True', observedGeneration: 0}]}", want: []string{"is about generation 0, the object is at 1"}},
		"a JSONPath with a value":    {waitFor: "jsonpath={.status.phase}=Running", status: ready},
		"another value":              {waitFor: "jsonpath={.status.phase}=Running", status: "{phase: Pending}", want: []string{`{.status.phase} is "Pending" (want "Running")`}},
		"a JSONPath":                 {waitFor: "jsonpath={.status.phase}", status: "{phase: anything}"},
		"a JSONPath of nothing":      {waitFor: "jsonpath={.status.phase}", status: "{other: x}", want: []string{"{.status.phase} selected nothing"}},
		"a JSONPath with a filter":   {waitFor: `jsonpath={.status.conditions[?(@.type=="Ready")].status}=True`, status: ready},
		"a list":                     {waitFor: `["condition=Ready", "jsonpath={.status.phase}=Running"]`, status: ready},
		"a list of which one is not": {waitFor: `["condition=Ready", "jsonpath={.status.phase}=Stopped"]`, status: ready, want: []string{`{.status.phase} is "Running" (want "Stopped")`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group := widgets(t)
			d := declare(t, start(t, nil, "{}"), group+"/v1:Widget")
			limit := time.Minute
			if tt.want != nil {
				limit = 6 * time.Second
			}
			written := make(chan struct{})
			go func() {
				defer close(written)
				if tt.status != "" {
					setStatus(t, client(t, group, "widgets", ""), "w", tt.status)
				}
			}()
			defer func() { <-written }()
			err := d.within(limit).tryUp(waiting(group, tt.waitFor, ""))
			if tt.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := d.state["status"]; !ok {
					t.Errorf("the state is older than the wait: %v", d.state)
				}
				return
			}
			wantInitFailure(t, err, tt.want...)
			if d.id != "w" || !d.state.HasValue("__inputs") {
				t.Errorf("the state of what failed: id %q, %v", d.id, d.state)
			}
		})
	}
}

func TestWaitForIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	group := widgets(t)
	p := start(t, nil, "{}")
	for waitFor, want := range map[string]string{
		"Ready":                           `expected a "jsonpath=" or "condition=" prefix, got "Ready"`,
		"[]":                              "at least one condition must be specified",
		"jsonpath=.status.phase":          "should be wrapped in brackets",
		"jsonpath={.status.phase}=":       "requires a value",
		"jsonpath={.status.phase}=a=b":    "format should be {.path}=value or {.path}",
		"jsonpath={.status[}":             "parsing",
		"[\"condition=Ready\", \"nope\"]": `got "nope"`,
	} {
		err := declare(t, p, group+"/v1:Widget").tryUp(waiting(group, waitFor, ""))
		if err == nil || initFailure(err) != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", waitFor, err, want)
		}
	}
	if _, err := client(t, group, "widgets", "").Get(t.Context(), "w", metav1.GetOptions{}); err == nil {
		t.Error("the widget was made")
	}
}

func TestSkipAwaitAndTimeoutSeconds(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "{}")
	group := widgets(t)
	declare(t, p, group+"/v1:Widget").up(waiting(group, "condition=Ready", ", pulumi.com/skipAwait: 'true'"))
	group = widgets(t)
	began := time.Now()
	err := declare(t, p, group+"/v1:Widget").tryUp(waiting(group, "condition=Ready", ", pulumi.com/timeoutSeconds: '1'"))
	wantInitFailure(t, err, "timed out")
	if took := time.Since(began); took < time.Second || took > 10*time.Second {
		t.Errorf("a timeout of 1 s took %v", took)
	}
	// A resource that failed is tried again by an update.
	group = widgets(t)
	d := declare(t, p, group+"/v1:Widget").within(time.Second)
	wantInitFailure(t, d.tryUp(waiting(group, "condition=Ready", "")), "timed out")
	setStatus(t, client(t, group, "widgets", ""), "w", "{conditions: [{type: Ready, status: 'True'}]}")
	d.up(waiting(group, "condition=Ready", ""))
}

func TestCancelEndsAWait(t *testing.T) {
	t.Parallel()
	group, ns := widgets(t), namespace(t)
	hold := "{apiVersion: v1, kind: ConfigMap, metadata: {name: h, namespace: " + ns + ", finalizers: [example.com/f]}}"
	held := declare(t, start(t, nil, "{}"), "core/v1:ConfigMap").up(hold)

	const canceled = "cancelled while waiting: the engine cancelled the operation"
	maps := client(t, "", "configmaps", ns)
	// Each with what is waited for once it is there.
	tests := map[string]struct {
		wait  func(t *testing.T, p *standin.Provider)
		begun func() bool
	}{
		"create": {
			func(t *testing.T, p *standin.Provider) {
				wantInitFailure(t, declare(t, p, group+"/v1:Widget").tryUp(waiting(group, "condition=Ready", "")), canceled)
			},
			func() bool {
				_, err := client(t, group, "widgets", "").Get(t.Context(), "w", metav1.GetOptions{})
				return err == nil
			},
		},
		"delete": {
			func(t *testing.T, p *standin.Provider) {
				d := *held
				d.t, d.p = t, p
				if err := d.down(); err == nil || err.Error() != canceled {
					t.Errorf("error %v", err)
				}
			},
			func() bool {
				h, err := maps.Get(t.Context(), "h", metav1.GetOptions{})
				return err == nil && h.GetDeletionTimestamp() != nil
			},
		},
		"install": {
			func(t *testing.T, p *standin.Provider) {
				wantInitFailure(t, declare(t, p, "helm.sh/v3:Release").tryUp(program(ns, ", values: {replicas: 1}")), "context canceled")
			},
			func() bool {
				all, err := clientset(t).AppsV1().Deployments(ns).List(t.Context(), metav1.ListOptions{})
				return err == nil && len(all.Items) > 0
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := start(t, charts("unused.example.com"), "{}")
			canceled := make(chan time.Time, 1)
			go func() {
				for !tt.begun() && t.Context().Err() == nil {
					time.Sleep(50 * time.Millisecond)
				}
				time.Sleep(time.Second) // for the answer to have come
				canceled <- time.Now()
				_ = p.SignalCancellation(context.Background())
			}()
			tt.wait(t, p)
			if took := time.Since(<-canceled); took > 15*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	if _, err := maps.Patch(t.Context(), "h", types.MergePatchType,
		[]byte(`{"metadata": {"finalizers": null}}`), metav1.PatchOptions{}); err != nil {
		t.Error(err)
	}
}

// workload is the program of an apps/v1 workload whose pods nobody can place.
func workload(kind, ns, image, spec, annotations string) string {
	return `{apiVersion: apps/v1, kind: ` + kind + `, metadata: {name: w, namespace: ` + ns + annotations + `},
		spec: {` + spec + `selector: {matchLabels: {app: w}}, template: {metadata: {labels: {app: w}},
		spec: {nodeSelector: {none: such}, containers: [{name: c, image: ` + image + `}]}}}}`
}

func TestDeployment(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	program := func(image string) string { return workload("Deployment", ns, image, "replicas: 2, ", "") }
	d := declare(t, start(t, nil, "{}"), "apps/v1:Deployment").within(6 * time.Second)
	wantInitFailure(t, d.tryUp(program("i:1")),
		"[MinimumReplicasUnavailable] Deployment does not have minimum availability.", "[Pod "+ns+"/w-")

	// A refresh says so too, and keeps the resource.
	_, err := d.refresh()
	wantInitFailure(t, err, "MinimumReplicasUnavailable")

	stop := runPods(t, ns)
	d.within(time.Minute).up(program("i:1"))
	d.mustRefresh()
	if got := d.diff(program("i:1")); len(got) > 0 {
		t.Errorf("it drifts: %v", got)
	}
	d.up(program("i:2")) // a rollout
	stop()
	wantInitFailure(t, d.within(6*time.Second).tryUp(program("i:3")), "pods are updated")
	if err := d.within(time.Minute).down(); err != nil {
		t.Error(err)
	}
}

func TestDaemonSet(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	node := "node-" + rand.String(8)
	program := func(image string) string {
		return strings.Replace(workload("DaemonSet", ns, image, "", ""), "none: such", "kubernetes.io/hostname: "+node, 1)
	}
	// No node matches: there is nothing to wait for.
	d := declare(t, start(t, nil, "{}"), "apps/v1:DaemonSet").within(time.Minute)
	d.up(program("i:0"))
	fakeNode(t, node)
	if err := poll(t, func() error {
		ds, err := clientset(t).AppsV1().DaemonSets(ns).Get(t.Context(), "w", metav1.GetOptions{})
		if err == nil && ds.Status.DesiredNumberScheduled != 1 {
			return fmt.Errorf("%d nodes should have a pod", ds.Status.DesiredNumberScheduled)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	wantInitFailure(t, d.within(6*time.Second).tryUp(program("i:1")), "0 of 1 nodes have an available pod", "[Pod "+ns+"/w-")
	stop := runPods(t, ns)
	d.within(time.Minute).up(program("i:1"))
	d.up(program("i:2"))
	stop()
	wantInitFailure(t, d.within(6*time.Second).tryUp(program("i:3")), "timed out waiting for the condition")
	if err := d.within(time.Minute).down(); err != nil {
		t.Error(err)
	}
}

func TestPodAndJob(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	pod := "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: " + ns + "}, " +
		"spec: {nodeSelector: {none: such}, containers: [{name: c, image: i}]}}"
	d := declare(t, start(t, nil, "{}"), "core/v1:Pod").within(time.Second)
	wantInitFailure(t, d.tryUp(pod), "timed out")
	pods := client(t, "", "pods", ns)
	setStatus(t, pods, "p", "{conditions: [{type: PodScheduled, status: 'True'}, {type: Initialized, status: 'True'}, "+
		"{type: Ready, status: 'False', message: 'containers with unready status: [c]'}], "+
		"containerStatuses: [{name: c, image: i, imageID: '', ready: false, restartCount: 1, "+
		"state: {waiting: {reason: ImagePullBackOff, message: Back-off pulling image}}}]}")
	wantInitFailure(t, d.tryUp(pod), "containers with unready status: [c]",
		`container "c" is waiting: [ImagePullBackOff] Back-off pulling image`)
	setStatus(t, pods, "p", "{phase: Succeeded}")
	d.up(pod)

	job := declare(t, start(t, nil, "{}"), "batch/v1:Job").within(6 * time.Second)
	wantInitFailure(t, job.tryUp("{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: "+ns+"}, spec: {template: "+
		"{spec: {restartPolicy: Never, nodeSelector: {none: such}, containers: [{name: c, image: i}]}}}}"), "1 pods are active")
}

func TestKindsWhoseWaitIsNotBuilt(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	service := func(annotations string) string {
		return "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: " + ns + annotations +
			"}, spec: {selector: {app: w}, ports: [{port: 80}]}}"
	}
	d := declare(t, start(t, nil, "{}"), "core/v1:Service")
	err := d.tryUp(service(""))
	if err == nil || !strings.Contains(err.Error(), `annotate it with pulumi.com/skipAwait: "true"`) {
		t.Errorf("error %v", err)
	}
	if _, err := clientset(t).CoreV1().Services(ns).Get(t.Context(), "s", metav1.GetOptions{}); err == nil {
		t.Error("the Service was made")
	}
	d.up(service(", annotations: {pulumi.com/skipAwait: 'true'}"))
}

// fakeNode makes a node that looks ready.
func fakeNode(t *testing.T, name string) {
	t.Helper()
	nodes := clientset(t).CoreV1().Nodes()
	_, err := nodes.Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}},
		Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nodes.Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

// runPods plays the kubelet of a namespace: its pods become ready, and go when
// they are told to. The function it returns stops it.
func runPods(t *testing.T, ns string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	pods := clientset(t).CoreV1().Pods(ns)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			found, err := pods.List(ctx, metav1.ListOptions{})
			if err != nil {
				return // the test is over
			}
			for _, p := range found.Items {
				switch {
				case p.DeletionTimestamp != nil:
					zero := int64(0)
					_ = pods.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero})
				case p.Status.Phase != corev1.PodRunning:
					p.Status.Phase = corev1.PodRunning
					p.Status.Conditions = slices.DeleteFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
						return c.Type == corev1.PodScheduled || c.Type == corev1.PodReady
					})
					for _, c := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.PodReady} {
						p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
							Type: c, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now(),
						})
					}
					_, _ = pods.UpdateStatus(ctx, &p, metav1.UpdateOptions{}) // a conflict is tried again
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	return func() { cancel(); <-done }
}
