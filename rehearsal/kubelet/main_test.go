package kubelet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"eks-gpu-slicing/rehearsal/controlplane"
	"eks-gpu-slicing/rehearsal/controlplane/controlplanetest"
	"eks-gpu-slicing/rehearsal/kubelet"
)

// world is the control plane that the tests of this package share; each test has
// nodes, labels and a namespace of its own.
var world struct {
	cp    *controlplane.ControlPlane
	admin *kubernetes.Clientset
	// nodeNames are the node names by their instance; a token of another instance is
	// nobody's, as that of a role without access entry.
	nodeNames sync.Map
	serial    atomic.Int32
}

func TestMain(m *testing.M) {
	if mode := os.Getenv(modeEnv); mode != "" {
		beProgram(mode)
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	binary, err := controlplanetest.Binary(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "kubelet-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	authenticator := httptest.NewServer(http.HandlerFunc(reviewToken))
	defer authenticator.Close()
	world.cp, err = controlplane.Start(ctx, controlplane.Config{Dir: dir, Binary: binary, AuthenticatorURL: authenticator.URL})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := world.cp.Stop(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	if world.admin, err = kubernetes.NewForConfig(world.cp.RESTConfig()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// reviewToken maps an instance's token to the node's user, as EKS does for a role
// whose access entry is of type EC2_LINUX.
func reviewToken(w http.ResponseWriter, r *http.Request) {
	var review authenticationv1.TokenReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	instance, _, _ := strings.Cut(review.Spec.Token, "/")
	if name, ok := world.nodeNames.Load(instance); ok {
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{
			Username: fmt.Sprint("system:node:", name), Groups: []string{"system:nodes"},
		}}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review) // the client is gone if this fails
}

func nodeToken(_ context.Context, instanceID string) (string, time.Time, error) {
	return fmt.Sprintf("%s/%d", instanceID, world.serial.Add(1)), time.Now().Add(15 * time.Minute), nil
}

// fixture is one test's nodes.
type fixture struct {
	t testing.TB
	*kubelet.Kubelet
	namespace string

	mu     sync.Mutex
	events []kubelet.Event
}

// newFixture starts node agents and makes a namespace. cfg's access is filled in; its
// RESTConfig only if it is nil.
func newFixture(t testing.TB, cfg kubelet.Config) *fixture {
	t.Helper()
	f := &fixture{t: t, namespace: fmt.Sprintf("test-%d", world.serial.Add(1))}
	if cfg.NodeToken = nodeToken; cfg.RESTConfig == nil {
		cfg.RESTConfig = world.cp.RESTConfig()
	}
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Observe = func(e kubelet.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, e)
	}
	var err error
	if f.Kubelet, err = kubelet.Start(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Pods in their grace period would outlive the agents.
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := f.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.namespace}}
	if _, err := world.admin.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.wait("the namespace's service account", func() (bool, string) {
		_, err := world.admin.CoreV1().ServiceAccounts(f.namespace).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil, fmt.Sprint(err)
	})
	return f
}

// roundTripper is one as a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// proxied is an administrator's access to the cluster by a proxy, which calls answered with
// each answer before it passes that on.
func proxied(t *testing.T, answered func(*http.Request, *http.Response)) *rest.Config {
	t.Helper()
	direct := world.cp.RESTConfig()
	admin, err := rest.TransportFor(direct)
	if err != nil {
		t.Fatal(err)
	}
	node, err := rest.TransportFor(rest.AnonymousClientConfig(direct))
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(direct.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1, // watches
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			by := node
			if r.Header.Get("Authorization") == "" {
				by = admin
			}
			resp, err := by.RoundTrip(r)
			if err == nil {
				answered(r, resp)
			}
			return resp, err
		}),
	})
	t.Cleanup(func() {
		proxy.CloseClientConnections()
		proxy.Close()
	})
	return &rest.Config{Host: proxy.URL, QPS: -1}
}

// instance describes a new one that the API server will let join.
func (f *fixture) instance(instanceType string) kubelet.Instance {
	n := world.serial.Add(1)
	i := kubelet.Instance{
		ID: fmt.Sprintf("i-%017x", n), Type: instanceType,
		Region: "us-west-1", Zone: "us-west-1a", ZoneID: "usw1-az1",
		PrivateDNSName: fmt.Sprintf("ip-172-31-%d-%d.us-west-1.compute.internal", n/250, n%250),
		PrivateIP:      fmt.Sprintf("172.31.%d.%d", n/250, n%250),
		AMIFamily:      "AL2", KubernetesVersion: "1.28", VolumeGiB: 20,
		Labels: map[string]string{"test": f.namespace},
	}
	world.nodeNames.Store(i.ID, i.PrivateDNSName)
	return i
}

// node adds an instance and waits until its node is Ready and schedulable.
func (f *fixture) node(i kubelet.Instance) string {
	f.t.Helper()
	if err := f.AddInstance(i); err != nil {
		f.t.Fatal(err)
	}
	f.wait("node "+i.PrivateDNSName, func() (bool, string) {
		n, err := world.admin.CoreV1().Nodes().Get(f.t.Context(), i.PrivateDNSName, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		for _, taint := range n.Spec.Taints {
			if taint.Key == corev1.TaintNodeNotReady {
				return false, "tainted " + taint.Key
			}
		}
		return true, ""
	})
	return i.PrivateDNSName
}

// pod is a pod of the test's namespace for the test's nodes.
func (f *fixture) pod(name string, edit ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: f.namespace},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{"test": f.namespace},
			Containers:   []corev1.Container{{Name: "main", Image: "example.com/app:1"}},
		},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

func (f *fixture) create(p *corev1.Pod) *corev1.Pod {
	f.t.Helper()
	created, err := world.admin.CoreV1().Pods(f.namespace).Create(f.t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	return created
}

func (f *fixture) delete(name string, grace int64) {
	f.t.Helper()
	err := world.admin.CoreV1().Pods(f.namespace).Delete(f.t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &grace})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) get(name string) (*corev1.Pod, error) {
	return world.admin.CoreV1().Pods(f.namespace).Get(f.t.Context(), name, metav1.GetOptions{})
}

// waitPod waits until a pod is as it should be and returns it.
func (f *fixture) waitPod(name, what string, ok func(*corev1.Pod) bool) *corev1.Pod {
	f.t.Helper()
	var found *corev1.Pod
	f.wait("pod "+name+" to be "+what, func() (bool, string) {
		p, err := f.get(name)
		if err != nil {
			return false, err.Error()
		}
		found = p
		now, err := json.Marshal(p.Status)
		if err != nil {
			f.t.Fatal(err)
		}
		return ok(p), string(now)
	})
	return found
}

func (f *fixture) waitGone(name string) {
	f.t.Helper()
	f.wait("pod "+name+" to be gone", func() (bool, string) {
		_, err := f.get(name)
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
}

// wait polls until cond holds; it says what was still missing.
func (f *fixture) wait(what string, cond func() (bool, string)) {
	f.t.Helper()
	const patience = time.Minute // on a busy machine a program takes its time to start
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		ok, now := cond()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("waited %v for %s; now: %s", patience, what, now)
		}
	}
}

// waitEvent waits for an event of a kind whose message holds a text.
func (f *fixture) waitEvent(kind kubelet.EventKind, text string) kubelet.Event {
	f.t.Helper()
	var found kubelet.Event
	f.wait(fmt.Sprintf("an event %s with %q", kind, text), func() (bool, string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, e := range f.events {
			if e.Kind == kind && strings.Contains(e.Message, text) {
				found = e
				return true, ""
			}
		}
		return false, fmt.Sprint(f.events)
	})
	return found
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func requests(name corev1.ResourceName, quantity string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		list := corev1.ResourceList{name: resource.MustParse(quantity)}
		p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: list, Limits: list}
	}
}
