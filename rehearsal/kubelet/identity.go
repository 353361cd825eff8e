package kubelet

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// identityKey is the context key of the node on whose behalf a request is made.
type identityKey struct{}

// as returns a context whose API requests are made by the node itself.
func as(ctx context.Context, n *node) context.Context {
	return context.WithValue(ctx, identityKey{}, n)
}

// identity puts a node's bearer token on each request, the node being in the
// request's context. A client per node would cost a thousand nodes a thousand
// connections and hundreds of megabytes; one client serves them all.
type identity struct {
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t identity) RoundTrip(req *http.Request) (*http.Response, error) {
	n, ok := req.Context().Value(identityKey{}).(*node)
	if !ok {
		return nil, errors.New("a request without the node that makes it")
	}
	token, err := n.token.get(req.Context())
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := t.next.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		// The API server remembers a refused token for minutes; a new one it asks
		// about. client-go does the same with credentials of a plugin.
		n.token.drop(token)
	}
	return resp, err
}

// nodeConfig derives, from the administrator's access, the access that nodes have:
// the same server, no credentials but each node's own. Each call gives a
// connection of its own, so that heartbeats do not queue behind other traffic.
func nodeConfig(admin *rest.Config) *rest.Config {
	cfg := rest.AnonymousClientConfig(admin)
	cfg.QPS = -1
	cfg.Timeout = 30 * time.Second
	cfg.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return identity{next} })
	return cfg
}

// tokenCache keeps a node's bearer token until shortly before it expires.
type tokenCache struct {
	fetch func(ctx context.Context) (token string, expires time.Time, err error)

	mu      sync.Mutex
	token   string
	expires time.Time
}

// drop forgets a token that was refused.
func (c *tokenCache) drop(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == token {
		c.token = ""
	}
}

func (c *tokenCache) get(ctx context.Context) (string, error) {
	const early = time.Minute
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token != "" && time.Now().Add(early).Before(c.expires) {
		return c.token, nil
	}
	token, expires, err := c.fetch(ctx)
	if err != nil {
		return "", err
	}
	c.token, c.expires = token, expires
	return token, nil
}
