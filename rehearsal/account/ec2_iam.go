package account

import (
	"maps"
	"strconv"

	"eks-gpu-slicing/rehearsal/account/authz"
)

// This file says how IAM sees EC2's calls: which resources each one touches, with which tags and
// condition keys (package authz has the table of what each action is asked about).

// ec2ARN is the ARN of an EC2 resource in this region; Amazon's images and snapshots bear no
// account. "*" stands for one yet to be made.
func (a *Account) ec2ARN(kind, id string) string {
	if kind == "image" || kind == "snapshot" {
		return "arn:aws:ec2:" + a.region + "::" + kind + "/" + id
	}
	return a.arn("ec2", kind+"/"+id)
}

// RunCalls are RunInstances as IAM sees it: the launch and, where it hands the instance a role,
// iam:PassRole of that role to EC2.
func (a *Account) RunCalls(l Launch) []authz.Call { return a.runCalls(l) }

func (a *Account) runCalls(l Launch) []authz.Call {
	calls := []authz.Call{a.runCall(l)}
	if l.Profile != nil && l.Profile.Role != nil {
		calls = append(calls, PassRoleCall(*l.Profile.Role, "ec2.amazonaws.com"))
	}
	return calls
}

// PassRoleCall is iam:PassRole of a role to an AWS service, as IAM sees it.
func PassRoleCall(r Role, service string) authz.Call {
	return authz.Call{
		Action: "iam:PassRole", Context: map[string][]string{"iam:PassedToService": {service}},
		Targets: []authz.Target{{Type: "role", ARN: r.ARN, Tags: r.Tags}},
	}
}

func (a *Account) runCall(l Launch) authz.Call {
	fromTemplate := map[string]string{"ec2:IsLaunchTemplateResource": boolText(l.FromLT != nil)}
	if l.FromLT != nil {
		fromTemplate["ec2:LaunchTemplate"] = a.ec2ARN("launch-template", l.FromLT.ID)
	}
	with := func(keys map[string]string) map[string]string {
		maps.Copy(keys, fromTemplate)
		return keys
	}
	c := authz.Call{Action: "ec2:RunInstances", Targets: []authz.Target{
		{Type: "image", ARN: a.ec2ARN("image", l.Image.ID), Keys: with(map[string]string{"ec2:ImageID": l.Image.ID, "ec2:Owner": "amazon", "ec2:Public": "true"})},
		a.subnetTarget(l, with),
	}}
	for _, g := range l.Groups {
		c.Targets = append(c.Targets, authz.Target{
			Type: "security-group", ARN: a.ec2ARN("security-group", g.ID), Tags: g.Tags,
			Keys: with(map[string]string{"ec2:SecurityGroupID": g.ID, "ec2:Vpc": a.ec2ARN("vpc", g.VPCID)}),
		})
	}
	if l.FromLT != nil {
		c.Targets = append(c.Targets, authz.Target{Type: "launch-template", ARN: a.ec2ARN("launch-template", l.FromLT.ID), Tags: l.FromLT.Tags, Keys: with(map[string]string{})})
	}
	c.Targets = append(c.Targets,
		authz.Target{Type: "instance", ARN: a.ec2ARN("instance", "*"), RequestTags: l.Tags["instance"], Keys: with(a.instanceKeys(l))},
		authz.Target{Type: "volume", ARN: a.ec2ARN("volume", "*"), RequestTags: l.Tags["volume"], Keys: with(map[string]string{"ec2:AvailabilityZone": l.AvailabilityZone})},
		authz.Target{
			Type: "network-interface", ARN: a.ec2ARN("network-interface", "*"), RequestTags: l.Tags["network-interface"],
			Keys: with(map[string]string{"ec2:AvailabilityZone": l.AvailabilityZone, "ec2:Subnet": a.ec2ARN("subnet", l.SubnetID), "ec2:Vpc": a.ec2ARN("vpc", l.Subnet.VPCID)}),
		},
	)
	if l.Spot {
		c.Targets = append(c.Targets, authz.Target{Type: "spot-instances-request", ARN: a.ec2ARN("spot-instances-request", "*"), RequestTags: l.Tags["spot-instances-request"]})
	}
	return c
}

func (a *Account) subnetTarget(l Launch, with func(map[string]string) map[string]string) authz.Target {
	return authz.Target{
		Type: "subnet", ARN: a.ec2ARN("subnet", l.SubnetID), Tags: l.Subnet.Tags,
		Keys: with(map[string]string{"ec2:SubnetID": l.SubnetID, "ec2:AvailabilityZone": l.AvailabilityZone, "ec2:Vpc": a.ec2ARN("vpc", l.Subnet.VPCID)}),
	}
}

func (a *Account) instanceKeys(l Launch) map[string]string {
	m := metadataDefaults(l.Data.Metadata, l.Image)
	keys := map[string]string{
		"ec2:InstanceType": l.Type.Name, "ec2:AvailabilityZone": l.AvailabilityZone, "ec2:Tenancy": "default", "ec2:RootDeviceType": "ebs",
		"ec2:MetadataHttpEndpoint": m.HTTPEndpoint, "ec2:MetadataHttpTokens": m.HTTPTokens, "ec2:MetadataHttpPutResponseHopLimit": strconv.Itoa(m.HopLimit),
		"ec2:InstanceMarketType": "on-demand",
	}
	if l.Spot {
		keys["ec2:InstanceMarketType"] = "spot"
	}
	if l.Profile != nil {
		keys["ec2:InstanceProfile"] = l.Profile.ARN
	}
	return keys
}

// FleetCall is CreateFleet as IAM sees it: the fleet and what it makes, the launch templates, and
// the images and subnets its overrides name. The launches inside are calls of their own.
func (a *Account) FleetCall(in FleetInput) (authz.Call, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := authz.Call{Action: "ec2:CreateFleet", Targets: []authz.Target{
		{Type: "fleet", ARN: a.ec2ARN("fleet", "*"), RequestTags: in.Tags["fleet"]},
		{Type: "instance", ARN: a.ec2ARN("instance", "*"), RequestTags: in.Tags["instance"]},
		{Type: "volume", ARN: a.ec2ARN("volume", "*"), RequestTags: in.Tags["volume"]},
	}}
	seen := map[string]bool{}
	add := func(t authz.Target) {
		if !seen[t.ARN] {
			seen[t.ARN] = true
			c.Targets = append(c.Targets, t)
		}
	}
	for _, config := range in.Configs {
		t, err := a.findTemplate(config.Template)
		if err != nil {
			return c, err
		}
		add(authz.Target{Type: "launch-template", ARN: a.ec2ARN("launch-template", t.ID), Tags: t.Tags})
		for _, o := range config.Overrides {
			if o.ImageID != "" {
				add(authz.Target{Type: "image", ARN: a.ec2ARN("image", o.ImageID), Keys: map[string]string{"ec2:ImageID": o.ImageID, "ec2:Owner": "amazon", "ec2:Public": "true"}})
			}
			if s := a.ec2.subnets[o.SubnetID]; s != nil {
				add(authz.Target{
					Type: "subnet", ARN: a.ec2ARN("subnet", s.ID), Tags: s.Tags,
					Keys: map[string]string{"ec2:SubnetID": s.ID, "ec2:AvailabilityZone": s.AvailabilityZone, "ec2:Vpc": a.ec2ARN("vpc", s.VPCID)},
				})
			}
		}
	}
	return c, nil
}

// NewTemplateTarget is a launch template that is being made, as IAM sees it.
func (a *Account) NewTemplateTarget(tags Tags) authz.Target {
	return authz.Target{Type: "launch-template", ARN: a.ec2ARN("launch-template", "*"), RequestTags: tags}
}

// EC2Targets are existing EC2 resources as IAM sees them. An ID that is not there is EC2's error.
func (a *Account) EC2Targets(ids ...string) ([]authz.Target, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []authz.Target
	for _, id := range ids {
		t, err := a.ec2Target(id)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (a *Account) ec2Target(id string) (authz.Target, error) {
	switch {
	case a.ec2.groups[id] != nil:
		return authz.Target{Type: "security-group", ARN: a.ec2ARN("security-group", id), Tags: a.ec2.groups[id].Tags.with(nil)}, nil
	case a.ec2.templates[id] != nil:
		return authz.Target{Type: "launch-template", ARN: a.ec2ARN("launch-template", id), Tags: a.ec2.templates[id].Tags.with(nil)}, nil
	case a.ec2.subnets[id] != nil:
		return authz.Target{Type: "subnet", ARN: a.ec2ARN("subnet", id), Tags: a.ec2.subnets[id].Tags.with(nil)}, nil
	}
	i, err := a.instance(id)
	if err != nil {
		return authz.Target{}, err
	}
	return authz.Target{
		Type: "instance", ARN: a.ec2ARN("instance", id), Tags: i.Tags.with(nil),
		Keys: map[string]string{
			"ec2:InstanceID": i.ID, "ec2:InstanceType": i.Type, "ec2:AvailabilityZone": i.AvailabilityZone, "ec2:InstanceProfile": i.InstanceProfileARN,
			"ec2:Tenancy": "default", "ec2:RootDeviceType": "ebs", "ec2:MetadataHttpTokens": i.Metadata.HTTPTokens,
		},
	}, nil
}

// FindLaunchTemplate finds a launch template by ID or name, whichever ref has.
func (a *Account) FindLaunchTemplate(ref LaunchTemplateRef) (LaunchTemplate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, err := a.findTemplate(ref)
	if err != nil {
		return LaunchTemplate{}, err
	}
	return t.clone(), nil
}

// DescribeLaunchTemplates lists launch templates by ID; a name or ID that is not there is an error.
// Filters: launch-template-name, tag:KEY, tag-key.
func (a *Account) DescribeLaunchTemplates(ids, names []string, filters ...Filter) ([]LaunchTemplate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []*launchTemplate
	for _, id := range ids {
		t, err := a.template(id)
		if err != nil {
			return nil, err
		}
		found = append(found, t)
	}
	for _, name := range names {
		t, err := a.templateByName(name)
		if err != nil {
			return nil, err
		}
		found = append(found, t)
	}
	if len(ids)+len(names) == 0 {
		for _, id := range sortedKeys(a.ec2.templates) {
			found = append(found, a.ec2.templates[id])
		}
	}
	var out []LaunchTemplate
	for _, t := range found {
		ok, err := fields{"launch-template-name": {t.Name}, "create-time": {t.CreateTime.Format("2006-01-02T15:04:05.000Z")}}.match(filters, t.Tags)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, t.clone())
		}
	}
	return out, nil
}
