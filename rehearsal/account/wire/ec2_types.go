package wire

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/catalogue"
)

// The structs below are EC2's data types as its API writes them (EC2 API reference, "Data Types"),
// with the members that Karpenter and people read. Their element names are checked by decoding
// them with the SDK in the tests.

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func contains(list []string, s string) bool { return slices.Contains(list, s) }

type memoryXML struct {
	MiB int64 `xml:"sizeInMiB"`
}

type instanceTypeXML struct {
	Name           string   `xml:"instanceType"`
	Current        bool     `xml:"currentGeneration"`
	Usage          []string `xml:"supportedUsageClasses>item"`
	RootDevices    []string `xml:"supportedRootDeviceTypes>item"`
	Virtualization []string `xml:"supportedVirtualizationTypes>item"`
	Metal          bool     `xml:"bareMetal"`
	Hypervisor     string   `xml:"hypervisor,omitempty"`
	Burstable      bool     `xml:"burstablePerformanceSupported"`
	Processor      struct {
		Architectures []string `xml:"supportedArchitectures>item"`
		GHz           float64  `xml:"sustainedClockSpeedInGhz,omitempty"`
		Manufacturer  string   `xml:"manufacturer"`
	} `xml:"processorInfo"`
	VCPU struct {
		VCPUs   int `xml:"defaultVCpus"`
		Cores   int `xml:"defaultCores"`
		Threads int `xml:"defaultThreadsPerCore"`
	} `xml:"vCpuInfo"`
	Memory    memoryXML     `xml:"memoryInfo"`
	HasDisks  bool          `xml:"instanceStorageSupported"`
	Disks     *disksXML     `xml:"instanceStorageInfo"`
	EBS       ebsXML        `xml:"ebsInfo"`
	Network   networkXML    `xml:"networkInfo"`
	GPU       *gpusXML      `xml:"gpuInfo"`
	Neuron    *neuronsXML   `xml:"neuronInfo"`
	Inference *inferenceXML `xml:"inferenceAcceleratorInfo"`
	Placement []string      `xml:"placementGroupInfo>supportedStrategies>item"`
}

type inferenceXML struct {
	Accelerators []gpuXML `xml:"accelerators>member"`
}

type disksXML struct {
	TotalGB int64     `xml:"totalSizeInGB"`
	Disks   []diskXML `xml:"disks>item"`
	NVMe    string    `xml:"nvmeSupport"`
}

type diskXML struct {
	GB    int64  `xml:"sizeInGB"`
	Count int    `xml:"count"`
	Type  string `xml:"type"`
}

type ebsXML struct {
	Optimized  string           `xml:"ebsOptimizedSupport"`
	Encryption string           `xml:"encryptionSupport"`
	NVMe       string           `xml:"nvmeSupport"`
	Info       *ebsBandwidthXML `xml:"ebsOptimizedInfo"`
}

type ebsBandwidthXML struct {
	BaselineMbps int     `xml:"baselineBandwidthInMbps"`
	BaselineMBps float64 `xml:"baselineThroughputInMBps"`
	BaselineIOPS int     `xml:"baselineIops"`
	MaximumMbps  int     `xml:"maximumBandwidthInMbps"`
	MaximumMBps  float64 `xml:"maximumThroughputInMBps"`
	MaximumIOPS  int     `xml:"maximumIops"`
}

type networkXML struct {
	Performance   string    `xml:"networkPerformance"`
	MaxInterfaces int       `xml:"maximumNetworkInterfaces"`
	MaxCards      int       `xml:"maximumNetworkCards"`
	DefaultCard   int       `xml:"defaultNetworkCardIndex"`
	Cards         []cardXML `xml:"networkCards>item"`
	IPv4          int       `xml:"ipv4AddressesPerInterface"`
	IPv6          int       `xml:"ipv6AddressesPerInterface"`
	IPv6Supported bool      `xml:"ipv6Supported"`
	ENA           string    `xml:"enaSupport"`
	EFASupported  bool      `xml:"efaSupported"`
	EFA           *efaXML   `xml:"efaInfo"`
	Encrypted     bool      `xml:"encryptionInTransitSupported"`
}

type efaXML struct {
	Max int `xml:"maximumEfaInterfaces"`
}

type cardXML struct {
	Index         int    `xml:"networkCardIndex"`
	Performance   string `xml:"networkPerformance"`
	MaxInterfaces int    `xml:"maximumNetworkInterfaces"`
}

type gpusXML struct {
	GPUs     []gpuXML `xml:"gpus>item"`
	TotalMiB int      `xml:"totalGpuMemoryInMiB"`
}

type gpuXML struct {
	Name         string    `xml:"name"`
	Manufacturer string    `xml:"manufacturer"`
	Count        int       `xml:"count"`
	Memory       memoryXML `xml:"memoryInfo"`
}

type neuronsXML struct {
	Devices  []neuronXML `xml:"neuronDevices>item"`
	TotalMiB int         `xml:"totalNeuronDeviceMemoryInMiB"`
}

type neuronXML struct {
	Name   string    `xml:"name"`
	Count  int       `xml:"count"`
	Cores  coresXML  `xml:"coreInfo"`
	Memory memoryXML `xml:"memoryInfo"`
}

type coresXML struct {
	Count   int `xml:"count"`
	Version int `xml:"version"`
}

func newInstanceType(t account.InstanceType) instanceTypeXML {
	x := instanceTypeXML{
		Name: t.Name, Current: t.CurrentGeneration, Usage: t.UsageClasses, RootDevices: []string{"ebs"}, Virtualization: t.VirtualizationTypes,
		Metal: t.BareMetal, Hypervisor: t.Hypervisor, Burstable: t.Burstable, Memory: memoryXML{t.MemoryMiB},
		HasDisks: t.Disks != nil, Network: newNetwork(t.Network), Placement: []string{"partition", "spread"},
	}
	if t.ClusterPlacement {
		x.Placement = []string{"cluster", "partition", "spread"}
	}
	x.Processor.Architectures, x.Processor.GHz, x.Processor.Manufacturer = t.Architectures, t.ClockGHz, t.CPUManufacturer
	x.VCPU.VCPUs, x.VCPU.Cores, x.VCPU.Threads = t.VCPUs, t.Cores(), t.ThreadsPerCore
	x.EBS = ebsXML{Optimized: t.EBS.Optimized, Encryption: "supported", NVMe: t.EBS.NVMe}
	if t.EBS.MaximumMbps > 0 {
		x.EBS.Info = &ebsBandwidthXML{
			t.EBS.BaselineMbps, float64(t.EBS.BaselineMbps) / 8, t.EBS.BaselineIOPS,
			t.EBS.MaximumMbps, float64(t.EBS.MaximumMbps) / 8, t.EBS.MaximumIOPS,
		}
	}
	if d := t.Disks; d != nil {
		x.Disks = &disksXML{TotalGB: d.SizeGB * int64(d.Count), NVMe: "unsupported"}
		if d.NVMe {
			x.Disks.NVMe = "required"
		}
		kind := "hdd"
		if d.SSD {
			kind = "ssd"
		}
		x.Disks.Disks = []diskXML{{d.SizeGB, d.Count, kind}}
	}
	x.accelerators(t.Type)
	return x
}

func (x *instanceTypeXML) accelerators(t catalogue.Type) {
	for _, g := range t.GPUs {
		if x.GPU == nil {
			x.GPU = &gpusXML{}
		}
		x.GPU.GPUs = append(x.GPU.GPUs, gpuXML{g.Name, g.Manufacturer, g.Count, memoryXML{int64(g.MemoryMiB)}})
		x.GPU.TotalMiB += g.Count * g.MemoryMiB
	}
	for _, n := range t.NeuronDevices {
		if x.Neuron == nil {
			x.Neuron = &neuronsXML{}
		}
		x.Neuron.Devices = append(x.Neuron.Devices, neuronXML{n.Name, n.Count, coresXML{n.Cores, n.CoreVersion}, memoryXML{int64(n.MemoryMiB)}})
		x.Neuron.TotalMiB += n.Count * n.MemoryMiB
		if strings.HasPrefix(n.Name, "Inferentia") {
			x.Inference = &inferenceXML{[]gpuXML{{n.Name, "AWS", n.Count, memoryXML{int64(n.MemoryMiB)}}}}
		}
	}
}

func newNetwork(n catalogue.Network) networkXML {
	x := networkXML{
		Performance: n.Performance, MaxInterfaces: n.Interfaces(), MaxCards: len(n.Cards), DefaultCard: n.DefaultCard,
		IPv4: n.IPv4PerInterface, IPv6Supported: n.IPv6, ENA: n.ENA, EFASupported: n.EFAInterfaces > 0, Encrypted: n.EncryptionInTransit,
	}
	if n.IPv6 {
		x.IPv6 = n.IPv4PerInterface
	}
	if n.EFAInterfaces > 0 {
		x.EFA = &efaXML{n.EFAInterfaces}
	}
	for i, interfaces := range n.Cards {
		x.Cards = append(x.Cards, cardXML{i, n.Performance, interfaces})
	}
	return x
}

type securityGroupXML struct {
	ID          string          `xml:"groupId"`
	Name        string          `xml:"groupName"`
	Description string          `xml:"groupDescription"`
	VPC         string          `xml:"vpcId"`
	Owner       string          `xml:"ownerId"`
	Ingress     []permissionXML `xml:"ipPermissions>item"`
	Egress      []permissionXML `xml:"ipPermissionsEgress>item"`
	Tags        []tagXML        `xml:"tagSet>item"`
}

type permissionXML struct {
	Protocol string      `xml:"ipProtocol"`
	From     *int        `xml:"fromPort"`
	To       *int        `xml:"toPort"`
	CIDRs    []rangeXML  `xml:"ipRanges>item"`
	Groups   []sourceXML `xml:"groups>item"`
}

type rangeXML struct {
	CIDR        string `xml:"cidrIp"`
	Description string `xml:"description,omitempty"`
}

type sourceXML struct {
	Group string `xml:"groupId"`
	Owner string `xml:"userId"`
}

// newSecurityGroup gives each rule a permission of its own; EC2 puts those of equal ports together,
// which means the same.
func newSecurityGroup(g account.SecurityGroup) securityGroupXML {
	x := securityGroupXML{ID: g.ID, Name: g.Name, Description: g.Description, VPC: g.VPCID, Owner: account.ID, Tags: tagsXML(g.Tags)}
	for _, r := range g.Rules {
		p := permissionXML{Protocol: r.Protocol}
		if r.Protocol != "-1" {
			p.From, p.To = &r.FromPort, &r.ToPort
		}
		if r.GroupID != "" {
			p.Groups = []sourceXML{{r.GroupID, account.ID}}
		} else if r.CIDR != "" {
			p.CIDRs = []rangeXML{{r.CIDR, r.Description}}
		}
		if r.Egress {
			x.Egress = append(x.Egress, p)
		} else {
			x.Ingress = append(x.Ingress, p)
		}
	}
	return x
}

type imageXML struct {
	ID             string           `xml:"imageId"`
	Name           string           `xml:"name"`
	Location       string           `xml:"imageLocation"`
	Owner          string           `xml:"imageOwnerId"`
	Alias          string           `xml:"imageOwnerAlias"`
	Architecture   string           `xml:"architecture"`
	Created        string           `xml:"creationDate"`
	Public         bool             `xml:"isPublic"`
	State          string           `xml:"imageState"`
	Type           string           `xml:"imageType"`
	RootDevice     string           `xml:"rootDeviceName"`
	RootType       string           `xml:"rootDeviceType"`
	Virtualization string           `xml:"virtualizationType"`
	Devices        []imageDeviceXML `xml:"blockDeviceMapping>item"`
}

type imageDeviceXML struct {
	Name string         `xml:"deviceName"`
	EBS  imageVolumeXML `xml:"ebs"`
}

type imageVolumeXML struct {
	Snapshot string `xml:"snapshotId"`
	GiB      int    `xml:"volumeSize"`
	Type     string `xml:"volumeType"`
	Delete   bool   `xml:"deleteOnTermination"`
}

func newImage(i account.Image) imageXML {
	return imageXML{
		ID: i.ID, Name: i.Name, Location: "amazon/" + i.Name, Owner: i.OwnerID, Alias: "amazon", Architecture: i.Architecture, Created: timestamp(i.Created),
		Public: true, State: "available", Type: "machine", RootDevice: i.RootDevice, RootType: "ebs", Virtualization: "hvm",
		Devices: []imageDeviceXML{{i.RootDevice, imageVolumeXML{i.SnapshotID, i.VolumeSize, "gp3", true}}},
	}
}
