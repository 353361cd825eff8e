package aws

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// function is one look-up. Its answer comes back together with its arguments.
type function struct {
	args   schema
	answer func(c *client, args props) (map[string]any, error)
}

// functions are the look-ups by token; they are from the data sources of
// internal/service, named beside each.
func functions() map[string]function {
	all := map[string]function{
		"aws:index/getPartition:getPartition":                       {schema{"id": {}}, getPartition},                                         // meta/partition_data_source.go
		"aws:index/getCallerIdentity:getCallerIdentity":             {schema{"id": {}}, getCallerIdentity},                                    // sts/caller_identity_data_source.go
		"aws:index/getRegion:getRegion":                             {schema{"id": {}, "name": {}, "endpoint": {}}, getRegion},                // meta/region_data_source.go
		"aws:index/getAvailabilityZones:getAvailabilityZones":       {availabilityZonesArgs(), getAvailabilityZones},                          // ec2/ec2_availability_zones_data_source.go
		"aws:iam/getRoles:getRoles":                                 {schema{"nameRegex": {}, "pathPrefix": {def: ""}}, getRoles},             // iam/roles_data_source.go
		"aws:eks/getClusters:getClusters":                           {schema{}, getClusters},                                                  // eks/clusters_data_source.go
		"aws:eks/getCluster:getCluster":                             {schema{"name": {required: true}, "tags": {computed: true}}, getCluster}, // eks/cluster_data_source.go
		"aws:eks/getClusterVersions:getClusterVersions":             {clusterVersionsArgs(), getClusterVersions},                              // eks/cluster_versions_data_source.go
		"aws:eks/getAddonVersion:getAddonVersion":                   {addonVersionArgs(), getAddonVersion},                                    // eks/addon_version_data_source.go
		"aws:kms/getKey:getKey":                                     {schema{"keyId": {required: true}, "grantTokens": {}}, getKey},           // kms/key_data_source.go
		"aws:ec2/getInstanceType:getInstanceType":                   {schema{"instanceType": {required: true}}, getInstanceType},              // ec2/ec2_instance_type_data_source.go
		"aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": {instanceTypeOfferingsArgs(), getInstanceTypeOfferings},                  // ec2/ec2_instance_type_offerings_data_source.go
	}
	maps.Copy(all, networkFunctions())
	maps.Copy(all, existingFunctions())
	return all
}

// filtersField is the argument that narrows an EC2 look-up.
func filtersField() field {
	return field{fields: schema{"name": {required: true}, "values": {required: true}}}
}

// filters are the EC2 filters that the arguments ask for, tags among them.
func filters(args props) []account.Filter {
	var out []account.Filter
	for _, f := range provider.Objects(args, "filters") {
		out = append(out, account.Filter{Name: provider.String(f, "name"), Values: provider.Strings(f, "values")})
	}
	tags := provider.StringMap(args, "tags")
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, account.Filter{Name: "tag:" + k, Values: []string{tags[k]}})
	}
	return out
}

func getPartition(*client, props) (map[string]any, error) {
	return map[string]any{"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}, nil
}

func getCallerIdentity(c *client, _ props) (map[string]any, error) {
	who, err := send(c, "reading STS Caller Identity", "STS", "GetCallerIdentity", func() (account.Identity, error) {
		return c.GetCallerIdentity(), nil
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"id": who.Account, "accountId": who.Account, "arn": who.ARN, "userId": who.UserID}, nil
}

// getRegion knows every region's name, and what it is called. Terraform's words
// are those for a name that is none.
func getRegion(c *client, args props) (map[string]any, error) {
	name := provider.String(args, "name")
	if name == "" {
		name = c.Region()
	}
	description, ok := regionNames()[name]
	if !ok {
		return nil, fmt.Errorf("region not found for name %q", name)
	}
	return map[string]any{"id": name, "name": name, "description": description, "endpoint": "ec2." + name + ".amazonaws.com"}, nil
}

func availabilityZonesArgs() schema {
	return schema{
		"allAvailabilityZones": {}, "excludeNames": {}, "excludeZoneIds": {}, "filters": filtersField(),
		"state": {oneOf: []string{"available", "information", "impaired", "unavailable", "constrained"}},
	}
}

func getAvailabilityZones(c *client, args props) (map[string]any, error) {
	wanted := filters(args)
	if state := provider.String(args, "state"); state != "" {
		wanted = append(wanted, account.Filter{Name: "state", Values: []string{state}})
	}
	zones, err := send(c, "fetching Availability Zones", "EC2", "DescribeAvailabilityZones", func() ([]account.AvailabilityZone, error) {
		return c.DescribeAvailabilityZones(wanted...)
	})
	if err != nil {
		return nil, err
	}
	names, ids, groups := []string{}, []string{}, []string{}
	for _, z := range zones {
		if slices.Contains(provider.Strings(args, "excludeNames"), z.Name) || slices.Contains(provider.Strings(args, "excludeZoneIds"), z.ID) {
			continue
		}
		names, ids = append(names, z.Name), append(ids, z.ID)
		if !slices.Contains(groups, z.GroupName) {
			groups = append(groups, z.GroupName)
		}
	}
	return map[string]any{"id": c.Region(), "names": names, "zoneIds": ids, "groupNames": groups}, nil
}

func getRoles(c *client, args props) (map[string]any, error) {
	match, err := regexp.Compile(provider.String(args, "nameRegex"))
	if err != nil {
		return nil, fmt.Errorf("name_regex: %w", err)
	}
	roles, err := send(c, "reading IAM Roles", "IAM", "ListRoles", func() ([]account.Role, error) {
		return c.ListRoles(provider.String(args, "pathPrefix")), nil
	})
	if err != nil {
		return nil, err
	}
	names, arns := []string{}, []string{}
	for _, r := range roles {
		if match.MatchString(r.Name) {
			names, arns = append(names, r.Name), append(arns, r.ARN)
		}
	}
	return map[string]any{"id": c.Region(), "names": names, "arns": arns}, nil
}

func getClusters(c *client, _ props) (map[string]any, error) {
	names, err := send(c, "listing EKS Clusters", "EKS", "ListClusters", func() ([]string, error) {
		return append([]string{}, c.ListClusters()...), nil
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"id": c.Region(), "names": names}, nil
}

func getCluster(c *client, args props) (map[string]any, error) {
	name := provider.String(args, "name")
	k, err := send(c, "reading EKS Cluster ("+name+")", "EKS", "DescribeCluster", func() (account.Cluster, error) {
		return c.DescribeCluster(name)
	})
	if gone(err) {
		return nil, fmt.Errorf("reading EKS Cluster (%s): couldn't find resource", name)
	}
	if err != nil {
		return nil, err
	}
	out := clusterProperties(k)
	for one, many := range map[string]string{
		"accessConfig": "accessConfigs", "kubernetesNetworkConfig": "kubernetesNetworkConfigs", "upgradePolicy": "upgradePolicies",
	} {
		out[many] = []any{out[one]}
		delete(out, one)
	}
	delete(out, "certificateAuthority")
	for _, none := range []string{"computeConfigs", "outpostConfigs", "remoteNetworkConfigs", "storageConfigs", "zonalShiftConfigs"} {
		out[none] = []any{}
	}
	out["id"], out["clusterId"], out["tags"] = k.Name, "", map[string]string(k.Tags)
	return out, nil
}

func clusterVersionsArgs() schema {
	return schema{
		"clusterType": {}, "clusterVersionsOnlies": {}, "defaultOnly": {}, "includeAll": {},
		"versionStatus": {oneOf: []string{account.Unsupported, account.StandardSupport, account.ExtendedSupport}},
	}
}

func getClusterVersions(c *client, args props) (map[string]any, error) {
	// A wanted version or status is looked for among all of them.
	only, status := provider.Strings(args, "clusterVersionsOnlies"), provider.String(args, "versionStatus")
	all, err := send(c, "reading EKS Cluster Versions", "EKS", "DescribeClusterVersions", func() ([]account.ClusterVersion, error) {
		return c.DescribeClusterVersions(provider.Bool(args, "includeAll") || len(only) > 0 || status != "")
	})
	if err != nil {
		return nil, err
	}
	const day = "2006-01-02T15:04:05Z"
	list := []any{}
	for _, v := range all {
		if provider.Bool(args, "defaultOnly") && !v.Default || len(only) > 0 && !slices.Contains(only, v.Version) || status != "" && status != v.Status {
			continue
		}
		list = append(list, map[string]any{
			"clusterType": "eks", "clusterVersion": v.Version, "defaultPlatformVersion": v.PlatformVersion, "defaultVersion": v.Default,
			"endOfStandardSupportDate": v.StandardUntil.Format(day), "endOfExtendedSupportDate": v.ExtendedUntil.Format(day),
			"kubernetesPatchVersion": v.Patch, "releaseDate": v.Released.Format(day), "versionStatus": v.Status,
		})
	}
	return map[string]any{"id": c.Region(), "clusterVersions": list}, nil
}

// regionNames are the regions as AWS calls them ("AWS Regions" in AWS Regions
// and Availability Zones; the words of the SDKs' partitions.json).
func regionNames() map[string]string {
	return map[string]string{
		"af-south-1":     "Africa (Cape Town)",
		"ap-east-1":      "Asia Pacific (Hong Kong)",
		"ap-northeast-1": "Asia Pacific (Tokyo)",
		"ap-northeast-2": "Asia Pacific (Seoul)",
		"ap-northeast-3": "Asia Pacific (Osaka)",
		"ap-south-1":     "Asia Pacific (Mumbai)",
		"ap-south-2":     "Asia Pacific (Hyderabad)",
		"ap-southeast-1": "Asia Pacific (Singapore)",
		"ap-southeast-2": "Asia Pacific (Sydney)",
		"ap-southeast-3": "Asia Pacific (Jakarta)",
		"ap-southeast-4": "Asia Pacific (Melbourne)",
		"ap-southeast-5": "Asia Pacific (Malaysia)",
		"ap-southeast-7": "Asia Pacific (Thailand)",
		"ca-central-1":   "Canada (Central)",
		"ca-west-1":      "Canada West (Calgary)",
		"eu-central-1":   "Europe (Frankfurt)",
		"eu-central-2":   "Europe (Zurich)",
		"eu-north-1":     "Europe (Stockholm)",
		"eu-south-1":     "Europe (Milan)",
		"eu-south-2":     "Europe (Spain)",
		"eu-west-1":      "Europe (Ireland)",
		"eu-west-2":      "Europe (London)",
		"eu-west-3":      "Europe (Paris)",
		"il-central-1":   "Israel (Tel Aviv)",
		"me-central-1":   "Middle East (UAE)",
		"me-south-1":     "Middle East (Bahrain)",
		"mx-central-1":   "Mexico (Central)",
		"sa-east-1":      "South America (Sao Paulo)",
		"us-east-1":      "US East (N. Virginia)",
		"us-east-2":      "US East (Ohio)",
		"us-west-1":      "US West (N. California)",
		"us-west-2":      "US West (Oregon)",
	}
}
