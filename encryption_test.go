package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const secretsKey = "arn:aws:kms:us-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// TestSecretsKey: what each value of secretsEncryption has the cluster encrypt with,
// what is made for it, and that this is there as long as the cluster is.
func TestSecretsKey(t *testing.T) {
	t.Parallel()
	const policy = "aws:iam/policy:Policy::cluster-secrets"
	for value, c := range map[string]struct {
		key  any      // the component's argument
		made []string // beside what a cluster without a key has
		// resource and tag are what the role's policy is bound to.
		resource, tag string
	}{
		"aws": {},
		"stack": {
			key:      "arn:cluster-secrets",
			made:     []string{"aws:iam/policy:Policy::cluster-secrets", "aws:iam/rolePolicyAttachment:RolePolicyAttachment::cluster-secrets", "aws:kms/alias:Alias::cluster-secrets", "aws:kms/key:Key::cluster-secrets"},
			resource: "arn:aws:kms:us-west-1:111122223333:key/*", tag: "gpu-slicing",
		},
		secretsKey: {
			key:      secretsKey,
			made:     []string{"aws:iam/policy:Policy::cluster-secrets", "aws:iam/rolePolicyAttachment:RolePolicyAttachment::cluster-secrets"},
			resource: secretsKey,
		},
	} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			w := plainWorld()
			w.keys = map[string]string{secretsKey: "Enabled"}
			r, err := plan(t, w, stackConfig(t, "dev", map[string]string{"eks-gpu-slicing:secretsEncryption": value}))
			if err != nil {
				t.Fatal(err)
			}
			var made []string
			for k := range r.resources {
				if strings.HasSuffix(k, "::cluster-secrets") {
					made = append(made, k)
				}
			}
			slices.Sort(made)
			if diff := cmp.Diff(c.made, made); diff != "" {
				t.Errorf("made for the key (-want +got):\n%s", diff)
			}
			needs := r.needs(eksCluster)
			for _, k := range made {
				if k != "aws:kms/alias:Alias::cluster-secrets" && !needs[k] {
					t.Errorf("the cluster does not wait for %s", k)
				}
			}
			in := r.resources[eksCluster].inputs.Mappable()
			if in["encryptionConfigKeyArn"] != c.key {
				t.Errorf("the cluster's key is %v, want %v", in["encryptionConfigKeyArn"], c.key)
			}
			var tag any
			if c.key != nil {
				tag = value
			}
			if got := at[any](in, "clusterTags", "eks-gpu-slicing/secrets-encryption"); got != tag {
				t.Errorf("the cluster's tag says %v, want %v", got, tag)
			}
			if c.resource == "" {
				return
			}
			var document struct {
				Statement []struct {
					Action, Resource []string
					Condition        map[string]map[string][]string
				}
			}
			if err := json.Unmarshal([]byte(r.resources[policy].inputs["policy"].StringValue()), &document); err != nil {
				t.Fatal(err)
			}
			s := document.Statement[0]
			if len(document.Statement) != 1 || !slices.Equal(s.Resource, []string{c.resource}) {
				t.Errorf("the role may use %v", document.Statement)
			}
			if got := strings.Join(s.Condition["StringEquals"]["aws:ResourceTag/eks-gpu-slicing/cluster"], " "); got != c.tag {
				t.Errorf("the key's tag must be %q, want %q", got, c.tag)
			}
		})
	}
}

// TestSecretsKeyOfTheStack: it is rotated, and there is time to take its deletion back.
func TestSecretsKeyOfTheStack(t *testing.T) {
	t.Parallel()
	r, err := plan(t, plainWorld(), stackConfig(t, "prod", nil))
	if err != nil {
		t.Fatal(err)
	}
	key := r.resources["aws:kms/key:Key::cluster-secrets"].inputs.Mappable()
	want := map[string]any{"description": "Secrets of EKS cluster gpu-slicing-prod", "enableKeyRotation": true, "deletionWindowInDays": 30.0}
	if diff := cmp.Diff(want, key); diff != "" {
		t.Errorf("key of prod (-want +got):\n%s", diff)
	}
	if got := r.resources["aws:kms/alias:Alias::cluster-secrets"].inputs["name"].StringValue(); got != "alias/eks/gpu-slicing-prod" {
		t.Errorf("its alias is %s", got)
	}
}
