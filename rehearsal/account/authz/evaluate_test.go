package authz

import (
	"strings"
	"testing"
)

// decide is a row of the tables below: one request against policies.
type decide struct {
	policies  []*Policy
	who       Principal
	action    string
	resource  string
	account   string
	ctx       map[string][]string
	want      Outcome
	wantText  string // part of the message for a denial, of the reason for an allow
	statement int    // the deciding statement, where there is one
}

func runDecisions(t *testing.T, tests map[string]decide) {
	t.Helper()
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.resource == "" {
				tc.resource = "*"
			}
			d := Evaluate(Request{Principal: tc.who, Action: tc.action, Resource: tc.resource, Account: tc.account, Context: tc.ctx}, tc.policies...)
			if d.Outcome != tc.want || d.Allowed != (tc.want == Allow) {
				t.Fatalf("outcome %v, want %v: %s", d.Outcome, tc.want, d.Reason())
			}
			text := d.Message()
			if d.Allowed {
				text = d.Reason()
			}
			if !strings.Contains(text, tc.wantText) {
				t.Errorf("text %q does not contain %q", text, tc.wantText)
			}
			if tc.want != ImplicitDeny && d.Statement != tc.statement {
				t.Errorf("decided by statement %d, want %d", d.Statement, tc.statement)
			}
		})
	}
}

// TestEvaluationLogic holds the examples of "Policy evaluation logic" and its cross-account page.
func TestEvaluationLogic(t *testing.T) {
	t.Parallel()
	carlos := user("carlossalazar")
	identity := mustParse(t, Identity, "carlos", carlosPolicy)
	bucket := mustParse(t, Resource, "bucket", statements(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/carlossalazar"},"Action":"s3:*","Resource":["arn:aws:s3:::carlossalazar/*","arn:aws:s3:::carlossalazar"]}`))
	bucketDeny := mustParse(t, Resource, "bucket", statements(`{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::carlossalazar/*"}`))
	reports := mustParse(t, Identity, "reports", statements(`
		{"Sid":"AllowGetList","Effect":"Allow","Action":["iam:Get*","iam:List*"],"Resource":"*"},
		{"Sid":"DenyReports","Effect":"Deny","Action":"iam:*Report","Resource":"*"}`))
	allowReports := mustParse(t, Identity, "more", statements(`{"Effect":"Allow","Action":"iam:GenerateCredentialReport","Resource":"*"}`))

	// Cross-account: Carlos of 111111111111, the bucket Production of 222222222222.
	other := Principal{ARN: "arn:aws:iam::111111111111:user/carlossalazar", Account: "111111111111"}
	production := mustParse(t, Identity, "carlos", statements(`
		{"Sid":"AllowS3ListRead","Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"},
		{"Sid":"AllowS3ProductionObjectActions","Effect":"Allow","Action":"s3:*Object*","Resource":"arn:aws:s3:::Production/*"},
		{"Sid":"DenyS3Logs","Effect":"Deny","Action":"s3:*","Resource":["arn:aws:s3:::*log*","arn:aws:s3:::*log*/*"]}`))
	productionBucket := mustParse(t, Resource, "Production", statements(`{"Effect":"Allow","Action":["s3:GetObject*","s3:PutObject*","s3:ReplicateObject","s3:RestoreObject"],"Principal":{"AWS":"arn:aws:iam::111111111111:user/carlossalazar"},"Resource":"arn:aws:s3:::Production/*"}`))
	toAccount := mustParse(t, Resource, "Production", statements(`{"Effect":"Allow","Action":"s3:*","Principal":{"AWS":"111111111111"},"Resource":"arn:aws:s3:::Production/*"}`))
	delegating := mustParse(t, Resource, "bucket", statements(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"s3:*","Resource":"arn:aws:s3:::other/*"}`))

	root := Principal{ARN: "arn:aws:iam::123456789012:root", Account: "123456789012"}
	runDecisions(t, map[string]decide{
		"no policy at all": {nil, carlos, "codecommit:ListRepositories", "", "", nil, ImplicitDeny,
			"User: arn:aws:iam::123456789012:user/carlossalazar is not authorized to perform: codecommit:ListRepositories because no identity-based policy allows the codecommit:ListRepositories action", 0},
		"implicit: not listed":                  {[]*Policy{reports}, carlos, "iam:CreatePolicy", "", "", nil, ImplicitDeny, "because no identity-based policy allows the iam:CreatePolicy action", 0},
		"explicit beats allow":                  {[]*Policy{reports}, carlos, "iam:GetOrganizationsAccessReport", "", "", nil, ExplicitDeny, "with an explicit deny in an identity-based policy", 1},
		"explicit beats another policy's allow": {[]*Policy{allowReports, reports}, carlos, "iam:GenerateCredentialReport", "", "", nil, ExplicitDeny, "with an explicit deny in an identity-based policy", 1},
		"Carlos's logs bucket": {[]*Policy{identity}, carlos, "s3:PutObject", "arn:aws:s3:::carlossalazar-logs", "", nil, ExplicitDeny,
			"s3:PutObject on resource: arn:aws:s3:::carlossalazar-logs with an explicit deny in an identity-based policy", 2},
		"the resource's deny": {[]*Policy{identity, bucketDeny}, carlos, "s3:PutObject", "arn:aws:s3:::carlossalazar/x", "", nil, ExplicitDeny, "with an explicit deny in a resource-based policy", 0},
		"another's bucket":    {[]*Policy{identity, bucket}, carlos, "s3:GetObject", "arn:aws:s3:::someone/x", "", nil, ImplicitDeny, "because no identity-based policy allows", 0},
		"delegation alone":    {[]*Policy{delegating}, carlos, "s3:GetObject", "arn:aws:s3:::other/x", "", nil, ImplicitDeny, "because no identity-based policy allows", 0},
		"cross-account, identity only": {[]*Policy{production}, other, "s3:PutObject", "arn:aws:s3:::Production/x", "222222222222", nil, ImplicitDeny,
			"because no resource-based policy allows the s3:PutObject action", 0},
		"cross-account, resource only":  {[]*Policy{productionBucket}, other, "s3:PutObject", "arn:aws:s3:::Production/x", "222222222222", nil, ImplicitDeny, "because no identity-based policy allows", 0},
		"cross-account, denied at home": {[]*Policy{production}, other, "s3:PutObject", "arn:aws:s3:::Production-logs", "222222222222", nil, ExplicitDeny, "with an explicit deny in an identity-based policy", 2},
		"cross-account, delete":         {[]*Policy{production, productionBucket}, other, "s3:DeleteObject", "arn:aws:s3:::Production/x", "222222222222", nil, ImplicitDeny, "no resource-based policy", 0},
		"another account's root":        {nil, Principal{ARN: "arn:aws:iam::999999999999:root", Account: "999999999999"}, "s3:GetObject", "arn:aws:s3:::x/y", "123456789012", nil, ImplicitDeny, "no resource-based policy", 0},
		"root, denied by the resource":  {[]*Policy{bucketDeny}, root, "s3:PutObject", "arn:aws:s3:::carlossalazar/x", "", nil, ExplicitDeny, "explicit deny", 0},

		"allowed by both":                {[]*Policy{identity, bucket}, carlos, "s3:PutObject", "arn:aws:s3:::carlossalazar/x", "", nil, Allow, "statement 1 (AllowS3Self) of identity-based policy carlos", 1},
		"allowed by the resource only":   {[]*Policy{bucket}, carlos, "s3:PutObject", "arn:aws:s3:::carlossalazar/x", "", nil, Allow, "resource-based policy bucket", 0},
		"case of actions":                {[]*Policy{reports}, carlos, "IAM:getrole", "", "", nil, Allow, "AllowGetList", 0},
		"cross-account, both":            {[]*Policy{production, productionBucket}, other, "s3:PutObject", "arn:aws:s3:::Production/x", "222222222222", nil, Allow, "AllowS3ProductionObjectActions", 1},
		"cross-account, to an account":   {[]*Policy{production, toAccount}, other, "s3:PutObject", "arn:aws:s3:::Production/x", "222222222222", nil, Allow, "AllowS3ProductionObjectActions", 1},
		"another account's root, let in": {[]*Policy{toAccount}, Principal{ARN: "arn:aws:iam::111111111111:root", Account: "111111111111"}, "s3:PutObject", "arn:aws:s3:::Production/x", "222222222222", nil, Allow, "root user", -1},
		"the root user":                  {nil, root, "s3:PutObject", "arn:aws:s3:::carlossalazar/x", "", nil, Allow, "root user", -1},
	})
}

// TestElements holds the examples of the pages on Action, NotAction, Resource and NotResource.
func TestElements(t *testing.T) {
	t.Parallel()
	who := user("x")
	p := func(s string) []*Policy { return []*Policy{mustParse(t, Identity, "p", statements(s))} }
	accessKeys := p(`{"Effect":"Allow","Action":"iam:*AccessKey*","Resource":"*"}`)
	test := p(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::DOC-EXAMPLE-BUCKET/*/test/*"}`)
	payroll := p(`{"Effect":"Deny","Action":"s3:*","NotResource":["arn:aws:s3:::HRBucket/Payroll","arn:aws:s3:::HRBucket/Payroll/*"]},{"Effect":"Allow","Action":"*","Resource":"*"}`)
	notDelete := p(`{"Effect":"Allow","NotAction":"s3:DeleteBucket","Resource":"arn:aws:s3:::*"}`)
	notIAM := p(`{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`)
	mfa := p(`{"Sid":"DenyAllUsersNotUsingMFA","Effect":"Deny","NotAction":"iam:*","Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}},{"Effect":"Allow","Action":"*","Resource":"*"}`)
	question := p(`{"Effect":"Allow","Action":"ec2:?un*","Resource":"arn:aws:ec2:*:*:instance/i-??34"}`)
	short := p(`{"Effect":"Allow","Action":"sqs:*","Resource":"arn:aws:sqs"}`)
	fields := p(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:someservice:*:111122223333:finance/*"}`)
	const object = "arn:aws:s3:::DOC-EXAMPLE-BUCKET/"
	tests := map[string]decide{
		"NotAction names it":                        {notDelete, who, "s3:DeleteBucket", "arn:aws:s3:::b", "", nil, ImplicitDeny, "", 0},
		"NotAction within the resource's scope":     {notDelete, who, "s3:ListAllMyBuckets", "*", "", nil, ImplicitDeny, "", 0},
		"NotAction, another service's resource":     {notDelete, who, "sqs:SendMessage", "arn:aws:sqs:us-east-1:123456789012:q", "", nil, ImplicitDeny, "", 0},
		"everything but IAM":                        {notIAM, who, "iam:GetRole", "arn:aws:iam::123456789012:role/r", "", nil, ImplicitDeny, "", 0},
		"NotResource denies the rest":               {payroll, who, "s3:GetObject", "arn:aws:s3:::HRBucket/Other", "", nil, ExplicitDeny, "", 0},
		"no MFA, not IAM":                           {mfa, who, "ec2:RunInstances", "*", "", one("aws:MultiFactorAuthPresent", "false"), ExplicitDeny, "", 0},
		"MFA unknown: IfExists makes the deny hold": {mfa, who, "ec2:RunInstances", "*", "", nil, ExplicitDeny, "", 0},
		"? is one character":                        {question, who, "ec2:RunInstances", "arn:aws:ec2:us-west-1:123456789012:instance/i-1234567", "", nil, ImplicitDeny, "", 0},
		"* stays within an ARN's field":             {fields, who, "someservice:Read", "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt", "", nil, ImplicitDeny, "", 0},
		"a resource pattern is not all resources":   {question, who, "ec2:RunInstances", "*", "", nil, ImplicitDeny, "", 0},
		"action's wildcard":                         {accessKeys, who, "iam:ListRoles", "*", "", nil, ImplicitDeny, "", 0},
		"case of resources":                         {test, who, "s3:GetObject", "arn:aws:s3:::doc-example-bucket/1/test/x", "", nil, ImplicitDeny, "", 0},

		"IAM but not the rest":          {mfa, who, "iam:GetRole", "*", "", nil, Allow, "", 1},
		"with MFA":                      {mfa, who, "ec2:RunInstances", "*", "", one("aws:MultiFactorAuthPresent", "true"), Allow, "", 1},
		"NotAction allows the rest":     {notDelete, who, "s3:DeleteObject", "arn:aws:s3:::b/k", "", nil, Allow, "", 0},
		"NotResource spares its own":    {payroll, who, "s3:GetObject", "arn:aws:s3:::HRBucket/Payroll/May", "", nil, Allow, "", 1},
		"? in action and resource":      {question, who, "ec2:RunInstances", "arn:aws:ec2:us-west-1:123456789012:instance/i-1234", "", nil, Allow, "", 0},
		"short ARN is completed":        {short, who, "sqs:SendMessage", "arn:aws:sqs:us-east-1:123456789012:q", "", nil, Allow, "", 0},
		"fields with colons at the end": {fields, who, "someservice:Read", "arn:aws:someservice:us-east-2:111122223333:finance/a:b", "", nil, Allow, "", 0},
	}
	for _, key := range []string{"CreateAccessKey", "DeleteAccessKey", "ListAccessKeys", "UpdateAccessKey"} {
		tests["iam:*AccessKey* covers "+key] = decide{accessKeys, who, "iam:" + key, "*", "", nil, Allow, "", 0}
	}
	for _, key := range []string{"1-test/object.jpg", "test/object.jpg", "1/2/test.jpg"} {
		tests["not "+key] = decide{test, who, "s3:GetObject", object + key, "", nil, ImplicitDeny, "", 0}
	}
	for _, key := range []string{"1/test/object.jpg", "1/2/test/object.jpg", "1/2/test/3/object.jpg", "1/2/3/test/4/object.jpg", "1///test///object.jpg", "1/test/.jpg", "/test/object.jpg", "1/test/"} {
		tests["matches "+key] = decide{test, who, "s3:GetObject", object + key, "", nil, Allow, "", 0}
	}
	runDecisions(t, tests)
}

// TestPrincipals holds the examples of the pages on Principal and NotPrincipal, the trust policies
// of the stack and the queue's policy.
func TestPrincipals(t *testing.T) {
	t.Parallel()
	trust := func(principal string) *Policy {
		return mustParse(t, Trust, "role", statements(`{"Effect":"Allow","Principal":`+principal+`,"Action":["sts:AssumeRole","sts:TagSession"]}`))
	}
	assume := mustParse(t, Identity, "assume", statements(`{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}`))
	queue := mustParse(t, Resource, "queue", queuePolicy)
	const role, q = "arn:aws:iam::123456789012:role/x", "arn:aws:sqs:us-west-1:111122223333:gpu-slicing"
	notBob := mustParse(t, Resource, "bucket", statements(`{"Effect":"Deny","NotPrincipal":{"AWS":["arn:aws:iam::123456789012:user/Bob","arn:aws:iam::123456789012:root"]},"Action":"s3:*","Resource":"arn:aws:s3:::b"},{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b"}`))
	onlyBob := mustParse(t, Resource, "bucket", statements(`{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::123456789012:user/Bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b"}`))
	audit := session("read-only")
	notAudit := mustParse(t, Resource, "bucket", statements(`{"Effect":"Deny","NotPrincipal":{"AWS":["`+audit.ARN+`","`+audit.RoleARN+`","`+acct+`"]},"Action":"s3:*","Resource":"arn:aws:s3:::b"},{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:*","Resource":"arn:aws:s3:::b"}`))
	notRole := mustParse(t, Resource, "bucket", statements(`{"Effect":"Deny","NotPrincipal":{"AWS":["`+audit.ARN+`","`+acct+`"]},"Action":"s3:*","Resource":"arn:aws:s3:::b"}`))
	forRole := mustParse(t, Resource, "bucket", statements(`{"Effect":"Allow","Principal":{"AWS":"`+audit.RoleARN+`"},"Action":"s3:*","Resource":"arn:aws:s3:::b"}`))
	bob := user("Bob")
	runDecisions(t, map[string]decide{
		"trust names another service": {[]*Policy{trust(`{"Service":"ec2.amazonaws.com"}`)}, service("pods.eks.amazonaws.com"), "sts:AssumeRole", role, "123456789012", nil, ImplicitDeny, "because no role trust policy allows the sts:AssumeRole action", 0},
		"trust names another user":    {[]*Policy{trust(`{"AWS":"arn:aws:iam::123456789012:user/Alice"}`), assume}, bob, "sts:AssumeRole", role, "", nil, ImplicitDeny, "because no role trust policy allows", 0},
		"identity alone never assumes": {[]*Policy{trust(`{"Service":"ec2.amazonaws.com"}`), assume}, bob, "sts:AssumeRole", role, "", nil, ImplicitDeny,
			"User: arn:aws:iam::123456789012:user/Bob is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/x because no role trust policy allows the sts:AssumeRole action", 0},
		"trust of the account delegates":   {[]*Policy{trust(`{"AWS":"123456789012"}`)}, bob, "sts:AssumeRole", role, "", nil, ImplicitDeny, "because no identity-based policy allows", 0},
		"trust across accounts":            {[]*Policy{trust(`{"AWS":"` + audit.RoleARN + `"}`)}, audit, "sts:AssumeRole", role, "123456789012", nil, ImplicitDeny, "because no identity-based policy allows", 0},
		"trust's deny":                     {[]*Policy{mustParse(t, Trust, "role", statements(`{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}`)), assume}, bob, "sts:AssumeRole", role, "", nil, ExplicitDeny, "with an explicit deny in the role trust policy", 0},
		"case of user names":               {[]*Policy{trust(`{"AWS":"arn:aws:iam::123456789012:user/bob"}`), assume}, bob, "sts:AssumeRole", role, "", nil, ImplicitDeny, "no role trust policy", 0},
		"plain HTTP to the queue":          {[]*Policy{queue}, service("events.amazonaws.com"), "sqs:SendMessage", q, acct, one("aws:SecureTransport", "false"), ExplicitDeny, "", 1},
		"another service to the queue":     {[]*Policy{queue}, service("sns.amazonaws.com"), "sqs:SendMessage", q, acct, one("aws:SecureTransport", "true"), ImplicitDeny, "because no resource-based policy allows the sqs:SendMessage action", 0},
		"the service may only send":        {[]*Policy{queue}, service("events.amazonaws.com"), "sqs:ReceiveMessage", q, acct, one("aws:SecureTransport", "true"), ImplicitDeny, "", 0},
		"identity policies of a service":   {[]*Policy{assume}, service("events.amazonaws.com"), "sts:AssumeRole", role, acct, nil, ImplicitDeny, "", 0},
		"NotPrincipal denies Alice":        {[]*Policy{notBob}, user("Alice"), "s3:GetObject", "arn:aws:s3:::b", "", nil, ExplicitDeny, "", 0},
		"NotPrincipal without the account": {[]*Policy{onlyBob}, bob, "s3:GetObject", "arn:aws:s3:::b", "", nil, ExplicitDeny, "", 0},
		"NotPrincipal, another session":    {[]*Policy{notAudit}, session("other"), "s3:GetObject", "arn:aws:s3:::b", "", nil, ExplicitDeny, "", 0},

		"NotPrincipal without the session's role": {[]*Policy{notRole}, audit, "s3:GetObject", "arn:aws:s3:::b", "", nil, ExplicitDeny, "", 0},

		"trust names the service":                                 {[]*Policy{trust(`{"Service":["ec2.amazonaws.com","pods.eks.amazonaws.com"]}`)}, service("pods.eks.amazonaws.com"), "sts:TagSession", role, "123456789012", nil, Allow, "role trust policy", 0},
		"trust names the user":                                    {[]*Policy{trust(`{"AWS":"arn:aws:iam::123456789012:user/Bob"}`)}, bob, "sts:AssumeRole", role, "", nil, Allow, "role trust policy", 0},
		"trust delegates, identity":                               {[]*Policy{trust(`{"AWS":"arn:aws:iam::123456789012:root"}`), assume}, bob, "sts:AssumeRole", role, "", nil, Allow, "identity-based policy assume", 0},
		"trust across accounts, both":                             {[]*Policy{trust(`{"AWS":"` + audit.RoleARN + `"}`), assume}, audit, "sts:AssumeRole", role, "123456789012", nil, Allow, "identity-based policy assume", 0},
		"EventBridge sends":                                       {[]*Policy{queue}, service("events.amazonaws.com"), "sqs:SendMessage", q, acct, one("aws:SecureTransport", "true"), Allow, "resource-based policy queue", 0},
		"NotPrincipal spares Bob":                                 {[]*Policy{notBob}, bob, "s3:GetObject", "arn:aws:s3:::b", "", nil, Allow, "", 1},
		"NotPrincipal spares a session with its role and account": {[]*Policy{notAudit}, audit, "s3:GetObject", "arn:aws:s3:::b", "", nil, Allow, "", 1},
		"a role's ARN covers its sessions":                        {[]*Policy{forRole}, audit, "s3:GetObject", "arn:aws:s3:::b", "", nil, Allow, "", 0},
	})
}
