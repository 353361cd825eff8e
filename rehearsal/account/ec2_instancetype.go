package account

import (
	"slices"
	"strings"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// InstanceTypeOffering is one type offered in one place.
type InstanceTypeOffering struct {
	InstanceType string
	// LocationType is region, availability-zone or availability-zone-id;
	// Location is a name or ID of that kind.
	LocationType, Location string
}

// InstanceType is a type as the region offers it.
type InstanceType struct {
	catalogue.Type
	// UsageClasses are on-demand and, where it is sold so, spot.
	UsageClasses []string
}

// DescribeInstanceType finds an instance type the region offers.
func (a *Account) DescribeInstanceType(name string) (InstanceType, error) {
	t, known := a.types.Type(name)
	if known && a.world.offersType(name) {
		if o, err := a.types.Offered(a.region, name); err == nil {
			return InstanceType{Type: t, UsageClasses: o.UsageClasses}, nil
		}
	}
	return InstanceType{}, refuse("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", name)
}

// DescribeInstanceTypeOfferings lists what the region offers, by type and
// place. Filters: instance-type, location.
func (a *Account) DescribeInstanceTypeOfferings(locationType string, filters ...Filter) ([]InstanceTypeOffering, error) {
	if locationType == "" {
		locationType = "region"
	}
	if !slices.Contains([]string{"region", "availability-zone", "availability-zone-id"}, locationType) {
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter LocationType is invalid. Allowed are region, availability-zone, availability-zone-id.", locationType)
	}
	all, err := a.types.TypesIn(a.region)
	if err != nil {
		return nil, err
	}
	var out []InstanceTypeOffering
	for _, t := range all {
		if !a.world.offersType(t.Name) {
			continue
		}
		places, err := a.places(t.Name, locationType)
		if err != nil {
			return nil, err
		}
		for _, place := range places {
			ok, err := fields{"instance-type": {t.Name}, "location": {place}}.match(filters, nil)
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, InstanceTypeOffering{InstanceType: t.Name, LocationType: locationType, Location: place})
			}
		}
	}
	return out, nil
}

func (a *Account) places(instanceType, locationType string) ([]string, error) {
	if locationType == "region" {
		return []string{a.region}, nil
	}
	o, err := a.types.Offered(a.region, instanceType)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, z := range o.Zones {
		if locationType == "availability-zone" {
			out = append(out, z.Name)
		} else {
			out = append(out, z.ID)
		}
	}
	slices.SortFunc(out, strings.Compare)
	return out, nil
}
