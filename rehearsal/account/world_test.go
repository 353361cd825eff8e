package account_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// shape is what a world can be told by.
type shape struct {
	VPCs, Zones, Subnets int
	Versions             []string
	G4dn                 bool
	SpotRole             bool
}

func shapeOf(t *testing.T, a *account.Account) shape {
	t.Helper()
	vpcs, err := a.DescribeVpcs()
	must(t, vpcs, err)
	zones, err := a.DescribeAvailabilityZones()
	must(t, zones, err)
	versions, err := a.DescribeClusterVersions(false)
	must(t, versions, err)
	offers, err := a.DescribeInstanceTypeOfferings("", account.Filter{Name: "instance-type", Values: []string{"g4dn.*"}})
	must(t, offers, err)
	s := shape{VPCs: len(vpcs), Zones: len(zones), Subnets: len(subnetIDs(t, a)), G4dn: len(offers) > 0}
	for _, v := range versions {
		s.Versions = append(s.Versions, v.Version)
	}
	for _, r := range a.ListRoles("/aws-service-role/spot.amazonaws.com/") {
		s.SpotRole = r.Name == "AWSServiceRoleForEC2Spot"
	}
	return s
}

func TestWorlds(t *testing.T) {
	t.Parallel()
	all := []string{"1.36", "1.35", "1.34", "1.33", "1.32", "1.31", "1.28"}
	plain := shape{VPCs: 1, Zones: 2, Subnets: 2, Versions: all, G4dn: true, SpotRole: true}
	with := func(change func(*shape)) shape { s := plain; change(&s); return s }
	want := map[string]shape{
		"plain":          plain,
		"no-default-vpc": with(func(s *shape) { s.VPCs, s.Subnets = 0, 0 }),
		"one-zone":       with(func(s *shape) { s.Subnets = 1 }),
		"refused-zone":   with(func(s *shape) { s.Zones, s.Subnets = 3, 3 }),
		"no-1.28":        with(func(s *shape) { s.Versions = all[:6] }),
		"no-g4dn":        with(func(s *shape) { s.G4dn = false }),
		"no-spot-role":   with(func(s *shape) { s.SpotRole = false }),
		"own-1.30":       plain,
	}
	for _, w := range account.Worlds() {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			if w.Description == "" {
				t.Error("no description")
			}
			a := open(t, "us-west-1", w.Name)
			shape, tested := want[w.Name]
			if strings.HasPrefix(w.Name, "existing-") { // see TestStand
				shape, tested = plain, true
			}
			if d := cmp.Diff(shape, shapeOf(t, a)); !tested || d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			wantEmpty(t, a)
		})
	}
}

func TestUnknownWorldAndRegion(t *testing.T) {
	t.Parallel()
	_, err := account.New(account.Options{Region: "us-west-2", World: "plane"})
	if want := `world "plane" is not known; choose one of plain, no-default-vpc, one-zone, refused-zone, no-1.28, no-g4dn, no-spot-role, own-1.30, existing-karpenter, existing-no-gate, existing-bare, existing-gpu-nodes, existing-config-map, existing-creating, existing-failed, existing-unreadable, existing-old-karpenter`; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if _, err := account.New(account.Options{Region: "us-gov-west-1"}); err == nil || !strings.Contains(err.Error(), "aws-us-gov") {
		t.Errorf("GovCloud: %v", err)
	}
	if _, err := account.New(account.Options{Region: "us-west-9"}); err == nil || !strings.Contains(err.Error(), `"us-west-9"`) {
		t.Errorf("an unknown region: %v", err)
	}
}

func TestRefusedZone(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]string{
		"us-west-1": "Cannot create cluster 'c' because us-west-1c, the targeted availability zone, does not currently have sufficient capacity to support the cluster. Retry and choose from these availability zones: us-west-1a, us-west-1b",
		"us-west-2": "Cannot create cluster 'c' because us-west-2d, the targeted availability zone, does not currently have sufficient capacity to support the cluster. Retry and choose from these availability zones: us-west-2a, us-west-2b, us-west-2c",
	} {
		t.Run(region, func(t *testing.T) {
			t.Parallel()
			a := open(t, region, "refused-zone")
			in := clusterInput(t, a)
			_, err := a.CreateCluster(in)
			wantRefusal(t, err, "UnsupportedAvailabilityZoneException", want)
			in.VPC.SubnetIDs = in.VPC.SubnetIDs[:2]
			_, err = a.CreateCluster(in)
			ok(t, err)
		})
	}
}
