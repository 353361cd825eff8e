package karpenter

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/cluster"
	"eks-gpu-slicing/internal/outputs"
	"eks-gpu-slicing/internal/settings"
)

// ExistingArgs says which Karpenter to use, and where.
type ExistingArgs struct {
	// Settings are the stack's.
	Settings *settings.Settings
	// Cluster is where that Karpenter runs.
	Cluster *cluster.Cluster
	// Refuse is told why that Karpenter cannot be used, if so. It is called while the
	// program goes on, and what Karpenter would manage is not made then.
	Refuse func(settings.Problems)
}

// read is an object of the cluster that the program looks at and does not own: the
// engine reads it in previews and updates, and a destroy forgets it.
type read struct {
	pulumi.CustomResourceState
	Metadata pulumi.MapOutput `pulumi:"metadata"`
	Spec     pulumi.MapOutput `pulumi:"spec"`
}

// NewExisting uses the Karpenter that an existing cluster has. What is read bears the
// name of the setting that says where it is: the engine names it where it is missing.
func NewExisting(ctx *pulumi.Context, name string, args *ExistingArgs, opts ...pulumi.ResourceOption) (*Karpenter, error) {
	k := None()
	if err := ctx.RegisterComponentResource("eks-gpu-slicing:karpenter:Karpenter", name, k, opts...); err != nil {
		return nil, err
	}
	s := args.Settings
	in := []pulumi.ResourceOption{pulumi.Parent(k), pulumi.Provider(args.Cluster.Kubernetes)}
	if err := ctx.Log.Info(fmt.Sprintf("installKarpenter is false: Deployment %s (karpenterDeployment) is the cluster's own Karpenter, and EC2NodeClass %s (nodeClass) what GPU nodes are made of; "+
		"kubectl get deployments -A -l app.kubernetes.io/name=karpenter and kubectl get ec2nodeclasses list those there are; if there is no Karpenter: pulumi config rm installKarpenter && pulumi config rm nodeClass, and the stack installs one. "+
		"No other NVIDIA device plugin may run on the pool's nodes: kubectl get daemonsets -A | grep -i nvidia",
		s.KarpenterDeployment, s.NodeClass), nil); err != nil {
		return nil, err
	}
	judge := func(check func(v []string) (settings.Problems, []string, error), of ...pulumi.StringInput) pulumi.StringOutput {
		return outputs.Of(func(v []string) (string, error) {
			problems, warnings, err := check(v)
			if err != nil {
				return "", fmt.Errorf("the cluster's Karpenter: %w", err)
			}
			for _, w := range warnings {
				if err := ctx.Log.Warn(w, nil); err != nil {
					return "", err
				}
			}
			if len(problems) > 0 {
				args.Refuse(problems)
			}
			return "fit", problems.Err()
		}, of...)
	}
	// One after the other: where there is no Karpenter, there is nothing of its, and one
	// that is too old has no overlays, which says less than its version.
	var deployment, definition, class read
	if err := ctx.ReadResource("kubernetes:apps/v1:Deployment", "karpenterDeployment", pulumi.ID(s.KarpenterDeployment), nil, &deployment, in...); err != nil {
		return nil, fmt.Errorf("karpenterDeployment: %w", err)
	}
	sound := judge(func(v []string) (settings.Problems, []string, error) { return checkController(s, v[0], v[1]) },
		pulumi.JSONMarshal(deployment.Metadata), pulumi.JSONMarshal(deployment.Spec))
	// A chart of the definitions that is older than the controller has no overlays.
	overlay, _ := sound.ApplyT(func(string) pulumi.ID { return "nodeoverlays.karpenter.sh" }).(pulumi.IDOutput) // it goes by the function's type
	if err := ctx.ReadResource("kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition", "karpenter-crd", overlay, nil, &definition, in...); err != nil {
		return nil, fmt.Errorf("karpenter-crd: %w", err)
	}
	if err := ctx.ReadResource("kubernetes:karpenter.k8s.aws/v1:EC2NodeClass", "nodeClass", pulumi.ID(s.NodeClass), nil, &class,
		append(slices.Clip(in), pulumi.DependsOn([]pulumi.Resource{&deployment, &definition}))...); err != nil {
		return nil, fmt.Errorf("nodeClass: %w", err)
	}
	k.Controller = &deployment
	k.Fit = []pulumi.StringInput{judge(func(v []string) (settings.Problems, []string, error) { return checkClass(s, v[0]) },
		pulumi.JSONMarshal(class.Spec), pulumi.JSONMarshal(definition.Metadata), sound)}
	return k, ctx.RegisterResourceOutputs(k, pulumi.Map{"nodeRole": k.NodeRole, "queue": k.Queue})
}

// checkController judges the Deployment, whose metadata and spec are given as JSON.
func checkController(s *settings.Settings, metadata, spec string) (problems settings.Problems, warnings []string, err error) {
	var c controller
	if err := errors.Join(json.Unmarshal([]byte(metadata), &c.metadata), json.Unmarshal([]byte(spec), &c.spec)); err != nil {
		return nil, nil, fmt.Errorf("Deployment %s: %w", s.KarpenterDeployment, err)
	}
	problems, warnings = c.check(s)
	return problems, warnings, nil
}

// checkClass judges the EC2NodeClass, whose spec is given as JSON.
func checkClass(s *settings.Settings, spec string) (problems settings.Problems, warnings []string, err error) {
	var n nodeClass
	if err := json.Unmarshal([]byte(spec), &n); err != nil {
		return nil, nil, fmt.Errorf("EC2NodeClass %s: %w", s.NodeClass, err)
	}
	problems, warnings = n.check(s)
	return problems, warnings, nil
}

// controller is the Deployment, as far as it is looked at.
type controller struct {
	metadata struct{ Labels map[string]string }
	spec     struct {
		Template struct {
			Spec struct{ Containers []container }
		}
	}
}

type container struct {
	Name, Image string
	Args        []string
	Env         []struct {
		Name, Value string
		ValueFrom   any
	}
}

const gate = "NodeOverlay"

// check judges the controller's release and its gate.
func (c controller) check(s *settings.Settings) (problems settings.Problems, warnings []string) {
	at := "Deployment " + s.KarpenterDeployment
	namespace, _, _ := strings.Cut(s.KarpenterDeployment, "/")
	helm := "helm upgrade " + cmp.Or(c.metadata.Labels["app.kubernetes.io/instance"], "karpenter") + " " + chartSource + "karpenter --namespace " + namespace + " --reuse-values"
	found := c.container()
	if found == nil {
		problems.Add("karpenterDeployment", s.KarpenterDeployment, "the Deployment of Karpenter's controller; this one has no container named controller, and none of an image named controller or karpenter",
			settings.Set("karpenterDeployment", "NAMESPACE/NAME")+"; kubectl get deployments -A -l app.kubernetes.io/name=karpenter lists it")
		return problems, nil
	}
	release, ok := c.release(found)
	switch {
	case ok:
		more, warning := checkRelease(at, "Karpenter "+release.String(), release, s.Version,
			fmt.Sprintf("helm upgrade --install karpenter-crd %skarpenter-crd --namespace %s --version %s && %s --version %[3]s --set settings.featureGates.nodeOverlay=true", chartSource, namespace, s.KarpenterVersion, helm))
		problems = append(problems, more...)
		if warning != "" {
			warnings = append(warnings, warning)
		}
	default:
		warnings = append(warnings, fmt.Sprintf("%s does not say which release of Karpenter it runs, neither by the label app.kubernetes.io/version nor by the image %s; it must be %d.%d or later", at, found.Image, overlays.Major, overlays.Minor))
	}
	if len(problems) > 0 {
		return problems, warnings // the command turns the gate on, too
	}
	switch on, known := found.gate(); {
	case !known:
		warnings = append(warnings, at+" takes its feature gates from elsewhere, where the program does not look: NodeOverlay must be on, or the up waits for the overlays in vain")
	case !on:
		version := ""
		if ok {
			version = " --version " + release.String() // or Helm would take the newest
		}
		problems.Add(at+"'s feature gate "+gate, "off", "on: without it Karpenter ignores the slices and launches a GPU node for each pod", helm+version+" --set settings.featureGates.nodeOverlay=true")
	}
	return problems, warnings
}

// container is the controller's among those of the pod.
func (c controller) container() *container {
	all := c.spec.Template.Spec.Containers
	i := slices.IndexFunc(all, func(c container) bool {
		image, _, _ := strings.Cut(c.Image, "@")
		repository := image[strings.LastIndex(image, "/")+1:]
		repository, _, _ = strings.Cut(repository, ":")
		return c.Name == "controller" || repository == "controller" || repository == "karpenter"
	})
	if i < 0 {
		return nil
	}
	return &all[i]
}

// release is that of the controller: by the chart's label, or the image's tag.
func (c controller) release(of *container) (semver.Version, bool) {
	image, _, _ := strings.Cut(of.Image, "@")
	tag := image[strings.LastIndex(image, ":")+1:]
	for _, text := range []string{c.metadata.Labels["app.kubernetes.io/version"], tag} {
		if v, err := semver.ParseTolerant(text); err == nil {
			return v, true
		}
	}
	return semver.Version{}, false
}

// gate tells whether NodeOverlay is on, and whether that can be told. An argument
// counts for more than the environment; where neither names the gate, it is off.
func (c *container) gate() (on, known bool) {
	text, known := "", true
	for _, e := range c.Env {
		if e.Name == "FEATURE_GATES" {
			text, known = e.Value, e.ValueFrom == nil
		}
	}
	for i, a := range c.Args {
		switch name, value, joined := strings.Cut(a, "="); {
		case strings.TrimLeft(name, "-") != "feature-gates":
		case joined:
			text, known = value, true
		case i+1 < len(c.Args):
			text, known = c.Args[i+1], true
		}
	}
	for pair := range strings.SplitSeq(text, ",") {
		if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); name == gate {
			b, err := strconv.ParseBool(strings.TrimSpace(value))
			return b && err == nil, known
		}
	}
	return false, known
}

// nodeClass is the EC2NodeClass, as far as it is looked at.
type nodeClass struct {
	AMIFamily        string                   `json:"amiFamily"`
	AMISelectorTerms []struct{ Alias string } `json:"amiSelectorTerms"`
	Devices          []struct {
		Root bool `json:"rootVolume"`
		EBS  struct {
			Size string `json:"volumeSize"`
		} `json:"ebs"`
	} `json:"blockDeviceMappings"`
	Metadata struct {
		Hops   *int   `json:"httpPutResponseHopLimit"`
		Tokens string `json:"httpTokens"`
	} `json:"metadataOptions"`
}

// check judges whether GPU nodes of the class can run the device plugin.
func (n nodeClass) check(s *settings.Settings) (problems settings.Problems, warnings []string) {
	at := "EC2NodeClass " + s.NodeClass
	edit := "kubectl edit ec2nodeclass " + s.NodeClass + "; or pulumi config set nodeClass NAME"
	families := []string{n.AMIFamily}
	aliases := 0
	for _, t := range n.AMISelectorTerms {
		if family, _, ok := strings.Cut(t.Alias, "@"); ok {
			families = append(families, family)
			aliases++
		}
	}
	for _, family := range slices.Compact(families) {
		switch lower := strings.ToLower(family); {
		case lower == "bottlerocket" || strings.HasPrefix(lower, "windows"):
			problems.Add(at, family, "a class of Amazon Linux, by an alias such as al2023@latest: Bottlerocket has a device plugin of its own, and Windows none", edit)
		case lower == string(settings.AMIFamilyAL2):
			family := *s
			family.AMIFamily = settings.AMIFamilyAL2
			for _, p := range family.Runs(s.Version) {
				problems.Add(at, "al2", p.Want, edit)
			}
		}
	}
	if aliases == 0 && len(problems) == 0 {
		warnings = append(warnings, at+" selects its AMIs without an alias: they must have NVIDIA's driver and container runtime, which an alias such as al2023@latest picks for GPU types")
	}
	if small := n.rootVolume(); small != "" {
		warnings = append(warnings, fmt.Sprintf("%s has a root volume of %s, which CUDA images fill; mend: kubectl edit ec2nodeclass %s, spec.blockDeviceMappings, 100Gi", at, small, s.NodeClass))
	}
	// Karpenter's own defaults are 1 and required.
	if m := n.Metadata; m.Hops != nil && *m.Hops > 1 || m.Tokens == "optional" {
		warnings = append(warnings, fmt.Sprintf("%s lets pods have the credentials of their nodes; mend: kubectl edit ec2nodeclass %s, spec.metadataOptions, httpPutResponseHopLimit 1 and httpTokens required", at, s.NodeClass))
	}
	return problems, warnings
}

// rootVolume is the size of the root volume if it is one that CUDA images fill, else
// "". Karpenter's own default is 20 GiB.
func (n nodeClass) rootVolume() string {
	size := "20Gi, Karpenter's default"
	for i, d := range n.Devices {
		if d.EBS.Size != "" && (d.Root || i == 0) {
			size = d.EBS.Size
		}
	}
	number, isGi := strings.CutSuffix(strings.SplitN(size, ",", 2)[0], "Gi")
	if gib, err := strconv.Atoi(number); !isGi || err != nil || gib >= 50 {
		return ""
	}
	return size
}
