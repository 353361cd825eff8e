package kubelet

import (
	"math"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"eks-gpu-slicing/rehearsal/catalogue"
)

func hardware(t *testing.T, name string) catalogue.Type {
	t.Helper()
	types, err := catalogue.Default()
	if err != nil {
		t.Fatal(err)
	}
	hw, ok := types.Type(name)
	if !ok {
		t.Fatalf("the catalogue has no %s", name)
	}
	return hw
}

// What real EKS nodes show, as their owners have published it: the storage of a
// 20 GiB volume, and how much less than its capacity each can allocate.
func TestResourcesOfRealNodes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		instanceType, cpu, pods string
		// memory is capacity less allocatable, which does not depend on the kernel.
		memory string
	}{
		{instanceType: "t3.medium", cpu: "1930m", pods: "17", memory: "555008Ki"},
		{instanceType: "m5.xlarge", cpu: "3920m", pods: "58", memory: "1016832Ki"},
		{instanceType: "g4dn.xlarge", cpu: "3920m", pods: "29", memory: "674Mi"},
		{instanceType: "c5.4xlarge", cpu: "15890m", pods: "234", memory: "2929Mi"},
	} {
		t.Run(tc.instanceType, func(t *testing.T) {
			t.Parallel()
			capacity, allocatable, err := resources(hardware(t, tc.instanceType), 20, request{})
			if err != nil {
				t.Fatal(err)
			}
			lost := capacity.Memory().DeepCopy()
			lost.Sub(*allocatable.Memory())
			for what, pair := range map[string][2]string{
				"cpu":         {allocatable.Cpu().String(), tc.cpu},
				"pods":        {allocatable.Pods().String(), tc.pods},
				"storage":     {allocatable.StorageEphemeral().String(), "18242267924"},
				"all storage": {capacity.StorageEphemeral().String(), "20959212Ki"},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s is %s, want %s", what, pair[0], pair[1])
				}
			}
			if want := resource.MustParse(tc.memory); lost.Cmp(want) != 0 {
				t.Errorf("reserved memory is %s, want %s", lost.String(), want.String())
			}
		})
	}
}

// Overheads measured by Karpenter's authors (see kernelMemory).
func TestKernelMemory(t *testing.T) {
	t.Parallel()
	for name, measured := range map[string]float64{
		"g4dn.xlarge": 733085696, "g4dn.2xlarge": 1203826688, "g4dn.4xlarge": 2145304576,
		"m7g.large": 439844864, "c7g.xlarge": 440082432, "m6a.2xlarge": 1440804864, "c6i.large": 285917184, "r5.xlarge": 1202855936,
	} {
		total := float64(hardware(t, name).MemoryMiB * mib)
		if off := math.Abs(float64(kernelMemory(hardware(t, name).MemoryMiB))-measured) / total; off > 0.01 {
			t.Errorf("%s: the estimate is off by %.1f %% of the memory, want at most 1 %%", name, 100*off)
		}
	}
	for _, gib := range []int64{4, 8, 16, 64, 768} {
		if got, planned := kernelMemory(gib<<10), int64(0.075*float64(gib<<30)); got > planned {
			t.Errorf("%d GiB: %d bytes are lost, more than the %d that Karpenter plans with", gib, got, planned)
		}
	}
}

func TestRequestedResources(t *testing.T) {
	t.Parallel()
	hw := hardware(t, "m7g.large") // 2 vCPUs, 8 GiB, 29 pods
	for name, tc := range map[string]struct {
		asked request
		what  corev1.ResourceName
		want  string
	}{
		"fewer pods":             {asked: request{maxPods: 8}, what: "pods", want: "8"},
		"more pods":              {asked: request{maxPods: 110}, what: "pods", want: "110"},
		"pods per core":          {asked: request{maxPods: 110, podsPerCore: 10}, what: "pods", want: "20"},
		"memory for ENI pods":    {asked: request{maxPods: 110}, what: "memory", want: "7435746018"},
		"reserved cpu":           {asked: request{kubeReserved: map[string]string{"cpu": "500m"}}, what: "cpu", want: "1500m"},
		"and for the system":     {asked: request{systemReserved: map[string]string{"cpu": "100m"}}, what: "cpu", want: "1830m"},
		"of nothing":             {asked: request{systemReserved: map[string]string{"pid": "100"}}, what: "cpu", want: "1930m"},
		"more than there is":     {asked: request{systemReserved: map[string]string{"cpu": "3"}}, what: "cpu", want: "0"},
		"eviction by percentage": {asked: request{evictionHard: map[string]string{"nodefs.available": "15%"}}, what: "ephemeral-storage", want: "17169156173"},
		"eviction switched off":  {asked: request{evictionHard: map[string]string{"nodefs.available": "100%"}}, what: "ephemeral-storage", want: "20388491264"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, allocatable, err := resources(hw, 20, tc.asked)
			if err != nil {
				t.Fatal(err)
			}
			got := allocatable[tc.what]
			if want := resource.MustParse(tc.want); got.Cmp(want) != 0 {
				t.Errorf("allocatable %s is %s, want %s", tc.what, got.AsDec(), want.AsDec())
			}
		})
	}
	for name, asked := range map[string]request{
		"reserved cpu":     {kubeReserved: map[string]string{"cpu": "much"}},
		"memory.available": {evictionHard: map[string]string{"memory.available": "much"}},
		"nodefs.available": {evictionHard: map[string]string{"nodefs.available": "120%"}},
	} {
		if _, _, err := resources(hw, 20, asked); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: error %v, want one that names %s", asked, err, name)
		}
	}
}
