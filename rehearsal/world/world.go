// Package world is a whole rehearsed world: one simulated AWS account behind an
// HTTP endpoint, a real Kubernetes control plane that is the EKS cluster made in it,
// node agents that turn the account's instances into its nodes, and the real
// Karpenter controller wherever one of its pods runs.
//
// It composes what the packages account, controlplane, kubelet and their
// neighbours do, and knows nothing of Pulumi's engine: Providers is what an engine
// is given.
//
// Gotchas:
//
//   - There is one control plane, started before there is a cluster. The first
//     cluster made in the account, or the one that stands in it, is given it; a second
//     one of another name is refused, and one made again after its deletion finds the
//     objects of the first.
//   - The pods of EKS add-ons take their room on nodes and do nothing else: Pod
//     Identity and the network work without them. The copies of some that EKS puts
//     into a new cluster by itself are left out.
//   - Every listener is on 127.0.0.1, on a free port.
package world

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"k8s.io/client-go/rest"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/wire"
	"eks-gpu-slicing/rehearsal/controlplane"
	"eks-gpu-slicing/rehearsal/kubelet"
	"eks-gpu-slicing/rehearsal/kubelet/nvidia"
	"eks-gpu-slicing/rehearsal/kubelet/program"
	"eks-gpu-slicing/rehearsal/provider/aws"
	"eks-gpu-slicing/rehearsal/provider/kubernetes"
	"eks-gpu-slicing/rehearsal/provider/kubernetes/live"
	"eks-gpu-slicing/rehearsal/toolcache"
)

// Options say what a world is made of. All but Log and Observe are required.
type Options struct {
	// Region is the account's, such as us-west-1; Kind is one of [account.Worlds],
	// "" for the plain one.
	Region, Kind string
	// Dir is the world's own directory. Of its contents only logs are left.
	Dir string
	// Kube is the executable of the control plane.
	Kube string
	// Karpenter are the releases that can be installed; the first is what others have
	// in a cluster that stands, too.
	Karpenter []toolcache.Release
	// AWS is an executable that, called as one, does what [GetToken] says.
	AWS string
	// Delays are the nodes', PluginDelay that of NVIDIA's device plugin.
	Delays      kubelet.Delays
	PluginDelay time.Duration
	// Observe is told what happens on nodes; see [kubelet.Config]. nil ignores it.
	Observe func(kubelet.Event)
	// Log receives what the components have to tell, and each call to AWS that changes
	// something or is denied; nil discards it.
	Log *slog.Logger
}

// World is a running world. Its methods may be called concurrently.
type World struct {
	options Options
	account *account.Account
	wire    *wire.Handler
	plane   *controlplane.ControlPlane
	nodes   *kubelet.Kubelet
	// endpoint is the AWS endpoint's URL, local that of what answers on nodes and
	// for the API server.
	endpoint, local string
	user            account.Credentials
	serving         serving

	mu sync.Mutex
	// cluster is the one that has the control plane; "" before there is one.
	cluster string
	// instances are the IDs of the instances by their nodes' names.
	instances map[string]string
	// found is how a cluster that stands, and the account, were found; nil where none
	// stands.
	found *things

	stop context.CancelFunc
	wg   sync.WaitGroup
	down sync.Once
	err  error
}

// serving is what the hook of the account hands out: it is set once, before there
// is anybody who could ask.
type serving struct {
	endpoint string
	ca       []byte
}

// Start brings a world up: the control plane serves, and the account holds nothing, or
// a cluster that stands and works. ctx
// bounds its life; [World.Stop] must be called all the same. After an error nothing
// is left running.
func Start(ctx context.Context, o Options) (_ *World, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &World{options: o, instances: map[string]string{}}
	w.account, err = account.New(account.Options{
		Region: o.Region, World: o.Kind, ControlPlane: w.claim,
		Addons: &addons{region: o.Region, access: w.RESTConfig, patience: addonPatience},
		Nodes:  &drainer{access: w.RESTConfig, patience: drainPatience},
	})
	if err != nil {
		return nil, err
	}
	w.wire = wire.New(wire.Options{Account: w.account, Keys: w.keys, Log: o.Log})
	w.user = w.account.UserCredentials()
	ctx, w.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if w.endpoint, err = w.serve(ctx, w.wire); err != nil {
		return nil, err
	}
	if w.local, err = w.serve(ctx, w.localHandler()); err != nil {
		return nil, err
	}
	w.plane, err = controlplane.Start(ctx, controlplane.Config{
		Dir: filepath.Join(o.Dir, "controlplane"), Binary: o.Kube, AuthenticatorURL: w.local + authenticatorPath, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	w.serving = serving{w.plane.Endpoint(), w.plane.CA()}
	karpenter := controllers{}
	for _, r := range o.Karpenter {
		karpenter[r.Version] = program.New(program.Config{
			Binary: r.Controller, APIServer: w.plane.Endpoint(), CA: w.plane.CA(), AWS: w.podAccess,
		})
	}
	w.nodes, err = kubelet.Start(ctx, kubelet.Config{
		RESTConfig: w.plane.RESTConfig(), NodeToken: w.nodeToken,
		Images: map[string]kubelet.Image{
			controllerRepository: karpenter,
			nvidia.Repository:    nvidia.Plugin{Delay: o.PluginDelay},
		},
		Dir: filepath.Join(o.Dir, "nodes"), Delays: o.Delays, Observe: o.Observe, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	w.wg.Go(func() { w.boot(ctx) })
	if err := w.stand(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// serve answers on a free loopback port until ctx ends and returns the URL.
func (w *World) serve(ctx context.Context, h http.Handler) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("an endpoint of the simulated account: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	w.wg.Go(func() { _ = server.Serve(l) }) // it ends with Close alone
	w.wg.Go(func() {
		<-ctx.Done()
		_ = server.Close() // nobody is left to answer
	})
	return "http://" + l.Addr().String(), nil
}

// claim gives the control plane to the account's cluster.
func (w *World) claim(cluster, _ string) (string, []byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cluster != "" && w.cluster != cluster {
		return "", nil, fmt.Errorf("a rehearsal has one control plane, and cluster %s has it: rehearse cluster %s in a world of its own", w.cluster, cluster)
	}
	w.cluster = cluster
	return w.serving.endpoint, w.serving.ca, nil
}

// Cluster is the name of the cluster that has the control plane, "" before there is
// one.
func (w *World) Cluster() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cluster
}

// Account is the account's state, Wire what was called over HTTP.
func (w *World) Account() *account.Account { return w.account }

// Wire is the account's HTTP side, with the record of the calls that were made.
func (w *World) Wire() *wire.Handler { return w.wire }

// Kubeconfig is the path of an administrator's kubeconfig, which lasts as long as
// the world.
func (w *World) Kubeconfig() string { return w.plane.Kubeconfig() }

// Environment is what gives kubectl and the AWS CLI access to the world, as NAME=VALUE:
// the administrator's kubeconfig, and the credentials of the user who brought the
// stack up.
func (w *World) Environment() []string {
	return []string{
		"KUBECONFIG=" + w.Kubeconfig(),
		"AWS_ENDPOINT_URL=" + w.endpoint, "AWS_REGION=" + w.options.Region,
		"AWS_ACCESS_KEY_ID=" + w.user.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + w.user.SecretAccessKey,
	}
}

// RESTConfig is the administrator's access to the cluster.
func (w *World) RESTConfig() *rest.Config { return w.plane.RESTConfig() }

// Done is closed when a component of the control plane has died; Err then says
// which, with the tail of its log.
func (w *World) Done() <-chan struct{} { return w.plane.Done() }

// Err is why Done is closed; nil while it is not.
func (w *World) Err() error { return w.plane.Err() }

// Logs is the folder of what pods that are real programs have printed.
func (w *World) Logs() string { return filepath.Join(w.options.Dir, "nodes", "logs") }

// Providers are the Pulumi providers that work on this world, by package.
func (w *World) Providers() map[string]func() plugin.Provider {
	connect := w.connector(live.Connector(charts(w.options.Karpenter)))
	return map[string]func() plugin.Provider{
		"aws":        aws.New(w.account),
		"kubernetes": func() plugin.Provider { return kubernetes.New(connect) },
	}
}

// Stop ends everything and returns when no process of the world is left. ctx is how
// long that may take; what does not end by itself then is killed. Further calls
// return the first one's error.
func (w *World) Stop(ctx context.Context) error {
	w.down.Do(func() {
		var errs []error
		if w.nodes != nil {
			errs = append(errs, w.nodes.Stop(ctx))
		}
		if w.plane != nil {
			errs = append(errs, w.plane.Stop(ctx))
		}
		w.stop()
		w.wg.Wait()
		// Only logs stay.
		errs = append(errs, os.RemoveAll(filepath.Join(w.options.Dir, "nodes", "pods")))
		w.err = errors.Join(errs...)
	})
	return w.err
}

// keys are the public keys that the cluster's API server signs service account
// tokens with.
func (w *World) keys(ctx context.Context, cluster string) ([]byte, error) {
	if have := w.Cluster(); cluster != have {
		return nil, fmt.Errorf("cluster %s has no control plane; the one there is belongs to %s", cluster, strconv.Quote(have))
	}
	config := w.plane.RESTConfig()
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.plane.Endpoint()+"/openid/v1/jwks", nil)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET /openid/v1/jwks: %s", resp.Status)
	}
	return readAll(resp.Body)
}
