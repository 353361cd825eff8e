package kubernetes_test

import (
	"context"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

const kubeconfigA = `
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: a, user: me}}
- {name: two, context: {cluster: b, user: me, namespace: team}}
clusters:
- {name: a, cluster: {server: "https://a.test", certificate-authority-data: QQ==}}
- {name: b, cluster: {server: "https://b.test", certificate-authority-data: QQ==}}
users:
- {name: me, user: {token: t}}
`

// props reads properties from YAML; the text "<unknown>" stands for a value
// that is not known yet.
func props(t *testing.T, text string) resource.PropertyMap {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return resource.NewPropertyMapFromMapRepl(m, nil, func(v any) (resource.PropertyValue, bool) {
		return unknown(), v == "<unknown>"
	})
}

func unknown() resource.PropertyValue { return resource.MakeComputed(resource.NewStringProperty("")) }

// plain is the YAML of properties, for comparison.
func plain(t *testing.T, m resource.PropertyMap) string {
	t.Helper()
	b, err := yaml.Marshal(m.MapRepl(nil, func(v resource.PropertyValue) (any, bool) {
		switch {
		case v.IsComputed():
			return "<unknown>", true
		case v.IsSecret():
			return map[string]any{"<secret>": v.SecretValue().Element.Mappable()}, true
		}
		return nil, false
	}))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// canonical is the YAML of YAML.
func canonical(t *testing.T, text string) string {
	t.Helper()
	return plain(t, props(t, text))
}

func urn(typ string) resource.URN {
	return resource.NewURN("dev", "test", "", tokens.Type("kubernetes:"+typ), "web")
}

// start returns a configured provider.
func start(t *testing.T, connect kubernetes.Connect, config string) plugin.Provider {
	t.Helper()
	p := kubernetes.New(connect)
	t.Cleanup(func() { _ = p.Close() })
	inputs := props(t, config)
	if !inputs.HasValue("kubeconfig") {
		inputs["kubeconfig"] = resource.NewStringProperty(kubeconfigA)
	}
	if _, err := p.Configure(t.Context(), plugin.ConfigureRequest{Inputs: inputs}); err != nil {
		t.Fatal(err)
	}
	return p
}

// scripted is a cluster that answers from the functions a test sets and keeps
// what it was asked.
type scripted struct {
	scopes map[string]kubernetes.Scope
	live   kubernetes.Object
	err    error
	writes []kubernetes.Write

	chart    string
	chartErr error
	deployed kubernetes.Deployed
}

func (c *scripted) connect(context.Context, string) (kubernetes.Cluster, error) { return c, nil }

func (c *scripted) Scope(_ context.Context, k kubernetes.Kind) (kubernetes.Scope, error) {
	return c.scopes[k.String()], nil
}

func (c *scripted) Normalize(o kubernetes.Object) kubernetes.Object { return o }

func (c *scripted) Create(_ context.Context, w kubernetes.Write) (kubernetes.Object, error) {
	c.writes = append(c.writes, w)
	return c.live, c.err
}

func (c *scripted) Update(_ context.Context, w kubernetes.Write, _ kubernetes.Object) (kubernetes.Object, error) {
	c.writes = append(c.writes, w)
	return c.live, c.err
}

func (c *scripted) Get(context.Context, kubernetes.Object) (kubernetes.Object, error) {
	return c.live, nil
}

func (c *scripted) Read(context.Context, kubernetes.Object) (kubernetes.Object, error) {
	return c.live, c.err
}

func (c *scripted) Delete(context.Context, kubernetes.Object, kubernetes.Object, time.Duration) error {
	return c.err
}

func (c *scripted) ChartVersion(context.Context, kubernetes.Release) (string, error) {
	return c.chart, c.chartErr
}

func (c *scripted) Install(context.Context, kubernetes.Release) (kubernetes.Deployed, error) {
	return c.deployed, c.err
}

func (c *scripted) Upgrade(context.Context, kubernetes.Release) (kubernetes.Deployed, error) {
	return c.deployed, c.err
}

func (c *scripted) Deployed(context.Context, string, string) (kubernetes.Deployed, error) {
	return c.deployed, c.err
}

func (c *scripted) Uninstall(context.Context, kubernetes.Release) (string, error) {
	return "", c.err
}

// object reads a Kubernetes object from YAML.
func object(t *testing.T, text string) kubernetes.Object {
	t.Helper()
	return props(t, text).Mappable()
}
