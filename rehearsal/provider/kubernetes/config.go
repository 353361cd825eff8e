package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/provider"
)

// refusedSettings are settings of the real provider whose effect is not built
// here, with the value that means "as if not set". Accepting one silently
// would make a rehearsal differ from the real thing.
var refusedSettings = map[resource.PropertyKey]string{
	"alwaysRender":           "false",
	"enablePatchForce":       "false",
	"enableServerSideApply":  "true",
	"helmReleaseSettings":    "",
	"kubeClientSettings":     "",
	"rejectUnknownResources": "false",
	"renderYamlToDirectory":  "",
	"skipUpdateUnreachable":  "false",
	"strictMode":             "false",
	"upsertExistingObjects":  "false",
}

// settings are the provider's, in effect.
type settings struct {
	kubeconfig        string // its current context names the cluster
	namespace         string // of namespaced objects that name none
	configMapMutable  bool
	secretMutable     bool
	deleteUnreachable bool
}

// readSettings takes the settings out of the provider's inputs. SDKs write
// booleans and objects as text, as JSON or as they are; all are read.
func readSettings(inputs resource.PropertyMap) (settings, error) {
	s := settings{
		namespace:         provider.String(inputs, "namespace"),
		configMapMutable:  provider.Bool(inputs, "enableConfigMapMutable"),
		secretMutable:     provider.Bool(inputs, "enableSecretMutable"),
		deleteUnreachable: provider.Bool(inputs, "deleteUnreachable"),
	}
	text, err := kubeconfigText(inputs)
	if err != nil {
		return s, err
	}
	if text == "" {
		return s, errors.New("the provider has no kubeconfig, and a rehearsal never uses the one of its environment: " +
			"set the provider's kubeconfig to the contents of one")
	}
	k, err := parseKubeconfig(text)
	if err != nil {
		return s, fmt.Errorf("failed to parse kubeconfig data in `kubernetes:config:kubeconfig`- %w", err)
	}
	s.namespace = cmp.Or(s.namespace, k.context(inputs).Namespace, "default")
	if s.kubeconfig, err = k.override(inputs); err != nil {
		return s, err
	}
	return s, nil
}

// kubeconfigText is the kubeconfig setting as text; "" if there is none.
func kubeconfigText(inputs resource.PropertyMap) (string, error) {
	v, ok := provider.Get(inputs, "kubeconfig")
	switch {
	case !ok:
		return "", nil
	case v.IsString():
		return v.StringValue(), nil
	case v.IsObject():
		b, err := json.Marshal(toObject(v.ObjectValue()))
		if err != nil {
			return "", fmt.Errorf("failed to unmarshal kubeconfig: %w", err)
		}
		return string(b), nil
	}
	return "", fmt.Errorf("unexpected kubeconfig format, type: %s", v.TypeString())
}

// kubeconfig is the part of a kubeconfig that tells clusters apart. Its
// credentials are the cluster's business.
type kubeconfig struct {
	doc Object

	CurrentContext string `json:"current-context"`
	Contexts       []struct {
		Name    string            `json:"name"`
		Context kubeconfigContext `json:"context"`
	} `json:"contexts"`
	Clusters []struct {
		Name    string `json:"name"`
		Cluster Object `json:"cluster"`
	} `json:"clusters"`
}

type kubeconfigContext struct {
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
}

func parseKubeconfig(text string) (*kubeconfig, error) {
	k := &kubeconfig{}
	if err := yaml.Unmarshal([]byte(text), &k.doc); err != nil {
		return nil, fmt.Errorf("%w (a path is not read: give the contents)", err)
	}
	if err := yaml.Unmarshal([]byte(text), k); err != nil {
		return nil, err
	}
	return k, nil
}

// contextName is the setting context, or the kubeconfig's own choice.
func (k *kubeconfig) contextName(inputs resource.PropertyMap) string {
	return cmp.Or(provider.String(inputs, "context"), k.CurrentContext)
}

func (k *kubeconfig) context(inputs resource.PropertyMap) kubeconfigContext {
	name := k.contextName(inputs)
	for _, c := range k.Contexts {
		if c.Name == name {
			return c.Context
		}
	}
	return kubeconfigContext{}
}

// activeCluster is the entry of the cluster in use, the settings context and
// cluster considered; ok is false where they lead nowhere.
func (k *kubeconfig) activeCluster(inputs resource.PropertyMap) (entry Object, ok bool) {
	context := k.context(inputs)
	if context == (kubeconfigContext{}) {
		return nil, false
	}
	name := cmp.Or(provider.String(inputs, "cluster"), context.Cluster)
	for _, c := range k.Clusters {
		if c.Name == name {
			return c.Cluster, true
		}
	}
	return nil, false
}

// override writes the settings context and cluster into the kubeconfig.
func (k *kubeconfig) override(inputs resource.PropertyMap) (string, error) {
	doc := k.doc
	doc["current-context"] = k.contextName(inputs)
	if cluster := provider.String(inputs, "cluster"); cluster != "" {
		contexts, _ := doc["contexts"].([]any)
		for _, c := range contexts {
			entry, _ := c.(Object)
			if context, ok := entry["context"].(Object); ok && entry["name"] == doc["current-context"] {
				context["cluster"] = cluster
			}
		}
	}
	b, err := yaml.Marshal(doc)
	if err != nil {
		return "", fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return string(b), nil
}

// CheckConfig refuses settings the stand-in does not implement.
func (p *Provider) CheckConfig(_ context.Context, r plugin.CheckConfigRequest) (plugin.CheckConfigResponse, error) {
	resp := plugin.CheckConfigResponse{Properties: r.News}
	for _, key := range r.News.StableKeys() {
		neutral, refused := refusedSettings[key]
		if !refused || !provider.Has(r.News, string(key)) || provider.Unknown(r.News, string(key)) {
			continue
		}
		if value := provider.String(r.News, string(key)); value != neutral || provider.Map(r.News, string(key)) != nil {
			resp.Failures = append(resp.Failures, plugin.CheckFailure{Property: key, Reason: fmt.Sprintf(
				"the rehearsal's stand-in for pulumi-kubernetes %s does not implement the provider setting %s; remove it",
				Version, key)})
		}
	}
	return resp, nil
}

// DiffConfig tells which changes of the provider's settings lead to another
// cluster and so replace the provider and everything made with it: a change of
// clusterIdentifier or, where none is set on both sides, of the kubeconfig
// entry of the cluster in use. A kubeconfig that is not known yet may be
// another cluster's (provider.go, DiffConfig).
func (p *Provider) DiffConfig(_ context.Context, r plugin.DiffConfigRequest) (plugin.DiffConfigResponse, error) {
	olds, news := fromObject(toObject(r.OldInputs)), fromObject(toObject(r.NewInputs))
	d := olds.Diff(news)
	if d == nil {
		return plugin.DiffResult{Changes: plugin.DiffNone}, nil
	}
	const identifier = "clusterIdentifier"
	res := plugin.DiffResult{Changes: plugin.DiffSome}
	if d.Updated(identifier) {
		res.ReplaceKeys = append(res.ReplaceKeys, identifier)
	}
	sameCluster := d.Same(identifier) && news.HasValue(identifier)

	clusterKeys := []resource.PropertyKey{"kubeconfig", "context", "cluster"}
	for _, key := range clusterKeys {
		if news[key].ContainsUnknowns() {
			res.ChangedKeys = []resource.PropertyKey{key}
			if !sameCluster {
				res.ReplaceKeys = append(res.ReplaceKeys, key)
			}
			return res, nil
		}
	}

	res.ChangedKeys = d.ChangedKeys()
	before, known, err := activeCluster(olds)
	if err != nil {
		return plugin.DiffResult{}, err
	}
	after, stillKnown, err := activeCluster(news)
	if err != nil {
		return plugin.DiffResult{}, err
	}
	if known && stillKnown && !sameCluster && !reflect.DeepEqual(before, after) {
		for _, key := range clusterKeys {
			if slices.Contains(res.ChangedKeys, key) {
				res.ReplaceKeys = append(res.ReplaceKeys, key)
			}
		}
	}
	return res, nil
}

func activeCluster(inputs resource.PropertyMap) (Object, bool, error) {
	text, err := kubeconfigText(inputs)
	if err != nil || text == "" {
		return nil, false, err
	}
	k, err := parseKubeconfig(text)
	if err != nil {
		return nil, false, fmt.Errorf("failed to parse kubeconfig: %w", err)
	}
	cluster, ok := k.activeCluster(inputs)
	return cluster, ok, nil
}
