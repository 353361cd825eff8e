package account

import (
	"strings"
	"unicode"

	"eks-gpu-slicing/rehearsal/account/authz"
)

// Sizes of policy documents ("IAM and AWS STS quotas" in the IAM User Guide).
// White space is not counted.
const (
	maxManagedPolicySize = 6144
	maxTrustPolicySize   = 2048
)

// policySize is the size that IAM counts: characters that are not white space.
func policySize(document string) int {
	n := 0
	for _, r := range document {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

// checkDocument refuses a policy document that is not one or is too large.
// quota is how the size quota is called in IAM's answer.
func checkDocument(kind authz.Kind, name, document, quota string, limit int) (*authz.Policy, error) {
	policy, err := authz.Parse(kind, name, []byte(document))
	if err != nil {
		return nil, refuse("MalformedPolicyDocument", "%s", err.Error())
	}
	if n := policySize(document); n > limit {
		// The number IAM counted is ours; IAM names only the quota.
		return nil, refuse("LimitExceeded", "Cannot exceed quota for %s: %d (%s has %d characters)", quota, limit, name, n)
	}
	return policy, nil
}

// CheckPolicyDocument tells why IAM would refuse a managed policy's document;
// nil where it would not.
func CheckPolicyDocument(name, document string) error {
	_, err := checkDocument(authz.Identity, name, document, "PolicySize", maxManagedPolicySize)
	return err
}

// trusts tells whether a role's trust policy lets the service assume it.
func trusts(policy *authz.Policy, service string) bool {
	return authz.Evaluate(authz.Request{
		Principal: authz.Principal{Service: service},
		Action:    "sts:AssumeRole",
		Resource:  policy.Name(),
		Account:   ID,
	}, policy).Allowed
}

// roleARN and policyARN put a path in its place: paths begin and end with /.
func roleARN(path, name string) string   { return "arn:aws:iam::" + ID + ":role" + path + name }
func policyARN(path, name string) string { return "arn:aws:iam::" + ID + ":policy" + path + name }

// checkPath refuses what the API reference's pattern for paths refuses.
func checkPath(path string) error {
	ok := len(path) <= 512 && (path == "/" || strings.HasPrefix(path, "/") && strings.HasSuffix(path, "/"))
	for _, r := range path {
		ok = ok && r >= 0x21 && r <= 0x7e
	}
	if !ok {
		return refuse("ValidationError", "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	return nil
}
