package karpenter

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// spotService is the service whose role in the account lets EC2 start spot
// instances (EC2 user guide, "Service-linked role for Spot Instance requests").
const spotService = "spot.amazonaws.com"

// WarnSpotRole warns in the preview when the account has no
// AWSServiceRoleForEC2Spot: without it every spot launch fails. It is a warning
// because on-demand capacity still works.
func WarnSpotRole(ctx *pulumi.Context, s *settings.Settings, opts ...pulumi.InvokeOption) error {
	if s.CreateSpotRole {
		return nil
	}
	roles, err := iam.GetRoles(ctx, &iam.GetRolesArgs{PathPrefix: new("/aws-service-role/" + spotService + "/")}, opts...)
	if err != nil {
		return fmt.Errorf("service-linked role for spot instances: %w", err)
	}
	if len(roles.Names) > 0 {
		return nil
	}
	mend := settings.Set("createSpotRole", "true")
	if !s.InstallKarpenter {
		mend = "aws iam create-service-linked-role --aws-service-name " + spotService
	}
	return ctx.Log.Warn("the account has no AWSServiceRoleForEC2Spot, so no spot instance can start and nodes will be on-demand; mend: "+mend, nil)
}

// addSpotRole creates the role when the settings ask for it. It is one of a
// kind in the account, so a destroy keeps it. Karpenter waits for it.
func addSpotRole(ctx *pulumi.Context, name string, s *settings.Settings, opts ...pulumi.ResourceOption) ([]pulumi.Resource, error) {
	if !s.CreateSpotRole {
		return nil, nil
	}
	role, err := iam.NewServiceLinkedRole(ctx, name+"-spot", &iam.ServiceLinkedRoleArgs{
		AwsServiceName: pulumi.String(spotService),
	}, append(opts, pulumi.RetainOnDelete(true))...)
	if err != nil {
		return nil, fmt.Errorf("service-linked role for spot instances: %w", err)
	}
	return []pulumi.Resource{role}, nil
}
