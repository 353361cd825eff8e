package world

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"

	"eks-gpu-slicing/rehearsal/kubelet"
	"eks-gpu-slicing/rehearsal/provider/kubernetes/live"
	"eks-gpu-slicing/rehearsal/toolcache"
)

const (
	// chartRegistry is where the charts of Karpenter's releases are published.
	chartRegistry = "oci://public.ecr.aws/karpenter/"
	// controllerRepository is the controller's image.
	controllerRepository = "public.ecr.aws/karpenter/controller"
)

// charts gives the charts in the releases' folders as the releases publish them; the
// first is that of a chart without a version. In the module they bear the release
// before: their version, and the controller's tag and digest, are set when a release is
// made (hack/release). The digest of the image is not in the module, so there is none.
func charts(releases []toolcache.Release) live.Charts {
	return func(_ context.Context, _, name, version string) (*chart.Chart, error) {
		base, ours := strings.CutPrefix(name, chartRegistry)
		if !ours || base != path.Base(base) || base != "karpenter" && base != "karpenter-crd" {
			return nil, fmt.Errorf("chart %q is not available in a rehearsal, which has no network; it has %skarpenter and %[2]skarpenter-crd", name, chartRegistry)
		}
		at := 0
		if version != "" {
			at = slices.IndexFunc(releases, func(r toolcache.Release) bool { return r.Version == strings.TrimPrefix(version, "v") })
		}
		if at < 0 {
			return nil, fmt.Errorf("chart %s is not available in version %s: a rehearsal runs Karpenter %s; set karpenterVersion to it with: pulumi config set karpenterVersion %[3]s", name, version, releases[0].Version)
		}
		release := releases[at]
		c, err := loader.LoadDir(filepath.Join(release.Charts, base))
		if err != nil {
			return nil, fmt.Errorf("chart %s: %w", name, err)
		}
		c.Metadata.Version, c.Metadata.AppVersion = release.Version, release.Version
		if base == "karpenter" {
			if err := setImage(c, release.Version); err != nil {
				return nil, fmt.Errorf("chart %s: %w", name, err)
			}
		}
		return c, nil
	}
}

// setImage makes the chart's controller that of a release.
func setImage(c *chart.Chart, version string) error {
	controller, ok := c.Values["controller"].(map[string]any)
	if !ok {
		return errors.New("its values have no controller")
	}
	image, ok := controller["image"].(map[string]any)
	if !ok {
		return errors.New("its values have no controller.image")
	}
	image["tag"], image["digest"] = version, ""
	return nil
}

// controllers are Karpenter's, by the tags of their image.
type controllers map[string]kubelet.Image

// Run implements [kubelet.Image].
func (all controllers) Run(ctx context.Context, c *kubelet.Container) kubelet.Exit {
	image, _, _ := strings.Cut(c.Spec.Image, "@")
	tag := image[strings.LastIndexByte(image, ':')+1:]
	if one := all[tag]; one != nil {
		return one.Run(ctx, c)
	}
	_, _ = fmt.Fprintf(c.Log, "a rehearsal has no image %s; it has the tags %q\n", image, slices.Sorted(maps.Keys(all))) // the exit tells, too
	return kubelet.Exit{Code: 1}
}
