package account

import (
	"slices"
	"strings"
	"time"
)

// InstanceProfile hands a role to instances.
type InstanceProfile struct {
	ARN, Name, Path string
	// ID is the unique ID, AIPA….
	ID         string
	CreateDate time.Time
	// Role is what it hands out; nil where it has none yet. A profile has one at most.
	Role *Role
	Tags Tags
}

type instanceProfile struct {
	InstanceProfile
	role string // the role's name, in lower case; "" for none
	// made is when the profile was, given when it got its role.
	made, given time.Time
}

func (a *Account) profileClone(p *instanceProfile) InstanceProfile {
	c := p.InstanceProfile
	c.Tags = p.Tags.with(nil)
	if r := a.iam.roles[p.role]; r != nil {
		role := r.clone()
		c.Role = &role
	}
	return c
}

// instanceProfileARN puts the path in its place.
func instanceProfileARN(path, name string) string {
	return "arn:aws:iam::" + ID + ":instance-profile" + path + name
}

// CreateInstanceProfile makes a profile without a role. Path "" is /.
func (a *Account) CreateInstanceProfile(name, path string, tags Tags) (InstanceProfile, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if path == "" {
		path = "/"
	}
	if err := checkPath(path); err != nil {
		return InstanceProfile{}, err
	}
	if len(name) == 0 || len(name) > 128 || !iamName(name) {
		return InstanceProfile{}, refuse("ValidationError", "The specified value for instanceProfileName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_- and have 1 to 128 characters.")
	}
	key := strings.ToLower(name)
	if _, taken := a.compute.profiles[key]; taken {
		return InstanceProfile{}, refuse("EntityAlreadyExists", "Instance Profile %s already exists.", name)
	}
	if err := tags.check("InvalidInput"); err != nil {
		return InstanceProfile{}, err
	}
	p := &instanceProfile{made: a.now(), InstanceProfile: InstanceProfile{
		ARN: instanceProfileARN(path, name), Name: name, Path: path, ID: a.nextUnique("AIPA"), CreateDate: a.timestamp(), Tags: tags.with(nil),
	}}
	a.compute.profiles[key] = p
	return a.profileClone(p), nil
}

func (a *Account) instanceProfile(name string) (*instanceProfile, error) {
	if p, ok := a.compute.profiles[strings.ToLower(name)]; ok {
		return p, nil
	}
	return nil, refuse(noSuchEntity, "Instance Profile %s cannot be found.", name)
}

// GetInstanceProfile finds a profile by name.
func (a *Account) GetInstanceProfile(name string) (InstanceProfile, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.instanceProfile(name)
	if err != nil {
		return InstanceProfile{}, err
	}
	return a.profileClone(p), nil
}

// ListInstanceProfiles lists the profiles whose path begins with pathPrefix, by name; "" is all.
func (a *Account) ListInstanceProfiles(pathPrefix string) []InstanceProfile {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []InstanceProfile
	for _, key := range sortedKeys(a.compute.profiles) {
		if p := a.compute.profiles[key]; strings.HasPrefix(p.Path, pathPrefix) {
			out = append(out, a.profileClone(p))
		}
	}
	return out
}

// ListInstanceProfilesForRole lists the profiles that hand out a role, by name.
func (a *Account) ListInstanceProfilesForRole(roleName string) ([]InstanceProfile, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.role(roleName)
	if err != nil {
		return nil, err
	}
	var out []InstanceProfile
	for _, key := range sortedKeys(a.compute.profiles) {
		if p := a.compute.profiles[key]; p.role == strings.ToLower(r.Name) {
			out = append(out, a.profileClone(p))
		}
	}
	return out, nil
}

// AddRoleToInstanceProfile gives a profile its role.
func (a *Account) AddRoleToInstanceProfile(name, roleName string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.instanceProfile(name)
	if err != nil {
		return err
	}
	r, err := a.roleForIAM("AddRoleToInstanceProfile", roleName)
	if err != nil {
		return err
	}
	if p.role != "" {
		return refuse("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
	}
	p.role, p.given = strings.ToLower(r.Name), a.now()
	return nil
}

// RemoveRoleFromInstanceProfile takes the role out of a profile. EC2 takes it from running
// instances too, which the rehearsal's nodes do not notice.
func (a *Account) RemoveRoleFromInstanceProfile(name, roleName string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.instanceProfile(name)
	if err != nil {
		return err
	}
	if p.role == "" || p.role != strings.ToLower(roleName) {
		return refuse(noSuchEntity, "The role with name %s cannot be found.", roleName)
	}
	p.role = ""
	return nil
}

// TagInstanceProfile sets tags.
func (a *Account) TagInstanceProfile(name string, tags Tags) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.instanceProfile(name)
	if err != nil {
		return err
	}
	if err := p.Tags.with(tags).check("InvalidInput"); err != nil {
		return err
	}
	p.Tags = p.Tags.with(tags)
	return nil
}

// DeleteInstanceProfile deletes a profile without a role.
func (a *Account) DeleteInstanceProfile(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.instanceProfile(name)
	if err != nil {
		return err
	}
	if p.role != "" {
		return refuse("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
	}
	delete(a.compute.profiles, strings.ToLower(name))
	return nil
}

// profileOf finds the profile an instance is launched with, by name or ARN, in EC2's words.
func (a *Account) profileOf(spec string) (*instanceProfile, error) {
	name := spec
	if strings.HasPrefix(spec, "arn:") {
		name = spec[strings.LastIndex(spec, "/")+1:]
	}
	p, ok := a.compute.profiles[strings.ToLower(name)]
	unknown := refuse("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", spec)
	if !ok || strings.HasPrefix(spec, "arn:") && p.ARN != spec {
		return nil, unknown
	}
	if gap := a.unseen(p.made, elsewhere); gap != nil {
		return nil, gap.refusal("ec2", "RunInstances", unknown)
	}
	empty := refuse("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. IAM Instance Profile \"%s\" has no associated IAM Roles", spec, p.ARN)
	if p.role == "" {
		return nil, empty
	}
	if gap := a.unseen(p.given, elsewhere); gap != nil {
		return nil, gap.refusal("ec2", "RunInstances", empty)
	}
	return p, nil
}

// inProfile tells whether an instance profile hands out the role.
func (a *Account) inProfile(r *role) bool {
	return slices.ContainsFunc(sortedKeys(a.compute.profiles), func(k string) bool { return a.compute.profiles[k].role == strings.ToLower(r.Name) })
}
