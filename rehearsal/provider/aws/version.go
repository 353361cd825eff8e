package aws

import "github.com/blang/semver"

// version is the version of pulumi-aws that is stood in for. It is the one the
// program's go.mod requires; a test compares the two.
func version() semver.Version { return semver.Version{Major: 6, Minor: 83, Patch: 2} }
