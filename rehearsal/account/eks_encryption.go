package account

import (
	"slices"
	"strings"
)

// checkSecretsKey refuses a key that EKS cannot encrypt a cluster's data with (EKS User Guide, "Encrypt
// Kubernetes secrets with KMS on existing clusters") and gives its ARN.
func (a *Account) checkSecretsKey(ref string) (string, error) {
	if _, resource, ok := cutARN(ref); !ok || !strings.HasPrefix(resource, "key/") && !strings.HasPrefix(resource, "alias/") {
		return "", refuse("InvalidParameterException", "Invalid keyArn in encryptionConfig: %s", ref)
	}
	k, err := a.findKey(ref)
	if err != nil {
		return "", asInvalidParameter(err)
	}
	if k.State != KeyEnabled {
		return "", refuse("InvalidParameterException", "The KMS key %s is in state %s", k.ARN, k.State)
	}
	return k.ARN, nil
}

// AssociateEncryptionConfig has a cluster encrypt its data with a key. It is for life, and there is
// no second key.
func (a *Account) AssociateEncryptionConfig(name, keyARN string, resources []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(name)
	if err != nil {
		return err
	}
	if c.SecretsKeyARN != "" {
		return refuse("InvalidParameterException", "Encryption config is already associated with the cluster")
	}
	if len(resources) > 0 && !slices.Equal(resources, []string{"secrets"}) {
		return refuse("InvalidParameterException", "resources of encryptionConfig must be [secrets]")
	}
	c.SecretsKeyARN, err = a.checkSecretsKey(keyARN)
	return err
}
