package account

import "errors"

// InterruptSpotInstance takes a spot instance away as EC2 does: a warning, and the end of the
// instance after [Delays.SpotNotice] ("Spot Instance interruptions" in the EC2 User Guide).
func (a *Account) InterruptSpotInstance(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, err := a.instance(id)
	if err != nil {
		return err
	}
	if !i.Spot || !i.alive() {
		return errors.New("instance " + id + " is not a live spot instance")
	}
	a.emit("aws.ec2", "EC2 Spot Instance Interruption Warning", []string{a.arn("ec2", "instance/"+id)},
		map[string]string{"instance-id": id, "instance-action": "terminate"})
	a.later(a.compute.delays.SpotNotice, func() { a.shutDown(i, "Server.SpotInstanceTermination") })
	return nil
}

// RecommendRebalance tells that a spot instance is at elevated risk of interruption; nothing
// happens to it.
func (a *Account) RecommendRebalance(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, err := a.instance(id)
	if err != nil {
		return err
	}
	if !i.Spot || !i.alive() {
		return errors.New("instance " + id + " is not a live spot instance")
	}
	a.emit("aws.ec2", "EC2 Instance Rebalance Recommendation", []string{a.arn("ec2", "instance/"+id)}, map[string]string{"instance-id": id})
	return nil
}
