package instances

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
)

func TestFromAWS(t *testing.T) {
	t.Parallel()
	gpu := func(maker, name string, count int) ec2.GetInstanceTypeGpus {
		return ec2.GetInstanceTypeGpus{Manufacturer: maker, Name: name, Count: count}
	}
	cards := func(interfaces ...int) []ec2.GetInstanceTypeNetworkCard {
		var all []ec2.GetInstanceTypeNetworkCard
		for i, n := range interfaces {
			all = append(all, ec2.GetInstanceTypeNetworkCard{Index: i, MaximumInterfaces: n})
		}
		return all
	}
	for _, c := range []struct {
		answer ec2.GetInstanceTypeResult
		want   Type
	}{
		{ec2.GetInstanceTypeResult{
			InstanceType: "g4dn.12xlarge", SupportedArchitectures: []string{"x86_64"}, Gpuses: []ec2.GetInstanceTypeGpus{gpu("NVIDIA", "T4", 4)},
			MaximumNetworkInterfaces: 8, MaximumIpv4AddressesPerInterface: 30, NetworkCards: cards(8),
		}, Type{Name: "g4dn.12xlarge", Arch: "amd64", GPUs: 4, GPUName: "T4", MaxPods: 234}},
		{ec2.GetInstanceTypeResult{ // pods use the first of four cards: eni-max-pods.txt has 737
			InstanceType: "p4d.24xlarge", SupportedArchitectures: []string{"x86_64"}, Gpuses: []ec2.GetInstanceTypeGpus{gpu("NVIDIA", "A100", 8)},
			MaximumNetworkInterfaces: 60, MaximumIpv4AddressesPerInterface: 50, NetworkCards: cards(15, 15, 15, 15),
		}, Type{Name: "p4d.24xlarge", Arch: "amd64", GPUs: 8, GPUName: "A100", MaxPods: 737}},
		{ec2.GetInstanceTypeResult{ // no NVIDIA plugin drives it
			InstanceType: "g4ad.xlarge", SupportedArchitectures: []string{"x86_64"}, Gpuses: []ec2.GetInstanceTypeGpus{gpu("AMD", "Radeon Pro V520", 1)},
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
