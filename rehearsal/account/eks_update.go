package account

import (
	"slices"
)

// UpdateClusterVersion moves a cluster to the next minor version.
func (a *Account) UpdateClusterVersion(name, version string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(name)
	if err != nil {
		return err
	}
	v, ok := a.known(version)
	if !ok {
		return refuse("InvalidParameterException", "unsupported Kubernetes version")
	}
	if version == c.Version {
		return refuse("InvalidParameterException", "Cluster is already at the desired configuration with kubernetes version: %s", version)
	}
	if minor(version) != minor(c.Version)+1 {
		return refuse("InvalidParameterException", "Unsupported Kubernetes minor version update from %s to %s", c.Version, version)
	}
	c.Version, c.PlatformVersion = version, v.PlatformVersion
	return nil
}

// UpdateClusterVPC is UpdateClusterConfig of the network: the subnets, the
// security groups, and who reaches the endpoint.
func (a *Account) UpdateClusterVPC(name string, v ClusterVPC) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(name)
	if err != nil {
		return err
	}
	v.defaults()
	if _, err := a.checkClusterVPC(name, v); err != nil {
		return err
	}
	v.VPCID, v.ClusterSecurityGroupID = c.VPC.VPCID, c.VPC.ClusterSecurityGroupID
	c.VPC = v.clone()
	return nil
}

// UpdateClusterLogging is UpdateClusterConfig of the control plane logs: those
// named are on, the others off.
func (a *Account) UpdateClusterLogging(name string, types []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(name)
	if err != nil {
		return err
	}
	if err := checkLogTypes(types); err != nil {
		return err
	}
	c.LogTypes = slices.Clone(types)
	a.eks.writeLogs(a)
	return nil
}

// UpdateClusterAuthenticationMode is UpdateClusterConfig of the authentication
// mode, which goes from the ConfigMap towards the API and never back.
func (a *Account) UpdateClusterAuthenticationMode(name, mode string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(name)
	if err != nil {
		return err
	}
	order := []string{AuthConfigMap, AuthAPIAndConfigMap, AuthAPI}
	from, to := slices.Index(order, c.AuthenticationMode), slices.Index(order, mode)
	if to != from+1 {
		return refuse("InvalidParameterException", "Unsupported authentication mode update from %s to %s", c.AuthenticationMode, mode)
	}
	c.AuthenticationMode = mode
	return nil
}

// UpdateClusterSupportType is UpdateClusterConfig of the upgrade policy.
func (a *Account) UpdateClusterSupportType(name, supportType string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(name)
	if err != nil {
		return err
	}
	if err := checkSupportType(supportType); err != nil {
		return err
	}
	c.SupportType = supportType
	return nil
}
