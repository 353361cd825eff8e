package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/karpenter-provider-aws/pkg/providers/instancetype"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// buildTypes turns the price source's instances into types, corrected. Those
// whose network limits no source knows are dropped.
func buildTypes(instances []instance) (map[string]catalogue.Type, error) {
	var types []*catalogue.Type
	for _, in := range instances {
		if in.Arch[0] != "x86_64" && in.Arch[0] != "arm64" && in.Arch[0] != "i386" {
			continue // macOS: sold by dedicated host only
		}
		t, err := buildType(in)
		if err != nil {
			return nil, fmt.Errorf("instance type %s: %w", in.InstanceType, err)
		}
		types = append(types, &t)
	}
	if err := correct(types); err != nil {
		return nil, err
	}
	built := make(map[string]catalogue.Type, len(types))
	for _, t := range types {
		if len(t.Network.Cards) > 0 {
			if hasEFA(t.Name) {
				t.Network.EFAInterfaces = len(t.Network.Cards)
			}
			built[t.Name] = *t
		}
	}
	return built, nil
}

func buildType(in instance) (catalogue.Type, error) {
	name := in.InstanceType
	t := catalogue.Type{
		Name:                name,
		CurrentGeneration:   in.Generation == "current",
		BareMetal:           strings.Contains(name, ".metal"),
		Burstable:           in.BasePerformance != nil,
		VirtualizationTypes: []string{"hvm"},
		Architectures:       in.Arch,
		VCPUs:               in.VCPU,
		ThreadsPerCore:      2,
		// The source rounds up the odd sizes of the first families.
		MemoryMiB:        int64(in.MemoryGiB * 1024),
		ClusterPlacement: in.ClusterPlacement,
	}
	if slices.Contains(in.Virtualization, "PV") {
		t.VirtualizationTypes = append(t.VirtualizationTypes, "paravirtual")
	}
	if slices.Contains(in.Arch, "arm64") || listed(singleThreaded, name) {
		t.ThreadsPerCore = 1
	}
	var err error
	if t.CPUManufacturer, err = cpuManufacturer(in.PhysicalProcessor); err != nil {
		return catalogue.Type{}, err
	}
	if t.ClockGHz, err = clock(in); err != nil {
		return catalogue.Type{}, err
	}
	if err := addAccelerators(&t, in.GPU); err != nil {
		return catalogue.Type{}, err
	}
	if s := in.Storage; s != nil {
		t.Disks = &catalogue.Disks{Count: s.Devices, SizeGB: s.Size, SSD: s.SSD, NVMe: s.NVMe}
	}
	t.EBS = buildEBS(in)
	t.Network = catalogue.Network{
		Performance:         in.NetworkPerformance,
		IPv6:                in.IPv6,
		ENA:                 ena(name),
		EncryptionInTransit: !listed(unencrypted, name),
	}
	switch limits := instancetype.Limits[name]; {
	case limits != nil:
		t.Hypervisor = limits.Hypervisor
		t.Network.DefaultCard = limits.DefaultNetworkCardIndex
		t.Network.IPv4PerInterface = limits.IPv4PerInterface
		for _, card := range limits.NetworkCards {
			t.Network.Cards = append(t.Network.Cards, int(card.MaximumNetworkInterfaces))
		}
	case !t.BareMetal:
		t.Hypervisor = "nitro"
		fallthrough
	default:
		if v := in.VPC; v != nil {
			t.Network.Cards, t.Network.IPv4PerInterface = []int{v.Interfaces}, v.IPv4
		}
	}
	return t, nil
}

func cpuManufacturer(processor string) (string, error) {
	switch {
	case strings.Contains(processor, "Graviton"):
		return "AWS", nil
	case strings.Contains(processor, "AMD"):
		return "AMD", nil
	case strings.Contains(processor, "Intel"), processor == "Variable": // t1.micro
		return "Intel", nil
	default:
		return "", fmt.Errorf("processor %q: want one of Intel, AMD or AWS Graviton", processor)
	}
}

var number = regexp.MustCompile(`[0-9.]+`)

// clock is 0 for the first families, for which EC2 states none either.
func clock(in instance) (float64, error) {
	if ghz, ok := clockOf[in.InstanceType]; ok {
		return ghz, nil
	}
	if ghz, ok := clockOf[family(in.InstanceType)]; ok {
		return ghz, nil
	}
	if in.ClockSpeed == "" {
		return 0, nil
	}
	ghz, err := strconv.ParseFloat(number.FindString(in.ClockSpeed), 64)
	if err != nil {
		return 0, fmt.Errorf("clock speed %q: want a number of GHz; add it to clockOf in facts.go", in.ClockSpeed)
	}
	return ghz, nil
}

// addAccelerators fills GPUs or Neuron devices: the price source counts both as
// GPUs.
func addAccelerators(t *catalogue.Type, count int) error {
	gpu, isGPU := gpuOf[family(t.Name)]
	neuron, isNeuron := neuronOf[family(t.Name)]
	switch {
	case isNeuron:
		neuron.Count = count
		t.NeuronDevices = []catalogue.NeuronDevice{neuron}
	case isGPU && count == 0 && gpu.Manufacturer == "Habana":
		gpu.Count = 8 // not a GPU to the price source; dl1 has one size
		t.GPUs = []catalogue.GPU{gpu}
	case isGPU:
		gpu.Count = count
		t.GPUs = []catalogue.GPU{gpu}
	case count > 0 && instancetype.Limits[t.Name] != nil:
		return fmt.Errorf("%d GPUs of a family that gpuOf in facts.go lacks: add it", count)
	}
	return nil
}

func buildEBS(in instance) catalogue.EBS {
	ebs := catalogue.EBS{
		Optimized:    "unsupported",
		NVMe:         "unsupported",
		BaselineMbps: in.EBSBaseBandwidth,
		MaximumMbps:  in.EBSMaxBandwidth,
		BaselineIOPS: in.EBSBaseIOPS,
		MaximumIOPS:  int(in.EBSMaxIOPS),
	}
	switch {
	case in.EBSOptimized && listed(ebsByRequest, in.InstanceType):
		ebs.Optimized = "supported"
	case in.EBSOptimized:
		ebs.Optimized = "default"
	}
	if in.EBSAsNVMe {
		ebs.NVMe = "required"
	}
	return ebs
}
