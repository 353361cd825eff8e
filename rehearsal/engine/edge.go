package engine

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"
)

// edge is the HTTPS proxy of the pulumi-eks component, and stands for the
// parts of AWS that it dials by itself (pulumi-eks 2.8.1): in an update it asks
// the API endpoint's /healthz until that answers 200 (cluster.ts), and with
// createOidcProvider it reads the certificate chain of the issuer (cert-thumbprint.ts).
//
// Loopback addresses are passed through: a real API server of the rehearsal
// answers for itself. For every other host the edge answers, with a certificate
// of an authority that lives as long as the edge, so that a thumbprint stays the
// same from one command to the next.
type edge struct {
	port     int
	listener net.Listener
	server   *http.Server
	ca       *x509.Certificate
	key      *ecdsa.PrivateKey
	wg       sync.WaitGroup
	ctx      context.Context
	stop     context.CancelFunc

	mu     sync.Mutex
	leaves map[string]tls.Certificate // by host
}

// newEdge starts an edge and writes its authority's certificate to caFile.
func newEdge(ctx context.Context, caFile string) (*edge, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the edge's certificate authority: %w", err)
	}
	e := &edge{key: key, leaves: map[string]tls.Certificate{}}
	e.ca, err = e.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "rehearsal edge"},
		IsCA:    true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	if err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.ca.Raw})
	if err := os.WriteFile(caFile, block, 0o600); err != nil {
		return nil, fmt.Errorf("the edge's certificate authority: %w", err)
	}
	if e.listener, e.port, err = listen(ctx); err != nil {
		return nil, err
	}
	e.ctx, e.stop = context.WithCancel(ctx)
	e.server = &http.Server{Handler: http.HandlerFunc(e.connect), ReadHeaderTimeout: time.Minute}
	e.wg.Go(func() { _ = e.server.Serve(e.listener) }) // it ends with close alone
	return e, nil
}

func (e *edge) url() string { return "http://127.0.0.1:" + strconv.Itoa(e.port) }

func (e *edge) close() {
	e.stop()
	_ = e.server.Close() // nothing in flight is worth waiting for
	e.wg.Wait()
}

// connect serves a CONNECT: by passing it through, or as the host it names.
func (e *edge) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "this proxy serves CONNECT only", http.StatusMethodNotAllowed)
		return
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		return
	}
	if loopback(host) {
		splice(e.ctx, conn, r.Host)
		return
	}
	e.answer(conn, host)
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// answer speaks TLS as host and answers one request.
func (e *edge) answer(conn net.Conn, host string) {
	leaf, err := e.leaf(host)
	if err != nil {
		return // the client sees the handshake fail, and says so
	}
	stop := context.AfterFunc(e.ctx, func() { _ = conn.Close() })
	defer stop()
	secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12})
	defer func() { _ = secure.Close() }()
	r, err := http.ReadRequest(bufio.NewReader(secure))
	if err != nil {
		return
	}
	status, body := http.StatusNotFound, "404 page not found"
	if r.URL.Path == "/healthz" {
		status, body = http.StatusOK, "ok" // as kube-apiserver does
	}
	_, _ = fmt.Fprintf(secure, "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(body), body)
}

// leaf is the certificate for host, with its authority's behind it.
func (e *edge) leaf(host string) (tls.Certificate, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known, ok := e.leaves[host]; ok {
		return known, nil
	}
	c := &x509.Certificate{Subject: pkix.Name{CommonName: host}, KeyUsage: x509.KeyUsageDigitalSignature}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	signed, err := e.sign(c, e.ca)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf := tls.Certificate{Certificate: [][]byte{signed.Raw, e.ca.Raw}, PrivateKey: e.key}
	e.leaves[host] = leaf
	return leaf, nil
}

// sign makes a certificate of the edge's only key; a nil parent signs itself.
func (e *edge) sign(c, parent *x509.Certificate) (*x509.Certificate, error) {
	serial, errSerial := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	c.SerialNumber = serial
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(30*24*time.Hour)
	if parent == nil {
		parent = c
	}
	der, errSign := x509.CreateCertificate(rand.Reader, c, parent, &e.key.PublicKey, e.key)
	if err := errors.Join(errSerial, errSign); err != nil {
		return nil, fmt.Errorf("signing the edge's certificate for %s: %w", c.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}
