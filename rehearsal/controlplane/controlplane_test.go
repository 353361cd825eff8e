package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"eks-gpu-slicing/rehearsal/controlplane/controlplanetest"
	"eks-gpu-slicing/rehearsal/controlplane/process"
	"eks-gpu-slicing/rehearsal/kube/stamp"
)

// parentEnv makes the test binary a process that starts a control plane in the
// directory it names and then hangs.
const parentEnv = "CONTROLPLANE_TEST_DIR"

var binary string // set once, before any test runs

func TestMain(m *testing.M) {
	var err error
	if binary, err = controlplanetest.Binary(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if dir := os.Getenv(parentEnv); dir != "" {
		cp, err := Start(context.Background(), Config{Dir: dir, Binary: binary})
		if err != nil {
			panic(err)
		}
		fmt.Println("up", cp.Endpoint())
		select {}
	}
	os.Exit(m.Run())
}

// widgets is a kind that the cluster does not have from the start.
const widgets = `{
	"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
	"spec": {
		"group": "example.com", "scope": "Cluster", "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
		"versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]
	}
}`

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := new(unstructured.Unstructured)
	if err := o.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestLife follows one control plane from its start to its end.
func TestLife(t *testing.T) {
	authenticator := httptest.NewServer(http.HandlerFunc(reviewToken))
	defer authenticator.Close()
	dir := t.TempDir()
	foreign := filepath.Join(dir, "mine.txt")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	cp, err := Start(t.Context(), Config{Dir: dir, Binary: binary, AuthenticatorURL: authenticator.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", time.Since(began))
	ids := processIDs(cp)
	if len(ids) != 5 {
		t.Errorf("%d processes run, want 5", len(ids))
	}
	admin := clientFor(t, cp.RESTConfig())

	t.Run("version", func(t *testing.T) {
		v, err := admin.Discovery().ServerVersion()
		if err != nil {
			t.Fatal(err)
		}
		if v.GitVersion != stamp.Version {
			t.Errorf("the API server says it is %s, want %s", v.GitVersion, stamp.Version)
		}
	})

	t.Run("controllers and scheduler work", func(t *testing.T) {
		if _, err := admin.AppsV1().Deployments("default").Create(t.Context(), deployment(), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the scheduler to say that there is no node", func() (bool, string) {
			pods, err := admin.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(pods.Items) != 1 {
				return false, fmt.Sprintf("%d pods", len(pods.Items))
			}
			for _, c := range pods.Items[0].Status.Conditions {
				if c.Type == corev1.PodScheduled {
					return strings.Contains(c.Message, "no nodes available"), c.Message
				}
			}
			return false, "no condition"
		})
	})

	t.Run("EKS tolerates a taint named like a requested resource", func(t *testing.T) {
		pods, err := admin.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(pods.Items) == 0 {
			t.Fatalf("pods: %v, error %v", pods, err)
		}
		if !slices.ContainsFunc(pods.Items[0].Spec.Tolerations, func(tol corev1.Toleration) bool { return tol.Key == "nvidia.com/gpu" }) {
			t.Errorf("tolerations %v lack nvidia.com/gpu", pods.Items[0].Spec.Tolerations)
		}
	})

	t.Run("the API server restarts", func(t *testing.T) {
		before := cp.components[apiserver].ID()
		if err := cp.RestartAPIServer(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		if before.Alive() || !cp.components[apiserver].ID().Alive() {
			t.Error("the old API server runs, or the new one does not")
		}
		if err := cp.Err(); err != nil {
			t.Errorf("the restart counts as a failure: %v", err)
		}
		if _, err := admin.AppsV1().Deployments("default").Get(t.Context(), deployment().Name, metav1.GetOptions{}); err != nil {
			t.Errorf("what was there before: %v", err)
		}
	})

	t.Run("the garbage collector follows new kinds", func(t *testing.T) {
		client, err := dynamic.NewForConfig(cp.RESTConfig())
		if err != nil {
			t.Fatal(err)
		}
		cp.mu.Lock()
		before := cp.components[collector].ID()
		cp.mu.Unlock()
		crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
		if _, err := crds.Create(t.Context(), object(t, widgets), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		kind := client.Resource(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "widgets"})
		const widget = `{"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}`
		waitFor(t, "widgets to be served", func() (bool, string) {
			_, err := kind.Create(t.Context(), object(t, widget), metav1.CreateOptions{})
			return err == nil, fmt.Sprint(err)
		})
		foreground := metav1.DeletePropagationForeground
		if err := kind.Delete(t.Context(), "a", metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "a widget deleted in the foreground to go", func() (bool, string) {
			_, err := kind.Get(t.Context(), "a", metav1.GetOptions{})
			return apierrors.IsNotFound(err), fmt.Sprint(err)
		})
		// Of itself it would have looked for new kinds thirty seconds after its start.
		cp.mu.Lock()
		defer cp.mu.Unlock()
		if now := cp.components[collector].ID(); now == before {
			t.Errorf("the collector is the process that it was, %v", now)
		}
	})

	ids = processIDs(cp)

	t.Run("tokens", func(t *testing.T) {
		as := func(token string) *kubernetes.Clientset {
			return clientFor(t, &rest.Config{Host: cp.Endpoint(), BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: cp.CA()}})
		}
		who, err := as("k8s-aws-v1.admin").AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := who.Status.UserInfo; got.Username != "arn:aws:iam::111122223333:role/admin" || !slices.Contains(got.Groups, "system:masters") {
			t.Errorf("the API server takes the admin token for %+v", got)
		}
		if _, err := as("k8s-aws-v1.nobody").CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("a user in no group lists pods: %v, want forbidden", err)
		}
		if _, err := as("k8s-aws-v1.stranger").CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
			t.Errorf("a token nobody knows: %v, want unauthorized", err)
		}
	})

	t.Run("anonymous", func(t *testing.T) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		for path, want := range map[string]int{"/healthz": 200, "/version": 200, "/api/v1/secrets": 403} {
			resp, err := client.Get(cp.Endpoint() + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("GET %s without credentials: %d, want %d", path, resp.StatusCode, want)
			}
		}
		if resp, err := client.Get(local(cp.ports.etcdClient) + "/version"); err == nil {
			_ = resp.Body.Close()
			t.Errorf("etcd answers %s to a client without a certificate", resp.Status)
		}
	})

	t.Run("kubectl", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), binary, "kubectl", "--kubeconfig", cp.Kubeconfig(), "get", "namespaces", "-o", "name")
		cmd.Env = []string{"HOME=" + t.TempDir()}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "namespace/kube-system") {
			t.Errorf("kubectl get namespaces: %v\n%s", err, out)
		}
	})

	t.Run("nobody else reads the directory or reaches a port", func(t *testing.T) {
		for _, file := range []string{dir, cp.Kubeconfig(), cp.path(pkiDir, "account.key"), cp.LogFile(etcd)} {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if file != dir && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", file, info.Mode())
			}
		}
		for _, id := range ids {
			for _, addr := range listening(t, id.PID) {
				if !strings.HasPrefix(addr, "0100007F:") {
					t.Errorf("process %d listens on %s (hexadecimal, as in /proc/net/tcp), which is off loopback", id.PID, addr)
				}
			}
		}
	})

	t.Run("the directory is taken", func(t *testing.T) {
		_, err := Start(t.Context(), Config{Dir: dir, Binary: binary})
		var inUse *InUseError
		if !errors.As(err, &inUse) || inUse.Owner != os.Getpid() {
			t.Errorf("second Start in the same directory: %v, want an InUseError of process %d", err, os.Getpid())
		}
		if _, err := Clean(dir); !errors.As(err, &inUse) {
			t.Errorf("Clean of a directory in use: %v, want an InUseError", err)
		}
	})

	t.Run("a killed component is named", func(t *testing.T) {
		if err := cp.Err(); err != nil {
			t.Fatalf("Err() = %v while all runs", err)
		}
		if err := syscall.Kill(cp.components[manager].ID().PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		select {
		case <-cp.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("Done is not closed 10s after a component was killed")
		}
		var exit *process.ExitError
		if err := cp.Err(); !errors.As(err, &exit) || exit.Name != "kube-controller-manager" || exit.Tail == "" ||
			!strings.Contains(err.Error(), exit.Tail[:40]) || !strings.Contains(err.Error(), dir) {
			t.Errorf("Err() = %v, want it to name the component, the directory and the log's tail", err)
		}
	})

	// A watch that stays open must not hold the API server back.
	watch, err := admin.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	began = time.Now()
	if err := cp.Stop(t.Context()); err != nil {
		t.Errorf("Stop() = %v", err)
	}
	t.Logf("stopped after %v", time.Since(began))
	expectGone(t, ids)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{lockFile, logsDir, filepath.Base(foreign)}; !slices.Equal(left, want) {
		t.Errorf("Stop leaves %v in the directory, want %v", left, want)
	}
}
