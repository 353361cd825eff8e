package live_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	standin "eks-gpu-slicing/rehearsal/provider/kubernetes"
	"eks-gpu-slicing/rehearsal/provider/kubernetes/live"
)

func TestDeleteWaitsAndSaysWhatHolds(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	maps := clientset(t).CoreV1().ConfigMaps(ns)
	program := func(name, annotations string) string {
		return "{apiVersion: v1, kind: ConfigMap, metadata: {name: " + name + ", namespace: " + ns + annotations + "}}"
	}
	p := start(t, nil, "{}")
	owner := declare(t, p, "core/v1:ConfigMap").up(program("owner", ""))
	owned := func(name string, owner *deployment) {
		blocks := true
		_, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: name, Finalizers: []string{"example.com/termination"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "v1", Kind: "ConfigMap", Name: nameOf(owner), BlockOwnerDeletion: &blocks,
				UID: types.UID(owner.state["metadata"].ObjectValue()["uid"].StringValue()),
			}},
		}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	release := func(name string) {
		_, err := maps.Patch(context.Background(), name, types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`),
			metav1.PatchOptions{})
		if err != nil {
			t.Error(err)
		}
	}
	owned("owned", owner)

	if err := owner.within(2 * time.Second).down(); err == nil || err.Error() != "timed out waiting for the condition" {
		t.Errorf("error %v", err)
	}
	direct, err := live.Connector(nil)(t.Context(), kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	object := standin.Object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": nameOf(owner), "namespace": ns}}
	var late *standin.NotReady
	if err := direct.Delete(t.Context(), object, object, 5*time.Second); !errors.As(err, &late) ||
		!slices.Equal(late.Causes, []string{"finalizers might be preventing deletion (foregroundDeletion)"}) {
		t.Errorf("error %#v", err)
	}
	if there, err := owner.refresh(); !there || err != nil {
		t.Errorf("the owner is there: %v, %v", there, err)
	}
	time.AfterFunc(300*time.Millisecond, func() { release("owned") })
	if err := owner.within(time.Minute).down(); err != nil {
		t.Errorf("after its last dependent: %v", err)
	}

	// In the background the owner goes at once, whatever it owns.
	second := declare(t, p, "core/v1:ConfigMap").up(program("second",
		", annotations: {pulumi.com/deletionPropagationPolicy: background, pulumi.com/timeoutSeconds: '5'}"))
	owned("kept", second)
	if err := second.down(); err != nil {
		t.Error(err)
	}
	release("kept")
}

func nameOf(d *deployment) string { return d.state["metadata"].ObjectValue()["name"].StringValue() }

func TestSkipAwaitOnDelete(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	held := func(typ, kind, spec string) *deployment {
		d := declare(t, start(t, nil, "{}"), typ).within(time.Second)
		return d.up("{apiVersion: v1, kind: " + kind + ", metadata: {name: h, namespace: " + ns +
			", finalizers: [example.com/f], annotations: {pulumi.com/skipAwait: 'true'}}" + spec + "}")
	}
	pod := held("core/v1:Pod", "Pod", ", spec: {nodeSelector: {none: such}, containers: [{name: c, image: i}]}")
	if err := pod.down(); err != nil {
		t.Errorf("a Pod's end is waited for: %v", err)
	}
	configMap := held("core/v1:ConfigMap", "ConfigMap", "")
	if err := configMap.down(); err == nil || !strings.Contains(err.Error(), "timed out") {
		t.Errorf("a ConfigMap's end is not waited for: %v", err)
	}
	for _, plural := range []string{"pods", "configmaps"} {
		if _, err := client(t, "", plural, ns).Patch(t.Context(), "h", types.MergePatchType,
			[]byte(`{"metadata": {"finalizers": null}}`), metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	}
}
