package scenario

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/session"
	"eks-gpu-slicing/rehearsal/toolcache"
	"eks-gpu-slicing/rehearsal/workload"
)

// story is a rehearsal in this process, whose steps and faults are a test's own.
type story struct {
	*session.Session
	t   *testing.T
	out buffer
	dir string // the rehearsal's own
	// cli is the Pulumi CLI, kube the control plane's binary.
	cli, kube string

	// patience is how long the engine waits for something to be gone; 0 is as long as
	// the program says.
	patience time.Duration
	// clusterGone has the Kubernetes provider do what the variable
	// PULUMI_K8S_DELETE_UNREACHABLE tells the official one to.
	clusterGone bool
	// denies tells that the story has calls denied on purpose; in all others none may be.
	denies bool

	mu sync.Mutex
	// creates counts the resources that a command of the CLI has asked for so far.
	creates int
	// creating is asked to make the n-th of them, of a type; nil just makes it.
	creating func(n int, typ tokens.Type, create create) (plugin.CreateResponse, error)
	// deleted are the resources that were deleted.
	deleted []resource.URN
}

// create makes a resource.
type create func() (plugin.CreateResponse, error)

// buffer may be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// tell starts a story on the dev stack. tamper may change what is about to be created
// in the account or the cluster, and have it left out by returning false; nil changes
// nothing.
func tell(t *testing.T, tamper func(*plugin.CreateRequest) bool, config ...string) *story {
	t.Helper()
	return tellOf(t, session.Options{Config: config}, tamper)
}

// tellOf is tell with more options, the stack among them; those that are the same for all stories it sets.
func tellOf(t *testing.T, o session.Options, tamper func(*plugin.CreateRequest) bool) *story {
	t.Helper()
	cache, err := toolcache.Open(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if o.Tools, err = cache.WorldSet(t.Context(), checkout); err != nil {
		t.Fatal(err)
	}
	s := &story{t: t, dir: t.TempDir(), cli: o.Tools.CLI.Path, kube: o.Tools.Kube}
	o.Checkout, o.Stack, o.Dir, o.Out = checkout, cmp.Or(o.Stack, "dev"), s.dir, &s.out
	o.Providers = func(all map[string]func() plugin.Provider) {
		for name, inner := range maps.Clone(all) {
			all[name] = func() plugin.Provider { return tampered{inner(), s, name, tamper} }
		}
	}
	s.Session, err = session.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(s.out.String())
		}
	})
	return s
}

// tampered is a provider that the story changes: it may not create what it is told to,
// be interrupted in it, or wait less long for a deletion.
type tampered struct {
	plugin.Provider
	story  *story
	pkg    string
	tamper func(*plugin.CreateRequest) bool
}

// Attach is asked of a provider that the engine did not start.
func (p tampered) Attach(address string) error {
	inner, ok := p.Provider.(interface{ Attach(address string) error })
	if !ok {
		return fmt.Errorf("a %T cannot be attached", p.Provider)
	}
	return inner.Attach(address)
}

func (p tampered) Create(ctx context.Context, r plugin.CreateRequest) (plugin.CreateResponse, error) {
	if p.tamper != nil && !r.Preview && !p.tamper(&r) {
		return plugin.CreateResponse{ID: resource.ID(r.Name), Properties: r.Properties}, nil
	}
	create := func() (plugin.CreateResponse, error) { return p.Provider.Create(ctx, r) }
	if r.Preview {
		return create()
	}
	p.story.mu.Lock()
	p.story.creates++
	n, creating := p.story.creates, p.story.creating
	p.story.mu.Unlock()
	if creating == nil {
		return create()
	}
	return creating(n, r.Type, create)
}

func (p tampered) Delete(ctx context.Context, r plugin.DeleteRequest) (plugin.DeleteResponse, error) {
	if p.story.patience > 0 {
		r.Timeout = p.story.patience.Seconds()
	}
	out, err := p.Provider.Delete(ctx, r)
	if err == nil {
		p.story.mu.Lock()
		defer p.story.mu.Unlock()
		p.story.deleted = append(p.story.deleted, r.URN)
	}
	return out, err
}

func (p tampered) Configure(ctx context.Context, r plugin.ConfigureRequest) (plugin.ConfigureResponse, error) {
	if p.story.clusterGone && p.pkg == "kubernetes" {
		r.Inputs = r.Inputs.Copy()
		r.Inputs["deleteUnreachable"] = resource.NewProperty(true)
	}
	return p.Provider.Configure(ctx, r)
}

// up brings the stack up.
func (s *story) up() {
	s.t.Helper()
	if err := s.Pulumi(s.t.Context(), "up", "--yes", "--skip-preview"); err != nil {
		s.t.Fatal(err)
	}
}

// destroy takes the stack down, after which nothing may be left, and nothing may have been
// denied.
func (s *story) destroy() {
	s.t.Helper()
	if err := s.Pulumi(s.t.Context(), "destroy", "--yes", "--skip-preview"); err != nil {
		s.t.Error(err)
	}
	if left := s.World.Leftovers(); len(left) > 0 {
		s.t.Errorf("left over in the account: %v", left)
	}
	if denied := s.World.Denied(); len(denied) > 0 && !s.denies {
		s.t.Errorf("denied were %+v", denied)
	}
	if d, err := s.World.Difference(s.t.Context()); err != nil || len(d.Changed) > 0 {
		s.t.Errorf("of the cluster that stands is not as it was found: %v (%v)", d.Changed, err)
	}
}

// place applies manifests of the checkout and returns their pods once they are
// settled.
func (s *story) place(files ...string) ([]workload.Object, []report.Pod) {
	s.t.Helper()
	var paths []string
	for _, f := range files {
		paths = append(paths, filepath.Join(checkout, f))
	}
	objects, err := workload.Asked{Paths: paths}.Read()
	if err != nil {
		s.t.Fatal(err)
	}
	cluster, err := s.Place(s.t.Context(), objects)
	if err != nil {
		s.t.Fatal(err)
	}
	return objects, cluster.Pods
}

// launched counts the NodeClaims that were ever launched for a pool.
func (s *story) launched(pool string) int {
	s.t.Helper()
	all, err := s.World.Launched()
	if err != nil {
		s.t.Fatal(err)
	}
	return launched(report.Run{NodeClaimsLaunched: all})[pool]
}

// noneRuns fails the test unless all pods are pending for a reason that has all of
// the words.
func (s *story) noneRuns(pods []report.Pod, words ...string) {
	s.t.Helper()
	if len(pods) == 0 {
		s.t.Error("there are no pods")
	}
	for _, p := range pods {
		for _, w := range words {
			if p.Phase != "Pending" || !strings.Contains(p.Reason, w) {
				s.t.Errorf("%s is %s: %s; want it Pending, and %q in the reason", p.Name, p.Phase, p.Reason, w)
			}
		}
	}
}

// TestGateOff: a Karpenter without the NodeOverlay gate never says that an overlay
// is ready, and the up says so. What is there by then is destroyed.
func TestGateOff(t *testing.T) {
	t.Parallel()
	s := tell(t, func(r *plugin.CreateRequest) bool {
		switch {
		case r.Type == "kubernetes:helm.sh/v3:Release" && r.Name == "karpenter":
			gates := r.Properties["values"].ObjectValue()["settings"].ObjectValue()["featureGates"].ObjectValue()
			if !gates["nodeOverlay"].BoolValue() {
				t.Error("the program does not open the gate itself")
			}
			gates["nodeOverlay"] = resource.NewProperty(false)
		case r.Type == "kubernetes:karpenter.sh/v1alpha1:NodeOverlay":
			r.Timeout = 10 // seconds, which is enough for one with the gate
		}
		return true
	})
	err := s.Pulumi(t.Context(), "up", "--yes", "--skip-preview")
	if err == nil {
		t.Error("the up succeeds")
	}
	for _, want := range []string{"NodeOverlay (gpu-gpu-1-per-node)", "timed out waiting for the condition: it has no condition Ready"} {
		if !strings.Contains(s.out.String(), want) {
			t.Errorf("the up does not say %q", want)
		}
	}
	s.destroy()
}

// TestSlicesUntold: what becomes of GPU pods when Karpenter is not told of the slices,
// when the device plugin cannot read its config, and when it tolerates no GPU node.
// The stack is then destroyed while pods run on all pools.
func TestSlicesUntold(t *testing.T) {
	t.Parallel()
	s := tell(t, func(r *plugin.CreateRequest) bool { return r.Type != "kubernetes:karpenter.sh/v1alpha1:NodeOverlay" })
	s.up()
	const example = "examples/gpu-inference.yaml"

	// Without the overlay: one node a pod. That the slices save nodes is thereby a
	// claim that can fail.
	objects, pods := s.place(example)
	if got := s.launched("gpu"); got != len(pods) || got != 8 {
		t.Errorf("without the overlay %d nodes were launched for %d pods; want 8 for 8", got, len(pods))
	}
	if err := s.World.DeleteWorkloads(t.Context(), objects); err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(s.World.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	core, apps := client.CoreV1(), client.AppsV1().DaemonSets("kube-system")
	const plugin = "nvidia-device-plugin"

	// A config that NVIDIA's parser refuses.
	config, err := core.ConfigMaps("kube-system").Get(t.Context(), plugin, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	good := config.Data["config.yaml"]
	config.Data["config.yaml"] = strings.Replace(good, "version: v1", "version: v2", 1)
	if config, err = core.ConfigMaps("kube-system").Update(t.Context(), config, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.newGPUNodes(client)
	objects, pods = s.place("examples/gpu-pod.yaml")
	s.noneRuns(pods, "Karpenter: node ", "ResourceNotRegistered", plugin, "CrashLoopBackOff", "v2")
	if err := s.World.DeleteWorkloads(t.Context(), objects); err != nil {
		t.Fatal(err)
	}
	config.Data["config.yaml"] = good
	if _, err = core.ConfigMaps("kube-system").Update(t.Context(), config, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}

	// A DaemonSet that tolerates no GPU node.
	tolerations := func(value string) {
		t.Helper()
		patch := []byte(`{"spec":{"template":{"spec":{"tolerations":` + value + `}}}}`)
		if _, err := apps.Patch(t.Context(), plugin, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	tolerations("null")
	s.newGPUNodes(client)
	objects, pods = s.place("examples/gpu-pod.yaml")
	s.noneRuns(pods, "Karpenter: node ", "ResourceNotRegistered", "tolerates its taints")
	if err := s.World.DeleteWorkloads(t.Context(), objects); err != nil {
		t.Fatal(err)
	}
	tolerations(`[{"key":"nvidia.com/gpu","operator":"Exists","effect":"NoSchedule"}]`)

	// All pools in use.
	_, pods = s.place(example, "rehearsal/scenario/testdata/pools.yaml")
	for _, p := range pods {
		if p.Phase != "Running" {
			t.Errorf("%s is %s: %s", p.Name, p.Phase, p.Reason)
		}
	}
	for _, pool := range []string{"x86", "arm64", "gpu"} {
		if s.launched(pool) == 0 {
			t.Errorf("pool %s has no node", pool)
		}
	}
	s.destroy()
}

// newGPUNodes has the nodes of the pool gpu replaced: it deletes their NodeClaims and
// waits until the nodes are gone.
func (s *story) newGPUNodes(client kubernetes.Interface) {
	s.t.Helper()
	if err := s.World.DeleteNodeClaims(s.t.Context(), "gpu"); err != nil {
		s.t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		nodes, err := client.CoreV1().Nodes().List(s.t.Context(), metav1.ListOptions{LabelSelector: "karpenter.sh/nodepool=gpu"})
		if err != nil {
			s.t.Fatal(err)
		}
		if len(nodes.Items) == 0 {
			return
		}
		if time.Since(begin) > 2*time.Minute {
			s.t.Fatalf("%d nodes of the pool gpu are still there", len(nodes.Items))
		}
	}
}

// TestMissingPermission: an action that the program's policies do not allow is denied
// to the controller. Karpenter finds out when it checks the node classes, the up says
// so, and nothing is launched.
func TestMissingPermission(t *testing.T) {
	t.Parallel()
	s := tell(t, func(r *plugin.CreateRequest) bool {
		switch r.Type {
		case "aws:iam/policy:Policy":
			if policy := r.Properties["policy"]; policy.IsString() {
				r.Properties["policy"] = resource.NewProperty(strings.ReplaceAll(policy.StringValue(), `"ec2:CreateFleet"`, `"ec2:DescribeFleets"`))
			}
		case "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass":
			r.Timeout = 30 // seconds; Karpenter has just been installed
		}
		return true
	})
	s.denies = true
	if err := s.Pulumi(t.Context(), "up", "--yes", "--skip-preview"); err == nil {
		t.Error("the up succeeds")
	}
	if want := "condition Ready=False (UnhealthyDependents: ValidationSucceeded=False)"; !strings.Contains(s.out.String(), want) {
		t.Errorf("the up does not say %q", want)
	}
	denied := false
	for _, d := range s.World.Denied() {
		denied = denied || d.Action == "ec2:CreateFleet" && strings.Contains(d.Principal, "karpenter")
	}
	if !denied || s.launched("gpu") > 0 {
		t.Errorf("denied were %v, and %d GPU nodes launched; want ec2:CreateFleet denied to Karpenter, and none", s.World.Denied(), s.launched("gpu"))
	}
	s.destroy()
}
