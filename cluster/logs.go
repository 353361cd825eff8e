package cluster

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// logGroup is where EKS writes the control plane's logs.
func logGroup(s *settings.Settings) string { return "/aws/eks/" + s.ClusterName + "/cluster" }

// CheckLogs looks whether the log group of a cluster that is to be made is there
// already. EKS makes it again for lines that come after a cluster's end, as many users of
// terraform-aws-eks find (its issues 2763 and 2446), and the up would stop at it. It
// returns settings.Problems for one that is not the stack's.
func CheckLogs(ctx *pulumi.Context, s *settings.Settings, standing *eks.LookupClusterResult, opts ...pulumi.InvokeOption) error {
	if s.ClusterName == "" || standing != nil {
		return nil
	}
	name := logGroup(s)
	groups, err := cloudwatch.GetLogGroups(ctx, &cloudwatch.GetLogGroupsArgs{LogGroupNamePrefix: &name}, opts...)
	if err != nil {
		return fmt.Errorf("log groups named %s: %w", name, err)
	}
	if !slices.Contains(groups.LogGroupNames, name) {
		return nil
	}
	group, err := cloudwatch.LookupLogGroup(ctx, &cloudwatch.LookupLogGroupArgs{Name: name}, opts...)
	if err != nil {
		return fmt.Errorf("log group %s: %w", name, err)
	}
	if group.Tags[settings.ClusterTag] == s.ClusterName {
		return nil
	}
	var problems settings.Problems
	problems.Add("the log group of the cluster", name, "a name that no log group has yet: there is one without the tag "+settings.ClusterTag+"="+s.ClusterName+
		", such as EKS leaves for the last lines of a cluster that was destroyed",
		fmt.Sprintf("aws logs delete-log-group --region %s --log-group-name %s, if nobody needs what is in it", s.Region, name))
	return problems
}
