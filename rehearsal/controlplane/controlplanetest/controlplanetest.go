// Package controlplanetest builds the kube binary for tests that run a real
// control plane.
package controlplanetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"eks-gpu-slicing/rehearsal/kube/stamp"
)

// Binary builds the kube binary into the user's cache directory and returns its
// path. The go command links it again only when something changed; otherwise the
// call takes two seconds. The first build of all takes minutes.
func Binary(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "eks-gpu-slicing", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Test binaries of several packages run at once and would each build it.
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	kube := filepath.Join(dir, "kube")
	build := exec.CommandContext(ctx, "go", "build", "-o", kube, "-ldflags", "-s -w "+stamp.LDFlags(), "eks-gpu-slicing/rehearsal/kube")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the kube binary: %w\n%s", err, out)
	}
	return kube, nil
}
