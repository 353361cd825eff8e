package controlplane

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"eks-gpu-slicing/rehearsal/controlplane/process"
)

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
	const patience = time.Minute // a busy machine takes its time
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		ok, now := cond()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s; now: %s", patience, what, now)
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
		_ = f.Close()
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
