package account

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"eks-gpu-slicing/rehearsal/account/authz"
)

// FleetInput is CreateFleet as far as Karpenter uses it: type instant, which answers with the
// instances it launched.
type FleetInput struct {
	// Spot is the default target capacity type.
	Spot bool
	// Target is the number of instances.
	Target int
	// Prioritized picks by the overrides' priorities (the strategies prioritized and
	// capacity-optimized-prioritized) instead of by price.
	Prioritized bool
	Configs     []FleetConfig
	// Tags are by resource type: fleet, instance, volume.
	Tags map[string]Tags
}

// FleetConfig is a launch template with the ways it may be launched.
type FleetConfig struct {
	Template  LaunchTemplateRef
	Overrides []FleetOverride
}

// FleetOverride is one way to launch. Lower Priority is preferred.
type FleetOverride struct {
	InstanceType, SubnetID, AvailabilityZone, ImageID string
	Priority                                          float64
}

// FleetInstances are instances that were launched in one way.
type FleetInstances struct {
	IDs          []string
	InstanceType string
	Spot         bool
	Template     LaunchTemplateRef
	Override     FleetOverride
}

// FleetError is why one way to launch did not work.
type FleetError struct {
	Code, Message string
	Spot          bool
	Template      LaunchTemplateRef
	Override      FleetOverride
}

// Fleet is the answer to CreateFleet.
type Fleet struct {
	ID        string
	Instances []FleetInstances
	Errors    []FleetError
}

// fleetPool is one override, resolved.
type fleetPool struct {
	launch   Launch
	config   FleetConfig
	override FleetOverride
	price    float64
}

// CreateFleet launches instances in the cheapest way that works. The real one weighs price against
// the spot capacity it knows of (price-capacity-optimized); here there is all capacity, or by a
// [Shortage] none, so price alone decides, and between equal prices the subnet with the most free
// addresses.
//
// Each way is a RunInstances of the caller, of which allow is asked as IAM sees it: one that is
// denied is an UnauthorizedOperation among the fleet's errors, as EC2 reports it, and the next way
// is tried. allow is asked while the account is locked and must not call it.
func (a *Account) CreateFleet(in FleetInput, allow func(...authz.Call) error) (Fleet, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if in.Target < 1 {
		return Fleet{}, refuse("InvalidParameterValue", "TotalTargetCapacity must be at least 1, not %d", in.Target)
	}
	if len(in.Configs) == 0 {
		return Fleet{}, refuse("MissingParameter", "The request must contain the parameter LaunchTemplateConfigs")
	}
	for _, c := range in.Configs {
		if _, err := a.findTemplate(c.Template); err != nil {
			return Fleet{}, err // the whole fleet, not one of its ways
		}
	}
	f := Fleet{ID: "fleet-" + a.nextUUID()}
	pools := a.fleetPools(in, &f)
	left := in.Target
	for _, p := range pools {
		p.launch.Count, p.launch.FleetID = left, f.ID
		launched, err := a.launchSome(p.launch, allow)
		if err != nil {
			f.fail(in.Spot, p.config, p.override, err)
		}
		if len(launched) == 0 {
			continue
		}
		got := FleetInstances{
			InstanceType: p.launch.Type.Name, Spot: in.Spot, Override: p.override,
			Template: LaunchTemplateRef{ID: p.launch.FromLT.ID, Name: p.launch.FromLT.Name, Version: p.config.Template.Version},
		}
		for _, i := range launched {
			got.IDs = append(got.IDs, i.ID)
		}
		f.Instances = append(f.Instances, got)
		if left -= len(launched); left == 0 {
			break
		}
	}
	return f, nil
}

// launchSome launches what there is room for; where that is not all, the error says why.
func (a *Account) launchSome(l Launch, allow func(...authz.Call) error) ([]Instance, error) {
	if err := allow(a.runCalls(l)...); err != nil {
		return nil, err
	}
	room, short := a.room(l)
	if room == 0 && short != nil {
		return nil, short
	}
	l.Count = room
	launched, err := a.launch(l)
	if err == nil && short != nil {
		err = short
	}
	return launched, err
}

// fleetPools resolves the overrides, best first; those that cannot be launched become errors.
func (a *Account) fleetPools(in FleetInput, f *Fleet) []fleetPool {
	var pools []fleetPool
	for _, c := range in.Configs {
		overrides := c.Overrides
		if len(overrides) == 0 {
			overrides = []FleetOverride{{}}
		}
		for _, o := range overrides {
			l, err := a.resolveLaunch(fleetLaunch(in, c, o))
			if err == nil {
				var p fleetPool
				if p, err = a.priced(l, in.Spot); err == nil {
					p.config, p.override = c, o
					p.override.InstanceType, p.override.SubnetID, p.override.AvailabilityZone = l.Type.Name, l.SubnetID, l.AvailabilityZone
					p.override.ImageID = l.Image.ID
					pools = append(pools, p)
					continue
				}
			}
			f.fail(in.Spot, c, o, err)
		}
	}
	slices.SortStableFunc(pools, func(x, y fleetPool) int {
		if in.Prioritized {
			return cmp.Compare(x.override.Priority, y.override.Priority)
		}
		return cmp.Or(cmp.Compare(x.price, y.price), cmp.Compare(y.launch.Subnet.AvailableIPs, x.launch.Subnet.AvailableIPs))
	})
	return pools
}

func fleetLaunch(in FleetInput, c FleetConfig, o FleetOverride) LaunchInput {
	template := c.Template
	return LaunchInput{
		Template: &template, Data: LaunchTemplateData{InstanceType: o.InstanceType, ImageID: o.ImageID},
		SubnetID: o.SubnetID, AvailabilityZone: o.AvailabilityZone, Count: 1, Spot: in.Spot, Tags: in.Tags,
	}
}

func (a *Account) priced(l Launch, spot bool) (fleetPool, error) {
	price, err := a.types.OnDemand(a.region, l.Type.Name)
	if spot {
		price, err = a.types.Spot(a.region, l.AvailabilityZone, l.Type.Name)
	}
	if err != nil {
		return fleetPool{}, refuse("InvalidFleetConfiguration", "%s", err)
	}
	return fleetPool{launch: l, price: price.USDPerHour}, nil
}

func (f *Fleet) fail(spot bool, c FleetConfig, o FleetOverride, err error) {
	e := FleetError{Code: "InternalError", Message: err.Error(), Spot: spot, Template: c.Template, Override: o}
	if refused, ok := errors.AsType[*Error](err); ok {
		e.Code, e.Message = refused.Code, refused.Message
	}
	f.Errors = append(f.Errors, e)
}

// SpotPrice is the price of a type in a zone.
type SpotPrice struct {
	InstanceType, AvailabilityZone string
	USDPerHour                     float64
}

// DescribeSpotPriceHistory lists today's spot prices by type and zone; they do not move. No
// types is all types.
func (a *Account) DescribeSpotPriceHistory(types []string) ([]SpotPrice, error) {
	all, err := a.types.TypesIn(a.region)
	if err != nil {
		return nil, err
	}
	var out []SpotPrice
	for _, t := range all {
		if !a.world.offersType(t.Name) || len(types) > 0 && !slices.Contains(types, t.Name) {
			continue
		}
		o, err := a.types.Offered(a.region, t.Name)
		if err != nil {
			return nil, err
		}
		for _, z := range o.Zones {
			// A type without a spot price in a zone has no history there.
			if p, err := a.types.Spot(a.region, z.Name, t.Name); err == nil {
				out = append(out, SpotPrice{InstanceType: t.Name, AvailabilityZone: z.Name, USDPerHour: p.USDPerHour})
			}
		}
	}
	slices.SortFunc(out, func(x, y SpotPrice) int {
		return cmp.Or(strings.Compare(x.InstanceType, y.InstanceType), strings.Compare(x.AvailabilityZone, y.AvailabilityZone))
	})
	return out, nil
}

// OnDemandPrice is the list price of a type.
type OnDemandPrice struct {
	InstanceType string
	BareMetal    bool
	USDPerHour   float64
}

// OnDemandPrices lists what the pricing API says of the Linux instances of a region: the account's
// own or another. By type.
func (a *Account) OnDemandPrices(region string) ([]OnDemandPrice, error) {
	all, err := a.types.TypesIn(region)
	if err != nil {
		return nil, err
	}
	var out []OnDemandPrice
	for _, t := range all {
		p, err := a.types.OnDemand(region, t.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, OnDemandPrice{InstanceType: t.Name, BareMetal: t.BareMetal, USDPerHour: p.USDPerHour})
	}
	return out, nil
}

// DescribeInstanceTypes lists the types the region offers, by name. Filters: instance-type,
// supported-virtualization-type, processor-info.supported-architecture, bare-metal,
// current-generation.
func (a *Account) DescribeInstanceTypes(names []string, filters ...Filter) ([]InstanceType, error) {
	all, err := a.types.TypesIn(a.region)
	if err != nil {
		return nil, err
	}
	var out []InstanceType
	for _, t := range all {
		if !a.world.offersType(t.Name) || len(names) > 0 && !slices.Contains(names, t.Name) {
			continue
		}
		ok, err := fields{
			"instance-type": {t.Name}, "supported-virtualization-type": t.VirtualizationTypes,
			"processor-info.supported-architecture": t.Architectures,
			"bare-metal":                            {boolText(t.BareMetal)}, "current-generation": {boolText(t.CurrentGeneration)},
		}.match(filters, nil)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		full, err := a.DescribeInstanceType(t.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, full)
	}
	for _, n := range names {
		if _, err := a.DescribeInstanceType(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
