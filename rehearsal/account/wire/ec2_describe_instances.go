package wire

import (
	"slices"

	"eks-gpu-slicing/rehearsal/account"
)

func (c *call) describeImages() (any, error) {
	var in struct {
		IDs        []string `form:"ImageId"`
		Owners     []string `form:"Owner"`
		Deprecated bool     `form:"IncludeDeprecated"`
		listed
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	all, err := c.account.DescribeImages(in.IDs, in.Owners, filters(in.Filters)...)
	if err != nil {
		return nil, err
	}
	return list(in.listed, "imagesSet", all, newImage)
}

// describeInstanceStatus answers that all running instances are well, for nothing here impairs one,
// and which of them are to be retired.
func (c *call) describeInstanceStatus() (any, error) {
	var in struct {
		IDs []string `form:"InstanceId"`
		All bool     `form:"IncludeAllInstances"`
		listed
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	var rest []account.Filter
	well, retired := true, false
	for _, f := range in.Filters {
		switch f.Name {
		case "instance-status.status", "instance-status.reachability", "system-status.status", "system-status.reachability", "attached-ebs-status.status":
			well = well && (contains(f.Values, "ok") || contains(f.Values, "passed"))
		case "event.code":
			retired, well = true, well && contains(f.Values, retirement)
		default:
			rest = append(rest, account.Filter{Name: f.Name, Values: f.Values})
		}
	}
	if !in.All {
		rest = append(rest, account.Filter{Name: "instance-state-name", Values: []string{account.StateRunning}})
	}
	all, err := c.account.DescribeInstances(in.IDs, rest...)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(i account.Instance) bool { return !well || retired && i.Retirement.IsZero() })
	type check struct {
		Status string `xml:"status"`
	}
	type event struct {
		Code        string `xml:"code"`
		Description string `xml:"description"`
		ID          string `xml:"instanceEventId"`
		NotBefore   string `xml:"notBefore"`
	}
	type status struct {
		Events   []event  `xml:"eventsSet>item"`
		ID       string   `xml:"instanceId"`
		Zone     string   `xml:"availabilityZone"`
		State    stateXML `xml:"instanceState"`
		Instance check    `xml:"instanceStatus"`
		System   check    `xml:"systemStatus"`
	}
	return list(in.listed, "instanceStatusSet", all, func(i account.Instance) status {
		s := status{ID: i.ID, Zone: i.AvailabilityZone, State: newState(i.State), Instance: check{"ok"}, System: check{"ok"}}
		if !i.Retirement.IsZero() {
			s.Events = []event{{retirement, "The instance is running on degraded hardware", i.RetirementID, timestamp(i.Retirement)}}
		}
		return s
	})
}

// retirement is the code of the only scheduled event there is.
const retirement = "instance-retirement"

func (c *call) describeInstances() (any, error) {
	var in struct {
		IDs []string `form:"InstanceId"`
		listed
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	all, err := c.account.DescribeInstances(in.IDs, filters(in.Filters)...)
	if err != nil {
		return nil, err
	}
	items, next, err := page(all, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &struct {
		ec2Output
		Reservations []reservationXML `xml:"reservationSet>item"`
		Next         string           `xml:"nextToken,omitempty"`
	}{Next: next}
	at := map[string]int{}
	for _, i := range items {
		n, known := at[i.ReservationID]
		if !known {
			n = len(out.Reservations)
			at[i.ReservationID] = n
			out.Reservations = append(out.Reservations, reservationXML{ID: i.ReservationID, Owner: account.ID})
		}
		out.Reservations[n].Instances = append(out.Reservations[n].Instances, newInstance(i))
	}
	return out, nil
}

func (c *call) describeLaunchTemplates() (any, error) {
	var in struct {
		IDs   []string `form:"LaunchTemplateId"`
		Names []string `form:"LaunchTemplateName"`
		listed
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	all, err := c.account.DescribeLaunchTemplates(in.IDs, in.Names, filters(in.Filters)...)
	if err != nil {
		return nil, err
	}
	return list(in.listed, "launchTemplates", all, newLaunchTemplate)
}

// describePlacementGroups answers that the account has none.
func (c *call) describePlacementGroups() (any, error) {
	var in struct {
		IDs     []string    `form:"GroupId"`
		Names   []string    `form:"GroupName"`
		Filters []ec2Filter `form:"Filter"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := allFound(len(in.Names)+len(in.IDs), 0, "InvalidPlacementGroup.Unknown", "placement group", append(in.Names, in.IDs...)); err != nil {
		return nil, err
	}
	return none("placementGroupSet")
}
