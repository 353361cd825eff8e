package wire

import (
	"net/http"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// tagSpec is one TagSpecification.N.
type tagSpec struct {
	ResourceType string   `form:"ResourceType"`
	Tags         []tagXML `form:"Tag"`
}

func tagsOf(list []tagXML) account.Tags {
	tags := account.Tags{}
	for _, t := range list {
		tags[t.Key] = t.Value
	}
	return tags
}

// byType are tags by the type of resource they are for.
func byType(specs []tagSpec) map[string]account.Tags {
	out := map[string]account.Tags{}
	for _, s := range specs {
		out[s.ResourceType] = tagsOf(s.Tags)
	}
	return out
}

// templateRef is LaunchTemplateSpecification.
type templateRef struct {
	ID      string `form:"LaunchTemplateId"`
	Name    string `form:"LaunchTemplateName"`
	Version string `form:"Version"`
}

func (r templateRef) ref() account.LaunchTemplateRef {
	return account.LaunchTemplateRef{ID: r.ID, Name: r.Name, Version: r.Version}
}

// launchData is RequestLaunchTemplateData, which RunInstances takes too.
type launchData struct {
	ImageID      string `form:"ImageId"`
	InstanceType string `form:"InstanceType"`
	KeyName      string `form:"KeyName"`
	UserData     string `form:"UserData"`
	Profile      struct {
		ARN  string `form:"Arn"`
		Name string `form:"Name"`
	} `form:"IamInstanceProfile"`
	Groups     []string      `form:"SecurityGroupId"`
	Interfaces []interfaceIn `form:"NetworkInterface"`
	Devices    []deviceIn    `form:"BlockDeviceMapping"`
	Metadata   *metadataIn   `form:"MetadataOptions"`
	EBS        *bool         `form:"EbsOptimized"`
	Monitoring *enabled      `form:"Monitoring"`
	Placement  placementIn   `form:"Placement"`
	Enclave    *enabled      `form:"EnclaveOptions"`
	Shutdown   string        `form:"InstanceInitiatedShutdownBehavior"`
	Market     struct {
		Type string `form:"MarketType"`
	} `form:"InstanceMarketOptions"`
	// Reservations is taken and has nothing to prefer: the account has no capacity reservations.
	Reservations struct {
		Preference string `form:"CapacityReservationPreference"`
	} `form:"CapacityReservationSpecification"`
	Tags []tagSpec `form:"TagSpecification"`
}

type enabled struct {
	Enabled bool `form:"Enabled"`
}

// placementIn: the account knows no hosts and no placement groups, so only shared tenancy is taken.
type placementIn struct {
	Tenancy string `form:"Tenancy"`
	Zone    string `form:"AvailabilityZone"`
}

type interfaceIn struct {
	Device  int      `form:"DeviceIndex"`
	Card    int      `form:"NetworkCardIndex"`
	Type    string   `form:"InterfaceType"`
	Subnet  string   `form:"SubnetId"`
	Groups  []string `form:"SecurityGroupId"`
	Public  *bool    `form:"AssociatePublicIpAddress"`
	Delete  *bool    `form:"DeleteOnTermination"`
	Comment string   `form:"Description"`
}

type deviceIn struct {
	Name    string `form:"DeviceName"`
	Virtual string `form:"VirtualName"`
	None    string `form:"NoDevice"`
	EBS     struct {
		Type       string `form:"VolumeType"`
		Size       int    `form:"VolumeSize"`
		IOPS       int    `form:"Iops"`
		Throughput int    `form:"Throughput"`
		Snapshot   string `form:"SnapshotId"`
		Key        string `form:"KmsKeyId"`
		Encrypted  *bool  `form:"Encrypted"`
		Delete     *bool  `form:"DeleteOnTermination"`
	} `form:"Ebs"`
}

type metadataIn struct {
	Endpoint string `form:"HttpEndpoint"`
	Tokens   string `form:"HttpTokens"`
	IPv6     string `form:"HttpProtocolIpv6"`
	Hops     int    `form:"HttpPutResponseHopLimit"`
	Tags     string `form:"InstanceMetadataTags"`
}

func (d launchData) data() (account.LaunchTemplateData, error) {
	if d.Placement.Tenancy != "" && d.Placement.Tenancy != "default" {
		return account.LaunchTemplateData{}, &account.Error{
			Code: "InvalidTenancy", Message: "The tenancy value of the instance is not supported: " + d.Placement.Tenancy + " (the rehearsal's account has no dedicated hosts)", HTTPStatus: http.StatusBadRequest,
		}
	}
	out := account.LaunchTemplateData{
		ImageID: d.ImageID, InstanceType: d.InstanceType, KeyName: d.KeyName, UserData: d.UserData, IAMInstanceProfile: d.Profile.Name,
		ShutdownBehavior: d.Shutdown, EBSOptimized: d.EBS, SecurityGroupIDs: d.Groups,
	}
	if d.Profile.ARN != "" {
		out.IAMInstanceProfile = d.Profile.ARN
	}
	if d.Monitoring != nil {
		out.Monitoring = &d.Monitoring.Enabled
	}
	if m := d.Metadata; m != nil {
		out.Metadata = &account.MetadataOptions{
			HTTPEndpoint: m.Endpoint, HTTPTokens: m.Tokens, HTTPProtocolIPv6: m.IPv6, InstanceMetadataTags: m.Tags, HopLimit: m.Hops,
		}
	}
	for _, i := range d.Interfaces {
		out.NetworkInterfaces = append(out.NetworkInterfaces, account.NetworkInterfaceSpec{
			DeviceIndex: i.Device, NetworkCardIndex: i.Card, AssociatePublicIP: i.Public, DeleteOnTermination: i.Delete,
			SubnetID: i.Subnet, InterfaceType: i.Type, SecurityGroupIDs: i.Groups,
		})
	}
	for _, v := range d.Devices {
		out.BlockDevices = append(out.BlockDevices, account.BlockDevice{
			DeviceName: v.Name, VirtualName: v.Virtual, NoDevice: v.None, VolumeType: v.EBS.Type, SnapshotID: v.EBS.Snapshot, KMSKeyID: v.EBS.Key,
			VolumeSize: v.EBS.Size, IOPS: v.EBS.IOPS, Throughput: v.EBS.Throughput, Encrypted: v.EBS.Encrypted, DeleteOnTermination: v.EBS.Delete,
		})
	}
	for _, t := range d.Tags {
		out.TagSpecifications = append(out.TagSpecifications, account.TagSpecification{ResourceType: t.ResourceType, Tags: tagsOf(t.Tags)})
	}
	return out, nil
}

func (c *call) createLaunchTemplate() (any, error) {
	var in struct {
		Name        string     `form:"LaunchTemplateName"`
		Description string     `form:"VersionDescription"`
		Data        launchData `form:"LaunchTemplateData"`
		Tags        []tagSpec  `form:"TagSpecification"`
		Token       string     `form:"ClientToken"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	tags := byType(in.Tags)["launch-template"]
	if err := c.authorize(authz.Call{Action: "ec2:CreateLaunchTemplate", Targets: []authz.Target{c.account.NewTemplateTarget(tags)}}); err != nil {
		return nil, err
	}
	data, err := in.Data.data()
	if err != nil {
		return nil, err
	}
	return c.once(in.Token, func() (any, error) {
		t, err := c.account.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: in.Name, VersionDescription: in.Description, Data: data, Tags: tags})
		if err != nil {
			return nil, err
		}
		return newTemplateOutput(t), nil
	})
}

type templateOutput struct {
	ec2Output
	Template launchTemplateXML `xml:"launchTemplate"`
}

func newTemplateOutput(t account.LaunchTemplate) *templateOutput {
	return &templateOutput{Template: newLaunchTemplate(t)}
}

func (c *call) deleteLaunchTemplate() (any, error) {
	var in struct {
		ID   string `form:"LaunchTemplateId"`
		Name string `form:"LaunchTemplateName"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	t, err := c.account.FindLaunchTemplate(account.LaunchTemplateRef{ID: in.ID, Name: in.Name})
	if err != nil {
		return nil, err
	}
	targets, err := c.account.EC2Targets(t.ID)
	if err != nil {
		return nil, err
	}
	if err := c.authorize(authz.Call{Action: "ec2:DeleteLaunchTemplate", Targets: targets}); err != nil {
		return nil, err
	}
	if err := c.account.DeleteLaunchTemplate(t.ID); err != nil {
		return nil, err
	}
	return newTemplateOutput(t), nil
}

func (c *call) createTags() (any, error) {
	var in struct {
		IDs  []string `form:"ResourceId"`
		Tags []tagXML `form:"Tag"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	targets, err := c.account.EC2Targets(in.IDs...)
	if err != nil {
		return nil, err
	}
	for i := range targets {
		targets[i].RequestTags = tagsOf(in.Tags)
	}
	if err := c.authorize(authz.Call{Action: "ec2:CreateTags", Targets: targets}); err != nil {
		return nil, err
	}
	if err := c.account.CreateTags(in.IDs, tagsOf(in.Tags)); err != nil {
		return nil, err
	}
	return &struct {
		ec2Output
		Return bool `xml:"return"`
	}{Return: true}, nil
}

func (c *call) terminateInstances() (any, error) {
	var in struct {
		IDs []string `form:"InstanceId"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	targets, err := c.account.EC2Targets(in.IDs...)
	if err != nil {
		return nil, err
	}
	if err := c.authorize(authz.Call{Action: "ec2:TerminateInstances", Targets: targets}); err != nil {
		return nil, err
	}
	changes, err := c.account.TerminateInstances(in.IDs...)
	if err != nil {
		return nil, err
	}
	type change struct {
		ID       string   `xml:"instanceId"`
		Current  stateXML `xml:"currentState"`
		Previous stateXML `xml:"previousState"`
	}
	out := &struct {
		ec2Output
		Changes []change `xml:"instancesSet>item"`
	}{}
	for _, s := range changes {
		out.Changes = append(out.Changes, change{s.ID, newState(s.Current), newState(s.Previous)})
	}
	return out, nil
}

func (c *call) runInstances() (any, error) {
	var in struct {
		Template *templateRef `form:"LaunchTemplate"`
		Min      int          `form:"MinCount"`
		Max      int          `form:"MaxCount"`
		Subnet   string       `form:"SubnetId"`
		Token    string       `form:"ClientToken"`
		launchData
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	data, err := in.data()
	if err != nil {
		return nil, err
	}
	tags := byType(in.Tags)
	data.TagSpecifications = nil // those of the request win over the template's
	launch := account.LaunchInput{
		Data: data, SubnetID: in.Subnet, AvailabilityZone: in.Placement.Zone, Count: in.Max, Spot: in.Market.Type == "spot", Tags: tags,
	}
	if in.Template != nil {
		ref := in.Template.ref()
		launch.Template = &ref
	}
	if in.Min < 1 || in.Max < in.Min {
		return nil, &account.Error{Code: "InvalidParameterValue", Message: "MinCount must be at least 1 and MaxCount at least MinCount", HTTPStatus: http.StatusBadRequest}
	}
	resolved, err := c.account.ResolveLaunch(launch)
	if err != nil {
		return nil, err
	}
	if err := c.authorize(c.account.RunCalls(resolved)...); err != nil {
		return nil, err
	}
	return c.once(in.Token, func() (any, error) {
		instances, err := c.account.RunInstances(launch)
		if err != nil {
			return nil, err
		}
		out := &struct {
			ec2Output
			reservationXML
		}{}
		for _, i := range instances {
			out.ID, out.Owner = i.ReservationID, account.ID
			out.Instances = append(out.Instances, newInstance(i))
		}
		return out, nil
	})
}
