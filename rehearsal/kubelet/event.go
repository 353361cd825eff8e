package kubelet

import "k8s.io/apimachinery/pkg/types"

// EventKind says what an [Event] is about.
type EventKind string

const (
	// NodeReady says that an instance has joined the cluster; its node is Ready.
	NodeReady EventKind = "NodeReady"
	// NodeRefused says that the API server does not let an instance join, as when its role
	// has no access entry. It is tried again; the same refusal is told once.
	NodeRefused EventKind = "NodeRefused"
	// PodRefused says that a node did not admit a pod bound to it. Reason is the
	// pod's status.reason.
	PodRefused EventKind = "PodRefused"
	// MountFailed says that a container waits for a volume.
	MountFailed EventKind = "MountFailed"
	// ContainerDied says that a container with an [Image] ended by itself.
	// Message ends with the last lines of its log.
	ContainerDied EventKind = "ContainerDied"
	// DevicesAdvertised says that a node has another number of a resource for pods, down to 0 when the device plugin has ended.
	DevicesAdvertised EventKind = "DevicesAdvertised"
)

// Event is something that a report may want to tell.
type Event struct {
	Kind EventKind
	// Node and Instance are the node's name and the instance's ID.
	Node, Instance string
	// Pod and Container are set for what concerns one.
	Pod       types.NamespacedName
	Container string
	// Reason is a word, Message a sentence; either may be empty.
	Reason, Message string
}
