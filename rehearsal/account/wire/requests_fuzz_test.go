package wire

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// signed is a request of the user at the keyboard, signed by the SDK's own signer.
func signed(t *testing.T, c account.Credentials, service, method, target, body string, headers map[string]string, at time.Time) (*http.Request, bool) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+target, strings.NewReader(body))
	if err != nil {
		return nil, false
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	sum := sha256.Sum256([]byte(body))
	credentials := aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, hex.EncodeToString(sum[:]), service, region, at); err != nil {
		t.Fatal(err)
	}
	return r, true
}

// populated is an account with a cluster, a queue and a launch template, so that
// requests find something to work on.
func populated(t *testing.T) *account.Account {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a, err := account.New(account.Options{Region: region})
	ok(err)
	subnets, err := a.DescribeSubnets()
	ok(err)
	_, err = a.CreateRole(account.CreateRoleInput{Name: "r", AssumeRolePolicy: trust(`{"Service":["eks.amazonaws.com","ec2.amazonaws.com"]}`)})
	ok(err)
	_, err = a.CreateCluster(account.CreateClusterInput{
		Name: "c", Version: "1.35", RoleARN: roleARN("r"), AuthenticationMode: account.AuthAPI,
		VPC: account.ClusterVPC{SubnetIDs: []string{subnets[0].ID, subnets[1].ID}, EndpointPublicAccess: true},
	})
	ok(err)
	_, err = a.CreateQueue("q", nil, nil)
	ok(err)
	images, err := a.DescribeImages(nil, nil, account.Filter{Name: "architecture", Values: []string{"arm64"}})
	ok(err)
	_, err = a.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: "nodes", Data: account.LaunchTemplateData{ImageID: images[0].ID}})
	ok(err)
	return a
}

// exchange is a request of the user's: to the JSON services verb is X-Amz-Target, to EKS the method.
type exchange struct{ service, verb, path, body string }

// answer is what an account says to it.
func (x exchange) answer(t *testing.T, a *account.Account) (*httptest.ResponseRecorder, bool) {
	t.Helper()
	method, headers := http.MethodPost, map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	if strings.HasPrefix(x.service, "eks") {
		method, headers = x.verb, map[string]string{"Content-Type": "application/json"}
	} else if x.verb != "" {
		headers = map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": x.verb}
	}
	r, ok := signed(t, a.UserCredentials(), x.service, method, "/"+strings.TrimPrefix(x.path, "/"), x.body, headers, time.Now())
	if !ok {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // it may ask to wait for a message
	defer cancel()
	w := httptest.NewRecorder()
	New(Options{Account: a}).ServeHTTP(w, r.WithContext(ctx))
	return w, ctx.Err() == nil
}

// validExchanges are of each service, and of each way to write a request.
func validExchanges() map[string]exchange {
	const queue = `{"QueueUrl":"https://sqs.us-west-2.amazonaws.com/` + account.ID + `/q"`
	return map[string]exchange{
		"query, filters": {"ec2", "", "", "Action=DescribeSubnets&Version=2016-11-15&Filter.1.Name=default-for-az&Filter.1.Value.1=true&MaxResults=5"},
		"query, a fleet": {"ec2", "", "", "Action=CreateFleet&Type=instant&LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName=nodes" +
			"&LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version=%24Latest&LaunchTemplateConfigs.1.Overrides.1.InstanceType=m7g.large" +
			"&TargetCapacitySpecification.TotalTargetCapacity=1&TargetCapacitySpecification.DefaultTargetCapacityType=on-demand"},
		"query, nested lists": {"ec2", "", "", "Action=CreateLaunchTemplate&LaunchTemplateName=other&LaunchTemplateData.BlockDeviceMapping.1.DeviceName=%2Fdev%2Fxvda" +
			"&LaunchTemplateData.BlockDeviceMapping.1.Ebs.VolumeSize=20&LaunchTemplateData.UserData=IQ%3D%3D&TagSpecification.1.ResourceType=launch-template" +
			"&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b"},
		"query, a page":       {"ec2", "", "", "Action=DescribeInstanceTypes&MaxResults=5&NextToken=offset-5"},
		"query, member lists": {"iam", "", "", "Action=CreateInstanceProfile&Version=2010-05-08&InstanceProfileName=p&Tags.member.1.Key=a&Tags.member.1.Value=b"},
		"query, no input":     {"sts", "", "", "Action=GetCallerIdentity&Version=2011-06-15"},
		"rest":                {"eks", "GET", "/clusters/c", ""},
		"rest, a list":        {"eks", "GET", "/clusters/c/node-groups", ""},
		"json": {"ssm", "AmazonSSM.GetParameter", "",
			`{"Name":"/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended/image_id"}`},
		"json, filters":          {"pricing", "AWSPriceListService.GetProducts", "", `{"ServiceCode":"AmazonEC2","Filters":[{"Field":"instanceType","Type":"TERM_MATCH","Value":"m7g.large"}]}`},
		"json, a message":        {"sqs", "AmazonSQS.SendMessage", "", queue + `,"MessageBody":"{}"}`},
		"json, messages":         {"sqs", "AmazonSQS.ReceiveMessage", "", queue + `,"MaxNumberOfMessages":10}`},
		"json, the event bridge": {"events", "AWSEvents.ListRules", "", `{"NamePrefix":"a","Limit":5}`},
	}
}

// TestValidExchanges keeps the fuzz tests' seeds valid: from seeds that are all refused they would
// not get far.
func TestValidExchanges(t *testing.T) {
	t.Parallel()
	for name, x := range validExchanges() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// That it took longer than the fuzz test allows says how busy the machine is.
			if w, _ := x.answer(t, populated(t)); w == nil || w.Code != http.StatusOK {
				t.Errorf("answered with %+v", w)
			}
		})
	}
}

// FuzzSignedRequest: whatever the user signs for whichever action, nothing panics, and none is
// answered as if the server were at fault.
func FuzzSignedRequest(f *testing.F) {
	for _, x := range validExchanges() {
		f.Add(x.service, x.verb, x.path, x.body)
	}
	for _, x := range []exchange{
		{"ec2", "", "", "Action=RunInstances&ImageId=ami-1&InstanceType=m7g.large&MinCount=2&MaxCount=1"},
		{"iam", "", "", "Action=AddRoleToInstanceProfile&InstanceProfileName=p&RoleName=r"},
		{"sts", "", "", "Action=AssumeRole&RoleArn=arn:aws:iam::1:role/r&RoleSessionName=s&DurationSeconds=900"},
		{"eks", "PATCH", "/clusters//", "{"},
		{"eks-auth", "POST", "/clusters/c/assume-role-for-pod-identity", `{"token":"a.b.c"}`},
		{"moon", "", "", "Action=Land"},
	} {
		f.Add(x.service, x.verb, x.path, x.body)
	}
	var a *account.Account // a new one costs most of the time, and is needed after a request that was granted
	f.Fuzz(func(t *testing.T, service, verb, path, body string) {
		if strings.Contains(service, "/") {
			return // no scope has that
		}
		if a == nil {
			a = populated(t)
		}
		w, ok := exchange{service, verb, path, body}.answer(t, a)
		if ok && w.Code >= 500 {
			t.Fatalf("answered with %d: %s", w.Code, w.Body)
		}
		if !ok || w.Code < 300 {
			a = nil
		}
	})
}

// FuzzSignature: what the SDK's signer signs is read back as it was signed, and is verified; with
// any part of it changed it is not.
func FuzzSignature(f *testing.F) {
	f.Add("AKIAEXAMPLE", "secret", "", "ec2", "/", "a=b&c=d", "body", "X-Custom", "a  b", int64(1795496400), "body.")
	f.Add("ASIA", "s", "token", "eks", "/clusters/a%2Fb//c", "", "", "Accept", "", int64(1795496400), "x")
	f.Add("", "", "", "sts", "/%20", "Action=GetCallerIdentity&Action=x&%=", "{}", "X-K8s-Aws-Id", "ü", int64(951782399), "")
	f.Fuzz(func(t *testing.T, key, secret, token, service, path, query, body, header, value string, unix int64, other string) {
		at := time.Unix(unix, 0).UTC()
		if !isName(key) || !isName(service) || !isText(token) || at.Year() < 1970 || at.Year() > 9999 || !strings.HasPrefix(path, "/") {
			return
		}
		headers := map[string]string{}
		if isName(header) && isText(value) && !strings.EqualFold(header, "Authorization") && !strings.EqualFold(header, "Content-Length") && !strings.HasPrefix(strings.ToLower(header), "x-amz-") {
			headers[header] = value
		}
		c := account.Credentials{AccessKeyID: key, SecretAccessKey: secret, SessionToken: token}
		u := url.URL{Path: path, RawQuery: query}
		r, ok := signed(t, c, service, http.MethodPost, u.String(), body, headers, at)
		if !ok {
			return
		}
		s, err := readSignature(r)
		if err != nil {
			t.Fatalf("%v: %s", err, r.Header.Get("Authorization"))
		}
		want := scope{accessKeyID: key, date: at.Format("20060102"), region: region, service: service}
		if d := cmp.Diff(want, s.scope, cmp.AllowUnexported(scope{})); d != "" || !s.time.Equal(at) || s.token != token || s.presigned {
			t.Fatalf("read as %+v (-want +got):\n%s", s, d)
		}
		credentials := aws.Credentials{AccessKeyID: key, SecretAccessKey: secret, SessionToken: token}
		if err := s.verify(t.Context(), r, []byte(body), credentials, at); err != nil {
			t.Fatalf("not verified: %v", err)
		}
		if other != body {
			if err := s.verify(t.Context(), r, []byte(other), credentials, at); err == nil {
				t.Fatal("another body is verified")
			}
		}
		r.URL.Path += "x"
		r.URL.RawPath = ""
		if err := s.verify(t.Context(), r, []byte(body), credentials, at); err == nil {
			t.Fatal("another path is verified")
		}
	})
}

// isName tells what keys, services and headers are made of.
func isName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// isText tells what a header may hold and keeps: net/http trims it.
func isText(s string) bool {
	return strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// FuzzReadSignature: no header and no query panics, and what is read says the same when it is
// written again.
func FuzzReadSignature(f *testing.F) {
	const auth = "AWS4-HMAC-SHA256 Credential=AKIA/20261124/us-west-2/ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature=0f"
	f.Add(auth, "20261124T050000Z", "")
	f.Add("", "", "X-Amz-Signature=0&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/20261124/r/sts/aws4_request&X-Amz-Date=20261124T050000Z&X-Amz-SignedHeaders=host&X-Amz-Expires=60")
	f.Add("AWS4-HMAC-SHA256 Credential=////aws4_request,SignedHeaders=;host;,Signature==", "00010101T000000Z", "")
	f.Add(auth+","+auth, "20261124T050000Z", "&&;")
	f.Fuzz(func(t *testing.T, authorization, date, query string) {
		r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/", RawQuery: query}, Host: "h", Header: http.Header{}}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		r.Header.Set("X-Amz-Date", date)
		s, err := readSignature(r)
		if err != nil {
			return
		}
		_ = s.verify(t.Context(), r, nil, aws.Credentials{}, s.time)
		got, err := readSignature(s.request())
		if d := cmp.Diff(s, got, cmp.AllowUnexported(signature{}, scope{})); err != nil || d != "" {
			t.Fatalf("%v (-first +second):\n%s", err, d)
		}
	})
}

// request carries a signature and nothing else.
func (s signature) request() *http.Request {
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/"}, Host: "h", Header: http.Header{}}
	credential := strings.Join([]string{s.accessKeyID, s.date, s.region, s.service, "aws4_request"}, "/")
	headers, date := strings.Join(s.signedHeaders, ";"), s.time.Format(timeFormat)
	if s.presigned {
		r.URL.RawQuery = url.Values{
			"X-Amz-Algorithm": {algorithm}, "X-Amz-Credential": {credential}, "X-Amz-Date": {date}, "X-Amz-Signature": {s.value},
			"X-Amz-SignedHeaders": {headers}, "X-Amz-Security-Token": {s.token}, "X-Amz-Expires": {strconv.Itoa(int(s.expires.Seconds()))},
		}.Encode()
		return r
	}
	r.Header = http.Header{"X-Amz-Date": {date}, "X-Amz-Security-Token": {s.token}, "Authorization": {
		algorithm + " Credential=" + credential + ",SignedHeaders=" + headers + ",Signature=" + s.value,
	}}
	return r
}

// FuzzFormRoundTrip: a valid input comes out of its parameters as it went in, in both protocols.
func FuzzFormRoundTrip(f *testing.F) {
	f.Add("a", 5, 0.5, int64(1795496400), true, "i-1", "k", "v", uint8(3))
	f.Add("", -1, -1.5, int64(0), false, "", "", "a.b&c=d", uint8(0))
	f.Add("ü\x00", 1<<40, 1e300, int64(-62135596800), true, "1", "member", "%", uint8(255))
	f.Fuzz(func(t *testing.T, name string, most int, price float64, unix int64, encrypt bool, id, key, value string, n uint8) {
		in := formSample{Name: name, Max: most, Price: price, Encrypt: &encrypt, Start: time.Unix(unix, 0).UTC(), Optional: &formTag{Key: key, Value: value}}
		if price != price || in.Start.Year() < 0 || in.Start.Year() > 9999 {
			return // not a number, no time of RFC 3339's
		}
		for i := range int(n) { // their order must not be lost
			in.IDs = append(in.IDs, id+strconv.Itoa(i))
			in.Tags = append(in.Tags, formTag{key, value + strconv.Itoa(i)})
			in.Nested.Tags = append(in.Nested.Tags, formTag{value, key})
		}
		for _, member := range []string{"", "member."} {
			var got formSample
			if err := decodeForm(in.form(member), &got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(in, got); d != "" {
				t.Fatalf("-in +out:\n%s", d)
			}
		}
	})
}

// form writes a sample as the SDKs write an input; member is between a list's name and its numbers.
func (s formSample) form(member string) url.Values {
	v := url.Values{
		"Name": {s.Name}, "MaxResults": {strconv.Itoa(s.Max)}, "Price": {strconv.FormatFloat(s.Price, 'g', -1, 64)},
		"StartTime": {s.Start.Format(time.RFC3339)}, "Encrypted": {strconv.FormatBool(*s.Encrypt)},
		"Optional.Key": {s.Optional.Key}, "Optional.Value": {s.Optional.Value},
	}
	for i, id := range s.IDs {
		v.Set("InstanceId."+member+strconv.Itoa(i+1), id)
	}
	tags := func(name string, all []formTag) {
		for i, one := range all {
			at := name + "." + member + strconv.Itoa(i+1)
			v.Set(at+".Key", one.Key)
			v.Set(at+".Value", one.Value)
		}
	}
	tags("Tag", s.Tags)
	tags("Spec.Tag", s.Nested.Tags)
	return v
}
