package aws_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

const (
	getVpc       = "aws:ec2/getVpc:getVpc"
	getSubnet    = "aws:ec2/getSubnet:getSubnet"
	getSubnets   = "aws:ec2/getSubnets:getSubnets"
	getVersions  = "aws:eks/getClusterVersions:getClusterVersions"
	getOfferings = "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings"
)

// list is a list of texts in an answer.
func list(t *testing.T, answer map[string]any, key string) []string {
	t.Helper()
	values, ok := answer[key].([]any)
	if !ok {
		t.Fatalf("%s is %v, want a list", key, answer[key])
	}
	var out []string
	for _, v := range values {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

func versions(t *testing.T, answer map[string]any) []string {
	t.Helper()
	values, ok := answer["clusterVersions"].([]any)
	if !ok {
		t.Fatalf("clusterVersions is %v, want a list", answer["clusterVersions"])
	}
	var out []string
	for _, v := range values {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("%v, want an object", v)
		}
		out = append(out, fmt.Sprint(m["clusterVersion"], " ", m["versionStatus"]))
	}
	return out
}

// TestLookUpsOfEveryWorld asks each world what the program asks.
func TestLookUpsOfEveryWorld(t *testing.T) {
	t.Parallel()
	type seen struct {
		VPC      string // the error, or "" where there is one
		VPCs     int
		ZoneIDs  []string // of the subnets
		Versions []string
		GPU      []string // where g4dn.xlarge is offered
		Spot     []string
	}
	plain := seen{
		VPCs: 1, ZoneIDs: []string{"usw1-az1", "usw1-az3"},
		Versions: []string{
			"1.36 STANDARD_SUPPORT", "1.35 STANDARD_SUPPORT", "1.34 STANDARD_SUPPORT",
			"1.33 EXTENDED_SUPPORT", "1.32 EXTENDED_SUPPORT", "1.31 EXTENDED_SUPPORT", "1.28 EXTENDED_SUPPORT",
		},
		GPU:  []string{"us-west-1a", "us-west-1b"},
		Spot: []string{"AWSServiceRoleForEC2Spot"},
	}
	with := func(change func(*seen)) seen { s := plain; change(&s); return s }
	want := map[string]seen{
		"plain": plain,
		"no-default-vpc": with(func(s *seen) {
			s.VPC, s.VPCs, s.ZoneIDs = "invoking aws:ec2/getVpc:getVpc: 1 error occurred:\n\t* no matching EC2 VPC found\n\n", 0, nil
		}),
		"one-zone":     with(func(s *seen) { s.ZoneIDs = s.ZoneIDs[:1] }),
		"refused-zone": with(func(s *seen) { s.ZoneIDs = []string{"usw1-az1", "usw1-az3", "usw1-az2"} }),
		"no-1.28":      with(func(s *seen) { s.Versions = s.Versions[:6] }),
		"no-g4dn":      with(func(s *seen) { s.GPU = nil }),
		"no-spot-role": with(func(s *seen) { s.Spot = nil }),
		"own-1.30":     plain, // where a cluster of the stack's stands, and nothing else is changed
	}
	for _, w := range account.Worlds() {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			s := open(t, "us-west-1", w.Name, nil)
			var got seen
			if _, err := s.invoke(getVpc, map[string]any{"default": true}); err != nil {
				got.VPC = err.Error()
			}
			isDefault := map[string]any{"filters": []any{map[string]any{"name": "is-default", "values": []any{"true"}}}}
			vpcs := list(t, s.answer("aws:ec2/getVpcs:getVpcs", isDefault), "ids")
			got.VPCs = len(vpcs)
			for _, id := range list(t, s.answer(getSubnets, map[string]any{}), "ids") {
				got.ZoneIDs = append(got.ZoneIDs, fmt.Sprint(s.answer(getSubnet, map[string]any{"id": id})["availabilityZoneId"]))
			}
			got.Versions = versions(t, s.answer(getVersions, map[string]any{}))
			got.GPU = list(t, s.answer(getOfferings, map[string]any{
				"locationType": "availability-zone", "filters": []any{map[string]any{"name": "instance-type", "values": []any{"g4dn.xlarge"}}},
			}), "locations")
			got.Spot = list(t, s.answer("aws:iam/getRoles:getRoles", map[string]any{"pathPrefix": "/aws-service-role/spot.amazonaws.com/"}), "names")
			expected, tested := want[w.Name]
			if strings.HasPrefix(w.Name, "existing-") { // their clusters do not stand yet
				expected, tested = plain, true
			}
			if d := cmp.Diff(expected, got); !tested || d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	tests := map[string]struct {
		args, want map[string]any
	}{
		"aws:index/getPartition:getPartition": {
			nil, map[string]any{"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"},
		},
		"aws:index/getCallerIdentity:getCallerIdentity": {
			nil, map[string]any{"id": account.ID, "accountId": account.ID, "arn": account.CallerARN, "userId": s.account.GetCallerIdentity().UserID},
		},
		"aws:index/getRegion:getRegion": {
			nil, map[string]any{"id": "us-west-2", "name": "us-west-2", "description": "US West (Oregon)", "endpoint": "ec2.us-west-2.amazonaws.com"},
		},
		"aws:index/getAvailabilityZones:getAvailabilityZones": {
			map[string]any{"state": "available", "excludeNames": []any{"us-west-2d"}, "filters": []any{map[string]any{"name": "zone-type", "values": []any{"availability-zone"}}}},
			map[string]any{
				"id": "us-west-2", "names": []any{"us-west-2a", "us-west-2b", "us-west-2c"}, "zoneIds": []any{"usw2-az2", "usw2-az1", "usw2-az3"},
				"groupNames": []any{"us-west-2-zg-1"},
			},
		},
		"aws:eks/getClusters:getClusters": {nil, map[string]any{"id": "us-west-2", "names": []any{}}},
		getOfferings: {
			map[string]any{"filters": []any{map[string]any{"name": "instance-type", "values": []any{"g4dn.xlarge", "m7g.large"}}}},
			map[string]any{
				"id": "us-west-2", "instanceTypes": []any{"g4dn.xlarge", "m7g.large"}, "locations": []any{"us-west-2", "us-west-2"},
				"locationTypes": []any{"region", "region"}, "locationType": "region",
			},
		},
	}
	for token, tc := range tests {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			want := map[string]any{}
			maps.Copy(want, tc.args)
			maps.Copy(want, tc.want)
			if d := cmp.Diff(want, s.answer(token, tc.args)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestGetInstanceType(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	got := s.answer("aws:ec2/getInstanceType:getInstanceType", map[string]any{"instanceType": "g4dn.xlarge"})
	for k, want := range map[string]any{
		"defaultVcpus": 4.0, "memorySize": 16384.0, "maximumNetworkInterfaces": 3.0, "maximumIpv4AddressesPerInterface": 10.0,
		"supportedArchitectures": []any{"x86_64"}, "totalGpuMemory": 16384.0, "hypervisor": "nitro", "currentGeneration": true,
		"gpuses":                 []any{map[string]any{"name": "T4", "manufacturer": "NVIDIA", "count": 1.0, "memorySize": 16384.0}},
		"supportedUsagesClasses": []any{"on-demand", "spot"},
	} {
		if d := cmp.Diff(want, got[k]); d != "" {
			t.Errorf("%s (-want +got):\n%s", k, d)
		}
	}
	_, err := s.invoke("aws:ec2/getInstanceType:getInstanceType", map[string]any{"instanceType": "g4dn.tiny"})
	if err == nil || !strings.Contains(err.Error(), "reading EC2 Instance Type (g4dn.tiny): operation error EC2: DescribeInstanceTypes, https response error StatusCode: 400, RequestID: ") ||
		!strings.Contains(err.Error(), ", api error InvalidInstanceType: The following supplied instance types do not exist: [g4dn.tiny]") {
		t.Errorf("an instance type that does not exist: %v", err)
	}
}

func TestGetCluster(t *testing.T) {
	t.Parallel()
	s, c := withCluster(t)
	got := s.answer("aws:eks/getCluster:getCluster", map[string]any{"name": "c"})
	for k, want := range map[string]any{
		"id": "c", "version": "1.28", "status": "ACTIVE", "endpoint": c.str("endpoint"),
		"accessConfigs":   []any{map[string]any{"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": true}},
		"upgradePolicies": []any{map[string]any{"supportType": "EXTENDED"}},
		"vpcConfig":       c.out["vpcConfig"].Mappable(), "computeConfigs": []any{},
	} {
		if d := cmp.Diff(want, got[k]); d != "" {
			t.Errorf("%s (-want +got):\n%s", k, d)
		}
	}
	_, err := s.invoke("aws:eks/getCluster:getCluster", map[string]any{"name": "d"})
	if err == nil || !strings.Contains(err.Error(), "reading EKS Cluster (d): couldn't find resource") {
		t.Errorf("a cluster that is not there: %v", err)
	}
	if names := list(t, s.answer("aws:eks/getClusters:getClusters", nil), "names"); !slices.Equal(names, []string{"c"}) {
		t.Errorf("clusters %v", names)
	}
}

func TestGetClusterVersionsNarrows(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	for name, tc := range map[string]struct {
		args map[string]any
		want []string
	}{
		"by status":   {map[string]any{"versionStatus": "STANDARD_SUPPORT"}, []string{"1.36 STANDARD_SUPPORT", "1.35 STANDARD_SUPPORT", "1.34 STANDARD_SUPPORT"}},
		"of the past": {map[string]any{"versionStatus": "UNSUPPORTED"}, []string{"1.30 UNSUPPORTED", "1.29 UNSUPPORTED"}},
		"the default": {map[string]any{"defaultOnly": true}, []string{"1.35 STANDARD_SUPPORT"}},
		"by version":  {map[string]any{"clusterVersionsOnlies": []any{"1.28", "1.29"}}, []string{"1.29 UNSUPPORTED", "1.28 EXTENDED_SUPPORT"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(tc.want, versions(t, s.answer(getVersions, tc.args))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestSingularLookUpsWantOne(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	_, err := s.invoke(getSubnet, map[string]any{"defaultForAz": true})
	if want := "multiple EC2 Subnets matched; use additional constraints to reduce matches to a single EC2 Subnet"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = s.invoke(getSubnet, map[string]any{"id": "subnet-1"})
	if err == nil || !strings.Contains(err.Error(), "no matching EC2 Subnet found") {
		t.Errorf("got %v", err)
	}
	zone := s.answer(getSubnet, map[string]any{"availabilityZoneId": "usw2-az1"})
	if zone["availabilityZone"] != "us-west-2b" || zone["mapPublicIpOnLaunch"] != true || zone["defaultForAz"] != true {
		t.Errorf("subnet = %v", zone)
	}
	if vpc := s.answer(getVpc, map[string]any{"default": true}); vpc["cidrBlock"] != "172.31.0.0/16" || vpc["id"] != zone["vpcId"] {
		t.Errorf("VPC = %v", vpc)
	}
}
