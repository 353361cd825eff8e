package authz

import (
	"fmt"
	"testing"
)

// TestConditions evaluates one condition block against one context. Rows marked (guide) are the
// IAM User Guide's own: "Condition operators", "Multivalued context keys", "Variables and tags".
func TestConditions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		block string
		ctx   map[string][]string
		want  bool
	}{
		// A key that is missing.
		{"missing: equals (guide)", `{"StringEquals":{"aws:PrincipalTag/job-category":"iamuser-admin"}}`, nil, false},
		{"missing: not equals (guide)", `{"StringNotEquals":{"aws:PrincipalTag/x":"y"}}`, nil, true},
		{"missing: not like (guide)", `{"ArnNotLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}`, nil, true},
		{"missing: IfExists (guide)", `{"StringLikeIfExists":{"ec2:InstanceType":["t1.*","t2.*","m3.*"]}}`, nil, true},
		{"missing: not equals if exists (guide)", `{"StringNotEqualsIfExists":{"aws:x":"y"}}`, nil, true},
		{"missing: number", `{"NumericLessThan":{"s3:max-keys":"10"}}`, nil, false},
		{"missing: number not equal", `{"NumericNotEquals":{"s3:max-keys":"10"}}`, nil, true},
		{"missing: date (guide)", `{"DateGreaterThan":{"aws:TokenIssueTime":"2020-01-01T00:00:01Z"}}`, nil, false},
		{"missing: bool", `{"Bool":{"aws:SecureTransport":"false"}}`, nil, false},
		{"missing: IP", `{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, nil, false},
		{"missing: not IP", `{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, nil, true},
		{"missing: ForAllValues (guide)", `{"ForAllValues:StringEquals":{"aws:TagKeys":["a"]}}`, nil, true},
		{"missing: ForAllValues, negated", `{"ForAllValues:StringNotEquals":{"aws:TagKeys":["a"]}}`, nil, true},
		{"missing: ForAnyValue (guide)", `{"ForAnyValue:StringEquals":{"aws:TagKeys":["a"]}}`, nil, false},
		{"missing: ForAnyValue, negated", `{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["a"]}}`, nil, false},
		{"missing: ForAnyValue, IfExists", `{"ForAnyValue:StringEqualsIfExists":{"aws:TagKeys":["a"]}}`, nil, false},
		{"missing: Null true (guide)", `{"Null":{"aws:TokenIssueTime":"true"}}`, nil, true},
		{"missing: Null false", `{"Null":{"aws:TokenIssueTime":"false"}}`, nil, false},

		// Null.
		{"present: Null true (guide)", `{"Null":{"aws:TokenIssueTime":"true"}}`, one("aws:TokenIssueTime", "2026-11-24T05:00:00Z"), false},
		{"present: Null false", `{"Null":{"aws:TokenIssueTime":false}}`, one("aws:TokenIssueTime", "2026-11-24T05:00:00Z"), true},
		{"empty string is null (guide)", `{"Null":{"aws:RequestTag/x":"true"}}`, one("aws:RequestTag/x", ""), true},

		// Strings.
		{"equals is exact", `{"StringEquals":{"aws:username":"johndoe"}}`, one("aws:username", "JohnDoe"), false},
		{"equals ignoring case (guide)", `{"StringEqualsIgnoreCase":{"aws:username":"johndoe"}}`, one("aws:username", "JohnDoe"), true},
		{"not equals ignoring case", `{"StringNotEqualsIgnoreCase":{"aws:username":"johndoe"}}`, one("aws:username", "JohnDoe"), false},
		{"equals takes no wildcard", `{"StringEquals":{"aws:username":"john*"}}`, one("aws:username", "johndoe"), false},
		{"like", `{"StringLike":{"aws:username":"j?hn*"}}`, one("aws:username", "johndoe"), true},
		{"like is case sensitive", `{"StringLike":{"aws:username":"J*"}}`, one("aws:username", "johndoe"), false},
		{"like, a tag with any value", `{"StringLike":{"aws:RequestTag/karpenter.sh/nodepool":"*"}}`, one("aws:RequestTag/karpenter.sh/nodepool", "gpu"), true},
		{"empty prefix (guide)", `{"StringLike":{"s3:prefix":["","home/"]}}`, one("s3:prefix", ""), true},
		{"key names ignore case (guide)", `{"StringEquals":{"aws:SourceVPC":"vpc-1"}}`, one("AWS:sourcevpc", "vpc-1"), true},
		{"alternatives", `{"StringEquals":{"aws:x":["a","b"]}}`, one("aws:x", "b"), true},
		{"negated alternatives all count (guide)", `{"StringNotEquals":{"aws:PrincipalAccount":["1","2"]}}`, one("aws:PrincipalAccount", "2"), false},
		{"several operators are ANDed (guide)", `{"StringEqualsIgnoreCase":{"aws:PrincipalTag/department":["finance","hr","legal"],"aws:PrincipalTag/role":["audit","security"]},"StringEquals":{"aws:PrincipalAccount":"123456789012"}}`,
			one("aws:PrincipalTag/department", "HR", "aws:PrincipalTag/role", "audit", "aws:PrincipalAccount", "999999999999"), false},
		{"several operators hold (guide)", `{"StringEqualsIgnoreCase":{"aws:PrincipalTag/department":["finance","hr","legal"],"aws:PrincipalTag/role":["audit","security"]},"StringEquals":{"aws:PrincipalAccount":"123456789012"}}`,
			one("aws:PrincipalTag/department", "HR", "aws:PrincipalTag/role", "audit", "aws:PrincipalAccount", "123456789012"), true},
		{"tags whose keys differ in case clash (guide)", `{"StringEquals":{"aws:ResourceTag/EC2":"test1"}}`, one("aws:ResourceTag/EC2", "test1", "aws:ResourceTag/ec2", "test2"), false},

		// Keys with several values.
		{"plain operator on several values", `{"StringEquals":{"aws:TagKeys":"a"}}`, one("aws:TagKeys", "a", "aws:TagKeys", "b"), false},
		{"plain negated operator on several values", `{"StringNotEquals":{"aws:TagKeys":"c"}}`, one("aws:TagKeys", "a", "aws:TagKeys", "b"), false},
		{"ForAllValues: one is outside (guide)", `{"ForAllValues:StringEquals":{"dynamodb:Attributes":["PostDateTime","Message","Tags"]}}`, one("dynamodb:Attributes", "PostDateTime", "dynamodb:Attributes", "UserName"), false},
		{"ForAllValues: all inside (guide)", `{"ForAllValues:StringEquals":{"dynamodb:Attributes":["ID","Message","Tags"]}}`, one("dynamodb:Attributes", "Message", "dynamodb:Attributes", "Tags"), true},
		{"ForAllValues: empty string (guide)", `{"ForAllValues:StringEquals":{"aws:TagKeys":["a"]}}`, one("aws:TagKeys", ""), true},
		{"ForAllValues: negated", `{"ForAllValues:StringNotLike":{"aws:TagKeys":["aws:*"]}}`, one("aws:TagKeys", "a", "aws:TagKeys", "aws:b"), false},
		{"ForAnyValue: none (guide)", `{"ForAnyValue:StringEquals":{"dynamodb:Attributes":["ID","PostDateTime"]}}`, one("dynamodb:Attributes", "UserName"), false},
		{"ForAnyValue: one (guide)", `{"ForAnyValue:StringEquals":{"dynamodb:Attributes":["ID","PostDateTime"]}}`, one("dynamodb:Attributes", "UserName", "dynamodb:Attributes", "Message", "dynamodb:Attributes", "PostDateTime"), true},
		{"ForAnyValue: a null data set (guide)", `{"ForAnyValue:StringLike":{"aws:TagKeys":["*"]}}`, one("aws:TagKeys", ""), false},
		{"ForAnyValue: negated", `{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["a"]}}`, one("aws:TagKeys", "a", "aws:TagKeys", "b"), true},

		// Numbers, dates, booleans, binary.
		{"number above (guide)", `{"NumericLessThanEquals":{"s3:max-keys":"10"}}`, one("s3:max-keys", "11"), false},
		{"number at the limit (guide)", `{"NumericLessThanEquals":{"s3:max-keys":"10"}}`, one("s3:max-keys", "10.0"), true},
		{"numbers are not strings", `{"NumericLessThan":{"s3:max-keys":"10"}}`, one("s3:max-keys", "9"), true},
		{"not a number", `{"NumericGreaterThan":{"s3:max-keys":"10"}}`, one("s3:max-keys", "many"), false},
		{"decimals", `{"NumericGreaterThan":{"aws:x":0.1}}`, one("aws:x", "0.10000000000000000001"), true},
		{"not equal", `{"NumericNotEquals":{"s3:max-keys":"10"}}`, one("s3:max-keys", "10"), false},
		{"date before", `{"DateGreaterThan":{"aws:TokenIssueTime":"2020-01-01T00:00:01Z"}}`, one("aws:TokenIssueTime", "2020-01-01T00:00:01Z"), false},
		{"date after (guide)", `{"DateGreaterThan":{"aws:TokenIssueTime":"2020-01-01T00:00:01Z"}}`, one("aws:TokenIssueTime", "2020-01-01T01:00:02+01:00"), true},
		{"epoch seconds", `{"DateLessThanEquals":{"aws:EpochTime":"1577836801"}}`, one("aws:EpochTime", "1577836801"), true},
		{"date without a time", `{"DateLessThan":{"aws:CurrentTime":"2026-11"}}`, one("aws:CurrentTime", "2026-10-31T23:59:59Z"), true},
		{"bool (guide)", `{"Bool":{"aws:SecureTransport":"false"}}`, one("aws:SecureTransport", "true"), false},
		{"bool, case", `{"Bool":{"aws:SecureTransport":true}}`, one("aws:SecureTransport", "TRUE"), true},
		{"binary (guide)", `{"BinaryEquals":{"aws:key":"QmluYXJ5VmFsdWVJbkJhc2U2NA=="}}`, one("aws:key", "BinaryValueInBase64"), true},

		// Addresses.
		{"IP outside", `{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, one("aws:SourceIp", "203.0.114.1"), false},
		{"IP inside (guide)", `{"IpAddress":{"aws:SourceIp":["203.0.113.0/24","2001:DB8:1234:5678::/64"]}}`, one("aws:SourceIp", "2001:db8:1234:5678::7"), true},
		{"IP without a prefix is one address (guide)", `{"IpAddress":{"aws:SourceIp":"203.0.113.7"}}`, one("aws:SourceIp", "203.0.113.8"), false},
		{"not in the range", `{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, one("aws:SourceIp", "203.0.113.9"), false},

		// ARNs.
		{"ARN fields are matched one by one (guide)", `{"ArnLike":{"aws:SourceArn":"arn:aws:someservice:*:111122223333:finance/*"}}`, one("aws:SourceArn", "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"), false},
		{"a string is not (guide)", `{"StringLike":{"aws:SourceArn":"arn:aws:someservice:*:111122223333:finance/*"}}`, one("aws:SourceArn", "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"), true},
		{"ArnEquals takes wildcards (guide)", `{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:*:123456789012:*"}}`, one("aws:SourceArn", "arn:aws:sns:us-east-1:123456789012:topic"), true},
		{"not an ARN", `{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}`, one("aws:SourceArn", "topic"), false},
		{"ArnNotEquals", `{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::444455556666:user/user-name"}}`, one("aws:PrincipalArn", "arn:aws:iam::444455556666:user/user-name"), false},

		// Variables.
		{"variable (guide)", `{"StringLike":{"s3:prefix":["${aws:username}/*"]}}`, one("s3:prefix", "David/x", "aws:username", "David"), true},
		{"variable of another", `{"StringLike":{"s3:prefix":["${aws:username}/*"]}}`, one("s3:prefix", "David/x", "aws:username", "Adele"), false},
		{"variable without a value (guide)", `{"StringEquals":{"s3:ExistingObjectTag/Team":"${aws:PrincipalTag/Team}"}}`, one("s3:ExistingObjectTag/Team", "a"), false},
		{"variable without a value, negated (guide)", `{"StringNotEquals":{"s3:ExistingObjectTag/Team":"${aws:PrincipalTag/Team}"}}`, one("s3:ExistingObjectTag/Team", "a"), true},
		{"variable without a value is not the empty string", `{"StringEquals":{"aws:x":"${aws:PrincipalTag/Team}"}}`, one("aws:x", ""), false},
		{"default", `{"StringEquals":{"aws:x":"b-${aws:PrincipalTag/team, 'company-wide'}"}}`, one("aws:x", "b-company-wide"), true},
		{"default unused", `{"StringEquals":{"aws:x":"b-${aws:PrincipalTag/team, 'company-wide'}"}}`, one("aws:x", "b-company-wide", "aws:PrincipalTag/Team", "yellow"), false},
		{"a value's own wildcards are text", `{"StringLike":{"aws:x":"${aws:PrincipalTag/t}"}}`, one("aws:x", "anything", "aws:PrincipalTag/t", "*"), false},
		{"a key of several values is no variable (guide)", `{"StringLike":{"aws:x":"${aws:TagKeys}"}}`, one("aws:x", "a", "aws:TagKeys", "a", "aws:TagKeys", "b"), false},
		{"nor does a default make it one", `{"StringLike":{"aws:x":"${aws:TagKeys, 'd'}"}}`, one("aws:x", "d", "aws:TagKeys", "a", "aws:TagKeys", "b"), false},
		{"literal characters (guide)", `{"StringLike":{"aws:x":"${*}${?}${$}"}}`, one("aws:x", "*?$"), true},
		{"literal star is no wildcard (guide)", `{"StringLike":{"aws:x":"a${*}"}}`, one("aws:x", "abc"), false},
		{"variable in an ARN", `{"ArnLike":{"aws:SourceArn":"arn:aws:eks:*:${aws:PrincipalAccount}:cluster/*"}}`, one("aws:SourceArn", "arn:aws:eks:us-west-1:1:cluster/c", "aws:PrincipalAccount", "1"), true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, effect := range []string{"Allow", "Deny"} {
				p := mustParse(t, Identity, "p", statements(fmt.Sprintf(`{"Effect":%q,"Action":"*","Resource":"*","Condition":%s}`, effect, tc.block)))
				d := Evaluate(Request{Principal: user("x"), Action: "s3:GetObject", Resource: "*", Context: tc.ctx}, p)
				if got := d.Outcome != ImplicitDeny; got != tc.want {
					t.Errorf("%s applies: %v, want %v (%v)", effect, got, tc.want, d.NearMisses)
				}
			}
		})
	}
}

// TestVariablesInResources holds the guide's examples for the Resource element.
func TestVariablesInResources(t *testing.T) {
	t.Parallel()
	bucket := []*Policy{mustParse(t, Identity, "p", statements(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::DOC-EXAMPLE-BUCKET-${aws:PrincipalTag/team, 'company-wide'}"}`))}
	home := []*Policy{mustParse(t, Identity, "p", statements(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::mybucket/${aws:username}/*"}`))}
	old := []*Policy{mustParse(t, Resource, "p", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::mybucket/${aws:username}/*"}}`)}
	not := []*Policy{mustParse(t, Identity, "p", statements(`{"Effect":"Deny","Action":"s3:*","NotResource":"arn:aws:s3:::mybucket/${aws:username}"}`))}
	who := user("David")
	runDecisions(t, map[string]decide{
		"another team's bucket":       {bucket, who, "s3:GetObject", "arn:aws:s3:::DOC-EXAMPLE-BUCKET-red", "", one("aws:PrincipalTag/team", "yellow"), ImplicitDeny, "", 0},
		"another's home":              {home, who, "s3:GetObject", "arn:aws:s3:::mybucket/Adele/x", "", one("aws:username", "David"), ImplicitDeny, "", 0},
		"no value, no match":          {home, who, "s3:GetObject", "arn:aws:s3:::mybucket//x", "", nil, ImplicitDeny, "", 0},
		"old version: text":           {old, who, "s3:GetObject", "arn:aws:s3:::mybucket/David/x", "", one("aws:username", "David"), ImplicitDeny, "", 0},
		"NotResource without a value": {not, who, "s3:GetObject", "arn:aws:s3:::mybucket/David", "", nil, ExplicitDeny, "", 0},
		"own team's bucket":           {bucket, who, "s3:GetObject", "arn:aws:s3:::DOC-EXAMPLE-BUCKET-yellow", "", one("aws:PrincipalTag/team", "yellow"), Allow, "", 0},
		"the default bucket":          {bucket, who, "s3:GetObject", "arn:aws:s3:::DOC-EXAMPLE-BUCKET-company-wide", "", nil, Allow, "", 0},
		"own home":                    {home, who, "s3:GetObject", "arn:aws:s3:::mybucket/David/x", "", one("aws:username", "David"), Allow, "", 0},
		"old version, literally":      {old, who, "s3:GetObject", "arn:aws:s3:::mybucket/${aws:username}/x", "", one("aws:username", "David"), Allow, "", 0},
	})
}
