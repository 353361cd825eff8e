package nvidia

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// TestPrograms: what the image's containers do, by their command. None of these
// advertises a device: the test's containers have no node that could take one.
func TestPrograms(t *testing.T) {
	t.Parallel()
	mps := func(replicas int) string {
		return fmt.Sprintf("version: v1\nsharing: {mps: {resources: [{name: nvidia.com/gpu, replicas: %d}]}}\n", replicas)
	}
	daemon := []string{"mps-control-daemon"}
	for name, tc := range map[string]struct {
		command []string
		config  string
		gpu     string
		runs    bool
		code    int32
		log     string
	}{
		"the daemon":                     {command: daemon, config: mps(48), gpu: "T4", runs: true, log: "Simulated: no MPS runs"},
		"the daemon by its path":         {command: []string{"/usr/bin/mps-control-daemon"}, config: mps(2), gpu: "L4", runs: true, log: "Simulated: no MPS runs"},
		"too many clients":               {command: daemon, config: mps(49), gpu: "T4", code: 1, log: "maximum allowed replicas exceeded: 49 > 48"},
		"too many clients of an old GPU": {command: daemon, config: mps(17), gpu: "V100", code: 1, log: "maximum allowed replicas exceeded: 17 > 16"},
		"the daemon without MPS":         {command: daemon, config: "version: v1\n", gpu: "T4", runs: true, log: "No devices are configured for MPS sharing"},
		"the daemon with another config": {command: daemon, config: "version: v2\n", gpu: "T4", code: 1, log: "unknown version: v2"},
		"the daemon's mounts":            {command: append(daemon, "mount-shm"), gpu: "T4"},
		"a program it has not":           {command: []string{"nvidia-smi"}, gpu: "T4", code: 128, log: `exec: "nvidia-smi"`},
		"a plugin without its MPS root":  {config: mps(4), gpu: "T4", code: 1, log: "using MPS requires --mps-root to be specified"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, log := container(t, tc.config, map[string]string{"CONFIG_FILE": "/config/config.yaml"})
			c.Spec.Command = tc.command
			c.Hardware = catalogue.Type{GPUs: []catalogue.GPU{{Name: tc.gpu, Manufacturer: "NVIDIA", Count: 1}}}
			limit := time.Minute
			if tc.runs {
				limit = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			exit := Plugin{}.Run(ctx, c)
			if ran := ctx.Err() != nil; ran != tc.runs || exit.Code != tc.code {
				t.Errorf("runs until it is stopped: %v, status %d; want %v, %d", ran, exit.Code, tc.runs, tc.code)
			}
			if !strings.Contains(log.String(), tc.log) {
				t.Errorf("the log %q lacks %q", log.String(), tc.log)
			}
		})
	}
}
