package kubelet

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// KillContainers kills the containers of a pod that have an [Image], as a kernel that is
// out of memory does: they end with status 137, and what becomes of them is their
// restart policy's affair. The error is that no such pod runs.
func (k *Kubelet) KillContainers(pod types.NamespacedName) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.podStates {
		if p.key.NamespacedName == pod {
			p.mu.Lock()
			p.killed = true
			p.mu.Unlock()
			k.wakePod(p.key)
			return nil
		}
	}
	return fmt.Errorf("pod %v runs on no simulated node", pod)
}

// killRuns does what [Kubelet.KillContainers] has asked for, once.
func (p *pod) killRuns() {
	p.mu.Lock()
	due := p.killed
	p.killed = false
	p.mu.Unlock()
	if !due {
		return
	}
	for _, c := range p.containers {
		if !c.running() || c.run == nil {
			continue
		}
		p.mu.Lock()
		c.run.killed = true
		p.mu.Unlock()
		c.run.ask(time.Now())
	}
}

// wasKilled tells whether the run was.
func (r *run) wasKilled() bool {
	r.pod.mu.Lock()
	defer r.pod.mu.Unlock()
	return r.killed
}
