package aws

import (
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account"
)

// eksAddonKinds are from internal/service/eks/addon.go.
func eksAddonKinds() map[string]*kind {
	return map[string]*kind{"aws:eks/addon:Addon": {
		tagged: true,
		schema: schema{
			"addonName":                {required: true},
			"clusterName":              {required: true},
			"addonVersion":             {computed: true},
			"configurationValues":      {computed: true},
			"preserve":                 {local: true},
			"resolveConflicts":         {local: true, oneOf: []string{"NONE", "OVERWRITE", "PRESERVE"}},
			"resolveConflictsOnCreate": {local: true, oneOf: []string{"NONE", "OVERWRITE"}},
			"resolveConflictsOnUpdate": {local: true, oneOf: []string{"NONE", "OVERWRITE", "PRESERVE"}},
			"arn":                      {output: true},
			"createdAt":                {output: true},
			"modifiedAt":               {output: true},
		},
		replace: []string{"addonName", "clusterName"},
		create:  createAddon, read: readAddon, update: updateAddon,
		tag: eksTag("arn"),
		destroy: func(c *call) error {
			cluster, name, _ := strings.Cut(c.id, ":")
			return orFailed(c.DeleteAddon(cluster, name), "deleting EKS Add-On ("+c.id+")", "EKS", "DeleteAddon")
		},
	}}
}

// conflicts is what to do about conflicts, the deprecated input last.
func conflicts(c *call, input string) string {
	if v := c.str(input); v != "" {
		return v
	}
	return c.str("resolveConflicts")
}

func createAddon(c *call) (string, error) {
	id := c.str("clusterName") + ":" + c.str("addonName")
	_, err := c.CreateAddon(account.CreateAddonInput{
		ClusterName: c.str("clusterName"), Name: c.str("addonName"), Version: c.str("addonVersion"),
		ConfigurationValues: c.str("configurationValues"), ResolveConflicts: conflicts(c, "resolveConflictsOnCreate"), Tags: c.tags,
	})
	if err != nil {
		return "", failed("creating EKS Add-On ("+id+")", "EKS", "CreateAddon", err)
	}
	return id, nil
}

func readAddon(c *call) (props, account.Tags, error) {
	cluster, name, _ := strings.Cut(c.id, ":")
	d, err := c.DescribeAddon(cluster, name)
	if err != nil {
		return nil, nil, failed("reading EKS Add-On ("+c.id+")", "EKS", "DescribeAddon", err)
	}
	return object(map[string]any{
		"addonName": d.Name, "clusterName": d.ClusterName, "addonVersion": d.Version, "configurationValues": d.ConfigurationValues,
		"arn": d.ARN, "createdAt": d.Created.Format(time.RFC3339), "modifiedAt": d.Modified.Format(time.RFC3339),
	}), d.Tags, nil
}

func updateAddon(c *call) error {
	if !c.changed("addonVersion", "configurationValues") {
		return nil
	}
	cluster, name, _ := strings.Cut(c.id, ":")
	return orFailed(c.UpdateAddon(cluster, name, c.str("addonVersion"), c.str("configurationValues"), conflicts(c, "resolveConflictsOnUpdate")),
		"updating EKS Add-On ("+c.id+")", "EKS", "UpdateAddon")
}
