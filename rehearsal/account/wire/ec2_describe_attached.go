package wire

import (
	"eks-gpu-slicing/rehearsal/account"
)

func (c *call) describeVolumes() (any, error) {
	var in struct {
		IDs []string `form:"VolumeId"`
		listed
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	all, err := c.account.DescribeVolumes(in.IDs, filters(in.Filters)...)
	if err != nil {
		return nil, err
	}
	type attachment struct {
		Volume   string `xml:"volumeId"`
		Instance string `xml:"instanceId"`
		Device   string `xml:"device"`
		Status   string `xml:"status"`
		Delete   bool   `xml:"deleteOnTermination"`
	}
	type volume struct {
		ID          string       `xml:"volumeId"`
		Size        int          `xml:"size"`
		Zone        string       `xml:"availabilityZone"`
		Status      string       `xml:"status"`
		Created     string       `xml:"createTime"`
		Type        string       `xml:"volumeType"`
		Encrypted   bool         `xml:"encrypted"`
		Attachments []attachment `xml:"attachmentSet>item"`
		Tags        []tagXML     `xml:"tagSet>item"`
	}
	return list(in.listed, "volumeSet", all, func(v account.Volume) volume {
		x := volume{
			ID: v.ID, Size: v.SizeGiB, Zone: v.AvailabilityZone, Status: v.State(), Created: timestamp(v.Created), Type: v.Type,
			Encrypted: v.Encrypted, Tags: tagsXML(v.Tags),
		}
		if v.InstanceID != "" {
			x.Attachments = []attachment{{v.ID, v.InstanceID, v.Device, "attached", v.DeleteOnTermination}}
		}
		return x
	})
}

func (c *call) describeNetworkInterfaces() (any, error) {
	var in struct {
		IDs []string `form:"NetworkInterfaceId"`
		listed
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	all, err := c.account.DescribeNetworkInterfaces(in.IDs, filters(in.Filters)...)
	if err != nil {
		return nil, err
	}
	type attachment struct {
		Instance string `xml:"instanceId"`
		Owner    string `xml:"instanceOwnerId"`
		Device   int    `xml:"deviceIndex"`
		Status   string `xml:"status"`
		Delete   bool   `xml:"deleteOnTermination"`
	}
	type networkInterface struct {
		ID          string      `xml:"networkInterfaceId"`
		Subnet      string      `xml:"subnetId"`
		VPC         string      `xml:"vpcId"`
		Zone        string      `xml:"availabilityZone"`
		Description string      `xml:"description"`
		Owner       string      `xml:"ownerId"`
		Status      string      `xml:"status"`
		PrivateIP   string      `xml:"privateIpAddress"`
		Type        string      `xml:"interfaceType"`
		Groups      []groupXML  `xml:"groupSet>item"`
		Attachment  *attachment `xml:"attachment"`
		Tags        []tagXML    `xml:"tagSet>item"`
	}
	return list(in.listed, "networkInterfaceSet", all, func(n account.NetworkInterface) networkInterface {
		x := networkInterface{
			ID: n.ID, Subnet: n.SubnetID, VPC: n.VPCID, Zone: n.AvailabilityZone, Description: n.Description, Owner: account.ID,
			Status: n.State(), PrivateIP: n.PrivateIP, Type: "interface", Tags: tagsXML(n.Tags),
		}
		for _, id := range n.SecurityGroupIDs {
			x.Groups = append(x.Groups, groupXML{id})
		}
		if n.InstanceID != "" {
			x.Attachment = &attachment{n.InstanceID, account.ID, 0, "attached", n.DeleteOnTermination}
		}
		return x
	})
}
