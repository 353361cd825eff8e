package account

import (
	"strings"
	"time"
)

// PodIdentityAssociation gives the pods of a service account a role.
type PodIdentityAssociation struct {
	ID, ARN, ClusterName, Namespace, ServiceAccount, RoleARN string
	Created, Modified                                        time.Time
	Tags                                                     Tags
}

func (p *PodIdentityAssociation) clone() PodIdentityAssociation {
	c := *p
	c.Tags = p.Tags.with(nil)
	return c
}

// CreatePodIdentityAssociation gives a service account, which need not exist
// yet, a role, which must. A service account has one role.
func (a *Account) CreatePodIdentityAssociation(clusterName, namespace, serviceAccount, roleARN string, tags Tags) (PodIdentityAssociation, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(clusterName)
	if err != nil {
		return PodIdentityAssociation{}, err
	}
	if namespace == "" || serviceAccount == "" {
		return PodIdentityAssociation{}, refuse("InvalidParameterException", "namespace and serviceAccount must be set")
	}
	if err := a.checkPodRole("CreatePodIdentityAssociation", roleARN); err != nil {
		return PodIdentityAssociation{}, err
	}
	for _, p := range c.associations {
		if p.Namespace == namespace && p.ServiceAccount == serviceAccount {
			return PodIdentityAssociation{}, refuse("ResourceInUseException", "Association already exists: %s", p.ID)
		}
	}
	if err := tags.check("InvalidParameterException"); err != nil {
		return PodIdentityAssociation{}, err
	}
	id := "a-" + strings.ToLower(a.nextUnique(""))
	p := &PodIdentityAssociation{
		ID: id, ARN: a.arn("eks", "podidentityassociation/"+clusterName+"/"+id), ClusterName: clusterName,
		Namespace: namespace, ServiceAccount: serviceAccount, RoleARN: roleARN,
		Created: a.timestamp(), Modified: a.timestamp(), Tags: tags.with(nil),
	}
	c.associations[id] = p
	return p.clone(), nil
}

// checkPodRole refuses a role that is not there. Whether it trusts
// pods.eks.amazonaws.com shows when a pod asks for its credentials.
func (a *Account) checkPodRole(action, arn string) error {
	_, err := a.roleSeenByEKS(action, arn, refuse("InvalidParameterException", "Role provided in the request does not exist: %s", arn))
	return err
}

func (a *Account) association(clusterName, id string) (*cluster, *PodIdentityAssociation, error) {
	c, err := a.cluster(clusterName)
	if err != nil {
		return nil, nil, err
	}
	if p, ok := c.associations[id]; ok {
		return c, p, nil
	}
	return nil, nil, refuse("ResourceNotFoundException", "No association found for associationId: %s", id)
}

// DescribePodIdentityAssociation finds an association by ID.
func (a *Account) DescribePodIdentityAssociation(clusterName, id string) (PodIdentityAssociation, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, p, err := a.association(clusterName, id)
	if err != nil {
		return PodIdentityAssociation{}, err
	}
	return p.clone(), nil
}

// ListPodIdentityAssociations lists the associations of a cluster by ID.
func (a *Account) ListPodIdentityAssociations(clusterName string) ([]PodIdentityAssociation, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(clusterName)
	if err != nil {
		return nil, err
	}
	var out []PodIdentityAssociation
	for _, id := range sortedKeys(c.associations) {
		out = append(out, c.associations[id].clone())
	}
	return out, nil
}

// UpdatePodIdentityAssociation changes the role.
func (a *Account) UpdatePodIdentityAssociation(clusterName, id, roleARN string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, p, err := a.association(clusterName, id)
	if err != nil {
		return err
	}
	if err := a.checkPodRole("UpdatePodIdentityAssociation", roleARN); err != nil {
		return err
	}
	p.RoleARN, p.Modified = roleARN, a.timestamp()
	return nil
}

// DeletePodIdentityAssociation takes the role away from the service account.
func (a *Account) DeletePodIdentityAssociation(clusterName, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, _, err := a.association(clusterName, id)
	if err != nil {
		return err
	}
	delete(c.associations, id)
	return nil
}
