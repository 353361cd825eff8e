package engine

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// throughEdge is a client that reaches everything through a new edge and
// trusts its authority alone.
func throughEdge(t *testing.T) (*edge, *http.Client) {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	e, err := newEdge(t.Context(), ca)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate in:\n%s", text)
	}
	proxy, err := url.Parse(e.url())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		Proxy: http.ProxyURL(proxy), DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{RootCAs: roots},
	}
	return e, &http.Client{Transport: transport}
}

func TestEdgeAnswersForAWS(t *testing.T) {
	t.Parallel()
	_, client := throughEdge(t)
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/healthz":        {200, "ok"},
		"/api/v1/secrets": {404, "404 page not found"},
	} {
		r, err := client.Get("https://c.gr7.us-west-2.eks.amazonaws.com" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil || r.StatusCode != want.status || string(body) != want.body {
			t.Errorf("%s: %d %q (%v), want %d %q", path, r.StatusCode, body, err, want.status, want.body)
		}
	}
}

func TestEdgeKeepsCertificates(t *testing.T) {
	t.Parallel()
	_, client := throughEdge(t)
	serial := func(host string) string {
		r, err := client.Get("https://" + host + "/")
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		return r.TLS.PeerCertificates[0].SerialNumber.String()
	}
	const issuer = "oidc.eks.us-west-2.amazonaws.com"
	if first, second := serial(issuer), serial(issuer); first != second {
		t.Errorf("the issuer's certificate was %s, then %s", first, second)
	}
	if other := serial("oidc.eks.eu-west-1.amazonaws.com"); other == serial(issuer) {
		t.Error("two hosts have one certificate")
	}
}

func TestEdgePassesLoopbackThrough(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the real one") }))
	defer server.Close()
	e, _ := throughEdge(t)
	proxy, err := url.Parse(e.url())
	if err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	if transport, ok := client.Transport.(*http.Transport); ok {
		transport.Proxy = http.ProxyURL(proxy)
	}
	r, err := client.Get(server.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if body, err := io.ReadAll(r.Body); err != nil || string(body) != "the real one" {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestEdgeServesConnectOnly(t *testing.T) {
	t.Parallel()
	e, _ := throughEdge(t)
	for request, want := range map[string]int{
		"GET http://169.254.169.254/latest HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n": 405,
		"CONNECT nowhere HTTP/1.1\r\nHost: nowhere\r\n\r\n":                           400,
	} {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", e.port))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(conn, request)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		_ = conn.Close()
		if err != nil || r.StatusCode != want {
			t.Errorf("%q: %v (%v), want %d", request, r, err, want)
		}
		_ = r.Body.Close()
	}
}
