package wire

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// ec2Operations are the EC2 actions that the stack's nodes, Karpenter and people at a shell use.
func ec2Operations() map[string]operation {
	return map[string]operation{
		"CreateFleet":                   (*call).createFleet,
		"CreateLaunchTemplate":          (*call).createLaunchTemplate,
		"CreateTags":                    (*call).createTags,
		"DeleteLaunchTemplate":          (*call).deleteLaunchTemplate,
		"DescribeAvailabilityZones":     (*call).describeAvailabilityZones,
		"DescribeCapacityReservations":  (*call).describeCapacityReservations,
		"DescribeImages":                (*call).describeImages,
		"DescribeInstanceStatus":        (*call).describeInstanceStatus,
		"DescribeInstanceTypeOfferings": (*call).describeInstanceTypeOfferings,
		"DescribeInstanceTypes":         (*call).describeInstanceTypes,
		"DescribeInstances":             (*call).describeInstances,
		"DescribeLaunchTemplates":       (*call).describeLaunchTemplates,
		"DescribeNetworkInterfaces":     (*call).describeNetworkInterfaces,
		"DescribePlacementGroups":       (*call).describePlacementGroups,
		"DescribeSecurityGroups":        (*call).describeSecurityGroups,
		"DescribeSpotPriceHistory":      (*call).describeSpotPriceHistory,
		"DescribeSubnets":               (*call).describeSubnets,
		"DescribeVolumes":               (*call).describeVolumes,
		"DescribeVpcs":                  (*call).describeVpcs,
		"RunInstances":                  (*call).runInstances,
		"TerminateInstances":            (*call).terminateInstances,
	}
}

// ec2Filter is one Filter.N of a Describe action.
type ec2Filter struct {
	Name   string   `form:"Name"`
	Values []string `form:"Value"`
}

func filters(in []ec2Filter) []account.Filter {
	var out []account.Filter
	for _, f := range in {
		out = append(out, account.Filter{Name: f.Name, Values: f.Values})
	}
	return out
}

// alsoByID is the filter of an ID or name list, which Describe actions take beside filters.
func alsoByID(in []account.Filter, name string, ids []string) []account.Filter {
	if len(ids) == 0 {
		return in
	}
	return append(in, account.Filter{Name: name, Values: ids})
}

// read decodes the input of a Describe action and asks IAM, who knows only "*" for them.
func (c *call) read(into any) error {
	if err := c.decode(into); err != nil {
		return err
	}
	return c.authorize(authz.Call{Action: "ec2:" + c.action})
}

type tagXML struct {
	Key   string `form:"Key" xml:"key"`
	Value string `form:"Value" xml:"value"`
}

func tagsXML(tags account.Tags) []tagXML {
	var out []tagXML
	for _, k := range sortedKeys(tags) {
		out = append(out, tagXML{k, tags[k]})
	}
	return out
}

func (c *call) describeInstanceTypes() (any, error) {
	var in struct {
		Types      []string    `form:"InstanceType"`
		Filters    []ec2Filter `form:"Filter"`
		MaxResults int         `form:"MaxResults"`
		NextToken  string      `form:"NextToken"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	all, err := c.account.DescribeInstanceTypes(in.Types, filters(in.Filters)...)
	if err != nil {
		return nil, err
	}
	items, next, err := page(all, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &struct {
		ec2Output
		Types []instanceTypeXML `xml:"instanceTypeSet>item"`
		Next  string            `xml:"nextToken,omitempty"`
	}{Next: next}
	for _, t := range items {
		out.Types = append(out.Types, newInstanceType(t))
	}
	return out, nil
}

func (c *call) describeInstanceTypeOfferings() (any, error) {
	var in struct {
		LocationType string      `form:"LocationType"`
		Filters      []ec2Filter `form:"Filter"`
		MaxResults   int         `form:"MaxResults"`
		NextToken    string      `form:"NextToken"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	all, err := c.account.DescribeInstanceTypeOfferings(in.LocationType, filters(in.Filters)...)
	if err != nil {
		return nil, err
	}
	items, next, err := page(all, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	type offering struct {
		Type         string `xml:"instanceType"`
		Location     string `xml:"location"`
		LocationType string `xml:"locationType"`
	}
	out := &struct {
		ec2Output
		Offerings []offering `xml:"instanceTypeOfferingSet>item"`
		Next      string     `xml:"nextToken,omitempty"`
	}{Next: next}
	for _, o := range items {
		out.Offerings = append(out.Offerings, offering{o.InstanceType, o.Location, o.LocationType})
	}
	return out, nil
}

func (c *call) describeSpotPriceHistory() (any, error) {
	var in struct {
		Types        []string    `form:"InstanceType"`
		Descriptions []string    `form:"ProductDescription"`
		Filters      []ec2Filter `form:"Filter"`
		Start        time.Time   `form:"StartTime"`
		End          time.Time   `form:"EndTime"`
		Zone         string      `form:"AvailabilityZone"`
		MaxResults   int         `form:"MaxResults"`
		NextToken    string      `form:"NextToken"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if len(in.Filters) > 0 {
		return nil, &unknownParameterError{"Filter.1.Name"}
	}
	all, err := c.account.DescribeSpotPriceHistory(in.Types)
	if err != nil {
		return nil, err
	}
	type price struct {
		Zone        string `xml:"availabilityZone"`
		Type        string `xml:"instanceType"`
		Description string `xml:"productDescription"`
		Price       string `xml:"spotPrice"`
		Timestamp   string `xml:"timestamp"`
	}
	out := &struct {
		ec2Output
		Prices []price `xml:"spotPriceHistorySet>item"`
		Next   string  `xml:"nextToken"`
	}{}
	var kept []account.SpotPrice
	for _, p := range all {
		if in.Zone == "" || in.Zone == p.AvailabilityZone {
			kept = append(kept, p)
		}
	}
	items, next, err := page(kept, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out.Next = next
	// The prices do not move: the one in force is as old as the day.
	since := timestamp(c.now().UTC().Truncate(24 * time.Hour))
	for _, p := range items {
		out.Prices = append(out.Prices, price{p.AvailabilityZone, p.InstanceType, "Linux/UNIX", strconv.FormatFloat(p.USDPerHour, 'f', 6, 64), since})
	}
	return out, nil
}

// timestamp is a time as EC2 writes it.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (c *call) describeAvailabilityZones() (any, error) {
	var in struct {
		Names   []string    `form:"ZoneName"`
		Filters []ec2Filter `form:"Filter"`
		All     bool        `form:"AllAvailabilityZones"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	zones, err := c.account.DescribeAvailabilityZones(alsoByID(filters(in.Filters), "zone-name", in.Names)...)
	if err != nil {
		return nil, err
	}
	type zone struct {
		Name   string `xml:"zoneName"`
		ID     string `xml:"zoneId"`
		Type   string `xml:"zoneType"`
		Group  string `xml:"groupName"`
		Border string `xml:"networkBorderGroup"`
		OptIn  string `xml:"optInStatus"`
		State  string `xml:"zoneState"`
		Region string `xml:"regionName"`
	}
	out := &struct {
		ec2Output
		Zones []zone `xml:"availabilityZoneInfo>item"`
	}{}
	for _, z := range zones {
		out.Zones = append(out.Zones, zone{z.Name, z.ID, z.Type, z.GroupName, c.account.Region(), z.OptInStatus, z.State, c.account.Region()})
	}
	return out, nil
}

func (c *call) describeVpcs() (any, error) {
	var in struct {
		IDs        []string    `form:"VpcId"`
		Filters    []ec2Filter `form:"Filter"`
		MaxResults int         `form:"MaxResults"`
		NextToken  string      `form:"NextToken"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	all, err := c.account.DescribeVpcs(alsoByID(filters(in.Filters), "vpc-id", in.IDs)...)
	if err != nil {
		return nil, err
	}
	if err := allFound(len(in.IDs), len(all), "InvalidVpcID.NotFound", "vpc ID", in.IDs); err != nil {
		return nil, err
	}
	items, next, err := page(all, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	type vpc struct {
		ID      string   `xml:"vpcId"`
		CIDR    string   `xml:"cidrBlock"`
		State   string   `xml:"state"`
		Owner   string   `xml:"ownerId"`
		Options string   `xml:"dhcpOptionsId"`
		Tenancy string   `xml:"instanceTenancy"`
		Default bool     `xml:"isDefault"`
		Tags    []tagXML `xml:"tagSet>item"`
	}
	out := &struct {
		ec2Output
		VPCs []vpc  `xml:"vpcSet>item"`
		Next string `xml:"nextToken,omitempty"`
	}{Next: next}
	for _, v := range items {
		out.VPCs = append(out.VPCs, vpc{v.ID, v.CIDR, "available", account.ID, v.DHCPOptionsID, "default", v.IsDefault, tagsXML(v.Tags)})
	}
	return out, nil
}

// allFound refuses a list of IDs of which some are not there. A filter beside it may have dropped
// others, so only an empty answer to IDs alone is taken for that.
func allFound(asked, found int, code, what string, ids []string) error {
	if asked > 0 && found == 0 {
		return &account.Error{Code: code, Message: fmt.Sprintf("The %s '%s' does not exist", what, ids[0]), HTTPStatus: http.StatusBadRequest}
	}
	return nil
}

func (c *call) describeSubnets() (any, error) {
	var in struct {
		IDs        []string    `form:"SubnetId"`
		Filters    []ec2Filter `form:"Filter"`
		MaxResults int         `form:"MaxResults"`
		NextToken  string      `form:"NextToken"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	all, err := c.account.DescribeSubnets(alsoByID(filters(in.Filters), "subnet-id", in.IDs)...)
	if err != nil {
		return nil, err
	}
	if err := allFound(len(in.IDs), len(all), "InvalidSubnetID.NotFound", "subnet ID", in.IDs); err != nil {
		return nil, err
	}
	items, next, err := page(all, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	type subnet struct {
		ID        string   `xml:"subnetId"`
		ARN       string   `xml:"subnetArn"`
		VPC       string   `xml:"vpcId"`
		CIDR      string   `xml:"cidrBlock"`
		Zone      string   `xml:"availabilityZone"`
		ZoneID    string   `xml:"availabilityZoneId"`
		Available int      `xml:"availableIpAddressCount"`
		Default   bool     `xml:"defaultForAz"`
		Public    bool     `xml:"mapPublicIpOnLaunch"`
		State     string   `xml:"state"`
		Owner     string   `xml:"ownerId"`
		Tags      []tagXML `xml:"tagSet>item"`
	}
	out := &struct {
		ec2Output
		Subnets []subnet `xml:"subnetSet>item"`
		Next    string   `xml:"nextToken,omitempty"`
	}{Next: next}
	for _, s := range items {
		out.Subnets = append(out.Subnets, subnet{
			s.ID, "arn:aws:ec2:" + c.account.Region() + ":" + account.ID + ":subnet/" + s.ID, s.VPCID, s.CIDR, s.AvailabilityZone, s.AvailabilityZoneID,
			s.AvailableIPs, s.DefaultForAZ, s.MapPublicIPOnLaunch, "available", account.ID, tagsXML(s.Tags),
		})
	}
	return out, nil
}

func (c *call) describeSecurityGroups() (any, error) {
	var in struct {
		IDs        []string    `form:"GroupId"`
		Names      []string    `form:"GroupName"`
		Filters    []ec2Filter `form:"Filter"`
		MaxResults int         `form:"MaxResults"`
		NextToken  string      `form:"NextToken"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	by := alsoByID(alsoByID(filters(in.Filters), "group-id", in.IDs), "group-name", in.Names)
	all, err := c.account.DescribeSecurityGroups(by...)
	if err != nil {
		return nil, err
	}
	if err := allFound(len(in.IDs), len(all), "InvalidGroup.NotFound", "security group", in.IDs); err != nil {
		return nil, err
	}
	items, next, err := page(all, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &struct {
		ec2Output
		Groups []securityGroupXML `xml:"securityGroupInfo>item"`
		Next   string             `xml:"nextToken,omitempty"`
	}{Next: next}
	for _, g := range items {
		out.Groups = append(out.Groups, newSecurityGroup(g))
	}
	return out, nil
}

// describeCapacityReservations answers that the account has none.
func (c *call) describeCapacityReservations() (any, error) {
	var in struct {
		IDs        []string    `form:"CapacityReservationId"`
		Filters    []ec2Filter `form:"Filter"`
		MaxResults int         `form:"MaxResults"`
		NextToken  string      `form:"NextToken"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := allFound(len(in.IDs), 0, "InvalidCapacityReservationId.NotFound", "capacity reservation", in.IDs); err != nil {
		return nil, err
	}
	return &struct {
		ec2Output
		Set struct{} `xml:"capacityReservationSet"`
	}{}, nil
}
