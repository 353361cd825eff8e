package world

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientauthentication "k8s.io/client-go/pkg/apis/clientauthentication/v1beta1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/wire"
	"eks-gpu-slicing/rehearsal/kubelet/program"
	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

// Paths of what answers beside the AWS endpoint: the API server's token webhook,
// and each node's EKS Pod Identity agent.
const (
	authenticatorPath = "/authenticator"
	agentPath         = "/agents/"
)

// tokenLife is for how long a token is presented before a new one is made; the
// authenticator takes one for 15 minutes from its signing.
const tokenLife = 14 * time.Minute

// localHandler answers the API server and pods.
func (w *World) localHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(authenticatorPath, func(rw http.ResponseWriter, r *http.Request) {
		w.wire.Authenticator(w.Cluster()).ServeHTTP(rw, r)
	})
	mux.HandleFunc(agentPath+"{instance}/", func(rw http.ResponseWriter, r *http.Request) {
		id := r.PathValue("instance")
		http.StripPrefix(agentPath+id, w.wire.PodIdentityAgent(w.Cluster(), id)).ServeHTTP(rw, r)
	})
	return mux
}

// nodeToken is the token by which an instance joins the cluster: its role's.
func (w *World) nodeToken(ctx context.Context, instanceID string) (string, time.Time, error) {
	session, err := w.account.InstanceCredentials(instanceID)
	if err != nil {
		return "", time.Time{}, err
	}
	now := time.Now()
	token, err := wire.Token(ctx, session.Credentials, w.options.Region, w.Cluster(), now)
	return token, now.Add(tokenLife), err
}

// podAccess is what a pod knows of AWS. Where its service account has a Pod
// Identity association, EKS's webhook gives it the agent's address and the region.
func (w *World) podAccess(_ context.Context, pod *corev1.Pod) (program.AWS, error) {
	cluster := w.Cluster()
	access := program.AWS{Env: map[string]string{"AWS_ENDPOINT_URL": w.endpoint}}
	associations, err := w.account.ListPodIdentityAssociations(cluster)
	if err != nil {
		return access, err
	}
	if !slices.ContainsFunc(associations, func(a account.PodIdentityAssociation) bool {
		return a.Namespace == pod.Namespace && a.ServiceAccount == pod.Spec.ServiceAccountName
	}) {
		return access, nil
	}
	w.mu.Lock()
	id, ok := w.instances[pod.Spec.NodeName]
	w.mu.Unlock()
	if !ok {
		return access, fmt.Errorf("no instance is known for node %s", pod.Spec.NodeName)
	}
	access.CredentialsURI = w.local + agentPath + id + "/v1/credentials"
	access.Env["AWS_REGION"], access.Env["AWS_DEFAULT_REGION"] = w.options.Region, w.options.Region
	return access, nil
}

// connector has kubeconfigs that call `aws` call the stand-in, with the credentials
// of the user at the keyboard: what PATH and ~/.aws do where a real one is used.
func (w *World) connector(connect kubernetes.Connect) kubernetes.Connect {
	return func(ctx context.Context, kubeconfig string) (kubernetes.Cluster, error) {
		if err := w.resolve(); err != nil {
			return nil, err
		}
		changed, err := w.standIn(kubeconfig)
		if err != nil {
			return nil, err
		}
		return connect(ctx, changed)
	}
}

// resolve fails where the cluster that had the control plane is deleted: EKS takes its
// endpoint's name out of the DNS then (the words are in pulumi-kubernetes issue 2463).
func (w *World) resolve() error {
	name := w.Cluster()
	if name == "" || slices.Contains(w.account.ListClusters(), name) {
		return nil
	}
	host := strings.TrimPrefix(w.plane.Endpoint(), "https://")
	return fmt.Errorf("unable to load schema information from the API server: Get \"https://%s/openapi/v2?timeout=32s\": dial tcp: lookup %[1]s: no such host", host)
}

func (w *World) standIn(kubeconfig string) (string, error) {
	config, err := clientcmd.Load([]byte(kubeconfig))
	if err != nil {
		return "", fmt.Errorf("unable to load Kubernetes client configuration from kubeconfig file: %w", err)
	}
	for _, user := range config.AuthInfos {
		if user.Exec == nil || user.Exec.Command != "aws" {
			continue
		}
		user.Exec.Command = w.options.AWS
		user.Exec.Env = append(user.Exec.Env,
			clientcmdapi.ExecEnvVar{Name: "AWS_ACCESS_KEY_ID", Value: w.user.AccessKeyID},
			clientcmdapi.ExecEnvVar{Name: "AWS_SECRET_ACCESS_KEY", Value: w.user.SecretAccessKey},
			clientcmdapi.ExecEnvVar{Name: "AWS_ENDPOINT_URL", Value: w.endpoint},
		)
		if !slices.ContainsFunc(user.Exec.Env, func(e clientcmdapi.ExecEnvVar) bool { return e.Name == "AWS_REGION" }) {
			user.Exec.Env = append(user.Exec.Env, clientcmdapi.ExecEnvVar{Name: "AWS_REGION", Value: w.options.Region})
		}
	}
	out, err := clientcmd.Write(*config)
	return string(out), err
}

// tokenFlags are what [GetToken] is told.
type tokenFlags struct{ region, cluster, role string }

// readTokenFlags reads the arguments of `aws eks get-token`.
func readTokenFlags(args []string) (tokenFlags, error) {
	f := tokenFlags{region: os.Getenv("AWS_REGION")}
	var words []string
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		if !strings.HasPrefix(name, "--") {
			words = append(words, name)
			continue
		}
		if !joined && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch name {
		case "--cluster-name":
			f.cluster = value
		case "--region":
			f.region = value
		case "--role-arn":
			f.role = value
		case "--profile": // all profiles are the one user's
		case "--output":
			if value != "json" {
				return f, fmt.Errorf("--output %s: this stand-in of the rehearsal writes json only", value)
			}
		default:
			return f, fmt.Errorf("this stand-in of the rehearsal knows no %s", name)
		}
	}
	if strings.Join(words, " ") != "eks get-token" || f.cluster == "" {
		return f, fmt.Errorf("this stand-in of the rehearsal does `aws eks get-token --cluster-name NAME` alone, and was asked for: aws %s", strings.Join(args, " "))
	}
	return f, nil
}

// GetToken is `aws [--region R] [--profile P] eks get-token --cluster-name C
// [--role-arn ROLE] [--output json]` for the credentials in the environment: it writes
// the ExecCredential that client-go reads. Of anything else that aws can do it says
// that it cannot. A rehearsal's account has one user, whose every profile is; a role is
// assumed at AWS_ENDPOINT_URL.
func GetToken(ctx context.Context, out io.Writer, args []string) error {
	f, err := readTokenFlags(args)
	if err != nil {
		return err
	}
	holder := account.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}
	if holder.AccessKeyID == "" || holder.SecretAccessKey == "" || f.region == "" {
		return errors.New("unable to locate credentials: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION to those of the rehearsal's account")
	}
	if f.role != "" {
		if holder, err = assume(ctx, holder, f); err != nil {
			return err
		}
	}
	now := time.Now()
	token, err := wire.Token(ctx, holder, f.region, f.cluster, now)
	if err != nil {
		return err
	}
	expires := metav1.NewTime(now.Add(tokenLife).UTC())
	return json.NewEncoder(out).Encode(clientauthentication.ExecCredential{
		TypeMeta: metav1.TypeMeta{APIVersion: clientauthentication.SchemeGroupVersion.String(), Kind: "ExecCredential"},
		Status:   &clientauthentication.ExecCredentialStatus{Token: token, ExpirationTimestamp: &expires},
	})
}

// tokenSession is the name under which the AWS CLI assumes the role (its
// customizations/eks/get_token.py).
const tokenSession = "EKSGetTokenAuth"

// assume begins a session of the role, for who holds the credentials.
func assume(ctx context.Context, holder account.Credentials, f tokenFlags) (account.Credentials, error) {
	endpoint := os.Getenv("AWS_ENDPOINT_URL")
	if endpoint == "" { // or a real account would be asked
		return holder, errors.New("--role-arn: set AWS_ENDPOINT_URL to the rehearsal's account")
	}
	client := sts.New(sts.Options{
		Region: f.region, BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider(holder.AccessKeyID, holder.SecretAccessKey, ""),
	})
	session, err := client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &f.role, RoleSessionName: aws.String(tokenSession)})
	if err != nil {
		return holder, fmt.Errorf("--role-arn %s: %w", f.role, err)
	}
	c := session.Credentials
	return account.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}, nil
}

// readAll reads an answer of bounded size.
func readAll(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, 1<<20)) }
