package aws

import (
	"fmt"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// kmsKinds are from internal/service/kms/key.go and alias.go. A key that waits for
// its deletion counts as deleted (findKeyByID).
func kmsKinds() map[string]*kind {
	return map[string]*kind{
		"aws:kms/key:Key": {
			tagged: true,
			schema: schema{
				"description":           {computed: true},
				"policy":                {computed: true, json: "JSON policy"},
				"enableKeyRotation":     {def: false},
				"rotationPeriodInDays":  {computed: true},
				"isEnabled":             {def: true},
				"keyUsage":              {def: account.KeyUsage, oneOf: []string{account.KeyUsage}},
				"customerMasterKeySpec": {def: account.KeySpec, oneOf: []string{account.KeySpec}},
				"deletionWindowInDays":  {local: true},
				"arn":                   {output: true},
				"keyId":                 {output: true},
			},
			replace: []string{"keyUsage", "customerMasterKeySpec"},
			check:   checkWindow,
			create:  createKey, read: readKey, update: updateKey, tag: tagKey,
			destroy: destroyKey,
		},
		"aws:kms/alias:Alias": {
			schema: schema{
				"name":         {required: true}, // pulumi-aws would make one up
				"targetKeyId":  {required: true},
				"arn":          {output: true},
				"targetKeyArn": {output: true},
			},
			replace: []string{"name"},
			create: func(c *call) (string, error) {
				name := c.str("name")
				if err := c.do("creating KMS Alias ("+name+")", "KMS", "CreateAlias", func() error {
					return c.CreateAlias(name, c.str("targetKeyId"))
				}); err != nil {
					return "", err
				}
				return name, nil
			},
			read: readAlias,
			update: func(c *call) error {
				return c.do("updating KMS Alias ("+c.id+")", "KMS", "UpdateAlias", func() error {
					return c.UpdateAlias(c.id, c.str("targetKeyId"))
				})
			},
			destroy: func(c *call) error {
				return c.do("deleting KMS Alias ("+c.id+")", "KMS", "DeleteAlias", func() error { return c.DeleteAlias(c.id) })
			},
		},
	}
}

func checkWindow(in props) []plugin.CheckFailure {
	if days := provider.Int(in, "deletionWindowInDays"); provider.Has(in, "deletionWindowInDays") && (days < 7 || days > 30) {
		return []plugin.CheckFailure{{Property: "deletionWindowInDays", Reason: "expected deletion_window_in_days to be in the range (7 - 30)"}}
	}
	return nil
}

func createKey(c *call) (string, error) {
	k, err := retryWhen(c, func() (account.Key, error) {
		return send(c, "creating KMS Key", "KMS", "CreateKey", func() (account.Key, error) {
			return c.CreateKey(c.str("description"), c.str("policy"), c.tags)
		})
	}, func(err error) bool { return account.IsCode(err, "MalformedPolicyDocumentException") }) // waitIAMPropagation
	if err != nil {
		return "", err
	}
	c.id = k.ID
	return k.ID, setKey(c, provider.Bool(c.in, "enableKeyRotation"), !provider.Bool(c.in, "isEnabled"))
}

// setKey sets what CreateKey does not.
func setKey(c *call, rotation, enabled bool) error {
	var err error
	switch {
	case rotation && provider.Bool(c.in, "enableKeyRotation"):
		err = c.do("enabling KMS Key ("+c.id+") key rotation", "KMS", "EnableKeyRotation", func() error {
			return c.EnableKeyRotation(c.id, provider.Int(c.in, "rotationPeriodInDays"))
		})
	case rotation:
		err = c.do("disabling KMS Key ("+c.id+") key rotation", "KMS", "DisableKeyRotation", func() error { return c.DisableKeyRotation(c.id) })
	}
	switch {
	case err != nil || !enabled:
		return err
	case provider.Bool(c.in, "isEnabled"):
		return c.do("enabling KMS Key ("+c.id+")", "KMS", "EnableKey", func() error { return c.EnableKey(c.id) })
	}
	return c.do("disabling KMS Key ("+c.id+")", "KMS", "DisableKey", func() error { return c.DisableKey(c.id) })
}

func readKey(c *call) (props, account.Tags, error) {
	doing := "reading KMS Key (" + c.id + ")"
	k, err := send(c, doing, "KMS", "DescribeKey", func() (account.Key, error) { return c.DescribeKey(c.id) })
	if err != nil {
		return nil, nil, err
	}
	if k.State == account.KeyPendingDeletion {
		return nil, nil, notFound(doing)
	}
	out := map[string]any{
		"arn": k.ARN, "keyId": k.ID, "description": k.Description, "policy": k.Policy, "isEnabled": k.State == account.KeyEnabled,
		"keyUsage": account.KeyUsage, "customerMasterKeySpec": account.KeySpec, "enableKeyRotation": k.Rotation,
	}
	if k.Rotation {
		out["rotationPeriodInDays"] = k.RotationDays
	}
	return object(out), k.Tags, nil
}

func updateKey(c *call) error {
	if c.changed("description") && provider.Has(c.in, "description") {
		if err := c.do("updating KMS Key ("+c.id+") description", "KMS", "UpdateKeyDescription", func() error {
			return c.UpdateKeyDescription(c.id, c.str("description"))
		}); err != nil {
			return err
		}
	}
	if c.changed("policy") && provider.Has(c.in, "policy") {
		if err := c.do("updating KMS Key ("+c.id+") policy", "KMS", "PutKeyPolicy", func() error {
			return c.PutKeyPolicy(c.id, c.str("policy"))
		}); err != nil {
			return err
		}
	}
	return setKey(c, c.changed("enableKeyRotation", "rotationPeriodInDays"), c.changed("isEnabled"))
}

func destroyKey(c *call) error {
	err := c.do("deleting KMS Key ("+c.id+")", "KMS", "ScheduleKeyDeletion", func() error {
		return c.ScheduleKeyDeletion(c.id, provider.Int(c.in, "deletionWindowInDays"))
	})
	if account.IsCode(err, "KMSInvalidStateException") { // it waits for its deletion already
		return nil
	}
	return err
}

func tagKey(c *call, set account.Tags, remove []string) error {
	doing := "updating tags for KMS Key (" + c.id + ")"
	if len(remove) > 0 {
		if err := c.do(doing, "KMS", "UntagResource", func() error { return c.UntagKey(c.id, remove) }); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	return c.do(doing, "KMS", "TagResource", func() error { return c.TagKey(c.id, set) })
}

// readAlias gives the target in the form of the inputs: an ID and an ARN of one
// key are no difference (suppressEquivalentKeyARNOrID).
func readAlias(c *call) (props, account.Tags, error) {
	doing := "reading KMS Alias (" + c.id + ")"
	all, err := send(c, doing, "KMS", "ListAliases", func() ([]account.Alias, error) { return c.ListAliases(), nil })
	if err != nil {
		return nil, nil, err
	}
	for _, a := range all {
		if a.Name != c.id {
			continue
		}
		arn := strings.TrimSuffix(a.ARN, a.Name) + "key/" + a.TargetKeyID
		target := a.TargetKeyID
		if c.str("targetKeyId") == arn {
			target = arn
		}
		return object(map[string]any{"name": a.Name, "arn": a.ARN, "targetKeyId": target, "targetKeyArn": arn}), nil, nil
	}
	return nil, nil, notFound(doing)
}

// getKey finds a key that waits for its deletion, too.
func getKey(c *client, args props) (map[string]any, error) {
	ref := provider.String(args, "keyId")
	doing := "reading KMS Key (" + ref + ")"
	k, err := send(c, doing, "KMS", "DescribeKey", func() (account.Key, error) { return c.DescribeKey(ref) })
	if gone(err) {
		return nil, fmt.Errorf("%s: couldn't find resource", doing)
	}
	if err != nil {
		return nil, err
	}
	out := map[string]any{
		"id": k.ID, "arn": k.ARN, "awsAccountId": account.ID, "cloudHsmClusterId": "", "creationDate": k.Created.Format(time.RFC3339),
		"customKeyStoreId": "", "customerMasterKeySpec": account.KeySpec, "deletionDate": "", "description": k.Description,
		"enabled": k.State == account.KeyEnabled, "expirationModel": "", "keyManager": "CUSTOMER", "keySpec": account.KeySpec, "keyState": k.State,
		"keyUsage": account.KeyUsage, "multiRegion": false, "multiRegionConfigurations": []any{}, "origin": "AWS_KMS",
		"pendingDeletionWindowInDays": k.Window, "validTo": "", "xksKeyConfigurations": []any{},
	}
	if !k.Deletion.IsZero() {
		out["deletionDate"] = k.Deletion.Format(time.RFC3339)
	}
	return out, nil
}
