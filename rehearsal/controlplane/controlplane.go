// Package controlplane starts and stops a real Kubernetes control plane on this
// machine: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, all
// unmodified, out of the one binary that package kube builds.
//
// One control plane owns one directory: its data, certificates, logs and
// kubeconfig are there and nowhere else, and any number run side by side. Every
// listener is on 127.0.0.1, on a free port, and every one demands a certificate or
// a token. It is set up as Amazon EKS sets up its own where that shows: admission
// controllers, Node and RBAC authorization, and bearer tokens checked by an
// authenticator outside of it.
//
// Gotchas:
//   - The API server is always Kubernetes 1.35 (package kube/stamp), whatever
//     version the cluster is said to have.
//   - A control plane lives no longer than the context given to [Start], and no
//     longer than the process that called it, even if that is killed (package
//     process). A run that finds the directory of a killed one cleans it up.
//   - After a component has died (see [ControlPlane.Done]) the others run on:
//     call [ControlPlane.Stop] to end them.
//   - The garbage collector is a controller manager's process of its own, started anew
//     whenever there are new kinds (see followKinds), as EKS's, which has known them
//     for long when a stack is destroyed.
//   - etcd does not write through to the disk: no data survives a stop.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"eks-gpu-slicing/rehearsal/controlplane/process"
)

// Config says what to start.
type Config struct {
	// Dir is the control plane's own directory, created if missing. Start refuses
	// one in which another control plane runs.
	Dir string
	// Binary is the path of the kube binary.
	Binary string
	// AuthenticatorURL is an HTTP endpoint on this machine to which the API server
	// posts a TokenReview (authentication.k8s.io/v1) for each bearer token that is
	// no service account's, and which answers with the user and groups, or with
	// authenticated: false. On EKS that is aws-iam-authenticator, which maps the
	// AWS principal behind a k8s-aws-v1 token by the cluster's access entries.
	// "" means that no such token is accepted. Answers are cached for two minutes,
	// the API server's default.
	AuthenticatorURL string
	// Log receives what is worth telling: a leftover cleaned up, a port that was
	// taken. nil discards it.
	Log *slog.Logger
}

// ControlPlane is a running control plane. Its methods may be called concurrently.
type ControlPlane struct {
	cfg    Config
	pki    *pki
	client *http.Client // the administrator's
	ports  ports
	lock   *os.File

	mu         sync.Mutex
	components map[string]*process.Process // as of now, by name
	stopping   bool
	err        error

	done     chan struct{}      // closed when a component has died or all have stopped
	end      context.CancelFunc // of what follows the cluster
	stopOnce sync.Once
	stopErr  error
}

// Start brings a control plane up and returns when it serves: the API server and
// the scheduler are ready and the controllers work (the namespace default has its
// service account). That takes three to four seconds on two cores.
//
// ctx bounds its whole life: when ctx ends, the control plane stops as by Stop.
//
// An error leaves nothing running. It is an [*InUseError] if Dir is taken, and
// wraps a [*process.ExitError] with the component's name and its log's tail if a
// component died; the logs stay in Dir.
func Start(ctx context.Context, cfg Config) (*ControlPlane, error) {
	return start(ctx, cfg, func(n int) ([]int, error) { return process.FreePorts("127.0.0.1", n) })
}

// start is Start with the source of ports to choose, for the tests.
func start(ctx context.Context, cfg Config, takePorts func(n int) ([]int, error)) (*ControlPlane, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, fmt.Errorf("starting a control plane: %w", err)
	}
	if _, err := os.Stat(cfg.Binary); err != nil {
		return nil, fmt.Errorf("starting a control plane: the kube binary: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("starting a control plane: %w", err)
	}
	lock, err := acquire(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cp := &ControlPlane{cfg: cfg, lock: lock, done: make(chan struct{})}
	if err := cp.launch(ctx, takePorts); err != nil {
		return nil, errors.Join(err, cp.removeFiles())
	}
	for _, p := range cp.components {
		go cp.watch(p)
	}
	ctx, cp.end = context.WithCancel(ctx)
	if err := cp.followKinds(ctx); err != nil {
		return nil, errors.Join(err, cp.Stop(context.WithoutCancel(ctx)))
	}
	context.AfterFunc(ctx, func() {
		// Nobody is left to hear the error; Stop has killed what did not obey.
		_ = cp.Stop(context.WithoutCancel(ctx))
	})
	return cp, nil
}

// launch cleans the directory and brings everything up, on other ports if one of
// them was taken between its choice and its use.
func (cp *ControlPlane) launch(ctx context.Context, takePorts func(n int) ([]int, error)) error {
	found, err := clean(cp.cfg.Dir)
	for _, line := range found {
		cp.cfg.Log.Warn(line)
	}
	if err != nil {
		return err
	}
	if cp.pki, err = newPKI(); err != nil {
		return err
	}
	if cp.client, err = cp.pki.newClient(); err != nil {
		return err
	}
	if err := cp.pki.write(cp.path(pkiDir)); err != nil {
		return fmt.Errorf("writing the cluster's certificates: %w", err)
	}
	const attempts = 5
	for attempt := 1; ; attempt++ {
		p, err := takePorts(6)
		if err != nil {
			return fmt.Errorf("finding free ports on 127.0.0.1: %w", err)
		}
		cp.ports = ports{etcdClient: p[0], etcdPeer: p[1], apiserver: p[2], manager: p[3], collector: p[4], scheduler: p[5]}
		cp.components = map[string]*process.Process{}
		if err = cp.writeKubeconfigs(); err == nil {
			err = cp.bringUp(ctx)
		}
		if err == nil {
			return nil
		}
		if stopErr := cp.stopComponents(); stopErr != nil {
			cp.cfg.Log.Warn(stopErr.Error())
		}
		var exit *process.ExitError
		taken := errors.As(err, &exit) && strings.Contains(process.Tail(exit.Log, 0, 200), "address already in use")
		if !taken || attempt == attempts {
			return fmt.Errorf("starting a control plane in %s: %w", cp.cfg.Dir, err)
		}
		cp.cfg.Log.Info("a port was taken by another program meanwhile; starting again on others", "component", exit.Name)
		for _, name := range []string{logsDir, dataDir} {
			if err := os.RemoveAll(cp.path(name)); err != nil {
				return fmt.Errorf("starting a control plane in %s again: %w", cp.cfg.Dir, err)
			}
		}
	}
}

// bringUp starts the components in their order and waits for each.
func (cp *ControlPlane) bringUp(ctx context.Context) error {
	if err := cp.run(etcd); err != nil {
		return err
	}
	// The API server tries etcd at once and then only every second.
	if err := cp.await(ctx, etcd, cp.etcdListens); err != nil {
		return err
	}
	if err := cp.run(apiserver); err != nil {
		return err
	}
	if err := cp.await(ctx, apiserver, cp.apiserverReady); err != nil {
		return err
	}
	for _, name := range []string{manager, collector, scheduler} {
		if err := cp.run(name); err != nil {
			return err
		}
	}
	if err := cp.await(ctx, scheduler, cp.schedulerReady); err != nil {
		return err
	}
	return cp.await(ctx, manager, cp.controllersWork)
}

// run starts one component and records it for a later run.
func (cp *ControlPlane) run(name string) error {
	p, err := process.Start(cp.component(name))
	if err != nil {
		return err
	}
	cp.components[name] = p
	owner, err := process.Self()
	if err != nil {
		return err
	}
	r := record{Owner: owner, Components: map[string]process.ID{}}
	for name, p := range cp.components {
		r.Components[name] = p.ID()
	}
	if err := r.write(cp.cfg.Dir); err != nil {
		return fmt.Errorf("recording that %s runs: %w", name, err)
	}
	return nil
}

// watch waits for a component's end and reports it unless it was wanted.
func (cp *ControlPlane) watch(p *process.Process) {
	<-p.Done()
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.stopping || cp.err != nil || cp.components[p.Name()] != p {
		return
	}
	cp.err = fmt.Errorf("the control plane in %s failed: %w", cp.cfg.Dir, p.Err())
	close(cp.done)
}

// Done is closed when the control plane no longer works: a component has died, or
// it was stopped. Err tells which.
func (cp *ControlPlane) Done() <-chan struct{} { return cp.done }

// Err is nil while the control plane runs and after it was stopped. When a
// component has died of itself it names it and ends with the last lines of its
// log; it wraps a [*process.ExitError].
func (cp *ControlPlane) Err() error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	return cp.err
}

// Stop ends the control plane in order and returns when no process of it is left:
// the controllers, then the API server, then etcd, each waited for, because an API
// server without its etcd hangs. ctx is how long they may take to end by
// themselves, ten seconds each at most; what does not is killed, and the error
// says so. Of the directory only the logs remain. Further calls wait for the first
// and return its error.
func (cp *ControlPlane) Stop(ctx context.Context) error {
	cp.stopOnce.Do(func() {
		cp.mu.Lock()
		cp.stopping = true
		cp.end()
		failed := cp.err != nil
		cp.mu.Unlock()
		killer := context.AfterFunc(ctx, cp.kill)
		defer killer()
		cp.stopErr = cp.stopComponents()
		if err := cp.removeFiles(); err != nil {
			cp.stopErr = errors.Join(cp.stopErr, err)
		}
		if !failed {
			close(cp.done)
		}
	})
	return cp.stopErr
}

// stopComponents stops what runs, in the reverse order of its start.
func (cp *ControlPlane) stopComponents() error {
	const grace = 30 * time.Second // they end within a second; on a busy machine 10 were too few
	var errs []error
	for _, group := range [][]string{{scheduler, manager, collector}, {apiserver}, {etcd}} {
		results := make(chan error)
		running := 0
		for _, name := range group {
			if p := cp.components[name]; p != nil {
				running++
				go func() { results <- p.Stop(grace) }()
			}
		}
		for range running {
			errs = append(errs, <-results)
		}
	}
	return errors.Join(errs...)
}

// kill ends every component at once.
func (cp *ControlPlane) kill() {
	for _, p := range cp.components {
		// The only failure is that the process is gone or not ours to kill;
		// stopComponents waits for it and reports.
		_ = p.Signal(9)
	}
}

// removeFiles leaves only the logs and the lock file, and gives the lock back. The
// file stays because a lock on a deleted file would exclude nobody.
func (cp *ControlPlane) removeFiles() error {
	defer giveBack(cp.lock)
	var errs []error
	for _, name := range ownFiles {
		if name != logsDir {
			errs = append(errs, os.RemoveAll(cp.path(name)))
		}
	}
	return errors.Join(errs...)
}

// Endpoint is the API server's URL, https://127.0.0.1:PORT.
func (cp *ControlPlane) Endpoint() string { return local(cp.ports.apiserver) }

// CA is the PEM of the certificate authority that signed the API server's
// certificate.
func (cp *ControlPlane) CA() []byte { return slices.Clone(cp.pki.ca.pem) }

// Kubeconfig is the path of a kubeconfig with the administrator's credentials
// (group system:masters), readable by the user alone. It is gone after Stop.
func (cp *ControlPlane) Kubeconfig() string { return cp.path(adminKubeconfig) }

// LogFile is the path of a component's log; the components are etcd,
// kube-apiserver, kube-controller-manager, garbage-collector and kube-scheduler.
func (cp *ControlPlane) LogFile(component string) string { return cp.path(logsDir, component+".log") }

// RESTConfig is the administrator's access as client-go takes it, a new copy at
// each call, without a client-side rate limit.
func (cp *ControlPlane) RESTConfig() *rest.Config {
	return &rest.Config{
		Host: cp.Endpoint(),
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   cp.CA(),
			CertData: slices.Clone(cp.pki.admin.cert),
			KeyData:  slices.Clone(cp.pki.admin.key),
		},
		QPS: -1,
	}
}
