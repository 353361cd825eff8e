package wire

import (
	"net/http"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// overrideXML is FleetLaunchTemplateOverrides, in and out.
type overrideXML struct {
	Type     string  `form:"InstanceType" xml:"instanceType,omitempty"`
	Subnet   string  `form:"SubnetId" xml:"subnetId,omitempty"`
	Zone     string  `form:"AvailabilityZone" xml:"availabilityZone,omitempty"`
	Image    string  `form:"ImageId" xml:"imageId,omitempty"`
	Priority float64 `form:"Priority" xml:"priority,omitempty"`
}

func (c *call) createFleet() (any, error) {
	var in struct {
		Type    string `form:"Type"`
		Configs []struct {
			Template  templateRef   `form:"LaunchTemplateSpecification"`
			Overrides []overrideXML `form:"Overrides"`
		} `form:"LaunchTemplateConfigs"`
		Capacity struct {
			Total    int    `form:"TotalTargetCapacity"`
			Type     string `form:"DefaultTargetCapacityType"`
			OnDemand int    `form:"OnDemandTargetCapacity"`
			Spot     int    `form:"SpotTargetCapacity"`
		} `form:"TargetCapacitySpecification"`
		Spot struct {
			Strategy string `form:"AllocationStrategy"`
		} `form:"SpotOptions"`
		OnDemand struct {
			Strategy string `form:"AllocationStrategy"`
		} `form:"OnDemandOptions"`
		Tags    []tagSpec `form:"TagSpecification"`
		Token   string    `form:"ClientToken"`
		Context string    `form:"Context"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	spot := in.Capacity.Type == "spot"
	if in.Type != "instant" || in.Capacity.OnDemand+in.Capacity.Spot > 0 || !spot && in.Capacity.Type != "on-demand" {
		return nil, &account.Error{
			Code: "InvalidParameterCombination", HTTPStatus: http.StatusBadRequest,
			Message: "The rehearsal's account launches fleets of type instant whose whole capacity is of one type, on-demand or spot",
		}
	}
	fleet := account.FleetInput{
		Spot: spot, Target: in.Capacity.Total, Tags: byType(in.Tags),
		Prioritized: spot && in.Spot.Strategy == "capacity-optimized-prioritized" || !spot && in.OnDemand.Strategy == "prioritized",
	}
	for _, f := range in.Configs {
		config := account.FleetConfig{Template: f.Template.ref()}
		for _, o := range f.Overrides {
			config.Overrides = append(config.Overrides, account.FleetOverride{
				InstanceType: o.Type, SubnetID: o.Subnet, AvailabilityZone: o.Zone, ImageID: o.Image, Priority: o.Priority,
			})
		}
		fleet.Configs = append(fleet.Configs, config)
	}
	asked, err := c.account.FleetCall(fleet)
	if err != nil {
		return nil, err
	}
	if err := c.authorize(asked); err != nil {
		return nil, err
	}
	return c.once(in.Token, func() (any, error) {
		f, err := c.account.CreateFleet(fleet, func(calls ...authz.Call) error {
			return fleetRefusal(c.allow(nil, c.policies, calls...))
		})
		if err != nil {
			return nil, err
		}
		return newFleetOutput(f), nil
	})
}

type templateAndOverride struct {
	Template struct {
		ID      string `xml:"launchTemplateId,omitempty"`
		Name    string `xml:"launchTemplateName,omitempty"`
		Version string `xml:"version"`
	} `xml:"launchTemplateSpecification"`
	Override overrideXML `xml:"overrides"`
}

func newTemplateAndOverride(t account.LaunchTemplateRef, o account.FleetOverride) templateAndOverride {
	var x templateAndOverride
	x.Template.ID, x.Template.Name, x.Template.Version = t.ID, t.Name, t.Version
	x.Override = overrideXML{o.InstanceType, o.SubnetID, o.AvailabilityZone, o.ImageID, o.Priority}
	return x
}

type fleetOutput struct {
	ec2Output
	ID        string              `xml:"fleetId"`
	Instances []fleetInstancesXML `xml:"fleetInstanceSet>item"`
	Errors    []fleetErrorXML     `xml:"errorSet>item"`
}

type fleetInstancesXML struct {
	IDs       []string            `xml:"instanceIds>item"`
	Type      string              `xml:"instanceType"`
	Lifecycle string              `xml:"lifecycle"`
	From      templateAndOverride `xml:"launchTemplateAndOverrides"`
}

type fleetErrorXML struct {
	Code      string              `xml:"errorCode"`
	Message   string              `xml:"errorMessage"`
	Lifecycle string              `xml:"lifecycle"`
	From      templateAndOverride `xml:"launchTemplateAndOverrides"`
}

func newFleetOutput(f account.Fleet) *fleetOutput {
	lifecycle := map[bool]string{true: "spot", false: "on-demand"}
	out := &fleetOutput{ID: f.ID}
	for _, i := range f.Instances {
		out.Instances = append(out.Instances, fleetInstancesXML{i.IDs, i.InstanceType, lifecycle[i.Spot], newTemplateAndOverride(i.Template, i.Override)})
	}
	for _, e := range f.Errors {
		out.Errors = append(out.Errors, fleetErrorXML{e.Code, e.Message, lifecycle[e.Spot], newTemplateAndOverride(e.Template, e.Override)})
	}
	return out
}
