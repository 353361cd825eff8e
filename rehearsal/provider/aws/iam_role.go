package aws

import (
	"slices"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// iamRoleKinds are from internal/service/iam/role.go, role_policy_attachment.go
// and service_linked_role.go.
func iamRoleKinds() map[string]*kind {
	return map[string]*kind{
		"aws:iam/role:Role": {
			name: "name", maxName: 64, tagged: true,
			schema: schema{
				"name":                {},
				"assumeRolePolicy":    {required: true, json: "JSON policy"},
				"description":         {},
				"path":                {def: "/"},
				"maxSessionDuration":  {def: 3600},
				"forceDetachPolicies": {local: true, def: false},
				"arn":                 {output: true},
				"createDate":          {output: true},
				"inlinePolicies":      {output: true},
				"managedPolicyArns":   {output: true},
				"uniqueId":            {output: true},
			},
			replace: []string{"name", "path"},
			create:  createRole, read: readRole, update: updateRole, tag: tagRole, destroy: deleteRole,
		},
		"aws:iam/rolePolicyAttachment:RolePolicyAttachment": {
			schema:  schema{"role": {required: true}, "policyArn": {required: true}},
			replace: []string{"role", "policyArn"},
			create:  attachRolePolicy, read: readRolePolicyAttachment,
			destroy: func(c *call) error {
				role, policy := c.was("role"), c.was("policyArn")
				return c.do("detaching IAM Policy ("+policy+") from IAM Role ("+role+")", "IAM", "DetachRolePolicy", func() error {
					return c.DetachRolePolicy(role, policy)
				})
			},
		},
		"aws:iam/serviceLinkedRole:ServiceLinkedRole": {
			tagged: true,
			schema: schema{
				"awsServiceName": {required: true},
				"description":    {},
				"arn":            {output: true},
				"createDate":     {output: true},
				"name":           {output: true},
				"path":           {output: true},
				"uniqueId":       {output: true},
			},
			replace: []string{"awsServiceName"},
			create:  createServiceLinkedRole, read: readServiceLinkedRole,
			update: func(c *call) error {
				if !c.changed("description") {
					return nil
				}
				return c.do("updating IAM Service Linked Role ("+c.id+")", "IAM", "UpdateRole", func() error {
					return c.UpdateServiceLinkedRoleDescription(c.was("name"), c.str("description"))
				})
			},
			tag: tagRole,
			destroy: func(c *call) error {
				return c.do("deleting IAM Service Linked Role ("+c.id+")", "IAM", "DeleteServiceLinkedRole", func() error {
					return c.DeleteServiceLinkedRole(c.was("name"))
				})
			},
		},
	}
}

func createRole(c *call) (string, error) {
	r, err := send(c, "creating IAM Role ("+c.str("name")+")", "IAM", "CreateRole", func() (account.Role, error) {
		return c.CreateRole(account.CreateRoleInput{
			Name: c.str("name"), Path: c.str("path"), Description: c.str("description"), AssumeRolePolicy: c.str("assumeRolePolicy"),
			MaxSessionDuration: provider.Int(c.in, "maxSessionDuration"), Tags: c.tags,
		})
	})
	if err != nil {
		return "", err
	}
	return r.Name, nil
}

func readRole(c *call) (props, account.Tags, error) {
	// A new role may not be seen yet (role.go, RetryWhenNewResourceNotFound).
	r, err := retryWhen(c, func() (account.Role, error) {
		return send(c, "reading IAM Role ("+c.id+")", "IAM", "GetRole", func() (account.Role, error) {
			return c.GetRole(c.id)
		})
	}, func(err error) bool { return c.fresh && gone(err) })
	if err != nil {
		return nil, nil, err
	}
	attached, err := send(c, "reading policies of IAM Role ("+c.id+")", "IAM", "ListAttachedRolePolicies", func() ([]string, error) {
		return c.ListAttachedRolePolicies(c.id)
	})
	if err != nil {
		return nil, nil, err
	}
	return object(map[string]any{
		"name": r.Name, "assumeRolePolicy": r.AssumeRolePolicy, "path": r.Path, "maxSessionDuration": r.MaxSessionDuration,
		"arn": r.ARN, "createDate": r.CreateDate.Format(time.RFC3339), "uniqueId": r.ID,
		"managedPolicyArns": attached, "inlinePolicies": []any{}, "description": r.Description,
	}), r.Tags, nil
}

func updateRole(c *call) error {
	if c.changed("assumeRolePolicy") {
		if err := c.do("updating IAM Role ("+c.id+") assume role policy", "IAM", "UpdateAssumeRolePolicy", func() error {
			return c.UpdateAssumeRolePolicy(c.id, c.str("assumeRolePolicy"))
		}); err != nil {
			return err
		}
	}
	if !c.changed("description", "maxSessionDuration") {
		return nil
	}
	return c.do("updating IAM Role ("+c.id+")", "IAM", "UpdateRole", func() error {
		return c.UpdateRole(c.id, c.str("description"), provider.Int(c.in, "maxSessionDuration"))
	})
}

func tagRole(c *call, set account.Tags, remove []string) error {
	name := c.was("name")
	if len(remove) > 0 {
		if err := c.do("updating tags for IAM Role ("+name+")", "IAM", "UntagRole", func() error {
			return c.UntagRole(name, remove)
		}); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	return c.do("updating tags for IAM Role ("+name+")", "IAM", "TagRole", func() error {
		return c.TagRole(name, set)
	})
}

// deleteRole takes the role out of all instance profiles first, whoever made
// them, and waits for what still holds it (deleteRole and
// deleteRoleInstanceProfiles of role.go).
func deleteRole(c *call) error {
	doing := "deleting IAM Role (" + c.id + ")"
	profiles, err := send(c, doing, "IAM", "ListInstanceProfilesForRole", func() ([]account.InstanceProfile, error) {
		return c.ListInstanceProfilesForRole(c.id)
	})
	if err != nil {
		return err
	}
	for _, p := range profiles {
		err := c.do(doing, "IAM", "RemoveRoleFromInstanceProfile", func() error { return c.RemoveRoleFromInstanceProfile(p.Name, c.id) })
		if err != nil && !gone(err) {
			return err
		}
	}
	if provider.Bool(c.state, "forceDetachPolicies") {
		if err := detachAll(c, doing); err != nil {
			return err
		}
	}
	_, err = retryWhen(c, func() (struct{}, error) {
		return struct{}{}, c.do(doing, "IAM", "DeleteRole", func() error { return c.DeleteRole(c.id) })
	}, func(err error) bool { return account.IsCode(err, "DeleteConflict") })
	return err
}

func detachAll(c *call, doing string) error {
	attached, err := send(c, doing, "IAM", "ListAttachedRolePolicies", func() ([]string, error) { return c.ListAttachedRolePolicies(c.id) })
	if err != nil {
		return err
	}
	for _, arn := range attached {
		if err := c.do(doing, "IAM", "DetachRolePolicy", func() error { return c.DetachRolePolicy(c.id, arn) }); err != nil && !gone(err) {
			return err
		}
	}
	return nil
}

// attachRolePolicy makes the ID out of role and policy. Terraform's is the role
// and a time; an import gives it as ROLE/POLICY-ARN.
func attachRolePolicy(c *call) (string, error) {
	role, policy := c.str("role"), c.str("policyArn")
	if err := c.do("attaching IAM Policy ("+policy+") to IAM Role ("+role+")", "IAM", "AttachRolePolicy", func() error {
		return c.AttachRolePolicy(role, policy)
	}); err != nil {
		return "", err
	}
	return role + "/" + policy, nil
}

func readRolePolicyAttachment(c *call) (props, account.Tags, error) {
	doing := "reading IAM Role Policy Attachment (" + c.id + ")"
	role, policy, ok := strings.Cut(c.id, "/")
	if !ok {
		return nil, nil, malformedID(c.id, "ROLE/POLICY-ARN")
	}
	attached, err := send(c, doing, "IAM", "ListAttachedRolePolicies", func() ([]string, error) {
		return c.ListAttachedRolePolicies(role)
	})
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(attached, policy) {
		return nil, nil, notFound(doing)
	}
	return object(map[string]any{"role": role, "policyArn": policy}), nil, nil
}

func createServiceLinkedRole(c *call) (string, error) {
	service := c.str("awsServiceName")
	r, err := send(c, "creating IAM Service Linked Role ("+service+")", "IAM", "CreateServiceLinkedRole", func() (account.Role, error) {
		return c.CreateServiceLinkedRole(service, c.str("description"))
	})
	if err != nil {
		return "", err
	}
	if len(c.tags) > 0 {
		if err := c.do("setting IAM Service Linked Role ("+r.ARN+") tags", "IAM", "TagRole", func() error {
			return c.TagRole(r.Name, c.tags)
		}); err != nil {
			return r.ARN, err
		}
	}
	return r.ARN, nil
}

func readServiceLinkedRole(c *call) (props, account.Tags, error) {
	r, err := send(c, "reading IAM Service Linked Role ("+c.id+")", "IAM", "GetRole", func() (account.Role, error) {
		return c.GetRole(c.id[strings.LastIndex(c.id, "/")+1:])
	})
	if err != nil {
		return nil, nil, err
	}
	return object(map[string]any{
		"awsServiceName": strings.Trim(strings.TrimPrefix(r.Path, "/aws-service-role/"), "/"), "description": r.Description,
		"arn": r.ARN, "name": r.Name, "path": r.Path, "createDate": r.CreateDate.Format(time.RFC3339), "uniqueId": r.ID,
	}), r.Tags, nil
}
