package account

import (
	"regexp"
	"slices"
	"strconv"
	"time"
)

// LaunchTemplate is a launch template without its versions.
type LaunchTemplate struct {
	ID, Name string
	// DefaultVersion and LatestVersion count from 1.
	DefaultVersion, LatestVersion int
	CreateTime                    time.Time
	CreatedBy                     string
	Tags                          Tags
}

// LaunchTemplateVersion is one version; it never changes.
type LaunchTemplateVersion struct {
	Number      int
	Description string
	CreateTime  time.Time
	Data        LaunchTemplateData
}

// LaunchTemplateData is what instances are launched with. The zero value of a
// field is "not included in the template".
type LaunchTemplateData struct {
	ImageID, InstanceType, KeyName, UserData string
	IAMInstanceProfile                       string
	ShutdownBehavior                         string
	EBSOptimized, Monitoring, Hibernation    *bool
	SecurityGroupIDs                         []string
	NetworkInterfaces                        []NetworkInterfaceSpec
	BlockDevices                             []BlockDevice
	Metadata                                 *MetadataOptions
	TagSpecifications                        []TagSpecification
}

// NetworkInterfaceSpec is a network interface to launch with.
type NetworkInterfaceSpec struct {
	DeviceIndex, NetworkCardIndex          int
	AssociatePublicIP, DeleteOnTermination *bool
	SubnetID, InterfaceType                string
	SecurityGroupIDs                       []string
}

// BlockDevice is a volume to launch with. Sizes are in GiB, throughput in
// MiB/s; 0 is the volume type's default.
type BlockDevice struct {
	DeviceName, VirtualName, NoDevice string
	VolumeType, SnapshotID, KMSKeyID  string
	VolumeSize, IOPS, Throughput      int
	Encrypted, DeleteOnTermination    *bool
}

// MetadataOptions say how instances reach the metadata service.
type MetadataOptions struct {
	// HTTPEndpoint is enabled or disabled, HTTPTokens required (IMDSv2) or
	// optional.
	HTTPEndpoint, HTTPTokens, HTTPProtocolIPv6, InstanceMetadataTags string
	// HopLimit is the number of network hops an answer may travel, 1 to 64.
	HopLimit int
}

// TagSpecification tags what is launched: instance, volume, network-interface,
// spot-instances-request.
type TagSpecification struct {
	ResourceType string
	Tags         Tags
}

type launchTemplate struct {
	LaunchTemplate
	versions []LaunchTemplateVersion
}

func (t *launchTemplate) clone() LaunchTemplate {
	c := t.LaunchTemplate
	c.Tags = t.Tags.with(nil)
	return c
}

// CreateLaunchTemplateInput says what a launch template is to be.
type CreateLaunchTemplateInput struct {
	Name, VersionDescription string
	Data                     LaunchTemplateData
	Tags                     Tags
}

// CreateLaunchTemplate makes a launch template with version 1. EC2 does not
// look at whether what it names exists.
func (a *Account) CreateLaunchTemplate(in CreateLaunchTemplateInput) (LaunchTemplate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	// API reference, CreateLaunchTemplate: 3 to 128 characters of this pattern.
	if len(in.Name) < 3 || len(in.Name) > 128 || !regexp.MustCompile(`^[a-zA-Z0-9().\-/_]+$`).MatchString(in.Name) {
		return LaunchTemplate{}, refuse("InvalidLaunchTemplateName.MalformedException",
			"A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _")
	}
	for _, t := range a.ec2.templates {
		if t.Name == in.Name {
			return LaunchTemplate{}, refuse("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
		}
	}
	if err := in.Tags.check("InvalidParameterValue"); err != nil {
		return LaunchTemplate{}, err
	}
	if err := in.Data.check(); err != nil {
		return LaunchTemplate{}, err
	}
	t := &launchTemplate{LaunchTemplate: LaunchTemplate{
		ID: a.nextID("lt"), Name: in.Name, DefaultVersion: 1, LatestVersion: 1,
		CreateTime: a.timestamp(), CreatedBy: CallerARN, Tags: in.Tags.with(nil),
	}}
	t.versions = []LaunchTemplateVersion{{Number: 1, Description: in.VersionDescription, CreateTime: t.CreateTime, Data: in.Data}}
	a.ec2.templates[t.ID] = t
	return t.clone(), nil
}

func (d LaunchTemplateData) check() error {
	if m := d.Metadata; m != nil && (m.HopLimit < 0 || m.HopLimit > 64) {
		return refuse("InvalidParameterValue", "Value (%d) for parameter MetadataOptions.HttpPutResponseHopLimit is invalid. The hop limit must be between 1 and 64", m.HopLimit)
	}
	if len(d.SecurityGroupIDs) > 0 && len(d.NetworkInterfaces) > 0 {
		return refuse("InvalidParameterCombination", "Network interfaces and an instance-level security groups may not be specified on the same request")
	}
	return nil
}

// CreateLaunchTemplateVersion adds a version and returns the template.
func (a *Account) CreateLaunchTemplateVersion(id, description string, data LaunchTemplateData) (LaunchTemplate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, err := a.template(id)
	if err != nil {
		return LaunchTemplate{}, err
	}
	if err := data.check(); err != nil {
		return LaunchTemplate{}, err
	}
	t.LatestVersion++
	t.versions = append(slices.Clone(t.versions),
		LaunchTemplateVersion{Number: t.LatestVersion, Description: description, CreateTime: a.timestamp(), Data: data})
	return t.clone(), nil
}

// ModifyLaunchTemplate sets the default version.
func (a *Account) ModifyLaunchTemplate(id string, defaultVersion int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, err := a.template(id)
	if err != nil {
		return err
	}
	if _, err := t.version(strconv.Itoa(defaultVersion)); err != nil {
		return err
	}
	t.DefaultVersion = defaultVersion
	return nil
}

func (a *Account) template(id string) (*launchTemplate, error) {
	if t, ok := a.ec2.templates[id]; ok {
		return t, nil
	}
	return nil, refuse("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", id)
}

func (a *Account) templateByName(name string) (*launchTemplate, error) {
	for _, t := range a.ec2.templates {
		if t.Name == name {
			return t, nil
		}
	}
	return nil, refuse("InvalidLaunchTemplateName.NotFoundException", "At least one of the launch templates specified in the request does not exist.")
}

// version finds a version by number, $Latest or $Default.
func (t *launchTemplate) version(v string) (LaunchTemplateVersion, error) {
	switch v {
	case "$Latest":
		v = strconv.Itoa(t.LatestVersion)
	case "$Default", "":
		v = strconv.Itoa(t.DefaultVersion)
	}
	for _, have := range t.versions {
		if strconv.Itoa(have.Number) == v {
			return have, nil
		}
	}
	return LaunchTemplateVersion{}, refuse("InvalidLaunchTemplateId.VersionNotFound",
		"Could not find the specified version %s for the launch template with ID %s.", v, t.ID)
}

// DescribeLaunchTemplate finds a launch template by ID.
func (a *Account) DescribeLaunchTemplate(id string) (LaunchTemplate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, err := a.template(id)
	if err != nil {
		return LaunchTemplate{}, err
	}
	return t.clone(), nil
}

// DescribeLaunchTemplateVersion finds one version by number, $Latest or
// $Default ("" too).
func (a *Account) DescribeLaunchTemplateVersion(id, version string) (LaunchTemplateVersion, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, err := a.template(id)
	if err != nil {
		return LaunchTemplateVersion{}, err
	}
	return t.version(version)
}

// DeleteLaunchTemplate deletes a template with all its versions. EC2 does so
// even while a node group uses it.
func (a *Account) DeleteLaunchTemplate(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.template(id); err != nil {
		return err
	}
	delete(a.ec2.templates, id)
	return nil
}
