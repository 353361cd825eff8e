package main

import (
	"slices"
	"strings"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// What no pinned module holds, by instance family. Sources: Karpenter's
// "Instance Types" reference for 1.14 (karpenter.sh/docs/reference/instance-types),
// which is computed from EC2's own answers, and for what Karpenter does not
// show (ENA, threads, Neuron memory) DescribeInstanceTypes in us-east-1, August
// 2026, as moto 5 records it. A family that is in none of these lists gets the
// value of all recent ones.

// gpuOf is the GPU of each family; the price source knows only the count.
var gpuOf = map[string]catalogue.GPU{
	"dl1":  {Name: "Gaudi HL-205", Manufacturer: "Habana", MemoryMiB: 32768},
	"g4ad": {Name: "Radeon Pro V520", Manufacturer: "AMD", MemoryMiB: 8192},
	"g4dn": {Name: "T4", Manufacturer: "NVIDIA", MemoryMiB: 16384},
	"g5":   {Name: "A10G", Manufacturer: "NVIDIA", MemoryMiB: 22888},
	"g5g":  {Name: "T4g", Manufacturer: "NVIDIA", MemoryMiB: 16384},
	"g6":   {Name: "L4", Manufacturer: "NVIDIA", MemoryMiB: 22888},
	"g6e":  {Name: "L40S", Manufacturer: "NVIDIA", MemoryMiB: 45776},
	"gr6":  {Name: "L4", Manufacturer: "NVIDIA", MemoryMiB: 22888},
	"p3":   {Name: "V100", Manufacturer: "NVIDIA", MemoryMiB: 16384},
	"p3dn": {Name: "V100", Manufacturer: "NVIDIA", MemoryMiB: 32768},
	"p4d":  {Name: "A100", Manufacturer: "NVIDIA", MemoryMiB: 40960},
	"p4de": {Name: "A100", Manufacturer: "NVIDIA", MemoryMiB: 81920},
	"p5":   {Name: "H100", Manufacturer: "NVIDIA", MemoryMiB: 81920},
	"p5e":  {Name: "H200", Manufacturer: "NVIDIA", MemoryMiB: 144384},
	"p5en": {Name: "H200", Manufacturer: "NVIDIA", MemoryMiB: 144384},
}

// neuronOf is the Neuron device of each family. Trainium2's memory is EC2's
// answer, although the device has 96 GiB.
var neuronOf = map[string]catalogue.NeuronDevice{
	"inf1":  {Name: "Inferentia", Cores: 4, CoreVersion: 1, MemoryMiB: 8192},
	"inf2":  {Name: "Inferentia2", Cores: 2, CoreVersion: 2, MemoryMiB: 32768},
	"trn1":  {Name: "Trainium", Cores: 2, CoreVersion: 2, MemoryMiB: 32768},
	"trn1n": {Name: "Trainium", Cores: 2, CoreVersion: 2, MemoryMiB: 32768},
	"trn2":  {Name: "Trainium2", Cores: 8, CoreVersion: 3, MemoryMiB: 524288},
}

// clockOf is the sustained clock speed in GHz where the price source has none
// or a turbo speed. A size is looked up before its family.
var clockOf = map[string]float64{
	"c5.12xlarge": 3.6, "c5.24xlarge": 3.6, "c5.metal": 3.6,
	"c5d.12xlarge": 3.6, "c5d.24xlarge": 3.6, "c5d.metal": 3.6,
	"c5n": 3.4, "f2": 3.4, "g4ad": 3.0, "g5": 3.3, "g6": 3.4, "g6e": 3.4, "gr6": 3.4,
	"c7g": 2.6, "c7gd": 2.6, "m7g": 2.6, "m7gd": 2.6, "r7g": 2.6, "r7gd": 2.6,
	"c8g": 2.8, "c8gd": 2.8, "i8g": 2.8, "m8g": 2.8, "m8gd": 2.8, "r8g": 2.8, "r8gd": 2.8, "x8g": 2.8,
	"c8g.48xlarge": 2.7, "c8gd.48xlarge": 2.7, "m8g.48xlarge": 2.7, "m8gd.48xlarge": 2.7,
	"r8g.48xlarge": 2.7, "r8gd.48xlarge": 2.7, "x8g.48xlarge": 2.7,
	"c8g.metal-48xl": 2.7, "c8gd.metal-48xl": 2.7, "m8g.metal-48xl": 2.7, "m8gd.metal-48xl": 2.7,
	"r8g.metal-48xl": 2.7, "r8gd.metal-48xl": 2.7, "x8g.metal-48xl": 2.7,
	"dl1": 3.0, "hpc6a": 3.6, "i7ie": 3.6, "inf1": 2.5, "inf2": 3.6, "m4.16xlarge": 2.3, "m6g": 2.5, "m7i-flex": 3.2,
	"m5ad": 2.2, "m5ad.8xlarge": 2.5, "m5ad.16xlarge": 2.5,
	"r5ad": 2.2, "r5ad.8xlarge": 2.5, "r5ad.16xlarge": 2.5,
	"p5": 3.6, "p5en": 2.4, "r5n": 3.1, "t3": 2.5, "t3a": 2.2, "trn2": 3.5,
	"t2": 2.3, "t2.nano": 2.4, "t2.micro": 2.5, "t2.small": 2.5,
	"u-3tb1": 2.1, "u-6tb1": 2.1, "u-9tb1": 2.1, "u-12tb1": 2.1, "u-18tb1": 2.1, "u-24tb1": 2.1,
	"u7i-6tb": 1.9, "u7i-8tb": 1.9, "u7i-12tb": 1.9, "u7in-16tb": 1.9, "u7in-24tb": 1.9, "u7in-32tb": 1.9,
}

// singleThreaded lists the x86 families and types without hyper-threading, one
// vCPU being one core. ARM has none either.
const singleThreaded = "c1 c7a hpc6a hpc6id hpc7a m1 m2 m3.medium m7a r7a t1 t2 u-6tb1.56xlarge"

// enaUnsupported and enaSupported list where EC2 does not require the Elastic
// Network Adapter.
const (
	enaUnsupported = "c1 c3 c4 d2 i2 m1 m2 m3 m4 r3 t1 t2"
	enaSupported   = "f1 h1 i3 m4.16xlarge p3 r4 x1 x1e"
)

// unencrypted lists the families whose traffic between instances Nitro does
// not encrypt.
const unencrypted = "a1 c1 c3 c4 c5 c5d c6g c6gd d2 f1 g5g h1 i2 i3 m1 m2 m3 m4 m5 m5a m5ad m5d m6g m6gd p3 " +
	"r3 r4 r5 r5a r5ad r5b r5d r6g r6gd t1 t2 t3 t3a t4g x1 x1e x2gd z1d"

// ebsByRequest lists the families whose larger sizes are EBS-optimised only
// when asked; their smaller sizes are not at all.
const ebsByRequest = "c1 c3 i2 m1 m2 m3 r3"

// efaSizes lists the types with an Elastic Fabric Adapter, which has one
// interface for each network card.
var efaSizes = map[string]string{
	"c5n": "9xlarge 18xlarge metal", "c6a": "48xlarge metal", "c6gn": "16xlarge", "c6i": "32xlarge metal",
	"c6id": "32xlarge metal", "c6in": "32xlarge metal", "c7a": "48xlarge metal-48xl", "c7g": "16xlarge metal",
	"c7gd": "16xlarge metal", "c7gn": "16xlarge metal", "c7i": "48xlarge metal-48xl",
	"c8g":  "24xlarge metal-24xl 48xlarge metal-48xl",
	"c8gd": "24xlarge metal-24xl 48xlarge metal-48xl", "dl1": "24xlarge", "f2": "48xlarge",
	"g4dn": "8xlarge 12xlarge 16xlarge metal", "g5": "8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
	"g6": "8xlarge 12xlarge 16xlarge 24xlarge 48xlarge", "g6e": "8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
	"gr6": "8xlarge", "hpc6a": "48xlarge", "hpc6id": "32xlarge", "hpc7a": "12xlarge 24xlarge 48xlarge 96xlarge",
	"hpc7g": "4xlarge 8xlarge 16xlarge", "i3en": "12xlarge 24xlarge metal", "i4g": "16xlarge",
	"i4i": "32xlarge metal", "i7ie": "48xlarge metal-48xl", "i8g": "48xlarge metal-48xl", "im4gn": "16xlarge", "inf1": "24xlarge",
	"m5dn": "24xlarge metal", "m5n": "24xlarge metal", "m5zn": "12xlarge metal", "m6a": "48xlarge metal",
	"m6i": "32xlarge metal", "m6id": "32xlarge metal", "m6idn": "32xlarge metal", "m6in": "32xlarge metal",
	"m7a": "48xlarge metal-48xl", "m7g": "16xlarge metal", "m7gd": "16xlarge metal", "m7i": "48xlarge metal-48xl",
	"m8g":  "24xlarge metal-24xl 48xlarge metal-48xl",
	"m8gd": "24xlarge metal-24xl 48xlarge metal-48xl", "p3dn": "24xlarge", "p4d": "24xlarge", "p4de": "24xlarge",
	"p5": "48xlarge", "p5en": "48xlarge", "r5dn": "24xlarge metal", "r5n": "24xlarge metal", "r6a": "48xlarge metal",
	"r6i": "32xlarge metal", "r6id": "32xlarge metal", "r6idn": "32xlarge metal", "r6in": "32xlarge metal",
	"r7a": "48xlarge metal-48xl", "r7g": "16xlarge metal", "r7gd": "16xlarge metal", "r7i": "48xlarge metal-48xl",
	"r7iz": "32xlarge metal-32xl",
	"r8g":  "24xlarge metal-24xl 48xlarge metal-48xl",
	"r8gd": "24xlarge metal-24xl 48xlarge metal-48xl", "trn1": "32xlarge", "trn1n": "32xlarge", "trn2": "48xlarge",
	"u7i-6tb": "112xlarge", "u7i-8tb": "112xlarge", "u7i-12tb": "224xlarge", "u7in-16tb": "224xlarge",
	"u7in-24tb": "224xlarge", "u7in-32tb": "224xlarge", "vt1": "24xlarge", "x2idn": "32xlarge metal",
	"x2iedn": "32xlarge metal", "x2iezn": "12xlarge metal",
	"x8g": "24xlarge metal-24xl 48xlarge metal-48xl",
}

// family is what precedes the size: "g4dn" of "g4dn.xlarge".
func family(name string) string {
	f, _, _ := strings.Cut(name, ".")
	return f
}

// listed tells whether a list of words holds the type or its family.
func listed(list, name string) bool {
	words := strings.Fields(list)
	return slices.Contains(words, name) || slices.Contains(words, family(name))
}

// hasEFA tells whether the type has an Elastic Fabric Adapter.
func hasEFA(name string) bool {
	_, size, _ := strings.Cut(name, ".")
	return slices.Contains(strings.Fields(efaSizes[family(name)]), size)
}

// ena returns EC2's EnaSupport.
func ena(name string) string {
	switch {
	case listed(enaSupported, name):
		return "supported"
	case listed(enaUnsupported, name):
		return "unsupported"
	default:
		return "required"
	}
}
