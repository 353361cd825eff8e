package kubelet

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"eks-gpu-slicing/rehearsal/controlplane/process"
)

// state is where a container stands.
type state int

const (
	waiting state = iota
	active
	ended
)

// container is one container of a pod through all its runs.
type container struct {
	pod           *pod
	spec          *corev1.Container
	init, sidecar bool
	image         Image // nil: simulated

	state     state
	startedAt time.Time
	endedAt   time.Time
	exit      Exit
	tail      string // of the run's log, if it ended by itself
	restarts  int32  // runs after the first
	// last is the end of the run before the present one.
	last *corev1.ContainerStateTerminated
	// notBefore is when an ended container may start again, backoff how long the
	// next wait will be.
	notBefore time.Time
	backoff   time.Duration
	// asked is set once the container was told to end.
	asked bool
	// ends is when a simulated container ends; zero is never.
	ends time.Time
	// run is the present run of a container with an image.
	run *run
}

// run is one run of a container with an image, on a goroutine of its own. The pod's
// mu guards ready and stopBy; exit and logFrom are written before ended is closed.
type run struct {
	pod    *pod
	cancel context.CancelFunc
	ended  chan struct{}
	exit   Exit
	// logFrom is where the run's part of the log begins.
	logFrom int64

	ready  bool
	stopBy time.Time
	killed bool // see [Kubelet.KillContainers]
}

// ask tells the run to end by a given time. An earlier time replaces a later one.
func (r *run) ask(by time.Time) {
	r.pod.mu.Lock()
	if r.stopBy.IsZero() || by.Before(r.stopBy) {
		r.stopBy = by
	}
	r.pod.mu.Unlock()
	r.cancel()
}

func (k *Kubelet) newContainer(p *pod, spec *corev1.Container, init bool) *container {
	return &container{
		pod: p, spec: spec, init: init,
		sidecar: init && podutil.IsRestartableInitContainer(spec),
		image:   k.cfg.Images[repository(spec.Image)],
	}
}

func (c *container) running() bool   { return c.state == active }
func (c *container) succeeded() bool { return c.state == ended && c.exit.Code == 0 }

// ready reports whether the container serves.
func (c *container) ready() bool {
	if c.state != active || c.run == nil {
		return c.state == active
	}
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	return c.run.ready
}

// toBeRestarted tells whether an ended container starts again by the pod's restart
// policy, or its own.
func (c *container) toBeRestarted() bool {
	if c.sidecar {
		return true
	}
	if c.init && c.exit.Code == 0 {
		return false
	}
	return podutil.ContainerShouldRestart(*c.spec, c.pod.object.Spec, c.exit.Code)
}

// start starts the container, unless a volume is missing.
func (c *container) start(ctx context.Context, now time.Time, next *wake) {
	k := c.pod.node.kubelet
	var view *Container
	if c.image != nil {
		var err error
		if view, err = c.prepare(ctx); err != nil {
			c.pod.tellMountFailure(c, err)
			next.in(now.Add(time.Second), now)
			return
		}
	}
	if c.state == ended {
		c.last = c.terminated()
		c.restarts++
	}
	c.state, c.startedAt, c.asked, c.ends, c.run = active, now, false, time.Time{}, nil
	switch {
	case view != nil:
		c.launch(view)
	case c.init && !c.sidecar:
		c.ends = now
	case !c.init && c.pod.object.Spec.RestartPolicy != corev1.RestartPolicyAlways:
		c.ends = now.Add(k.cfg.Delays.Job)
	}
	c.collect(now, next)
}

// prepare sets up what a container with an image sees.
func (c *container) prepare(ctx context.Context) (*Container, error) {
	p := c.pod
	root := filepath.Join(p.dir(), c.spec.Name)
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	if err := p.mount(ctx, c.spec, root); err != nil {
		return nil, err
	}
	p.node.mu.Lock()
	allocatable := p.node.allocatable.DeepCopy()
	p.node.mu.Unlock()
	return &Container{
		Pod: p.object, Spec: c.spec, Hardware: p.node.hardware, Allocatable: allocatable, Root: root, pod: p,
		HostIP: p.node.PrivateIP, PodIP: p.ip,
		LogFile: c.logFile(),
	}, nil
}

// launch runs the container's image on a goroutine of its own.
func (c *container) launch(view *Container) {
	p := c.pod
	ctx, cancel := context.WithCancel(p.node.ctx)
	c.run = &run{pod: p, cancel: cancel, ended: make(chan struct{}), ready: c.spec.ReadinessProbe == nil}
	view.run = c.run
	r, image := c.run, c.image
	p.node.kubelet.running.Go(func() {
		defer cancel()
		r.exit = runImage(ctx, image, view)
		if r.wasKilled() {
			r.exit = Exit{Code: 128 + int32(syscall.SIGKILL)}
		}
		p.node.withdraw(r)
		close(r.ended)
		p.node.kubelet.wakePod(p.key)
	})
}

// runImage opens the container's log and runs it.
func runImage(ctx context.Context, image Image, view *Container) Exit {
	const cannotRun = 128 // as a container runtime says of what it cannot start
	if err := os.MkdirAll(filepath.Dir(view.LogFile), 0o700); err != nil {
		return Exit{Code: cannotRun}
	}
	log, err := os.OpenFile(view.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return Exit{Code: cannotRun}
	}
	defer func() { _ = log.Close() }()
	if view.run.logFrom, err = log.Seek(0, io.SeekEnd); err != nil {
		return Exit{Code: cannotRun}
	}
	view.Log = log
	return image.Run(ctx, view)
}

// collect notes the end of the present run, if it has come.
func (c *container) collect(now time.Time, next *wake) {
	if c.state != active {
		return
	}
	if c.run != nil {
		select {
		case <-c.run.ended:
			c.end(now, c.run.exit)
		default:
		}
		return
	}
	if !c.ends.IsZero() && !next.in(c.ends, now) {
		c.end(c.ends, Exit{})
	}
}

// end notes how a run ended and when the next may begin. The waits double from
// Delays.Restart to thirty times that, as a kubelet's from 10 s to 5 min, and
// start over after a run twice as long as the longest; the first restart is at
// once (MaxContainerBackOff and computePodActions in pkg/kubelet).
func (c *container) end(now time.Time, exit Exit) {
	base := c.pod.node.kubelet.cfg.Delays.Restart
	c.state, c.endedAt, c.exit = ended, now, exit
	if now.Sub(c.startedAt) > 60*base {
		c.backoff = 0
	}
	c.notBefore = now.Add(c.backoff)
	c.backoff = min(max(2*c.backoff, base), 30*base)
	c.tail = ""
	if c.run == nil || c.asked || c.pod.node.ctx.Err() != nil {
		return // it did as it was told, or its instance is gone
	}
	// What a kubelet makes the termination message of under the policy
	// FallbackToLogsOnError.
	c.tail = process.Tail(c.logFile(), c.run.logFrom, 80)
	c.tail = c.tail[max(0, len(c.tail)-2048):]
	c.pod.node.event(Event{
		Kind: ContainerDied, Pod: c.pod.key.NamespacedName, Container: c.spec.Name,
		Message: fmt.Sprintf("exit status %d, run %d; log %s: %s", exit.Code, c.restarts+1, c.logFile(), c.tail),
	})
	if c.toBeRestarted() {
		c.pod.node.kubelet.events.Eventf(c.pod.object, corev1.EventTypeWarning, "BackOff",
			"Back-off restarting failed container %s in pod %s", c.spec.Name, c.pod.key.Name)
	}
}

func (c *container) logFile() string {
	return filepath.Join(c.pod.node.kubelet.cfg.Dir, "logs", strings.Join([]string{c.pod.key.Namespace, c.pod.key.Name, c.spec.Name}, "_")+".log")
}

// stop asks the container to end by a given time. A simulated one runs its preStop
// hook, if that is a sleep, and takes Delays.Stop to end, both within its time.
func (c *container) stop(by, now time.Time, next *wake) {
	if c.asked {
		return
	}
	c.asked = true
	if c.run != nil {
		c.run.ask(by)
		return
	}
	takes := c.pod.node.kubelet.cfg.Delays.Stop
	if l := c.spec.Lifecycle; l != nil && l.PreStop != nil && l.PreStop.Sleep != nil {
		takes += time.Duration(l.PreStop.Sleep.Seconds) * time.Second
	}
	c.ends = now.Add(takes)
	if by.Before(c.ends) {
		c.ends = by
	}
	c.collect(now, next)
}

// tellMountFailure reports, once, that a container waits for a volume.
func (p *pod) tellMountFailure(c *container, err error) {
	if p.mountFailure == err.Error() {
		return
	}
	p.mountFailure = err.Error()
	p.node.kubelet.events.Event(p.object, corev1.EventTypeWarning, "FailedMount", err.Error())
	p.node.event(Event{Kind: MountFailed, Pod: p.key.NamespacedName, Container: c.spec.Name, Message: err.Error()})
}
