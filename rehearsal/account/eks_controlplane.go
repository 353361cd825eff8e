package account

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// ControlPlane says where the API server of a cluster that is being made is
// reached, and the PEM of the CA that signed its certificate. It is asked while
// the account is locked: it must answer at once and not call the account. An
// error refuses the cluster.
type ControlPlane func(cluster, clusterID string) (endpoint string, caPEM []byte, err error)

// newPlaceholder is the control plane of an account that has none: an endpoint
// of EKS's form, which no resolver knows, and the certificate of a CA whose key
// is thrown away.
func newPlaceholder(region string) (ControlPlane, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("placeholder CA: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0), Subject: pkix.Name{CommonName: "kubernetes"},
		NotBefore: now, NotAfter: now.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("placeholder CA: %w", err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return func(_, clusterID string) (string, []byte, error) {
		return fmt.Sprintf("https://%s.gr7.%s.eks.amazonaws.com", strings.ToUpper(clusterID), region), ca, nil
	}, nil
}

func encodeCA(caPEM []byte) string { return base64.StdEncoding.EncodeToString(caPEM) }
