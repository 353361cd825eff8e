package aws_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// TestLookUpsOfACluster asks what the program asks of a cluster that others made.
func TestLookUpsOfACluster(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "existing-karpenter", nil)
	if _, err := s.account.Stand(); err != nil {
		t.Fatal(err)
	}
	const nodes = "arn:aws:iam::111122223333:role/KarpenterNodeRole-platform"
	group, err := s.account.CreateLogGroup("/aws/eks/platform/cluster", "", account.Tags{"team": "platform"})
	if err != nil {
		t.Fatal(err)
	}
	template, err := s.account.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: "general", Data: account.LaunchTemplateData{
		NetworkInterfaces: []account.NetworkInterfaceSpec{{SecurityGroupIDs: []string{"sg-1"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		token string
		args  map[string]any
		want  map[string]any
	}{
		{"aws:iam/getSessionContext:getSessionContext", map[string]any{"arn": account.CallerARN}, map[string]any{"issuerArn": account.CallerARN, "sessionName": ""}},
		{"aws:iam/getSessionContext:getSessionContext", map[string]any{"arn": "arn:aws:sts::111122223333:assumed-role/KarpenterNodeRole-platform/me"},
			map[string]any{"issuerArn": nodes, "issuerName": "KarpenterNodeRole-platform", "sessionName": "me"}},
		{"aws:eks/getAccessEntry:getAccessEntry", map[string]any{"clusterName": "platform", "principalArn": nodes},
			map[string]any{"id": "platform:" + nodes, "type": "EC2_LINUX", "kubernetesGroups": []any{"system:nodes"}, "tags": map[string]any{}}},
		{"aws:eks/getAddon:getAddon", map[string]any{"clusterName": "platform", "addonName": "eks-pod-identity-agent"},
			map[string]any{"id": "platform:eks-pod-identity-agent", "tags": map[string]any{}}},
		{"aws:eks/getNodeGroups:getNodeGroups", map[string]any{"clusterName": "platform"}, map[string]any{"names": []any{"general"}}},
		{"aws:eks/getNodeGroup:getNodeGroup", map[string]any{"clusterName": "platform", "nodeGroupName": "general"},
			map[string]any{"status": "ACTIVE", "scalingConfigs": []any{map[string]any{"minSize": 2.0, "maxSize": 4.0, "desiredSize": 2.0}}, "labels": map[string]any{"team": "platform"}}},
		{"aws:sqs/getQueues:getQueues", map[string]any{"queueNamePrefix": "plat"}, map[string]any{"queueUrls": []any{"https://sqs.us-west-2.amazonaws.com/111122223333/platform"}}},
		{"aws:sqs/getQueues:getQueues", map[string]any{"queueNamePrefix": "x"}, map[string]any{"queueUrls": []any{}}},
		{"aws:sqs/getQueue:getQueue", map[string]any{"name": "platform"}, map[string]any{"arn": "arn:aws:sqs:us-west-2:111122223333:platform", "tags": map[string]any{}}},
		{"aws:cloudwatch/getLogGroups:getLogGroups", map[string]any{"logGroupNamePrefix": "/aws/eks/plat"}, map[string]any{"logGroupNames": []any{group.Name}, "arns": []any{group.ARN}}},
		{"aws:cloudwatch/getLogGroups:getLogGroups", map[string]any{"logGroupNamePrefix": "x"}, map[string]any{"logGroupNames": []any{}}},
		{"aws:cloudwatch/getLogGroup:getLogGroup", map[string]any{"name": group.Name}, map[string]any{"retentionInDays": 0.0, "tags": map[string]any{"team": "platform"}}},
		{"aws:ec2/getLaunchTemplate:getLaunchTemplate", map[string]any{"id": template.ID},
			map[string]any{"name": "general", "vpcSecurityGroupIds": []any{}, "networkInterfaces": []any{map[string]any{"securityGroups": []any{"sg-1"}}}}},
	} {
		got := s.answer(c.token, c.args)
		for key, want := range c.want {
			if d := cmp.Diff(want, got[key]); d != "" {
				t.Errorf("%s %v: %s (-want +got):\n%s", c.token, c.args, key, d)
			}
		}
	}
	for token, args := range map[string]map[string]any{
		"aws:cloudwatch/getLogGroup:getLogGroup": {"name": "none"},
		"aws:eks/getAccessEntry:getAccessEntry":  {"clusterName": "platform", "principalArn": "arn:aws:iam::111122223333:role/none"},
		"aws:eks/getAddon:getAddon":              {"clusterName": "platform", "addonName": "none"},
		"aws:eks/getNodeGroup:getNodeGroup":      {"clusterName": "platform", "nodeGroupName": "none"},
	} {
		if _, err := s.invoke(token, args); err == nil || !strings.Contains(err.Error(), ": couldn't find resource") {
			t.Errorf("%s of what is not there: %v", token, err)
		}
	}
}
