package kubelet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// Instance is an EC2 instance that is to become a node, as far as its node agent
// knows it: from the instance metadata, from its AMI and from its user data.
type Instance struct {
	// ID is the instance ID, i-….
	ID string
	// Type is the instance type; the catalogue must have it.
	Type string
	// Region, Zone and ZoneID are where it runs, such as us-west-1, us-west-1a and
	// usw1-az1. They become labels of the node.
	Region, Zone, ZoneID string
	// PrivateDNSName is the name of the node, as on every EKS AMI that does not opt
	// for instance IDs, and must be unique. PrivateIP is the node's address.
	PrivateDNSName, PrivateIP string
	// AMIFamily is "AL2" or "AL2023".
	AMIFamily string
	// KubernetesVersion is the AMI's, such as "1.28". The node shows it as its
	// kubelet's version; what it does is the same for all.
	KubernetesVersion string
	// VolumeGiB is the size of the root volume, on which pods have their storage.
	VolumeGiB int64
	// UserData is base64 as in the EC2 API, in the form its AMI family reads: a
	// MIME archive with a call of bootstrap.sh (AL2) or a NodeConfig (AL2023), as
	// Karpenter makes them. What it says of labels, taints, pods and reserved
	// resources is obeyed. "" says nothing.
	UserData string
	// Labels and Taints are what EKS adds for the members of a managed node group,
	// whose user data it merges by itself. User data wins over them.
	Labels map[string]string
	Taints []corev1.Taint
}

// machine is an instance with all that follows from it and never changes.
type machine struct {
	Instance
	hardware              catalogue.Type
	labels                map[string]string
	taints                []corev1.Taint
	capacity, allocatable corev1.ResourceList
}

// newMachine works out what node an instance becomes. An error means that it
// becomes none, as an instance whose user data the AMI cannot read.
func newMachine(i Instance, types *catalogue.Catalogue) (*machine, error) {
	hardware, ok := types.Type(i.Type)
	if !ok {
		return nil, fmt.Errorf("instance %s: %w %q", i.ID, catalogue.ErrUnknownType, i.Type)
	}
	asked, err := parseUserData(i.UserData)
	if err != nil {
		return nil, fmt.Errorf("instance %s: its user data: %w", i.ID, err)
	}
	capacity, allocatable, err := resources(hardware, i.VolumeGiB, asked)
	if err != nil {
		return nil, fmt.Errorf("instance %s: %w", i.ID, err)
	}
	arch := "amd64"
	if slices.Contains(hardware.Architectures, "arm64") {
		arch = "arm64"
	}
	// What the kubelet gives itself (initialNode in pkg/kubelet) and what EKS's
	// cloud controller manager adds to it (the zone and the type of the instance).
	labels := map[string]string{
		corev1.LabelHostname:           i.PrivateDNSName,
		corev1.LabelOSStable:           "linux",
		corev1.LabelArchStable:         arch,
		"beta.kubernetes.io/os":        "linux",
		"beta.kubernetes.io/arch":      arch,
		corev1.LabelInstanceTypeStable: i.Type,
		corev1.LabelTopologyRegion:     i.Region,
		corev1.LabelTopologyZone:       i.Zone,
		"topology.k8s.aws/zone-id":     i.ZoneID,
	}
	maps.Copy(labels, i.Labels)
	maps.Copy(labels, asked.labels)
	taints := slices.Clone(asked.taints)
	for _, t := range i.Taints {
		if !slices.ContainsFunc(taints, func(have corev1.Taint) bool { return have.MatchTaint(&t) }) {
			taints = append(taints, t)
		}
	}
	return &machine{
		Instance: i, hardware: hardware,
		labels: labels, taints: taints, capacity: capacity, allocatable: allocatable,
	}, nil
}

// providerID is how Kubernetes names the instance (nodeadm and bootstrap.sh).
func (m *machine) providerID() string { return "aws:///" + m.Zone + "/" + m.ID }

// nodeInfo is what the node says of its software.
func (m *machine) nodeInfo() corev1.NodeSystemInfo {
	osImage := "Amazon Linux 2023 (simulated)"
	if m.AMIFamily == "AL2" {
		osImage = "Amazon Linux 2 (simulated)"
	}
	compact := strings.ReplaceAll(m.ID, "-", "")
	return corev1.NodeSystemInfo{
		MachineID:               "ec2" + compact,
		SystemUUID:              "ec2" + compact,
		BootID:                  compact,
		KernelVersion:           "simulated",
		OSImage:                 osImage,
		ContainerRuntimeVersion: "containerd://simulated",
		KubeletVersion:          "v" + m.KubernetesVersion + ".0-eks-simulated",
		OperatingSystem:         "linux",
		Architecture:            m.labels[corev1.LabelArchStable],
	}
}
