package catalogue

// Type is what EC2 says of one instance type, whatever the region: the part of
// DescribeInstanceTypes' answer that Karpenter computes nodes from and that
// Pulumi's aws.ec2.getInstanceType returns. The JSON names are those of the
// data file.
type Type struct {
	// Name is the API name, such as "g4dn.xlarge".
	Name string `json:"name"`
	// CurrentGeneration is false for what AWS lists as previous generation.
	CurrentGeneration bool `json:"current,omitempty"`
	// BareMetal is true for sizes without a hypervisor.
	BareMetal bool `json:"metal,omitempty"`
	// Burstable is true for types that spend CPU credits (the t families).
	Burstable bool `json:"burstable,omitempty"`
	// Hypervisor is "nitro", "xen", or empty on bare metal, as in EC2.
	Hypervisor string `json:"hypervisor,omitempty"`
	// VirtualizationTypes holds "hvm", "paravirtual" or both. Karpenter asks
	// for hvm only; every type has it.
	VirtualizationTypes []string `json:"virtualization"`
	// Architectures holds "x86_64", "arm64" or "i386"; i386 never alone.
	Architectures []string `json:"arch"`
	// CPUManufacturer is "Intel", "AMD" or "AWS", as EC2 spells it.
	CPUManufacturer string `json:"cpu"`
	// ClockGHz is the sustained clock speed; 0 where EC2 states none.
	ClockGHz float64 `json:"ghz,omitempty"`
	// VCPUs is the default number of vCPUs, at least 1.
	VCPUs int `json:"vcpus"`
	// ThreadsPerCore is the default: 2 with hyper-threading, otherwise 1.
	ThreadsPerCore int `json:"threads"`
	// MemoryMiB is the memory EC2 states, before any overhead of the
	// hypervisor or the node.
	MemoryMiB int64 `json:"mib"`
	// GPUs holds at most one entry: no type mixes kinds of GPU. EC2 counts
	// Habana's Gaudi as a GPU too.
	GPUs []GPU `json:"gpus,omitempty"`
	// NeuronDevices holds at most one entry. EC2 lists Inferentia devices
	// (inf1, inf2), but not Trainium, a second time as inference accelerators.
	NeuronDevices []NeuronDevice `json:"neuron,omitempty"`
	// Disks is the instance storage; nil when there is none.
	Disks *Disks `json:"disks,omitempty"`
	// EBS is the bandwidth to network volumes.
	EBS EBS `json:"ebs"`
	// Network is what bounds addresses, and so pods.
	Network Network `json:"net"`
	// ClusterPlacement is true when the type may join a cluster placement
	// group; every type may join partition and spread ones.
	ClusterPlacement bool `json:"cluster,omitempty"`
}

// GPU describes the GPUs of a type, all alike.
type GPU struct {
	// Name and Manufacturer are spelt as EC2 does: "T4", "NVIDIA".
	Name         string `json:"name"`
	Manufacturer string `json:"maker"`
	// Count is the number of physical GPUs.
	Count int `json:"count"`
	// MemoryMiB is the memory of one GPU.
	MemoryMiB int `json:"mib"`
}

// NeuronDevice describes the Inferentia or Trainium devices of a type.
type NeuronDevice struct {
	// Name is spelt as EC2 does: "Inferentia2", "Trainium".
	Name string `json:"name"`
	// Count is the number of devices.
	Count int `json:"count"`
	// Cores is the number of Neuron cores of one device; CoreVersion their
	// generation.
	Cores       int `json:"cores"`
	CoreVersion int `json:"version"`
	// MemoryMiB is the memory of one device.
	MemoryMiB int `json:"mib"`
}

// Disks describes the instance storage of a type: Count equal disks.
type Disks struct {
	Count int `json:"count"`
	// SizeGB is the size of one disk, in GB of 10^9 bytes as EC2 counts.
	SizeGB int64 `json:"gb"`
	// SSD is false for spinning disks.
	SSD bool `json:"ssd,omitempty"`
	// NVMe tells EC2's NvmeSupport "required" from "unsupported".
	NVMe bool `json:"nvme,omitempty"`
}

// EBS describes the bandwidth to network volumes. The figures are 0 where EC2
// states none. EC2's throughput in MB/s is the bandwidth divided by 8, up to
// 0.2 % more where it has cut off half a Mbps.
type EBS struct {
	// Optimized is EC2's EbsOptimizedSupport: "default", "supported" (it must
	// be asked for) or "unsupported".
	Optimized string `json:"optimized"`
	// NVMe is EC2's NvmeSupport: "required", "supported" or "unsupported".
	NVMe         string `json:"nvme"`
	BaselineMbps int    `json:"baseMbps,omitempty"`
	MaximumMbps  int    `json:"maxMbps,omitempty"`
	BaselineIOPS int    `json:"baseIops,omitempty"`
	MaximumIOPS  int    `json:"maxIops,omitempty"`
}

// Network describes what a type may attach to a VPC.
type Network struct {
	// Performance is EC2's wording, such as "Up to 25 Gigabit".
	Performance string `json:"perf"`
	// Cards holds the most network interfaces each network card takes, by card
	// index; most types have one card.
	Cards []int `json:"cards"`
	// DefaultCard is the index of the card that carries the primary interface,
	// the only one the VPC CNI gives pod addresses from.
	DefaultCard int `json:"defaultCard,omitempty"`
	// IPv4PerInterface is the most IPv4 addresses of one interface, the
	// interface's own included; with IPv6, as many IPv6 addresses.
	IPv4PerInterface int  `json:"ipv4"`
	IPv6             bool `json:"ipv6,omitempty"`
	// ENA is EC2's EnaSupport: "required", "supported" or "unsupported".
	ENA string `json:"ena"`
	// EFAInterfaces is the most Elastic Fabric Adapters; 0 where unsupported.
	EFAInterfaces int `json:"efa,omitempty"`
	// EncryptionInTransit is true where Nitro encrypts between instances.
	EncryptionInTransit bool `json:"encrypted,omitempty"`
}

// Interfaces returns EC2's MaximumNetworkInterfaces: the sum over all cards.
func (n Network) Interfaces() int {
	sum := 0
	for _, interfaces := range n.Cards {
		sum += interfaces
	}
	return sum
}

// Cores returns EC2's DefaultCores.
func (t Type) Cores() int { return t.VCPUs / t.ThreadsPerCore }

// MaxPods returns how many pods a node of the type can hold under the VPC CNI
// without prefix delegation: interfaces of the default network card × (IPv4
// addresses per interface − 1) + 2. It is the figure of AWS's
// eni-max-pods.txt and of Karpenter (ENILimitedPods); the 110 or 250 that AWS
// recommends as a cap is not applied, as neither of them applies it.
func (t Type) MaxPods() int {
	return t.Network.Cards[t.Network.DefaultCard]*(t.Network.IPv4PerInterface-1) + 2
}
