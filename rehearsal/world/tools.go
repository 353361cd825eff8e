package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"

	"eks-gpu-slicing/rehearsal/kube/stamp"
	"eks-gpu-slicing/rehearsal/provider/kubernetes/live"
	"eks-gpu-slicing/rehearsal/toolcache"
)

const (
	// KarpenterVersion is the Karpenter that the rehearsal's go.mod requires; a test
	// holds the two equal.
	KarpenterVersion = "1.14.1"

	karpenterModule = "github.com/aws/karpenter-provider-aws"
	// chartRegistry is where the charts of Karpenter's releases are published.
	chartRegistry = "oci://public.ecr.aws/karpenter/"
	// controllerRepository is the controller's image.
	controllerRepository = "public.ecr.aws/karpenter/controller"
)

// Kube is the control plane's binary.
func Kube() toolcache.Tool {
	return toolcache.Tool{
		Name: "kube", Title: "the Kubernetes control plane " + stamp.Version, Module: "rehearsal",
		Package: "eks-gpu-slicing/rehearsal/kube", LDFlags: stamp.LDFlags(), Estimate: 7 * time.Minute,
	}
}

// Karpenter is Karpenter's controller, unmodified.
func Karpenter() toolcache.Tool {
	return toolcache.Tool{
		Name: "karpenter", Title: "the Karpenter controller " + KarpenterVersion, Module: "rehearsal",
		Package: karpenterModule + "/cmd/controller",
		// As its own release does (hack/release of the module); it is in the user agent and
		// in the version the controller reports.
		LDFlags:  "-X sigs.k8s.io/karpenter/pkg/operator.Version=" + KarpenterVersion,
		Estimate: 2 * time.Minute,
	}
}

// Charts is the folder of Karpenter's charts, in the module that the checkout's
// rehearsal requires.
func Charts(ctx context.Context, checkout string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", karpenterModule)
	cmd.Dir = filepath.Join(checkout, "rehearsal")
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

// charts gives the charts in a folder as the release of KarpenterVersion publishes
// them. In the module they bear the release before: their version, and the
// controller's tag and digest, are set when a release is made (hack/release). The
// digest of the image is not in the module, so there is none.
func charts(dir string) live.Charts {
	return func(_ context.Context, _, name, version string) (*chart.Chart, error) {
		base, ours := strings.CutPrefix(name, chartRegistry)
		if !ours || base != path.Base(base) || base != "karpenter" && base != "karpenter-crd" {
			return nil, fmt.Errorf("chart %q is not available in a rehearsal, which has no network; it has %skarpenter and %[2]skarpenter-crd", name, chartRegistry)
		}
		if version != "" && strings.TrimPrefix(version, "v") != KarpenterVersion {
			return nil, fmt.Errorf("chart %s is not available in version %s: a rehearsal runs Karpenter %s; set karpenterVersion to it with: pulumi config set karpenterVersion %[3]s", name, version, KarpenterVersion)
		}
		c, err := loader.LoadDir(filepath.Join(dir, base))
		if err != nil {
			return nil, fmt.Errorf("chart %s: %w", name, err)
		}
		c.Metadata.Version, c.Metadata.AppVersion = KarpenterVersion, KarpenterVersion
		if base == "karpenter" {
			if err := setImage(c); err != nil {
				return nil, fmt.Errorf("chart %s: %w", name, err)
			}
		}
		return c, nil
	}
}

// setImage makes the chart's controller that of KarpenterVersion.
func setImage(c *chart.Chart) error {
	controller, ok := c.Values["controller"].(map[string]any)
	if !ok {
		return errors.New("its values have no controller")
	}
	image, ok := controller["image"].(map[string]any)
	if !ok {
		return errors.New("its values have no controller.image")
	}
	image["tag"], image["digest"] = KarpenterVersion, ""
	return nil
}
