package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// TestDataFileIsFresh is what -check does: the file in git is what the pinned
// modules give.
func TestDataFileIsFresh(t *testing.T) {
	t.Parallel()
	data, err := build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var fresh bytes.Buffer
	if err := data.Encode(&fresh); err != nil {
		t.Fatal(err)
	}
	if err := compare(filepath.Join("..", "catalogue.json"), fresh.Bytes()); err != nil {
		t.Error(err)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "catalogue.json")
	if err := compare(path, []byte("a\n")); err == nil || !strings.Contains(err.Error(), "is missing: run "+mend) {
		t.Errorf("without a file the error is %v", err)
	}
	if err := os.WriteFile(path, []byte("a\nb\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, says := range map[string]string{
		"a\nb\nc\n":    "",
		"a\nB\nc\n":    "stale from line 2 on: run " + mend,
		"a\nb\nc\nd\n": "stale from line 4 on",
		"a\n":          "stale from line 2 on",
	} {
		err := compare(path, []byte(want))
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("compared with %q the error is %v, want %q", want, err, says)
		}
	}
}

// TestCatalogueIsLight keeps AWS's SDK, Karpenter and Kubernetes out of every
// program that reads the catalogue.
func TestCatalogueIsLight(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "eks-gpu-slicing/rehearsal/catalogue").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dependency := range strings.FieldsSeq(string(out)) {
		host, _, _ := strings.Cut(dependency, "/")
		if strings.Contains(host, ".") {
			t.Errorf("the catalogue imports %s, want the standard library only", dependency)
		}
	}
}

func TestCorrectionsDoNotOutliveTheirReason(t *testing.T) {
	t.Parallel()
	err := correct([]*catalogue.Type{{Name: "r3.large", MemoryMiB: 15360}})
	if err == nil || !strings.Contains(err.Error(), "the correction of r3.large (EC2 states 15 GiB") {
		t.Errorf("error is %v, want one that names the correction without effect", err)
	}
}

func TestBuildTypeRefuses(t *testing.T) {
	t.Parallel()
	sound := instance{InstanceType: "m5.large", Arch: []string{"x86_64"}, PhysicalProcessor: "Intel Xeon", ClockSpeed: "Up to 3.1 GHz", VCPU: 2}
	if got, err := buildType(sound); err != nil || got.ClockGHz != 3.1 || got.CPUManufacturer != "Intel" {
		t.Fatalf("sound instance: %+v, error %v", got, err)
	}
	for says, spoil := range map[string]func(*instance){
		`processor "Zilog": want one of`:                 func(in *instance) { in.PhysicalProcessor = "Zilog" },
		`clock speed "fast": want a number`:              func(in *instance) { in.ClockSpeed = "fast" },
		`2 GPUs of a family that gpuOf in facts.go lack`: func(in *instance) { in.GPU = 2 },
	} {
		in := sound
		spoil(&in)
		if _, err := buildType(in); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error is %v, want it to contain %q", err, says)
		}
	}
}

func TestBuildOffers(t *testing.T) {
	t.Parallel()
	regions := []catalogue.Region{
		{Name: "us-east-1", Zones: []catalogue.Zone{{ID: "use1-az1"}, {ID: "use1-az2"}}},
		{Name: "eu-west-1", Zones: []catalogue.Zone{{ID: "euw1-az1"}, {ID: "euw1-az2"}}},
		{Name: "eu-south-1", Zones: []catalogue.Zone{{ID: "eus1-az1"}}},
		{Name: "us-gov-east-1", Zones: []catalogue.Zone{{ID: "usge1-az1"}}},
		{Name: "ca-west-1", Zones: []catalogue.Zone{{ID: "caw1-az1"}}},
	}
	parse := func(t *testing.T, name, text string) instance {
		t.Helper()
		in := instance{InstanceType: name}
		if err := json.Unmarshal([]byte(text), &in); err != nil {
			t.Fatal(err)
		}
		return in
	}
	newer := func(name string, usd float64) map[string]map[ec2types.InstanceType]float64 {
		return map[string]map[ec2types.InstanceType]float64{"us-east-1": {ec2types.InstanceType(name): usd}}
	}
	const source = `{
		"availability_zones": {"us-east-1": ["use1-az2", "use1-az1"], "eu-west-1": ["euw1-az2"]},
		"pricing": {
			"us-east-1":     {"linux": {"ondemand": "10", "spot": ["2", "4"], "spot_avg": "3.5"}},
			"eu-west-1":     {"linux": {"ondemand": "12", "spot": ["6"]}},
			"eu-south-1":    {"linux": {"ondemand": "11", "spot_avg": "4"}},
			"us-gov-east-1": {"linux": {"ondemand": "20", "spot_avg": "N/A"}},
			"ca-west-1":     {"linux": {"ondemand": "N/A*"}},
			"us-west-2-lax-1": {"linux": {"ondemand": "99"}}
		}}`
	spotless := map[string]bool{"us-gov-east-1": true}

	for _, tt := range []struct {
		name     string
		newer    float64
		repriced bool
		want     catalogue.Offers
	}{
		{"m5.large", 10, false, catalogue.Offers{
			"us-east-1":     {OnDemand: 10, Spot: 3, Zones: "12"},
			"eu-west-1":     {OnDemand: 12, Spot: 6, Zones: "2"},
			"eu-south-1":    {OnDemand: 11, Spot: 4, SpotAssumed: true},
			"us-gov-east-1": {OnDemand: 20, Spot: 8, SpotAssumed: true}, // the mean ratio, (3/10 + 6/12) / 2
		}},
		{"p5.large", 4, true, catalogue.Offers{
			"us-east-1":     {OnDemand: 4, Spot: 3, Zones: "12"},
			"eu-west-1":     {OnDemand: 4.8, OnDemandAssumed: true, Spot: 4.8, SpotAssumed: true, Zones: "2"},
			"eu-south-1":    {OnDemand: 4.4, OnDemandAssumed: true, Spot: 4, SpotAssumed: true},
			"us-gov-east-1": {OnDemand: 8, OnDemandAssumed: true, Spot: 8, SpotAssumed: true},
		}},
		{"m5.metal", 11, false, catalogue.Offers{ // Karpenter's price is of dedicated tenancy
			"us-east-1":     {OnDemand: 10, Spot: 3, Zones: "12"},
			"eu-west-1":     {OnDemand: 12, Spot: 6, Zones: "2"},
			"eu-south-1":    {OnDemand: 11, Spot: 4, SpotAssumed: true},
			"us-gov-east-1": {OnDemand: 20, Spot: 8, SpotAssumed: true},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, repriced, err := buildOffers(parse(t, tt.name, source), regions, spotless, newer(tt.name, tt.newer))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || repriced != tt.repriced {
				t.Errorf("repriced: %t, want %t; offers (-want +got):\n%s", repriced, tt.repriced, diff)
			}
		})
	}

	in := parse(t, "m5.large", strings.Replace(source, "euw1-az2", "euw1-az9", 1))
	if _, _, err := buildOffers(in, regions, spotless, newer("m5.large", 10)); err == nil || err.Error() != "zone euw1-az9 of eu-west-1 is missing in zones.go" {
		t.Errorf("error is %v, want one that names the unknown zone", err)
	}
}
