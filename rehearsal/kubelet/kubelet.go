// Package kubelet is the node agents of a rehearsal: every EC2 instance that is
// handed to it becomes a node of a real cluster and runs the pods bound to it, all
// in one process, thousands of them.
//
// What the cluster sees of a node is what it would see of one of an EKS AMI: it
// registers under its own AWS identity with the labels and taints of its user
// data, computes what pods can have of it as the AMI does, keeps its Lease and its
// Ready condition, admits or refuses pods by the very code of Kubernetes, reports
// their progress, honours grace periods and restart policies. What runs in a pod is
// decided by its image: an [Image] registered for it, such as Karpenter's real
// controller (package program) or NVIDIA's device plugin (package nvidia), and a
// simulated container otherwise.
//
// Gotchas:
//   - A simulated container is ready at once and ends when it is told to. In a pod
//     whose restartPolicy is not Always it ends by itself, successfully, after
//     Delays.Job: such a pod has work to finish. Its command, probes and hooks are
//     not run, except that a preStop sleep lasts as long as it says.
//   - Every image exists and fits every architecture; every volume is there, except
//     that a container with an [Image] waits for the ConfigMaps it mounts.
//   - Pods have addresses (100.64.0.0/10) but no network behind them.
//   - A node is Ready as soon as it registers, and its cloud provider's part (the
//     taint node.cloudprovider.kubernetes.io/uninitialized, the zone's labels) is
//     done in the same step.
//   - Static pods, in-place resizing, evictions under pressure, graceful node
//     shutdown, preemption by critical pods and active deadlines are left out.
package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// Config says which cluster the nodes are of and how they behave.
type Config struct {
	// RESTConfig is an administrator's access. It serves to watch the cluster;
	// what a node does it does as itself.
	RESTConfig *rest.Config
	// NodeToken gives the bearer token with which an instance proves its AWS role
	// to the API server, as `aws eks get-token` does on the node, and when it
	// expires; a new one at each call, for a refused one stays refused for minutes.
	// An error is tried again.
	NodeToken func(ctx context.Context, instanceID string) (token string, expires time.Time, err error)
	// Images are the images that are not simulated, by their name without tag and
	// digest, such as "public.ecr.aws/karpenter/controller".
	Images map[string]Image
	// Dir is where the files of containers with an Image are kept: pods/ while they
	// live, and logs/NAMESPACE_POD_CONTAINER.log, which stay.
	Dir string
	// Delays are how long things take.
	Delays Delays
	// Observe is told what happens, by many goroutines at once and while locks are
	// held: it must return soon and call nothing of this package. nil ignores it.
	Observe func(Event)
	// Log receives errors that are tried again. nil discards it.
	Log *slog.Logger
}

// Delays are how long things take that take long on AWS. Zero is no delay, except
// for Restart.
type Delays struct {
	// Boot is from AddInstance to the node's registration; 30 to 60 s on AWS.
	Boot time.Duration
	// Pull is from a pod's admission to the start of its containers; seconds for a
	// small image, minutes for one with CUDA in it.
	Pull time.Duration
	// Job is how long a simulated container runs in a pod that is to finish.
	Job time.Duration
	// Stop is how long a simulated container takes to end once it is told to; its
	// grace period bounds it.
	Stop time.Duration
	// Restart is the first back-off of a container that keeps ending; it doubles
	// up to thirty times this. A kubelet begins with 10 s. 0 means one second.
	Restart time.Duration
}

// DefaultDelays are short, so that a rehearsal is: half a second to boot, none to
// pull and to stop, two seconds for a job, one second of first back-off.
func DefaultDelays() Delays {
	return Delays{Boot: 500 * time.Millisecond, Job: 2 * time.Second, Restart: time.Second}
}

// Kubelet is the node agents of one cluster. Its methods may be called
// concurrently.
type Kubelet struct {
	cfg   Config
	types *catalogue.Catalogue

	ctx    context.Context
	cancel context.CancelFunc
	// running are the goroutines to wait for: workers, and containers' runs.
	running sync.WaitGroup

	admin       kubernetes.Interface
	nodeClient  kubernetes.Interface
	leaseClient coordinationv1.CoordinationV1Interface
	nodes       corelisters.NodeLister
	pods        corelisters.PodLister
	podIndex    cache.Indexer
	events      record.EventRecorder

	podQueue   workqueue.TypedRateLimitingInterface[podKey]
	nodeQueue  workqueue.TypedRateLimitingInterface[string]
	leaseQueue workqueue.TypedRateLimitingInterface[string]

	mu        sync.Mutex
	instances map[string]*node // by instance ID
	names     map[string]*node // by node name
	removed   map[string]bool  // names of nodes that were deleted
	podStates map[types.UID]*pod
	lastIP    netip.Addr
	joining   turns
}

// Start connects to the cluster and returns when it has read it. The agents work
// until ctx ends or [Kubelet.Stop] is called.
func Start(ctx context.Context, cfg Config) (*Kubelet, error) {
	if cfg.Observe == nil {
		cfg.Observe = func(Event) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Delays.Restart <= 0 {
		cfg.Delays.Restart = DefaultDelays().Restart
	}
	k := &Kubelet{
		cfg:       cfg,
		instances: map[string]*node{},
		names:     map[string]*node{},
		removed:   map[string]bool{},
		podStates: map[types.UID]*pod{},
		lastIP:    netip.MustParseAddr("100.64.0.0"),
	}
	var err error
	if k.types, err = catalogue.Default(); err != nil {
		return nil, err
	}
	if err := k.connect(); err != nil {
		return nil, fmt.Errorf("connecting the nodes to %s: %w", cfg.RESTConfig.Host, err)
	}
	k.ctx, k.cancel = context.WithCancel(ctx)
	if err := k.watch(); err != nil {
		k.cancel()
		return nil, fmt.Errorf("reading the cluster: %w", err)
	}
	k.work()
	return k, nil
}

// AddInstance lets an instance boot and join the cluster after Delays.Boot. The
// error is that of an instance that never could: an unknown type, a name in use,
// user data its AMI cannot read. Whether the API server lets it join is told as an
// [Event].
func (k *Kubelet) AddInstance(i Instance) error {
	m, err := newMachine(i, k.types)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.instances[i.ID] != nil {
		return fmt.Errorf("instance %s was added before", i.ID)
	}
	if other := k.names[i.PrivateDNSName]; other != nil {
		return fmt.Errorf("instance %s: its private DNS name %s is that of instance %s", i.ID, i.PrivateDNSName, other.ID)
	}
	n := &node{machine: m, kubelet: k, devices: newDevices(), active: map[types.UID]*corev1.Pod{}}
	n.token.fetch = func(ctx context.Context) (string, time.Time, error) { return k.cfg.NodeToken(ctx, i.ID) }
	n.boots = time.Now().Add(k.cfg.Delays.Boot)
	n.ctx, n.cancel = context.WithCancel(k.ctx)
	k.instances[i.ID], k.names[i.PrivateDNSName] = n, n
	delete(k.removed, i.PrivateDNSName)
	k.nodeQueue.Add(n.name())
	return nil
}

// RemoveInstance ends an instance: its containers are killed, its Lease lapses, and
// what the cluster takes a minute or two to do about it is done at once. Its Node
// is deleted (EKS's cloud controller manager, once the node is not Ready), and so
// are the pods bound to it, before or after (pod garbage collection, 40 s after the
// Node is gone).
// An instance that is not there is ignored.
func (k *Kubelet) RemoveInstance(id string) error {
	k.mu.Lock()
	n := k.instances[id]
	if n == nil {
		k.mu.Unlock()
		return nil
	}
	delete(k.instances, id)
	delete(k.names, n.name())
	var pods []*pod
	for _, p := range k.podStates {
		if p.node == n {
			pods = append(pods, p)
		}
	}
	k.mu.Unlock()
	n.cancel()
	k.joining.end(n)
	for _, p := range pods {
		k.wakePod(p.key) // whose worker finds the node gone
	}
	if !n.joined() {
		return nil // if it is about to, it will notice
	}
	return n.remove(k.ctx)
}

// KillKubelet ends the kubelet of an instance that runs on: its Lease lapses, and what
// is asked of its pods is neither done nor told. Pods that are real programs run on.
func (k *Kubelet) KillKubelet(id string) error {
	k.mu.Lock()
	n := k.instances[id]
	k.mu.Unlock()
	if n == nil {
		return fmt.Errorf("no instance %s was added, or it has ended", id)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = true
	return nil
}

// Stop ends all agents and every container they run, and waits for them. The nodes
// stay in the cluster and are soon taken for lost. ctx bounds the wait.
func (k *Kubelet) Stop(ctx context.Context) error {
	k.cancel()
	done := make(chan struct{})
	go func() {
		k.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return os.RemoveAll(filepath.Join(k.cfg.Dir, "pods"))
	case <-ctx.Done():
		return fmt.Errorf("the simulated nodes have containers that do not end: %w", context.Cause(ctx))
	}
}

// nodeNamed finds the agent of a node; nil if it has none.
func (k *Kubelet) nodeNamed(name string) *node {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.names[name]
}

// wasRemoved tells whether the node of that name was deleted, and none came after it.
func (k *Kubelet) wasRemoved(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.removed[name]
}

// pod finds what is known of a pod; nil if nothing is.
func (k *Kubelet) pod(uid types.UID) *pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.podStates[uid]
}

// remember keeps a pod, unless its node has gone meanwhile.
func (k *Kubelet) remember(p *pod) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.names[p.node.name()] != p.node {
		return errors.New("the node has gone")
	}
	k.podStates[p.key.uid] = p
	return nil
}

// forget ends what still runs of a pod and drops it; nil is ignored.
func (k *Kubelet) forget(p *pod) {
	if p == nil {
		return
	}
	p.kill()
	p.node.release(p.key.uid)
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.podStates, p.key.uid)
}

func (k *Kubelet) wakePod(key podKey) { k.podQueue.Add(key) }

// podsOf are the pods bound to a node.
func (k *Kubelet) podsOf(name string) []*corev1.Pod {
	objects, err := k.podIndex.ByIndex(byNode, name)
	if err != nil {
		return nil // the index is there since Start
	}
	var pods []*corev1.Pod
	for _, object := range objects {
		if p, ok := object.(*corev1.Pod); ok {
			pods = append(pods, p)
		}
	}
	return pods
}

// nextIP gives an address that no pod had before: there are four million.
func (k *Kubelet) nextIP() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lastIP = k.lastIP.Next()
	return k.lastIP.String()
}
