package wire

import (
	"fmt"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// aboutRole reads the input of an action that lists something of a role, and asks IAM.
func (c *call) aboutRole(into any, name *string) error {
	if err := c.decode(into); err != nil {
		return err
	}
	r, missing := c.account.GetRole(*name)
	target := authz.Target{Type: "role", ARN: r.ARN, Tags: r.Tags}
	if missing != nil {
		target.ARN = fmt.Sprintf("arn:aws:iam::%s:role/%s", account.ID, *name)
	}
	if err := c.authorize(authz.Call{Action: "iam:" + c.action, Targets: []authz.Target{target}}); err != nil {
		return err
	}
	return missing
}

type ofRole struct {
	Name       string `form:"RoleName"`
	PathPrefix string `form:"PathPrefix"`
	MaxItems   int    `form:"MaxItems"`
	Marker     string `form:"Marker"`
}

func (c *call) listAttachedRolePolicies() (any, error) {
	var in ofRole
	if err := c.aboutRole(&in, &in.Name); err != nil {
		return nil, err
	}
	arns, err := c.account.ListAttachedRolePolicies(in.Name)
	if err != nil {
		return nil, err
	}
	items, next, err := page(arns, in.MaxItems, in.Marker)
	if err != nil {
		return nil, err
	}
	type policy struct {
		ARN  string `xml:"PolicyArn"`
		Name string `xml:"PolicyName"`
	}
	out := struct {
		Policies  []policy `xml:"AttachedPolicies>member"`
		Truncated bool     `xml:"IsTruncated"`
		Marker    string   `xml:"Marker,omitempty"`
	}{Truncated: next != "", Marker: next}
	for _, arn := range items {
		out.Policies = append(out.Policies, policy{arn, arn[strings.LastIndex(arn, "/")+1:]})
	}
	return out, nil
}

// listRolePolicies lists inline policies; no role of this account has any.
func (c *call) listRolePolicies() (any, error) {
	var in ofRole
	if err := c.aboutRole(&in, &in.Name); err != nil {
		return nil, err
	}
	return struct {
		Names     struct{} `xml:"PolicyNames"`
		Truncated bool     `xml:"IsTruncated"`
	}{}, nil
}

func (c *call) listInstanceProfilesForRole() (any, error) {
	var in ofRole
	if err := c.aboutRole(&in, &in.Name); err != nil {
		return nil, err
	}
	all, err := c.account.ListInstanceProfilesForRole(in.Name)
	if err != nil {
		return nil, err
	}
	return profileList(all, in.MaxItems, in.Marker)
}

// profileList is a page of instance profiles; lists leave tags out (API reference,
// ListInstanceProfiles).
func profileList(all []account.InstanceProfile, maxItems int, marker string) (any, error) {
	items, next, err := page(all, maxItems, marker)
	if err != nil {
		return nil, err
	}
	out := struct {
		Profiles  []profileXML `xml:"InstanceProfiles>member"`
		Truncated bool         `xml:"IsTruncated"`
		Marker    string       `xml:"Marker,omitempty"`
	}{Truncated: next != "", Marker: next}
	for _, p := range items {
		x := newProfile(p)
		x.Tags = nil
		out.Profiles = append(out.Profiles, x)
	}
	return out, nil
}

// aboutPolicy asks IAM about an action on a managed policy, and finds the policy.
func (c *call) aboutPolicy(arn string) (account.Policy, error) {
	p, missing := c.account.GetPolicy(arn)
	if err := c.authorize(authz.Call{Action: "iam:" + c.action, Targets: []authz.Target{{Type: "policy", ARN: arn, Tags: p.Tags}}}); err != nil {
		return p, err
	}
	return p, missing
}

func (c *call) getPolicy() (any, error) {
	var in struct {
		ARN string `form:"PolicyArn"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	p, err := c.aboutPolicy(in.ARN)
	if err != nil {
		return nil, err
	}
	type policy struct {
		Name        string      `xml:"PolicyName"`
		ID          string      `xml:"PolicyId"`
		ARN         string      `xml:"Arn"`
		Path        string      `xml:"Path"`
		Default     string      `xml:"DefaultVersionId"`
		Attachments int         `xml:"AttachmentCount"`
		Attachable  bool        `xml:"IsAttachable"`
		Description string      `xml:"Description,omitempty"`
		Created     string      `xml:"CreateDate"`
		Tags        []iamTagXML `xml:"Tags>member"`
	}
	return struct {
		Policy policy `xml:"Policy"`
	}{policy{p.Name, p.ID, p.ARN, p.Path, p.DefaultVersionID, p.AttachmentCount, true, p.Description, p.CreateDate.Format(time.RFC3339), iamTagsXML(p.Tags)}}, nil
}

func (c *call) listPolicyVersions() (any, error) {
	var in struct {
		ARN      string `form:"PolicyArn"`
		MaxItems int    `form:"MaxItems"`
		Marker   string `form:"Marker"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if _, err := c.aboutPolicy(in.ARN); err != nil {
		return nil, err
	}
	all, err := c.account.ListPolicyVersions(in.ARN)
	if err != nil {
		return nil, err
	}
	items, next, err := page(all, in.MaxItems, in.Marker)
	if err != nil {
		return nil, err
	}
	type version struct {
		ID      string `xml:"VersionId"`
		Default bool   `xml:"IsDefaultVersion"`
		Created string `xml:"CreateDate"`
	}
	out := struct {
		Versions  []version `xml:"Versions>member"`
		Truncated bool      `xml:"IsTruncated"`
		Marker    string    `xml:"Marker,omitempty"`
	}{Truncated: next != "", Marker: next}
	for _, v := range items {
		out.Versions = append(out.Versions, version{v.ID, v.IsDefault, v.CreateDate.Format(time.RFC3339)}) // without documents (API reference)
	}
	return out, nil
}
