package wire

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// iamOperations are the IAM actions that Karpenter and people at a shell use.
func iamOperations() map[string]operation {
	return map[string]operation{
		"AddRoleToInstanceProfile":      (*call).addRoleToInstanceProfile,
		"CreateInstanceProfile":         (*call).createInstanceProfile,
		"DeleteInstanceProfile":         (*call).deleteInstanceProfile,
		"GetInstanceProfile":            (*call).getInstanceProfile,
		"GetPolicy":                     (*call).getPolicy,
		"GetRole":                       (*call).getRole,
		"ListAttachedRolePolicies":      (*call).listAttachedRolePolicies,
		"ListInstanceProfiles":          (*call).listInstanceProfiles,
		"ListInstanceProfilesForRole":   (*call).listInstanceProfilesForRole,
		"ListPolicyVersions":            (*call).listPolicyVersions,
		"ListRolePolicies":              (*call).listRolePolicies,
		"ListRoles":                     (*call).listRoles,
		"RemoveRoleFromInstanceProfile": (*call).removeRoleFromInstanceProfile,
		"TagInstanceProfile":            (*call).tagInstanceProfile,
	}
}

type iamTagXML struct {
	Key   string `form:"Key" xml:"Key"`
	Value string `form:"Value" xml:"Value"`
}

func iamTags(list []iamTagXML) account.Tags {
	tags := account.Tags{}
	for _, t := range list {
		tags[t.Key] = t.Value
	}
	return tags
}

func iamTagsXML(tags account.Tags) []iamTagXML {
	var out []iamTagXML
	for _, k := range sortedKeys(tags) {
		out = append(out, iamTagXML{k, tags[k]})
	}
	return out
}

type roleXML struct {
	Path    string      `xml:"Path"`
	Name    string      `xml:"RoleName"`
	ID      string      `xml:"RoleId"`
	ARN     string      `xml:"Arn"`
	Created string      `xml:"CreateDate"`
	Trust   string      `xml:"AssumeRolePolicyDocument"`
	Seconds int         `xml:"MaxSessionDuration"`
	Tags    []iamTagXML `xml:"Tags>member"`
}

func newRole(r account.Role) roleXML {
	// IAM gives policy documents URL-encoded (RFC 3986).
	trust := strings.ReplaceAll(url.QueryEscape(r.AssumeRolePolicy), "+", "%20")
	return roleXML{r.Path, r.Name, r.ID, r.ARN, r.CreateDate.Format(time.RFC3339), trust, r.MaxSessionDuration, iamTagsXML(r.Tags)}
}

type profileXML struct {
	Path    string      `xml:"Path"`
	Name    string      `xml:"InstanceProfileName"`
	ID      string      `xml:"InstanceProfileId"`
	ARN     string      `xml:"Arn"`
	Created string      `xml:"CreateDate"`
	Roles   []roleXML   `xml:"Roles>member"`
	Tags    []iamTagXML `xml:"Tags>member"`
}

func newProfile(p account.InstanceProfile) profileXML {
	x := profileXML{Path: p.Path, Name: p.Name, ID: p.ID, ARN: p.ARN, Created: p.CreateDate.Format(time.RFC3339), Tags: iamTagsXML(p.Tags)}
	if p.Role != nil {
		x.Roles = []roleXML{newRole(*p.Role)}
	}
	return x
}

type profileOutput struct {
	Profile profileXML `xml:"InstanceProfile"`
}

// profileTarget is an instance profile as IAM checks it.
func profileTarget(p account.InstanceProfile) authz.Target {
	return authz.Target{Type: "instance-profile", ARN: p.ARN, Tags: p.Tags}
}

// namedProfile finds a profile for an action on it. One that is not there is checked under the name
// it would have, so that only who may act on it learns that it is missing.
func (c *call) namedProfile(name string, requestTags account.Tags, more ...authz.Call) (account.InstanceProfile, error) {
	p, err := c.account.GetInstanceProfile(name)
	target := profileTarget(p)
	if err != nil {
		target.ARN = fmt.Sprintf("arn:aws:iam::%s:instance-profile/%s", account.ID, name)
	}
	target.RequestTags = requestTags
	calls := append([]authz.Call{{Action: "iam:" + c.action, Targets: []authz.Target{target}}}, more...)
	if denied := c.authorize(calls...); denied != nil {
		return p, denied
	}
	return p, err
}

func (c *call) createInstanceProfile() (any, error) {
	var in struct {
		Name string      `form:"InstanceProfileName"`
		Path string      `form:"Path"`
		Tags []iamTagXML `form:"Tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	path := in.Path
	if path == "" {
		path = "/"
	}
	target := authz.Target{Type: "instance-profile", ARN: "arn:aws:iam::" + account.ID + ":instance-profile" + path + in.Name, RequestTags: iamTags(in.Tags)}
	if err := c.authorize(authz.Call{Action: "iam:CreateInstanceProfile", Targets: []authz.Target{target}}); err != nil {
		return nil, err
	}
	p, err := c.account.CreateInstanceProfile(in.Name, in.Path, iamTags(in.Tags))
	if err != nil {
		return nil, err
	}
	return profileOutput{newProfile(p)}, nil
}

func (c *call) getInstanceProfile() (any, error) {
	var in struct {
		Name string `form:"InstanceProfileName"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	p, err := c.namedProfile(in.Name, nil)
	if err != nil {
		return nil, err
	}
	return profileOutput{newProfile(p)}, nil
}

func (c *call) deleteInstanceProfile() (any, error) {
	var in struct {
		Name string `form:"InstanceProfileName"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if _, err := c.namedProfile(in.Name, nil); err != nil {
		return nil, err
	}
	return nil, c.account.DeleteInstanceProfile(in.Name)
}

func (c *call) tagInstanceProfile() (any, error) {
	var in struct {
		Name string      `form:"InstanceProfileName"`
		Tags []iamTagXML `form:"Tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if _, err := c.namedProfile(in.Name, iamTags(in.Tags)); err != nil {
		return nil, err
	}
	return nil, c.account.TagInstanceProfile(in.Name, iamTags(in.Tags))
}

type profileRole struct {
	Name string `form:"InstanceProfileName"`
	Role string `form:"RoleName"`
}

// addRoleToInstanceProfile hands a role on, so the caller must be allowed to pass it to EC2
// ("Granting a user permissions to pass a role to an AWS service").
func (c *call) addRoleToInstanceProfile() (any, error) {
	var in profileRole
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	r, err := c.account.GetRole(in.Role)
	if err != nil {
		return nil, err
	}
	if _, err := c.namedProfile(in.Name, nil, account.PassRoleCall(r, "ec2.amazonaws.com")); err != nil {
		return nil, err
	}
	return nil, c.account.AddRoleToInstanceProfile(in.Name, in.Role)
}

func (c *call) removeRoleFromInstanceProfile() (any, error) {
	var in profileRole
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if _, err := c.namedProfile(in.Name, nil); err != nil {
		return nil, err
	}
	return nil, c.account.RemoveRoleFromInstanceProfile(in.Name, in.Role)
}

type listInput struct {
	PathPrefix string `form:"PathPrefix"`
	MaxItems   int    `form:"MaxItems"`
	Marker     string `form:"Marker"`
}

func (c *call) listInstanceProfiles() (any, error) {
	var in listInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.authorize(authz.Call{Action: "iam:ListInstanceProfiles"}); err != nil {
		return nil, err
	}
	return profileList(c.account.ListInstanceProfiles(in.PathPrefix), in.MaxItems, in.Marker)
}

func (c *call) getRole() (any, error) {
	var in struct {
		Name string `form:"RoleName"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	r, err := c.account.GetRole(in.Name)
	target := authz.Target{Type: "role", ARN: r.ARN, Tags: r.Tags}
	if err != nil {
		target.ARN = fmt.Sprintf("arn:aws:iam::%s:role/%s", account.ID, in.Name)
	}
	if err := c.authorize(authz.Call{Action: "iam:GetRole", Targets: []authz.Target{target}}); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	return struct {
		Role roleXML `xml:"Role"`
	}{newRole(r)}, nil
}

func (c *call) listRoles() (any, error) {
	var in listInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.authorize(authz.Call{Action: "iam:ListRoles"}); err != nil {
		return nil, err
	}
	items, next, err := page(c.account.ListRoles(in.PathPrefix), in.MaxItems, in.Marker)
	if err != nil {
		return nil, err
	}
	out := struct {
		Roles     []roleXML `xml:"Roles>member"`
		Truncated bool      `xml:"IsTruncated"`
		Marker    string    `xml:"Marker,omitempty"`
	}{Truncated: next != "", Marker: next}
	for _, r := range items {
		out.Roles = append(out.Roles, newRole(r))
	}
	return out, nil
}
