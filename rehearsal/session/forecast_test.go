package session

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/workload"
)

// checkout is the folder of the project.
const checkout = "../.."

func object(apiVersion, kind string, spec map[string]any) workload.Object {
	return workload.Object{File: "a.yaml", Unstructured: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": "a"}, "spec": spec,
	}}}
}

// What is wrong in what was asked is told before anything is started.
func TestForecastBadInput(t *testing.T) {
	t.Parallel()
	good := []workload.Object{object("v1", "Pod", nil)}
	for _, c := range []struct {
		name    string
		stack   string
		config  []string
		slices  []int
		objects []workload.Object
		says    []string
	}{
		{name: "no workload", stack: "dev", slices: []int{1}, says: []string{"--workload"}},
		{name: "no slices", stack: "dev", objects: good, says: []string{"--slices 1,2,4,8"}},
		{name: "all at once", stack: "dev", slices: []int{0, -2}, says: []string{"--slices 0:", "--slices -2:", "--workload"}},
		{name: "slices twice", stack: "dev", slices: []int{2}, objects: good, config: []string{"gpuSlices=8"}, says: []string{"--config gpuSlices=8", "--slices"}},
		{name: "slices twice, with a namespace", stack: "dev", slices: []int{2}, objects: good, config: []string{"eks-gpu-slicing:gpuSlices=8"}, says: []string{"--slices"}},
		{name: "no such stack", stack: "test", slices: []int{2}, objects: good, says: []string{`stack "test"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			_, err := Forecast(t.Context(), Options{Checkout: checkout, Stack: c.stack, Config: c.config, Dir: dir, Out: io.Discard}, c.slices, c.objects, false)
			if _, ok := errors.AsType[UsageError](err); !ok {
				t.Fatalf("the error is %v, not one of usage", err)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("it does not say %q: %v", want, err)
				}
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("there is %v (%v): something was started", left, err)
			}
		})
	}
}

func TestCheckSlices(t *testing.T) {
	t.Parallel()
	pools := []report.Pool{{Name: "gpu", Sharing: "none", Slices: 1}}
	if err := checkSlices(pools, 1); err != nil {
		t.Error(err)
	}
	if err := checkSlices(pools, 4); err == nil || !strings.Contains(err.Error(), "sharing is none") || !strings.Contains(err.Error(), "--config gpuSharing=") {
		t.Errorf("it says %v", err)
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		object workload.Object
		says   string // "" for an object that is applied
	}{
		{object("v1", "Pod", nil), ""},
		{object("apps/v1", "StatefulSet", nil), ""},
		{object("v1", "Service", map[string]any{"type": "ClusterIP"}), ""},
		{object("v1", "Service", nil), ""},
		{object("v1", "Service", map[string]any{"type": "LoadBalancer"}), "load balancers"},
		{object("networking.k8s.io/v1", "Ingress", nil), "ingress controller"},
		{object("autoscaling/v2", "HorizontalPodAutoscaler", nil), "--scale"},
		{object("batch/v1", "CronJob", nil), "a Job of its template"},
		{object("batch/v1", "Job", nil), ""},
		{object("serving.knative.dev/v1", "Service", map[string]any{"type": "LoadBalancer"}), ""}, // not ours to judge
	} {
		if got := idle(c.object.Unstructured); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("of %s %s it says %q, want %q", c.object.GetAPIVersion(), c.object.GetKind(), got, c.says)
		}
	}
}

func TestNoneServed(t *testing.T) {
	t.Parallel()
	err := noneServed([]report.LeftOut{{Object: "CronJob a (a.yaml)", Reason: "it makes pods at its times alone"}})
	for _, want := range []string{"nothing to forecast", "CronJob a (a.yaml): it makes pods"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q: %v", want, err)
		}
	}
}

func TestDiagnostics(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"the engine's":    {"Updating (dev):\n + a\nDiagnostics:\n  pulumi:pulumi:Stack:\n    error: gpuSlices is 64\n", "pulumi:pulumi:Stack:\n    error: gpuSlices is 64"},
		"no such section": {"error: it died\n", "error: it died"},
		"nothing":         {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pulumi.log")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := diagnostics(file); got != c.want {
				t.Errorf("it is %q, want %q", got, c.want)
			}
		})
	}
}
