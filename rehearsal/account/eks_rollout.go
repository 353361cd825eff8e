package account

import "fmt"

// NodeDrainer takes the pods off nodes that EKS replaces. It is called while the account is not
// locked: it may take its time, and call the account.
type NodeDrainer interface {
	// Drain waits until the replacement is a node that is ready, lets no new pods on the node of the
	// other instance, and evicts those it has, in as far as their disruption budgets let it. The error
	// says which could not be evicted, or why the replacement is no node.
	Drain(instanceID, replacementID string) error
}

// rollNodegroup replaces the members of a node group, each by one of what the group says now: the
// new one first, one after the other ("Understand each phase of node updates" in the EKS User
// Guide, with maxUnavailable 1). Where a node cannot be drained the update has failed, and its
// replacement goes; what has been replaced stays so.
func (a *Account) rollNodegroup(clusterName, name string) error {
	a.mu.Lock()
	_, n, err := a.nodegroup(clusterName, name)
	var old []string
	if err == nil {
		for _, m := range a.members(n) {
			old = append(old, m.ID)
		}
	}
	a.mu.Unlock()
	for _, id := range old {
		if err != nil {
			break
		}
		err = a.replaceMember(clusterName, name, id)
	}
	return err
}

// replaceMember replaces one member of a node group that still is one.
func (a *Account) replaceMember(clusterName, name, id string) error {
	a.mu.Lock()
	_, n, err := a.nodegroup(clusterName, name)
	if err != nil {
		a.mu.Unlock()
		return err
	}
	i, err := a.instance(id)
	if err != nil || i.Nodegroup != name || !i.alive() {
		a.mu.Unlock()
		return nil //nolint:nilerr // it has gone by itself, and a new one has come
	}
	before := map[string]bool{}
	for _, m := range a.members(n) {
		before[m.ID] = true
	}
	err = a.launchMember(n, i.SubnetID)
	replacement := ""
	for _, m := range a.members(n) {
		if !before[m.ID] {
			replacement = m.ID
		}
	}
	a.mu.Unlock()
	if err != nil {
		return refuse("InvalidRequestException", "%s", launchIssue(n, err))
	}
	if a.drainer != nil {
		err = a.drainer.Drain(id, replacement)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	goes := id
	if err != nil {
		goes = replacement
		err = refuse("PodEvictionFailure", "Reached max retries while trying to evict pods from nodes in node group %s: %v", name, fmt.Errorf("instance %s: %w", id, err))
	}
	if i, errGone := a.instance(goes); errGone == nil && i.alive() {
		i.Cluster, i.Nodegroup = "", "" // no longer a member that is replaced
		a.shutDown(i, "Client.UserInitiatedShutdown")
	}
	return err
}
