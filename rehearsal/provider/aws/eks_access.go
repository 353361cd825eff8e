package aws

import (
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// eksAccessKinds are from internal/service/eks/access_entry.go,
// access_policy_association.go and pod_identity_association.go.
func eksAccessKinds() map[string]*kind {
	return map[string]*kind{
		"aws:eks/accessEntry:AccessEntry": {
			tagged: true,
			schema: schema{
				"clusterName":      {required: true},
				"principalArn":     {required: true},
				"type":             {def: account.AccessStandard, oneOf: account.AccessEntryTypes()},
				"kubernetesGroups": {computed: true},
				"userName":         {computed: true},
				"accessEntryArn":   {output: true},
				"createdAt":        {output: true},
				"modifiedAt":       {output: true},
			},
			replace: []string{"clusterName", "principalArn", "type"},
			sets:    []string{"kubernetesGroups"},
			create:  createAccessEntry, read: readAccessEntry, update: updateAccessEntry,
			tag: eksTag("accessEntryArn"),
			destroy: func(c *call) error {
				cluster, principal, _ := strings.Cut(c.id, ":")
				return c.do("deleting EKS Access Entry ("+c.id+")", "EKS", "DeleteAccessEntry", func() error {
					return c.DeleteAccessEntry(cluster, principal)
				})
			},
		},
		"aws:eks/accessPolicyAssociation:AccessPolicyAssociation": {
			schema: schema{
				"clusterName":  {required: true},
				"principalArn": {required: true},
				"policyArn":    {required: true},
				"accessScope": {required: true, fields: schema{
					"type":       {required: true, oneOf: []string{"cluster", "namespace"}},
					"namespaces": {},
				}},
				"associatedAt": {output: true},
				"modifiedAt":   {output: true},
			},
			replace: []string{"clusterName", "principalArn", "policyArn", "accessScope"},
			sets:    []string{"accessScope.namespaces"},
			create:  createAccessPolicyAssociation, read: readAccessPolicyAssociation,
			destroy: func(c *call) error {
				p := strings.SplitN(c.id, "#", 3)
				return c.do("deleting EKS Access Policy Association ("+c.id+")", "EKS", "DisassociateAccessPolicy", func() error {
					return c.DisassociateAccessPolicy(p[0], p[1], p[2])
				})
			},
		},
		"aws:eks/podIdentityAssociation:PodIdentityAssociation": {
			tagged: true,
			schema: schema{
				"clusterName":    {required: true},
				"namespace":      {required: true},
				"serviceAccount": {required: true},
				"roleArn":        {required: true},
				"associationArn": {output: true},
				"associationId":  {output: true},
			},
			replace: []string{"clusterName", "namespace", "serviceAccount"},
			create:  createPodIdentity, read: readPodIdentity, imported: importedPodIdentity,
			update: func(c *call) error {
				_, err := retryWhen(c, func() (struct{}, error) {
					return struct{}{}, c.do("updating EKS Pod Identity Association ("+c.id+")", "EKS", "UpdatePodIdentityAssociation", func() error {
						return c.UpdatePodIdentityAssociation(c.str("clusterName"), c.id, c.str("roleArn"))
					})
				}, podRoleUnseen)
				return err
			},
			tag: eksTag("associationArn"),
			destroy: func(c *call) error {
				return c.do("deleting EKS Pod Identity Association ("+c.id+")", "EKS", "DeletePodIdentityAssociation", func() error {
					return c.DeletePodIdentityAssociation(c.was("clusterName"), c.id)
				})
			},
		},
	}
}

func createAccessEntry(c *call) (string, error) {
	id := c.str("clusterName") + ":" + c.str("principalArn")
	_, err := retryWhen(c, func() (account.AccessEntry, error) {
		return send(c, "creating EKS Access Entry ("+id+")", "EKS", "CreateAccessEntry", func() (account.AccessEntry, error) {
			return c.CreateAccessEntry(account.CreateAccessEntryInput{
				ClusterName: c.str("clusterName"), PrincipalARN: c.str("principalArn"), Type: c.str("type"), Username: c.str("userName"),
				KubernetesGroups: provider.Strings(c.in, "kubernetesGroups"), Tags: c.tags,
			})
		})
	}, invalidParameter("The specified principalArn is invalid: invalid principal")) // access_entry.go, resourceAccessEntryCreate
	if err != nil {
		return "", err
	}
	return id, nil
}

func readAccessEntry(c *call) (props, account.Tags, error) {
	cluster, principal, _ := strings.Cut(c.id, ":")
	e, err := send(c, "reading EKS Access Entry ("+c.id+")", "EKS", "DescribeAccessEntry", func() (account.AccessEntry, error) {
		return c.DescribeAccessEntry(cluster, principal)
	})
	if err != nil {
		return nil, nil, err
	}
	return object(map[string]any{
		"clusterName": e.ClusterName, "principalArn": e.PrincipalARN, "type": e.Type, "userName": e.Username,
		"kubernetesGroups": e.KubernetesGroups, "accessEntryArn": e.ARN,
		"createdAt": e.Created.Format(time.RFC3339), "modifiedAt": e.Modified.Format(time.RFC3339),
	}), e.Tags, nil
}

func updateAccessEntry(c *call) error {
	if !c.changed("kubernetesGroups", "userName") {
		return nil
	}
	cluster, principal, _ := strings.Cut(c.id, ":")
	return c.do("updating EKS Access Entry ("+c.id+")", "EKS", "UpdateAccessEntry", func() error {
		return c.UpdateAccessEntry(cluster, principal, c.str("userName"), provider.Strings(c.in, "kubernetesGroups"))
	})
}

func createAccessPolicyAssociation(c *call) (string, error) {
	id := strings.Join([]string{c.str("clusterName"), c.str("principalArn"), c.str("policyArn")}, "#")
	_, err := send(c, "creating EKS Access Policy Association ("+id+")", "EKS", "AssociateAccessPolicy", func() (account.AccessPolicyAssociation, error) {
		return c.AssociateAccessPolicy(c.str("clusterName"), c.str("principalArn"), c.str("policyArn"),
			c.str("accessScope", "type"), provider.Strings(c.in, "accessScope", "namespaces"))
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

func readAccessPolicyAssociation(c *call) (props, account.Tags, error) {
	doing := "reading EKS Access Policy Association (" + c.id + ")"
	p := strings.SplitN(c.id, "#", 3)
	if len(p) != 3 {
		return nil, nil, malformedID(c.id, "CLUSTER#PRINCIPAL#POLICY")
	}
	all, err := send(c, doing, "EKS", "ListAssociatedAccessPolicies", func() ([]account.AccessPolicyAssociation, error) {
		return c.ListAssociatedAccessPolicies(p[0], p[1])
	})
	if err != nil {
		return nil, nil, err
	}
	for _, a := range all {
		if a.PolicyARN != p[2] {
			continue
		}
		scope := map[string]any{"type": a.ScopeType}
		if len(a.Namespaces) > 0 {
			scope["namespaces"] = a.Namespaces
		}
		return object(map[string]any{
			"clusterName": p[0], "principalArn": p[1], "policyArn": p[2], "accessScope": scope,
			"associatedAt": a.Associated.Format(time.RFC3339), "modifiedAt": a.Modified.Format(time.RFC3339),
		}), nil, nil
	}
	return nil, nil, notFound(doing)
}

// podRoleUnseen tells whether EKS does not see a role yet (Create and Update of
// pod_identity_association.go).
func podRoleUnseen(err error) bool {
	return invalidParameter("Role provided in the request does not exist")(err)
}

func createPodIdentity(c *call) (string, error) {
	doing := "creating EKS Pod Identity Association (" + c.str("clusterName") + "," + c.str("namespace") + "/" + c.str("serviceAccount") + ")"
	p, err := retryWhen(c, func() (account.PodIdentityAssociation, error) {
		return send(c, doing, "EKS", "CreatePodIdentityAssociation", func() (account.PodIdentityAssociation, error) {
			return c.CreatePodIdentityAssociation(c.str("clusterName"), c.str("namespace"), c.str("serviceAccount"), c.str("roleArn"), c.tags)
		})
	}, podRoleUnseen)
	if err != nil {
		return "", err
	}
	return p.ID, nil
}

func importedPodIdentity(id string) (string, map[string]any, error) {
	cluster, association, ok := strings.Cut(id, ",")
	if !ok || cluster == "" || association == "" {
		return "", nil, malformedID(id, "cluster-name,association-id")
	}
	return association, map[string]any{"clusterName": cluster}, nil
}

func readPodIdentity(c *call) (props, account.Tags, error) {
	cluster := c.known("clusterName")
	p, err := send(c, "reading EKS Pod Identity Association ("+c.id+")", "EKS", "DescribePodIdentityAssociation", func() (account.PodIdentityAssociation, error) {
		return c.DescribePodIdentityAssociation(cluster, c.id)
	})
	if err != nil {
		return nil, nil, err
	}
	return object(map[string]any{
		"clusterName": p.ClusterName, "namespace": p.Namespace, "serviceAccount": p.ServiceAccount, "roleArn": p.RoleARN,
		"associationArn": p.ARN, "associationId": p.ID,
	}), p.Tags, nil
}
