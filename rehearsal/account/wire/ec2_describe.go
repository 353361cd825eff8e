package wire

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
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

// listed is what Describe actions that answer page by page take beside their own parameters.
type listed struct {
	Filters    []ec2Filter `form:"Filter"`
	MaxResults int         `form:"MaxResults"`
	NextToken  string      `form:"NextToken"`
}

// ec2List is the answer of a Describe action: what was asked for, in an element of its own name.
type ec2List[X any] struct {
	ec2Output
	Set struct {
		XMLName xml.Name
		Items   []X `xml:"item"`
	}
	Next string `xml:"nextToken,omitempty"`
}

// list answers with the page of all that in asks for, in the element set.
func list[T, X any](in listed, set string, all []T, item func(T) X) (*ec2List[X], error) {
	items, next, err := page(all, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ec2List[X]{Next: next}
	out.Set.XMLName.Local = set
	for _, i := range items {
		out.Set.Items = append(out.Set.Items, item(i))
	}
	return out, nil
}

// none answers with an empty set.
func none(set string) (any, error) {
	return list(listed{}, set, nil, func(struct{}) struct{} { return struct{}{} })
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
		Types []string `form:"InstanceType"`
		listed
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	all, err := c.account.DescribeInstanceTypes(in.Types, filters(in.Filters)...)
	if err != nil {
		return nil, err
	}
	return list(in.listed, "instanceTypeSet", all, newInstanceType)
}

func (c *call) describeInstanceTypeOfferings() (any, error) {
	var in struct {
		LocationType string `form:"LocationType"`
		listed
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	all, err := c.account.DescribeInstanceTypeOfferings(in.LocationType, filters(in.Filters)...)
	if err != nil {
		return nil, err
	}
	type offering struct {
		Type         string `xml:"instanceType"`
		Location     string `xml:"location"`
		LocationType string `xml:"locationType"`
	}
	return list(in.listed, "instanceTypeOfferingSet", all, func(o account.InstanceTypeOffering) offering {
		return offering{o.InstanceType, o.Location, o.LocationType}
	})
}

func (c *call) describeSpotPriceHistory() (any, error) {
	var in struct {
		Types        []string  `form:"InstanceType"`
		Descriptions []string  `form:"ProductDescription"`
		Start        time.Time `form:"StartTime"`
		End          time.Time `form:"EndTime"`
		Zone         string    `form:"AvailabilityZone"`
		listed
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
	all = slices.DeleteFunc(all, func(p account.SpotPrice) bool { return in.Zone != "" && in.Zone != p.AvailabilityZone })
	// The prices do not move: the one in force is as old as the day.
	since := timestamp(c.now().UTC().Truncate(24 * time.Hour))
	return list(in.listed, "spotPriceHistorySet", all, func(p account.SpotPrice) price {
		return price{p.AvailabilityZone, p.InstanceType, "Linux/UNIX", strconv.FormatFloat(p.USDPerHour, 'f', 6, 64), since}
	})
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
	return list(listed{}, "availabilityZoneInfo", zones, func(z account.AvailabilityZone) zone {
		return zone{z.Name, z.ID, z.Type, z.GroupName, c.account.Region(), z.OptInStatus, z.State, c.account.Region()}
	})
}

func (c *call) describeVpcs() (any, error) {
	var in struct {
		IDs []string `form:"VpcId"`
		listed
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
	return list(in.listed, "vpcSet", all, func(v account.VPC) vpc {
		return vpc{v.ID, v.CIDR, "available", account.ID, v.DHCPOptionsID, "default", v.IsDefault, tagsXML(v.Tags)}
	})
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
		IDs []string `form:"SubnetId"`
		listed
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
	return list(in.listed, "subnetSet", all, func(s account.Subnet) subnet {
		return subnet{
			s.ID, "arn:aws:ec2:" + c.account.Region() + ":" + account.ID + ":subnet/" + s.ID, s.VPCID, s.CIDR, s.AvailabilityZone, s.AvailabilityZoneID,
			s.AvailableIPs, s.DefaultForAZ, s.MapPublicIPOnLaunch, "available", account.ID, tagsXML(s.Tags),
		}
	})
}

func (c *call) describeSecurityGroups() (any, error) {
	var in struct {
		IDs   []string `form:"GroupId"`
		Names []string `form:"GroupName"`
		listed
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
	return list(in.listed, "securityGroupInfo", all, newSecurityGroup)
}

// describeCapacityReservations answers that the account has none.
func (c *call) describeCapacityReservations() (any, error) {
	var in struct {
		IDs []string `form:"CapacityReservationId"`
		listed
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := allFound(len(in.IDs), 0, "InvalidCapacityReservationId.NotFound", "capacity reservation", in.IDs); err != nil {
		return nil, err
	}
	return none("capacityReservationSet")
}
