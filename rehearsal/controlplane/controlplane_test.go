package controlplane

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
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

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	if len(ids) != 4 {
		t.Errorf("%d processes run, want 4", len(ids))
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
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("GET %s without credentials: %d, want %d", path, resp.StatusCode, want)
			}
		}
		if resp, err := client.Get(local("https", cp.ports.etcdClient) + "/version"); err == nil {
			resp.Body.Close()
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

func TestTwoAtOnceOneByContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	type result struct {
		cp  *ControlPlane
		err error
	}
	results := make(chan result)
	for i, ctx := range []context.Context{ctx, t.Context()} {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(i))
		go func() {
			cp, err := Start(ctx, Config{Dir: dir, Binary: binary})
			results <- result{cp, err}
		}()
	}
	var both []*ControlPlane
	for range 2 {
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		both = append(both, r.cp)
	}
	for i, cp := range both {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "same-name"}}
		if _, err := clientFor(t, cp.RESTConfig()).CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
			t.Errorf("control plane %d: %v", i, err)
		}
	}
	cancelled, other := both[0], both[1]
	if strings.HasSuffix(other.cfg.Dir, "/0") {
		cancelled, other = other, cancelled
	}
	ids := processIDs(cancelled)
	cancel()
	select {
	case <-cancelled.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the control plane runs 20s after its context was cancelled")
	}
	expectGone(t, ids)
	if err := cancelled.Err(); err != nil {
		t.Errorf("Err() after the context was cancelled: %v", err)
	}
	if err := other.get(t.Context(), other.Endpoint()+"/readyz"); err != nil {
		t.Errorf("the other control plane: %v", err)
	}
	if err := other.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestKilledParentLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), self)
	parent.Env = append(os.Environ(), parentEnv+"="+dir)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "up ") {
		t.Fatalf("the parent says %q, %v", line, err)
	}
	r, err := readRecord(dir)
	if err != nil {
		t.Fatal(err)
	}
	var ids []process.ID
	for _, id := range r.Components {
		ids = append(ids, id)
	}
	if len(ids) != 4 || r.Owner.PID != parent.Process.Pid {
		t.Fatalf("record %+v, want 4 components and owner %d", r, parent.Process.Pid)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // the error is the kill
	expectGone(t, ids)

	// Its directory is full of what it left, and can be used again.
	if _, err := os.Stat(filepath.Join(dir, dataDir)); err != nil {
		t.Fatalf("the killed run left no data: %v", err)
	}
	cp, err := Start(t.Context(), Config{Dir: dir, Binary: binary})
	if err != nil {
		t.Fatal(err)
	}
	if err := cp.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCleanKillsWhatOutlivedACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	survivor, err := process.Start(process.Config{Name: etcd, Path: "/bin/sleep", Args: []string{"1000"}, Log: filepath.Join(dir, logsDir, "etcd.log")})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := process.Start(process.Config{Name: "foreign", Path: "/bin/sleep", Args: []string{"1000"}, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = foreign.ID().Kill() }()
	r := record{Components: map[string]process.ID{
		etcd: survivor.ID(),
		// A number that has since been given to another process.
		apiserver: {PID: foreign.ID().PID, Start: foreign.ID().Start - 1},
	}}
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	found, err := Clean(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("killed etcd (pid %d), left over from a crash", survivor.ID().PID)}
	if !slices.Equal(found, want) {
		t.Errorf("Clean found %q, want %q", found, want)
	}
	if survivor.ID().Alive() {
		t.Error("the survivor is alive")
	}
	if !foreign.ID().Alive() {
		t.Error("a process that was never ours was killed")
	}
	if _, err := os.Stat(filepath.Join(dir, recordFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the record is still there: %v", err)
	}
	if found, err := Clean(dir); err != nil || found != nil {
		t.Errorf("second Clean = %v, %v", found, err)
	}
	if found, err := Clean(filepath.Join(dir, "missing")); err != nil || found != nil {
		t.Errorf("Clean of a missing directory = %v, %v", found, err)
	}
}

func TestTakenPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	calls := 0
	choose := func(n int) ([]int, error) {
		calls++
		p, err := freePorts(n)
		if addr, ok := taken.Addr().(*net.TCPAddr); ok && calls == 1 && err == nil {
			p[2] = addr.Port // the API server's
		}
		return p, err
	}
	cp, err := start(t.Context(), Config{Dir: t.TempDir(), Binary: binary}, choose)
	if err != nil {
		t.Fatal(err)
	}
	if calls != 2 {
		t.Errorf("ports were chosen %d times, want 2", calls)
	}
	if err := cp.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := Start(t.Context(), Config{Dir: dir, Binary: "/no/such/kube"})
	if err == nil || !strings.Contains(err.Error(), "/no/such/kube") {
		t.Errorf("missing binary: %v", err)
	}
	broken := filepath.Join(t.TempDir(), "kube")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho I am no $1; exit 7\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Config{Dir: dir, Binary: broken})
	for _, want := range []string{"etcd (pid ", "exit status 7", "I am no etcd", dir} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("broken binary: %v, want it to hold %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = Start(ctx, Config{Dir: dir, Binary: binary}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled context: %v", err)
	}
}

// reviewToken is an authenticator as EKS has one, with three principals.
func reviewToken(w http.ResponseWriter, r *http.Request) {
	var review authenticationv1.TokenReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch review.Spec.Token {
	case "k8s-aws-v1.admin":
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{
			Username: "arn:aws:iam::111122223333:role/admin", Groups: []string{"system:masters"},
		}}
	case "k8s-aws-v1.nobody":
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "nobody"}}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review) // the client is gone if this fails
}

func deployment() *appsv1.Deployment {
	labels := map[string]string{"app": "gpu"}
	one := corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "gpu"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "main", Image: "example.com/gpu", Resources: corev1.ResourceRequirements{Limits: one},
				}}},
			},
		},
	}
}

func clientFor(t *testing.T, cfg *rest.Config) *kubernetes.Clientset {
	t.Helper()
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func processIDs(cp *ControlPlane) []process.ID {
	var ids []process.ID
	for _, p := range cp.components {
		ids = append(ids, p.ID())
	}
	return ids
}

// expectGone allows the kernel a moment to deliver the death signal.
func expectGone(t *testing.T, ids []process.ID) {
	t.Helper()
	waitFor(t, "every process to be gone", func() (bool, string) {
		for _, id := range ids {
			if id.Alive() {
				return false, fmt.Sprintf("process %d is alive", id.PID)
			}
		}
		return true, ""
	})
}

func waitFor(t *testing.T, what string, cond func() (bool, string)) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ok, now := cond()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited 15s for %s; now: %s", what, now)
		}
	}
}

// listening gives the local addresses of a process's listening TCP sockets.
func listening(t *testing.T, pid int) []string {
	t.Helper()
	sockets := map[string]bool{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "socket:[") {
			sockets[strings.Trim(target, "socket:[]")] = true
		}
	}
	var addrs []string
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		const localAddress, state, inode, listen = 1, 3, 9, "0A"
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			if len(fields) > inode && fields[state] == listen && sockets[fields[inode]] {
				addrs = append(addrs, fields[localAddress])
			}
		}
	}
	if len(addrs) == 0 {
		t.Errorf("process %d listens on nothing, so the check sees nothing", pid)
	}
	return addrs
}
