package account

import (
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Addon is an add-on that EKS runs in a cluster.
type Addon struct {
	ClusterName, Name, Version, ARN string
	// Status is one of the API's, such as CREATING or [AddonActive]; Issues say what
	// is the matter with one that is not ACTIVE.
	Status string
	Issues []AddonIssue
	// ConfigurationValues is JSON or YAML as it was given.
	ConfigurationValues string
	Created, Modified   time.Time
	Tags                Tags
}

// Statuses that an add-on stays in (EKS API reference, "Addon").
const (
	AddonActive   = "ACTIVE"
	AddonDegraded = "DEGRADED"
)

// AddonIssue is what is the matter with an add-on's software. Code is one of the
// API's, such as InsufficientNumberOfReplicas (EKS API reference, "AddonIssue").
type AddonIssue struct{ Code, Message string }

// AddonSoftware puts the software of add-ons into clusters. It is called while the
// account is not locked: it may take its time, and call the account.
type AddonSoftware interface {
	// Install makes the software what version and configuration of the add-on say. It
	// returns when that works, or with what keeps it from working. An error is about
	// the configuration and refuses the request.
	Install(Addon) ([]AddonIssue, error)
	// Uninstall takes the software out of the cluster.
	Uninstall(Addon) error
}

func (d *Addon) clone() Addon {
	c := *d
	c.Tags, c.Issues = d.Tags.with(nil), slices.Clone(d.Issues)
	return c
}

// AddonVersion is a version of an add-on.
type AddonVersion struct {
	Version string
	// From and To are the first and last Kubernetes version it is for.
	From, To string
	// DefaultFor are the Kubernetes versions whose clusters get it when they
	// name none.
	DefaultFor []string
}

func allMinors() []string {
	var out []string
	for _, v := range eksVersions() {
		out = append(out, v.version)
	}
	return out
}

// addonVersions are the add-ons a cluster of this kind runs, with their newest
// versions and the previous ones that the EKS User Guide's examples name ("Manage
// kube-proxy", "Manage CoreDNS", "Amazon VPC CNI", "Set up the Amazon EKS Pod
// Identity Agent"; pages of 2024 to 2026). EKS has hundreds more. The guide at
// hand ends with 1.35; what 1.36 gets is assumed.
func addonVersions() map[string][]AddonVersion {
	proxy := []AddonVersion{
		{"v1.28.15-eksbuild.31", "1.28", "1.31", []string{"1.28"}},
		{"v1.29.15-eksbuild.16", "1.29", "1.32", []string{"1.29"}},
		{"v1.30.14-eksbuild.28", "1.30", "1.33", []string{"1.30"}},
		{"v1.31.14-eksbuild.9", "1.31", "1.34", []string{"1.31"}},
		{"v1.32.13-eksbuild.5", "1.32", "1.35", []string{"1.32"}},
		{"v1.33.10-eksbuild.2", "1.33", "1.36", []string{"1.33"}},
		{"v1.34.6-eksbuild.2", "1.34", "1.36", []string{"1.34"}},
		{"v1.35.3-eksbuild.2", "1.35", "1.36", []string{"1.35"}},
		{"v1.36.0-eksbuild.2", "1.36", "1.36", []string{"1.36"}},
	}
	return map[string][]AddonVersion{
		"kube-proxy": proxy,
		"coredns": {
			{"v1.10.1-eksbuild.38", "1.28", "1.28", []string{"1.28"}},
			{"v1.11.4-eksbuild.24", "1.29", "1.32", []string{"1.29"}},
			{"v1.11.4-eksbuild.33", "1.30", "1.32", []string{"1.30", "1.31", "1.32"}},
			{"v1.13.2-eksbuild.4", "1.33", "1.36", []string{"1.33", "1.34", "1.35", "1.36"}},
		},
		"vpc-cni": {
			{"v1.19.0-eksbuild.1", "1.28", "1.31", nil},
			{"v1.19.2-eksbuild.1", "1.28", "1.32", nil},
			{"v1.20.1-eksbuild.3", "1.28", "1.36", allMinors()},
		},
		"eks-pod-identity-agent": {
			{"v1.3.4-eksbuild.1", "1.28", "1.36", allMinors()},
		},
	}
}

// DescribeAddonVersions lists the versions of an add-on for a Kubernetes
// version; none where EKS has no such add-on for it.
func (a *Account) DescribeAddonVersions(addon, kubernetesVersion string) []AddonVersion {
	return slices.DeleteFunc(addonVersions()[addon], func(v AddonVersion) bool {
		m := minor(kubernetesVersion)
		return m < minor(v.From) || m > minor(v.To)
	})
}

// addonVersion checks the version of an add-on; "" is the default one.
func (a *Account) addonVersion(addon, version, kubernetesVersion string) (string, error) {
	if _, known := addonVersions()[addon]; !known {
		return "", refuse("InvalidParameterException", "Addon %s specified is not supported. (The rehearsal's account has %s)",
			addon, strings.Join(sortedKeys(addonVersions()), ", "))
	}
	for _, v := range a.DescribeAddonVersions(addon, kubernetesVersion) {
		if v.Version == version || version == "" && slices.Contains(v.DefaultFor, kubernetesVersion) {
			return v.Version, nil
		}
	}
	return "", refuse("InvalidParameterException", "Addon version specified is not supported")
}

// checkConfigurationValues refuses what is not an object in JSON or YAML.
func checkConfigurationValues(values string) error {
	if values == "" {
		return nil
	}
	var object map[string]any
	if err := yaml.UnmarshalStrict([]byte(values), &object); err != nil || object == nil {
		return refuse("InvalidParameterException", "ConfigurationValue provided in request is not supported. It is no JSON or YAML object")
	}
	return nil
}

// conflictModes are what to do about settings of an add-on that others made.
func conflictModes() []string { return []string{"OVERWRITE", "NONE", "PRESERVE"} }

func checkConflicts(mode string) error {
	if mode != "" && !slices.Contains(conflictModes(), mode) {
		return refuse("InvalidParameterException", "resolveConflicts %s is not one of %s", mode, strings.Join(conflictModes(), ", "))
	}
	return nil
}

// CreateAddonInput says what an add-on is to be. Version "" is the default one
// of the cluster's version.
type CreateAddonInput struct {
	ClusterName, Name, Version string
	// ResolveConflicts is OVERWRITE, NONE ("" too) or PRESERVE.
	ResolveConflicts    string
	ConfigurationValues string
	Tags                Tags
}

// CreateAddon installs an add-on and returns when its software works, or is known
// not to: the add-on is [AddonActive] or [AddonDegraded].
func (a *Account) CreateAddon(in CreateAddonInput) (Addon, error) {
	c, d, err := a.newAddon(in)
	if err != nil {
		return Addon{}, err
	}
	issues, err := a.install(d)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		delete(c.addons, in.Name)
		return Addon{}, err
	}
	return c.installed(d, issues), nil
}

// newAddon makes the record of an add-on whose software is still to come.
func (a *Account) newAddon(in CreateAddonInput) (*cluster, Addon, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(in.ClusterName)
	if err != nil {
		return nil, Addon{}, err
	}
	version, err := a.addonVersion(in.Name, in.Version, c.Version)
	if err != nil {
		return nil, Addon{}, err
	}
	if _, taken := c.addons[in.Name]; taken {
		return nil, Addon{}, refuse("ResourceInUseException", "Addon already exists.")
	}
	if err := checkConflicts(in.ResolveConflicts); err != nil {
		return nil, Addon{}, err
	}
	if err := checkConfigurationValues(in.ConfigurationValues); err != nil {
		return nil, Addon{}, err
	}
	if err := in.Tags.check("InvalidParameterException"); err != nil {
		return nil, Addon{}, err
	}
	d := &Addon{
		ClusterName: c.Name, Name: in.Name, Version: version, Status: "CREATING", ConfigurationValues: in.ConfigurationValues,
		ARN:     a.arn("eks", strings.Join([]string{"addon", c.Name, in.Name, a.nextUUID()}, "/")),
		Created: a.timestamp(), Modified: a.timestamp(), Tags: in.Tags.with(nil),
	}
	c.addons[d.Name] = d
	return c, d.clone(), nil
}

// install installs the software of an add-on, if anybody does.
func (a *Account) install(d Addon) ([]AddonIssue, error) {
	if a.software == nil {
		return nil, nil
	}
	issues, err := a.software.Install(d)
	if err != nil {
		return nil, refuse("InvalidParameterException", "ConfigurationValue provided in request is not supported: %v", err)
	}
	return issues, nil
}

// installed notes an add-on as it was installed, and how its software is.
func (c *cluster) installed(d Addon, issues []AddonIssue) Addon {
	d.Status, d.Issues = AddonActive, issues
	if len(issues) > 0 {
		d.Status = AddonDegraded
	}
	c.addons[d.Name] = &d
	return d.clone()
}

func (a *Account) addon(clusterName, name string) (*cluster, *Addon, error) {
	c, err := a.cluster(clusterName)
	if err != nil {
		return nil, nil, err
	}
	if d, ok := c.addons[name]; ok {
		return c, d, nil
	}
	return nil, nil, refuse("ResourceNotFoundException", "No addon: %s found in cluster: %s", name, clusterName)
}

// DescribeAddon finds an add-on of a cluster.
func (a *Account) DescribeAddon(clusterName, name string) (Addon, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, d, err := a.addon(clusterName, name)
	if err != nil {
		return Addon{}, err
	}
	return d.clone(), nil
}

// ListAddons lists the names of a cluster's add-ons.
func (a *Account) ListAddons(clusterName string) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(clusterName)
	if err != nil {
		return nil, err
	}
	return sortedKeys(c.addons), nil
}

// UpdateAddon changes version ("" keeps it) and configuration, and returns as
// CreateAddon does.
func (a *Account) UpdateAddon(clusterName, name, version, configurationValues, resolveConflicts string) (Addon, error) {
	c, d, err := a.changedAddon(clusterName, name, version, configurationValues, resolveConflicts)
	if err != nil {
		return Addon{}, err
	}
	issues, err := a.install(d)
	if err != nil {
		return Addon{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return c.installed(d, issues), nil
}

// changedAddon is what an add-on is to become. The record stays as it is.
func (a *Account) changedAddon(clusterName, name, version, configurationValues, resolveConflicts string) (*cluster, Addon, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, d, err := a.addon(clusterName, name)
	if err != nil {
		return nil, Addon{}, err
	}
	// The version it has stays good, even if the cluster has outgrown it.
	if version == "" || version == d.Version {
		version = d.Version
	} else if version, err = a.addonVersion(name, version, c.Version); err != nil {
		return nil, Addon{}, err
	}
	if err := checkConflicts(resolveConflicts); err != nil {
		return nil, Addon{}, err
	}
	if err := checkConfigurationValues(configurationValues); err != nil {
		return nil, Addon{}, err
	}
	changed := d.clone()
	changed.Version, changed.ConfigurationValues, changed.Modified = version, configurationValues, a.timestamp()
	return c, changed, nil
}

// DeleteAddon takes an add-on away, and its software with it unless that is to be
// preserved.
func (a *Account) DeleteAddon(clusterName, name string, preserve bool) error {
	d, err := a.DescribeAddon(clusterName, name)
	if err != nil {
		return err
	}
	if a.software != nil && !preserve {
		if err := a.software.Uninstall(d); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c, _, err := a.addon(clusterName, name)
	if err != nil {
		return err
	}
	delete(c.addons, name)
	return nil
}
