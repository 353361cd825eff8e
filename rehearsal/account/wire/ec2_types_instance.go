package wire

import (
	"eks-gpu-slicing/rehearsal/account"
)

type launchTemplateXML struct {
	ID      string   `xml:"launchTemplateId"`
	Name    string   `xml:"launchTemplateName"`
	Created string   `xml:"createTime"`
	By      string   `xml:"createdBy"`
	Default int      `xml:"defaultVersionNumber"`
	Latest  int      `xml:"latestVersionNumber"`
	Tags    []tagXML `xml:"tagSet>item"`
}

func newLaunchTemplate(t account.LaunchTemplate) launchTemplateXML {
	return launchTemplateXML{t.ID, t.Name, timestamp(t.CreateTime), t.CreatedBy, t.DefaultVersion, t.LatestVersion, tagsXML(t.Tags)}
}

type reservationXML struct {
	ID        string        `xml:"reservationId"`
	Owner     string        `xml:"ownerId"`
	Instances []instanceXML `xml:"instancesSet>item"`
}

type stateXML struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

func newState(name string) stateXML { return stateXML{account.StateCode(name), name} }

type groupXML struct {
	ID string `xml:"groupId"`
}

type instanceXML struct {
	ID           string   `xml:"instanceId"`
	Image        string   `xml:"imageId"`
	Type         string   `xml:"instanceType"`
	State        stateXML `xml:"instanceState"`
	Architecture string   `xml:"architecture"`
	Launched     string   `xml:"launchTime"`
	Placement    struct {
		Zone    string `xml:"availabilityZone"`
		ZoneID  string `xml:"availabilityZoneId"`
		Tenancy string `xml:"tenancy"`
	} `xml:"placement"`
	Subnet     string      `xml:"subnetId,omitempty"`
	VPC        string      `xml:"vpcId,omitempty"`
	PrivateIP  string      `xml:"privateIpAddress,omitempty"`
	PrivateDNS string      `xml:"privateDnsName"`
	PublicDNS  string      `xml:"dnsName"`
	Groups     []groupXML  `xml:"groupSet>item"`
	Profile    *profileRef `xml:"iamInstanceProfile"`
	Lifecycle  string      `xml:"instanceLifecycle,omitempty"`
	SpotID     string      `xml:"spotInstanceRequestId,omitempty"`
	Metadata   struct {
		State    string `xml:"state"`
		Endpoint string `xml:"httpEndpoint"`
		Tokens   string `xml:"httpTokens"`
		Hops     int    `xml:"httpPutResponseHopLimit"`
	} `xml:"metadataOptions"`
	Interfaces []interfaceXML `xml:"networkInterfaceSet>item"`
	Devices    []deviceXML    `xml:"blockDeviceMapping>item"`
	RootDevice string         `xml:"rootDeviceName"`
	RootType   string         `xml:"rootDeviceType"`
	Reason     *reasonXML     `xml:"stateReason"`
	Tags       []tagXML       `xml:"tagSet>item"`
}

type reasonXML struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

type profileRef struct {
	ARN string `xml:"arn"`
}

type interfaceXML struct {
	ID        string     `xml:"networkInterfaceId"`
	Subnet    string     `xml:"subnetId"`
	VPC       string     `xml:"vpcId"`
	Type      string     `xml:"interfaceType"`
	PrivateIP string     `xml:"privateIpAddress"`
	Groups    []groupXML `xml:"groupSet>item"`
	Status    string     `xml:"status"`
}

type deviceXML struct {
	Name string `xml:"deviceName"`
	EBS  struct {
		Volume string `xml:"volumeId"`
		Status string `xml:"status"`
		Delete bool   `xml:"deleteOnTermination"`
	} `xml:"ebs"`
}

func newInstance(i account.Instance) instanceXML {
	x := instanceXML{
		ID: i.ID, Image: i.ImageID, Type: i.Type, State: newState(i.State), Architecture: i.Architecture, Launched: timestamp(i.LaunchTime),
		PrivateIP: i.PrivateIP, PrivateDNS: i.PrivateDNSName, SpotID: i.SpotRequestID, RootDevice: "/dev/xvda", RootType: "ebs", Tags: tagsXML(i.Tags),
	}
	x.Placement.Zone, x.Placement.ZoneID, x.Placement.Tenancy = i.AvailabilityZone, i.AvailabilityZoneID, "default"
	if i.Spot {
		x.Lifecycle = "spot"
	}
	if i.InstanceProfileARN != "" {
		x.Profile = &profileRef{i.InstanceProfileARN}
	}
	m := &x.Metadata
	m.State, m.Endpoint, m.Tokens, m.Hops = "applied", i.Metadata.HTTPEndpoint, i.Metadata.HTTPTokens, i.Metadata.HopLimit
	if i.StateReason != "" {
		x.Reason = &reasonXML{i.StateReason, i.StateReason + ": " + i.State}
	}
	if i.State == account.StateTerminated {
		return x // its interface, volume and groups are gone
	}
	x.Subnet, x.VPC = i.SubnetID, i.VPCID
	for _, id := range i.SecurityGroupIDs {
		x.Groups = append(x.Groups, groupXML{id})
	}
	x.Interfaces = []interfaceXML{{i.NetworkInterfaceID, i.SubnetID, i.VPCID, "interface", i.PrivateIP, x.Groups, "in-use"}}
	d := deviceXML{Name: "/dev/xvda"}
	d.EBS.Volume, d.EBS.Status, d.EBS.Delete = i.VolumeID, "attached", !i.VolumeStays
	x.Devices = []deviceXML{d}
	return x
}
