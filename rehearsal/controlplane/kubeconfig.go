package controlplane

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// contextName is cluster, user and context of every kubeconfig written here.
const contextName = "rehearsal"

// writeKubeconfig writes a kubeconfig that reaches server and proves itself with
// a client certificate; without one it is anonymous. The mode is 0600.
func writeKubeconfig(path, server string, ca []byte, client pair) error {
	config := clientcmdapi.NewConfig()
	cluster := clientcmdapi.NewCluster()
	cluster.Server = server
	cluster.CertificateAuthorityData = ca
	user := clientcmdapi.NewAuthInfo()
	user.ClientCertificateData = client.cert
	user.ClientKeyData = client.key
	context := clientcmdapi.NewContext()
	context.Cluster, context.AuthInfo = contextName, contextName
	config.Clusters[contextName] = cluster
	config.AuthInfos[contextName] = user
	config.Contexts[contextName] = context
	config.CurrentContext = contextName
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// writeKubeconfigs writes one for each client of the API server, and the file in
// which the API server is told of its token authenticator, which has the same form.
func (cp *ControlPlane) writeKubeconfigs() error {
	for name, client := range map[string]pair{
		adminKubeconfig:     cp.pki.admin,
		managerKubeconfig:   cp.pki.manager,
		schedulerKubeconfig: cp.pki.scheduler,
	} {
		if err := writeKubeconfig(cp.path(name), cp.Endpoint(), cp.pki.ca.pem, client); err != nil {
			return err
		}
	}
	if cp.cfg.AuthenticatorURL == "" {
		return nil
	}
	return writeKubeconfig(cp.path(authenticatorKubeconfig), cp.cfg.AuthenticatorURL, nil, pair{})
}
