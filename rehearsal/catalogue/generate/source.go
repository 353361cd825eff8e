package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	priceModule     = "github.com/LeanerCloud/ec2-instances-info"
	karpenterModule = "github.com/aws/karpenter-provider-aws"
)

// module is a Go module on disk, as the go command describes it.
type module struct {
	// Path and Version are those of the replacement where go.mod has one.
	Path, Version string
	Dir           string
	Time          time.Time
}

// findModule returns a module of go.mod, downloading it when it is not in the
// module cache yet.
func findModule(ctx context.Context, path string) (module, error) {
	if err := exec.CommandContext(ctx, "go", "mod", "download", path).Run(); err != nil {
		return module{}, fmt.Errorf("go mod download %s: %w", path, err)
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-json", path).Output()
	if err != nil {
		return module{}, fmt.Errorf("go list -m %s: %w", path, err)
	}
	var found struct {
		module
		Replace *module
	}
	if err := json.Unmarshal(out, &found); err != nil {
		return module{}, fmt.Errorf("go list -m %s: %w", path, err)
	}
	m := found.module
	if found.Replace != nil {
		m = *found.Replace
	}
	if m.Dir == "" {
		return module{}, fmt.Errorf("go list -m %s: no directory: is it in go.mod?", path)
	}
	return m, nil
}

var generatedAt = regexp.MustCompile(`generated at (\d{4}-\d{2}-\d{2})`)

// generatedDate returns the day a generated file of a module says it is of.
func generatedDate(m module, file string) (string, error) {
	content, err := os.ReadFile(filepath.Join(m.Dir, filepath.FromSlash(file)))
	if err != nil {
		return "", err
	}
	match := generatedAt.FindSubmatch(content)
	if match == nil {
		return "", fmt.Errorf("%s of %s: it no longer says when it was generated", file, m.Path)
	}
	return string(match[1]), nil
}

// instance is one element of data/instances.json in the price source, as far
// as it is used. The Go type of that module lacks half of these fields.
type instance struct {
	InstanceType       string                  `json:"instance_type"`
	Generation         string                  `json:"generation"`
	VCPU               int                     `json:"vCPU"`
	MemoryGiB          float64                 `json:"memory"`
	Arch               []string                `json:"arch"`
	Virtualization     []string                `json:"linux_virtualization_types"`
	PhysicalProcessor  string                  `json:"physical_processor"`
	ClockSpeed         string                  `json:"clock_speed_ghz"`
	BasePerformance    *float64                `json:"base_performance"`
	GPU                int                     `json:"GPU"`
	NetworkPerformance string                  `json:"network_performance"`
	IPv6               bool                    `json:"ipv6_support"`
	ClusterPlacement   bool                    `json:"placement_group_support"`
	EBSOptimized       bool                    `json:"ebs_optimized"`
	EBSAsNVMe          bool                    `json:"ebs_as_nvme"`
	EBSBaseBandwidth   int                     `json:"ebs_baseline_bandwidth"`
	EBSBaseIOPS        int                     `json:"ebs_baseline_iops"`
	EBSMaxBandwidth    int                     `json:"ebs_max_bandwidth"`
	EBSMaxIOPS         float64                 `json:"ebs_iops"`
	AvailabilityZones  map[string][]string     `json:"availability_zones"`
	Pricing            map[string]regionPrices `json:"pricing"`
	VPC                *struct {
		Interfaces int `json:"max_enis"`
		IPv4       int `json:"ips_per_eni"`
	} `json:"vpc"`
	Storage *struct {
		Devices int   `json:"devices"`
		Size    int64 `json:"size"`
		SSD     bool  `json:"ssd"`
		NVMe    bool  `json:"nvme_ssd"`
	} `json:"storage"`
}

// regionPrices is what a region asks, by operating system.
type regionPrices struct {
	Linux struct {
		OnDemand decimal `json:"ondemand"`
		// Spot holds the zones' spot prices in ascending order, without their
		// zones.
		Spot []decimal `json:"spot"`
		// SpotAverage is the on-demand price less the savings of the Spot
		// Instance Advisor.
		SpotAverage decimal `json:"spot_avg"`
	} `json:"linux"`
}

// decimal is a price the source writes as a string, "N/A" where it has none.
type decimal float64

// UnmarshalJSON reads a price, 0 for "N/A".
func (d *decimal) UnmarshalJSON(text []byte) error {
	word := strings.Trim(string(text), `"`)
	if word == "" || word == "null" || strings.HasPrefix(word, "N/A") {
		*d = 0
		return nil
	}
	price, err := strconv.ParseFloat(word, 64)
	*d = decimal(price)
	return err
}

// readInstances reads the price source.
func readInstances(m module) ([]instance, error) {
	path := filepath.Join(m.Dir, "data", "instances.json")
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var instances []instance
	if err := json.Unmarshal(content, &instances); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(instances) == 0 {
		return nil, errors.New(path + ": no instance types")
	}
	return instances, nil
}
