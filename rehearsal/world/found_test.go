package world

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/controlplane/controlplanetest"
)

// TestDifference: in a world with a cluster that stands its nodes run, and whatever
// somebody does to it shows, in the account as in the cluster, and nothing else.
func TestDifference(t *testing.T) {
	t.Parallel()
	kube, err := controlplanetest.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w, err := Start(t.Context(), Options{Region: "us-west-2", Kind: "existing-bare", Dir: t.TempDir(), Kube: kube})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	client, err := kubernetes.NewForConfig(w.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 2 || !slices.ContainsFunc(nodes.Items[0].Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	}) {
		t.Fatalf("its nodes are %v (%v)", nodes, err)
	}
	node := nodes.Items[0].Name
	want := func(d Difference) {
		t.Helper()
		got, err := w.Difference(t.Context())
		if diff := cmp.Diff(d, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	want(Difference{})
	patch := func(value string) {
		t.Helper()
		if _, err := client.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"team":%s}}}`, value), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	patch(`"gpu"`)
	want(Difference{Changed: []string{"Node " + node + ": metadata.labels.team was platform and is gpu"}})
	patch(`"platform"`)
	want(Difference{})
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "left"}}
	if _, err := client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(t.Context(), config, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.account.CreateLogGroup("/left", "", account.Tags{}); err != nil {
		t.Fatal(err)
	}
	want(Difference{Added: []string{"ConfigMap default/left"}})
	if left := w.Leftovers(); len(left) != 1 || left[0].ID != "/left" {
		t.Errorf("left over in the account: %v", left)
	}
	if _, err := w.account.CreateAccessEntry(account.CreateAccessEntryInput{ClusterName: "platform", PrincipalARN: "arn:aws:iam::111122223333:role/platform-cluster"}); err != nil {
		t.Fatal(err)
	}
	want(Difference{Added: []string{"AWS::EKS::AccessEntry platform arn:aws:iam::111122223333:role/platform-cluster", "ConfigMap default/left"}})
	instances, err := w.account.DescribeInstances(nil)
	if err != nil || len(instances) != 2 {
		t.Fatalf("its instances are %v (%v)", instances, err)
	}
	one := instances[0]
	for _, thing := range []string{"Instance " + one.ID, "Volume " + one.VolumeID, "NetworkInterface " + one.NetworkInterfaceID, "Subnet " + one.SubnetID} {
		id := strings.Fields(thing)[1:]
		if err := w.account.CreateTags(id, account.Tags{"test": "gpu"}); err != nil {
			t.Fatal(err)
		}
		got, err := w.Difference(t.Context())
		if err != nil || len(got.Changed) != 1 || !strings.HasPrefix(got.Changed[0], "AWS::EC2::"+thing+": Tags") {
			t.Errorf("a tag of %s shows as %q (%v)", thing, got.Changed, err)
		}
		if err := w.account.DeleteTags(id, []string{"test"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.account.DetachRolePolicy("platform-nodes", "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"); err != nil {
		t.Fatal(err)
	}
	got, err := w.Difference(t.Context())
	if err != nil || len(got.Changed) != 1 || !strings.HasPrefix(got.Changed[0], "AWS::IAM::Role platform-nodes: [1] was [") {
		t.Errorf("a policy that was detached shows as %q (%v)", got.Changed, err)
	}
	if err := w.account.DeleteAddon("platform", "coredns", false); err != nil {
		t.Fatal(err)
	}
	got, err = w.Difference(t.Context())
	for _, gone := range []string{"AWS::EKS::Addon platform coredns is gone", "Deployment kube-system/coredns is gone"} {
		if err != nil || !slices.Contains(got.Changed, gone) {
			t.Errorf("an add-on that was deleted shows as %q (%v), without %q", got.Changed, err, gone)
		}
	}
	if _, err := w.account.StopInstances(one.ID); err != nil {
		t.Fatal(err)
	}
	w.account.NoteCall(account.CallerARN, "delete aws:iam/role:Role", "iam/platform-cluster")
	got, err = w.Difference(t.Context())
	for _, want := range []string{"AWS::EC2::Instance " + one.ID + " is gone", "AWS::EC2::Volume " + one.VolumeID + " is gone", "AWS::IAM::Role platform-cluster: " + account.CallerARN + " has called delete aws:iam/role:Role"} {
		if err != nil || !slices.Contains(got.Changed, want) {
			t.Errorf("an instance that was stopped, and a call, show as %q (%v), without %q", got.Changed, err, want)
		}
	}
}
