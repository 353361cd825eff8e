package settings

import (
	"fmt"
	"regexp"
	"strconv"
)

// Version is a Kubernetes version as EKS counts it: 1.28. The zero value means
// none.
type Version struct{ Major, Minor int }

var versionPattern = regexp.MustCompile(`^(1)\.([1-9][0-9])$`)

// ParseVersion reads a version such as 1.28. It returns an error for anything
// else, 1.3 (an unquoted 1.30) and 1.28.4 included.
func ParseVersion(text string) (Version, error) {
	m := versionPattern.FindStringSubmatch(text)
	if m == nil {
		return Version{}, fmt.Errorf("%q is not a Kubernetes version such as 1.28", text)
	}
	minor, err := strconv.Atoi(m[2])
	if err != nil {
		return Version{}, err
	}
	return Version{Major: 1, Minor: minor}, nil
}

// String returns the version as EKS writes it; empty for the zero value.
func (v Version) String() string {
	if v == (Version{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d", v.Major, v.Minor)
}

// Less tells whether v is older than w.
func (v Version) Less(w Version) bool {
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}

// AMIFamily is the Amazon Linux the nodes run.
type AMIFamily string

// The AMI families of amiFamily.
const (
	AMIFamilyAuto   AMIFamily = "auto"
	AMIFamilyAL2    AMIFamily = "al2"
	AMIFamilyAL2023 AMIFamily = "al2023"
)

// lastAL2 is the last version EKS builds Amazon Linux 2 AMIs for (EKS user
// guide, "Upgrade from Amazon Linux 2 to Amazon Linux 2023").
var lastAL2 = Version{Major: 1, Minor: 32}

// Runs sets the version that the cluster runs, and resolves the AMI family by it. It
// returns a problem where there is none of that family for the version. The zero
// version leaves everything as it is.
func (s *Settings) Runs(v Version) (problems Problems) {
	s.Version = v
	switch {
	case v == Version{}:
	case s.AMIFamily == AMIFamilyAuto:
		s.AMIFamily = defaultFamily(v)
	case s.AMIFamily == AMIFamilyAL2 && defaultFamily(v) != AMIFamilyAL2:
		problems.Add("amiFamily", string(s.AMIFamily), fmt.Sprintf("al2023 on Kubernetes %s: EKS builds Amazon Linux 2 up to %s", v, lastAL2),
			Set("amiFamily", string(AMIFamilyAL2023)))
	}
	return problems
}

// defaultFamily is what auto means: Amazon Linux 2 as long as there is one.
func defaultFamily(v Version) AMIFamily {
	if lastAL2.Less(v) {
		return AMIFamilyAL2023
	}
	return AMIFamilyAL2
}
