package main

import (
	"bytes"
	"strings"
	"testing"

	"eks-gpu-slicing/rehearsal/kube/stamp"
)

// A test binary is linked without the version stamp, so every component refuses.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no component":         {args: []string{"kube"}, want: `"kube" is no component; use one of: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl`},
		"unknown":              {args: []string{"kube", "kubelet"}, want: `"kubelet" is no component`},
		"unstamped":            {args: []string{"/bin/kube", "kubectl", "version"}, want: stamp.LDFlags()},
		"unstamped, by link":   {args: []string{"/usr/bin/kubectl", "version"}, want: "v0.0.0"},
		"component's argument": {args: []string{"kubectl", "etcd"}, want: "v0.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			if code := run(tc.args, &stderr); code != 2 {
				t.Errorf("exit status %d, want 2", code)
			}
			if !strings.Contains(stderr.String(), tc.want) {
				t.Errorf("stderr %q does not hold %q", stderr.String(), tc.want)
			}
		})
	}
}
