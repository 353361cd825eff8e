package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

func privateEndpoint() rule {
	return rule{
		name:  "private-endpoint",
		title: "Nodes reach the cluster's API inside the VPC, by its private endpoint.",
		mend:  "Set vpcConfig.endpointPrivateAccess to true (endpointPrivateAccess of the eks.Cluster component). AWS's default is false.",
		resource: byType(map[tokens.Type]func(resource.PropertyValue, *report){
			"aws:eks/cluster:Cluster": func(in resource.PropertyValue, r *report) {
				r.want(at(in, "vpcConfig", "endpointPrivateAccess"), "vpcConfig.endpointPrivateAccess", isTrue, "true")
			},
		}),
	}
}
