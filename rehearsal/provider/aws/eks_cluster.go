package aws

import (
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// eksTag sets tags of anything EKS makes, by the ARN in an output.
func eksTag(arn string) func(*call, account.Tags, []string) error {
	return func(c *call, set account.Tags, remove []string) error {
		if len(remove) > 0 {
			if err := c.do("updating tags for EKS resource ("+c.was(arn)+")", "EKS", "UntagResource", func() error {
				return c.UntagEKSResource(c.was(arn), remove)
			}); err != nil {
				return err
			}
		}
		if len(set) == 0 {
			return nil
		}
		return c.do("updating tags for EKS resource ("+c.was(arn)+")", "EKS", "TagResource", func() error {
			return c.TagEKSResource(c.was(arn), set)
		})
	}
}

// eksClusterKinds are from internal/service/eks/cluster.go.
func eksClusterKinds() map[string]*kind {
	return map[string]*kind{"aws:eks/cluster:Cluster": {
		name: "name", maxName: 100, tagged: true,
		schema: schema{
			"name":    {},
			"version": {computed: true},
			"roleArn": {required: true},
			"vpcConfig": {required: true, fields: schema{
				"subnetIds":              {required: true},
				"securityGroupIds":       {},
				"endpointPrivateAccess":  {def: false},
				"endpointPublicAccess":   {def: true},
				"publicAccessCidrs":      {computed: true},
				"clusterSecurityGroupId": {output: true},
				"vpcId":                  {output: true},
			}},
			"enabledClusterLogTypes": {oneOf: account.LogTypes()},
			"accessConfig": {computed: true, fields: schema{
				"authenticationMode":                      {computed: true, oneOf: []string{account.AuthAPI, account.AuthAPIAndConfigMap, account.AuthConfigMap}},
				"bootstrapClusterCreatorAdminPermissions": {def: true},
			}},
			"kubernetesNetworkConfig": {computed: true, fields: schema{
				"ipFamily":             {computed: true, oneOf: []string{"ipv4", "ipv6"}},
				"serviceIpv4Cidr":      {computed: true},
				"serviceIpv6Cidr":      {output: true},
				"elasticLoadBalancing": {output: true},
			}},
			"encryptionConfig": {fields: schema{
				"provider":  {required: true, fields: schema{"keyArn": {required: true}}},
				"resources": {required: true, oneOf: []string{"secrets"}},
			}},
			"upgradePolicy":              {computed: true, fields: schema{"supportType": {computed: true, oneOf: []string{"EXTENDED", "STANDARD"}}}},
			"bootstrapSelfManagedAddons": {local: true, def: true},
			"defaultAddonsToRemoves":     {local: true},
			"forceUpdateVersion":         {local: true},
			"arn":                        {output: true},
			"certificateAuthorities":     {output: true},
			"certificateAuthority":       {output: true},
			"clusterId":                  {output: true},
			"createdAt":                  {output: true},
			"endpoint":                   {output: true},
			"identities":                 {output: true},
			"platformVersion":            {output: true},
			"status":                     {output: true},
		},
		replace: []string{
			"name", "roleArn", "accessConfig.bootstrapClusterCreatorAdminPermissions", "bootstrapSelfManagedAddons",
			"kubernetesNetworkConfig.ipFamily", "kubernetesNetworkConfig.serviceIpv4Cidr",
		},
		replaceIfRemoved: []string{"encryptionConfig"}, // CustomizeDiff
		sets:             []string{"vpcConfig.subnetIds", "vpcConfig.securityGroupIds", "vpcConfig.publicAccessCidrs", "enabledClusterLogTypes"},
		check:            checkCluster,
		create:           createCluster,
		read:             readCluster,
		update:           updateCluster,
		tag:              eksTag("arn"),
		destroy: func(c *call) error {
			return c.do("deleting EKS Cluster ("+c.id+")", "EKS", "DeleteCluster", func() error {
				return c.DeleteCluster(c.id)
			})
		},
	}}
}

func checkCluster(in props) []plugin.CheckFailure {
	if provider.String(in, "kubernetesNetworkConfig", "ipFamily") == "ipv6" {
		return []plugin.CheckFailure{{Property: "kubernetesNetworkConfig", Reason: "the rehearsal's clusters have IPv4 only: ipFamily ipv6 is not implemented"}}
	}
	return nil
}

func clusterVPC(in props) account.ClusterVPC {
	return account.ClusterVPC{
		SubnetIDs:             provider.Strings(in, "vpcConfig", "subnetIds"),
		SecurityGroupIDs:      provider.Strings(in, "vpcConfig", "securityGroupIds"),
		EndpointPublicAccess:  provider.Bool(in, "vpcConfig", "endpointPublicAccess"),
		EndpointPrivateAccess: provider.Bool(in, "vpcConfig", "endpointPrivateAccess"),
		PublicAccessCIDRs:     provider.Strings(in, "vpcConfig", "publicAccessCidrs"),
	}
}

func createCluster(c *call) (string, error) {
	admin := !provider.Has(c.in, "accessConfig", "bootstrapClusterCreatorAdminPermissions") ||
		provider.Bool(c.in, "accessConfig", "bootstrapClusterCreatorAdminPermissions")
	made, err := retryWhen(c, func() (account.Cluster, error) {
		return send(c, "creating EKS Cluster ("+c.str("name")+")", "EKS", "CreateCluster", func() (account.Cluster, error) {
			return c.CreateCluster(account.CreateClusterInput{
				Name: c.str("name"), Version: c.str("version"), RoleARN: c.str("roleArn"), VPC: clusterVPC(c.in),
				LogTypes:           provider.Strings(c.in, "enabledClusterLogTypes"),
				AuthenticationMode: c.str("accessConfig", "authenticationMode"), BootstrapAdmin: admin,
				SecretsKeyARN:   c.str("encryptionConfig", "provider", "keyArn"),
				ServiceIPv4CIDR: c.str("kubernetesNetworkConfig", "serviceIpv4Cidr"), SupportType: c.str("upgradePolicy", "supportType"),
				Tags: c.tags,
			})
		})
	}, invalidParameter("does not exist", "Error in role params", "Role could not be assumed because the trusted entity is not correct")) // cluster.go, resourceClusterCreate
	if err != nil {
		return "", err
	}
	return made.Name, nil
}

func readCluster(c *call) (props, account.Tags, error) {
	k, err := send(c, "reading EKS Cluster ("+c.id+")", "EKS", "DescribeCluster", func() (account.Cluster, error) {
		return c.DescribeCluster(c.id)
	})
	if err != nil {
		return nil, nil, err
	}
	out := clusterProperties(k)
	if k.SecretsKeyARN != "" { // the data source leaves it out
		out["encryptionConfig"] = map[string]any{"provider": map[string]any{"keyArn": k.SecretsKeyARN}, "resources": []string{"secrets"}}
	}
	return object(out), k.Tags, nil
}

func clusterProperties(k account.Cluster) map[string]any {
	ca := map[string]any{"data": k.CertificateAuthority}
	return map[string]any{
		"name": k.Name, "version": k.Version, "roleArn": k.RoleARN, "arn": k.ARN, "status": k.Status,
		"endpoint": k.Endpoint, "platformVersion": k.PlatformVersion, "createdAt": k.CreatedAt.Format(time.RFC3339),
		"certificateAuthority": ca, "certificateAuthorities": []any{ca},
		"identities":             []any{map[string]any{"oidcs": []any{map[string]any{"issuer": k.OIDCIssuer}}}},
		"enabledClusterLogTypes": k.LogTypes,
		"accessConfig": map[string]any{
			"authenticationMode": k.AuthenticationMode, "bootstrapClusterCreatorAdminPermissions": k.BootstrapAdmin,
		},
		"kubernetesNetworkConfig": map[string]any{
			"ipFamily": k.IPFamily, "serviceIpv4Cidr": k.ServiceIPv4CIDR, "serviceIpv6Cidr": "",
			"elasticLoadBalancing": map[string]any{"enabled": false},
		},
		"upgradePolicy": map[string]any{"supportType": k.SupportType},
		"vpcConfig": map[string]any{
			"vpcId": k.VPC.VPCID, "clusterSecurityGroupId": k.VPC.ClusterSecurityGroupID,
			"subnetIds": k.VPC.SubnetIDs, "securityGroupIds": k.VPC.SecurityGroupIDs,
			"endpointPublicAccess": k.VPC.EndpointPublicAccess, "endpointPrivateAccess": k.VPC.EndpointPrivateAccess,
			"publicAccessCidrs": k.VPC.PublicAccessCIDRs,
		},
	}
}

func updateCluster(c *call) error {
	steps := []struct {
		inputs    []string
		doing     string
		operation string
		do        func() error
	}{
		{[]string{"version"}, "version", "UpdateClusterVersion", func() error {
			if c.str("version") == "" || c.str("version") == c.was("version") {
				return nil
			}
			return c.UpdateClusterVersion(c.id, c.str("version"))
		}},
		{[]string{"accessConfig"}, "access configuration", "UpdateClusterConfig", func() error {
			mode := c.str("accessConfig", "authenticationMode")
			if mode == "" || mode == c.was("accessConfig", "authenticationMode") {
				return nil
			}
			return c.UpdateClusterAuthenticationMode(c.id, mode)
		}},
		{[]string{"encryptionConfig"}, "encryption config", "AssociateEncryptionConfig", func() error {
			if provider.Has(c.old, "encryptionConfig") {
				return nil // terraform-provider-aws takes another key, and does nothing
			}
			return c.AssociateEncryptionConfig(c.id, c.str("encryptionConfig", "provider", "keyArn"), provider.Strings(c.in, "encryptionConfig", "resources"))
		}},
		{[]string{"enabledClusterLogTypes"}, "logging", "UpdateClusterConfig", func() error {
			return c.UpdateClusterLogging(c.id, provider.Strings(c.in, "enabledClusterLogTypes"))
		}},
		{[]string{"upgradePolicy"}, "upgrade policy", "UpdateClusterConfig", func() error {
			if !provider.Has(c.in, "upgradePolicy", "supportType") {
				return nil
			}
			return c.UpdateClusterSupportType(c.id, c.str("upgradePolicy", "supportType"))
		}},
		{[]string{"vpcConfig"}, "VPC configuration", "UpdateClusterConfig", func() error {
			return c.UpdateClusterVPC(c.id, clusterVPC(c.in))
		}},
	}
	for _, s := range steps {
		if !c.changed(s.inputs...) {
			continue
		}
		if err := c.do("updating EKS Cluster ("+c.id+") "+s.doing, "EKS", s.operation, s.do); err != nil {
			return err
		}
	}
	return nil
}
