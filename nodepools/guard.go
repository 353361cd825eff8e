package nodepools

import (
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/admissionregistration/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
	"eks-gpu-slicing/karpenter"
)

// guardName names the ConfigMap that a destroy deletes first.
const guardName = "eks-gpu-slicing-destroy"

// guardedFrom is the first version whose API server has admission policies on
// (Kubernetes documentation, "Validating Admission Policy": stable since 1.30).
var guardedFrom = settings.Version{Major: 1, Minor: 30}

// foreign is a kind of object that the stack's Karpenter keeps instances for, and that
// somebody else may have made.
type foreign struct {
	kind, plural string
	// own is CEL: it is true of those that the stack answers for.
	own string
}

// claimOfPool is true of NodeClaims that a NodePool made. Karpenter gives others the label
// too, without a value.
const claimOfPool = "has(params.metadata.labels) && 'karpenter.sh/nodepool' in params.metadata.labels && params.metadata.labels['karpenter.sh/nodepool'] != ''"

// addGuard has a destroy refused as long as there are NodePools or NodeClaims that the
// stack did not make. The engine runs no program for a destroy and knows only what is
// in its state, so Karpenter and its definitions would go, and the instances of such
// objects stay for ever (karpenter-provider-aws issue 5727). But it deletes what comes
// last in an up before all else: a ConfigMap here, and the API server admits its
// deletion only if it finds no such object.
//
// It is a help and no lock: where the policies cannot be evaluated, for example because
// somebody has removed Karpenter's definitions, the deletion is admitted. Before Kubernetes
// 1.30 there is none: a hook of the engine's would do, and then a destroy would need the
// program and a Kubernetes client in it; docs/recovery.md has the commands to look with.
func addGuard(ctx *pulumi.Context, name string, args *Args, ownNames []string, pools []pulumi.Resource, opts ...pulumi.ResourceOption) error {
	var names []string
	for _, p := range ownNames {
		names = append(names, "'"+p+"'")
	}
	// Not the components: whoever depends on one depends on those of its children that the
	// SDK has begun with by then.
	after := slices.Clone(pools)
	if dns := args.Cluster.CoreDNS; dns != nil {
		after = append(after, dns)
	}
	for _, f := range []foreign{
		{"NodePool", "nodepools", "params.metadata.name in [" + strings.Join(names, ", ") + "]"},
		{"NodeClaim", "nodeclaims", claimOfPool},
	} {
		binding, err := f.add(ctx, name, append(opts, pulumi.DependsOn([]pulumi.Resource{args.Karpenter.Controller}))...)
		if err != nil {
			return fmt.Errorf("guard of %s: %w", f.plural, err)
		}
		after = append(after, binding)
	}
	_, err := corev1.NewConfigMap(ctx, name+"-guard", &corev1.ConfigMapArgs{
		Metadata: metav1.ObjectMetaArgs{Name: pulumi.String(guardName), Namespace: pulumi.String(karpenter.Namespace)},
		Data:     pulumi.StringMap{"purpose": pulumi.String("pulumi destroy deletes this first; it is refused while there are NodePools or NodeClaims of others")},
	}, append(opts, pulumi.DependsOn(after))...)
	if err != nil {
		return fmt.Errorf("ConfigMap %s: %w", guardName, err)
	}
	return nil
}

// add makes the policy of a kind and binds it to all objects of that.
func (f foreign) add(ctx *pulumi.Context, name string, opts ...pulumi.ResourceOption) (pulumi.Resource, error) {
	object := guardName + "-" + f.plural
	told := fmt.Sprintf("'%[1]s ' + params.metadata.name + ' is none of this stack, and its instances would outlive the cluster. Delete it and what else `kubectl get %[2]s` lists that you made: kubectl delete %[3]s ' + params.metadata.name + ' --timeout 45m; then destroy again'",
		f.kind, f.plural, strings.ToLower(f.kind))
	policy, err := admissionregistrationv1.NewValidatingAdmissionPolicy(ctx, name+"-guard-"+f.plural, &admissionregistrationv1.ValidatingAdmissionPolicyArgs{
		Metadata: metav1.ObjectMetaArgs{Name: pulumi.String(object)},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpecArgs{
			FailurePolicy: pulumi.String("Ignore"),
			ParamKind:     admissionregistrationv1.ParamKindArgs{ApiVersion: pulumi.String("karpenter.sh/v1"), Kind: pulumi.String(f.kind)},
			MatchConstraints: admissionregistrationv1.MatchResourcesArgs{ResourceRules: admissionregistrationv1.NamedRuleWithOperationsArray{admissionregistrationv1.NamedRuleWithOperationsArgs{
				ApiGroups: pulumi.StringArray{pulumi.String("")}, ApiVersions: pulumi.StringArray{pulumi.String("v1")},
				Operations: pulumi.StringArray{pulumi.String("DELETE")}, Resources: pulumi.StringArray{pulumi.String("configmaps")},
				ResourceNames: pulumi.StringArray{pulumi.String(guardName)}, Scope: pulumi.String("Namespaced"),
			}}},
			Validations: admissionregistrationv1.ValidationArray{admissionregistrationv1.ValidationArgs{
				Expression: pulumi.String(f.own), MessageExpression: pulumi.String(told),
			}},
		},
	}, opts...)
	if err != nil {
		return nil, err
	}
	return admissionregistrationv1.NewValidatingAdmissionPolicyBinding(ctx, name+"-guard-"+f.plural, &admissionregistrationv1.ValidatingAdmissionPolicyBindingArgs{
		Metadata: metav1.ObjectMetaArgs{Name: pulumi.String(object)},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpecArgs{
			PolicyName:        pulumi.String(object),
			ParamRef:          admissionregistrationv1.ParamRefArgs{Selector: metav1.LabelSelectorArgs{}, ParameterNotFoundAction: pulumi.String("Allow")},
			ValidationActions: pulumi.StringArray{pulumi.String("Deny")},
		},
	}, append(opts, pulumi.DependsOn([]pulumi.Resource{policy}))...)
}
