package scenario

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"eks-gpu-slicing/rehearsal/session"
	"eks-gpu-slicing/rehearsal/workload"
)

// TestExistingNames: what others have by the names of the stack's own objects is never
// taken over. The up stops and says which it is; neither that nor the destroy changes
// it. Once they are gone the same stack comes up.
func TestExistingNames(t *testing.T) {
	t.Parallel()
	s := tellOf(t, session.Options{Stack: "existing", World: "existing-karpenter"}, nil)
	objects := s.read("rehearsal/scenario/testdata/theirs.yaml")
	s.apply(objects)
	client, err := dynamic.NewForConfig(s.World.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	theirs := []struct {
		dynamic.ResourceInterface
		name, says string
	}{
		{client.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}).Namespace("kube-system"),
			"nvidia-device-plugin", `daemonsets.apps "nvidia-device-plugin" already exists`},
		{client.Resource(schema.GroupVersionResource{Group: "karpenter.sh", Version: "v1", Resource: "nodepools"}), "gpu", `nodepools.karpenter.sh "gpu" already exists`},
	}
	s.await("Karpenter has looked at the NodePool", time.Minute, func() (bool, string) {
		pool, err := theirs[1].Get(t.Context(), "gpu", metav1.GetOptions{})
		return err == nil && isTrue(pool, "Ready"), "it is not Ready"
	})
	// As somebody has made it, and who has.
	as := func(i int) *unstructured.Unstructured {
		t.Helper()
		o, err := theirs[i].Get(t.Context(), theirs[i].name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		delete(o.Object, "status")
		fields := o.GetManagedFields()
		o.SetManagedFields(slices.DeleteFunc(fields, func(f metav1.ManagedFieldsEntry) bool { return f.Subresource == "status" }))
		o.SetResourceVersion("")
		return o
	}
	for i := range theirs {
		var was []*unstructured.Unstructured
		for left := i; left < len(theirs); left++ {
			was = append(was, as(left))
		}
		before := len(s.out.String())
		if err := s.Pulumi(t.Context(), "up", "--yes", "--skip-preview"); err == nil {
			t.Errorf("the up takes the %s", theirs[i].name)
		}
		for _, want := range []string{theirs[i].says, "The resource already exists in the cluster."} {
			if said := s.out.String()[before:]; !strings.Contains(said, want) {
				t.Errorf("the up does not say %q:\n%s", want, said)
			}
		}
		s.destroy()
		for n, o := range was {
			if diff := cmp.Diff(o, as(i+n)); diff != "" {
				t.Errorf("after up and destroy, %s (-was +is):\n%s", o.GetName(), diff)
			}
		}
		s.delete(slices.DeleteFunc(slices.Clone(objects), func(o workload.Object) bool { return o.GetName() != theirs[i].name }))
	}
	s.up()
	s.destroy()
}
