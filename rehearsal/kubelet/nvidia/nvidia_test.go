package nvidia

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"eks-gpu-slicing/rehearsal/kubelet"
)

// container is one of the plugin with a config file at /config/config.yaml.
func container(t *testing.T, config string, env map[string]string, args ...string) (*kubelet.Container, *bytes.Buffer) {
	t.Helper()
	root := t.TempDir()
	if config != "" {
		if err := os.Mkdir(filepath.Join(root, "config"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "config", "config.yaml"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spec := &corev1.Container{Args: args}
	for name, value := range env {
		spec.Env = append(spec.Env, corev1.EnvVar{Name: name, Value: value})
	}
	var log bytes.Buffer
	return &kubelet.Container{Spec: spec, Root: root, Log: &log}, &log
}

func TestConfig(t *testing.T) {
	t.Parallel()
	inEnv := map[string]string{"CONFIG_FILE": "/config/config.yaml"}
	sharing := func(kind, extra string) string {
		return "version: v1\nsharing: {" + kind + ": {" + extra + "resources: [{name: nvidia.com/gpu, replicas: 4}]}}\n"
	}
	for name, tc := range map[string]struct {
		config string
		env    map[string]string
		args   []string
		// want is what a node with two GPUs offers.
		want string
		// limited tells that a container may have one only.
		limited bool
		err     string
		log     string
	}{
		"no config":             {want: "2 nvidia.com/gpu"},
		"no sharing":            {config: "version: v1\n", env: inEnv, want: "2 nvidia.com/gpu"},
		"time-slicing":          {config: sharing("timeSlicing", ""), env: inEnv, want: "8 nvidia.com/gpu"},
		"limited":               {config: sharing("timeSlicing", "failRequestsGreaterThanOne: true, "), env: inEnv, want: "8 nvidia.com/gpu", limited: true},
		"renamed":               {config: sharing("timeSlicing", "renameByDefault: true, "), env: inEnv, want: "8 nvidia.com/gpu.shared"},
		"by argument":           {config: sharing("timeSlicing", ""), args: []string{"--config-file=/config/config.yaml"}, want: "8 nvidia.com/gpu"},
		"by two arguments":      {config: sharing("timeSlicing", ""), args: []string{"--config-file", "/config/config.yaml"}, want: "8 nvidia.com/gpu"},
		"MPS":                   {config: sharing("mps", ""), env: map[string]string{"CONFIG_FILE": "/config/config.yaml", "MPS_ROOT": "/run/nvidia/mps"}, want: "8 nvidia.com/gpu", limited: true},
		"MPS without its root":  {config: sharing("mps", ""), env: inEnv, err: "unable to validate flags: using MPS requires --mps-root to be specified"},
		"another resource":      {config: strings.ReplaceAll(sharing("timeSlicing", ""), "nvidia.com/gpu", "nvidia.com/mig-1g.5gb"), env: inEnv, want: "2 nvidia.com/gpu"},
		"renamed by hand":       {config: strings.ReplaceAll(sharing("timeSlicing", ""), "replicas", "rename: nvidia.com/slice, replicas"), env: inEnv, want: "8 nvidia.com/gpu", log: "Setting the 'rename' field in sharing.timeSlicing.resources is not yet supported"},
		"another version":       {config: "version: v2\n", env: inEnv, err: "unable to load config: unable to finalize config: unable to parse config file: error parsing config file: unknown version: v2"},
		"no file":               {env: inEnv, err: "error opening config file: open /config/config.yaml: no such file or directory"},
		"one replica":           {config: strings.ReplaceAll(sharing("timeSlicing", ""), "4", "1"), env: inEnv, err: "number of replicas must be >= 2"},
		"no resources":          {config: "version: v1\nsharing: {timeSlicing: {renameByDefault: true}}\n", env: inEnv, err: "no resources specified"},
		"unknown flag":          {args: []string{"--slices=4"}, err: "flag provided but not defined: -slices"},
		"unknown MIG strategy":  {args: []string{"--mig-strategy=some"}, err: "unknown MIG strategy: some"},
		"MIG strategy, by env":  {env: map[string]string{"MIG_STRATEGY": "some"}, err: "unknown MIG strategy: some"},
		"arguments win":         {env: map[string]string{"MIG_STRATEGY": "some"}, args: []string{"--mig-strategy=none"}, want: "2 nvidia.com/gpu"},
		"unknown discovery":     {args: []string{"--device-discovery-strategy=luck"}, err: "invalid --device-discovery-strategy option luck"},
		"unknown list strategy": {args: []string{"--device-list-strategy=luck"}, err: "invalid --device-list-strategy option"},
		"unknown ID strategy":   {args: []string{"--device-id-strategy=luck"}, err: "invalid --device-id-strategy option: luck"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, log := container(t, tc.config, tc.env, tc.args...)
			config, err := load(c, logger{c.Log})
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want one with %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			offered := devices(config, 2)
			if len(offered) != 1 {
				t.Fatalf("%d resources are offered, want 1", len(offered))
			}
			number, resource, _ := strings.Cut(tc.want, " ")
			if got := offered[0]; string(got.Resource) != resource || number != string(rune('0'+got.Count)) {
				t.Errorf("a node offers %d of %s, want %s", got.Count, got.Resource, tc.want)
			}
			refuses := offered[0].Allocate != nil && offered[0].Allocate(2) != nil
			if refuses != tc.limited {
				t.Errorf("a container that asks for two is refused: %v, want %v", refuses, tc.limited)
			}
			if offered[0].Allocate != nil && offered[0].Allocate(1) != nil {
				t.Error("a container that asks for one is refused")
			}
			if !strings.Contains(log.String(), tc.log) {
				t.Errorf("the log %q lacks %q", log.String(), tc.log)
			}
		})
	}
}

// The environment of this process is not the container's.
func TestConfigIgnoresThisProcess(t *testing.T) {
	t.Setenv("MIG_STRATEGY", "some")
	c, _ := container(t, "", nil)
	if _, err := load(c, logger{c.Log}); err != nil {
		t.Error(err)
	}
}
