package cluster

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/iampolicy"
	"eks-gpu-slicing/internal/settings"
)

// keyDeletionDays is how long KMS keeps a key after a destroy before it deletes it:
// the longest there is, in which the deletion can be cancelled. Nothing is charged
// for it then, and it cannot be used.
const keyDeletionDays = 30

// CheckSecretsKey asks KMS about the key that secretsEncryption names. It returns
// settings.Problems for one that is not there, that the caller may not read, or
// that EKS does not take (EKS user guide, "Encrypt Kubernetes secrets with KMS on
// existing clusters").
func CheckSecretsKey(ctx *pulumi.Context, s *settings.Settings, opts ...pulumi.InvokeOption) error {
	const setting = "secretsEncryption"
	arn := s.SecretsEncryption
	if arn == "" || arn == settings.SecretsKeyAWS || arn == settings.SecretsKeyStack {
		return nil
	}
	var problems settings.Problems
	key, err := kms.LookupKey(ctx, &kms.LookupKeyArgs{KeyId: arn}, opts...)
	switch {
	case err != nil:
		problems.Add(setting, arn, fmt.Sprintf("a KMS key that you may read: %v", err),
			fmt.Sprintf("aws kms describe-key --region %s --key-id %s must work", s.Region, arn))
	case key.KeyState == "Disabled":
		problems.Add(setting, arn, "a key that is enabled", fmt.Sprintf("aws kms enable-key --region %s --key-id %s", s.Region, arn))
	case key.KeyState == "PendingDeletion":
		problems.Add(setting, arn, "a key that stays: this one is deleted at "+key.DeletionDate,
			fmt.Sprintf("aws kms cancel-key-deletion --region %s --key-id %s && aws kms enable-key --region %[1]s --key-id %[2]s", s.Region, arn))
	case key.KeyUsage != "ENCRYPT_DECRYPT" || key.KeySpec != "SYMMETRIC_DEFAULT":
		problems.Add(setting, arn, fmt.Sprintf("a symmetric key that encrypts and decrypts; this one is %s for %s", key.KeySpec, key.KeyUsage),
			settings.Set(setting, settings.SecretsKeyStack))
	}
	return problems.Err()
}

// checkEncryption compares secretsEncryption with what a standing cluster was made
// with. EKS takes a key back from no cluster: without it, or with another one, the
// engine would replace the cluster or claim what is not so.
func checkEncryption(s *settings.Settings, tags map[string]string) (problems settings.Problems) {
	if had := tags[settings.SecretsKeyTag]; had != "" && s.SecretsEncryption != "" && had != s.SecretsEncryption {
		problems.Add("secretsEncryption", s.SecretsEncryption,
			fmt.Sprintf("%s, with which cluster %s was made: EKS takes the key of a cluster neither back nor another one", had, s.ClusterName),
			settings.Set("secretsEncryption", had))
	}
	return problems
}

// addSecretsKey makes what a cluster needs that encrypts with a key of one's own,
// and gives the key's ARN; nil where AWS's own key does.
//
// EKS uses the key by a grant, which it makes with the permissions of whoever makes
// the cluster (kms:CreateGrant and kms:DescribeKey). Its health checks use the
// cluster's role, which must see the grants (terraform-aws-eks issue 1913).
func addSecretsKey(ctx *pulumi.Context, name string, args *Args, role *Role, parent pulumi.ResourceOption) (pulumi.StringPtrInput, error) {
	s := args.Settings
	use := iampolicy.Statement{
		Sid:      "UseSecretsKey",
		Action:   []string{"kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:ListGrants"},
		Resource: []string{s.SecretsEncryption},
	}
	var arn pulumi.StringPtrInput
	switch s.SecretsEncryption {
	case settings.SecretsKeyAWS:
		return nil, nil
	case settings.SecretsKeyStack:
		key, err := newSecretsKey(ctx, name+"-secrets", s, parent)
		if err != nil {
			return nil, err
		}
		arn = key.ToStringPtrOutput()
		// KMS chooses the ARN, so the tag says which key it is.
		use.Resource = []string{args.Account.ARN("kms", "key/*")}
		use.Condition = iampolicy.Conditions{"StringEquals": {"aws:ResourceTag/" + settings.ClusterTag: {s.ClusterName}}}
	default:
		arn = pulumi.String(s.SecretsEncryption)
	}
	policy, err := iam.NewPolicy(ctx, name+"-secrets", &iam.PolicyArgs{
		Name:   pulumi.String(s.Name("cluster-secrets-"+s.Region, 128)), // CreatePolicy's limit
		Policy: pulumi.String(iampolicy.New(use).JSON()),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("policy of the secrets key: %w", err)
	}
	return arn, role.Attach(ctx, name+"-secrets", policy.Arn, parent)
}

// newSecretsKey makes a key of the stack's own, and gives its ARN. A key has no name by
// which a second one would be refused; the alias has, so what uses the key waits for it.
func newSecretsKey(ctx *pulumi.Context, name string, s *settings.Settings, parent pulumi.ResourceOption) (arn pulumi.StringOutput, err error) {
	key, err := kms.NewKey(ctx, name, &kms.KeyArgs{
		Description:          pulumi.String("Secrets of EKS cluster " + s.ClusterName),
		EnableKeyRotation:    pulumi.Bool(true),
		DeletionWindowInDays: pulumi.Int(keyDeletionDays),
	}, parent)
	if err != nil {
		return arn, fmt.Errorf("secrets key: %w", err)
	}
	alias, err := kms.NewAlias(ctx, name, &kms.AliasArgs{
		Name: pulumi.String("alias/eks/" + s.ClusterName), TargetKeyId: key.KeyId,
	}, parent)
	if err != nil {
		return arn, fmt.Errorf("alias of the secrets key: %w", err)
	}
	return alias.TargetKeyArn, nil
}
