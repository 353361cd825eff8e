package world

import (
	"context"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/kubelet"
)

// boot turns instances that run into nodes, and ends the nodes of those that end,
// until ctx does.
func (w *World) boot(ctx context.Context) {
	booted := map[string]bool{}
	for revision := int64(0); ; {
		changed, now, err := w.account.WaitInstances(ctx, revision)
		if err != nil {
			return // ctx has ended; there is no other reason
		}
		revision = now
		for _, i := range changed {
			if i.State == account.StateRunning {
				if booted[i.ID] || !w.joins(i) {
					continue
				}
				booted[i.ID] = true
				err = w.add(i)
			} else if booted[i.ID] && i.State != account.StatePending {
				delete(booted, i.ID)
				err = w.remove(i)
			}
			if err != nil {
				w.options.Log.ErrorContext(ctx, "instance", "id", i.ID, "state", i.State, "error", err)
			}
		}
	}
}

// joins tells whether an instance is one of the cluster's: by the tag that every
// node of an EKS cluster bears.
func (w *World) joins(i account.Instance) bool {
	cluster := w.Cluster()
	return cluster != "" && i.Tags["kubernetes.io/cluster/"+cluster] == "owned"
}

func (w *World) add(i account.Instance) error {
	described, err := w.describe(i)
	if err != nil {
		return fmt.Errorf("instance %s: %w", i.ID, err)
	}
	w.mu.Lock()
	w.instances[i.PrivateDNSName] = i.ID
	w.mu.Unlock()
	return w.nodes.AddInstance(described)
}

func (w *World) remove(i account.Instance) error {
	w.mu.Lock()
	maps.DeleteFunc(w.instances, func(_, id string) bool { return id == i.ID })
	w.mu.Unlock()
	return w.nodes.RemoveInstance(i.ID)
}

// KillKubelet ends the kubelet of a node whose instance runs on.
func (w *World) KillKubelet(instanceID string) error { return w.nodes.KillKubelet(instanceID) }

// describe is what an instance knows of itself when it boots.
func (w *World) describe(i account.Instance) (kubelet.Instance, error) {
	images, err := w.account.DescribeImages([]string{i.ImageID}, nil)
	if err != nil {
		return kubelet.Instance{}, err
	}
	image := images[0]
	out := kubelet.Instance{
		ID: i.ID, Type: i.Type, Region: w.options.Region, Zone: i.AvailabilityZone, ZoneID: i.AvailabilityZoneID,
		PrivateDNSName: i.PrivateDNSName, PrivateIP: i.PrivateIP,
		AMIFamily: family(image.Name), KubernetesVersion: image.Version, VolumeGiB: int64(image.VolumeSize), UserData: i.UserData,
	}
	if i.LaunchTemplateID != "" {
		v, err := w.account.DescribeLaunchTemplateVersion(i.LaunchTemplateID, fmt.Sprint(i.LaunchTemplateVersion))
		if err != nil {
			return out, err
		}
		for _, d := range v.Data.BlockDevices {
			if d.DeviceName == image.RootDevice && d.VolumeSize > 0 {
				out.VolumeGiB = int64(d.VolumeSize)
			}
		}
	}
	if i.Nodegroup == "" {
		return out, nil
	}
	group, err := w.account.DescribeNodegroup(i.Cluster, i.Nodegroup)
	if err != nil {
		return out, err
	}
	if group.DiskSize > 0 {
		out.VolumeGiB = int64(group.DiskSize)
	}
	// What EKS adds to the labels that the node group states (EKS user guide,
	// "Managed node groups": the nodes' eks.amazonaws.com labels).
	out.Labels = maps.Clone(group.Labels)
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	out.Labels["eks.amazonaws.com/nodegroup"] = group.Name
	out.Labels["eks.amazonaws.com/capacityType"] = group.CapacityType
	out.Labels["eks.amazonaws.com/nodegroup-image"] = i.ImageID
	for _, t := range group.Taints {
		effect, err := taintEffect(t.Effect)
		if err != nil {
			return out, err
		}
		out.Taints = append(out.Taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: effect})
	}
	return out, nil
}

// family is the AMI family of an EKS optimized image by its name: Amazon Linux 2023
// images have it in theirs, those of Amazon Linux 2 do not (EKS user guide,
// "Retrieve recommended Amazon Linux AMI IDs").
func family(imageName string) string {
	if strings.Contains(imageName, "al2023") {
		return "AL2023"
	}
	return "AL2"
}

// taintEffect is a taint's effect in Kubernetes, given EKS's word for it.
func taintEffect(eks string) (corev1.TaintEffect, error) {
	switch eks {
	case "NO_SCHEDULE":
		return corev1.TaintEffectNoSchedule, nil
	case "NO_EXECUTE":
		return corev1.TaintEffectNoExecute, nil
	case "PREFER_NO_SCHEDULE":
		return corev1.TaintEffectPreferNoSchedule, nil
	}
	return "", fmt.Errorf("taint effect %q is none of %s", eks, strings.Join(account.TaintEffects(), ", "))
}
