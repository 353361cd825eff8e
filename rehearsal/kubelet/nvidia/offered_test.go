package nvidia

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"eks-gpu-slicing/rehearsal/catalogue"
	"eks-gpu-slicing/rehearsal/kubelet"
)

func TestOffered(t *testing.T) {
	t.Parallel()
	c := &kubelet.Container{
		Spec: &corev1.Container{Name: "plugin", Env: []corev1.EnvVar{{Name: "CONFIG_FILE", Value: "/config/config.yaml"}}},
		Root: t.TempDir(), Log: io.Discard,
		Hardware: catalogue.Type{GPUs: []catalogue.GPU{{Manufacturer: "NVIDIA", Count: 4}}},
	}
	if _, err := Offered(c); err == nil {
		t.Error("a plugin whose config is not there starts")
	}
	file := filepath.Join(c.Root, "config", "config.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	const config = "version: v1\nsharing: {timeSlicing: {failRequestsGreaterThanOne: true, resources: [{name: nvidia.com/gpu, replicas: 3}]}}\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	offered, err := Offered(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(offered) != 1 || offered[0].Resource != resource || offered[0].Count != 12 || offered[0].Allocate(1) != nil || offered[0].Allocate(2) == nil {
		t.Errorf("offered are %+v, want 12 slices, one a container", offered)
	}
	c.Hardware.GPUs = nil
	if _, err := Offered(c); err == nil {
		t.Error("a node without GPUs offers some")
	}
}
