package account

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// This file is what goes wrong in an account without AWS having said no.

// LaunchUnrecorded launches another instance like one of Karpenter's, as if Karpenter had died
// before it wrote down what CreateFleet answered: with the ownership tags, and without the tags that
// Karpenter sets once a NodeClaim knows its instance (its pkg/controllers/nodeclaim/tagging).
func (a *Account) LaunchUnrecorded(like string) (Instance, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, err := a.instance(like)
	if err != nil {
		return Instance{}, err
	}
	if i.Tags["karpenter.sh/nodepool"] == "" {
		return Instance{}, errors.New("instance " + like + " is not Karpenter's: it has no tag karpenter.sh/nodepool")
	}
	in := LaunchInput{
		SubnetID: i.SubnetID, Count: 1, Spot: i.Spot,
		Data: LaunchTemplateData{
			ImageID: i.ImageID, InstanceType: i.Type, UserData: i.UserData, IAMInstanceProfile: i.InstanceProfileARN,
			SecurityGroupIDs: slices.Clone(i.SecurityGroupIDs), Metadata: &i.Metadata,
		},
		Tags: map[string]Tags{"instance": maps.Clone(i.Tags)},
	}
	if _, there := a.ec2.templates[i.LaunchTemplateID]; there {
		// All but these are the template's, which may name security groups by interface.
		in.Template = &LaunchTemplateRef{ID: i.LaunchTemplateID}
		in.Data = LaunchTemplateData{ImageID: i.ImageID, InstanceType: i.Type}
	}
	if n := a.compute.interfaces[i.NetworkInterfaceID]; n != nil {
		in.Tags["network-interface"] = maps.Clone(n.Tags)
	}
	if v := a.compute.volumes[i.VolumeID]; v != nil {
		in.Tags["volume"] = maps.Clone(v.Tags)
	}
	maps.DeleteFunc(in.Tags["instance"], func(k, _ string) bool {
		return k == "karpenter.sh/nodeclaim" || k == "Name" || strings.HasPrefix(k, "aws:")
	})
	l, err := a.resolveLaunch(in)
	if err != nil {
		return Instance{}, err
	}
	out, err := a.launch(l)
	if err != nil {
		return Instance{}, err
	}
	return out[0], nil
}

// DeleteClusterByHand deletes a cluster as somebody does in the console: its node groups, then the
// cluster. What is in it and what Karpenter launched for it is not asked.
func (a *Account) DeleteClusterByHand(name string) error {
	groups, err := a.ListNodegroups(name)
	if err != nil {
		return err
	}
	for _, group := range groups {
		if err := a.DeleteNodegroup(name, group); err != nil {
			return err
		}
	}
	return a.DeleteCluster(name)
}
