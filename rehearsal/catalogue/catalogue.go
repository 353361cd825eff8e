// Package catalogue knows EC2's instance types: what each one is, which
// regions and zones offer it, and what it costs an hour. The simulated account,
// the node agents and the cost tables all read it, so that a rehearsal needs no
// AWS account to plan with AWS's figures. It imports nothing of AWS, Kubernetes
// or Karpenter.
//
// The data is one embedded text file, catalogue.json, a type a line, written by
// the generator in ./generate out of two Go modules pinned in go.mod:
// LeanerCloud/ec2-instances-info (types, prices, zones) and
// aws/karpenter-provider-aws (network limits, newer prices). Its header states
// sources, versions and dates. `go generate ./catalogue` rewrites it, `go run
// ./catalogue/generate -check` says whether it is stale.
//
// # What to know before relying on it
//
//   - The prices and offerings are a snapshot of 28 May 2025. AWS has launched
//     families since (m8i, c8i, g7e, p6 …): they are not here. It has retired
//     some as well (p3, f1): those are.
//   - Every Linux type with an on-demand price in some region and known network
//     limits is in, x86, ARM, GPU and metal. Left out are types sold only by
//     dedicated host (mac) or capacity block (p5e), and retired ones without
//     known limits (p2, g2, g3, i2.large, cc2, cr1, hs1, the metal sizes of
//     u-*tb1).
//   - On-demand prices are AWS's list prices of that date. For the few types
//     whose price has since changed (P4, P5) the newer price of Karpenter's
//     table is used where it covers the region; elsewhere the old price is
//     scaled by the same factor and marked Assumed.
//   - Spot prices are the mean over the region's zones: the source lists the
//     zones' prices without saying which is whose, so each zone gets the same.
//     In regions where it has none (most opt-in ones) they are its on-demand
//     price less the savings the Spot Instance Advisor states, in GovCloud the
//     type's mean ratio elsewhere; both are marked Assumed.
//   - Which zones offer a type is known for the 17 regions enabled by default.
//     In the others, and for single types the source forgot, every zone of the
//     region is assumed.
//   - No public source in the pinned modules has EC2's boot modes, FPGAs, media
//     accelerators, Nitro enclaves and TPM, capacity-block support, or dedicated
//     hosts: Type lacks them.
package catalogue

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

//go:generate go run ./generate

//go:embed catalogue.json
var file []byte

// Errors of the look-ups; those returned wrap one of them and name the value
// and what is allowed.
var (
	// ErrUnknownRegion: the catalogue does not cover the region.
	ErrUnknownRegion = errors.New("unknown region")
	// ErrUnknownZone: a plain account does not see such a zone in the region.
	ErrUnknownZone = errors.New("unknown availability zone")
	// ErrUnknownType: the catalogue has no such instance type.
	ErrUnknownType = errors.New("unknown instance type")
	// ErrNotOffered: the type exists, but not in this region or zone, or not as
	// spot.
	ErrNotOffered = errors.New("not offered")
)

// Usage classes of EC2 that the catalogue knows.
const (
	UsageOnDemand = "on-demand"
	UsageSpot     = "spot"
)

// Catalogue is the decoded data. It never changes once loaded and is safe for
// concurrent use; the slices in what it returns are shared and not to be
// written to.
type Catalogue struct {
	header  Header
	types   []Type
	byName  map[string]int
	entries []Entry
	regions map[string]Region
}

// Offering is how a region offers an instance type.
type Offering struct {
	// Zones holds the zones of the region that offer the type, by name.
	Zones []Zone
	// ZonesAssumed is set when no source says which zones do, and Zones
	// therefore holds all that a plain account sees.
	ZonesAssumed bool
	// UsageClasses holds UsageOnDemand, and UsageSpot where the type is sold as
	// spot.
	UsageClasses []string
}

// Price is what an instance costs.
type Price struct {
	// USDPerHour is the price of a Linux instance with shared tenancy.
	USDPerHour float64
	// Assumed is set when no source states the price for the region, so that
	// it was derived.
	Assumed bool
	// Source says in a few words where the figure is from and of which day.
	Source string
}

var load = sync.OnceValues(func() (*Catalogue, error) {
	data, err := Decode(file)
	if err != nil {
		return nil, fmt.Errorf("%w (the file is embedded in this binary: mend it with `go generate ./catalogue` and rebuild)", err)
	}
	return New(data)
})

// Default returns the embedded catalogue. The first call decodes it, which
// takes some 20 ms; later ones return the same value. It fails only when the
// binary was built from a damaged data file.
func Default() (*Catalogue, error) { return load() }

// New builds a catalogue from decoded data, which it keeps. It refuses types
// out of order or of one name, and an offer in a region that Regions lacks.
func New(data Data) (*Catalogue, error) {
	c := &Catalogue{
		header:  data.Header,
		entries: data.Types,
		byName:  make(map[string]int, len(data.Types)),
		regions: make(map[string]Region, len(zoneTable)),
	}
	for _, region := range Regions() {
		c.regions[region.Name] = region
	}
	for i, entry := range c.entries {
		if i > 0 && entry.Name <= c.entries[i-1].Name {
			return nil, fmt.Errorf("instance catalogue: type %s follows %s: want each name once, in order", entry.Name, c.entries[i-1].Name)
		}
		for region := range entry.Offers {
			if _, known := c.regions[region]; !known {
				return nil, fmt.Errorf("instance catalogue: type %s is offered in %q: %w", entry.Name, region, ErrUnknownRegion)
			}
		}
		c.byName[entry.Name] = i
		c.types = append(c.types, entry.Type)
	}
	return c, nil
}

// Header says where the data comes from and of which day it is.
func (c *Catalogue) Header() Header { return c.header }

// Types returns every instance type, by name.
func (c *Catalogue) Types() []Type { return c.types }

// Type returns the instance type of that name.
func (c *Catalogue) Type(name string) (Type, bool) {
	i, ok := c.byName[name]
	if !ok {
		return Type{}, false
	}
	return c.types[i], true
}

// TypesIn returns the instance types that the region offers, by name. The
// error is ErrUnknownRegion.
func (c *Catalogue) TypesIn(region string) ([]Type, error) {
	if _, err := c.Region(region); err != nil {
		return nil, err
	}
	var offered []Type
	for _, entry := range c.entries {
		if _, ok := entry.Offers[region]; ok {
			offered = append(offered, entry.Type)
		}
	}
	return offered, nil
}

// Region returns a region and its zones. The error is ErrUnknownRegion.
func (c *Catalogue) Region(name string) (Region, error) {
	region, ok := c.regions[name]
	if !ok {
		names := make([]string, 0, len(zoneTable))
		for _, row := range zoneTable {
			names = append(names, row.region)
		}
		return Region{}, fmt.Errorf("%w %q: the catalogue covers %s", ErrUnknownRegion, name, strings.Join(names, ", "))
	}
	return region, nil
}

// Offered says in which zones and usage classes the region offers the type.
// The error is ErrUnknownRegion, ErrUnknownType or ErrNotOffered.
func (c *Catalogue) Offered(region, instanceType string) (Offering, error) {
	_, offer, where, err := c.offer(region, instanceType)
	if err != nil {
		return Offering{}, err
	}
	offering := Offering{UsageClasses: []string{UsageOnDemand}}
	if offer.Spot > 0 {
		offering.UsageClasses = append(offering.UsageClasses, UsageSpot)
	}
	if offer.Zones == "" {
		offering.Zones, offering.ZonesAssumed = where.Zones, true
		return offering, nil
	}
	for _, zone := range where.Zones {
		if strings.Contains(offer.Zones, zone.ID[len(zone.ID)-1:]) {
			offering.Zones = append(offering.Zones, zone)
		}
	}
	return offering, nil
}

// OnDemand returns the on-demand price of the type in the region. The error is
// ErrUnknownRegion, ErrUnknownType or ErrNotOffered.
func (c *Catalogue) OnDemand(region, instanceType string) (Price, error) {
	entry, offer, _, err := c.offer(region, instanceType)
	if err != nil {
		return Price{}, err
	}
	price := Price{USDPerHour: offer.OnDemand, Assumed: offer.OnDemandAssumed}
	switch {
	case !entry.Repriced:
		price.Source = "AWS price list of " + c.header.PriceList.Date
	case offer.OnDemandAssumed:
		price.Source = fmt.Sprintf("AWS price list of %s, scaled by the change in us-east-1 up to %s", c.header.PriceList.Date, c.header.Reprice.Date)
	default:
		price.Source = "AWS price list of " + c.header.Reprice.Date
	}
	return price, nil
}

// Spot returns the spot price of the type in a zone of the region, given by
// name or ID; all zones of a region that offer the type share one price. The
// error is ErrUnknownRegion, ErrUnknownZone, ErrUnknownType or ErrNotOffered.
func (c *Catalogue) Spot(region, zone, instanceType string) (Price, error) {
	_, offer, where, err := c.offer(region, instanceType)
	if err != nil {
		return Price{}, err
	}
	match := func(z Zone) bool { return z.Name == zone || z.ID == zone }
	if !slices.ContainsFunc(where.Zones, match) {
		return Price{}, fmt.Errorf("%w %q in %s: it has %s", ErrUnknownZone, zone, region, zoneNames(where.Zones))
	}
	offering, err := c.Offered(region, instanceType)
	if err != nil {
		return Price{}, err
	}
	if !slices.ContainsFunc(offering.Zones, match) {
		return Price{}, fmt.Errorf("instance type %s is %w in %s: of %s it is offered in %s", instanceType, ErrNotOffered, zone, region, zoneNames(offering.Zones))
	}
	if offer.Spot == 0 {
		return Price{}, fmt.Errorf("instance type %s is %w as spot in %s, only on demand", instanceType, ErrNotOffered, region)
	}
	price := Price{USDPerHour: offer.Spot, Assumed: offer.SpotAssumed}
	if offer.SpotAssumed {
		price.Source = "derived from the on-demand price by the savings known on " + c.header.PriceList.Date
	} else {
		price.Source = "mean spot price of the region's zones on " + c.header.PriceList.Date
	}
	return price, nil
}

// offer finds what a region asks for a type.
func (c *Catalogue) offer(region, instanceType string) (Entry, Offer, Region, error) {
	where, err := c.Region(region)
	if err != nil {
		return Entry{}, Offer{}, Region{}, err
	}
	i, ok := c.byName[instanceType]
	if !ok {
		return Entry{}, Offer{}, Region{}, c.unknownType(instanceType)
	}
	entry := c.entries[i]
	offer, ok := entry.Offers[region]
	if !ok {
		others := slices.Sorted(maps.Keys(entry.Offers))
		return Entry{}, Offer{}, Region{}, fmt.Errorf("instance type %s is %w in %s: it is in %s", instanceType, ErrNotOffered, region, strings.Join(others, ", "))
	}
	return entry, offer, where, nil
}

// unknownType names the sizes of the same family, or else how to list all.
func (c *Catalogue) unknownType(name string) error {
	family, _, _ := strings.Cut(name, ".")
	var sizes []string
	for _, t := range c.types {
		if strings.HasPrefix(t.Name, family+".") {
			sizes = append(sizes, t.Name)
		}
	}
	if len(sizes) == 0 {
		return fmt.Errorf("%w %q: none of the catalogue's %d types (as of %s) is of a family %q", ErrUnknownType, name, len(c.types), c.header.PriceList.Date, family)
	}
	return fmt.Errorf("%w %q: of that family there are %s", ErrUnknownType, name, strings.Join(sizes, ", "))
}

func zoneNames(zones []Zone) string {
	names := make([]string, 0, len(zones))
	for _, zone := range zones {
		names = append(names, fmt.Sprintf("%s (%s)", zone.Name, zone.ID))
	}
	return strings.Join(names, ", ")
}
