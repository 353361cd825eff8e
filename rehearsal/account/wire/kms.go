package wire

import (
	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// kmsOperations are the KMS actions that look at keys. IAM decides alone: a key's own policy lets it,
// as the default one does; one that does not is not simulated.
func kmsOperations() map[string]operation {
	return map[string]operation{"DescribeKey": (*call).describeKey, "ListKeys": (*call).listKeys, "ListResourceTags": (*call).listKeyTags}
}

// aboutKey reads which key an action is about, and asks IAM.
func (c *call) aboutKey() (account.Key, error) {
	var in struct {
		KeyId, Marker string //nolint:revive,staticcheck // KMS's name
		Limit         int
	}
	if err := c.decode(&in); err != nil {
		return account.Key{}, err
	}
	k, err := c.account.DescribeKey(in.KeyId)
	if err != nil {
		return k, err // KMS looks an alias up before it asks IAM about its key
	}
	return k, c.authorize(authz.Call{Action: "kms:" + c.action, Targets: []authz.Target{{Type: "key", ARN: k.ARN, Tags: k.Tags}}})
}

func (c *call) describeKey() (any, error) {
	k, err := c.aboutKey()
	if err != nil {
		return nil, err
	}
	type metadata struct {
		AWSAccountId string //nolint:revive,staticcheck // KMS's name
		KeyId        string //nolint:revive,staticcheck // KMS's name
		Arn          string
		CreationDate float64
		Enabled      bool
		Description  string
		KeyUsage     string
		KeyState     string
		KeySpec      string
		Origin       string
		KeyManager   string
		MultiRegion  bool
		DeletionDate float64 `json:",omitempty"`
	}
	m := metadata{
		AWSAccountId: account.ID, KeyId: k.ID, Arn: k.ARN, CreationDate: float64(k.Created.Unix()), Enabled: k.State == account.KeyEnabled, Description: k.Description,
		KeyUsage: account.KeyUsage, KeyState: k.State, KeySpec: account.KeySpec, Origin: "AWS_KMS", KeyManager: "CUSTOMER",
	}
	if !k.Deletion.IsZero() {
		m.DeletionDate = float64(k.Deletion.Unix())
	}
	return map[string]metadata{"KeyMetadata": m}, nil
}

// listKeys answers with all keys at once: the account has fewer than the hundred of a page.
func (c *call) listKeys() (any, error) {
	var in struct {
		Marker string
		Limit  int
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.authorize(authz.Call{Action: "kms:ListKeys"}); err != nil {
		return nil, err
	}
	type key struct {
		KeyId, KeyArn string //nolint:revive,staticcheck // KMS's names
	}
	out := struct {
		Keys      []key
		Truncated bool
	}{Keys: []key{}}
	for _, k := range c.account.ListKeys() {
		out.Keys = append(out.Keys, key{k.ID, k.ARN})
	}
	return out, nil
}

func (c *call) listKeyTags() (any, error) {
	k, err := c.aboutKey()
	if err != nil {
		return nil, err
	}
	type tag struct{ TagKey, TagValue string }
	out := struct {
		Tags      []tag
		Truncated bool
	}{Tags: []tag{}}
	for _, key := range sortedKeys(k.Tags) {
		out.Tags = append(out.Tags, tag{key, k.Tags[key]})
	}
	return out, nil
}
