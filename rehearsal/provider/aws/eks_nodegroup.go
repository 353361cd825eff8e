package aws

import (
	"fmt"
	"strings"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// eksNodegroupKinds are from internal/service/eks/node_group.go.
func eksNodegroupKinds() map[string]*kind {
	return map[string]*kind{"aws:eks/nodeGroup:NodeGroup": {
		name: "nodeGroupName", maxName: 63, tagged: true,
		schema: schema{
			"nodeGroupName": {},
			"clusterName":   {required: true},
			"nodeRoleArn":   {required: true},
			"subnetIds":     {required: true},
			"scalingConfig": {required: true, fields: schema{
				"desiredSize": {required: true},
				"maxSize":     {required: true},
				"minSize":     {required: true},
			}},
			"amiType":       {computed: true, oneOf: account.AMITypeNames()},
			"capacityType":  {computed: true, oneOf: []string{"ON_DEMAND", "SPOT"}},
			"diskSize":      {computed: true},
			"instanceTypes": {computed: true},
			"labels":        {},
			"launchTemplate": {fields: schema{
				"id":      {computed: true},
				"name":    {computed: true},
				"version": {required: true},
			}},
			"taints": {fields: schema{
				"key":    {required: true},
				"value":  {},
				"effect": {required: true, oneOf: account.TaintEffects()},
			}},
			"updateConfig":       {computed: true, fields: schema{"maxUnavailable": {}, "maxUnavailablePercentage": {}}},
			"version":            {computed: true},
			"forceUpdateVersion": {local: true},
			"arn":                {output: true},
			"releaseVersion":     {output: true},
			"resources":          {output: true},
			"status":             {output: true},
		},
		replace: []string{
			"amiType", "capacityType", "clusterName", "diskSize", "instanceTypes", "launchTemplate.id", "launchTemplate.name",
			"nodeGroupName", "nodeRoleArn", "subnetIds",
		},
		sets:   []string{"subnetIds", "taints"},
		create: createNodegroup, read: readNodegroup, update: updateNodegroup,
		tag: eksTag("arn"),
		destroy: func(c *call) error {
			cluster, name, _ := strings.Cut(c.id, ":")
			return c.do("deleting EKS Node Group ("+c.id+")", "EKS", "DeleteNodegroup", func() error {
				return c.DeleteNodegroup(cluster, name)
			})
		},
	}}
}

func scaling(in props) account.Scaling {
	return account.Scaling{
		Min: provider.Int(in, "scalingConfig", "minSize"), Max: provider.Int(in, "scalingConfig", "maxSize"),
		Desired: provider.Int(in, "scalingConfig", "desiredSize"),
	}
}

func taints(in props) []account.Taint {
	var out []account.Taint
	for _, t := range provider.Objects(in, "taints") {
		out = append(out, account.Taint{Key: provider.String(t, "key"), Value: provider.String(t, "value"), Effect: provider.String(t, "effect")})
	}
	return out
}

func updateConfig(in props) account.UpdateConfig {
	return account.UpdateConfig{
		MaxUnavailable:           provider.Int(in, "updateConfig", "maxUnavailable"),
		MaxUnavailablePercentage: provider.Int(in, "updateConfig", "maxUnavailablePercentage"),
	}
}

func launchTemplateRef(in props) *account.LaunchTemplateRef {
	t := provider.Map(in, "launchTemplate")
	if t == nil {
		return nil
	}
	return &account.LaunchTemplateRef{ID: provider.String(t, "id"), Name: provider.String(t, "name"), Version: provider.String(t, "version")}
}

func createNodegroup(c *call) (string, error) {
	id := c.str("clusterName") + ":" + c.str("nodeGroupName")
	n, err := send(c, "creating EKS Node Group ("+id+")", "EKS", "CreateNodegroup", func() (account.Nodegroup, error) {
		return c.CreateNodegroup(account.Nodegroup{
			ClusterName: c.str("clusterName"), Name: c.str("nodeGroupName"), Version: c.str("version"),
			CapacityType: c.str("capacityType"), AMIType: c.str("amiType"), NodeRoleARN: c.str("nodeRoleArn"),
			InstanceTypes: provider.Strings(c.in, "instanceTypes"), SubnetIDs: provider.Strings(c.in, "subnetIds"),
			DiskSize: provider.Int(c.in, "diskSize"), Scaling: scaling(c.in), Labels: provider.StringMap(c.in, "labels"),
			Taints: taints(c.in), LaunchTemplate: launchTemplateRef(c.in), Update: updateConfig(c.in), Tags: c.tags,
		})
	})
	if err != nil {
		return "", err
	}
	return id, createFailed(c, id, n)
}

// createFailed is the error of a node group that could not launch its nodes
// (waitNodegroupCreated and issuesError of node_group.go).
func createFailed(c *call, id string, n account.Nodegroup) error {
	if n.Status != account.NodegroupCreateFailed {
		return nil
	}
	issues, err := send(c, "waiting for EKS Node Group ("+id+") create", "EKS", "DescribeNodegroup", func() ([]string, error) {
		return c.NodegroupHealth(n.ClusterName, n.Name)
	})
	if err != nil {
		return err
	}
	for i, text := range issues {
		issues[i] = n.AutoScalingGroup + ": " + text
	}
	return fmt.Errorf("waiting for EKS Node Group (%s) create: unexpected state '%s', wanted target 'ACTIVE'. last error: %s", id, n.Status, strings.Join(issues, "\n"))
}

func readNodegroup(c *call) (props, account.Tags, error) {
	cluster, name, _ := strings.Cut(c.id, ":")
	n, err := send(c, "reading EKS Node Group ("+c.id+")", "EKS", "DescribeNodegroup", func() (account.Nodegroup, error) {
		return c.DescribeNodegroup(cluster, name)
	})
	if err != nil {
		return nil, nil, err
	}
	out := map[string]any{
		"nodeGroupName": n.Name, "clusterName": n.ClusterName, "nodeRoleArn": n.NodeRoleARN, "subnetIds": n.SubnetIDs,
		"amiType": n.AMIType, "capacityType": n.CapacityType, "diskSize": n.DiskSize, "instanceTypes": n.InstanceTypes,
		"version": n.Version, "releaseVersion": n.ReleaseVersion, "arn": n.ARN, "status": n.Status,
		"scalingConfig": map[string]any{"minSize": n.Scaling.Min, "maxSize": n.Scaling.Max, "desiredSize": n.Scaling.Desired},
		"updateConfig":  updateConfigProperty(n.Update),
		"resources": []any{map[string]any{
			"autoscalingGroups": []any{map[string]any{"name": n.AutoScalingGroup}}, "remoteAccessSecurityGroupId": "",
		}},
	}
	if len(n.Labels) > 0 {
		out["labels"] = n.Labels
	}
	var list []any
	for _, t := range n.Taints {
		list = append(list, map[string]any{"key": t.Key, "value": t.Value, "effect": t.Effect})
	}
	if list != nil {
		out["taints"] = list
	}
	if t := n.LaunchTemplate; t != nil {
		out["launchTemplate"] = map[string]any{"id": t.ID, "name": t.Name, "version": t.Version}
	}
	return object(out), n.Tags, nil
}

func updateConfigProperty(u account.UpdateConfig) map[string]any {
	if u.MaxUnavailable > 0 {
		return map[string]any{"maxUnavailable": u.MaxUnavailable}
	}
	return map[string]any{"maxUnavailablePercentage": u.MaxUnavailablePercentage}
}

func updateNodegroup(c *call) error {
	cluster, name, _ := strings.Cut(c.id, ":")
	if c.changed("version", "launchTemplate") {
		template := launchTemplateRef(c.in)
		if template != nil {
			template.Name = "" // an update names the template by one of both
		}
		if err := c.do("updating EKS Node Group ("+c.id+") version", "EKS", "UpdateNodegroupVersion", func() error {
			return c.UpdateNodegroupVersion(cluster, name, c.str("version"), template)
		}); err != nil {
			return err
		}
	}
	if !c.changed("labels", "scalingConfig", "taints", "updateConfig") {
		return nil
	}
	update := updateConfig(c.in)
	if update == (account.UpdateConfig{}) {
		update = updateConfig(c.state)
	}
	return c.do("updating EKS Node Group ("+c.id+") config", "EKS", "UpdateNodegroupConfig", func() error {
		return c.UpdateNodegroupConfig(cluster, name, scaling(c.in), provider.StringMap(c.in, "labels"), taints(c.in), update)
	})
}
