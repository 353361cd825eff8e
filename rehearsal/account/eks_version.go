package account

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Where a Kubernetes version stands with EKS (API reference, ClusterVersionInformation).
const (
	StandardSupport = "STANDARD_SUPPORT"
	ExtendedSupport = "EXTENDED_SUPPORT"
	Unsupported     = "UNSUPPORTED"
)

// ClusterVersion is a Kubernetes version as EKS offers it.
type ClusterVersion struct {
	// Version is the minor version, such as 1.35; Patch the whole one.
	Version, Patch string
	// PlatformVersion is EKS's own version of the control plane.
	PlatformVersion string
	// Default is true for the version of a cluster that names none.
	Default bool
	// Status is one of [StandardSupport], [ExtendedSupport], [Unsupported].
	// Clusters are created of the first two only.
	Status string
	// Released, StandardUntil and ExtendedUntil are days.
	Released, StandardUntil, ExtendedUntil time.Time
}

// eksVersion is a row of the table; the statuses are those of 23 November 2026.
type eksVersion struct {
	version, patch, platform, status       string
	released, standardUntil, extendedUntil string // 2006-01-02
}

// defaultEKSVersion is the version of a cluster that names none. Which one it is
// today was not to be had: EKS moves it to a version some weeks after that
// version's release.
const defaultEKSVersion = "1.35"

// eksVersions come from the EKS User Guide: the release calendar ("Understand
// the Kubernetes version lifecycle on EKS"), the patch versions of its table of
// kube-proxy versions. The platform versions are placeholders of the right form: EKS
// moves them every few weeks, and nothing reads more into one than its name.
func eksVersions() []eksVersion {
	return []eksVersion{
		{"1.28", "1.28.15", "eks.49", ExtendedSupport, "2023-09-26", "2024-11-26", "2025-11-26"},
		{"1.29", "1.29.15", "eks.52", Unsupported, "2024-01-23", "2025-03-23", "2026-03-23"},
		{"1.30", "1.30.14", "eks.50", Unsupported, "2024-05-23", "2025-07-23", "2026-07-23"},
		{"1.31", "1.31.14", "eks.40", ExtendedSupport, "2024-09-26", "2025-11-26", "2026-11-26"},
		{"1.32", "1.32.13", "eks.30", ExtendedSupport, "2025-01-23", "2026-03-23", "2027-03-23"},
		{"1.33", "1.33.10", "eks.20", ExtendedSupport, "2025-05-29", "2026-07-29", "2027-07-29"},
		{"1.34", "1.34.6", "eks.12", StandardSupport, "2025-10-02", "2026-12-02", "2027-12-02"},
		{"1.35", "1.35.3", "eks.6", StandardSupport, "2026-01-27", "2027-03-27", "2028-03-27"},
		{"1.36", "1.36.0", "eks.1", StandardSupport, "2026-06-02", "2027-08-02", "2028-08-02"},
	}
}

// DescribeClusterVersions lists the versions that clusters can be created of,
// newest first; includeAll adds those that they no longer can.
func (a *Account) DescribeClusterVersions(includeAll bool) ([]ClusterVersion, error) {
	var out []ClusterVersion
	for _, v := range eksVersions() {
		status := v.status
		if v.version == a.world.withdrawn {
			status = Unsupported
		}
		if status == Unsupported && !includeAll {
			continue
		}
		c := ClusterVersion{
			Version: v.version, Patch: v.patch, PlatformVersion: v.platform,
			Default: v.version == defaultEKSVersion, Status: status,
		}
		for text, day := range map[string]*time.Time{
			v.released: &c.Released, v.standardUntil: &c.StandardUntil, v.extendedUntil: &c.ExtendedUntil,
		} {
			var err error
			if *day, err = time.Parse(time.DateOnly, text); err != nil {
				return nil, fmt.Errorf("dates of EKS %s: %w", v.version, err)
			}
		}
		out = append(out, c)
	}
	slices.Reverse(out)
	return out, nil
}

// offered finds a version that clusters can be created of, or refuses it.
func (a *Account) offered(version string) (ClusterVersion, error) {
	all, err := a.DescribeClusterVersions(false)
	if err != nil {
		return ClusterVersion{}, err
	}
	for _, v := range all {
		if v.Version == version {
			return v, nil
		}
	}
	return ClusterVersion{}, refuse("InvalidParameterException", "unsupported Kubernetes version")
}

// known finds a version whether clusters can still be created of it or not.
func (a *Account) known(version string) (ClusterVersion, bool) {
	all, err := a.DescribeClusterVersions(true)
	if err != nil {
		return ClusterVersion{}, false
	}
	i := slices.IndexFunc(all, func(v ClusterVersion) bool { return v.Version == version })
	if i < 0 {
		return ClusterVersion{}, false
	}
	return all[i], true
}

// minor is the minor number of a version such as 1.35; -1 for anything else.
func minor(version string) int {
	text, ok := strings.CutPrefix(version, "1.")
	n, err := strconv.Atoi(text)
	if !ok || err != nil {
		return -1
	}
	return n
}
