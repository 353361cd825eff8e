package account

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

func TestProviderInputs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		aws, tags map[string]string
		want      pulumi.Map // nil for an error
	}{
		"the stack's config is handed on": {
			aws: map[string]string{"region": "us-west-1", "profile": "ml", "assumeRole": `{"roleArn":"arn:x"}`}, tags: map[string]string{"a": "b"},
			want: pulumi.Map{"defaultTags": pulumi.String(`{"tags":{"a":"b"}}`), "region": pulumi.String("us-west-1"), "profile": pulumi.String("ml"), "assumeRole": pulumi.String(`{"roleArn":"arn:x"}`)},
		},
		"tags become default tags": {
			aws: map[string]string{"region": "us-west-1"}, tags: map[string]string{"team": "ml"},
			want: pulumi.Map{"region": pulumi.String("us-west-1"), "defaultTags": pulumi.String(`{"tags":{"team":"ml"}}`)},
		},
		"the stack's own default tags stay": {
			aws: map[string]string{"defaultTags": `{"tags":{"cost":"7","team":"x"}}`}, tags: map[string]string{"team": "ml"},
			want: pulumi.Map{"defaultTags": pulumi.String(`{"tags":{"cost":"7","team":"ml"}}`)},
		},
		"default tags that are no map": {
			aws: map[string]string{"defaultTags": `team`}, tags: map[string]string{"team": "ml"},
		},
	} {
		got, err := providerInputs(&settings.Settings{AWS: c.aws, Tags: c.tags})
		if (err != nil) != (c.want == nil) {
			t.Errorf("%s: error %v", name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestARNs(t *testing.T) {
	t.Parallel()
	a := &Account{Partition: "aws-cn", ID: "111122223333", Region: "cn-north-1"}
	for got, want := range map[string]string{
		a.ARN("eks", "cluster/blue"):            "arn:aws-cn:eks:cn-north-1:111122223333:cluster/blue",
		a.IAM("role/admin"):                     "arn:aws-cn:iam::111122223333:role/admin",
		a.ManagedPolicy("AmazonEKS_CNI_Policy"): "arn:aws-cn:iam::aws:policy/AmazonEKS_CNI_Policy",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
