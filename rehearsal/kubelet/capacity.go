package kubelet

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	evictionapi "k8s.io/kubernetes/pkg/kubelet/eviction/api"

	"eks-gpu-slicing/rehearsal/catalogue"
)

const mib = 1 << 20

// resources computes a node's capacity and what of it pods can have, as a kubelet
// of an EKS AMI does.
//
// CPU and pods are exact. Memory is an estimate, because a kernel takes its share
// before the kubelet sees any: see kernelMemory.
func resources(hw catalogue.Type, volumeGiB int64, asked request) (capacity, allocatable corev1.ResourceList, err error) {
	pods := int64(hw.MaxPods())
	if asked.maxPods > 0 {
		pods = int64(asked.maxPods)
	}
	if asked.podsPerCore > 0 {
		pods = min(pods, int64(asked.podsPerCore)*int64(hw.VCPUs))
	}
	capacity = corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(hw.VCPUs), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(hw.MemoryMiB*mib-kernelMemory(hw.MemoryMiB), resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(filesystemBytes(volumeGiB), resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(pods, resource.DecimalSI),
		"hugepages-1Gi":                 *resource.NewQuantity(0, resource.DecimalSI),
		"hugepages-2Mi":                 *resource.NewQuantity(0, resource.DecimalSI),
	}
	kube := map[string]string{
		"cpu":               fmt.Sprintf("%dm", reservedCPU(int64(hw.VCPUs))),
		"memory":            fmt.Sprintf("%dMi", reservedMemory(int64(hw.MaxPods()))),
		"ephemeral-storage": "1Gi",
	}
	maps.Copy(kube, asked.kubeReserved)
	eviction := map[string]string{"memory.available": "100Mi", "nodefs.available": "10%"}
	maps.Copy(eviction, asked.evictionHard)

	allocatable = capacity.DeepCopy()
	for _, reserved := range []map[string]string{kube, asked.systemReserved} {
		for name, value := range reserved {
			q, err := resource.ParseQuantity(value)
			if err != nil {
				return nil, nil, fmt.Errorf("reserved %s %q: %w", name, value, err)
			}
			subtract(allocatable, corev1.ResourceName(name), q)
		}
	}
	for name, signal := range map[corev1.ResourceName]string{
		corev1.ResourceMemory: "memory.available", corev1.ResourceEphemeralStorage: "nodefs.available",
	} {
		threshold, err := parseThreshold(eviction[signal])
		if err != nil {
			return nil, nil, fmt.Errorf("eviction threshold %s<%s: %w", signal, eviction[signal], err)
		}
		of := capacity[name]
		subtract(allocatable, name, *evictionapi.GetThresholdQuantity(threshold, &of))
	}
	return capacity, allocatable, nil
}

// subtract takes a reserved amount off; what a node lacks cannot go below zero,
// and an amount of something it has none of changes nothing.
func subtract(list corev1.ResourceList, name corev1.ResourceName, reserved resource.Quantity) {
	left, ok := list[name]
	if !ok {
		return
	}
	left.Sub(reserved)
	if left.Sign() < 0 {
		left.Set(0)
	}
	list[name] = left
}

// reservedMemory in MiB is for so many pods at most. Both AMI families count the
// pods that the network interfaces allow, whatever maximum the kubelet is given:
// get_memory_mebibytes_to_reserve in templates/al2/runtime/bootstrap.sh and
// withDefaultReservedResources in nodeadm/internal/kubelet/config.go
// (awslabs/amazon-eks-ami).
func reservedMemory(maxPods int64) int64 { return 255 + 11*maxPods }

// reservedCPU in thousandths of a CPU: 6 % of the first core, 1 % of the second,
// 0.5 % of the next two, 0.25 % of all above (get_cpu_millicores_to_reserve in the
// same bootstrap.sh; nodeadm has the same steps). Integer arithmetic, as there.
func reservedCPU(vcpus int64) int64 {
	total := vcpus * 1000
	var reserved int64
	for _, step := range []struct{ from, to, perTenThousand int64 }{
		{0, 1000, 600}, {1000, 2000, 100}, {2000, 4000, 50}, {4000, total, 25},
	} {
		if total > step.from {
			reserved += (min(total, step.to) - step.from) * step.perTenThousand / 10000
		}
	}
	return reserved
}

// kernelMemory in bytes is what a node lacks of the memory EC2 states. Karpenter
// once shipped a table of it, measured on instances of all families
// (zz_generated.memory_overhead.go in aws/karpenter-provider-aws at 15e87699):
// current families lack about 140 MiB and 3.1 to 3.8 % (g4dn.xlarge 699 MiB,
// m7g.large 419 MiB, m6a.2xlarge 1,374 MiB). The estimate stays below the 7.5 %
// that Karpenter subtracts itself from 3.5 GiB on, so that a node holds what
// Karpenter planned for it, as real ones do.
func kernelMemory(memoryMiB int64) int64 {
	return 140*mib + memoryMiB*mib*35/1000
}

// filesystemBytes is the size the kubelet sees of a root volume: the volume less
// its boot partition and the file system's own, 12,308 KiB at every size (nodes of
// 20, 80 and 100 GiB show 20959212Ki, 83873772Ki and 104845292Ki).
func filesystemBytes(volumeGiB int64) int64 {
	return max(0, volumeGiB<<30-12308<<10)
}

// parseThreshold reads the value of a hard eviction threshold: a quantity, or a
// percentage of the capacity, where 100 % switches the threshold off, as 0 does
// (parsePercentage in pkg/kubelet/eviction/helpers.go).
func parseThreshold(value string) (evictionapi.ThresholdValue, error) {
	percent, isPercent := strings.CutSuffix(value, "%")
	if !isPercent {
		q, err := resource.ParseQuantity(value)
		return evictionapi.ThresholdValue{Quantity: &q}, err
	}
	f, err := strconv.ParseFloat(percent, 32)
	if err != nil || f < 0 || f > 100 {
		return evictionapi.ThresholdValue{}, fmt.Errorf("%q is no percentage", value)
	}
	if f == 100 {
		f = 0
	}
	return evictionapi.ThresholdValue{Percentage: float32(f) / 100}, nil
}
