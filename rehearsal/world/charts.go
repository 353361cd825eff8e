package world

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"

	"eks-gpu-slicing/rehearsal/provider/kubernetes/live"
	"eks-gpu-slicing/rehearsal/toolcache"
)

const (
	// chartRegistry is where the charts of Karpenter's releases are published.
	chartRegistry = "oci://public.ecr.aws/karpenter/"
	// controllerRepository is the controller's image.
	controllerRepository = "public.ecr.aws/karpenter/controller"
)

// charts gives the charts in a folder as the release of [toolcache.KarpenterVersion] publishes
// them. In the module they bear the release before: their version, and the
// controller's tag and digest, are set when a release is made (hack/release). The
// digest of the image is not in the module, so there is none.
func charts(dir string) live.Charts {
	return func(_ context.Context, _, name, version string) (*chart.Chart, error) {
		base, ours := strings.CutPrefix(name, chartRegistry)
		if !ours || base != path.Base(base) || base != "karpenter" && base != "karpenter-crd" {
			return nil, fmt.Errorf("chart %q is not available in a rehearsal, which has no network; it has %skarpenter and %[2]skarpenter-crd", name, chartRegistry)
		}
		if version != "" && strings.TrimPrefix(version, "v") != toolcache.KarpenterVersion {
			return nil, fmt.Errorf("chart %s is not available in version %s: a rehearsal runs Karpenter %s; set karpenterVersion to it with: pulumi config set karpenterVersion %[3]s", name, version, toolcache.KarpenterVersion)
		}
		c, err := loader.LoadDir(filepath.Join(dir, base))
		if err != nil {
			return nil, fmt.Errorf("chart %s: %w", name, err)
		}
		c.Metadata.Version, c.Metadata.AppVersion = toolcache.KarpenterVersion, toolcache.KarpenterVersion
		if base == "karpenter" {
			if err := setImage(c); err != nil {
				return nil, fmt.Errorf("chart %s: %w", name, err)
			}
		}
		return c, nil
	}
}

// setImage makes the chart's controller that of toolcache.KarpenterVersion.
func setImage(c *chart.Chart) error {
	controller, ok := c.Values["controller"].(map[string]any)
	if !ok {
		return errors.New("its values have no controller")
	}
	image, ok := controller["image"].(map[string]any)
	if !ok {
		return errors.New("its values have no controller.image")
	}
	image["tag"], image["digest"] = toolcache.KarpenterVersion, ""
	return nil
}
