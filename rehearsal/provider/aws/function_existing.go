package aws

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// existingFunctions are the look-ups of what others made in a cluster, by token. They
// are from the data sources of internal/service, named beside each.
func existingFunctions() map[string]function {
	named := func(key string) schema { return schema{"clusterName": {required: true}, key: {required: true}} }
	return map[string]function{
		"aws:iam/getSessionContext:getSessionContext": {schema{"arn": {required: true}}, getSessionContext},                      // iam/session_context_data_source.go
		"aws:eks/getAccessEntry:getAccessEntry":       {named("principalArn"), getAccessEntry},                                   // eks/access_entry_data_source.go
		"aws:eks/getAddon:getAddon":                   {named("addonName"), getAddon},                                            // eks/addon_data_source.go
		"aws:eks/getNodeGroups:getNodeGroups":         {schema{"clusterName": {required: true}}, getNodeGroups},                  // eks/node_groups_data_source.go
		"aws:eks/getNodeGroup:getNodeGroup":           {named("nodeGroupName"), getNodeGroup},                                    // eks/node_group_data_source.go
		"aws:ec2/getLaunchTemplate:getLaunchTemplate": {schema{"id": {required: true}}, getLaunchTemplate},                       // ec2/ec2_launch_template_data_source.go
		"aws:cloudwatch/getLogGroups:getLogGroups":    {schema{"logGroupNamePrefix": {}}, getLogGroups},                          // logs/groups_data_source.go
		"aws:cloudwatch/getLogGroup:getLogGroup":      {schema{"name": {required: true}, "tags": {computed: true}}, getLogGroup}, // logs/group_data_source.go
		"aws:sqs/getQueues:getQueues":                 {schema{"queueNamePrefix": {}}, getQueues},                                // sqs/queues_data_source.go
		"aws:sqs/getQueue:getQueue":                   {schema{"name": {required: true}, "tags": {computed: true}}, getQueue},    // sqs/queue_data_source.go
	}
}

// getSessionContext gives the role behind a session; IAM knows its path, which the
// session's ARN leaves out.
func getSessionContext(c *client, args props) (map[string]any, error) {
	arn := provider.String(args, "arn")
	out := map[string]any{"id": arn, "issuerArn": arn, "issuerId": "", "issuerName": "", "sessionName": ""}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[2] != "sts" || !strings.HasPrefix(parts[5], "assumed-role/") {
		return out, nil
	}
	names := strings.Split(parts[5], "/") // assumed-role, the role's, the session's
	if len(names) != 3 {
		return out, nil
	}
	role, err := send(c, "reading IAM Role ("+names[1]+")", "IAM", "GetRole", func() (account.Role, error) { return c.GetRole(names[1]) })
	if err != nil {
		return nil, err
	}
	out["issuerArn"], out["issuerId"], out["issuerName"], out["sessionName"] = role.ARN, role.ID, role.Name, names[2]
	return out, nil
}

// absent is Terraform's error of a data source that finds nothing.
func absent(doing string, err error) error {
	if gone(err) {
		return fmt.Errorf("%s: couldn't find resource", doing)
	}
	return err
}

func getAccessEntry(c *client, args props) (map[string]any, error) {
	cluster, principal := provider.String(args, "clusterName"), provider.String(args, "principalArn")
	doing := "reading EKS Access Entry (" + cluster + ":" + principal + ")"
	e, err := send(c, doing, "EKS", "DescribeAccessEntry", func() (account.AccessEntry, error) { return c.DescribeAccessEntry(cluster, principal) })
	if err != nil {
		return nil, absent(doing, err)
	}
	return map[string]any{
		"id": cluster + ":" + principal, "accessEntryArn": e.ARN, "createdAt": e.Created.Format(time.RFC3339), "modifiedAt": e.Modified.Format(time.RFC3339),
		"kubernetesGroups": append([]string{}, e.KubernetesGroups...), "type": e.Type, "userName": e.Username,
		"tags": map[string]string(e.Tags), "tagsAll": map[string]string(e.Tags),
	}, nil
}

func getAddon(c *client, args props) (map[string]any, error) {
	cluster, name := provider.String(args, "clusterName"), provider.String(args, "addonName")
	doing := "reading EKS Add-On (" + cluster + ":" + name + ")"
	d, err := send(c, doing, "EKS", "DescribeAddon", func() (account.Addon, error) { return c.DescribeAddon(cluster, name) })
	if err != nil {
		return nil, absent(doing, err)
	}
	return map[string]any{
		"id": cluster + ":" + name, "addonVersion": d.Version, "arn": d.ARN, "configurationValues": d.ConfigurationValues,
		"createdAt": d.Created.Format(time.RFC3339), "modifiedAt": d.Modified.Format(time.RFC3339), "podIdentityAssociations": []any{},
		"serviceAccountRoleArn": "", "tags": map[string]string(d.Tags),
	}, nil
}

func getNodeGroups(c *client, args props) (map[string]any, error) {
	cluster := provider.String(args, "clusterName")
	names, err := send(c, "listing EKS Node Groups", "EKS", "ListNodegroups", func() ([]string, error) { return c.ListNodegroups(cluster) })
	if err != nil {
		return nil, err
	}
	return map[string]any{"id": cluster, "names": append([]string{}, names...)}, nil
}

func getNodeGroup(c *client, args props) (map[string]any, error) {
	cluster, name := provider.String(args, "clusterName"), provider.String(args, "nodeGroupName")
	doing := "reading EKS Node Group (" + cluster + ":" + name + ")"
	n, err := send(c, doing, "EKS", "DescribeNodegroup", func() (account.Nodegroup, error) { return c.DescribeNodegroup(cluster, name) })
	if err != nil {
		return nil, absent(doing, err)
	}
	taints := []any{}
	for _, t := range n.Taints {
		taints = append(taints, map[string]any{"key": t.Key, "value": t.Value, "effect": t.Effect})
	}
	templates := []any{}
	if t := n.LaunchTemplate; t != nil {
		templates = append(templates, map[string]any{"id": t.ID, "name": t.Name, "version": t.Version})
	}
	labels := map[string]string{}
	maps.Copy(labels, n.Labels)
	return map[string]any{
		"id": cluster + ":" + name, "amiType": n.AMIType, "arn": n.ARN, "capacityType": n.CapacityType, "diskSize": n.DiskSize,
		"instanceTypes": append([]string{}, n.InstanceTypes...), "labels": labels, "launchTemplates": templates, "nodeRoleArn": n.NodeRoleARN,
		"releaseVersion": n.ReleaseVersion, "remoteAccesses": []any{},
		"resources":      []any{map[string]any{"autoscalingGroups": []any{map[string]any{"name": n.AutoScalingGroup}}, "remoteAccessSecurityGroupId": ""}},
		"scalingConfigs": []any{map[string]any{"minSize": n.Scaling.Min, "maxSize": n.Scaling.Max, "desiredSize": n.Scaling.Desired}},
		"status":         n.Status, "subnetIds": append([]string{}, n.SubnetIDs...), "tags": map[string]string(n.Tags), "taints": taints,
		"updateConfigs": []any{updateConfigProperty(n.Update)}, "version": n.Version,
	}, nil
}

// getLaunchTemplate answers with the latest version's security groups; what else a
// template says is left out.
func getLaunchTemplate(c *client, args props) (map[string]any, error) {
	id := provider.String(args, "id")
	doing := "reading EC2 Launch Template (" + id + ")"
	t, err := send(c, doing, "EC2", "DescribeLaunchTemplates", func() (account.LaunchTemplate, error) { return c.DescribeLaunchTemplate(id) })
	if err != nil {
		return nil, err
	}
	v, err := send(c, doing+" Version ($Latest)", "EC2", "DescribeLaunchTemplateVersions", func() (account.LaunchTemplateVersion, error) {
		return c.DescribeLaunchTemplateVersion(id, "$Latest")
	})
	if err != nil {
		return nil, err
	}
	interfaces := []any{}
	for _, n := range v.Data.NetworkInterfaces {
		interfaces = append(interfaces, map[string]any{"securityGroups": append([]string{}, n.SecurityGroupIDs...)})
	}
	return map[string]any{
		"id": id, "name": t.Name, "defaultVersion": t.DefaultVersion, "latestVersion": t.LatestVersion, "tags": map[string]string(t.Tags),
		"vpcSecurityGroupIds": append([]string{}, v.Data.SecurityGroupIDs...), "networkInterfaces": interfaces,
	}, nil
}

func getLogGroups(c *client, args props) (map[string]any, error) {
	groups, err := send(c, "listing CloudWatch Logs Log Groups", "CloudWatch Logs", "DescribeLogGroups", func() ([]account.LogGroup, error) {
		return c.DescribeLogGroups(provider.String(args, "logGroupNamePrefix")), nil
	})
	if err != nil {
		return nil, err
	}
	arns, names := []string{}, []string{}
	for _, g := range groups {
		arns, names = append(arns, g.ARN), append(names, g.Name)
	}
	return map[string]any{"id": c.Region(), "arns": arns, "logGroupNames": names}, nil
}

func getLogGroup(c *client, args props) (map[string]any, error) {
	name := provider.String(args, "name")
	doing := "reading CloudWatch Logs Log Group (" + name + ")"
	g, err := send(c, doing, "CloudWatch Logs", "DescribeLogGroups", func() (account.LogGroup, error) { return c.DescribeLogGroup(name) })
	if err != nil {
		return nil, absent(doing, err)
	}
	return map[string]any{
		"id": name, "name": name, "arn": g.ARN, "creationTime": g.Created.UnixMilli(), "kmsKeyId": "", "logGroupClass": g.Class,
		"retentionInDays": g.RetentionInDays, "tags": map[string]string(g.Tags),
	}, nil
}

func getQueues(c *client, args props) (map[string]any, error) {
	urls, err := send(c, "listing SQS Queues", "SQS", "ListQueues", func() ([]string, error) {
		return c.ListQueues(provider.String(args, "queueNamePrefix")), nil
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"id": c.Region(), "queueUrls": append([]string{}, urls...)}, nil
}

func getQueue(c *client, args props) (map[string]any, error) {
	name := provider.String(args, "name")
	url := "https://sqs." + c.Region() + ".amazonaws.com/" + account.ID + "/" + name
	q, err := send(c, "reading SQS Queue ("+name+")", "SQS", "GetQueueUrl", func() (account.Queue, error) { return c.GetQueue(url) })
	if err != nil {
		return nil, err
	}
	return map[string]any{"id": q.URL, "arn": q.ARN, "url": q.URL, "tags": map[string]string(q.Tags)}, nil
}
