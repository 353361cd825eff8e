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

	// PreviousKarpenterVersion is the newest of the minor release before it, which
	// upgrades begin with. It is what the module rehearsal/previous requires.
	PreviousKarpenterVersion = "1.13.1"

	karpenterModule = "github.com/aws/karpenter-provider-aws"
	previousModule  = rehearsalModule + "/previous"
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
	return controller("karpenter", rehearsalModule, KarpenterVersion)
}

func controller(name, module, version string) Tool {
	return Tool{
		Name: name, Title: "the Karpenter controller " + version, Module: module,
		Package: karpenterModule + "/cmd/controller",
		// As its own release does (hack/release of the module); it is in the user agent and
		// in the version the controller reports.
		LDFlags:  "-X sigs.k8s.io/karpenter/pkg/operator.Version=" + version,
		Estimate: 2 * time.Minute,
	}
}

// Release is a release of Karpenter.
type Release struct {
	// Version is such as 1.14.1, Controller the path of the executable, Charts the
	// folder of the charts.
	Version, Controller, Charts string
}

// PreviousKarpenter finds or builds the release of PreviousKarpenterVersion, as
// unmodified as Karpenter, with the versions of the AWS SDK that this one has.
func (c *Cache) PreviousKarpenter(ctx context.Context, checkout string) (r Release, err error) {
	r.Version = PreviousKarpenterVersion
	if r.Charts, err = charts(ctx, checkout, previousModule); err != nil {
		return r, err
	}
	r.Controller, err = c.Binary(ctx, checkout, controller("karpenter-previous", previousModule, PreviousKarpenterVersion))
	return r, err
}

// KarpenterCharts is the folder of Karpenter's charts, in the module that the
// checkout's rehearsal requires. The error names the command that downloads it.
func KarpenterCharts(ctx context.Context, checkout string) (string, error) {
	return charts(ctx, checkout, rehearsalModule)
}

// charts is the folder of the charts in Karpenter's module as a module requires it.
func charts(ctx context.Context, checkout, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", karpenterModule)
	cmd.Dir = filepath.Join(checkout, module)
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
