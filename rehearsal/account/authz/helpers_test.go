package authz

import (
	"fmt"
	"testing"
)

const (
	acct   = "111122223333"
	region = "us-west-1"
)

// mustParse parses a policy whose statements are given as JSON.
func mustParse(t testing.TB, kind Kind, name, doc string) *Policy {
	t.Helper()
	p, err := Parse(kind, name, []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// statements wraps statements in a document of the current version.
func statements(s string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[%s]}`, s)
}

func user(name string) Principal {
	return Principal{ARN: "arn:aws:iam::123456789012:user/" + name, Account: "123456789012"}
}

func session(role string) Principal {
	return Principal{
		ARN:     "arn:aws:sts::" + acct + ":assumed-role/" + role + "/session",
		RoleARN: "arn:aws:iam::" + acct + ":role/" + role,
		Account: acct,
	}
}

func service(name string) Principal { return Principal{Service: name} }

func one(kv ...string) map[string][]string {
	m := map[string][]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = append(m[kv[i]], kv[i+1])
	}
	return m
}

// carlosPolicy is the identity-based policy of "Example identity-based and resource-based policy
// evaluation" in the IAM User Guide.
const carlosPolicy = `{"Version":"2012-10-17","Statement":[
	{"Sid":"AllowS3ListRead","Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetAccountPublicAccessBlock","s3:ListAccessPoints","s3:ListAllMyBuckets"],"Resource":"arn:aws:s3:::*"},
	{"Sid":"AllowS3Self","Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::carlossalazar/*","arn:aws:s3:::carlossalazar"]},
	{"Sid":"DenyS3Logs","Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::*log*"}]}`

// queuePolicy is the policy Karpenter's cloudformation.yaml puts on the interruption queue.
const queuePolicy = `{"Id":"EC2InterruptionPolicy","Statement":[
	{"Effect":"Allow","Principal":{"Service":["events.amazonaws.com","sqs.amazonaws.com"]},"Action":"sqs:SendMessage","Resource":"arn:aws:sqs:us-west-1:111122223333:gpu-slicing"},
	{"Sid":"DenyHTTP","Effect":"Deny","Action":"sqs:*","Resource":"arn:aws:sqs:us-west-1:111122223333:gpu-slicing","Condition":{"Bool":{"aws:SecureTransport":false}},"Principal":"*"}]}`
