package karpenter

import (
	"fmt"

	"github.com/blang/semver"

	"eks-gpu-slicing/internal/settings"
)

// overlays is the first release that has NodeOverlays (karpenter.sh/v1alpha1).
var overlays = semver.Version{Major: 1, Minor: 7}

// kubernetesRange is what Kubernetes versions releases of Karpenter take: the limits
// in their code (MinK8sVersion and MaxK8sVersion of pkg/providers/version), beyond
// which they log an error and go on to work on an API they were not made for.
type kubernetesRange struct {
	from            uint64 // first minor release that has it
	lowest, highest settings.Version
}

// kubernetesRanges are newest first. They are collected, for all releases, in
// hack/docs/compatibilitymatrix_gen/compatibility.yaml of karpenter-provider-aws. On
// a new release look there, and add a row where it differs from the one before.
var kubernetesRanges = []kubernetesRange{
	{13, settings.Version{Major: 1, Minor: 26}, settings.Version{Major: 1, Minor: 36}},
	{9, settings.Version{Major: 1, Minor: 26}, settings.Version{Major: 1, Minor: 35}},
	{7, settings.Version{Major: 1, Minor: 26}, settings.Version{Major: 1, Minor: 34}},
}

// newestKnown is the newest minor release whose limits the table has.
const newestKnown = 14

// published is how many Kubernetes versions Karpenter's published compatibility
// matrix has (karpenter.sh, "Compatibility"; hack/docgen.sh): older ones it takes, and
// nobody tests.
const published = 7

// checkRelease tells whether a release of Karpenter knows NodeOverlays and takes the
// Kubernetes version. at and value are where the release is from; upgrade is the
// command that installs another. A warning is for what works and is not supported.
func checkRelease(at, value string, release semver.Version, kubernetes settings.Version, upgrade string) (problems settings.Problems, warning string) {
	if release.LT(overlays) {
		problems.Add(at, value, fmt.Sprintf("Karpenter %d.%d or later: NodeOverlays came with it, and without them each pod gets a GPU node of its own", overlays.Major, overlays.Minor), upgrade)
		return problems, ""
	}
	if release.Major != 1 || release.Minor > newestKnown || kubernetes == (settings.Version{}) {
		return nil, ""
	}
	for _, r := range kubernetesRanges {
		if release.Minor < r.from {
			continue
		}
		if kubernetes.Less(r.lowest) || r.highest.Less(kubernetes) {
			problems.Add(at, value, fmt.Sprintf("a release for Kubernetes %s; this one is for %s to %s", kubernetes, r.lowest, r.highest), upgrade)
			return problems, ""
		}
		oldest := settings.Version{Major: 1, Minor: r.highest.Minor - published + 1}
		if kubernetes.Less(oldest) {
			warning = fmt.Sprintf("Kubernetes %s is not in the compatibility matrix of Karpenter %s, which begins with %s: it works, and nobody tests it; mend: go on to a newer Kubernetes, one minor version at a time",
				kubernetes, release, oldest)
		}
		break
	}
	return nil, warning
}

// CheckVersion checks karpenterVersion against the cluster's version. It returns
// settings.Problems, or a warning that may be empty.
func CheckVersion(s *settings.Settings) (problems settings.Problems, warning string) {
	if s.KarpenterVersion == "" || !s.InstallKarpenter {
		return nil, "" // reported where it is missing
	}
	const key = "karpenterVersion"
	mend := settings.Set(key, "RELEASE") + ", one of https://github.com/aws/karpenter-provider-aws/releases"
	release, err := semver.Parse(s.KarpenterVersion)
	if err != nil {
		problems.Add(key, s.KarpenterVersion, fmt.Sprintf("a release of Karpenter: %v", err), mend)
		return problems, ""
	}
	return checkRelease(key, s.KarpenterVersion, release, s.Version, mend)
}
