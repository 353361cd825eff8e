package main

import (
	"os/exec"
	"strings"
	"testing"
)

// The command is built before anything else, and again after each change: what needs
// Kubernetes, Helm or AWS's SDK is in rehearse-world.
func TestLight(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range strings.FieldsSeq(string(out)) {
		for _, heavy := range []string{"k8s.io/client-go", "k8s.io/kubernetes", "helm.sh/helm", "github.com/aws/aws-sdk-go-v2/service"} {
			if strings.HasPrefix(pkg, heavy) {
				t.Errorf("it links %s", pkg)
			}
		}
	}
}
