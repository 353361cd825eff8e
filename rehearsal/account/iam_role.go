package account

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account/authz"
)

// noSuchEntity is IAM's code for what does not exist.
const noSuchEntity = "NoSuchEntity"

// maxAttachedPolicies is the default quota of managed policies a role ("IAM
// and AWS STS quotas" in the IAM User Guide).
const maxAttachedPolicies = 10

type iamState struct {
	roles    map[string]*role   // by lower-case name: IAM's names differ by more than case
	policies map[string]*policy // by ARN
}

func (s *iamState) init() {
	*s = iamState{roles: map[string]*role{}, policies: map[string]*policy{}}
}

func (s *iamState) leftovers(add func(string, []string)) {
	var roles []string
	for _, r := range s.roles {
		if !r.linked() {
			roles = append(roles, r.Name)
		}
	}
	slices.Sort(roles)
	add("AWS::IAM::Role", roles)
	add("AWS::IAM::ManagedPolicy", sortedKeys(s.policies))
}

// Role is an IAM role.
type Role struct {
	ARN, Name, Path string
	// ID is the unique ID, which a role made again under the same name does
	// not share.
	ID               string
	Description      string
	AssumeRolePolicy string
	// MaxSessionDuration is in seconds, 3600 to 43200.
	MaxSessionDuration int
	CreateDate         time.Time
	Tags               Tags
}

type role struct {
	Role
	made     time.Time // CreateDate is in whole seconds
	trust    *authz.Policy
	attached []string // policy ARNs in the order they were attached
}

func (r *role) clone() Role {
	c := r.Role
	c.Tags = r.Tags.with(nil)
	return c
}

// linked tells whether the role belongs to an AWS service.
func (r *role) linked() bool { return strings.HasPrefix(r.Path, "/aws-service-role/") }

// CreateRoleInput says what a role is to be. Path "" is /, MaxSessionDuration
// 0 is an hour.
type CreateRoleInput struct {
	Name, Path, Description, AssumeRolePolicy string
	MaxSessionDuration                        int
	Tags                                      Tags
}

// CreateRole makes a role.
func (a *Account) CreateRole(in CreateRoleInput) (Role, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if in.Path == "" {
		in.Path = "/"
	}
	if err := checkPath(in.Path); err != nil {
		return Role{}, err
	}
	if strings.HasPrefix(in.Path, "/aws-service-role/") {
		return Role{}, refuse("ValidationError", "The path /aws-service-role/ is reserved for service-linked roles.")
	}
	if len(in.Name) == 0 || len(in.Name) > 64 || !iamName(in.Name) {
		return Role{}, refuse("ValidationError", "The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_- and have 1 to 64 characters.")
	}
	return a.createRole(in)
}

func iamName(s string) bool { return regexp.MustCompile(`^[\w+=,.@-]+$`).MatchString(s) }

func (a *Account) createRole(in CreateRoleInput) (Role, error) {
	key := strings.ToLower(in.Name)
	if _, taken := a.iam.roles[key]; taken {
		return Role{}, refuse("EntityAlreadyExists", "Role with name %s already exists.", in.Name)
	}
	if in.MaxSessionDuration == 0 {
		in.MaxSessionDuration = 3600
	}
	if err := checkSessionDuration(in.MaxSessionDuration); err != nil {
		return Role{}, err
	}
	if err := in.Tags.check("InvalidInput"); err != nil {
		return Role{}, err
	}
	r := &role{made: a.now(), Role: Role{
		ARN: roleARN(in.Path, in.Name), Name: in.Name, Path: in.Path, ID: a.nextUnique("AROA"), Description: in.Description,
		AssumeRolePolicy: in.AssumeRolePolicy, MaxSessionDuration: in.MaxSessionDuration, CreateDate: a.timestamp(), Tags: in.Tags.with(nil),
	}}
	var err error
	if r.trust, err = checkTrust(r.ARN, in.AssumeRolePolicy); err != nil {
		return Role{}, err
	}
	a.iam.roles[key] = r
	return r.clone(), nil
}

func checkTrust(arn, document string) (*authz.Policy, error) {
	return checkDocument(authz.Trust, arn, document, "ACLSizePerRole", maxTrustPolicySize)
}

func checkSessionDuration(seconds int) error {
	if seconds < 3600 || seconds > 43200 {
		return refuse("ValidationError", "Value '%d' at 'maxSessionDuration' failed to satisfy constraint: Member must have value between 3600 and 43200", seconds)
	}
	return nil
}

func (a *Account) role(name string) (*role, error) {
	if r, ok := a.iam.roles[strings.ToLower(name)]; ok {
		return r, nil
	}
	return nil, noSuchRole(name)
}

func noSuchRole(name string) *Error {
	return refuse(noSuchEntity, "The role with name %s cannot be found.", name)
}

// roleToChange is role for actions that a service-linked role refuses.
func (a *Account) roleToChange(name string) (*role, error) {
	r, err := a.role(name)
	if err == nil && r.linked() {
		return nil, refuse("UnmodifiableEntity", "Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", r.Name)
	}
	return r, err
}

// roleByARN finds a role by its full ARN, path included; nil where there is
// none.
func (a *Account) roleByARN(arn string) *role {
	r := a.iam.roles[strings.ToLower(arn[strings.LastIndex(arn, "/")+1:])]
	if r == nil || r.ARN != arn {
		return nil
	}
	return r
}

// GetRole finds a role by name.
func (a *Account) GetRole(name string) (Role, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.roleForIAM("GetRole", name)
	if err != nil {
		return Role{}, err
	}
	return r.clone(), nil
}

// ListRoles lists roles whose path begins with pathPrefix, by name; "" is all.
func (a *Account) ListRoles(pathPrefix string) []Role {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Role
	for _, key := range sortedKeys(a.iam.roles) {
		if r := a.iam.roles[key]; strings.HasPrefix(r.Path, pathPrefix) {
			out = append(out, r.clone())
		}
	}
	return out
}

// UpdateRole changes description and session duration (seconds).
func (a *Account) UpdateRole(name, description string, maxSessionDuration int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.roleToChange(name)
	if err != nil {
		return err
	}
	if err := checkSessionDuration(maxSessionDuration); err != nil {
		return err
	}
	r.Description, r.MaxSessionDuration = description, maxSessionDuration
	return nil
}

// UpdateAssumeRolePolicy replaces the trust policy.
func (a *Account) UpdateAssumeRolePolicy(name, document string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.roleToChange(name)
	if err != nil {
		return err
	}
	trust, err := checkTrust(r.ARN, document)
	if err != nil {
		return err
	}
	r.AssumeRolePolicy, r.trust = document, trust
	return nil
}

// TagRole sets tags.
func (a *Account) TagRole(name string, tags Tags) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.role(name)
	if err != nil {
		return err
	}
	if err := r.Tags.with(tags).check("InvalidInput"); err != nil {
		return err
	}
	r.Tags = r.Tags.with(tags)
	return nil
}

// UntagRole takes tags off by key.
func (a *Account) UntagRole(name string, keys []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.role(name)
	if err != nil {
		return err
	}
	r.Tags = r.Tags.without(keys)
	return nil
}

// DeleteRole deletes a role that no policy is attached to and no instance
// profile hands out.
func (a *Account) DeleteRole(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.roleToChange(name)
	if err != nil {
		return err
	}
	if len(r.attached) > 0 {
		return refuse("DeleteConflict", "Cannot delete entity, must detach all policies first.")
	}
	if a.inProfile(r) {
		return refuse("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
	}
	delete(a.iam.roles, strings.ToLower(r.Name))
	return nil
}

// AttachRolePolicy attaches a managed policy; once attached it stays so, and
// attaching it again changes nothing.
func (a *Account) AttachRolePolicy(name, policyARN string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.roleForIAM("AttachRolePolicy", name); err != nil {
		return err
	}
	r, err := a.roleToChange(name)
	if err != nil {
		return err
	}
	if err := a.attachable(policyARN); err != nil {
		return err
	}
	if slices.Contains(r.attached, policyARN) {
		return nil
	}
	if len(r.attached) >= maxAttachedPolicies {
		return refuse("LimitExceeded", "Cannot exceed quota for PoliciesPerRole: %d", maxAttachedPolicies)
	}
	r.attached = append(slices.Clone(r.attached), policyARN)
	return nil
}

// DetachRolePolicy takes a managed policy off a role.
func (a *Account) DetachRolePolicy(name, policyARN string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.roleToChange(name)
	if err != nil {
		return err
	}
	if !slices.Contains(r.attached, policyARN) {
		return refuse(noSuchEntity, "Policy %s was not found.", policyARN)
	}
	r.attached = slices.DeleteFunc(slices.Clone(r.attached), func(arn string) bool { return arn == policyARN })
	return nil
}

// ListAttachedRolePolicies lists the ARNs of a role's managed policies in the
// order they were attached.
func (a *Account) ListAttachedRolePolicies(name string) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.roleForIAM("ListAttachedRolePolicies", name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(r.attached), nil
}

// serviceLinkedRoles are, by service, the names of the linked roles that EC2
// and EKS may need (each service's guide, "Using service-linked roles").
func serviceLinkedRoles() map[string]string {
	return map[string]string{
		"autoscaling.amazonaws.com":          "AWSServiceRoleForAutoScaling",
		"ec2fleet.amazonaws.com":             "AWSServiceRoleForEC2Fleet",
		"eks.amazonaws.com":                  "AWSServiceRoleForAmazonEKS",
		"eks-nodegroup.amazonaws.com":        "AWSServiceRoleForAmazonEKSNodegroup",
		"elasticloadbalancing.amazonaws.com": "AWSServiceRoleForElasticLoadBalancing",
		"spot.amazonaws.com":                 "AWSServiceRoleForEC2Spot",
		"spotfleet.amazonaws.com":            "AWSServiceRoleForEC2SpotFleet",
	}
}

// CreateServiceLinkedRole makes the role an AWS service acts with. Most
// services have one only.
func (a *Account) CreateServiceLinkedRole(service, description string) (Role, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.createServiceLinkedRole(service, description)
}

func (a *Account) createServiceLinkedRole(service, description string) (Role, error) {
	name, known := serviceLinkedRoles()[service]
	if !known {
		return Role{}, refuse("InvalidInput", "Service Role Template does not exist for service principal: %s (the rehearsal knows %s)",
			service, strings.Join(slices.Sorted(maps.Keys(serviceLinkedRoles())), ", "))
	}
	if _, err := a.role(name); err == nil {
		return Role{}, refuse("InvalidInput", "Service role name %s has been taken in this account, please try a different suffix.", name)
	}
	return a.createRole(CreateRoleInput{
		Name: name, Path: "/aws-service-role/" + service + "/", Description: description,
		AssumeRolePolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`,
	})
}

// ensureServiceLinkedRole is what services do the first time they are used.
func (a *Account) ensureServiceLinkedRole(service string) error {
	if _, err := a.role(serviceLinkedRoles()[service]); err == nil {
		return nil
	}
	_, err := a.createServiceLinkedRole(service, "")
	return err
}

// UpdateServiceLinkedRoleDescription is UpdateRole as far as a service-linked
// role takes it.
func (a *Account) UpdateServiceLinkedRoleDescription(name, description string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.role(name)
	if err != nil {
		return err
	}
	r.Description = description
	return nil
}

// DeleteServiceLinkedRole deletes a service's role. AWS does so in the
// background; here it is gone when the call returns.
func (a *Account) DeleteServiceLinkedRole(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.role(name)
	if err != nil {
		return err
	}
	if !r.linked() {
		return refuse("InvalidInput", "The role %s is not a service-linked role", name)
	}
	delete(a.iam.roles, strings.ToLower(r.Name))
	return nil
}
