package account

import (
	"errors"
	"net/http"
	"time"
)

// This file is what AWS does to instances that nobody at a keyboard or in the cluster has asked for,
// and what it tells of it by the account's event rules.

// InterruptSpotInstance takes a spot instance away as EC2 does: a warning, and the end of the
// instance after [Delays.SpotNotice], unless it has ended before ("Spot Instance interruption
// notices" in the EC2 User Guide, also for the event's ARN, which is of a form of its own).
func (a *Account) InterruptSpotInstance(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, err := a.liveSpot(id)
	if err != nil {
		return err
	}
	a.emit("aws.ec2", "EC2 Spot Instance Interruption Warning", []string{"arn:aws:ec2:" + i.AvailabilityZone + ":instance/" + id},
		map[string]string{"instance-id": id, "instance-action": "terminate"})
	a.later(a.compute.delays.SpotNotice, func() { a.shutDown(i, "Server.SpotInstanceTermination") })
	return nil
}

// RecommendRebalance tells that a spot instance is at elevated risk of interruption; nothing
// happens to it ("EC2 instance rebalance recommendations").
func (a *Account) RecommendRebalance(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.liveSpot(id); err != nil {
		return err
	}
	a.emit("aws.ec2", "EC2 Instance Rebalance Recommendation", []string{a.arn("ec2", "instance/"+id)}, map[string]string{"instance-id": id})
	return nil
}

func (a *Account) liveSpot(id string) (*instance, error) {
	i, err := a.instance(id)
	if err != nil {
		return nil, err
	}
	if !i.Spot || !i.alive() {
		return nil, errors.New("instance " + id + " is not a live spot instance")
	}
	return i, nil
}

// ScheduleRetirement tells that the host of an instance fails, and retires the instance after a
// while, unless it has ended before: one on demand is stopped, a spot one terminated ("Instance
// retirement" in the EC2 User Guide). AWS gives two weeks where it can. It tells by an event of AWS
// Health and by DescribeInstanceStatus.
//
// The event has the form of the samples in the AWS Health User Guide ("AWS Health events Amazon
// EventBridge schema"). An affected entity of EC2 is an instance's ID, as in most of the samples and
// as Karpenter and aws-node-termination-handler read it.
func (a *Account) ScheduleRetirement(id string, in time.Duration) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, err := a.instance(id)
	if err != nil {
		return err
	}
	if !i.alive() {
		return errors.New("instance " + id + " has ended already")
	}
	i.Retirement = a.now().UTC().Add(in)
	i.RetirementID = a.nextID("instance-event")
	a.touch(i)
	const code = "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED"
	type text struct {
		Language string `json:"language"`
		Latest   string `json:"latestDescription"`
	}
	type entity struct {
		Value   string `json:"entityValue"`
		Updated string `json:"lastUpdatedTime"`
		Status  string `json:"status"`
	}
	now := a.now().UTC().Format(http.TimeFormat)
	a.emit("aws.health", "AWS Health Event", []string{id}, struct {
		ARN           string   `json:"eventArn"`
		Service       string   `json:"service"`
		Code          string   `json:"eventTypeCode"`
		Category      string   `json:"eventTypeCategory"`
		Scope         string   `json:"eventScopeCode"`
		Communication string   `json:"communicationId"`
		Start         string   `json:"startTime"`
		Updated       string   `json:"lastUpdatedTime"`
		Status        string   `json:"statusCode"`
		Region        string   `json:"eventRegion"`
		Description   []text   `json:"eventDescription"`
		Entities      []entity `json:"affectedEntities"`
		Account       string   `json:"affectedAccount"`
		Page          string   `json:"page"`
		Pages         string   `json:"totalPages"`
		Backup        string   `json:"backupEvent"`
		Personas      []string `json:"personas"`
		Actionability string   `json:"actionability"`
	}{
		ARN:     "arn:aws:health:" + a.region + "::event/EC2/" + code + "/" + code + "_" + a.nextUUID(),
		Service: "EC2", Code: code, Category: "scheduledChange", Scope: "ACCOUNT_SPECIFIC", Communication: a.nextHex()[:40] + "-1",
		Start: i.Retirement.Format(http.TimeFormat), Updated: now, Status: "upcoming", Region: a.region,
		Description: []text{{"en_US", "EC2 has detected degradation of the underlying hardware hosting your instance."}},
		Entities:    []entity{{id, now, "PENDING"}}, Account: ID, Page: "1", Pages: "1", Backup: "false",
		Personas: []string{"OPERATIONS"}, Actionability: "ACTION_REQUIRED",
	})
	a.later(in, func() {
		if i.Spot {
			a.shutDown(i, "Server.SpotInstanceTermination")
			return
		}
		a.stop(i, "Server.ScheduledStop")
	})
	return nil
}

// StopInstances stops instances, all of them or none. They keep their addresses and volumes. A
// member of a managed node group is replaced: its Auto Scaling group takes one that does not run
// for unhealthy.
func (a *Account) StopInstances(ids ...string) ([]StateChange, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []*instance
	for _, id := range ids {
		i, err := a.instance(id)
		if err != nil {
			return nil, err
		}
		if i.Spot {
			return nil, refuse("UnsupportedOperation", "You can't stop the Spot Instance '%s' because it is associated with a one-time Spot Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.", id)
		}
		if !i.alive() {
			return nil, refuse("IncorrectInstanceState", "This instance '%s' is not in a state from which it can be stopped.", id)
		}
		all = append(all, i)
	}
	var out []StateChange
	for _, i := range all {
		change := StateChange{ID: i.ID, Previous: i.State}
		a.stop(i, "Client.UserInitiatedShutdown")
		change.Current = i.State
		out = append(out, change)
	}
	return out, nil
}

// stop starts the stop of an instance that runs.
func (a *Account) stop(i *instance, reason string) {
	if i.State != StatePending && i.State != StateRunning {
		return
	}
	i.StateReason = reason
	a.setState(i, StateStopping)
	a.later(a.compute.delays.Stopping, func() {
		if i.State == StateStopping {
			a.setState(i, StateStopped)
		}
	})
	if i.Nodegroup != "" {
		a.shutDown(i, "Client.UserInitiatedShutdown")
	}
}
