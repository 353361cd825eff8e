package live

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

// helm is the Helm library set up for one operation on one release.
type helm struct {
	*action.Configuration
	client *releaseClient

	mu    sync.Mutex
	fault string // the newest failure that Helm told of on the way
}

// helm prepares an operation on a release of a namespace. Its clients discover
// the API server's kinds anew, since an earlier release may have brought some.
func (c *cluster) helm(ctx context.Context, namespace string) (*helm, error) {
	h := &helm{Configuration: &action.Configuration{}}
	// "secret" is where Helm keeps releases by default (provider.go, helmDriver).
	if err := h.Init(&getter{config: c.config, namespace: namespace}, namespace, "secret", h.log); err != nil {
		return nil, fmt.Errorf("setting up Helm: %w", err)
	}
	client, ok := h.KubeClient.(*kube.Client)
	if !ok {
		return nil, fmt.Errorf("setting up Helm: its client is a %T", h.KubeClient)
	}
	h.client = &releaseClient{Client: client, ctx: ctx}
	h.KubeClient = h.client
	return h, nil
}

// log keeps of what Helm tells while it works only why something failed, which
// some of its errors do not say.
func (h *helm) log(format string, a ...any) {
	if line := fmt.Sprintf(format, a...); strings.Contains(line, "ailed to") {
		h.mu.Lock()
		h.fault = line
		h.mu.Unlock()
	}
}

// chart finds a release's chart and refuses those that cannot be installed.
func (c *cluster) chart(ctx context.Context, r kubernetes.Release) (*chart.Chart, error) {
	repo := ""
	if r.RepositoryOpts != nil {
		repo = r.RepositoryOpts.Repo
	}
	ch, err := c.charts(ctx, repo, r.Chart, r.Version)
	if err != nil {
		return nil, err
	}
	if t := ch.Metadata.Type; t != "" && t != "application" {
		return nil, fmt.Errorf("%s charts are not installable", t)
	}
	return ch, nil
}

// ChartVersion implements kubernetes.Cluster.
func (c *cluster) ChartVersion(ctx context.Context, r kubernetes.Release) (string, error) {
	ch, err := c.chart(ctx, r)
	if err != nil {
		return "", err
	}
	return ch.Metadata.Version, nil
}

// Install implements kubernetes.Cluster (helm_release.go, helmCreate).
func (c *cluster) Install(ctx context.Context, r kubernetes.Release) (kubernetes.Deployed, error) {
	h, err := c.helm(ctx, r.Namespace)
	if err != nil {
		return kubernetes.Deployed{}, err
	}
	ch, err := c.chart(ctx, r)
	if err != nil {
		return kubernetes.Deployed{}, err
	}
	install := action.NewInstall(h.Configuration)
	install.ReleaseName, install.Namespace = r.Name, r.Namespace
	install.CreateNamespace = r.CreateNamespace
	install.SkipCRDs = r.SkipCrds
	install.Wait = !r.SkipAwait
	install.WaitForJobs = !r.SkipAwait && r.WaitForJobs
	install.Timeout = releaseTimeout(r)
	install.Atomic = r.Atomic
	install.Replace = r.Replace
	install.Description = r.Description
	install.DisableHooks = r.DisableWebhooks
	install.DisableOpenAPIValidation = r.DisableOpenapiValidation
	install.SubNotes = r.RenderSubchartNotes

	rel, err := install.RunWithContext(ctx, ch, maps.Clone(r.Values))
	if err == nil {
		return deployed(rel)
	}
	if rel == nil {
		return kubernetes.Deployed{}, err
	}
	// A failed atomic install leaves nothing behind.
	if _, lookup := h.newest(r.Name); lookup != nil {
		return kubernetes.Deployed{}, err
	}
	return c.failed(ctx, h, r, rel, err)
}

// Upgrade implements kubernetes.Cluster (helm_release.go, helmUpdate).
func (c *cluster) Upgrade(ctx context.Context, r kubernetes.Release) (kubernetes.Deployed, error) {
	h, err := c.helm(ctx, r.Namespace)
	if err != nil {
		return kubernetes.Deployed{}, err
	}
	ch, err := c.chart(ctx, r)
	if err != nil {
		return kubernetes.Deployed{}, err
	}
	upgrade := action.NewUpgrade(h.Configuration)
	upgrade.Namespace = r.Namespace
	upgrade.Timeout = releaseTimeout(r)
	upgrade.Wait = !r.SkipAwait
	upgrade.WaitForJobs = !r.SkipAwait && r.WaitForJobs
	upgrade.Atomic = r.Atomic
	upgrade.CleanupOnFail = r.CleanupOnFail
	upgrade.Description = r.Description
	upgrade.DisableHooks = r.DisableCRDHooks
	upgrade.Force = r.ForceUpdate
	upgrade.Recreate = r.RecreatePods
	upgrade.ResetValues = r.ResetValues
	upgrade.ReuseValues = r.ReuseValues
	upgrade.SubNotes = r.RenderSubchartNotes
	upgrade.MaxHistory = 0
	if r.MaxHistory != nil {
		upgrade.MaxHistory = *r.MaxHistory
	}

	rel, err := upgrade.RunWithContext(ctx, r.Name, ch, maps.Clone(r.Values))
	switch {
	case err == nil:
		return deployed(rel)
	case rel == nil || errors.Is(err, driver.ErrNoDeployedReleases):
		return kubernetes.Deployed{}, err
	}
	return c.failed(ctx, h, r, rel, err)
}

// failed is a release that Helm recorded and that did not become what it
// should be.
func (c *cluster) failed(
	ctx context.Context, h *helm, r kubernetes.Release, rel *release.Release, err error,
) (kubernetes.Deployed, error) {
	late := &kubernetes.NotReady{Err: fmt.Errorf("failed to become available within allocated timeout. "+
		"Error: Helm Release %s/%s: %w", r.Namespace, r.Name, err)}
	for _, info := range h.client.unready() {
		late.Causes = append(late.Causes, info.why)
		if o, err := decodeRuntime(info.object); err == nil {
			late.Causes = append(late.Causes, c.causes(ctx, o)...)
		}
	}
	d, broken := deployed(rel)
	if broken != nil {
		return d, errors.Join(late, broken)
	}
	return d, late
}

// Deployed implements kubernetes.Cluster.
func (c *cluster) Deployed(ctx context.Context, namespace, name string) (kubernetes.Deployed, error) {
	h, err := c.helm(ctx, namespace)
	if err != nil {
		return kubernetes.Deployed{}, err
	}
	rel, err := h.newest(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return kubernetes.Deployed{}, classified{err, kubernetes.ErrNotFound}
	}
	if err != nil {
		return kubernetes.Deployed{}, err
	}
	return deployed(rel)
}

func (h *helm) newest(name string) (*release.Release, error) {
	return action.NewGet(h.Configuration).Run(name)
}

// Uninstall implements kubernetes.Cluster (helm_release.go, Delete).
func (c *cluster) Uninstall(ctx context.Context, r kubernetes.Release) (string, error) {
	h, err := c.helm(ctx, r.Namespace)
	if err != nil {
		return "", err
	}
	uninstall := action.NewUninstall(h.Configuration)
	if r.Atomic || !r.SkipAwait {
		uninstall.Wait = true
		uninstall.Timeout = releaseTimeout(r)
	}
	res, err := uninstall.Run(r.Name)
	if err != nil && h.fault != "" {
		return "", fmt.Errorf("%w (%s)", err, h.fault)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(res.Info), nil
}

func releaseTimeout(r kubernetes.Release) time.Duration {
	if r.Timeout == 0 {
		return kubernetes.DefaultReleaseTimeout
	}
	return time.Duration(r.Timeout) * time.Second
}

// deployed reads what the state keeps of a revision (helm_release.go,
// setReleaseAttributes, and manifest_json.go).
func deployed(rel *release.Release) (kubernetes.Deployed, error) {
	d := kubernetes.Deployed{
		Status: kubernetes.ReleaseStatus{
			AppVersion: rel.Chart.Metadata.AppVersion,
			Chart:      rel.Chart.Metadata.Name,
			Name:       rel.Name,
			Namespace:  rel.Namespace,
			Revision:   rel.Version,
			Status:     rel.Info.Status.String(),
			Version:    rel.Chart.Metadata.Version,
		},
		Values:        rel.Config,
		ResourceNames: map[string][]string{},
	}
	for _, manifest := range releaseutil.SplitManifests(rel.Manifest) {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(manifest), &o.Object); err != nil {
			return d, fmt.Errorf("reading the manifest of release %s/%s: %w", rel.Namespace, rel.Name, err)
		}
		if o.GetKind() == "" {
			continue // a template that rendered to nothing
		}
		name := o.GetName()
		if o.GetNamespace() != "" {
			name = o.GetNamespace() + "/" + name
		}
		key := o.GroupVersionKind().GroupKind().String() + "/" + o.GetAPIVersion()
		d.ResourceNames[key] = append(d.ResourceNames[key], name)
	}
	for _, names := range d.ResourceNames {
		slices.Sort(names)
	}
	return d, nil
}

// releaseClient is Helm's client with waits of its own: Helm's idea of what is
// ready, asked more often than every two seconds, and remembered for the
// error, which in Helm's own words would be "context deadline exceeded".
type releaseClient struct {
	*kube.Client
	ctx context.Context // the operation's; Helm's interface passes none

	mu   sync.Mutex
	last []unreadyObject
}
