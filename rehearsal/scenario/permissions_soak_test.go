package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"eks-gpu-slicing/rehearsal/workload"
)

// goesOn are the actions without which no step of a round falls short, in the time that it
// is given, and what they are for.
func goesOn() map[string]string {
	return map[string]string{
		"ec2:DescribeInstanceStatus":   "it tells of failed status checks and scheduled events that no message comes for (pkg/controllers/interruption/instancestatus_controller.go)",
		"ec2:DescribeSpotPriceHistory": "Karpenter goes on with the prices that are compiled in, which age (pkg/providers/pricing)",
		"pricing:GetProducts":          "as ec2:DescribeSpotPriceHistory",
		"sqs:DeleteMessage":            "each message is handled again every 20 seconds, until it expires (pkg/providers/sqs)",
	}
}

// The actions of each of the controller's policies are taken away in turn, for real, from
// a Karpenter that is started anew each time and so knows nothing: it must be denied each,
// and a step of a round must fall short, or it goes on for a known reason.
func TestSoakPermissionsLaunch(t *testing.T)    { testPermissions(t, "node-launch") }
func TestSoakPermissionsLifecycle(t *testing.T) { testPermissions(t, "node-lifecycle") }
func TestSoakPermissionsProfiles(t *testing.T)  { testPermissions(t, "instance-profiles") }
func TestSoakPermissionsDiscovery(t *testing.T) { testPermissions(t, "discovery") }

func testPermissions(t *testing.T, part string) {
	t.Helper()
	soak(t)
	t.Parallel()
	s := tell(t, nil)
	s.denies = true
	s.up()
	objects, err := workload.Asked{Paths: []string{filepath.Join(checkout, inference)}, Scales: []string{"gpu-inference=1"}}.Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range s.actionsOf(part) {
		r := round{story: s, action: action, objects: objects}
		restore := s.without(action)
		s.renew()
		short := r.take()
		says := s.saidOf(action)
		restore()
		s.renew()
		r.clean()
		switch {
		case r.denials() == 0:
			t.Errorf("%s: Karpenter was never denied it: take it out of the policies, or say in unused what it is for", action)
		case short == "" && goesOn()[action] == "":
			t.Errorf("%s: denied %d times, and nothing fell short: say in goesOn what it is for", action, r.denials())
		case short != "" && goesOn()[action] != "":
			t.Errorf("%s is in goesOn, but %s", action, short)
		}
		t.Logf("| %s | %s | %s |", action, short, says)
	}
	if t.Failed() {
		return
	}
	s.destroy()
}

// actionsOf are the actions of one of the controller's policies, but for the unused.
func (s *story) actionsOf(part string) []string {
	s.t.Helper()
	policies, err := s.World.Account().RolePolicies(controller)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, p := range policies {
		if partOf(p) == part {
			for _, g := range p.Grants() {
				if unused()[nameOf(g)] == "" {
					all = append(all, g.Action)
				}
			}
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		s.t.Fatalf("there is no policy %s, or it has no actions", part)
	}
	return slices.Compact(all)
}

// without takes an action out of all policies of the controller, until what it returns is
// called.
func (s *story) without(action string) func() {
	s.t.Helper()
	in := s.World.Account()
	arns, err := in.ListAttachedRolePolicies(controller)
	if err != nil {
		s.t.Fatal(err)
	}
	were := map[string]string{}
	put := func(arn, document string) {
		before, err := in.GetPolicy(arn)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := in.CreatePolicyVersion(arn, document, true); err != nil {
			s.t.Fatal(err)
		}
		if err := in.DeletePolicyVersion(arn, before.DefaultVersionID); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, arn := range arns {
		policy, err := in.GetPolicy(arn)
		if err != nil {
			s.t.Fatal(err)
		}
		version, err := in.GetPolicyVersion(arn, policy.DefaultVersionID)
		if err != nil {
			s.t.Fatal(err)
		}
		if document := withoutAction(s.t, version.Document, action); document != "" {
			were[arn] = version.Document
			put(arn, document)
		}
	}
	return func() {
		for arn, document := range were {
			put(arn, document)
		}
	}
}

// withoutAction is a policy document without an action; "" where it has not got it.
func withoutAction(t *testing.T, document, action string) string {
	t.Helper()
	var d struct {
		Version   string
		Statement []map[string]any
	}
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		t.Fatal(err)
	}
	found := false
	d.Statement = slices.DeleteFunc(d.Statement, func(statement map[string]any) bool {
		actions, ok := statement["Action"].([]any)
		if !ok {
			t.Fatalf("the actions of a statement are a %T", statement["Action"])
		}
		n := len(actions)
		actions = slices.DeleteFunc(actions, func(a any) bool { return a == any(action) })
		statement["Action"] = actions
		found = found || len(actions) < n
		return len(actions) == 0
	})
	if !found {
		return ""
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// renew has Karpenter's pods replaced by new ones, which know nothing yet.
func (s *story) renew() {
	s.t.Helper()
	err := s.client().CoreV1().Pods("kube-system").DeleteCollection(s.t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=karpenter"})
	if err != nil {
		s.t.Fatal(err)
	}
}

// saidOf is what Karpenter has logged first of being denied an action.
func (s *story) saidOf(action string) string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.World.Logs(), "kube-system_karpenter-*.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var said struct{ Level, Message, Error string }
			if !bytes.Contains(line, []byte(action)) || json.Unmarshal(line, &said) != nil {
				continue
			}
			if at := strings.Index(said.Error, " is not authorized to perform: "); at >= 0 {
				said.Error = "…" + said.Error[at:]
			}
			return said.Message + ": " + said.Error[:min(len(said.Error), 160)]
		}
	}
	return "it logs nothing of it"
}

// round is what Karpenter has to do for pods and for a class of nodes of its own, with an
// action taken away.
type round struct {
	*story
	action  string
	objects []workload.Object
	// denied is when it was first seen to be denied.
	denied time.Time
}

// denials is how often the action was denied.
func (r *round) denials() int {
	n := 0
	for _, d := range r.World.Denied() {
		if d.Action == r.action && strings.Contains(d.Principal, controller) {
			n += d.Count
		}
	}
	return n
}

// reached waits until something is so: a minute, or 25 seconds once the action is denied,
// in which Karpenter starts and launches a node.
func (r *round) reached(done func() bool) bool {
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		if done() {
			return true
		}
		if r.denied.IsZero() && r.denials() > 0 {
			r.denied = time.Now()
		}
		if time.Since(begin) > time.Minute || !r.denied.IsZero() && min(time.Since(begin), time.Since(r.denied)) > 25*time.Second {
			return false
		}
	}
}

// take takes the steps of a round, and says which falls short; "" where none does.
func (r *round) take() string {
	r.t.Helper()
	r.probe()
	r.apply(r.objects)
	if !r.reached(func() bool { return len(r.running()) > 0 && r.podsRun() }) {
		return "pods get no node"
	}
	if !r.reached(r.probeReady) {
		return "a node class does not get ready"
	}
	node := r.running()[0]
	if err := r.World.Account().RecommendRebalance(node.ID); err != nil {
		r.t.Fatal(err)
	}
	if !r.reached(r.heard) {
		return "what AWS tells of an instance goes unheard"
	}
	if err := r.World.DeleteWorkloads(r.t.Context(), r.objects); err != nil {
		r.t.Fatal(err)
	}
	if err := r.World.DeleteNodeClaims(r.t.Context(), "gpu"); err != nil {
		r.t.Fatal(err)
	}
	if !r.reached(r.noNodes) {
		return "a node does not end"
	}
	r.deleteProbe()
	if !r.reached(r.noProbe) {
		return "a node class does not go"
	}
	return ""
}

// clean takes down what a round has left, once Karpenter may do so.
func (r *round) clean() {
	r.t.Helper()
	r.deleteProbe()
	if err := r.World.DeleteWorkloads(r.t.Context(), r.objects); err != nil {
		r.t.Fatal(err)
	}
	r.await(r.action+" is given back and all is clean", 2*time.Minute, func() (bool, string) {
		if err := r.World.DeleteNodeClaims(r.t.Context(), "gpu"); err != nil {
			return false, err.Error()
		}
		return r.noNodes() && r.noProbe(), fmt.Sprintf("%d instances run, or the class is there", len(r.running()))
	})
}

func (r *round) podsRun() bool {
	pods, err := r.client().CoreV1().Pods(metav1.NamespaceDefault).List(r.t.Context(), metav1.ListOptions{})
	return err == nil && len(pods.Items) > 0 && !slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return p.Status.Phase != corev1.PodRunning })
}

func (r *round) noNodes() bool {
	nodes, err := r.client().CoreV1().Nodes().List(r.t.Context(), metav1.ListOptions{LabelSelector: "karpenter.sh/nodepool=gpu"})
	return err == nil && len(nodes.Items) == 0 && len(r.running()) == 0
}

// heard tells whether Karpenter has told of the rebalance advice for the node's NodeClaim:
// the node may have the name of an earlier round's.
func (r *round) heard() bool {
	client, err := dynamic.NewForConfig(r.World.RESTConfig())
	if err != nil {
		r.t.Fatal(err)
	}
	claims, err := client.Resource(nodeClaims).List(r.t.Context(), metav1.ListOptions{LabelSelector: "karpenter.sh/nodepool=gpu"})
	if err != nil {
		return false
	}
	for _, c := range claims.Items {
		events, err := r.client().CoreV1().Events("").List(r.t.Context(), metav1.ListOptions{FieldSelector: "reason=SpotRebalanceRecommendation,involvedObject.uid=" + string(c.GetUID())})
		if err == nil && len(events.Items) > 0 {
			return true
		}
	}
	return false
}

// probeName is the name of the class of nodes that a round makes.
const probeName = "probe"

func (r *round) classes() dynamic.ResourceInterface {
	client, err := dynamic.NewForConfig(r.World.RESTConfig())
	if err != nil {
		r.t.Fatal(err)
	}
	return client.Resource(schema.GroupVersionResource{Group: "karpenter.k8s.aws", Version: "v1", Resource: "ec2nodeclasses"})
}

// probe makes a class of nodes like the pool gpu's.
func (r *round) probe() {
	r.t.Helper()
	like, err := r.classes().Get(r.t.Context(), "gpu", metav1.GetOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	class := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": like.GetAPIVersion(), "kind": like.GetKind(), "metadata": map[string]any{"name": probeName}, "spec": like.Object["spec"],
	}}
	if _, err := r.classes().Create(r.t.Context(), class, metav1.CreateOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *round) probeReady() bool {
	class, err := r.classes().Get(r.t.Context(), probeName, metav1.GetOptions{})
	if err != nil {
		return false
	}
	conditions, _, err := unstructured.NestedSlice(class.Object, "status", "conditions")
	return err == nil && slices.ContainsFunc(conditions, func(c any) bool {
		condition, ok := c.(map[string]any)
		return ok && condition["type"] == "Ready" && condition["status"] == "True"
	})
}

func (r *round) deleteProbe() {
	r.t.Helper()
	if err := r.classes().Delete(r.t.Context(), probeName, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		r.t.Fatal(err)
	}
}

func (r *round) noProbe() bool {
	_, err := r.classes().Get(r.t.Context(), probeName, metav1.GetOptions{})
	return apierrors.IsNotFound(err)
}
