package authz

import (
	"errors"
	"strings"
	"testing"
)

// TestParseRefuses: what IAM refuses, with every problem and its place.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const open = `{"Version":"2012-10-17","Statement":`
	tests := map[string]struct {
		kind Kind
		doc  string
		want []string // one part of each problem, in order
	}{
		"not JSON":          {Identity, `{"Version":`, []string{"1:12: document: Syntax errors in policy: the document ends too early"}},
		"trailing comma":    {Identity, "{\n \"Version\": \"2012-10-17\",\n}", []string{"3:1: document: Syntax errors in policy"}},
		"text after":        {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*"}} x`, []string{"more text follows"}},
		"not an object":     {Identity, `[]`, []string{"must be an object, not an array"}},
		"too deep":          {Identity, strings.Repeat(`[`, 100), []string{"nested deeper than 32 levels"}},
		"no statement":      {Identity, `{"Version":"2012-10-17"}`, []string{"at least one statement"}},
		"empty statements":  {Identity, open + `[]}`, []string{"at least one statement"}},
		"old version":       {Identity, `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, []string{"must be version 2012-10-17 or greater"}},
		"unknown version":   {Resource, `{"Version":"2024-01-01","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`, []string{`"2024-01-01" is not one`}},
		"id in identity":    {Identity, `{"Id":"x","Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, []string{`"Id" is no element`}},
		"misspelt element":  {Identity, open + `{"Effect":"Allow","action":"ec2:Run","Resource":"*"}}`, []string{"must contain actions", `did you mean "Action"?`}},
		"repeated element":  {Identity, open + `{"Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}}`, []string{`"Effect" appears twice`}},
		"no effect":         {Identity, open + `{"Action":"*","Resource":"*"}}`, []string{"Effect is missing"}},
		"effect's case":     {Identity, open + `{"Effect":"allow","Action":"*","Resource":"*"}}`, []string{`must be "Allow" or "Deny", not the string "allow"`}},
		"no action":         {Identity, open + `{"Effect":"Allow","Resource":"*"}}`, []string{"Policy statement must contain actions."}},
		"empty action":      {Identity, open + `{"Effect":"Allow","Action":[],"Resource":"*"}}`, []string{"Policy statement must contain actions."}},
		"both actions":      {Identity, open + `{"Effect":"Allow","Action":"*","NotAction":"iam:*","Resource":"*"}}`, []string{"either Action or NotAction"}},
		"no vendor":         {Identity, open + `{"Effect":"Allow","Action":"RunInstances","Resource":"*"}}`, []string{"must be prefaced by a vendor"}},
		"two colons":        {Identity, open + `{"Effect":"Allow","Action":"ec2:Run:x","Resource":"*"}}`, []string{"only one colon"}},
		"vendor wildcard":   {Identity, open + `{"Effect":"Allow","Action":"e*:Run","Resource":"*"}}`, []string{"Vendor or action"}},
		"action a number":   {Identity, open + `{"Effect":"Allow","Action":7,"Resource":"*"}}`, []string{"must be a string, not the number 7"}},
		"no resource":       {Identity, open + `{"Effect":"Allow","Action":"*"}}`, []string{"Policy statement must contain resources."}},
		"no ARN":            {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"i-0123"}}`, []string{`Resource i-0123 must be in ARN format or "*".`}},
		"partition":         {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"arn:amazon:ec2:::x"}}`, []string{`Partition "amazon" is not valid`}},
		"vendor regex":      {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"arn:aws:e*:::x"}}`, []string{"Resource vendor must be fully qualified and cannot contain regexes."}},
		"iam region":        {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam:us-west-1:111122223333:role/x"}}`, []string{"cannot contain region information"}},
		"iam path":          {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::111122223333:roles/x"}}`, []string{"IAM resource path must either be"}},
		"early variable":    {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"arn:aws:sqs:${aws:RequestedRegion}:111122223333:q"}}`, []string{"only after the fifth colon, not in field 4"}},
		"open variable":     {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username"}}`, []string{"no closing brace"}},
		"empty variable":    {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${}"}}`, []string{"does not name a condition key"}},
		"unquoted default":  {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username, x}"}}`, []string{"single quotes"}},
		"principal":         {Identity, open + `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`, []string{"Policy document should not specify a principal."}},
		"sid":               {Identity, open + `{"Sid":"a b","Effect":"Allow","Action":"*","Resource":"*"}}`, []string{"must be alpha-numeric"}},
		"same sid":          {Identity, open + `[{"Sid":"a","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"a","Effect":"Deny","Action":"*","Resource":"*"}]}`, []string{"Statement[1].Sid: Statement IDs (SID) in a single policy must be unique."}},
		"operator":          {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringMatches":{"aws:x":"y"}}}}`, []string{`"StringMatches" is no condition operator`}},
		"set operator":      {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ForSome:StringEquals":{"aws:x":"y"}}}}`, []string{`"ForSome" is no set operator`}},
		"null if exists":    {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NullIfExists":{"aws:x":"true"}}}}`, []string{"takes neither IfExists"}},
		"condition key":     {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"SourceIp":"y"}}}}`, []string{"must be prefaced by a vendor"}},
		"no values":         {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:x":[]}}}}`, []string{"list of values is empty"}},
		"same key":          {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceIp":"y","aws:sourceip":"z"}}}}`, []string{"appears twice"}},
		"number":            {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericEquals":{"aws:x":"ten"}}}}`, []string{`"ten" is not a number`}},
		"date":              {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"tomorrow"}}}}`, []string{`"tomorrow" is not a date`}},
		"bool":              {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:x":"yes"}}}}`, []string{"neither true nor false"}},
		"ip":                {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}}}`, []string{"neither an IP address nor a range"}},
		"binary":            {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"BinaryEquals":{"aws:x":"!"}}}}`, []string{"is not base64"}},
		"condition ARN":     {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ArnLike":{"aws:SourceArn":"queue"}}}}`, []string{"is not an ARN"}},
		"nested value":      {Identity, open + `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:x":{"a":1}}}}}`, []string{"not an object"}},
		"trust resource":    {Trust, open + `{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole","Resource":"*"}}`, []string{"Has prohibited field Resource"}},
		"trust action":      {Trust, open + `{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"ec2:RunInstances"}}`, []string{"may only specify STS AssumeRole actions"}},
		"trust principal":   {Trust, open + `{"Effect":"Allow","Action":"sts:AssumeRole"}}`, []string{"Missing required field Principal"}},
		"service principal": {Trust, open + `{"Effect":"Allow","Principal":{"Service":"ec2"},"Action":"sts:AssumeRole"}}`, []string{"no service principal"}},
		"wildcard in ARN":   {Trust, open + `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/*"},"Action":"sts:AssumeRole"}}`, []string{"a wildcard cannot stand for part"}},
		"account ID":        {Trust, open + `{"Effect":"Allow","Principal":{"AWS":"1234"},"Action":"sts:AssumeRole"}}`, []string{"neither an account ID of 12 digits"}},
		"principal text":    {Trust, open + `{"Effect":"Allow","Principal":"ec2.amazonaws.com","Action":"sts:AssumeRole"}}`, []string{`a string may only be "*"`}},
		"principal type":    {Trust, open + `{"Effect":"Allow","Principal":{"Role":"x"},"Action":"sts:AssumeRole"}}`, []string{`"Role" is no element of a principal`}},
		"short ARN":         {Resource, open + `{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"arn:aws:sqs"}}`, []string{"3 of an ARN's 6 fields"}},
		"everything at once": {Identity, open + `[
			{"Effect":"Permit","Action":"run","Resource":"x"},
			{"Effect":"Allow","Action":"ec2:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"no"}}}]}`,
			[]string{"2:14: Statement[0].Effect", "2:32: Statement[0].Action", "2:49: Statement[0].Resource", "3:97: Statement[1].Condition.Bool.aws:SecureTransport"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(tc.kind, "test", []byte(tc.doc))
			var invalid *InvalidPolicyError
			if !errors.As(err, &invalid) {
				t.Fatalf("Parse = %v, want an InvalidPolicyError", err)
			}
			if len(invalid.Problems) != len(tc.want) {
				t.Fatalf("%d problems, want %d: %v", len(invalid.Problems), len(tc.want), err)
			}
			for i, want := range tc.want {
				if got := invalid.Problems[i].String(); !strings.Contains(got, want) {
					t.Errorf("problem %d = %q, want it to contain %q", i, got, want)
				}
			}
		})
	}
}

// TestParseAccepts: forms the grammar allows that are easily refused by mistake.
func TestParseAccepts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		kind Kind
		doc  string
	}{
		"single statement":      {Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["ec2:Describe*"],"Resource":["*"]}}`},
		"bare values":           {Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":true},"NumericLessThan":{"s3:max-keys":10}}}}`},
		"short ARN":             {Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sqs:*","Resource":"arn:aws:sqs"}}`},
		"lower-case operator":   {Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ForAnyValue:stringLike":{"aws:x":"y"}}}}`},
		"empty Sid":             {Identity, `{"Version":"2012-10-17","Statement":[{"Sid":"","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"","Effect":"Allow","Action":"*","Resource":"*"}]}`},
		"old trust policy":      {Trust, `{"Statement":{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com","ec2.amazonaws.com.cn"]},"Action":"sts:AssumeRole"}}`},
		"pod identity trust":    {Trust, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}}`},
		"OIDC trust":            {Trust, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/x"},"Action":"sts:AssumeRoleWithWebIdentity"}}`},
		"Karpenter's queue":     {Resource, queuePolicy},
		"resource in partition": {Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":["arn:aws-us-gov:ec2:*:*:*","arn:*:iam::aws:policy/x"]}}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse(tc.kind, "test", []byte(tc.doc)); err != nil {
				t.Errorf("Parse: %v", err)
			}
		})
	}
}

// FuzzParse: no input panics, and what parses can be evaluated.
func FuzzParse(f *testing.F) {
	for _, doc := range []string{queuePolicy, carlosPolicy, `{`, `{"Statement":[[[]]]}`, `"x"`, `{"Statement":{"Condition":{"Null":{"a:b":[null]}}}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:x, 'y'}${*}${$}","Condition":{"ForAllValues:DateLessThan":{"aws:CurrentTime":"2026-11"}}}}`} {
		for kind := Identity; kind <= Trust; kind++ {
			f.Add(uint8(kind), doc)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, doc string) {
		p, err := Parse(Kind(kind%3), "fuzz", []byte(doc))
		if (p == nil) == (err == nil) {
			t.Fatalf("Parse returned policy %v and error %v", p, err)
		}
		if err != nil {
			var invalid *InvalidPolicyError
			if !errors.As(err, &invalid) || len(invalid.Problems) == 0 || invalid.Problems[0].Line < 1 || invalid.Problems[0].Column < 1 {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		d := Evaluate(Request{
			Principal: Principal{ARN: "arn:aws:iam::111122223333:user/x", Account: "111122223333"},
			Action:    "s3:GetObject", Resource: "arn:aws:s3:::b/k", Context: map[string][]string{"aws:x": {"y"}, "aws:CurrentTime": {"2026-11-24T05:00:00Z"}},
		}, p)
		if d.Allowed == (d.Message() != "") {
			t.Fatalf("allowed %v but message %q", d.Allowed, d.Message())
		}
		_ = d.Reason()
	})
}
