package program

import (
	"context"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/kubernetes/pkg/api/v1/resource"
	"k8s.io/kubernetes/pkg/fieldpath"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// environment is the program's whole environment: what a pod of EKS has, the
// container's own variables, which win, and what stands in for the missing
// container.
func (r *runner) environment(ctx context.Context) (map[string]string, error) {
	kubeconfig, err := r.writeKubeconfig(ctx)
	if err != nil {
		return nil, err
	}
	env := map[string]string{
		"HOSTNAME": r.c.Pod.Name,
		"HOME":     r.home(),
		"TMPDIR":   r.home(),
		// What Karpenter's controller takes where controller-runtime does not find the
		// file of the pod's namespace (getInClusterNamespace in its pkg/leaderelection).
		"LEADER_ELECTION_NAMESPACE": r.c.Pod.Namespace,
	}
	aws, err := r.awsEnvironment(ctx)
	if err != nil {
		return nil, err
	}
	maps.Copy(env, aws)
	if len(r.c.Spec.EnvFrom) > 0 {
		return nil, fmt.Errorf("container %s takes its environment from ConfigMaps or Secrets (envFrom), which a program run by the rehearsal cannot; name the values in env", r.c.Spec.Name)
	}
	own := map[string]string{}
	for _, v := range r.c.Spec.Env {
		value, err := r.value(v, own)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", v.Name, err)
		}
		own[v.Name] = value
	}
	for name, value := range own {
		env[name] = r.withPort(value)
	}
	env["KUBECONFIG"] = kubeconfig
	return env, nil
}

// value works out one variable of the container (makeEnvironmentVariables in
// pkg/kubelet/kubelet_pods.go).
func (r *runner) value(v corev1.EnvVar, before map[string]string) (string, error) {
	if v.Value != "" || v.ValueFrom == nil {
		return expand(v.Value, before), nil
	}
	switch from := v.ValueFrom; {
	case from.FieldRef != nil:
		return r.field(from.FieldRef.FieldPath)
	case from.ResourceFieldRef != nil:
		name := from.ResourceFieldRef.ContainerName
		if name == "" {
			name = r.c.Spec.Name
		}
		return resourcehelper.ExtractResourceValueByContainerNameAndNodeAllocatable(from.ResourceFieldRef, r.c.Pod, name, r.c.Allocatable)
	default:
		return "", fmt.Errorf("its source is neither a value, a fieldRef nor a resourceFieldRef, which is all that a program run by the rehearsal can have")
	}
}

// field reads a field of the pod (podFieldSelectorRuntimeValue in the same file).
func (r *runner) field(path string) (string, error) {
	switch path {
	case "spec.nodeName":
		return r.c.Pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return r.c.Pod.Spec.ServiceAccountName, nil
	case "status.hostIP", "status.hostIPs":
		return r.c.HostIP, nil
	case "status.podIP", "status.podIPs":
		return r.c.PodIP, nil
	}
	return fieldpath.ExtractFieldPathAsString(r.c.Pod, path)
}

// expand replaces $(NAME) by variables that are set already.
func expand(text string, env map[string]string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	return expansion.Expand(text, expansion.MappingFuncFor(env))
}

// awsEnvironment is what EKS gives a pod for AWS.
func (r *runner) awsEnvironment(ctx context.Context) (map[string]string, error) {
	env := map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}
	if r.cfg.AWS == nil {
		return env, nil
	}
	aws, err := r.cfg.AWS(ctx, r.c.Pod)
	if err != nil {
		return nil, fmt.Errorf("its access to AWS: %w", err)
	}
	maps.Copy(env, aws.Env)
	if aws.CredentialsURI == "" {
		return env, nil
	}
	token, err := r.writeToken(ctx, podIdentityAudience)
	if err != nil {
		return nil, err
	}
	env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = aws.CredentialsURI
	env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = token
	return env, nil
}
