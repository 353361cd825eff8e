// Package account is the AWS account and region the stack is built in, and the
// one AWS provider everything goes through.
//
// Gotcha: an explicit provider inherits nothing from the stack's aws:* config,
// so NewProvider hands all of it on. In return no second default provider
// appears beside it: pulumi-eks' component carries an older AWS SDK and would
// otherwise bring a provider of that version along.
package account

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// Account is where the stack is built.
type Account struct {
	// Partition is aws, aws-cn or aws-us-gov.
	Partition string
	// DNSSuffix is the partition's, amazonaws.com for aws.
	DNSSuffix string
	// Caller is the ARN of whoever calls: a user, or a session of a role.
	Caller string
	// ID is the account's twelve digits.
	ID string
	// Region is the region's name.
	Region string
}

// NewProvider registers the stack's AWS provider: the aws:* config as it is,
// with the stack's tags on everything that takes tags.
func NewProvider(ctx *pulumi.Context, s *settings.Settings) (*aws.Provider, error) {
	inputs, err := providerInputs(s)
	if err != nil {
		return nil, err
	}
	var provider aws.Provider
	// The typed constructor knows no way to pass config on that it has no field
	// for; the type is the same.
	if err := ctx.RegisterResource("pulumi:providers:aws", "aws", inputs, &provider); err != nil {
		return nil, fmt.Errorf("AWS provider: %w", err)
	}
	return &provider, nil
}

// providerInputs is the provider's config; it takes structures as JSON.
func providerInputs(s *settings.Settings) (pulumi.Map, error) {
	inputs := pulumi.Map{}
	for key, value := range s.AWS {
		inputs[key] = pulumi.String(value)
	}
	var defaults struct {
		Tags map[string]string `json:"tags"`
	}
	if text, ok := s.AWS["defaultTags"]; ok {
		if err := json.Unmarshal([]byte(text), &defaults); err != nil {
			return nil, fmt.Errorf("aws:defaultTags is %q: a map with the key tags is allowed: %w; mend: %s",
				text, err, "pulumi config set --path aws:defaultTags.tags.team platform")
		}
	}
	merged := maps.Clone(defaults.Tags)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, s.Tags)
	defaults.Tags = merged
	text, err := json.Marshal(defaults)
	if err != nil {
		return nil, err
	}
	inputs["defaultTags"] = pulumi.String(text)
	return inputs, nil
}

// Lookup asks AWS who is calling. It fails when the credentials do not work.
func Lookup(ctx *pulumi.Context, region string, opts ...pulumi.InvokeOption) (*Account, error) {
	caller, err := aws.GetCallerIdentity(ctx, nil, opts...)
	if err != nil {
		return nil, fmt.Errorf("who is calling AWS: %w; mend: aws sts get-caller-identity must work with these credentials", err)
	}
	partition, err := aws.GetPartition(ctx, nil, opts...)
	if err != nil {
		return nil, fmt.Errorf("partition of region %s: %w", region, err)
	}
	return &Account{Partition: partition.Partition, DNSSuffix: partition.DnsSuffix, Caller: caller.Arn, ID: caller.AccountId, Region: region}, nil
}

// ARN returns the ARN of a resource of this account and region, such as
// ARN("sqs", "my-queue") or ARN("eks", "cluster/blue").
func (a *Account) ARN(service, resource string) string {
	return fmt.Sprintf("arn:%s:%s:%s:%s:%s", a.Partition, service, a.Region, a.ID, resource)
}

// IAM returns the ARN of a resource in the account's IAM, such as
// IAM("role/admin"); IAM has no regions.
func (a *Account) IAM(resource string) string {
	return fmt.Sprintf("arn:%s:iam::%s:%s", a.Partition, a.ID, resource)
}

// ManagedPolicy returns the ARN of a policy that AWS keeps, by its name.
func (a *Account) ManagedPolicy(name string) string {
	return fmt.Sprintf("arn:%s:iam::aws:policy/%s", a.Partition, name)
}
