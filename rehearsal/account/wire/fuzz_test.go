package wire

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"eks-gpu-slicing/rehearsal/account"
)

// FuzzServeHTTP: no request, signed by nobody, panics or is answered with success.
func FuzzServeHTTP(f *testing.F) {
	a, err := account.New(account.Options{Region: region})
	if err != nil {
		f.Fatal(err)
	}
	h := New(Options{Account: a})
	const scope = "AWS4-HMAC-SHA256 Credential=AKIAX/20261124/us-west-2/ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
	f.Add("POST", "/", scope, "20261124T050000Z", "Action=DescribeInstances&Version=2016-11-15")
	f.Add("GET", "/clusters/c", strings.Replace(scope, "ec2", "eks", 1), "20261124T050000Z", "")
	f.Add("GET", "/?X-Amz-Signature=0&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/b/c/sts/aws4_request&X-Amz-SignedHeaders=host", "", "", "")
	f.Add("POST", "/", "AWS4-HMAC-SHA256 Credential=////,SignedHeaders=", "x", "%")
	f.Fuzz(func(t *testing.T, method, target, authorization, date, body string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+target, strings.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", date)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code < 400 {
			t.Fatalf("answered with %d: %s", w.Code, w.Body)
		}
	})
}

// FuzzToken: no token panics, and none that was made up lets anybody in.
func FuzzToken(f *testing.F) {
	a, err := account.New(account.Options{Region: region})
	if err != nil {
		f.Fatal(err)
	}
	h := New(Options{Account: a, Keys: nil})
	f.Add(tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte("https://sts.us-west-2.amazonaws.com/?Action=GetCallerIdentity&X-Amz-Credential=a/20261124/us-west-2/sts/aws4_request&X-Amz-Date=20261124T050000Z&X-Amz-Signature=0&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Algorithm=AWS4-HMAC-SHA256")))
	f.Add(tokenPrefix)
	f.Add("eyJhbGciOiJSUzI1NiJ9.e30.x")
	f.Fuzz(func(t *testing.T, token string) {
		if s, err := h.whoHolds(t.Context(), "c", token); err == nil {
			t.Fatalf("%q is %s", token, s.Principal)
		}
		if _, err := h.podClaims(t.Context(), "c", token); err == nil {
			t.Fatalf("%q is a pod's", token)
		}
	})
}
