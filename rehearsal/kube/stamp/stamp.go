// Package stamp says which Kubernetes version the kube binary is and how to link
// it: the components take their version from link-time variables of
// k8s.io/component-base, and a control plane without one calls itself v0.0.0,
// which clients and Karpenter's version check refuse.
//
// It is a package of its own, free of dependencies, so that whatever builds the
// binary can import it without linking Kubernetes.
package stamp

import (
	"fmt"
	"strings"
)

// Version is the version of the Kubernetes modules in the rehearsal's go.mod, and
// what the API server answers at /version. A test holds the two equal.
const Version = "v1.35.4"

// LDFlags is the value of go build's -ldflags that stamps the kube binary.
func LDFlags() string {
	const pkg = "k8s.io/component-base/version"
	parts := strings.SplitN(strings.TrimPrefix(Version, "v"), ".", 3)
	return fmt.Sprintf("-X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s",
		pkg, Version, parts[0], parts[1])
}
