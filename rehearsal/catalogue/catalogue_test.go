package catalogue_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/catalogue"
)

func load(t *testing.T) *catalogue.Catalogue {
	t.Helper()
	c, err := catalogue.Default()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestKnownTypes checks types whose figures AWS's product pages and EC2's own
// answers give.
func TestKnownTypes(t *testing.T) {
	t.Parallel()
	c := load(t)
	for _, want := range []struct {
		name         string
		arch, maker  string
		vcpus, cores int
		mib          int64
		pods         int
		gpus         []catalogue.GPU
		neuron       []catalogue.NeuronDevice
	}{
		{"g4dn.xlarge", "x86_64", "Intel", 4, 2, 16384, 29, []catalogue.GPU{{Name: "T4", Manufacturer: "NVIDIA", Count: 1, MemoryMiB: 16384}}, nil},
		{"g4dn.4xlarge", "x86_64", "Intel", 16, 8, 65536, 29, []catalogue.GPU{{Name: "T4", Manufacturer: "NVIDIA", Count: 1, MemoryMiB: 16384}}, nil},
		{"g4dn.12xlarge", "x86_64", "Intel", 48, 24, 196608, 234, []catalogue.GPU{{Name: "T4", Manufacturer: "NVIDIA", Count: 4, MemoryMiB: 16384}}, nil},
		{"g5g.xlarge", "arm64", "AWS", 4, 4, 8192, 58, []catalogue.GPU{{Name: "T4g", Manufacturer: "NVIDIA", Count: 1, MemoryMiB: 16384}}, nil},
		{"p4d.24xlarge", "x86_64", "Intel", 96, 48, 1179648, 737, []catalogue.GPU{{Name: "A100", Manufacturer: "NVIDIA", Count: 8, MemoryMiB: 40960}}, nil},
		{"m7g.large", "arm64", "AWS", 2, 2, 8192, 29, nil, nil},
		{"c7a.large", "x86_64", "AMD", 2, 2, 4096, 29, nil, nil},
		{"m5.metal", "x86_64", "Intel", 96, 48, 393216, 737, nil, nil},
		{"t3.micro", "x86_64", "Intel", 2, 1, 1024, 4, nil, nil},
		{"inf2.24xlarge", "x86_64", "AMD", 96, 48, 393216, 737, nil, []catalogue.NeuronDevice{{Name: "Inferentia2", Count: 6, Cores: 2, CoreVersion: 2, MemoryMiB: 32768}}},
		{"trn2.48xlarge", "x86_64", "Intel", 192, 96, 2097152, 100, nil, []catalogue.NeuronDevice{{Name: "Trainium2", Count: 16, Cores: 8, CoreVersion: 3, MemoryMiB: 524288}}},
	} {
		t.Run(want.name, func(t *testing.T) {
			t.Parallel()
			got, ok := c.Type(want.name)
			if !ok {
				t.Fatal("not in the catalogue")
			}
			if got.Architectures[0] != want.arch || got.CPUManufacturer != want.maker {
				t.Errorf("processor is %s %v, want %s %s", got.CPUManufacturer, got.Architectures, want.maker, want.arch)
			}
			if got.VCPUs != want.vcpus || got.Cores() != want.cores || got.MemoryMiB != want.mib || got.MaxPods() != want.pods {
				t.Errorf("%d vCPUs, %d cores, %d MiB, %d pods; want %d, %d, %d, %d",
					got.VCPUs, got.Cores(), got.MemoryMiB, got.MaxPods(), want.vcpus, want.cores, want.mib, want.pods)
			}
			if diff := cmp.Diff(want.gpus, got.GPUs); diff != "" {
				t.Errorf("GPUs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want.neuron, got.NeuronDevices); diff != "" {
				t.Errorf("Neuron devices (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrices(t *testing.T) {
	t.Parallel()
	c := load(t)
	for _, tt := range []struct {
		region, zone, name string
		onDemand           catalogue.Price
		spot               catalogue.Price
	}{
		{
			"us-west-1", "us-west-1b", "g4dn.xlarge",
			catalogue.Price{USDPerHour: 0.631, Source: "AWS price list of 2025-05-28"},
			catalogue.Price{USDPerHour: 0.2475, Source: "mean spot price of the region's zones on 2025-05-28"},
		},
		{
			"us-west-2", "usw2-az1", "g4dn.xlarge",
			catalogue.Price{USDPerHour: 0.526, Source: "AWS price list of 2025-05-28"},
			catalogue.Price{USDPerHour: 0.188067, Source: "mean spot price of the region's zones on 2025-05-28"},
		},
		{ // opt-in region: the Spot Instance Advisor's savings only
			"eu-south-1", "eus1-az2", "g4dn.xlarge",
			catalogue.Price{USDPerHour: 0.616, Source: "AWS price list of 2025-05-28"},
			catalogue.Price{USDPerHour: 0.20944, Assumed: true, Source: "derived from the on-demand price by the savings known on 2025-05-28"},
		},
		{ // AWS cut the price of P4d by a third in June 2025
			"us-east-1", "use1-az2", "p4d.24xlarge",
			catalogue.Price{USDPerHour: 21.957642, Source: "AWS price list of 2026-07-06"},
			catalogue.Price{USDPerHour: 10.0109, Source: "mean spot price of the region's zones on 2025-05-28"},
		},
		{
			"us-west-2", "usw2-az2", "p4d.24xlarge",
			catalogue.Price{USDPerHour: 21.957642, Assumed: true, Source: "AWS price list of 2025-05-28, scaled by the change in us-east-1 up to 2026-07-06"},
			catalogue.Price{USDPerHour: 11.459933, Source: "mean spot price of the region's zones on 2025-05-28"},
		},
	} {
		t.Run(tt.name+" in "+tt.region, func(t *testing.T) {
			t.Parallel()
			onDemand, err := c.OnDemand(tt.region, tt.name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.onDemand, onDemand); diff != "" {
				t.Errorf("on demand (-want +got):\n%s", diff)
			}
			spot, err := c.Spot(tt.region, tt.zone, tt.name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.spot, spot); diff != "" {
				t.Errorf("spot (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOffered(t *testing.T) {
	t.Parallel()
	c := load(t)
	for _, tt := range []struct {
		region, name string
		zones        string
		assumed      bool
		classes      string
	}{
		{"us-west-1", "g4dn.xlarge", "us-west-1a us-west-1b", false, "on-demand spot"},
		{"us-east-1", "g4dn.xlarge", "us-east-1a us-east-1b us-east-1c us-east-1d us-east-1f", false, "on-demand spot"}, // not in use1-az3
		{"ca-central-1", "g4dn.xlarge", "ca-central-1a ca-central-1b", false, "on-demand spot"},
		{"eu-south-1", "g4dn.xlarge", "eu-south-1a eu-south-1b eu-south-1c", true, "on-demand spot"},
		{"us-east-2", "trn2.48xlarge", "us-east-2a", false, "on-demand"},
		{"us-east-1", "hpc7g.4xlarge", "us-east-1c", false, "on-demand"}, // use1-az6
	} {
		t.Run(tt.name+" in "+tt.region, func(t *testing.T) {
			t.Parallel()
			got, err := c.Offered(tt.region, tt.name)
			if err != nil {
				t.Fatal(err)
			}
			names := make([]string, 0, len(got.Zones))
			for _, zone := range got.Zones {
				names = append(names, zone.Name)
			}
			if zones := strings.Join(names, " "); zones != tt.zones || got.ZonesAssumed != tt.assumed {
				t.Errorf("zones %q (assumed: %t), want %q (%t)", zones, got.ZonesAssumed, tt.zones, tt.assumed)
			}
			if classes := strings.Join(got.UsageClasses, " "); classes != tt.classes {
				t.Errorf("usage classes %q, want %q", classes, tt.classes)
			}
		})
	}
}

// TestErrors checks that each refusal wraps its error and names the value and
// what is allowed.
func TestErrors(t *testing.T) {
	t.Parallel()
	c := load(t)
	spot := func(region, zone, name string) error {
		_, err := c.Spot(region, zone, name)
		return err
	}
	for _, tt := range []struct {
		name string
		err  error
		is   error
		says string
	}{
		{"region", spot("us-west-3", "us-west-3a", "g4dn.xlarge"), catalogue.ErrUnknownRegion, `"us-west-3": the catalogue covers af-south-1, `},
		{"zone", spot("us-west-1", "us-west-1c", "g4dn.xlarge"), catalogue.ErrUnknownZone, `"us-west-1c" in us-west-1: it has us-west-1a (usw1-az1), us-west-1b (usw1-az3)`},
		{"size", spot("us-west-1", "us-west-1a", "g4dn.3xlarge"), catalogue.ErrUnknownType, `"g4dn.3xlarge": of that family there are g4dn.12xlarge, `},
		{"family", spot("us-west-1", "us-west-1a", "g99.large"), catalogue.ErrUnknownType, `is of a family "g99"`},
		{"region lacks type", spot("ca-west-1", "ca-west-1a", "g4dn.xlarge"), catalogue.ErrNotOffered, "g4dn.xlarge is not offered in ca-west-1: it is in af-south-1, "},
		{"zone lacks type", spot("us-east-1", "use1-az3", "g4dn.xlarge"), catalogue.ErrNotOffered, "not offered in use1-az3: of us-east-1 it is offered in us-east-1a (use1-az2), "},
		{"no spot", spot("us-east-2", "us-east-2a", "trn2.48xlarge"), catalogue.ErrNotOffered, "not offered as spot in us-east-2, only on demand"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if !errors.Is(tt.err, tt.is) {
				t.Fatalf("error is %v, want %v", tt.err, tt.is)
			}
			if !strings.Contains(tt.err.Error(), tt.says) {
				t.Errorf("error is %q, want it to contain %q", tt.err, tt.says)
			}
		})
	}
	if _, err := c.TypesIn("moon-1"); !errors.Is(err, catalogue.ErrUnknownRegion) {
		t.Errorf("TypesIn: error is %v, want %v", err, catalogue.ErrUnknownRegion)
	}
	if _, err := c.OnDemand("us-west-1", "p5en.48xlarge"); !errors.Is(err, catalogue.ErrNotOffered) {
		t.Errorf("OnDemand: error is %v, want %v", err, catalogue.ErrNotOffered)
	}
	if _, err := c.Offered("us-west-1", "mac1.metal"); !errors.Is(err, catalogue.ErrUnknownType) {
		t.Errorf("Offered: error is %v, want %v", err, catalogue.ErrUnknownType)
	}
}

// TestEveryType checks that the data holds together.
func TestEveryType(t *testing.T) {
	t.Parallel()
	c := load(t)
	types := c.Types()
	if len(types) < 900 {
		t.Errorf("%d types, want at least 900", len(types))
	}
	for _, it := range types {
		if !slices.Contains(it.VirtualizationTypes, "hvm") {
			t.Errorf("%s: virtualisation is %v, want hvm in it", it.Name, it.VirtualizationTypes)
		}
		x86, arm := slices.Contains(it.Architectures, "x86_64"), slices.Contains(it.Architectures, "arm64")
		if x86 == arm || arm && it.CPUManufacturer != "AWS" || x86 && it.CPUManufacturer == "AWS" {
			t.Errorf("%s: architectures %v by %s, want either x86_64 by Intel or AMD or arm64 by AWS", it.Name, it.Architectures, it.CPUManufacturer)
		}
		if it.VCPUs < 1 || it.MemoryMiB < 512 || it.Cores()*it.ThreadsPerCore != it.VCPUs {
			t.Errorf("%s: %d vCPUs of %d threads a core, %d MiB", it.Name, it.VCPUs, it.ThreadsPerCore, it.MemoryMiB)
		}
		if want := map[bool][]string{true: {""}, false: {"nitro", "xen"}}[it.BareMetal]; !slices.Contains(want, it.Hypervisor) {
			t.Errorf("%s: hypervisor is %q, want one of %q", it.Name, it.Hypervisor, want)
		}
		if it.Network.Interfaces() < 2 || it.Network.IPv4PerInterface < 2 || it.MaxPods() < 4 || it.MaxPods() > 737 {
			t.Errorf("%s: %+v gives %d pods", it.Name, it.Network, it.MaxPods())
		}
		if len(it.GPUs) > 1 || len(it.NeuronDevices) > 1 || len(it.GPUs)+len(it.NeuronDevices) > 1 {
			t.Errorf("%s: more than one kind of device: %v %v", it.Name, it.GPUs, it.NeuronDevices)
		}
		for _, gpu := range it.GPUs {
			if gpu.Name == "" || gpu.Manufacturer == "" || gpu.Count < 1 || gpu.MemoryMiB < 1024 {
				t.Errorf("%s: GPU %+v is incomplete", it.Name, gpu)
			}
		}
		for _, device := range it.NeuronDevices {
			if device.Name == "" || device.Count < 1 || device.Cores < 1 || device.MemoryMiB < 1024 {
				t.Errorf("%s: Neuron device %+v is incomplete", it.Name, device)
			}
		}
		if d := it.Disks; d != nil && (d.Count < 1 || d.SizeGB < 1) {
			t.Errorf("%s: disks %+v are incomplete", it.Name, *d)
		}
		if e := it.EBS; e.Optimized == "default" && (e.BaselineMbps < 1 || e.MaximumMbps < e.BaselineMbps || e.MaximumIOPS < e.BaselineIOPS) {
			t.Errorf("%s: EBS %+v is incomplete", it.Name, e)
		}
	}
}

// TestEveryOffer checks that a type a region has also has a price there and a
// zone, and that the pools the program defines find types everywhere.
func TestEveryOffer(t *testing.T) {
	t.Parallel()
	c := load(t)
	for _, region := range catalogue.Regions() {
		types, err := c.TypesIn(region.Name)
		if err != nil {
			t.Fatal(err)
		}
		if len(types) < 150 {
			t.Errorf("%s offers %d types, want at least 150", region.Name, len(types))
		}
		for _, it := range types {
			onDemand, err := c.OnDemand(region.Name, it.Name)
			if err != nil || onDemand.USDPerHour <= 0 || onDemand.Source == "" {
				t.Errorf("%s in %s: on-demand price %+v, error %v", it.Name, region.Name, onDemand, err)
			}
			offering, err := c.Offered(region.Name, it.Name)
			if err != nil || len(offering.Zones) == 0 {
				t.Errorf("%s in %s: offering %+v, error %v", it.Name, region.Name, offering, err)
				continue
			}
			spot, err := c.Spot(region.Name, offering.Zones[0].ID, it.Name)
			if sold := slices.Contains(offering.UsageClasses, catalogue.UsageSpot); sold != (err == nil) {
				t.Errorf("%s in %s: sold as spot: %t, but the price's error is %v", it.Name, region.Name, sold, err)
			} else if sold && (spot.USDPerHour <= 0 || spot.USDPerHour > onDemand.USDPerHour) {
				t.Errorf("%s in %s: spot costs %v, on demand %v", it.Name, region.Name, spot.USDPerHour, onDemand.USDPerHour)
			}
		}
	}
}

func TestZones(t *testing.T) {
	t.Parallel()
	c := load(t)
	var refused []string
	offered := map[string]bool{}
	for _, region := range catalogue.Regions() {
		if len(region.Zones) < 2 {
			t.Errorf("%s has %d zones, want at least two for a cluster", region.Name, len(region.Zones))
		}
		if !slices.IsSortedFunc(region.Zones, func(a, b catalogue.Zone) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("zones of %s are not in the order of their names: %v", region.Name, region.Zones)
		}
		seen := map[string]bool{}
		for _, zone := range slices.Concat(region.Zones, region.LegacyZones) {
			if seen[zone.ID] || seen[zone.Name] || !strings.HasPrefix(zone.Name, region.Name) {
				t.Errorf("zone %+v of %s: listed twice or named after another region", zone, region.Name)
			}
			seen[zone.ID], seen[zone.Name] = true, true
			if zone.RefusedByEKS {
				refused = append(refused, zone.ID)
			}
		}
		types, err := c.TypesIn(region.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range types {
			offering, err := c.Offered(region.Name, it.Name)
			if err != nil {
				t.Fatal(err)
			}
			for _, zone := range offering.Zones {
				offered[zone.ID] = true
			}
		}
		for _, zone := range region.Zones {
			if !offered[zone.ID] {
				t.Errorf("%s offers no type: does a plain account see it?", zone.ID)
			}
		}
	}
	if diff := cmp.Diff([]string{"cac1-az3", "use1-az3", "usw1-az2"}, refused); diff != "" {
		t.Errorf("zones that EKS refuses (-want +got):\n%s", diff)
	}
	california, err := c.Region("us-west-1")
	if err != nil {
		t.Fatal(err)
	}
	want := catalogue.Region{
		Name:        "us-west-1",
		Zones:       []catalogue.Zone{{Name: "us-west-1a", ID: "usw1-az1"}, {Name: "us-west-1b", ID: "usw1-az3"}},
		LegacyZones: []catalogue.Zone{{Name: "us-west-1c", ID: "usw1-az2", RefusedByEKS: true}},
	}
	if diff := cmp.Diff(want, california); diff != "" {
		t.Errorf("us-west-1 (-want +got):\n%s", diff)
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	h := load(t).Header()
	for _, source := range append(slices.Clone(h.Facts), h.PriceList, h.Reprice) {
		if source.Name == "" || len(source.Date) != len("2006-01-02") || source.Gives == "" {
			t.Errorf("source %+v lacks a name, a date or what it gives", source)
		}
	}
	if h.Reprice.Date <= h.PriceList.Date {
		t.Errorf("the prices that replace the list are of %s, not newer than its %s", h.Reprice.Date, h.PriceList.Date)
	}
}

// BenchmarkLoad measures what the first call of Default costs.
func BenchmarkLoad(b *testing.B) {
	file, err := os.ReadFile("catalogue.json")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		data, err := catalogue.Decode(file)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := catalogue.New(data); err != nil {
			b.Fatal(err)
		}
	}
}
