package main

import (
	"slices"
	"strings"
)

// gpusOf is how many NVIDIA GPUs an EC2 instance type has (EC2 user guide,
// "Accelerated computing instances"; a test compares them with the rehearsal's
// catalogue), and false for a type that has none or is newer than the list.
func gpusOf(instanceType string) (int, bool) {
	family, size, _ := strings.Cut(instanceType, ".")
	for _, f := range []struct {
		gpus     int
		families []string
		sizes    []string
	}{
		{1, []string{"g4dn", "g5", "g6", "g6e"}, []string{"xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge"}},
		{4, []string{"g4dn", "g5", "g6", "g6e"}, []string{"12xlarge"}},
		{4, []string{"g5", "g6", "g6e"}, []string{"24xlarge"}},
		{8, []string{"g5", "g6", "g6e"}, []string{"48xlarge"}},
		{8, []string{"g4dn"}, []string{"metal"}},
		{1, []string{"g5g"}, []string{"xlarge", "2xlarge", "4xlarge", "8xlarge"}},
		{2, []string{"g5g"}, []string{"16xlarge", "metal"}},
		{1, []string{"gr6"}, []string{"4xlarge", "8xlarge"}},
		{1, []string{"p3"}, []string{"2xlarge"}},
		{4, []string{"p3"}, []string{"8xlarge"}},
		{8, []string{"p3"}, []string{"16xlarge"}},
		{8, []string{"p3dn", "p4d", "p4de"}, []string{"24xlarge"}},
		{8, []string{"p5", "p5en"}, []string{"48xlarge"}},
	} {
		if slices.Contains(f.families, family) && slices.Contains(f.sizes, size) {
			return f.gpus, true
		}
	}
	return 0, false
}
