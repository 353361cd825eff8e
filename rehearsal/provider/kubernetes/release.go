package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"eks-gpu-slicing/rehearsal/provider"
)

// DefaultReleaseTimeout bounds the waits of a release that sets no timeout
// (helm_release.go, defaultTimeoutSeconds).
const DefaultReleaseTimeout = 300 * time.Second

// Release is helm.sh/v3:Release. Its fields, set or not, are all part of the
// checked inputs and of the state, as they are with the real provider
// (helm_release.go, Release).
type Release struct {
	AllowNullValues          bool            `json:"allowNullValues"`
	Atomic                   bool            `json:"atomic"`
	Chart                    string          `json:"chart"`
	CleanupOnFail            bool            `json:"cleanupOnFail"`
	CreateNamespace          bool            `json:"createNamespace"`
	DependencyUpdate         bool            `json:"dependencyUpdate"`
	Description              string          `json:"description"`
	Devel                    bool            `json:"devel"`
	DisableCRDHooks          bool            `json:"disableCRDHooks"`
	DisableOpenapiValidation bool            `json:"disableOpenapiValidation"`
	DisableWebhooks          bool            `json:"disableWebhooks"`
	ForceUpdate              bool            `json:"forceUpdate"`
	Keyring                  string          `json:"keyring"`
	Lint                     bool            `json:"lint"`
	MaxHistory               *int            `json:"maxHistory,omitempty"`
	Name                     string          `json:"name"`
	Namespace                string          `json:"namespace"`
	Postrender               string          `json:"postrender"`
	RecreatePods             bool            `json:"recreatePods"`
	RenderSubchartNotes      bool            `json:"renderSubchartNotes"`
	Replace                  bool            `json:"replace"`
	RepositoryOpts           *RepositoryOpts `json:"repositoryOpts,omitempty"`
	ResetValues              bool            `json:"resetValues"`
	ReuseValues              bool            `json:"reuseValues"`
	Values                   map[string]any  `json:"values,omitempty"`
	SkipCrds                 bool            `json:"skipCrds"`
	// Timeout is in seconds; 0 means the default.
	Timeout     int    `json:"timeout"`
	Verify      bool   `json:"verify"`
	Version     string `json:"version"`
	SkipAwait   bool   `json:"skipAwait"`
	WaitForJobs bool   `json:"waitForJobs"`

	// ResourceNames and Status are outputs.
	ResourceNames map[string][]string `json:"resourceNames,omitempty"`
	Status        *ReleaseStatus      `json:"status,omitempty"`
}

// RepositoryOpts say where a chart is that is not an OCI reference.
type RepositoryOpts struct {
	Repo     string `json:"repo"`
	CAFile   string `json:"caFile"`
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// ReleaseStatus is a revision as Helm recorded it.
type ReleaseStatus struct {
	AppVersion string `json:"appVersion"`
	Chart      string `json:"chart"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace"`
	Revision   int    `json:"revision"`
	Status     string `json:"status"`
	Version    string `json:"version"`
}

// Deployed is a release as it stands in the cluster.
type Deployed struct {
	Status ReleaseStatus
	// Values are those that were given, without the chart's defaults.
	Values map[string]any
	// ResourceNames are the release's objects by "Kind.group/apiVersion", as
	// namespace/name or name, sorted.
	ResourceNames map[string][]string
}

// outputs fills in what the cluster says about the release (helm_release.go,
// setReleaseAttributes).
func (r *Release) outputs(d Deployed) {
	r.Name = cmp.Or(r.Name, d.Status.Name)
	r.Namespace = cmp.Or(r.Namespace, d.Status.Namespace)
	r.Chart = cmp.Or(r.Chart, d.Status.Chart)
	r.Version = d.Status.Version
	r.Values = merge(r.Values, d.Values)
	r.ResourceNames = d.ResourceNames
	r.Status = &d.Status
}

// merge is a with what b sets, maps merged in depth.
func merge(a, b map[string]any) map[string]any {
	out := make(map[string]any, len(a)+len(b))
	maps.Copy(out, a)
	for k, v := range b {
		mine, ok := out[k].(map[string]any)
		theirs, both := v.(map[string]any)
		if ok && both {
			v = merge(mine, theirs)
		}
		out[k] = v
	}
	return out
}

// decodeRelease reads inputs or a state. Unknown values become zero.
func decodeRelease(m resource.PropertyMap) (Release, error) {
	o := toObject(m)
	withoutUnknowns(o)
	b, err := json.Marshal(o)
	if err != nil {
		return Release{}, fmt.Errorf("encoding the release's inputs: %w", err)
	}
	r := Release{Values: map[string]any{}}
	if err := json.Unmarshal(b, &r); err != nil {
		return Release{}, fmt.Errorf("decoding failure: %w", err)
	}
	return r, nil
}

func withoutUnknowns(v any) {
	switch v := v.(type) {
	case Object:
		for k, e := range v {
			if _, unknown := e.(resource.Computed); unknown {
				delete(v, k)
				continue
			}
			withoutUnknowns(e)
		}
	case []any:
		for i, e := range v {
			if _, unknown := e.(resource.Computed); unknown {
				v[i] = nil
				continue
			}
			withoutUnknowns(e)
		}
	}
}

// annotateUnknowns puts the unknown values of ins back into outs.
func annotateUnknowns(outs, ins resource.PropertyMap) {
	for k, in := range ins {
		in = provider.Plain(in)
		out, ok := outs[k]
		switch {
		case in.IsComputed():
			outs[k] = in
		case ok && out.IsObject() && in.IsObject():
			annotateUnknowns(out.ObjectValue(), in.ObjectValue())
		case ok && in.ContainsUnknowns():
			outs[k] = in
		}
	}
}

// refusedRelease names an input that is not built here; accepting it silently
// would install something else than the real provider does.
func refusedRelease(r Release, m resource.PropertyMap) (input resource.PropertyKey, refused bool) {
	for _, in := range []struct {
		key resource.PropertyKey
		set bool
	}{
		{"dependencyUpdate", r.DependencyUpdate},
		{"devel", r.Devel},
		{"keyring", r.Keyring != ""},
		{"lint", r.Lint},
		{"postrender", r.Postrender != ""},
		{"valueYamlFiles", provider.Has(m, "valueYamlFiles")},
		{"verify", r.Verify},
	} {
		if in.set {
			return in.key, true
		}
	}
	return "", false
}

// checkRelease names the release, fills in every input's default and, where a
// cluster is in reach, turns the version into the chart's exact one
// (helm_release.go, Check).
func (p *Provider) checkRelease(ctx context.Context, r plugin.CheckRequest) (plugin.CheckResponse, error) {
	s := p.current()
	news := r.News.Copy()
	if !provider.Has(news, "name") && provider.Has(r.Olds, "name") {
		news["name"] = r.Olds["name"]
	}
	if !provider.Has(news, "name") {
		auto, err := resource.NewUniqueName(r.RandomSeed, r.URN.Name()+"-", 0, 0, nil)
		if err != nil {
			return plugin.CheckResponse{}, fmt.Errorf("naming %s: %w", r.URN.Name(), err)
		}
		news["name"] = resource.NewStringProperty(auto)
	}
	if !provider.Has(news, "namespace") {
		news["namespace"] = resource.NewStringProperty(s.settings.namespace)
	}
	if !provider.Bool(news, "skipAwait") && !provider.Has(news, "timeout") {
		news["timeout"] = resource.NewNumberProperty(DefaultReleaseTimeout.Seconds())
	}
	release, err := decodeRelease(news)
	if err != nil {
		return plugin.CheckResponse{}, err
	}
	var failures []plugin.CheckFailure
	if key, refused := refusedRelease(release, news); refused {
		failures = append(failures, plugin.CheckFailure{
			Property: key, Reason: p.Unsupported("input of helm.sh/v3:Release", string(key)).Error(),
		})
	} else if s.cluster != nil && !news.ContainsUnknowns() {
		if release.Version, err = s.cluster.ChartVersion(ctx, release); err != nil {
			failures = append(failures, plugin.CheckFailure{
				Property: "chart", Reason: fmt.Sprintf("%v; check the chart name and repository configuration.", err),
			})
		}
	}
	return plugin.CheckResponse{Properties: releaseInputs(release, news), Failures: failures}, nil
}

// releaseInputs are a release's fields less its outputs, with the secrets and
// unknowns of from.
func releaseInputs(release Release, from resource.PropertyMap) resource.PropertyMap {
	release.ResourceNames, release.Status = nil, nil
	out := fromObject(toObject(resource.NewPropertyMap(release)))
	annotateUnknowns(out, from)
	annotateSecrets(out, from)
	return out
}

// releaseState is the state of a release: its fields, and its inputs as a
// secret. In a preview the outputs are unknown.
func releaseState(inputs resource.PropertyMap, release Release, preview bool) resource.PropertyMap {
	out := fromObject(toObject(resource.NewPropertyMap(release)))
	annotateUnknowns(out, inputs)
	annotateSecrets(out, inputs)
	out[keyInputs] = resource.MakeSecret(resource.NewObjectProperty(inputs))
	if preview {
		out["resourceNames"] = resource.MakeComputed(resource.NewStringProperty(""))
		out["status"] = resource.MakeComputed(resource.NewStringProperty(""))
	}
	return out
}

// diffRelease compares the new inputs with the state, which holds what the
// cluster has: values that somebody else upgraded the release with are a
// difference. Only another name or namespace replaces it (helm_release.go,
// Diff).
func diffRelease(r plugin.DiffRequest) (plugin.DiffResult, error) {
	state, news := toObject(r.OldOutputs), r.NewInputs
	if slices.Contains(r.IgnoreChanges, "version") {
		news = news.Copy()
		news["version"] = r.OldOutputs["version"]
	}
	olds, _ := state[keyInputs].(Object)
	for _, deprecated := range []string{"checksum", "resourceNames"} {
		delete(olds, deprecated)
	}
	named := merge(olds, toObject(news)) // what either side of the program has said
	old := fromObject(Prune(state, named))
	return provider.Diff(old, news, provider.Rules{Replace: []string{"name", "namespace"}}), nil
}

func (p *Provider) createRelease(ctx context.Context, r plugin.CreateRequest) (plugin.CreateResponse, error) {
	release, err := decodeRelease(r.Properties)
	if err != nil {
		return plugin.CreateResponse{}, err
	}
	if r.Preview {
		return plugin.CreateResponse{Properties: releaseState(r.Properties, release, true)}, nil
	}
	s := p.current()
	if s.cluster == nil {
		return plugin.CreateResponse{}, fmt.Errorf(
			"can't create Helm Release with unreachable cluster: %w", s.unreachable)
	}
	id := fqName(release.Namespace, release.Name)
	deployed, err := s.cluster.Install(ctx, release)
	var late *NotReady
	if err != nil && !errors.As(err, &late) {
		return plugin.CreateResponse{}, err
	}
	release.outputs(deployed)
	state := releaseState(r.Properties, release, false)
	if late != nil {
		return plugin.CreateResponse{}, initFailed(id, nil, state, late,
			fmt.Sprintf("Helm release %q was created, but failed to initialize completely", id))
	}
	return plugin.CreateResponse{ID: id, Properties: state, Status: resource.StatusOK}, nil
}

func (p *Provider) updateRelease(ctx context.Context, r plugin.UpdateRequest) (plugin.UpdateResponse, error) {
	release, err := decodeRelease(r.NewInputs)
	if err != nil {
		return plugin.UpdateResponse{}, err
	}
	if r.Preview {
		return plugin.UpdateResponse{Properties: releaseState(r.NewInputs, release, true)}, nil
	}
	s := p.current()
	if s.cluster == nil {
		return plugin.UpdateResponse{}, fmt.Errorf(
			"can't update Helm Release with unreachable cluster: %w", s.unreachable)
	}
	deployed, err := s.cluster.Upgrade(ctx, release)
	var late *NotReady
	if err != nil && !errors.As(err, &late) {
		return plugin.UpdateResponse{}, err
	}
	release.outputs(deployed)
	state := releaseState(r.NewInputs, release, false)
	if late != nil {
		id := fqName(release.Namespace, release.Name)
		return plugin.UpdateResponse{}, initFailed(id, nil, state, late,
			fmt.Sprintf("Helm release %q failed to initialize completely", id))
	}
	return plugin.UpdateResponse{Properties: state, Status: resource.StatusOK}, nil
}

// readRelease refreshes the outputs; the inputs stay the program's
// (helm_release.go, Read).
func (p *Provider) readRelease(ctx context.Context, s *session, r plugin.ReadRequest) (plugin.ReadResponse, error) {
	release, err := decodeRelease(r.State)
	if err != nil {
		return plugin.ReadResponse{}, err
	}
	namespace, name := parseFqName(r.ID)
	deployed, err := s.cluster.Deployed(ctx, cmp.Or(release.Namespace, namespace), cmp.Or(release.Name, name))
	if errors.Is(err, ErrNotFound) {
		return plugin.ReadResponse{}, nil
	}
	if err != nil {
		return plugin.ReadResponse{}, fmt.Errorf("reading the Helm release %s: %w", r.ID, err)
	}
	release.outputs(deployed)
	inputs, recorded := provider.Get(r.State, keyInputs)
	ins := r.Inputs
	switch {
	case recorded && inputs.IsObject():
		ins = inputs.ObjectValue()
	case len(ins) == 0: // an import
		ins = releaseInputs(release, nil)
	}
	return plugin.ReadResponse{
		ReadResult: plugin.ReadResult{ID: r.ID, Inputs: ins, Outputs: releaseState(ins, release, false)},
		Status:     resource.StatusOK,
	}, nil
}

func (p *Provider) deleteRelease(ctx context.Context, r plugin.DeleteRequest) error {
	s := p.current()
	if s.cluster == nil {
		return fmt.Errorf("can't delete Helm Release with unreachable cluster. Reason: %w", s.unreachable)
	}
	release, err := decodeRelease(r.Outputs)
	if err != nil {
		return err
	}
	info, err := s.cluster.Uninstall(ctx, release)
	if err != nil {
		return fmt.Errorf("uninstalling the Helm release %s: %w", r.ID, err)
	}
	if info != "" {
		p.Log(ctx, pulumirpc.LogSeverity_WARNING, r.URN, "Helm uninstall returned information: "+info)
	}
	return nil
}
