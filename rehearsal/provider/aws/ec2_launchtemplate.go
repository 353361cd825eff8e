package aws

import (
	"maps"
	"strconv"
	"strings"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// launchTemplateKinds are from internal/service/ec2/ec2_launch_template.go.
// Terraform writes several of the booleans as text, because "not set" is a value
// of its own.
func launchTemplateKinds() map[string]*kind {
	data := schema{
		"imageId":                           {},
		"instanceType":                      {},
		"keyName":                           {},
		"userData":                          {},
		"iamInstanceProfile":                {fields: schema{"arn": {}, "name": {}}},
		"instanceInitiatedShutdownBehavior": {oneOf: []string{"stop", "terminate"}},
		"ebsOptimized":                      {},
		"monitoring":                        {fields: schema{"enabled": {}}},
		"hibernationOptions":                {fields: schema{"configured": {required: true}}},
		"vpcSecurityGroupIds":               {},
		"networkInterfaces": {fields: schema{
			"deviceIndex": {}, "networkCardIndex": {}, "associatePublicIpAddress": {}, "deleteOnTermination": {},
			"subnetId": {}, "interfaceType": {}, "securityGroups": {},
		}},
		"blockDeviceMappings": {fields: schema{
			"deviceName": {}, "virtualName": {}, "noDevice": {},
			"ebs": {fields: schema{
				"volumeType":          {computed: true, oneOf: []string{"standard", "io1", "io2", "gp2", "sc1", "st1", "gp3"}},
				"volumeSize":          {computed: true},
				"iops":                {computed: true},
				"throughput":          {computed: true},
				"snapshotId":          {},
				"kmsKeyId":            {},
				"encrypted":           {},
				"deleteOnTermination": {},
			}},
		}},
		"metadataOptions": {computed: true, fields: schema{
			"httpEndpoint":            {computed: true, oneOf: []string{"disabled", "enabled"}},
			"httpTokens":              {computed: true, oneOf: []string{"optional", "required"}},
			"httpPutResponseHopLimit": {computed: true},
			"httpProtocolIpv6":        {computed: true, oneOf: []string{"disabled", "enabled"}},
			"instanceMetadataTags":    {computed: true, oneOf: []string{"disabled", "enabled"}},
		}},
		"tagSpecifications": {fields: schema{"resourceType": {}, "tags": {}}},
	}
	inputs := data.names()
	k := &kind{
		name: "name", maxName: 128, tagged: true, schema: data,
		replace: []string{"name"},
		sets:    []string{"vpcSecurityGroupIds"},
		create:  createLaunchTemplate, read: readLaunchTemplate, tag: ec2Tag,
		destroy: func(c *call) error {
			return c.do("deleting EC2 Launch Template ("+c.id+")", "EC2", "DeleteLaunchTemplate", func() error {
				return c.DeleteLaunchTemplate(c.id)
			})
		},
		recomputed: []string{"defaultVersion", "latestVersion"}, recomputedBy: append(inputs, "description"),
	}
	k.update = func(c *call) error { return updateLaunchTemplate(c, k.recomputedBy) }
	maps.Copy(k.schema, schema{
		"name":                 {},
		"description":          {},
		"defaultVersion":       {computed: true},
		"updateDefaultVersion": {local: true},
		"arn":                  {output: true},
		"latestVersion":        {output: true},
	})
	return map[string]*kind{"aws:ec2/launchTemplate:LaunchTemplate": k}
}

// optional is a boolean that may be absent.
func optional(in props, path ...string) *bool {
	if provider.String(in, path...) == "" {
		return nil
	}
	v := provider.Bool(in, path...)
	return &v
}

func launchTemplateData(in props) account.LaunchTemplateData {
	str := func(path ...string) string { return provider.String(in, path...) }
	d := account.LaunchTemplateData{
		ImageID: str("imageId"), InstanceType: str("instanceType"), KeyName: str("keyName"), UserData: str("userData"),
		IAMInstanceProfile: str("iamInstanceProfile", "arn") + str("iamInstanceProfile", "name"),
		ShutdownBehavior:   str("instanceInitiatedShutdownBehavior"),
		EBSOptimized:       optional(in, "ebsOptimized"), Monitoring: optional(in, "monitoring", "enabled"),
		Hibernation: optional(in, "hibernationOptions", "configured"), SecurityGroupIDs: provider.Strings(in, "vpcSecurityGroupIds"),
	}
	for _, n := range provider.Objects(in, "networkInterfaces") {
		d.NetworkInterfaces = append(d.NetworkInterfaces, account.NetworkInterfaceSpec{
			DeviceIndex: provider.Int(n, "deviceIndex"), NetworkCardIndex: provider.Int(n, "networkCardIndex"),
			AssociatePublicIP: optional(n, "associatePublicIpAddress"), DeleteOnTermination: optional(n, "deleteOnTermination"),
			SubnetID: provider.String(n, "subnetId"), InterfaceType: provider.String(n, "interfaceType"),
			SecurityGroupIDs: provider.Strings(n, "securityGroups"),
		})
	}
	for _, b := range provider.Objects(in, "blockDeviceMappings") {
		d.BlockDevices = append(d.BlockDevices, account.BlockDevice{
			DeviceName: provider.String(b, "deviceName"), VirtualName: provider.String(b, "virtualName"), NoDevice: provider.String(b, "noDevice"),
			VolumeType: provider.String(b, "ebs", "volumeType"), SnapshotID: provider.String(b, "ebs", "snapshotId"), KMSKeyID: provider.String(b, "ebs", "kmsKeyId"),
			VolumeSize: provider.Int(b, "ebs", "volumeSize"), IOPS: provider.Int(b, "ebs", "iops"), Throughput: provider.Int(b, "ebs", "throughput"),
			Encrypted: optional(b, "ebs", "encrypted"), DeleteOnTermination: optional(b, "ebs", "deleteOnTermination"),
		})
	}
	if m := provider.Map(in, "metadataOptions"); m != nil {
		d.Metadata = &account.MetadataOptions{
			HTTPEndpoint: provider.String(m, "httpEndpoint"), HTTPTokens: provider.String(m, "httpTokens"), HopLimit: provider.Int(m, "httpPutResponseHopLimit"),
			HTTPProtocolIPv6: provider.String(m, "httpProtocolIpv6"), InstanceMetadataTags: provider.String(m, "instanceMetadataTags"),
		}
	}
	for _, t := range provider.Objects(in, "tagSpecifications") {
		d.TagSpecifications = append(d.TagSpecifications, account.TagSpecification{
			ResourceType: provider.String(t, "resourceType"), Tags: provider.StringMap(t, "tags"),
		})
	}
	return d
}

// bag collects outputs, and leaves out what is not set.
type bag map[string]any

func (b bag) text(key, v string) {
	if v != "" {
		b[key] = v
	}
}

func (b bag) number(key string, v int) {
	if v != 0 {
		b[key] = v
	}
}

func (b bag) flag(key string, v *bool) {
	if v != nil {
		b[key] = strconv.FormatBool(*v)
	}
}

func (b bag) list(key string, v []any) {
	if len(v) > 0 {
		b[key] = v
	}
}

func (b bag) texts(key string, v []string) {
	if len(v) > 0 {
		b[key] = v
	}
}

// launchTemplateProperties is launchTemplateData the other way round.
func launchTemplateProperties(d account.LaunchTemplateData) bag {
	out := bag{}
	out.text("imageId", d.ImageID)
	out.text("instanceType", d.InstanceType)
	out.text("keyName", d.KeyName)
	out.text("userData", d.UserData)
	out.text("instanceInitiatedShutdownBehavior", d.ShutdownBehavior)
	out.flag("ebsOptimized", d.EBSOptimized)
	out.texts("vpcSecurityGroupIds", d.SecurityGroupIDs)
	if p := d.IAMInstanceProfile; p != "" {
		kind := "name"
		if strings.HasPrefix(p, "arn:") {
			kind = "arn"
		}
		out["iamInstanceProfile"] = map[string]any{kind: p}
	}
	if d.Monitoring != nil {
		out["monitoring"] = map[string]any{"enabled": *d.Monitoring}
	}
	if d.Hibernation != nil {
		out["hibernationOptions"] = map[string]any{"configured": *d.Hibernation}
	}
	if m := d.Metadata; m != nil {
		options := bag{}
		options.text("httpEndpoint", m.HTTPEndpoint)
		options.text("httpTokens", m.HTTPTokens)
		options.text("httpProtocolIpv6", m.HTTPProtocolIPv6)
		options.text("instanceMetadataTags", m.InstanceMetadataTags)
		options.number("httpPutResponseHopLimit", m.HopLimit)
		out["metadataOptions"] = map[string]any(options)
	}
	var interfaces, devices, tags []any
	for _, n := range d.NetworkInterfaces {
		i := bag{}
		i.number("deviceIndex", n.DeviceIndex)
		i.number("networkCardIndex", n.NetworkCardIndex)
		i.flag("associatePublicIpAddress", n.AssociatePublicIP)
		i.flag("deleteOnTermination", n.DeleteOnTermination)
		i.text("subnetId", n.SubnetID)
		i.text("interfaceType", n.InterfaceType)
		i.texts("securityGroups", n.SecurityGroupIDs)
		interfaces = append(interfaces, map[string]any(i))
	}
	for _, v := range d.BlockDevices {
		devices = append(devices, blockDeviceProperties(v))
	}
	for _, t := range d.TagSpecifications {
		spec := bag{}
		spec.text("resourceType", t.ResourceType)
		if len(t.Tags) > 0 {
			spec["tags"] = map[string]string(t.Tags)
		}
		tags = append(tags, map[string]any(spec))
	}
	out.list("networkInterfaces", interfaces)
	out.list("blockDeviceMappings", devices)
	out.list("tagSpecifications", tags)
	return out
}

func blockDeviceProperties(v account.BlockDevice) map[string]any {
	ebs := bag{}
	ebs.text("volumeType", v.VolumeType)
	ebs.text("snapshotId", v.SnapshotID)
	ebs.text("kmsKeyId", v.KMSKeyID)
	ebs.number("volumeSize", v.VolumeSize)
	ebs.number("iops", v.IOPS)
	ebs.number("throughput", v.Throughput)
	ebs.flag("encrypted", v.Encrypted)
	ebs.flag("deleteOnTermination", v.DeleteOnTermination)
	device := bag{}
	device.text("deviceName", v.DeviceName)
	device.text("virtualName", v.VirtualName)
	device.text("noDevice", v.NoDevice)
	if len(ebs) > 0 {
		device["ebs"] = map[string]any(ebs)
	}
	return device
}

func createLaunchTemplate(c *call) (string, error) {
	t, err := send(c, "creating EC2 Launch Template ("+c.str("name")+")", "EC2", "CreateLaunchTemplate", func() (account.LaunchTemplate, error) {
		return c.CreateLaunchTemplate(account.CreateLaunchTemplateInput{
			Name: c.str("name"), VersionDescription: c.str("description"), Data: launchTemplateData(c.in), Tags: c.tags,
		})
	})
	if err != nil {
		return "", err
	}
	return t.ID, nil
}

// readLaunchTemplate shows the latest version, as Terraform does.
func readLaunchTemplate(c *call) (props, account.Tags, error) {
	t, err := send(c, "reading EC2 Launch Template ("+c.id+")", "EC2", "DescribeLaunchTemplates", func() (account.LaunchTemplate, error) {
		return c.DescribeLaunchTemplate(c.id)
	})
	if err != nil {
		return nil, nil, err
	}
	v, err := send(c, "reading EC2 Launch Template ("+c.id+") Version ($Latest)", "EC2", "DescribeLaunchTemplateVersions", func() (account.LaunchTemplateVersion, error) {
		return c.DescribeLaunchTemplateVersion(c.id, "$Latest")
	})
	if err != nil {
		return nil, nil, err
	}
	out := launchTemplateProperties(v.Data)
	out.text("description", v.Description)
	out["name"], out["defaultVersion"], out["latestVersion"] = t.Name, t.DefaultVersion, t.LatestVersion
	out["arn"] = "arn:aws:ec2:" + c.Region() + ":" + account.ID + ":launch-template/" + t.ID
	return object(out), t.Tags, nil
}

// updateLaunchTemplate makes a new version when what instances are launched
// with changes, and the default version what it is wanted to be.
func updateLaunchTemplate(c *call, data []string) error {
	doing := "updating EC2 Launch Template (" + c.id + ")"
	latest := provider.Int(c.state, "latestVersion")
	if c.changed(data...) {
		t, err := send(c, doing, "EC2", "CreateLaunchTemplateVersion", func() (account.LaunchTemplate, error) {
			return c.CreateLaunchTemplateVersion(c.id, c.str("description"), launchTemplateData(c.in))
		})
		if err != nil {
			return err
		}
		latest = t.LatestVersion
	}
	want := provider.Int(c.in, "defaultVersion")
	if provider.Bool(c.in, "updateDefaultVersion") {
		want = latest
	}
	if want == 0 || want == provider.Int(c.state, "defaultVersion") {
		return nil
	}
	return c.do(doing, "EC2", "ModifyLaunchTemplate", func() error {
		return c.ModifyLaunchTemplate(c.id, want)
	})
}
