package cluster

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// kubeconfig gives access to a cluster as the AWS provider's identity, and holds no
// credential. ca is the base64 of the API server's certificate authority. The
// pulumi-eks component's own kubeconfig leaves the region and the profile out.
func kubeconfig(s *settings.Settings, name, server, ca string) (string, error) {
	args := append([]string{"eks", "get-token", "--region", s.Region, "--cluster-name", name, "--output", "json"}, identity(s)...)
	type named map[string]any
	text, err := json.Marshal(named{
		"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": []named{{"name": name, "cluster": named{"server": server, "certificate-authority-data": ca}}},
		"contexts": []named{{"name": name, "context": named{"cluster": name, "user": name}}},
		"users": []named{{"name": name, "user": named{"exec": named{
			"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "args": args, "interactiveMode": "Never",
		}}}},
	})
	if err != nil {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	return string(text), nil
}

// identity are the flags by which the AWS CLI gets a token for the AWS provider's
// identity. A role serves for the token alone: the rest of a command is asked by the
// profile, which has to be allowed it.
func identity(s *settings.Settings) (flags []string) {
	if s.Credentials.Profile != "" {
		flags = append(flags, "--profile", s.Credentials.Profile)
	}
	if s.Credentials.RoleARN != "" {
		flags = append(flags, "--role-arn", s.Credentials.RoleARN)
	}
	return flags
}

// KubeconfigCommand gives kubectl the access that the program has, in the user's own
// kubeconfig.
func (c *Cluster) KubeconfigCommand(s *settings.Settings) pulumi.StringOutput {
	flags := strings.Join(append([]string{""}, identity(s)...), " ")
	return pulumi.Sprintf("aws eks --region %s update-kubeconfig --name %s --alias %s%s", s.Region, c.Name, c.Name, flags)
}

// addKubernetes registers the provider for everything in the cluster.
func (c *Cluster) addKubernetes(ctx *pulumi.Context, name string) (err error) {
	c.Kubernetes, err = kubernetes.NewProvider(ctx, name, &kubernetes.ProviderArgs{
		Kubeconfig:             c.Kubeconfig,
		EnableServerSideApply:  pulumi.Bool(true),
		EnableConfigMapMutable: pulumi.Bool(true), // the device plugin's config keeps its name
		// What is there is others'. It is the provider's default, which a variable of the
		// environment would change: PULUMI_K8S_UPSERT_EXISTING_OBJECTS.
		UpsertExistingObjects: pulumi.Bool(false),
	}, pulumi.Parent(c))
	if err != nil {
		return fmt.Errorf("Kubernetes provider: %w", err)
	}
	return nil
}
