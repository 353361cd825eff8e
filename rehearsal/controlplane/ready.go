package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// await polls check until it succeeds, the component dies, or ctx ends. The error
// says what was still missing.
func (cp *ControlPlane) await(ctx context.Context, component string, check func(context.Context) error) error {
	const (
		every = 20 * time.Millisecond
		most  = 2 * time.Minute // on a machine so loaded that nothing moves
	)
	cp.mu.Lock()
	p := cp.components[component]
	cp.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("not within %v", most))
	defer cancel()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Done():
			return p.Err()
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w; last: %w; its log: %s", component, context.Cause(ctx), err, cp.LogFile(component))
		case <-ticker.C:
		}
	}
}

// etcdListens succeeds once etcd's client port is open.
func (cp *ControlPlane) etcdListens(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(cp.ports.etcdClient)))
	if err != nil {
		return err
	}
	return conn.Close()
}

// apiserverReady succeeds once every start-up step of the API server is through.
func (cp *ControlPlane) apiserverReady(ctx context.Context) error {
	return cp.get(ctx, cp.Endpoint()+"/readyz")
}

// controllersWork succeeds once the controllers have made what every pod needs:
// the service account of its namespace.
func (cp *ControlPlane) controllersWork(ctx context.Context) error {
	return cp.get(ctx, cp.Endpoint()+"/api/v1/namespaces/default/serviceaccounts/default")
}

// schedulerReady succeeds once the scheduler has read the cluster.
func (cp *ControlPlane) schedulerReady(ctx context.Context) error {
	return cp.get(ctx, local(cp.ports.scheduler)+"/readyz")
}

// get asks for a URL of the control plane as the administrator.
func (cp *ControlPlane) get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := cp.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, resp.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// newClient makes the administrator's HTTP client.
func (p *pki) newClient() (*http.Client, error) {
	cert, err := tls.X509KeyPair(p.admin.cert, p.admin.key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(p.ca.pem) {
		return nil, errors.New("the cluster's own certificate authority is not PEM")
	}
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots},
		},
	}, nil
}
