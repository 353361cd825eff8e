package wire

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	pricingtypes "github.com/aws/aws-sdk-go-v2/service/pricing/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// TestInstanceTypes: all types of the region come through page by page, and the SDK reads in them
// what the catalogue says.
func TestInstanceTypes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := clientsOf(w.admin())
	_, err := c.ec2.DescribeInstanceTypes(t.Context(), &ec2.DescribeInstanceTypesInput{Filters: []ec2types.Filter{{Name: aws.String("colour"), Values: []string{"red"}}}})
	wantCode(t, err, "InvalidParameterValue", http.StatusBadRequest, "The filter 'colour' is invalid")
	_, err = c.ec2.DescribeInstanceTypes(t.Context(), &ec2.DescribeInstanceTypesInput{InstanceTypes: []ec2types.InstanceType{"g9.mega"}})
	wantCode(t, err, "InvalidInstanceType", http.StatusBadRequest, "[g9.mega]")

	byName := map[string]ec2types.InstanceTypeInfo{}
	pages := ec2.NewDescribeInstanceTypesPaginator(c.ec2, &ec2.DescribeInstanceTypesInput{
		MaxResults: aws.Int32(100),
		Filters: []ec2types.Filter{
			{Name: aws.String("supported-virtualization-type"), Values: []string{"hvm"}},
			{Name: aws.String("processor-info.supported-architecture"), Values: []string{"x86_64", "arm64"}},
		},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		w.ok(err)
		if len(page.InstanceTypes) > 100 {
			t.Errorf("a page of %d", len(page.InstanceTypes))
		}
		for _, i := range page.InstanceTypes {
			byName[string(i.InstanceType)] = i
		}
	}
	all, err := w.account.DescribeInstanceTypes(nil)
	w.ok(err)
	if len(byName) != len(all) || len(all) < 400 {
		t.Fatalf("%d types over the wire, %d in the account", len(byName), len(all))
	}
	for _, want := range all {
		got := byName[want.Name]
		type facts struct {
			vcpus, ipv4, interfaces, cards, gpus, gpuMiB, neurons int
			mib, disks                                            int64
			arch, maker, hypervisor, ena                          string
			metal, spot, encrypted                                bool
		}
		var w, g facts
		w = facts{
			vcpus: want.VCPUs, ipv4: want.Network.IPv4PerInterface, interfaces: want.Network.Interfaces(), cards: len(want.Network.Cards), mib: want.MemoryMiB,
			arch: strings.Join(want.Architectures, " "), maker: want.CPUManufacturer, hypervisor: want.Hypervisor, ena: want.Network.ENA,
			metal: want.BareMetal, spot: contains(want.UsageClasses, "spot"), encrypted: want.Network.EncryptionInTransit,
		}
		g = facts{
			vcpus: int(*got.VCpuInfo.DefaultVCpus), ipv4: int(*got.NetworkInfo.Ipv4AddressesPerInterface), interfaces: int(*got.NetworkInfo.MaximumNetworkInterfaces),
			cards: len(got.NetworkInfo.NetworkCards), mib: *got.MemoryInfo.SizeInMiB, maker: *got.ProcessorInfo.Manufacturer, hypervisor: string(got.Hypervisor),
			ena: string(got.NetworkInfo.EnaSupport), metal: *got.BareMetal, encrypted: *got.NetworkInfo.EncryptionInTransitSupported,
		}
		var arch []string
		for _, a := range got.ProcessorInfo.SupportedArchitectures {
			arch = append(arch, string(a))
		}
		g.arch = strings.Join(arch, " ")
		for _, u := range got.SupportedUsageClasses {
			g.spot = g.spot || u == "spot"
		}
		if d := want.Disks; d != nil {
			w.disks = d.SizeGB * int64(d.Count)
		}
		if got.InstanceStorageInfo != nil {
			g.disks = *got.InstanceStorageInfo.TotalSizeInGB
		}
		for _, x := range want.GPUs {
			w.gpus, w.gpuMiB = w.gpus+x.Count, w.gpuMiB+x.Count*x.MemoryMiB
		}
		if got.GpuInfo != nil {
			g.gpuMiB = int(*got.GpuInfo.TotalGpuMemoryInMiB)
			for _, x := range got.GpuInfo.Gpus {
				g.gpus += int(*x.Count)
			}
		}
		for _, x := range want.NeuronDevices {
			w.neurons += x.Count
		}
		if got.NeuronInfo != nil {
			for _, x := range got.NeuronInfo.NeuronDevices {
				g.neurons += int(*x.Count)
			}
		}
		if w != g {
			t.Errorf("%s over the wire: %+v, want %+v", want.Name, g, w)
		}
	}
	if g := byName["g4dn.xlarge"].GpuInfo.Gpus[0]; *g.Name != "T4" || *g.Manufacturer != "NVIDIA" || *g.MemoryInfo.SizeInMiB < 15000 {
		t.Errorf("g4dn.xlarge has %+v", g)
	}
	if *byName["g4dn.xlarge"].EbsInfo.EbsOptimizedInfo.MaximumBandwidthInMbps == 0 {
		t.Error("g4dn.xlarge has no bandwidth to EBS")
	}
}

// TestPlaces: zones, subnets, groups, offerings and prices.
func TestPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := clientsOf(w.admin())
	ctx := t.Context()
	_, err := c.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{"subnet-0"}})
	wantCode(t, err, "InvalidSubnetID.NotFound", http.StatusBadRequest, "The subnet ID 'subnet-0' does not exist")
	_, err = c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{"sg-0"}})
	wantCode(t, err, "InvalidGroup.NotFound", http.StatusBadRequest, "The security group 'sg-0' does not exist")

	subnets, err := c.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []ec2types.Filter{{Name: aws.String("subnet-id"), Values: []string{w.subnets[1].ID}}}})
	w.ok(err)
	if s := subnets.Subnets; len(s) != 1 || *s[0].AvailabilityZone != w.subnets[1].AvailabilityZone || *s[0].AvailabilityZoneId != w.subnets[1].AvailabilityZoneID || *s[0].AvailableIpAddressCount != 4091 || *s[0].VpcId != w.subnets[1].VPCID {
		t.Errorf("subnets %+v", s)
	}
	groups, err := c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{w.group}})
	w.ok(err)
	g := groups.SecurityGroups[0]
	if *g.GroupId != w.group || len(g.IpPermissions) != 1 || *g.IpPermissions[0].UserIdGroupPairs[0].GroupId != w.group || *g.IpPermissionsEgress[0].IpRanges[0].CidrIp != "0.0.0.0/0" {
		t.Errorf("group %+v", g)
	}
	zones, err := c.ec2.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{})
	w.ok(err)
	vpcs, err := c.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	w.ok(err)
	if len(zones.AvailabilityZones) != len(w.subnets) || len(vpcs.Vpcs) != 1 || !*vpcs.Vpcs[0].IsDefault {
		t.Errorf("%d zones, VPCs %+v", len(zones.AvailabilityZones), vpcs.Vpcs)
	}
	offered, err := c.ec2.DescribeInstanceTypeOfferings(ctx, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: ec2types.LocationTypeAvailabilityZone, Filters: []ec2types.Filter{{Name: aws.String("instance-type"), Values: []string{"g4dn.xlarge"}}},
	})
	w.ok(err)
	spot, err := c.ec2.DescribeSpotPriceHistory(ctx, &ec2.DescribeSpotPriceHistoryInput{InstanceTypes: []ec2types.InstanceType{"g4dn.xlarge"}, ProductDescriptions: []string{"Linux/UNIX"}})
	w.ok(err)
	if len(offered.InstanceTypeOfferings) == 0 || len(spot.SpotPriceHistory) != len(offered.InstanceTypeOfferings) {
		t.Errorf("offered in %d zones, spot prices of %d", len(offered.InstanceTypeOfferings), len(spot.SpotPriceHistory))
	}
	for _, p := range spot.SpotPriceHistory {
		if usd, err := strconv.ParseFloat(*p.SpotPrice, 64); err != nil || usd <= 0 || usd >= 0.526 || p.Timestamp == nil {
			t.Errorf("spot price %+v", p)
		}
	}
	reservations, err := c.ec2.DescribeCapacityReservations(ctx, &ec2.DescribeCapacityReservationsInput{})
	w.ok(err)
	placement, err := c.ec2.DescribePlacementGroups(ctx, &ec2.DescribePlacementGroupsInput{})
	w.ok(err)
	if len(reservations.CapacityReservations)+len(placement.PlacementGroups) != 0 {
		t.Error("the account has capacity reservations or placement groups")
	}
}

// TestImages: the parameters that Karpenter's aliases and pins resolve through lead to images.
func TestImages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := clientsOf(w.admin())
	const root = "/aws/service/eks/optimized-ami/"
	for _, name := range []string{
		root + "1.33/amazon-linux-2/recommended/image_id", // Amazon Linux 2 ends with 1.32
		root + "1.99/amazon-linux-2023/x86_64/standard/recommended/image_id",
		root + "1.35/amazon-linux-2023/x86_64/standard/amazon-eks-node-al2023-x86_64-standard-1.35-v20260715/image_id", // no release of that day
		root + "1.35/amazon-linux-2023/x86_64/nvidia/amazon-eks-node-al2023-x86_64-standard-1.35-v20260714/image_id",
		"/my/parameter",
	} {
		_, err := c.ssm.GetParameter(t.Context(), &ssm.GetParameterInput{Name: &name})
		wantCode(t, err, "ParameterNotFound", http.StatusBadRequest, "")
	}
	_, err := c.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{"ami-0"}})
	wantCode(t, err, "InvalidAMIID.NotFound", http.StatusBadRequest, "The image id '[ami-0]' does not exist")
	for path, want := range map[string][2]string{
		"1.28/amazon-linux-2/recommended":                                                          {"amazon-eks-node-1.28-v20251120", "x86_64"},
		"1.28/amazon-linux-2-arm64/recommended":                                                    {"amazon-eks-arm64-node-1.28-v20251120", "arm64"},
		"1.28/amazon-linux-2-gpu/recommended":                                                      {"amazon-eks-gpu-node-1.28-v20251120", "x86_64"},
		"1.35/amazon-linux-2023/x86_64/standard/recommended":                                       {"amazon-eks-node-al2023-x86_64-standard-1.35-v20260714", "x86_64"},
		"1.35/amazon-linux-2023/arm64/standard/recommended":                                        {"amazon-eks-node-al2023-arm64-standard-1.35-v20260714", "arm64"},
		"1.35/amazon-linux-2023/x86_64/nvidia/amazon-eks-node-al2023-x86_64-nvidia-1.35-v20260714": {"amazon-eks-node-al2023-x86_64-nvidia-1.35-v20260714", "x86_64"},
	} {
		p, err := c.ssm.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String(root + path + "/image_id")})
		w.ok(err)
		images, err := c.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{
			Filters: []ec2types.Filter{{Name: aws.String("image-id"), Values: []string{*p.Parameter.Value}}, {Name: aws.String("state"), Values: []string{"available"}}}, IncludeDeprecated: aws.Bool(true), MaxResults: aws.Int32(1000),
		})
		w.ok(err)
		if len(images.Images) != 1 || *images.Images[0].Name != want[0] || string(images.Images[0].Architecture) != want[1] || *images.Images[0].BlockDeviceMappings[0].DeviceName != "/dev/xvda" {
			t.Errorf("%s leads to %+v", path, images.Images)
		}
	}
}

// TestPrices: the price list in the form Karpenter reads.
func TestPrices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := w.admin()
	cfg.Region = "us-east-1" // where the pricing API is, whatever region the prices are of
	c := clientsOf(cfg)
	prices := func(tenancy, family string) map[string]float64 {
		out := map[string]float64{}
		in := &pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2"), MaxResults: aws.Int32(100)}
		for k, v := range map[string]string{
			"regionCode": region, "serviceCode": "AmazonEC2", "preInstalledSw": "NA", "operatingSystem": "Linux", "capacitystatus": "Used",
			"marketoption": "OnDemand", "tenancy": tenancy, "productFamily": family,
		} {
			in.Filters = append(in.Filters, pricingtypes.Filter{Field: &k, Type: pricingtypes.FilterTypeTermMatch, Value: &v})
		}
		for pages := pricing.NewGetProductsPaginator(c.pricing, in); pages.HasMorePages(); {
			page, err := pages.NextPage(t.Context())
			w.ok(err)
			for _, text := range page.PriceList {
				var item struct {
					Product struct{ Attributes struct{ InstanceType string } }
					Terms   struct {
						OnDemand map[string]struct {
							PriceDimensions map[string]struct{ PricePerUnit map[string]string }
						}
					}
				}
				w.ok(json.Unmarshal([]byte(text), &item))
				for _, term := range item.Terms.OnDemand {
					for _, d := range term.PriceDimensions {
						usd, err := strconv.ParseFloat(d.PricePerUnit["USD"], 64)
						w.ok(err)
						out[item.Product.Attributes.InstanceType] = usd
					}
				}
			}
		}
		return out
	}
	shared, metal := prices("Shared", "Compute Instance"), prices("Dedicated", "Compute Instance (bare metal)")
	if shared["g4dn.xlarge"] != 0.526 || shared["g4dn.metal"] != 0 || metal["g4dn.metal"] <= 0 || metal["g4dn.xlarge"] != 0 {
		t.Errorf("g4dn.xlarge costs %v shared and %v dedicated, g4dn.metal %v and %v", shared["g4dn.xlarge"], metal["g4dn.xlarge"], shared["g4dn.metal"], metal["g4dn.metal"])
	}
	if n := len(prices("Shared", "Storage")); n != 0 {
		t.Errorf("%d prices of storage", n)
	}
}

// TestClusterAndRoles: what kubeconfig and Karpenter's discovery read.
func TestClusterAndRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := clientsOf(w.admin())
	ctx := t.Context()
	_, err := c.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: aws.String("d")})
	wantCode(t, err, "ResourceNotFoundException", http.StatusNotFound, "No cluster found for name: d.")
	_, err = c.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("nobody")})
	wantCode(t, err, "NoSuchEntity", http.StatusNotFound, "The role with name nobody cannot be found.")

	got, err := c.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: aws.String("c")})
	w.ok(err)
	want, err := w.account.DescribeCluster("c")
	w.ok(err)
	k := got.Cluster
	pairs := map[string][2]string{
		"arn": {*k.Arn, want.ARN}, "version": {*k.Version, "1.35"}, "endpoint": {*k.Endpoint, want.Endpoint}, "status": {string(k.Status), "ACTIVE"},
		"ca": {*k.CertificateAuthority.Data, want.CertificateAuthority}, "cidr": {*k.KubernetesNetworkConfig.ServiceIpv4Cidr, "172.20.0.0/16"},
		"family": {string(k.KubernetesNetworkConfig.IpFamily), "ipv4"}, "group": {*k.ResourcesVpcConfig.ClusterSecurityGroupId, w.group},
		"mode": {string(k.AccessConfig.AuthenticationMode), "API"}, "issuer": {*k.Identity.Oidc.Issuer, want.OIDCIssuer},
	}
	for name, p := range pairs {
		if p[0] != p[1] || p[0] == "" {
			t.Errorf("%s = %q, want %q", name, p[0], p[1])
		}
	}
	if !k.CreatedAt.Equal(want.CreatedAt) {
		t.Errorf("created %v, want %v", k.CreatedAt, want.CreatedAt)
	}
	list, err := c.eks.ListClusters(ctx, &eks.ListClustersInput{})
	w.ok(err)
	if d := cmp.Diff([]string{"c"}, list.Clusters); d != "" {
		t.Error(d)
	}
	role, err := c.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("c-node")})
	w.ok(err)
	if *role.Role.Arn != roleARN("c-node") || !strings.HasPrefix(*role.Role.AssumeRolePolicyDocument, "%7B%22Version%22") {
		t.Errorf("role %+v", role.Role)
	}
	for _, name := range []string{"a", "b", "d"} {
		_, err := w.account.CreateInstanceProfile(name, "/karpenter/", account.Tags{"k": "v"})
		w.ok(err)
	}
	var names []string
	for pages := iam.NewListInstanceProfilesPaginator(c.iam, &iam.ListInstanceProfilesInput{PathPrefix: aws.String("/karpenter/"), MaxItems: aws.Int32(2)}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		w.ok(err)
		for _, p := range page.InstanceProfiles {
			names = append(names, *p.InstanceProfileName)
		}
	}
	if d := cmp.Diff([]string{"a", "b", "d"}, names); d != "" {
		t.Error(d)
	}
}
