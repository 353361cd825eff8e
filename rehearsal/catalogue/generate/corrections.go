package main

import (
	"fmt"
	"reflect"
	"slices"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// correction mends what the price source has wrong or lacks, in the words of
// EC2's own DescribeInstanceTypes (source: see facts.go).
type correction struct {
	// types lists families and types, as listed takes them.
	types string
	why   string
	apply func(*catalogue.Type)
}

// corrections are applied in order. One that no longer changes anything stops
// the generator, so that none outlives its reason.
var corrections = []correction{
	{"r3.large", "EC2 states 15 GiB, AWS's product page 15.25", func(t *catalogue.Type) {
		t.MemoryMiB = 15360
	}},
	{"m1.medium", "EC2 states 3.7 GiB, AWS's product page 3.75", func(t *catalogue.Type) {
		t.MemoryMiB = 3788
	}},
	{"hpc6a hpc6id hpc7a", "no EBS figures in the source", func(t *catalogue.Type) {
		t.EBS = catalogue.EBS{Optimized: "default", NVMe: "required", BaselineMbps: 87, MaximumMbps: 2085, BaselineIOPS: 500, MaximumIOPS: 11000}
	}},
	{"hpc6a", "no network limits in either source", func(t *catalogue.Type) {
		t.Network.Cards, t.Network.IPv4PerInterface = []int{2}, 50
	}},
	{"hpc6id", "no network limits in either source", func(t *catalogue.Type) {
		t.Network.Cards, t.Network.IPv4PerInterface = []int{1, 1}, 50
	}},
	{"hpc7a", "no network limits in either source", func(t *catalogue.Type) {
		t.Network.Cards, t.Network.IPv4PerInterface = []int{2, 2}, 50
	}},
	{"hpc6id", "no disks in the source", func(t *catalogue.Type) {
		t.Disks = &catalogue.Disks{Count: 4, SizeGB: 3800, SSD: true, NVMe: true}
	}},
	{"trn2.48xlarge", "one device and neither EBS, network nor disks in the source", func(t *catalogue.Type) {
		t.NeuronDevices[0].Count = 16
		t.EBS = catalogue.EBS{Optimized: "default", NVMe: "required", BaselineMbps: 80000, MaximumMbps: 80000, BaselineIOPS: 260000, MaximumIOPS: 260000}
		t.Network.Cards, t.Network.IPv4PerInterface = slices.Repeat([]int{2}, 16), 50
		t.Network.Performance = "16x 200 Gigabit"
		t.Disks = &catalogue.Disks{Count: 4, SizeGB: 1900, SSD: true, NVMe: true}
	}},
	{"p4de", "neither EBS nor disks in the source, and the sum of its cards' bandwidth", func(t *catalogue.Type) {
		t.EBS = catalogue.EBS{Optimized: "default", NVMe: "required", BaselineMbps: 19000, MaximumMbps: 19000, BaselineIOPS: 80000, MaximumIOPS: 80000}
		t.Network.Performance = "4x 100 Gigabit"
		t.Disks = &catalogue.Disks{Count: 8, SizeGB: 1000, SSD: true, NVMe: true}
	}},
	{"u7i-6tb u7i-8tb u7i-12tb u7in-16tb u7in-24tb u7in-32tb", "the figures of their launch", func(t *catalogue.Type) {
		t.EBS.BaselineMbps, t.EBS.MaximumMbps = 100000, 100000
		t.EBS.BaselineIOPS, t.EBS.MaximumIOPS = 560000, 560000
	}},
	{"i3", "EBS volumes show as NVMe when the image has the driver", func(t *catalogue.Type) {
		if !t.BareMetal {
			t.EBS.NVMe = "supported"
		}
	}},
	{"d2", "may join a cluster placement group", func(t *catalogue.Type) {
		t.ClusterPlacement = true
	}},
	{"c7i-flex m7i-flex vt1", "may not join a cluster placement group", func(t *catalogue.Type) {
		t.ClusterPlacement = false
	}},
}

// correct applies the corrections to all types.
func correct(types []*catalogue.Type) error {
	for _, c := range corrections {
		changed := false
		for _, t := range types {
			if !listed(c.types, t.Name) {
				continue
			}
			before := *t
			before.NeuronDevices = slices.Clone(t.NeuronDevices)
			c.apply(t)
			changed = changed || !reflect.DeepEqual(before, *t)
		}
		if !changed {
			return fmt.Errorf("the correction of %s (%s) changes nothing any more: delete it from corrections.go", c.types, c.why)
		}
	}
	return nil
}
