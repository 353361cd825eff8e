package manifests_test

import (
	"errors"
	"sync"
	"testing"

	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	karpenterv1 "eks-gpu-slicing/manifests/karpenter/v1"
	karpenterv1alpha1 "eks-gpu-slicing/manifests/karpenter/v1alpha1"
	karpenterawsv1 "eks-gpu-slicing/manifests/karpenteraws/v1"
)

// engine answers registrations as a preview does: with the inputs. An EC2NodeClass's metadata it leaves out, which
// the SDK takes as not known yet, so that what refers to it is registered with an unknown value.
type engine struct {
	mu         sync.Mutex
	registered map[string]*pulumirpc.RegisterResourceRequest // by type token
}

func (e *engine) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.registered[args.TypeToken] = args.RegisterRPC
	state := args.Inputs.Copy()
	if args.TypeToken == "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass" {
		delete(state, "metadata")
	}
	return args.Name, state, nil
}

func (e *engine) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return nil, errors.New("the program under test invokes nothing")
}

func unknown() resource.PropertyValue {
	return resource.MakeComputed(resource.NewProperty(""))
}

func TestResourcesReachTheEngineAsKubernetesObjects(t *testing.T) {
	t.Parallel()
	e := &engine{registered: map[string]*pulumirpc.RegisterResourceRequest{}}
	var mu sync.Mutex
	outputs := map[string]string{}

	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		class, err := karpenterawsv1.NewEC2NodeClass(ctx, "gpu", &karpenterawsv1.EC2NodeClassArgs{
			Metadata: metav1.ObjectMetaArgs{Name: pulumi.String("gpu")},
			Spec: karpenterawsv1.EC2NodeClassSpecArgs{
				AmiSelectorTerms: karpenterawsv1.EC2NodeClassSpecAmiSelectorTermsArray{
					karpenterawsv1.EC2NodeClassSpecAmiSelectorTermsArgs{Alias: pulumi.String("al2023@latest")},
				},
			},
		})
		if err != nil {
			return err
		}
		pool, err := karpenterv1.NewNodePool(ctx, "gpu", &karpenterv1.NodePoolArgs{
			Metadata: metav1.ObjectMetaArgs{Name: pulumi.String("gpu")},
			Spec: karpenterv1.NodePoolSpecArgs{
				Limits: pulumi.StringMap{"nvidia.com/gpu": pulumi.String("16")},
				Weight: pulumi.Int(10),
				Template: karpenterv1.NodePoolSpecTemplateArgs{Spec: karpenterv1.NodePoolSpecTemplateSpecArgs{
					NodeClassRef: karpenterv1.NodePoolSpecTemplateSpecNodeClassRefArgs{
						Group: pulumi.String("karpenter.k8s.aws"), Kind: class.Kind, Name: class.Metadata.Name().Elem(),
					},
				}},
			},
		})
		if err != nil {
			return err
		}
		pool.Spec.Limits().ApplyT(func(limits map[string]string) string {
			mu.Lock()
			defer mu.Unlock()
			outputs["limit"] = limits["nvidia.com/gpu"]
			return ""
		})
		_, err = karpenterv1alpha1.NewNodeOverlay(ctx, "gpu", &karpenterv1alpha1.NodeOverlayArgs{
			Metadata: metav1.ObjectMetaArgs{Name: pulumi.String("gpu")},
			Spec: karpenterv1alpha1.NodeOverlaySpecArgs{
				Capacity: pulumi.StringMap{"nvidia.com/gpu": pulumi.String("4")},
				Requirements: karpenterv1alpha1.NodeOverlaySpecRequirementsArray{
					karpenterv1alpha1.NodeOverlaySpecRequirementsArgs{
						Key: pulumi.String("karpenter.sh/nodepool"), Operator: pulumi.String("In"),
						Values: pulumi.ToStringArray([]string{"gpu"}),
					},
				},
			},
		})
		return err
	}, pulumi.WithMocks("eks-gpu-slicing", "test", e), func(info *pulumi.RunInfo) { info.DryRun = true })
	if err != nil {
		t.Fatal(err)
	}

	meta := resource.NewProperty(resource.PropertyMap{"name": resource.NewProperty("gpu")})
	object := func(apiVersion, kind string, spec map[string]any) resource.PropertyMap {
		return resource.PropertyMap{
			"apiVersion": resource.NewProperty(apiVersion), "kind": resource.NewProperty(kind),
			"metadata": meta, "spec": resource.NewProperty(resource.NewPropertyMapFromMap(spec)),
		}
	}
	for token, want := range map[string]resource.PropertyMap{
		"kubernetes:karpenter.k8s.aws/v1:EC2NodeClass": object("karpenter.k8s.aws/v1", "EC2NodeClass", map[string]any{
			"amiSelectorTerms": []any{map[string]any{"alias": "al2023@latest"}},
		}),
		"kubernetes:karpenter.sh/v1:NodePool": object("karpenter.sh/v1", "NodePool", map[string]any{
			"limits": map[string]any{"nvidia.com/gpu": "16"},
			"weight": 10.0,
			"template": map[string]any{"spec": map[string]any{"nodeClassRef": map[string]any{
				"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": unknown(),
			}}},
		}),
		"kubernetes:karpenter.sh/v1alpha1:NodeOverlay": object("karpenter.sh/v1alpha1", "NodeOverlay", map[string]any{
			"capacity":     map[string]any{"nvidia.com/gpu": "4"},
			"requirements": []any{map[string]any{"key": "karpenter.sh/nodepool", "operator": "In", "values": []any{"gpu"}}},
		}),
	} {
		got, ok := e.registered[token]
		if !ok {
			t.Errorf("%s was not registered", token)
			continue
		}
		// The mocks' own Inputs have lost what is unknown; the call has not.
		inputs, err := plugin.UnmarshalProperties(got.GetObject(), plugin.MarshalOptions{KeepUnknowns: true})
		if err != nil {
			t.Fatal(err)
		}
		if want.Diff(inputs) != nil {
			t.Errorf("%s: registered with %v, want %v", token, inputs, want)
		}
		if got.GetVersion() == "" {
			t.Errorf("%s asks for no plugin version; the SDK's own resources do", token)
		}
	}
	if outputs["limit"] != "16" {
		t.Errorf("the pool's typed output gives limit %q, want 16", outputs["limit"])
	}
}

func TestSpecIsRequired(t *testing.T) {
	t.Parallel()
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		_, err := karpenterv1.NewNodePool(ctx, "empty", &karpenterv1.NodePoolArgs{})
		return err
	}, pulumi.WithMocks("eks-gpu-slicing", "test", &engine{registered: map[string]*pulumirpc.RegisterResourceRequest{}}))
	if err == nil {
		t.Error("a NodePool without a spec was registered")
	}
}
