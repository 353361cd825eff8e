package controlplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"eks-gpu-slicing/rehearsal/controlplane/process"
)

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
	case <-time.After(time.Minute):
		t.Fatal("the control plane runs a minute after its context was cancelled")
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
	if len(ids) != 5 || r.Owner.PID != parent.Process.Pid {
		t.Fatalf("record %+v, want 5 components and owner %d", r, parent.Process.Pid)
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

// TestLockIsFreeAtOnce: a directory that was given back can be taken again, whatever
// processes are being started meanwhile.
func TestLockIsFreeAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			for ctx.Err() == nil {
				_ = exec.CommandContext(ctx, "/bin/true").Run() // cancelled at the end
			}
		})
	}
	defer starting.Wait()
	defer cancel()
	dir := t.TempDir()
	for i := range 300 {
		if _, err := Clean(dir); err != nil {
			t.Fatalf("the directory is taken at the time %d: %v", i, err)
		}
	}
}

func TestTakenPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	addr, ok := taken.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("a TCP listener's address is a %T", taken.Addr())
	}
	calls := 0
	choose := func(n int) ([]int, error) {
		calls++
		p, err := process.FreePorts("127.0.0.1", n)
		if calls == 1 && err == nil {
			p[2] = addr.Port // the API server's
		}
		return p, err
	}
	cp, err := start(t.Context(), Config{Dir: t.TempDir(), Binary: binary}, choose)
	if err != nil {
		t.Fatal(err)
	}
	// Of the second choice, too, a port may have been taken meanwhile.
	if calls < 2 || cp.ports.apiserver == addr.Port {
		t.Errorf("ports were chosen %d times and the API server's is %d, want a second choice and not %d", calls, cp.ports.apiserver, addr.Port)
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
