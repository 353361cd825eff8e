package nvidia

import (
	"context"
	"fmt"
	"slices"

	spec "github.com/NVIDIA/k8s-device-plugin/api/config/v1"
	"github.com/urfave/cli/v2"

	"eks-gpu-slicing/rehearsal/kubelet"
)

// mpsDaemon is the image's MPS control daemon (cmd/mps-control-daemon) without MPS:
// it reads its config with NVIDIA's parser, refuses what the real one refuses, and
// then runs idly. Its init container's command mount-shm mounts nothing.
func mpsDaemon(ctx context.Context, c *kubelet.Container) kubelet.Exit {
	log := logger{c.Log}
	if slices.Contains(c.Spec.Command, "mount-shm") || slices.Contains(c.Spec.Args, "mount-shm") {
		return kubelet.Exit{}
	}
	flags := []cli.Flag{
		&cli.StringFlag{Name: "config-file"},
		&cli.StringFlag{Name: "mig-strategy", Value: spec.MigStrategyNone},
	}
	config, err := loadAs("NVIDIA MPS Control Daemon", flags, c, log, func(*spec.Config) error { return nil })
	if err == nil {
		err = assertClients(config, c)
	}
	if err != nil {
		log.write('E', fmt.Sprintf("error starting plugins: %v", err)) // the real one says so too
		return kubelet.Exit{Code: 1}
	}
	if config.Sharing.SharingStrategy() != spec.SharingStrategyMPS || len(nvidiaGPUs(c)) == 0 {
		log.write('I', "No devices are configured for MPS sharing; Waiting indefinitely.")
	} else {
		log.write('I', "Simulated: no MPS runs; memory and compute of the pods are not limited")
	}
	<-ctx.Done()
	return kubelet.Exit{}
}

// assertClients refuses more replicas than MPS takes clients (assertReplicas in
// cmd/mps-control-daemon/mps/device.go): 48 from compute capability 7.5 on, and 16
// below. The GPUs below it that EC2 has are these.
func assertClients(config *spec.Config, c *kubelet.Container) error {
	if config.Sharing.SharingStrategy() != spec.SharingStrategyMPS {
		return nil
	}
	for _, g := range nvidiaGPUs(c) {
		most := 48
		if slices.Contains([]string{"K80", "M60", "V100"}, g.Name) {
			most = 16
		}
		for _, r := range config.Sharing.MPS.Resources {
			if r.Name == resource && r.Replicas > most {
				return fmt.Errorf("error getting daemons: invalid MPS configuration: invalid device maximum allowed replicas exceeded: %d > %d", r.Replicas, most)
			}
		}
	}
	return nil
}
