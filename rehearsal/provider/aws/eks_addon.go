package aws

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
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
			return c.do("deleting EKS Add-On ("+c.id+")", "EKS", "DeleteAddon", func() error {
				return c.DeleteAddon(cluster, name, provider.Bool(c.in, "preserve"))
			})
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
	d, err := send(c, "creating EKS Add-On ("+id+")", "EKS", "CreateAddon", func() (account.Addon, error) {
		return c.CreateAddon(account.CreateAddonInput{
			ClusterName: c.str("clusterName"), Name: c.str("addonName"), Version: c.str("addonVersion"),
			ConfigurationValues: c.str("configurationValues"), ResolveConflicts: conflicts(c, "resolveConflictsOnCreate"), Tags: c.tags,
		})
	})
	if err != nil {
		return "", err
	}
	return id, unhealthy(d, "create")
}

// unhealthy is the error of an add-on that has not become ACTIVE. The real provider
// waits 20 minutes for that before it gives up on one that is DEGRADED (its words are
// in pulumi-eks #1819); the account knows sooner, and why.
func unhealthy(d account.Addon, doing string) error {
	if d.Status == account.AddonActive {
		return nil
	}
	var issues []string
	for _, i := range d.Issues {
		issues = append(issues, i.Code+": "+i.Message)
	}
	return fmt.Errorf("waiting for EKS Add-On (%s:%s) %s: timeout while waiting for state to become 'ACTIVE' (last state: '%s', timeout: 20m0s): %s",
		d.ClusterName, d.Name, doing, d.Status, strings.Join(issues, "; "))
}

func readAddon(c *call) (props, account.Tags, error) {
	cluster, name, _ := strings.Cut(c.id, ":")
	d, err := send(c, "reading EKS Add-On ("+c.id+")", "EKS", "DescribeAddon", func() (account.Addon, error) {
		return c.DescribeAddon(cluster, name)
	})
	if err != nil {
		return nil, nil, err
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
	d, err := send(c, "updating EKS Add-On ("+c.id+")", "EKS", "UpdateAddon", func() (account.Addon, error) {
		return c.UpdateAddon(cluster, name, c.str("addonVersion"), c.str("configurationValues"), conflicts(c, "resolveConflictsOnUpdate"))
	})
	if err != nil {
		return err
	}
	return unhealthy(d, "update")
}

func addonVersionArgs() schema {
	return schema{"addonName": {required: true}, "kubernetesVersion": {required: true}, "mostRecent": {}}
}

// getAddonVersion finds the version that EKS gives clusters by itself, or the newest.
func getAddonVersion(c *client, args props) (map[string]any, error) {
	name, kubernetes, newest := provider.String(args, "addonName"), provider.String(args, "kubernetesVersion"), provider.Bool(args, "mostRecent")
	doing := "reading EKS Add-On version info (" + name + ", " + kubernetes + ")"
	all, err := send(c, doing, "EKS", "DescribeAddonVersions", func() ([]account.AddonVersion, error) {
		return c.DescribeAddonVersions(name, kubernetes), nil
	})
	if err != nil {
		return nil, err
	}
	version := ""
	for _, v := range all { // oldest first
		if newest || slices.Contains(v.DefaultFor, kubernetes) {
			version = v.Version
		}
	}
	if version == "" {
		return nil, fmt.Errorf("%s: empty result", doing)
	}
	return map[string]any{"id": name, "addonName": name, "kubernetesVersion": kubernetes, "mostRecent": newest, "version": version}, nil
}
