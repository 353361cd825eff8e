package aws

import (
	"errors"
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
				return orFailed(c.DetachRolePolicy(role, policy), "detaching IAM Policy ("+policy+") from IAM Role ("+role+")", "IAM", "DetachRolePolicy")
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
				return orFailed(c.UpdateServiceLinkedRoleDescription(c.was("name"), c.str("description")),
					"updating IAM Service Linked Role ("+c.id+")", "IAM", "UpdateRole")
			},
			tag: tagRole,
			destroy: func(c *call) error {
				return orFailed(c.DeleteServiceLinkedRole(c.was("name")), "deleting IAM Service Linked Role ("+c.id+")", "IAM", "DeleteServiceLinkedRole")
			},
		},
	}
}

func createRole(c *call) (string, error) {
	r, err := c.CreateRole(account.CreateRoleInput{
		Name: c.str("name"), Path: c.str("path"), Description: c.str("description"), AssumeRolePolicy: c.str("assumeRolePolicy"),
		MaxSessionDuration: provider.Int(c.in, "maxSessionDuration"), Tags: c.tags,
	})
	if err != nil {
		return "", failed("creating IAM Role ("+c.str("name")+")", "IAM", "CreateRole", err)
	}
	return r.Name, nil
}

func readRole(c *call) (props, account.Tags, error) {
	r, err := c.GetRole(c.id)
	if err != nil {
		return nil, nil, failed("reading IAM Role ("+c.id+")", "IAM", "GetRole", err)
	}
	attached, err := c.ListAttachedRolePolicies(c.id)
	if err != nil {
		return nil, nil, failed("reading policies of IAM Role ("+c.id+")", "IAM", "ListAttachedRolePolicies", err)
	}
	return object(map[string]any{
		"name": r.Name, "assumeRolePolicy": r.AssumeRolePolicy, "path": r.Path, "maxSessionDuration": r.MaxSessionDuration,
		"arn": r.ARN, "createDate": r.CreateDate.Format(time.RFC3339), "uniqueId": r.ID,
		"managedPolicyArns": attached, "inlinePolicies": []any{}, "description": r.Description,
	}), r.Tags, nil
}

func updateRole(c *call) error {
	if c.changed("assumeRolePolicy") {
		if err := c.UpdateAssumeRolePolicy(c.id, c.str("assumeRolePolicy")); err != nil {
			return failed("updating IAM Role ("+c.id+") assume role policy", "IAM", "UpdateAssumeRolePolicy", err)
		}
	}
	if !c.changed("description", "maxSessionDuration") {
		return nil
	}
	return orFailed(c.UpdateRole(c.id, c.str("description"), provider.Int(c.in, "maxSessionDuration")), "updating IAM Role ("+c.id+")", "IAM", "UpdateRole")
}

func tagRole(c *call, set account.Tags, remove []string) error {
	name := c.was("name")
	if len(remove) > 0 {
		if err := c.UntagRole(name, remove); err != nil {
			return failed("updating tags for IAM Role ("+name+")", "IAM", "UntagRole", err)
		}
	}
	if len(set) == 0 {
		return nil
	}
	return orFailed(c.TagRole(name, set), "updating tags for IAM Role ("+name+")", "IAM", "TagRole")
}

func deleteRole(c *call) error {
	if provider.Bool(c.state, "forceDetachPolicies") {
		attached, err := c.ListAttachedRolePolicies(c.id)
		for _, arn := range attached {
			err = errors.Join(err, c.DetachRolePolicy(c.id, arn))
		}
		if err != nil {
			return failed("deleting IAM Role ("+c.id+") policies", "IAM", "DetachRolePolicy", err)
		}
	}
	return orFailed(c.DeleteRole(c.id), "deleting IAM Role ("+c.id+")", "IAM", "DeleteRole")
}

// attachRolePolicy makes the ID out of role and policy. Terraform's is the role
// and a time; an import gives it as ROLE/POLICY-ARN.
func attachRolePolicy(c *call) (string, error) {
	role, policy := c.str("role"), c.str("policyArn")
	if err := c.AttachRolePolicy(role, policy); err != nil {
		return "", failed("attaching IAM Policy ("+policy+") to IAM Role ("+role+")", "IAM", "AttachRolePolicy", err)
	}
	return role + "/" + policy, nil
}

func readRolePolicyAttachment(c *call) (props, account.Tags, error) {
	doing := "reading IAM Role Policy Attachment (" + c.id + ")"
	role, policy, ok := strings.Cut(c.id, "/")
	if !ok {
		return nil, nil, malformedID(c.id, "ROLE/POLICY-ARN")
	}
	attached, err := c.ListAttachedRolePolicies(role)
	if err != nil {
		return nil, nil, failed(doing, "IAM", "ListAttachedRolePolicies", err)
	}
	if !slices.Contains(attached, policy) {
		return nil, nil, notFound(doing)
	}
	return object(map[string]any{"role": role, "policyArn": policy}), nil, nil
}

func createServiceLinkedRole(c *call) (string, error) {
	service := c.str("awsServiceName")
	r, err := c.CreateServiceLinkedRole(service, c.str("description"))
	if err != nil {
		return "", failed("creating IAM Service Linked Role ("+service+")", "IAM", "CreateServiceLinkedRole", err)
	}
	if len(c.tags) > 0 {
		if err := c.TagRole(r.Name, c.tags); err != nil {
			return r.ARN, failed("setting IAM Service Linked Role ("+r.ARN+") tags", "IAM", "TagRole", err)
		}
	}
	return r.ARN, nil
}

func readServiceLinkedRole(c *call) (props, account.Tags, error) {
	r, err := c.GetRole(c.id[strings.LastIndex(c.id, "/")+1:])
	if err != nil {
		return nil, nil, failed("reading IAM Service Linked Role ("+c.id+")", "IAM", "GetRole", err)
	}
	return object(map[string]any{
		"awsServiceName": strings.Trim(strings.TrimPrefix(r.Path, "/aws-service-role/"), "/"), "description": r.Description,
		"arn": r.ARN, "name": r.Name, "path": r.Path, "createDate": r.CreateDate.Format(time.RFC3339), "uniqueId": r.ID,
	}), r.Tags, nil
}
