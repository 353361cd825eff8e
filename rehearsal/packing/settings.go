package packing

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"

	awsoptions "github.com/aws/karpenter-provider-aws/pkg/operator/options"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	coreoptions "sigs.k8s.io/karpenter/pkg/operator/options"
	"sigs.k8s.io/yaml"
)

// ControllerEnvironment is the environment that Karpenter's chart gives the
// controller under the values of a release. charts is the folder of Karpenter's
// charts. The error is Helm's.
func ControllerEnvironment(charts string, values map[string]any) ([]corev1.EnvVar, error) {
	c, err := loader.LoadDir(filepath.Join(charts, "karpenter"))
	if err != nil {
		return nil, fmt.Errorf("Karpenter's chart: %w", err) //nolint:staticcheck // a name
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "karpenter", Namespace: "kube-system"}, nil)
	if err != nil {
		return nil, fmt.Errorf("values of Karpenter's chart: %w", err)
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, fmt.Errorf("Karpenter's chart: %w", err) //nolint:staticcheck // a name
	}
	for name, text := range files {
		if !strings.HasSuffix(name, "/deployment.yaml") {
			continue
		}
		d := &appsv1.Deployment{}
		if err := yaml.Unmarshal([]byte(text), d); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(d.Spec.Template.Spec.Containers) == 0 {
			break
		}
		return d.Spec.Template.Spec.Containers[0].Env, nil
	}
	return nil, errors.New("Karpenter's chart renders no deployment with a container") //nolint:staticcheck // a name
}

// withSettings puts Karpenter's options into a context, parsed by Karpenter from the
// environment of its controller. Each of its flags is named as its variable, and is
// given as a flag here: variables would be those of this process.
func withSettings(ctx context.Context, environment []corev1.EnvVar) (context.Context, error) {
	core, aws := &coreoptions.Options{}, &awsoptions.Options{}
	for _, o := range []coreoptions.Injectable{core, aws} {
		flags := &coreoptions.FlagSet{FlagSet: flag.NewFlagSet("karpenter", flag.ContinueOnError)}
		o.AddFlags(flags)
		var args []string
		for _, e := range environment {
			name := strings.ReplaceAll(strings.ToLower(e.Name), "_", "-")
			if e.Value != "" && flags.Lookup(name) != nil {
				args = append(args, "--"+name+"="+e.Value)
			}
		}
		if err := o.Parse(flags, args...); err != nil {
			return nil, fmt.Errorf("the environment of Karpenter's controller: %w", err)
		}
		ctx = o.ToContext(ctx)
	}
	return ctx, nil
}
