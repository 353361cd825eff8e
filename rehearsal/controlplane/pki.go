package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity of every certificate: longer than any rehearsal, short enough that a
// leaked key is soon worth nothing.
const validity = 7 * 24 * time.Hour

// authority is a certificate authority made for one control plane. EKS, too, gives
// each cluster its own, and the cluster's certificateAuthority.data is its
// certificate.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

// pair is a certificate and its key, both PEM.
type pair struct {
	cert, key []byte
}

func newAuthority(commonName string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, pem: pemBlock("CERTIFICATE", der)}, nil
}

// server issues a serving certificate for loopback and the given names.
func (a *authority) server(commonName string, names ...string) (pair, error) {
	return a.issue(&x509.Certificate{
		Subject:  pkix.Name{CommonName: commonName},
		DNSNames: append([]string{"localhost"}, names...),
		// etcd dials its own endpoints as a client with this certificate.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(kubernetesServiceIP)},
	})
}

// client issues a client certificate: to the API server the common name is the
// user and the organizations are its groups.
func (a *authority) client(user string, groups ...string) (pair, error) {
	return a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func (a *authority) issue(template *x509.Certificate) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := sign(template, a.cert, key.Public(), a.key)
	if err != nil {
		return pair{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, err
	}
	return pair{cert: pemBlock("CERTIFICATE", der), key: pemBlock("PRIVATE KEY", keyDER)}, nil
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	// An hour back, for clocks that were just set.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(validity)
	return x509.CreateCertificate(rand.Reader, template, parent, public, signer)
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// pki is every key and certificate of one control plane.
type pki struct {
	ca         *authority
	serving    pair // of the API server, the controller manager and the scheduler
	etcd       pair // serving, and etcd's own client
	etcdClient pair // the API server's, towards etcd
	manager    pair // client kube-controller-manager
	scheduler  pair // client kube-scheduler
	admin      pair // client in group system:masters
	account    pair // service account tokens: public and private key
}

func newPKI() (*pki, error) {
	p := &pki{}
	var err error
	if p.ca, err = newAuthority("rehearsal-cluster-ca"); err != nil {
		return nil, fmt.Errorf("making the cluster's certificate authority: %w", err)
	}
	issue := func(into *pair, from func() (pair, error)) {
		if err == nil {
			*into, err = from()
		}
	}
	issue(&p.serving, func() (pair, error) {
		return p.ca.server("kube-apiserver", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	})
	issue(&p.etcd, func() (pair, error) { return p.ca.server("etcd") })
	issue(&p.etcdClient, func() (pair, error) { return p.ca.client("kube-apiserver-etcd-client") })
	issue(&p.manager, func() (pair, error) { return p.ca.client("system:kube-controller-manager") })
	issue(&p.scheduler, func() (pair, error) { return p.ca.client("system:kube-scheduler") })
	issue(&p.admin, func() (pair, error) { return p.ca.client("rehearsal-admin", "system:masters") })
	issue(&p.account, newServiceAccountKey)
	if err != nil {
		return nil, fmt.Errorf("making the cluster's certificates: %w", err)
	}
	return p, nil
}

// newServiceAccountKey makes the key pair that signs and verifies service account
// tokens; its "certificate" is the public key.
func newServiceAccountKey() (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return pair{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return pair{}, err
	}
	return pair{cert: pemBlock("PUBLIC KEY", public), key: pemBlock("EC PRIVATE KEY", private)}, nil
}

// write puts what the components read from files into dir. Clients that take
// their certificate from a kubeconfig have it there instead.
func (p *pki) write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"ca.crt":          p.ca.pem,
		"serving.crt":     p.serving.cert,
		"serving.key":     p.serving.key,
		"etcd.crt":        p.etcd.cert,
		"etcd.key":        p.etcd.key,
		"etcd-client.crt": p.etcdClient.cert,
		"etcd-client.key": p.etcdClient.key,
		"account.pub":     p.account.cert,
		"account.key":     p.account.key,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
