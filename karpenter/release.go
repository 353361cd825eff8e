package karpenter

import (
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Release is kubernetes:helm.sh/v3:Release with the fields this stack uses. The
// SDK's own package of it imports every Kubernetes API group, half a million
// lines that triple the time a user's first build takes.
type Release struct {
	pulumi.CustomResourceState
	// Status is Helm's: name, namespace, version, status and revision.
	Status pulumi.MapOutput `pulumi:"status"`
}

// ReleaseArgs are a chart, where it goes and with what values.
type ReleaseArgs struct {
	// Chart is a reference such as oci://public.ecr.aws/karpenter/karpenter.
	Chart pulumi.StringInput
	// Version is the chart's.
	Version pulumi.StringInput
	// Name is the release's; fixed, so that a second one is refused.
	Name pulumi.StringInput
	// Namespace is where it goes; it must exist.
	Namespace pulumi.StringInput
	// Values are merged over the chart's; lists replace.
	Values pulumi.MapInput
	// SkipCRDs leaves the chart's crds/ folder out.
	SkipCRDs pulumi.BoolInput
	// Timeout is how long to wait until the release's objects are ready, in seconds.
	Timeout pulumi.IntInput
	// Compat is set by NewRelease, to what the SDK's own constructor always sets.
	Compat pulumi.StringInput
}

// releaseArgs is the shape the provider takes.
type releaseArgs struct {
	Chart     string         `pulumi:"chart"`
	Version   *string        `pulumi:"version"`
	Name      *string        `pulumi:"name"`
	Namespace *string        `pulumi:"namespace"`
	Values    map[string]any `pulumi:"values"`
	SkipCRDs  *bool          `pulumi:"skipCrds"`
	Timeout   *int           `pulumi:"timeout"`
	Compat    *string        `pulumi:"compat"`
}

// ElementType ties the inputs to the shape the provider takes.
func (ReleaseArgs) ElementType() reflect.Type { return reflect.TypeFor[releaseArgs]() }

// NewRelease installs a chart. Its create fails when the release's objects are
// not ready within the timeout.
func NewRelease(ctx *pulumi.Context, name string, args *ReleaseArgs, opts ...pulumi.ResourceOption) (*Release, error) {
	var r Release
	inputs := *args
	inputs.Compat = pulumi.String("true")
	return &r, ctx.RegisterResource("kubernetes:helm.sh/v3:Release", name, inputs, &r, opts...)
}
