package aws

import (
	"maps"
	"slices"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

func instanceTypeOfferingsArgs() schema {
	return schema{"filters": filtersField(), "locationType": {def: "region", oneOf: []string{"region", "availability-zone", "availability-zone-id", "outpost"}}}
}

func getInstanceTypeOfferings(c *client, args props) (map[string]any, error) {
	offers, err := send(c, "reading EC2 Instance Type Offerings", "EC2", "DescribeInstanceTypeOfferings", func() ([]account.InstanceTypeOffering, error) {
		return c.DescribeInstanceTypeOfferings(provider.String(args, "locationType"), filters(args)...)
	})
	if err != nil {
		return nil, err
	}
	types, kinds, places := []string{}, []string{}, []string{}
	for _, o := range offers {
		types, kinds, places = append(types, o.InstanceType), append(kinds, o.LocationType), append(places, o.Location)
	}
	return map[string]any{"id": c.Region(), "instanceTypes": types, "locationTypes": kinds, "locations": places}, nil
}

// getInstanceType answers with what the catalogue knows. It does not know boot
// modes, FPGAs, media accelerators, Nitro's enclaves and TPM, dedicated hosts and
// valid core counts, so these are left out.
func getInstanceType(c *client, args props) (map[string]any, error) {
	name := provider.String(args, "instanceType")
	t, err := send(c, "reading EC2 Instance Type ("+name+")", "EC2", "DescribeInstanceTypes", func() (account.InstanceType, error) {
		return c.DescribeInstanceType(name)
	})
	if err != nil {
		return nil, err
	}
	n := t.Network
	out := map[string]any{
		"id": t.Name, "instanceType": t.Name, "currentGeneration": t.CurrentGeneration, "bareMetal": t.BareMetal,
		"burstablePerformanceSupported": t.Burstable, "hypervisor": t.Hypervisor, "supportedVirtualizationTypes": t.VirtualizationTypes,
		"supportedArchitectures": t.Architectures, "supportedUsagesClasses": t.UsageClasses, "sustainedClockSpeed": t.ClockGHz,
		"defaultVcpus": t.VCPUs, "defaultCores": t.Cores(), "defaultThreadsPerCore": t.ThreadsPerCore, "memorySize": int(t.MemoryMiB),
		"networkPerformance": n.Performance, "maximumNetworkInterfaces": n.Interfaces(), "maximumNetworkCards": len(n.Cards),
		"defaultNetworkCardIndex": n.DefaultCard, "maximumIpv4AddressesPerInterface": n.IPv4PerInterface,
		"maximumIpv6AddressesPerInterface": 0, "ipv6Supported": n.IPv6, "enaSupport": n.ENA,
		"efaSupported": n.EFAInterfaces > 0, "efaMaximumInterfaces": n.EFAInterfaces, "encryptionInTransitSupported": n.EncryptionInTransit,
		"ebsOptimizedSupport": t.EBS.Optimized, "ebsNvmeSupport": t.EBS.NVMe,
		"ebsPerformanceBaselineBandwidth": t.EBS.BaselineMbps, "ebsPerformanceMaximumBandwidth": t.EBS.MaximumMbps,
		"ebsPerformanceBaselineThroughput": float64(t.EBS.BaselineMbps) / 8, "ebsPerformanceMaximumThroughput": float64(t.EBS.MaximumMbps) / 8,
		"ebsPerformanceBaselineIops": t.EBS.BaselineIOPS, "ebsPerformanceMaximumIops": t.EBS.MaximumIOPS,
		"instanceStorageSupported": t.Disks != nil, "supportedPlacementStrategies": []string{"partition", "spread"},
	}
	if t.ClusterPlacement {
		out["supportedPlacementStrategies"] = []string{"cluster", "partition", "spread"}
	}
	if n.IPv6 {
		out["maximumIpv6AddressesPerInterface"] = n.IPv4PerInterface
	}
	addDevices(out, t)
	return out, nil
}

// addDevices adds GPUs, accelerators, disks and network cards.
func addDevices(out map[string]any, t account.InstanceType) {
	gpus, inference, neuron, disks, cards := []any{}, []any{}, []any{}, []any{}, []any{}
	gpuMemory, neuronMemory, inferenceMemory, storage := 0, 0, 0, 0
	for _, g := range t.GPUs {
		gpus = append(gpus, map[string]any{"name": g.Name, "manufacturer": g.Manufacturer, "count": g.Count, "memorySize": g.MemoryMiB})
		gpuMemory += g.Count * g.MemoryMiB
	}
	for _, d := range t.NeuronDevices {
		neuron = append(neuron, map[string]any{
			"name": d.Name, "count": d.Count, "memorySize": d.MemoryMiB, "coreCount": d.Cores, "coreVersion": d.CoreVersion,
		})
		neuronMemory += d.Count * d.MemoryMiB
		if slices.Contains([]string{"Inferentia", "Inferentia2"}, d.Name) {
			inference = append(inference, map[string]any{"name": d.Name, "manufacturer": "AWS", "count": d.Count, "memorySize": d.MemoryMiB})
			inferenceMemory += d.Count * d.MemoryMiB
		}
	}
	if d := t.Disks; d != nil {
		kind := "hdd"
		if d.SSD {
			kind = "ssd"
		}
		disks = append(disks, map[string]any{"count": d.Count, "size": int(d.SizeGB), "type": kind})
		storage = d.Count * int(d.SizeGB)
	}
	for i, interfaces := range t.Network.Cards {
		cards = append(cards, map[string]any{"index": i, "maximumInterfaces": interfaces, "performance": t.Network.Performance})
	}
	maps.Copy(out, map[string]any{
		"gpuses": gpus, "totalGpuMemory": gpuMemory, "neuronDevices": neuron, "totalNeuronDeviceMemory": neuronMemory,
		"inferenceAccelerators": inference, "totalInferenceMemory": inferenceMemory,
		"instanceDisks": disks, "totalInstanceStorage": storage, "networkCards": cards,
	})
}
