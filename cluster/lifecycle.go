package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// CheckVersion compares the configured version with what AWS offers and with
// the cluster, should it stand. It returns settings.Problems when a new cluster
// of that version would be refused, or when AWS has moved the cluster past it:
// EKS upgrades a cluster by itself at the end of extended support, and nothing
// takes it back.
func CheckVersion(ctx *pulumi.Context, s *settings.Settings, opts ...pulumi.InvokeOption) error {
	if s.ClusterName == "" || s.Version == (settings.Version{}) {
		return nil // reported where they are missing
	}
	// Asking for one absent cluster is an error; the list is not.
	clusters, err := eks.GetClusters(ctx, opts...)
	if err != nil {
		return fmt.Errorf("EKS clusters of %s: %w", s.Region, err)
	}
	if slices.Contains(clusters.Names, s.ClusterName) {
		standing, err := eks.LookupCluster(ctx, &eks.LookupClusterArgs{Name: s.ClusterName}, opts...)
		if err != nil {
			return fmt.Errorf("EKS cluster %s: %w", s.ClusterName, err)
		}
		return append(checkStanding(s, standing.Version), checkEncryption(s, standing.Tags)...).Err()
	}
	offered, err := eks.GetClusterVersions(ctx, &eks.GetClusterVersionsArgs{}, opts...)
	if err != nil {
		return fmt.Errorf("Kubernetes versions that EKS offers: %w", err)
	}
	return checkOffered(s, offered.ClusterVersions).Err()
}

// checkStanding compares the configured version with the cluster's own.
func checkStanding(s *settings.Settings, actual string) (problems settings.Problems) {
	version, err := settings.ParseVersion(actual)
	if err != nil {
		problems.Add("EKS cluster "+s.ClusterName, actual, "a version that this program knows how to compare",
			"aws eks describe-cluster --name "+s.ClusterName)
		return problems
	}
	if s.Version.Less(version) {
		problems.Add("kubernetesVersion", s.Version.String(),
			fmt.Sprintf("at least %s, which cluster %s already runs: EKS never goes back", version, s.ClusterName),
			settings.Set("kubernetesVersion", fmt.Sprintf("%q", version)))
	}
	return problems
}

// Support statuses of GetClusterVersions under which EKS creates clusters.
const (
	standardSupport = "STANDARD_SUPPORT"
	extendedSupport = "EXTENDED_SUPPORT"
)

// checkOffered compares the configured version with AWS's list. AWS's answer
// decides, not a table of dates here, so the check stays true as time passes.
func checkOffered(s *settings.Settings, versions []eks.GetClusterVersionsClusterVersion) (problems settings.Problems) {
	var standard, extended []settings.Version
	for _, v := range versions {
		version, err := settings.ParseVersion(v.ClusterVersion)
		if err != nil {
			continue // a numbering to come; not the one asked for
		}
		switch strings.ToUpper(v.VersionStatus) {
		case standardSupport:
			standard = append(standard, version)
		case extendedSupport:
			extended = append(extended, version)
		}
	}
	if slices.Contains(standard, s.Version) || slices.Contains(extended, s.Version) {
		return nil
	}
	newest := append(slices.Clone(standard), extended...)
	if len(newest) == 0 {
		problems.Add("kubernetesVersion", s.Version.String(), "a version EKS offers; in "+s.Region+" it offers none",
			"aws eks describe-cluster-versions --region "+s.Region)
		return problems
	}
	problems.Add("kubernetesVersion", s.Version.String(),
		fmt.Sprintf("a version in which EKS creates new clusters: %s in standard support, %s in extended support, which costs more",
			list(standard), list(extended)),
		settings.Set("kubernetesVersion", fmt.Sprintf("%q", slices.MaxFunc(newest, compare))))
	return problems
}

func compare(a, b settings.Version) int {
	return cmp.Or(cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor))
}

func list(versions []settings.Version) string {
	if len(versions) == 0 {
		return "none"
	}
	slices.SortFunc(versions, compare)
	var names []string
	for _, v := range versions {
		names = append(names, v.String())
	}
	return strings.Join(names, ", ")
}
