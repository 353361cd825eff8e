package wire

import (
	"slices"
	"time"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// stsOperations are the STS actions that tools use to find out and to change who they are.
func stsOperations() map[string]operation {
	return map[string]operation{
		"AssumeRole":        (*call).assumeRole,
		"GetCallerIdentity": (*call).getCallerIdentity,
	}
}

// getCallerIdentity needs no permission, not even against an explicit deny (STS API reference).
func (c *call) getCallerIdentity() (any, error) {
	if err := c.decode(&struct{}{}); err != nil {
		return nil, err
	}
	return struct {
		ARN     string `xml:"Arn"`
		UserID  string `xml:"UserId"`
		Account string `xml:"Account"`
	}{c.session.Principal.ARN, c.session.UserID, c.session.Principal.Account}, nil
}

func (c *call) assumeRole() (any, error) {
	var in struct {
		RoleARN string      `form:"RoleArn"`
		Session string      `form:"RoleSessionName"`
		Seconds int         `form:"DurationSeconds"`
		Tags    []iamTagXML `form:"Tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	s, err := c.account.AssumeRole(account.AssumeRoleInput{
		RoleARN: in.RoleARN, SessionName: in.Session, Duration: time.Duration(in.Seconds) * time.Second, Tags: iamTags(in.Tags),
	}, func(trust *authz.Policy, calls ...authz.Call) error {
		return c.allow(nil, append(slices.Clip(c.policies), trust), calls...)
	})
	if err != nil {
		return nil, err
	}
	type credentials struct {
		KeyID   string `xml:"AccessKeyId"`
		Secret  string `xml:"SecretAccessKey"`
		Token   string `xml:"SessionToken"`
		Expires string `xml:"Expiration"`
	}
	type user struct {
		ID  string `xml:"AssumedRoleId"`
		ARN string `xml:"Arn"`
	}
	return struct {
		Credentials credentials `xml:"Credentials"`
		User        user        `xml:"AssumedRoleUser"`
	}{
		credentials{s.AccessKeyID, s.SecretAccessKey, s.SessionToken, s.Expires.UTC().Format(time.RFC3339)},
		user{s.UserID, s.Principal.ARN},
	}, nil
}
