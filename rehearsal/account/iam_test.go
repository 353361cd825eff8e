package account_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

const (
	cniPolicy = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
	ownPolicy = "arn:aws:iam::111122223333:policy/p"
)

// document is a valid policy of n characters that are not white space.
func document(n int) string {
	const head, tail = `{"Version": "2012-10-17",` + "\n\t" + `"Statement": [{"Effect": "Allow", "Action": "s3:`, `*", "Resource": "*"}]}`
	have := len(strings.Join(strings.Fields(head+tail), ""))
	return head + strings.Repeat("a", n-have) + tail
}

func TestIAMRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do            func(t *testing.T, a *account.Account) error
		code, message string
	}{
		"a second role of a name": {
			func(t *testing.T, a *account.Account) error {
				role(t, a, "r", "eks.amazonaws.com")
				_, err := a.CreateRole(account.CreateRoleInput{Name: "R", AssumeRolePolicy: trust("eks.amazonaws.com")})
				return err
			},
			"EntityAlreadyExists", "Role with name R already exists.",
		},
		"a role that is not there": {
			func(_ *testing.T, a *account.Account) error { _, err := a.GetRole("r"); return err },
			"NoSuchEntity", "The role with name r cannot be found.",
		},
		"a role's name too long": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateRole(account.CreateRoleInput{Name: strings.Repeat("r", 65), AssumeRolePolicy: trust("eks.amazonaws.com")})
				return err
			},
			"ValidationError", "The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_- and have 1 to 64 characters.",
		},
		"a trust policy too large": {
			func(_ *testing.T, a *account.Account) error {
				statement := `{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"},`
				all := strings.Repeat(statement, 30)
				_, err := a.CreateRole(account.CreateRoleInput{Name: "r", AssumeRolePolicy: `{"Version":"2012-10-17","Statement":[` + strings.TrimSuffix(all, ",") + `]}`})
				return err
			},
			"LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048 (arn:aws:iam::111122223333:role/r has 2708 characters)",
		},
		"a role with a policy": {
			func(t *testing.T, a *account.Account) error {
				role(t, a, "r", "eks.amazonaws.com")
				ok(t, a.AttachRolePolicy("r", cniPolicy))
				return a.DeleteRole("r")
			},
			"DeleteConflict", "Cannot delete entity, must detach all policies first.",
		},
		"an AWS policy that does not exist": {
			func(t *testing.T, a *account.Account) error {
				role(t, a, "r", "eks.amazonaws.com")
				return a.AttachRolePolicy("r", "arn:aws:iam::aws:policy/AmazonEKS_CNI_Polcy")
			},
			"NoSuchEntity", "Policy arn:aws:iam::aws:policy/AmazonEKS_CNI_Polcy does not exist or is not attachable.",
		},
		"an eleventh policy": {
			func(t *testing.T, a *account.Account) error {
				role(t, a, "r", "eks.amazonaws.com")
				for i := range 11 {
					p, err := a.CreatePolicy(account.CreatePolicyInput{Name: fmt.Sprint("p", i), Document: allowAll})
					must(t, p, err)
					if err := a.AttachRolePolicy("r", p.ARN); err != nil {
						return err
					}
				}
				return nil
			},
			"LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10",
		},
		"to change a service-linked role": {
			func(_ *testing.T, a *account.Account) error {
				return a.AttachRolePolicy("AWSServiceRoleForEC2Spot", cniPolicy)
			},
			"UnmodifiableEntity", "Cannot perform the operation on the protected role 'AWSServiceRoleForEC2Spot' - this role is only modifiable by AWS",
		},
		"a second spot role": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateServiceLinkedRole("spot.amazonaws.com", "")
				return err
			},
			"InvalidInput", "Service role name AWSServiceRoleForEC2Spot has been taken in this account, please try a different suffix.",
		},
		"a second policy of a name": {
			func(t *testing.T, a *account.Account) error {
				p, err := a.CreatePolicy(account.CreatePolicyInput{Name: "p", Path: "/x/", Document: allowAll})
				must(t, p, err)
				_, err = a.CreatePolicy(account.CreatePolicyInput{Name: "p", Document: allowAll})
				return err
			},
			"EntityAlreadyExists", "A policy called p already exists. Duplicate names are not allowed.",
		},
		"a policy too large": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreatePolicy(account.CreatePolicyInput{Name: "p", Document: document(6145)})
				return err
			},
			"LimitExceeded", "Cannot exceed quota for PolicySize: 6144 (p has 6145 characters)",
		},
		"to delete an attached policy": {
			func(t *testing.T, a *account.Account) error {
				role(t, a, "r", "eks.amazonaws.com")
				p, err := a.CreatePolicy(account.CreatePolicyInput{Name: "p", Document: allowAll})
				must(t, p, err)
				ok(t, a.AttachRolePolicy("r", ownPolicy))
				return a.DeletePolicy(ownPolicy)
			},
			"DeleteConflict", "Cannot delete a policy attached to entities.",
		},
		"to delete a policy with versions": {
			func(t *testing.T, a *account.Account) error {
				p, err := a.CreatePolicy(account.CreatePolicyInput{Name: "p", Document: allowAll})
				must(t, p, err)
				v, err := a.CreatePolicyVersion(ownPolicy, allowAll, true)
				must(t, v, err)
				return a.DeletePolicy(ownPolicy)
			},
			"DeleteConflict", "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
		},
		"a sixth version": {
			func(t *testing.T, a *account.Account) error {
				p, err := a.CreatePolicy(account.CreatePolicyInput{Name: "p", Document: allowAll})
				must(t, p, err)
				for range 5 {
					if _, err := a.CreatePolicyVersion(ownPolicy, allowAll, true); err != nil {
						return err
					}
				}
				return nil
			},
			"LimitExceeded", "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.",
		},
		"tags of AWS's own": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateRole(account.CreateRoleInput{Name: "r", AssumeRolePolicy: trust("eks.amazonaws.com"), Tags: account.Tags{"aws:x": "y"}})
				return err
			},
			"InvalidInput", "aws: prefixed tag key names are not allowed for external use.",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefusal(t, tc.do(t, open(t, "us-west-2", "")), tc.code, tc.message)
		})
	}
}

func TestIAMRefusesDocuments(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"no JSON":           `{"Version":`,
		"an unknown effect": `{"Version":"2012-10-17","Statement":[{"Effect":"Permit","Action":"*","Resource":"*"}]}`,
		"no action":         `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*"}]}`,
		"no resource":       `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*"}]}`,
		"a version":         `{"Version":"2012-10-18","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, "us-west-2", "")
			if _, err := a.CreatePolicy(account.CreatePolicyInput{Name: "p", Document: doc}); !account.IsCode(err, "MalformedPolicyDocument") {
				t.Errorf("got %v, want MalformedPolicyDocument", err)
			}
		})
	}
}

func TestIAMLargestPolicyIsTaken(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	p, err := a.CreatePolicy(account.CreatePolicyInput{Name: "p", Document: document(6144)})
	must(t, p, err)
}

func TestIAMRoundTrip(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	r, err := a.CreateRole(account.CreateRoleInput{
		Name: "r", Path: "/x/", Description: "d", AssumeRolePolicy: trust("eks.amazonaws.com"), Tags: account.Tags{"k": "v"},
	})
	must(t, r, err)
	if r.ARN != "arn:aws:iam::111122223333:role/x/r" || !strings.HasPrefix(r.ID, "AROA") || r.MaxSessionDuration != 3600 {
		t.Errorf("role = %+v", r)
	}
	r.Tags["changed"] = "by the caller"
	ok(t, a.TagRole("r", account.Tags{"l": "w"}))
	ok(t, a.UntagRole("r", []string{"k"}))
	ok(t, a.UpdateRole("r", "other", 7200))
	got, err := a.GetRole("r")
	if d := cmp.Diff(account.Tags{"l": "w"}, must(t, got, err).Tags); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	if got.Description != "other" || got.MaxSessionDuration != 7200 {
		t.Errorf("updated role = %+v", got)
	}
	p, err := a.CreatePolicy(account.CreatePolicyInput{Name: "p", Document: allowAll})
	must(t, p, err)
	ok(t, a.AttachRolePolicy("r", p.ARN))
	ok(t, a.AttachRolePolicy("r", p.ARN))
	attached, err := a.ListAttachedRolePolicies("r")
	if d := cmp.Diff([]string{p.ARN}, must(t, attached, err)); d != "" {
		t.Errorf("attached (-want +got):\n%s", d)
	}
	if got, err := a.GetPolicy(p.ARN); must(t, got, err).AttachmentCount != 1 {
		t.Errorf("AttachmentCount = %d, want 1", got.AttachmentCount)
	}
	if in, err := a.RolePolicies("r"); len(must(t, in, err)) != 1 {
		t.Errorf("%d policies in force, want 1", len(in))
	}
	v, err := a.CreatePolicyVersion(p.ARN, allowAll, true)
	must(t, v, err)
	ok(t, a.DeletePolicyVersion(p.ARN, "v1"))
	ok(t, a.DetachRolePolicy("r", p.ARN))
	ok(t, a.DeletePolicy(p.ARN))
	ok(t, a.DeleteRole("r"))
	wantEmpty(t, a)
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprint("r", i)
			for range 20 {
				if _, err := a.CreateRole(account.CreateRoleInput{Name: name, AssumeRolePolicy: trust("eks.amazonaws.com")}); err != nil {
					t.Error(err)
				}
				a.ListRoles("")
				a.Leftovers()
				if err := a.DeleteRole(name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantEmpty(t, a)
}
