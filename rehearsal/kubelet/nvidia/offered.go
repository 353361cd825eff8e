package nvidia

import (
	"errors"

	"eks-gpu-slicing/rehearsal/kubelet"
)

// Offered is what a node offers once the plugin's container runs on it, without
// running it: of c it takes the spec, the root with the files that are mounted, and
// the hardware. The error is the plugin's when it would not start; a node without a
// GPU is one.
func Offered(c *kubelet.Container) ([]kubelet.Devices, error) {
	config, err := load(c, logger{c.Log})
	if err != nil {
		return nil, err
	}
	gpus := 0
	for _, g := range nvidiaGPUs(c) {
		gpus += g.Count
	}
	if gpus == 0 {
		return nil, errors.New("unable to create plugins: the node has no NVIDIA GPU")
	}
	return devices(config, gpus), nil
}
