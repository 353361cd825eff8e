// Package program lets containers of the simulated nodes run a real program of this
// machine, such as Karpenter's controller, with what the pod gives it: its
// arguments and environment, its service account, its AWS credentials by EKS Pod
// Identity, and its probes.
//
// Gotchas:
//   - The program is no container: it has this machine's file system and network.
//     It inherits nothing of the environment. HOME and TMPDIR are a directory of
//     the pod's own, and the instance metadata service is switched off for AWS's
//     SDKs, as it is out of a pod's reach on nodes with a hop limit of one.
//   - The container's ports are replaced by free ones of this machine, wherever an
//     argument or a variable has the number as its value (METRICS_PORT=8080,
//     --metrics-port=8080): two replicas share the machine. On which address the
//     program listens is its own affair; Karpenter's controller takes all.
//   - There is no /var/run/secrets: the program finds the API server and its token
//     by KUBECONFIG, and the namespace of its leader election by
//     LEADER_ELECTION_NAMESPACE.
//   - Only HTTP probes are run, and the first success of startup and readiness
//     probes is looked for at once and often, whatever delay and period they have.
package program

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"eks-gpu-slicing/rehearsal/controlplane/process"
	"eks-gpu-slicing/rehearsal/kubelet"
)

// Config says what to run, and where its cluster is.
type Config struct {
	// Binary is the path of the program. It takes the place of the container's
	// command.
	Binary string
	// APIServer is the API server's URL and CA the PEM of its authority.
	APIServer string
	CA        []byte
	// AWS gives a pod its access to AWS, if it is to have any; nil is none.
	AWS func(ctx context.Context, pod *corev1.Pod) (AWS, error)
	// ProbePeriod is how often a starting program is asked whether it is ready; 0
	// means 100 ms.
	ProbePeriod time.Duration
}

// AWS is a pod's access to AWS.
type AWS struct {
	// CredentialsURI is where the EKS Pod Identity agent answers, given that the
	// pod's service account has an association; "" otherwise. On a node it is
	// http://169.254.170.23/v1/credentials.
	CredentialsURI string
	// Env is further environment, such as AWS_REGION and AWS_ENDPOINT_URL.
	Env map[string]string
}

// podIdentityAudience is of the tokens by which a pod identifies itself to the Pod
// Identity agent (aws/amazon-eks-pod-identity-webhook, pkg/config.go).
const podIdentityAudience = "pods.eks.amazonaws.com"

// Program is the image.
type Program struct{ cfg Config }

// New makes the image.
func New(cfg Config) *Program {
	if cfg.ProbePeriod <= 0 {
		cfg.ProbePeriod = 100 * time.Millisecond
	}
	return &Program{cfg: cfg}
}

// Run implements [kubelet.Image]. A program that cannot be started, for want of a
// token or of a variable's value, ends with status 128 and says why in its log.
func (p *Program) Run(ctx context.Context, c *kubelet.Container) kubelet.Exit {
	const cannotStart = 128
	r := &runner{cfg: p.cfg, c: c}
	cfg, err := r.prepare(ctx)
	if err != nil {
		_, _ = fmt.Fprintf(c.Log, "the container cannot be started: %v\n", err)
		return kubelet.Exit{Code: cannotStart}
	}
	child, err := process.Start(cfg)
	if err != nil {
		_, _ = fmt.Fprintf(c.Log, "the container cannot be started: %v\n", err)
		return kubelet.Exit{Code: cannotStart}
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	go r.refreshTokens(working)
	unhealthy := make(chan error, 1)
	go r.probe(working, unhealthy)
	select {
	case <-child.Done():
	case <-ctx.Done():
		r.end(child, time.Until(c.StopBy()))
	case why := <-unhealthy:
		_, _ = fmt.Fprintf(c.Log, "the container is restarted: %v\n", why)
		r.end(child, grace(c.Pod))
	}
	return kubelet.Exit{Code: child.ExitCode()}
}

// end stops the program within its grace period.
func (r *runner) end(child *process.Process, grace time.Duration) {
	if err := child.Stop(max(grace, 0)); err != nil {
		_, _ = fmt.Fprintln(r.c.Log, err)
	}
}

func grace(p *corev1.Pod) time.Duration {
	if p.Spec.TerminationGracePeriodSeconds == nil {
		return corev1.DefaultTerminationGracePeriodSeconds * time.Second
	}
	return time.Duration(*p.Spec.TerminationGracePeriodSeconds) * time.Second
}

// runner is one run of the program.
type runner struct {
	cfg Config
	c   *kubelet.Container
	// ports are the free ports by the container's own.
	ports map[int32]int
	// tokens are the files to keep fresh, by audience.
	tokens map[string]string
}

// home is the directory of the run's own files.
func (r *runner) home() string { return filepath.Join(r.c.Root, ".program") }

// prepare makes everything the program needs and returns how to start it.
func (r *runner) prepare(ctx context.Context) (process.Config, error) {
	if err := os.MkdirAll(r.home(), 0o700); err != nil {
		return process.Config{}, err
	}
	if err := r.choosePorts(); err != nil {
		return process.Config{}, err
	}
	env, err := r.environment(ctx)
	if err != nil {
		return process.Config{}, err
	}
	var args []string
	for _, a := range r.c.Spec.Args {
		args = append(args, r.withPort(expand(a, env)))
	}
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	sort.Strings(list)
	return process.Config{
		Name: r.c.Pod.Namespace + "/" + r.c.Pod.Name + "/" + r.c.Spec.Name,
		Path: r.cfg.Binary, Args: args, Env: list, Dir: r.home(), Log: r.c.LogFile,
	}, nil
}

// choosePorts finds a free port for each of the container's.
func (r *runner) choosePorts() error {
	found, err := process.FreePorts("", len(r.c.Spec.Ports)) // on all addresses, as the program may
	if err != nil {
		return fmt.Errorf("finding free ports for pod %s/%s: %w", r.c.Pod.Namespace, r.c.Pod.Name, err)
	}
	r.ports = map[int32]int{}
	for i, p := range r.c.Spec.Ports {
		r.ports[p.ContainerPort] = found[i]
	}
	return nil
}

// withPort replaces a container's port where it is the whole text, or all that
// follows the first equals sign.
func (r *runner) withPort(text string) string {
	name, value, isFlag := strings.Cut(text, "=")
	if !isFlag {
		name, value = "", text
	}
	port, err := strconv.ParseInt(value, 10, 32)
	if err != nil || r.ports[int32(port)] == 0 {
		return text
	}
	value = strconv.Itoa(r.ports[int32(port)])
	if isFlag {
		return name + "=" + value
	}
	return value
}

// writeKubeconfig gives the program the API server as its service account sees it.
func (r *runner) writeKubeconfig(ctx context.Context) (path string, err error) {
	token, err := r.writeToken(ctx, "")
	if err != nil {
		return "", err
	}
	const name = "pod"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: r.cfg.APIServer, CertificateAuthorityData: r.cfg.CA}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{TokenFile: token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: r.c.Pod.Namespace}
	config.CurrentContext = name
	path = filepath.Join(r.home(), "kubeconfig")
	return path, clientcmd.WriteToFile(*config, path)
}

// writeToken gets a token of the pod's service account into a file.
func (r *runner) writeToken(ctx context.Context, audience string) (path string, err error) {
	token, _, err := r.c.ServiceAccountToken(ctx, audience)
	if err != nil {
		return "", err
	}
	name := "token"
	if audience != "" {
		name = audience + ".token"
	}
	path = filepath.Join(r.home(), name)
	if r.tokens == nil {
		r.tokens = map[string]string{}
	}
	r.tokens[audience] = path
	// In one step, for the program reads it when it likes.
	if err := os.WriteFile(path+".new", []byte(token), 0o600); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

// refreshTokens renews the tokens long before they expire, as the kubelet does at
// four fifths of their life of an hour (pkg/kubelet/token).
func (r *runner) refreshTokens(ctx context.Context) {
	const every, retry = 48 * time.Minute, 10 * time.Second
	audiences := make([]string, 0, len(r.tokens))
	for a := range r.tokens {
		audiences = append(audiences, a)
	}
	wait := every
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = every
		for _, a := range audiences {
			if _, err := r.writeToken(ctx, a); err != nil && ctx.Err() == nil {
				_, _ = fmt.Fprintf(r.c.Log, "renewing a token: %v\n", err)
				wait = retry
			}
		}
	}
}
