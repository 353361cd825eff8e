package scenario

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/workload"
)

// grace is the pools' terminationGracePeriod here, where the program's is half an hour.
// Karpenter deletes pods before it is over, by as much as they take to end: podGrace,
// Kubernetes' default.
const grace, podGrace = 45 * time.Second, 30 * time.Second

// hurry shortens the pools' terminationGracePeriod.
func hurry(r *plugin.CreateRequest) bool {
	if r.Type == "kubernetes:karpenter.sh/v1:NodePool" {
		spec := r.Properties["spec"].ObjectValue()["template"].ObjectValue()["spec"].ObjectValue()
		spec["terminationGracePeriod"] = resource.NewProperty(grace.String())
	}
	return true
}

// inUse places the example on two GPU nodes, with the objects of other files, and returns
// the nodes' instances.
func (s *story) inUse(files ...string) []account.Instance {
	s.t.Helper()
	_, pods := s.place(append(files, inference)...)
	for _, p := range pods {
		if p.Phase != "Running" {
			s.t.Errorf("%s is %s: %s", p.Name, p.Phase, p.Reason)
		}
	}
	gpu := s.running()
	if len(gpu) != 2 {
		s.t.Fatalf("%d GPU instances run, want 2", len(gpu))
	}
	return gpu
}

// stops destroys, which must stop short of the end and say all of the words. It returns
// what was said.
func (s *story) stops(words ...string) string {
	s.t.Helper()
	before, begin := len(s.out.String()), time.Now()
	if err := s.Pulumi(s.t.Context(), "destroy", "--yes", "--skip-preview"); err == nil {
		s.t.Error("the destroy ends as if all were well")
	}
	said := s.out.String()[before:]
	for _, w := range words {
		if !strings.Contains(said, w) {
			s.t.Errorf("the destroy does not say %q:\n%s", w, said)
		}
	}
	s.t.Logf("the destroy stopped after %v: %s", time.Since(begin).Round(100*time.Millisecond), words[0])
	return said
}

// delete deletes objects as kubectl does, and waits until they are gone.
func (s *story) delete(objects []workload.Object) {
	s.t.Helper()
	if err := s.World.DeleteWorkloads(s.t.Context(), objects); err != nil {
		s.t.Fatal(err)
	}
}

// foreign makes a NodePool, and a NodeClaim of no pool's that has an instance, both of an
// EC2NodeClass.
func (s *story) foreign(class string) []workload.Object {
	s.t.Helper()
	objects := s.read("rehearsal/scenario/testdata/foreign.yaml")
	for _, o := range objects {
		path := []string{"spec", "nodeClassRef", "name"}
		if o.GetKind() == "NodePool" {
			path = append([]string{"spec", "template"}, path...)
		}
		if err := unstructured.SetNestedField(o.Object, class, path...); err != nil {
			s.t.Fatal(err)
		}
	}
	s.apply(objects)
	s.await("the NodeClaim has an instance", time.Minute, func() (bool, string) {
		return len(s.foreignInstances()) == 1, "it has none"
	})
	return objects
}

// foreignInstances are those of the NodeClaim that [story.foreign] makes.
func (s *story) foreignInstances() []account.Instance {
	s.t.Helper()
	all, err := s.World.Account().DescribeInstances(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(i account.Instance) bool {
		return i.Tags["karpenter.sh/nodeclaim"] != "by-hand" || i.State != account.StateRunning
	})
}

// TestDestroyInUse: a destroy while GPU pods run that a budget lets nobody evict, and
// a pod that must not be disrupted. Both hold their nodes for as long as the pools'
// terminationGracePeriod leaves them. One of the nodes is a spot instance that AWS is
// about to take.
func TestDestroyInUse(t *testing.T) {
	t.Parallel()
	s := tell(t, hurry)
	s.up()
	gpu := s.inUse("rehearsal/scenario/testdata/held.yaml")
	if err := s.World.Account().InterruptSpotInstance(gpu[0].ID); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.destroy()
	took := time.Since(begin)
	if held := grace - podGrace; took < held {
		t.Errorf("the destroy took %v; the pods can hold it for %v", took, held)
	}
	t.Logf("the destroy took %v", took.Round(time.Second))
}

// TestSoakDestroyDeadKubelet: a destroy while the kubelet of a GPU node is dead. Its
// pods never say that they have ended; Karpenter gives up on them one group after the
// other.
func TestSoakDestroyDeadKubelet(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tell(t, hurry)
	s.up()
	gpu := s.inUse()
	if err := s.World.KillKubelet(gpu[0].ID); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.destroy()
	t.Logf("the destroy took %v", time.Since(begin).Round(time.Second))
}

// TestSoakDestroyUnrecorded: a destroy waits for an instance that Karpenter launched and
// never wrote down, until Karpenter ends it.
func TestSoakDestroyUnrecorded(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tell(t, hurry)
	s.up()
	gpu := s.inUse()
	lost, err := s.World.Account().LaunchUnrecorded(gpu[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.destroy()
	took := time.Since(begin)
	if took < 30*time.Second { // Karpenter leaves younger ones alone
		t.Errorf("the destroy took %v: it cannot have waited for %s", took, lost.ID)
	}
	t.Logf("the destroy took %v", took.Round(time.Second))
}

// TestDestroyWithForeignPools: NodePools and NodeClaims that the stack did not make are
// found before a destroy has deleted anything, and the error says how to delete them.
func TestDestroyWithForeignPools(t *testing.T) {
	t.Parallel()
	s := tell(t, hurry, "kubernetesVersion=1.35")
	s.up()
	objects := s.foreign("default")
	mends := regexp.MustCompile(`(Node\w+) (\S+) is none of this stack, .*: kubectl delete (\S+) (\S+) --timeout 45m`)
	var found []string // in the order in which the API server looks
	inventory := func() map[string]string {
		t.Helper()
		all, err := s.World.Account().Inventory()
		if err != nil {
			t.Fatal(err)
		}
		// Karpenter deletes launch templates of its own a minute after their last use.
		maps.DeleteFunc(all, func(name, _ string) bool { return strings.HasPrefix(name, "AWS::EC2::LaunchTemplate ") })
		return all
	}
	for range objects {
		before := inventory()
		said := s.stops("is none of this stack")
		m := mends.FindStringSubmatch(said)
		if m == nil || m[2] != m[4] || strings.ToLower(m[1]) != m[3] {
			t.Fatalf("the destroy names no object with the command that deletes it:\n%s", said)
		}
		found = append(found, m[3]+" "+m[4])
		if diff := cmp.Diff(before, inventory()); diff != "" || len(s.deleted) > 0 {
			t.Errorf("before it was refused, the destroy deleted %v:\n%s", s.deleted, diff)
		}
		s.delete(slices.DeleteFunc(slices.Clone(objects), func(o workload.Object) bool { return o.GetName() != m[4] }))
	}
	slices.Sort(found)
	if diff := cmp.Diff([]string{"nodeclaim by-hand", "nodepool mine"}, found); diff != "" {
		t.Errorf("found were (-want +got):\n%s", diff)
	}
	s.destroy()
}

// TestSoakDestroyBefore130: where there are no admission policies, nodes of others stop a
// destroy at the stack's class that they are of, with Karpenter still there to end them.
func TestSoakDestroyBefore130(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tell(t, hurry) // on 1.28
	s.up()
	objects := s.foreign("default")
	s.patience = 20 * time.Second
	s.stops(timedOut, "EC2NodeClass (pools-class-default)", "finalizers might be preventing deletion (", "karpenter.k8s.aws/termination")
	if got := len(s.foreignInstances()); got != 1 {
		t.Errorf("%d instances of others run, want 1", got)
	}
	if got := len(s.system("karpenter")); got != 2 {
		t.Errorf("Karpenter has %d pods, want 2", got)
	}
	s.delete(objects)
	s.patience = 0
	s.destroy()
}

// TestSoakDestroyForeignClass: the same with nodes of a class that is not the stack's
// either. The destroy stops when Karpenter is gone, at its CRDs, of which there are
// objects that nobody ends now. What the recovery page says ends it, and the instance.
func TestSoakDestroyForeignClass(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tell(t, hurry) // on 1.28
	s.up()
	s.foreignClass("theirs")
	s.foreign("theirs")
	s.patience = 20 * time.Second
	s.stops("karpenter-crd")
	if got := len(s.foreignInstances()); got != 1 {
		t.Errorf("%d instances of others run, want 1", got)
	}
	s.patience = 0
	s.pulumi("refresh", "destroy")
	if got := s.removeLeft("AWS::EC2::Instance"); got != 1 {
		t.Errorf("%d instances are listed, want 1", got)
	}
	s.removeLeft()
	if left := s.World.Leftovers(); len(left) > 0 {
		t.Errorf("left over in the account: %v", left)
	}
}

// foreignClass makes a copy of the stack's EC2NodeClass default under another name, of
// whose nodes the stack's security group knows nothing.
func (s *story) foreignClass(name string) {
	s.t.Helper()
	client, err := dynamic.NewForConfig(s.World.RESTConfig())
	if err != nil {
		s.t.Fatal(err)
	}
	class, err := client.Resource(schema.GroupVersionResource{Group: "karpenter.k8s.aws", Version: "v1", Resource: "ec2nodeclasses"}).Get(s.t.Context(), "default", metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	spec, ok := class.Object["spec"].(map[string]any)
	if !ok {
		s.t.Fatalf("the spec of EC2NodeClass default is a %T", class.Object["spec"])
	}
	groups, ok := spec["securityGroupSelectorTerms"].([]any)
	if !ok || len(groups) < 2 {
		s.t.Fatalf("the security groups of EC2NodeClass default: %v", spec["securityGroupSelectorTerms"])
	}
	spec["securityGroupSelectorTerms"] = groups[:1] // not the one by which a destroy waits for instances
	s.apply([]workload.Object{{File: "foreign class", Unstructured: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": class.GetAPIVersion(), "kind": class.GetKind(), "metadata": map[string]any{"name": name}, "spec": spec,
	}}}})
}
