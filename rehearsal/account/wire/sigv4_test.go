package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// received sends a request over HTTP and returns it as the server gets it.
func received(t *testing.T, send func(base string) *http.Request) (*http.Request, []byte) {
	t.Helper()
	var got *http.Request
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		got = r
	}))
	defer srv.Close()
	res, err := http.DefaultClient.Do(send(srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return got, body
}

func TestVerifySignature(t *testing.T) {
	t.Parallel()
	creds := aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret", SessionToken: "token"}
	now := time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC)
	const body = "Action=DescribeInstances&Version=2016-11-15"
	sign := func(base, body string, creds aws.Credentials, at time.Time) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/path%20x?b=2&a=1+1", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Amz-Custom", "a   b")
		sum := sha256.Sum256([]byte(body))
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(sum[:]), "ec2", "us-west-1", at); err != nil {
			t.Fatal(err)
		}
		return r
	}
	presign := func(base string, seconds string) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/?Action=GetCallerIdentity&X-Amz-Expires="+seconds, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-K8s-Aws-Id", "c")
		sum := sha256.Sum256(nil)
		u, h, err := v4.NewSigner().PresignHTTP(t.Context(), creds, r, hex.EncodeToString(sum[:]), "sts", "us-west-1", now)
		if err != nil {
			t.Fatal(err)
		}
		r, err = http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = h
		return r
	}
	other := creds
	other.SecretAccessKey = "guess"
	noToken := creds
	noToken.SessionToken = ""
	tests := map[string]struct {
		send func(base string) *http.Request
		at   time.Time
		want error
	}{
		"unsigned": {func(base string) *http.Request {
			r := sign(base, body, creds, now)
			r.Header.Del("Authorization")
			return r
		}, now, errUnsigned},
		"basic auth": {func(base string) *http.Request {
			r := sign(base, body, creds, now)
			r.SetBasicAuth("a", "b")
			return r
		}, now, errMalformed},
		"wrong secret": {func(base string) *http.Request { return sign(base, body, other, now) }, now, errSignature},
		"no token":     {func(base string) *http.Request { return sign(base, body, noToken, now) }, now, errUnknownKey},
		"token swapped": {func(base string) *http.Request {
			r := sign(base, body, creds, now)
			r.Header.Set("X-Amz-Security-Token", "other")
			return r
		}, now, errUnknownKey},
		"header changed": {func(base string) *http.Request {
			r := sign(base, body, creds, now)
			r.Header.Set("X-Amz-Custom", "c")
			return r
		}, now, errSignature},
		"header gone": {func(base string) *http.Request {
			r := sign(base, body, creds, now)
			r.Header.Del("X-Amz-Custom")
			return r
		}, now, errSignature},
		"query changed": {func(base string) *http.Request { r := sign(base, body, creds, now); r.URL.RawQuery += "&c=3"; return r }, now, errSignature},
		"path changed": {func(base string) *http.Request {
			r := sign(base, body, creds, now)
			r.URL.Path = "/other"
			r.URL.RawPath = ""
			return r
		}, now, errSignature},
		"body changed": {func(base string) *http.Request {
			r := sign(base, body, creds, now)
			changed := strings.Replace(body, "Describe", "Terminat", 1)
			r.Body = io.NopCloser(strings.NewReader(changed))
			return r
		}, now, errSignature},
		"scope changed": {func(base string) *http.Request {
			r := sign(base, body, creds, now)
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/ec2/", "/iam/", 1))
			return r
		}, now, errSignature},
		"host not signed": {func(base string) *http.Request {
			r := sign(base, body, creds, now)
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "host;", "", 1))
			return r
		}, now, errMalformed},
		"too old":            {func(base string) *http.Request { return sign(base, body, creds, now) }, now.Add(6 * time.Minute), errClock},
		"from the future":    {func(base string) *http.Request { return sign(base, body, creds, now) }, now.Add(-6 * time.Minute), errClock},
		"presigned, expired": {func(base string) *http.Request { return presign(base, "60") }, now.Add(61 * time.Second), errClock},
		"presigned, no time": {func(base string) *http.Request { return presign(base, "0") }, now, errMalformed},
		"presigned, changed": {func(base string) *http.Request { r := presign(base, "60"); r.URL.RawQuery += "&Version=1"; return r }, now, errSignature},
		"presigned, header":  {func(base string) *http.Request { r := presign(base, "60"); r.Header.Set("X-K8s-Aws-Id", "d"); return r }, now, errSignature},
		"presigned, extended": {func(base string) *http.Request {
			r := presign(base, "60")
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "Expires=60", "Expires=6000", 1)
			return r
		}, now, errSignature},

		"signed":    {func(base string) *http.Request { return sign(base, body, creds, now) }, now.Add(time.Minute), nil},
		"presigned": {func(base string) *http.Request { return presign(base, "60") }, now.Add(59 * time.Second), nil},
		"unsigned extra": {func(base string) *http.Request {
			r := sign(base, body, creds, now)
			r.Header.Set("Accept-Language", "en")
			return r
		}, now, nil},
		"empty body, signed": {func(base string) *http.Request { return sign(base, "", creds, now) }, now, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, body := received(t, tc.send)
			s, err := readSignature(r)
			if err == nil {
				err = s.verify(t.Context(), r, body, creds, tc.at)
			}
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if tc.want == nil && (s.accessKeyID != creds.AccessKeyID || s.region != "us-west-1") {
				t.Errorf("scope %+v", s.scope)
			}
		})
	}
}
