package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/karpenter-provider-aws/pkg/fake"
	"github.com/aws/karpenter-provider-aws/pkg/providers/instancetype"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// The tests of this file hold the catalogue against what others recorded of
// AWS: Karpenter's recorded EC2 answers, its prices, its computation of pods,
// and the EKS AMIs' table of pods.

func load(t *testing.T) *catalogue.Catalogue {
	t.Helper()
	c, err := catalogue.Default()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// describe renders a type as EC2 would, in the fields that Karpenter's
// recorded answers hold.
func describe(t catalogue.Type) ec2types.InstanceTypeInfo {
	n := func(i int) *int32 { return aws.Int32(int32(i)) }
	info := ec2types.InstanceTypeInfo{
		InstanceType:                  ec2types.InstanceType(t.Name),
		BurstablePerformanceSupported: aws.Bool(t.Burstable),
		BareMetal:                     aws.Bool(t.BareMetal),
		Hypervisor:                    ec2types.InstanceTypeHypervisor(t.Hypervisor),
		ProcessorInfo: &ec2types.ProcessorInfo{
			Manufacturer:             aws.String(t.CPUManufacturer),
			SustainedClockSpeedInGhz: aws.Float64(t.ClockGHz),
		},
		VCpuInfo:   &ec2types.VCpuInfo{DefaultVCpus: n(t.VCPUs), DefaultCores: n(t.Cores())},
		MemoryInfo: &ec2types.MemoryInfo{SizeInMiB: aws.Int64(t.MemoryMiB)},
		EbsInfo: &ec2types.EbsInfo{
			EbsOptimizedSupport: ec2types.EbsOptimizedSupport(t.EBS.Optimized),
			EncryptionSupport:   "supported",
			NvmeSupport:         ec2types.EbsNvmeSupport(t.EBS.NVMe),
			EbsOptimizedInfo: &ec2types.EbsOptimizedInfo{
				BaselineBandwidthInMbps:  n(t.EBS.BaselineMbps),
				BaselineIops:             n(t.EBS.BaselineIOPS),
				BaselineThroughputInMBps: aws.Float64(float64(t.EBS.BaselineMbps) / 8),
				MaximumBandwidthInMbps:   n(t.EBS.MaximumMbps),
				MaximumIops:              n(t.EBS.MaximumIOPS),
				MaximumThroughputInMBps:  aws.Float64(float64(t.EBS.MaximumMbps) / 8),
			},
		},
		NetworkInfo: &ec2types.NetworkInfo{
			MaximumNetworkInterfaces:     n(t.Network.Interfaces()),
			Ipv4AddressesPerInterface:    n(t.Network.IPv4PerInterface),
			EncryptionInTransitSupported: aws.Bool(t.Network.EncryptionInTransit),
			DefaultNetworkCardIndex:      n(t.Network.DefaultCard),
		},
		PlacementGroupInfo: &ec2types.PlacementGroupInfo{SupportedStrategies: []ec2types.PlacementGroupStrategy{"partition", "spread"}},
	}
	if t.ClusterPlacement {
		info.PlacementGroupInfo.SupportedStrategies = []ec2types.PlacementGroupStrategy{"cluster", "partition", "spread"}
	}
	for _, v := range t.VirtualizationTypes {
		info.SupportedVirtualizationTypes = append(info.SupportedVirtualizationTypes, ec2types.VirtualizationType(v))
	}
	for _, a := range t.Architectures {
		info.ProcessorInfo.SupportedArchitectures = append(info.ProcessorInfo.SupportedArchitectures, ec2types.ArchitectureType(a))
	}
	for i, interfaces := range t.Network.Cards {
		info.NetworkInfo.NetworkCards = append(info.NetworkInfo.NetworkCards, ec2types.NetworkCardInfo{
			NetworkCardIndex: n(i), MaximumNetworkInterfaces: n(interfaces),
		})
	}
	if t.Network.EFAInterfaces > 0 {
		info.NetworkInfo.EfaInfo = &ec2types.EfaInfo{MaximumEfaInterfaces: n(t.Network.EFAInterfaces)}
	}
	for _, g := range t.GPUs {
		info.GpuInfo = &ec2types.GpuInfo{Gpus: []ec2types.GpuDeviceInfo{{
			Name: aws.String(g.Name), Manufacturer: aws.String(g.Manufacturer), Count: n(g.Count),
			MemoryInfo: &ec2types.GpuDeviceMemoryInfo{SizeInMiB: n(g.MemoryMiB)},
		}}}
	}
	for _, d := range t.NeuronDevices {
		info.NeuronInfo = &ec2types.NeuronInfo{NeuronDevices: []ec2types.NeuronDeviceInfo{{
			Name: aws.String(d.Name), Count: n(d.Count),
			CoreInfo:   &ec2types.NeuronDeviceCoreInfo{Count: n(d.Cores), Version: n(d.CoreVersion)},
			MemoryInfo: &ec2types.NeuronDeviceMemoryInfo{SizeInMiB: n(d.MemoryMiB)},
		}}}
	}
	if d := t.Disks; d != nil {
		info.InstanceStorageInfo = &ec2types.InstanceStorageInfo{NvmeSupport: "unsupported", TotalSizeInGB: aws.Int64(int64(d.Count) * d.SizeGB)}
		if d.NVMe {
			info.InstanceStorageInfo.NvmeSupport = "required"
		}
	}
	return info
}

// TestKarpentersRecordedAnswers compares with the EC2 answers Karpenter
// recorded for its own tests.
func TestKarpentersRecordedAnswers(t *testing.T) {
	t.Parallel()
	c := load(t)
	recorded, err := fake.NewEC2API().DescribeInstanceTypes(t.Context(), &ec2.DescribeInstanceTypesInput{})
	if err != nil {
		t.Fatal(err)
	}
	if len(recorded.InstanceTypes) < 10 {
		t.Fatalf("Karpenter has %d recorded answers, want at least 10", len(recorded.InstanceTypes))
	}
	for _, want := range recorded.InstanceTypes {
		it, ok := c.Type(string(want.InstanceType))
		if !ok {
			t.Errorf("%s is not in the catalogue", want.InstanceType)
			continue
		}
		want.SupportedUsageClasses = nil // depends on the region: part of an offering
		// Karpenter rounds throughput to two decimals.
		if diff := cmp.Diff(want, describe(it), cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateApprox(0.002, 0)); diff != "" {
			t.Errorf("%s (-Karpenter +catalogue):\n%s", want.InstanceType, diff)
		}
	}
}

// TestMaxPodsAsKarpenterComputes compares every type.
func TestMaxPodsAsKarpenterComputes(t *testing.T) {
	t.Parallel()
	for _, it := range load(t).Types() {
		want := instancetype.ENILimitedPods(t.Context(), describe(it), 0, nil).Value()
		if got := int64(it.MaxPods()); got != want {
			t.Errorf("%s: %d pods, Karpenter computes %d", it.Name, got, want)
		}
	}
}

// TestMaxPodsOfEKSImages compares with eni-max-pods.txt, the table EKS AMIs
// configure the kubelet from, in the version Karpenter's module graph pins
// (February 2024).
func TestMaxPodsOfEKSImages(t *testing.T) {
	t.Parallel()
	// Since then AWS has raised the interfaces per card of these from 7 to 8
	// (49 pods more) and lowered those of h1.16xlarge.
	moved := map[string]int{
		"c6in.32xlarge": 394, "c6in.metal": 394, "m6idn.32xlarge": 394, "m6idn.metal": 394,
		"m6in.32xlarge": 394, "m6in.metal": 394, "r6idn.32xlarge": 394, "r6idn.metal": 394,
		"r6in.32xlarge": 394, "r6in.metal": 394, "h1.16xlarge": 394,
	}
	nodeadm, err := findModule(t.Context(), "github.com/awslabs/amazon-eks-ami/nodeadm")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(nodeadm.Dir, "internal", "kubelet", "eni-max-pods.txt"))
	if err != nil {
		t.Fatal(err)
	}
	c, compared := load(t), 0
	for line := range strings.Lines(string(table)) {
		name, pods, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		it, ok := c.Type(name)
		if !ok {
			continue // retired
		}
		want, err := strconv.Atoi(pods)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if now, ok := moved[name]; ok {
			want = now
		}
		if it.MaxPods() != want {
			t.Errorf("%s: %d pods, the EKS images have %d", name, it.MaxPods(), want)
		}
		compared++
	}
	if compared < 700 {
		t.Errorf("compared %d types, want at least 700", compared)
	}
}

// TestPricesOfKarpenter compares with Karpenter's own table, which is a year
// newer than the price list.
func TestPricesOfKarpenter(t *testing.T) {
	t.Parallel()
	c := load(t)
	for region, byType := range newerPrices() {
		types, err := c.TypesIn(region)
		if err != nil {
			t.Fatal(err)
		}
		compared := 0
		for _, it := range types {
			want, ok := byType[ec2types.InstanceType(it.Name)]
			if !ok {
				continue
			}
			compared++
			price, err := c.OnDemand(region, it.Name)
			if err != nil {
				t.Fatal(err)
			}
			// Metal sizes: Karpenter has the price of dedicated tenancy, up to
			// a tenth above the shared one.
			if got := price.USDPerHour; got != round(want) && (!it.BareMetal || want < got || want > 1.11*got) || price.Assumed {
				t.Errorf("%s in %s: $%v (assumed: %t), Karpenter has $%v", it.Name, region, got, price.Assumed, want)
			}
		}
		if compared < 300 {
			t.Errorf("%s: compared %d types, want at least 300", region, compared)
		}
	}
}
