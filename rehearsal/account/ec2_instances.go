package account

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// computeState is what runs: instances, what hands them roles, and what they were launched from.
type computeState struct {
	instances  map[string]*instance
	volumes    map[string]*Volume
	interfaces map[string]*NetworkInterface
	profiles   map[string]*instanceProfile // by lower-case name
	images     []Image                     // all that are published, by name
	// addresses are the private addresses in use, by subnet.
	addresses map[string]map[netip.Addr]bool
	delays    Delays
	// sessions are those that may sign requests, by access key.
	sessions map[string]*Session
	// queued are the messages of queues, by URL.
	queued map[string]*queued
	// health is why the members of node groups could not be launched, by the group's ARN.
	health map[string][]string
	// revision counts changes of instances; changed is closed at the next one.
	revision int64
	changed  chan struct{}
	failed   []FailedInvocation
}

// Delays are how long EC2 takes from one state of an instance to the next. Zero is at once.
type Delays struct {
	// Pending is from launch to running, ShuttingDown from termination to terminated, Stopping from
	// a stop to stopped.
	Pending, ShuttingDown, Stopping time.Duration
	// SpotNotice is from an interruption warning to the termination; EC2 gives two minutes.
	SpotNotice time.Duration
}

func (s *computeState) init(a *Account) error {
	*s = computeState{
		instances: map[string]*instance{}, profiles: map[string]*instanceProfile{},
		volumes: map[string]*Volume{}, interfaces: map[string]*NetworkInterface{},
		addresses: map[string]map[netip.Addr]bool{}, sessions: map[string]*Session{}, queued: map[string]*queued{},
		health: map[string][]string{}, changed: make(chan struct{}),
		delays: Delays{SpotNotice: 2 * time.Minute},
	}
	var err error
	s.images, err = a.publishedImages()
	return err
}

func (s *computeState) leftovers(add func(string, []string)) {
	add("AWS::EC2::Instance", slices.DeleteFunc(sortedKeys(s.instances), func(id string) bool { return s.instances[id].State == StateTerminated }))
	// What is attached goes, or is left, with its instance.
	add("AWS::EC2::NetworkInterface", slices.DeleteFunc(sortedKeys(s.interfaces), func(id string) bool { return s.interfaces[id].InstanceID != "" }))
	add("AWS::EC2::Volume", slices.DeleteFunc(sortedKeys(s.volumes), func(id string) bool { return s.volumes[id].InstanceID != "" }))
	var profiles []string
	for _, key := range sortedKeys(s.profiles) {
		profiles = append(profiles, s.profiles[key].Name)
	}
	add("AWS::IAM::InstanceProfile", profiles)
}

// SetDelays changes how long states take from now on.
func (a *Account) SetDelays(d Delays) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.compute.delays = d
}

// States of an instance, and their codes ("InstanceState" in the EC2 API reference).
const (
	StatePending      = "pending"
	StateRunning      = "running"
	StateShuttingDown = "shutting-down"
	StateTerminated   = "terminated"
	StateStopping     = "stopping"
	StateStopped      = "stopped"
)

// StateCode is the number of a state in the EC2 API.
func StateCode(state string) int {
	return map[string]int{StatePending: 0, StateRunning: 16, StateShuttingDown: 32, StateTerminated: 48, StateStopping: 64, StateStopped: 80}[state]
}

// Instance is an EC2 instance.
type Instance struct {
	ID, Type, ImageID string
	// Architecture is x86_64 or arm64.
	Architecture string
	State        string
	// StateReason says why it stopped or ended, as EC2 codes it: "" while it runs.
	StateReason string
	// Spot tells spot instances from on-demand ones; SpotRequestID is for the former.
	Spot          bool
	SpotRequestID string
	// FleetID is the fleet it was launched by; "" for others.
	FleetID                                               string
	SubnetID, VPCID, AvailabilityZone, AvailabilityZoneID string
	// PrivateIP and PrivateDNSName are empty once the instance is terminated.
	PrivateIP, PrivateDNSName string
	SecurityGroupIDs          []string
	InstanceProfileARN        string
	LaunchTemplateID          string
	LaunchTemplateVersion     int
	// UserData is base64, as it was given.
	UserData                     string
	Metadata                     MetadataOptions
	NetworkInterfaceID, VolumeID string
	// VolumeStays: the root volume is left when the instance ends.
	VolumeStays   bool
	ReservationID string
	LaunchTime    time.Time
	// Retirement is when EC2 will stop or terminate it because its host fails, by the event of
	// RetirementID; zero where it will not.
	Retirement   time.Time
	RetirementID string
	// Nodegroup and Cluster are set on the members of a managed node group.
	Nodegroup, Cluster string
	Tags               Tags
	// Revision grows with each change of any instance.
	Revision int64
}

type instance struct {
	Instance
}

func (i *instance) clone() Instance {
	c := i.Instance
	c.Tags, c.SecurityGroupIDs = i.Tags.with(nil), slices.Clone(i.SecurityGroupIDs)
	return c
}

// alive tells whether the instance still costs money or may again.
func (i *instance) alive() bool { return i.State != StateTerminated && i.State != StateShuttingDown }

func (a *Account) instance(id string) (*instance, error) {
	if i, ok := a.compute.instances[id]; ok {
		return i, nil
	}
	if !strings.HasPrefix(id, "i-") {
		return nil, refuse("InvalidInstanceID.Malformed", "Invalid id: \"%s\"", id)
	}
	return nil, refuse("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
}

// touch gives a changed instance its revision and wakes who waits for changes.
func (a *Account) touch(i *instance) {
	a.compute.revision++
	i.Revision = a.compute.revision
	close(a.compute.changed)
	a.compute.changed = make(chan struct{})
}

// WaitInstances waits until an instance has changed after the revision (0 is the beginning) and
// returns the changed ones as they are now, oldest change first, with the revision to go on from.
// States that an instance has passed through in between are not seen.
func (a *Account) WaitInstances(ctx context.Context, after int64) ([]Instance, int64, error) {
	for {
		a.mu.Lock()
		now, changed := a.compute.revision, a.compute.changed
		var out []Instance
		if now > after {
			for _, i := range a.compute.instances {
				if i.Revision > after {
					out = append(out, i.clone())
				}
			}
		}
		a.mu.Unlock()
		if len(out) > 0 {
			slices.SortFunc(out, func(x, y Instance) int { return int(x.Revision - y.Revision) })
			return out, now, nil
		}
		select {
		case <-ctx.Done():
			return nil, after, fmt.Errorf("waiting for instances to change: %w", context.Cause(ctx))
		case <-changed:
		}
	}
}

// DescribeInstances lists instances by ID, terminated ones too. An ID that is not there is an
// error. Filters: instance-id, instance-state-name, instance-type, instance-lifecycle, image-id,
// subnet-id, vpc-id, availability-zone, private-dns-name, private-ip-address, architecture,
// instance.group-id, tag:KEY, tag-key.
func (a *Account) DescribeInstances(ids []string, filters ...Filter) ([]Instance, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(ids) == 0 {
		ids = sortedKeys(a.compute.instances)
	}
	var out []Instance
	for _, id := range ids {
		i, err := a.instance(id)
		if err != nil {
			return nil, err
		}
		lifecycle := []string{}
		if i.Spot {
			lifecycle = []string{"spot"}
		}
		ok, err := fields{
			"instance-id": {i.ID}, "instance-state-name": {i.State}, "instance-type": {i.Type}, "instance-lifecycle": lifecycle,
			"image-id": {i.ImageID}, "subnet-id": {i.SubnetID}, "vpc-id": {i.VPCID}, "availability-zone": {i.AvailabilityZone},
			"private-dns-name": {i.PrivateDNSName}, "private-ip-address": {i.PrivateIP}, "architecture": {i.Architecture},
			"instance.group-id": i.SecurityGroupIDs, "network-interface.group-id": i.SecurityGroupIDs,
		}.match(filters, i.Tags)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, i.clone())
		}
	}
	return out, nil
}

// StateChange is an instance's state before and after an action.
type StateChange struct{ ID, Previous, Current string }

// TerminateInstances ends instances, all of them or none. A member of a managed node group is
// replaced, as its Auto Scaling group does.
func (a *Account) TerminateInstances(ids ...string) ([]StateChange, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []*instance
	for _, id := range ids {
		i, err := a.instance(id)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	var out []StateChange
	for _, i := range all {
		change := StateChange{ID: i.ID, Previous: i.State}
		a.shutDown(i, "Client.UserInitiatedShutdown")
		change.Current = i.State
		out = append(out, change)
	}
	return out, nil
}

// shutDown starts the end of an instance that has not begun to end.
func (a *Account) shutDown(i *instance, reason string) {
	if !i.alive() {
		return
	}
	i.StateReason = reason
	a.setState(i, StateShuttingDown)
	a.later(a.compute.delays.ShuttingDown, func() { a.terminated(i) })
	if c := a.eks.clusters[i.Cluster]; c != nil {
		if n := c.nodegroups[i.Nodegroup]; n != nil {
			a.fillNodegroup(n)
		}
	}
}

// terminated frees what the instance held.
func (a *Account) terminated(i *instance) {
	if i.State != StateShuttingDown {
		return
	}
	a.detach(i)
	i.PrivateIP, i.PrivateDNSName = "", ""
	a.setState(i, StateTerminated)
}

// setState changes the state and sends the event EC2 sends ("EC2 Instance State-change
// Notification" in the EC2 User Guide).
func (a *Account) setState(i *instance, state string) {
	i.State = state
	a.touch(i)
	a.emit("aws.ec2", "EC2 Instance State-change Notification", []string{a.arn("ec2", "instance/"+i.ID)},
		map[string]string{"instance-id": i.ID, "state": state})
}

// later does something under the account's lock after a while; at once for 0.
func (a *Account) later(d time.Duration, do func()) {
	if d <= 0 {
		do()
		return
	}
	time.AfterFunc(d, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		do()
	})
}
