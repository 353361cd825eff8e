package toolcache

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/kube/stamp"
)

const (
	// KarpenterVersion is the Karpenter that the rehearsal's go.mod requires; a test
	// holds the two equal.
	KarpenterVersion = "1.14.1"

	karpenterModule = "github.com/aws/karpenter-provider-aws"
)

// World is the command that lives a stack's life on a control plane.
func World() Tool {
	return Tool{
		Name: "rehearse-world", Title: "the rehearsal's world", Module: rehearsalModule,
		Package: "eks-gpu-slicing/rehearsal/cmd/rehearse-world", Estimate: 4 * time.Minute,
	}
}

// Kube is the control plane's binary.
func Kube() Tool {
	return Tool{
		Name: "kube", Title: "the Kubernetes control plane " + stamp.Version, Module: rehearsalModule,
		Package: "eks-gpu-slicing/rehearsal/kube", LDFlags: stamp.LDFlags(), Estimate: 7 * time.Minute,
	}
}

// Karpenter is Karpenter's controller, unmodified.
func Karpenter() Tool {
	return Tool{
		Name: "karpenter", Title: "the Karpenter controller " + KarpenterVersion, Module: rehearsalModule,
		Package: karpenterModule + "/cmd/controller",
		// As its own release does (hack/release of the module); it is in the user agent and
		// in the version the controller reports.
		LDFlags:  "-X sigs.k8s.io/karpenter/pkg/operator.Version=" + KarpenterVersion,
		Estimate: 2 * time.Minute,
	}
}

// KarpenterCharts is the folder of Karpenter's charts, in the module that the
// checkout's rehearsal requires. The error names the command that downloads it.
func KarpenterCharts(ctx context.Context, checkout string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", karpenterModule)
	cmd.Dir = filepath.Join(checkout, rehearsalModule)
	cmd.Env = append(Environment(), "GOWORK=off")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	dir := strings.TrimSpace(string(out))
	switch {
	case err != nil:
		return "", fmt.Errorf("finding Karpenter's charts: go list -m %s: %w: %s", karpenterModule, err, strings.TrimSpace(complaint.String()))
	case dir == "":
		return "", fmt.Errorf("the Karpenter module is not downloaded: run `go mod download %s` in %s", karpenterModule, cmd.Dir)
	}
	return filepath.Join(dir, "charts"), nil
}
