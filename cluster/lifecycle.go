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

// LookupStanding finds the cluster that the stack has made, or one of its name. It
// returns nil where there is none.
func LookupStanding(ctx *pulumi.Context, s *settings.Settings, opts ...pulumi.InvokeOption) (*eks.LookupClusterResult, error) {
	if s.ClusterName == "" {
		return nil, nil // reported where it is missing
	}
	// Asking for one absent cluster is an error; the list is not.
	clusters, err := eks.GetClusters(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("EKS clusters of %s: %w", s.Region, err)
	}
	if !slices.Contains(clusters.Names, s.ClusterName) {
		return nil, nil
	}
	standing, err := eks.LookupCluster(ctx, &eks.LookupClusterArgs{Name: s.ClusterName}, opts...)
	if err != nil {
		return nil, fmt.Errorf("EKS cluster %s: %w", s.ClusterName, err)
	}
	return standing, nil
}

// CheckLife compares what is configured of a cluster that the stack makes with what
// AWS offers and with the cluster, if it stands. It returns settings.Problems when
// a new cluster would be refused, when the version is newer than AWS's newest, when EKS
// would refuse the change of a standing one or could not make it without replacing it,
// and when a cluster of the name is not the stack's.
func CheckLife(ctx *pulumi.Context, s *settings.Settings, standing *eks.LookupClusterResult, opts ...pulumi.InvokeOption) error {
	if s.ClusterName == "" || s.Version == (settings.Version{}) {
		return nil // reported where they are missing
	}
	if standing != nil {
		if err := checkStanding(s, standing).Err(); err != nil || standing.Version == s.Version.String() {
			return err
		}
	}
	offered, err := eks.GetClusterVersions(ctx, &eks.GetClusterVersionsArgs{}, opts...)
	if err != nil {
		return fmt.Errorf("Kubernetes versions that EKS offers: %w", err)
	}
	return checkOffered(s, offered.ClusterVersions, standing != nil).Err()
}

// checkStanding compares the settings with a cluster that stands.
func checkStanding(s *settings.Settings, standing *eks.LookupClusterResult) (problems settings.Problems) {
	if standing.Tags[settings.ClusterTag] != s.ClusterName {
		problems.Add("clusterName", s.ClusterName, "a name that no cluster in "+s.Region+" has, or that of a cluster that is there as existingCluster; this one was made by others: it has no tag "+settings.ClusterTag,
			settings.Set("existingCluster", s.ClusterName))
		return problems
	}
	version, err := settings.ParseVersion(standing.Version)
	if err != nil {
		problems.Add("EKS cluster "+s.ClusterName, standing.Version, "a version that this program knows how to compare", describe(s))
		return problems
	}
	return append(checkStep(s, version), checkEncryption(s, standing.Tags)...)
}

// checkStep refuses what EKS does: to go back, and to skip a minor version ("Update
// existing cluster to new Kubernetes version" in the EKS user guide). Back is where a
// stack would go whose cluster AWS has upgraded by itself, at the end of extended
// support.
func checkStep(s *settings.Settings, actual settings.Version) (problems settings.Problems) {
	const key = "kubernetesVersion"
	next := settings.Version{Major: actual.Major, Minor: actual.Minor + 1}
	switch {
	case s.Version.Less(actual):
		problems.Add(key, s.Version.String(),
			fmt.Sprintf("at least %s, which cluster %s already runs: EKS never goes back", actual, s.ClusterName),
			settings.Set(key, fmt.Sprintf("%q", actual)))
	case next.Less(s.Version):
		problems.Add(key, s.Version.String(),
			fmt.Sprintf("%s next, since cluster %s runs %s: EKS goes on one minor version at a time, and so do the nodes", next, s.ClusterName, actual),
			settings.Set(key, fmt.Sprintf("%q", next))+" && pulumi up, then the one after it")
	}
	return problems
}

// Support statuses of GetClusterVersions under which EKS creates clusters.
const (
	standardSupport = "STANDARD_SUPPORT"
	extendedSupport = "EXTENDED_SUPPORT"
)

// checkOffered compares the configured version with AWS's list. AWS's answer
// decides, not a table of dates here, so the check stays true as time passes. A cluster
// that stands may go through versions in which none is created any more, up to the newest.
func checkOffered(s *settings.Settings, versions []eks.GetClusterVersionsClusterVersion, stands bool) (problems settings.Problems) {
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
	latest := slices.MaxFunc(newest, compare)
	if stands && s.Version.Less(latest) {
		return nil
	}
	problems.Add("kubernetesVersion", s.Version.String(),
		fmt.Sprintf("a version in which EKS creates new clusters: %s in standard support, %s in extended support, which costs more",
			list(standard), list(extended)),
		settings.Set("kubernetesVersion", fmt.Sprintf("%q", latest)))
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
