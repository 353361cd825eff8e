package instances

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
)

func TestFromAWS(t *testing.T) {
	t.Parallel()
	gpu := func(maker string, count, memory int) ec2.GetInstanceTypeGpus {
		return ec2.GetInstanceTypeGpus{Manufacturer: maker, Count: count, MemorySize: memory}
	}
	for _, c := range []struct {
		answer ec2.GetInstanceTypeResult
		want   Type
	}{
		{ec2.GetInstanceTypeResult{
			InstanceType: "g4dn.12xlarge", SupportedArchitectures: []string{"x86_64"}, Gpuses: []ec2.GetInstanceTypeGpus{gpu("NVIDIA", 4, 16384)},
			MaximumNetworkInterfaces: 8, MaximumIpv4AddressesPerInterface: 30,
		}, Type{Name: "g4dn.12xlarge", Arch: "amd64", GPUs: 4, GPUMemoryMiB: 16384, MaxPods: 234}},
		{ec2.GetInstanceTypeResult{ // no NVIDIA plugin drives it
			InstanceType: "g4ad.xlarge", SupportedArchitectures: []string{"x86_64"}, Gpuses: []ec2.GetInstanceTypeGpus{gpu("AMD", 1, 8192)},
			MaximumNetworkInterfaces: 2, MaximumIpv4AddressesPerInterface: 4,
		}, Type{Name: "g4ad.xlarge", Arch: "amd64", MaxPods: 8}},
		{ec2.GetInstanceTypeResult{
			InstanceType: "m7g.large", SupportedArchitectures: []string{"arm64"}, MaximumNetworkInterfaces: 3, MaximumIpv4AddressesPerInterface: 10,
		}, Type{Name: "m7g.large", Arch: "arm64", MaxPods: 29}},
	} {
		if diff := cmp.Diff(c.want, fromAWS(&c.answer)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.want.Name, diff)
		}
	}
}
