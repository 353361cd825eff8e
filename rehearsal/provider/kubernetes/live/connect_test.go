package live_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"eks-gpu-slicing/rehearsal/provider/kubernetes/live"
)

func TestUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ kubeconfig, want string }{
		"nobody listens": {
			server("https://" + closed),
			"unable to load schema information from the API server: Get \"https://" + closed + "/apis?timeout=32s\": dial tcp " + closed +
				": connect: connection refused",
		},
		"elsewhere": {
			server("https://192.0.2.1:6443"),
			"refusing to reach 192.0.2.1:6443: a rehearsal talks to this machine only",
		},
		"by name": {
			server("https://0123.gr7.us-west-1.eks.amazonaws.com"),
			"refusing to reach 0123.gr7.us-west-1.eks.amazonaws.com:443",
		},
		"no server": {"{apiVersion: v1, kind: Config}", "unable to load Kubernetes client configuration from kubeconfig file"},
		"no credentials": {
			anonymous(t),
			"unable to load schema information from the API server",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := live.Connector(nil)(t.Context(), tt.kubeconfig)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if c != nil {
				t.Error("it gives a cluster all the same")
			}
		})
	}
}

func server(url string) string {
	return "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], " +
		"clusters: [{name: c, cluster: {server: '" + url + "', insecure-skip-tls-verify: true}}], users: [{name: u, user: {}}]}"
}

// anonymous is the shared kubeconfig without its credentials.
func anonymous(t *testing.T) string {
	t.Helper()
	c, err := clientcmd.Load([]byte(kubeconfig))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range c.AuthInfos {
		u.ClientCertificateData, u.ClientKeyData = nil, nil
	}
	b, err := clientcmd.Write(*c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestExecCredential has the kubeconfig call `aws eks get-token`, as the one
// of an EKS cluster does. It sets PATH, so it cannot run beside others.
func TestExecCredential(t *testing.T) {
	sa, err := clientset(t).CoreV1().ServiceAccounts("default").Create(t.Context(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "caller-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = clientset(t).RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "caller-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: sa.Name, Namespace: "default"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := clientset(t).CoreV1().ServiceAccounts("default").CreateToken(t.Context(), sa.Name,
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n[ \"$*\" = \"eks get-token --cluster-name c\" ] || exit 1\n"+
		`echo '{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"%s"}}'`+"\n",
		token.Status.Token)
	if err := os.WriteFile(filepath.Join(dir, "aws"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))

	c, err := clientcmd.Load([]byte(anonymous(t)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := clientcmd.Write(*c)
	if err != nil {
		t.Fatal(err)
	}
	exec := strings.Replace(string(b), "user: {}", "user: {exec: {apiVersion: client.authentication.k8s.io/v1beta1, "+
		"command: aws, args: [eks, get-token, --cluster-name, c]}}", 1)
	p := start(t, nil, "{kubeconfig: "+fmt.Sprintf("%q", exec)+"}")

	// It may look but not touch: the preview falls back, the up is refused.
	program := "{apiVersion: v1, kind: ConfigMap, metadata: {name: forbidden, namespace: default}}"
	d := declare(t, p, "core/v1:ConfigMap")
	if _, err := d.preview(program); err != nil {
		t.Errorf("preview: %v", err)
	}
	err = d.tryUp(program)
	if err == nil || !strings.Contains(err.Error(), `User "system:serviceaccount:default:`+sa.Name+`" cannot create resource`) {
		t.Errorf("up: %v", err)
	}
}
