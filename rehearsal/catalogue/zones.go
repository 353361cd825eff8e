package catalogue

import "fmt"

// Region is one AWS region and its availability zones. Local and wavelength
// zones are left out: EKS control planes cannot use them.
type Region struct {
	// Name is the region code, such as "us-west-1".
	Name string
	// Zones holds the zones a plain account sees, by name.
	Zones []Zone
	// LegacyZones holds the zones that only older accounts still see: AWS
	// hides constrained zones from new ones. The catalogue offers nothing in
	// them.
	LegacyZones []Zone
}

// Zone is an availability zone.
type Zone struct {
	// Name is what one account calls the zone, such as "us-west-1a". In the
	// oldest regions AWS shuffled the letters for each account created before
	// November 2025: go by the ID to know the place.
	Name string
	// ID is the zone's name in every account, such as "usw1-az1".
	ID string
	// RefusedByEKS is true where EKS takes no subnet for a control plane
	// (UnsupportedAvailabilityZoneException). Nodes may run there.
	RefusedByEKS bool
}

// zoneTable holds a row a region: the prefix of its zone IDs and, as letter
// and ID digit, the zones a plain account sees and those only older ones do.
//
// Sources. IDs: "AWS Availability Zones", docs.aws.amazon.com/global-infrastructure/latest/regions/aws-availability-zones.html,
// with its remark that newer accounts see two zones in us-west-1. It lists
// euw2-az4 too, where the offerings have no instance type yet: left out.
// Letters: one account's DescribeInstanceTypeOfferings by zone and by zone ID
// (the data set of moto 5, August 2026), matched by the types they list; the
// four regions that it lacks (mx-central-1, ap-southeast-7, both us-gov) are
// taken in order.
// A test compares the table with the zones the price source knows.
var zoneTable = []struct{ region, prefix, zones, legacy string }{
	{"af-south-1", "afs1", "a1 b2 c3", ""},
	{"ap-east-1", "ape1", "a1 b2 c3", ""},
	{"ap-northeast-1", "apne1", "a4 c1 d2", "b3"},
	{"ap-northeast-2", "apne2", "a1 b2 c3 d4", ""},
	{"ap-northeast-3", "apne3", "a3 b1 c2", ""},
	{"ap-south-1", "aps1", "a1 b3 c2", ""},
	{"ap-south-2", "aps2", "a1 b2 c3", ""},
	{"ap-southeast-1", "apse1", "a1 b2 c3", ""},
	{"ap-southeast-2", "apse2", "a3 b1 c2", ""},
	{"ap-southeast-3", "apse3", "a1 b2 c3", ""},
	{"ap-southeast-4", "apse4", "a1 b2 c3", ""},
	{"ap-southeast-5", "apse5", "a1 b2 c3", ""},
	{"ap-southeast-7", "apse7", "a1 b2 c3", ""},
	{"ca-central-1", "cac1", "a1 b2 d4", "c3"},
	{"ca-west-1", "caw1", "a1 b2 c3", ""},
	{"eu-central-1", "euc1", "a2 b3 c1", ""},
	{"eu-central-2", "euc2", "a1 b2 c3", ""},
	{"eu-north-1", "eun1", "a1 b2 c3", ""},
	{"eu-south-1", "eus1", "a1 b2 c3", ""},
	{"eu-south-2", "eus2", "a1 b2 c3", ""},
	{"eu-west-1", "euw1", "a3 b1 c2", ""},
	{"eu-west-2", "euw2", "a2 b3 c1", ""},
	{"eu-west-3", "euw3", "a1 b2 c3", ""},
	{"il-central-1", "ilc1", "a1 b2 c3", ""},
	{"me-central-1", "mec1", "a1 b2 c3", ""},
	{"me-south-1", "mes1", "a1 b2 c3", ""},
	{"mx-central-1", "mxc1", "a1 b2 c3", ""},
	{"sa-east-1", "sae1", "a1 b2 c3", ""},
	{"us-east-1", "use1", "a2 b4 c6 d1 e3 f5", ""},
	{"us-east-2", "use2", "a1 b2 c3", ""},
	{"us-gov-east-1", "usge1", "a1 b2 c3", ""},
	{"us-gov-west-1", "usgw1", "a1 b2 c3", ""},
	{"us-west-1", "usw1", "a1 b3", "c2"},
	{"us-west-2", "usw2", "a2 b1 c3 d4", ""},
}

// refusedByEKS tells the zones that EKS refuses for control planes: the list
// of "Subnet requirements and considerations" in
// docs.aws.amazon.com/eks/latest/userguide/network-reqs.html.
func refusedByEKS(zoneID string) bool {
	switch zoneID {
	case "use1-az3", "usw1-az2", "cac1-az3":
		return true
	}
	return false
}

// Regions lists every region the catalogue covers, by name.
func Regions() []Region {
	regions := make([]Region, 0, len(zoneTable))
	for _, row := range zoneTable {
		regions = append(regions, Region{
			Name:        row.region,
			Zones:       zones(row.region, row.prefix, row.zones),
			LegacyZones: zones(row.region, row.prefix, row.legacy),
		})
	}
	return regions
}

// zones expands a row's short form: pairs of letter and digit between spaces.
func zones(region, prefix, short string) []Zone {
	var expanded []Zone
	for i := 0; i+1 < len(short); i += 3 {
		id := fmt.Sprintf("%s-az%c", prefix, short[i+1])
		expanded = append(expanded, Zone{
			Name:         region + short[i:i+1],
			ID:           id,
			RefusedByEKS: refusedByEKS(id),
		})
	}
	return expanded
}
