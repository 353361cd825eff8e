package aws

import (
	"eks-gpu-slicing/rehearsal/account"
)

// maxPolicyVersions is how many versions IAM keeps; an update makes room first.
const maxPolicyVersions = 5

// iamPolicyKinds are from internal/service/iam/policy.go.
func iamPolicyKinds() map[string]*kind {
	return map[string]*kind{"aws:iam/policy:Policy": {
		name: "name", maxName: 128, tagged: true,
		schema: schema{
			"name":            {},
			"policy":          {required: true, json: "JSON policy"},
			"description":     {},
			"path":            {def: "/"},
			"arn":             {output: true},
			"attachmentCount": {output: true},
			"policyId":        {output: true},
		},
		replace: []string{"name", "path", "description"},
		create:  createPolicy, read: readPolicy, update: updatePolicy, tag: tagPolicy, destroy: deletePolicy,
	}}
}

func createPolicy(c *call) (string, error) {
	p, err := send(c, "creating IAM Policy ("+c.str("name")+")", "IAM", "CreatePolicy", func() (account.Policy, error) {
		return c.CreatePolicy(account.CreatePolicyInput{
			Name: c.str("name"), Path: c.str("path"), Description: c.str("description"), Document: c.str("policy"), Tags: c.tags,
		})
	})
	if err != nil {
		return "", err
	}
	return p.ARN, nil
}

func readPolicy(c *call) (props, account.Tags, error) {
	p, err := send(c, "reading IAM Policy ("+c.id+")", "IAM", "GetPolicy", func() (account.Policy, error) {
		return c.GetPolicy(c.id)
	})
	if err != nil {
		return nil, nil, err
	}
	v, err := send(c, "reading IAM Policy ("+c.id+") version", "IAM", "GetPolicyVersion", func() (account.PolicyVersion, error) {
		return c.GetPolicyVersion(c.id, p.DefaultVersionID)
	})
	if err != nil {
		return nil, nil, err
	}
	return object(map[string]any{
		"name": p.Name, "path": p.Path, "description": p.Description, "policy": v.Document,
		"arn": p.ARN, "attachmentCount": p.AttachmentCount, "policyId": p.ID,
	}), p.Tags, nil
}

// updatePolicy puts a new version in force, the oldest one gone if need be.
func updatePolicy(c *call) error {
	if !c.changed("policy") {
		return nil
	}
	doing := "updating IAM Policy (" + c.id + ")"
	versions, err := send(c, doing, "IAM", "ListPolicyVersions", func() ([]account.PolicyVersion, error) {
		return c.ListPolicyVersions(c.id)
	})
	if err != nil {
		return err
	}
	for i := len(versions) - 1; i >= 0 && len(versions) >= maxPolicyVersions; i-- {
		if versions[i].IsDefault {
			continue
		}
		if err := c.do(doing, "IAM", "DeletePolicyVersion", func() error {
			return c.DeletePolicyVersion(c.id, versions[i].ID)
		}); err != nil {
			return err
		}
		break
	}
	return c.do(doing, "IAM", "CreatePolicyVersion", func() error {
		_, err := c.CreatePolicyVersion(c.id, c.str("policy"), true)
		return err
	})
}

func tagPolicy(c *call, set account.Tags, remove []string) error {
	doing := "updating tags for IAM Policy (" + c.id + ")"
	if len(remove) > 0 {
		if err := c.do(doing, "IAM", "UntagPolicy", func() error {
			return c.UntagPolicy(c.id, remove)
		}); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	return c.do(doing, "IAM", "TagPolicy", func() error {
		return c.TagPolicy(c.id, set)
	})
}

// deletePolicy deletes the versions that are not in force first, as IAM wants
// it.
func deletePolicy(c *call) error {
	doing := "deleting IAM Policy (" + c.id + ")"
	versions, err := send(c, doing, "IAM", "ListPolicyVersions", func() ([]account.PolicyVersion, error) {
		return c.ListPolicyVersions(c.id)
	})
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v.IsDefault {
			continue
		}
		if err := c.do(doing, "IAM", "DeletePolicyVersion", func() error {
			return c.DeletePolicyVersion(c.id, v.ID)
		}); err != nil {
			return err
		}
	}
	return c.do(doing, "IAM", "DeletePolicy", func() error {
		return c.DeletePolicy(c.id)
	})
}
