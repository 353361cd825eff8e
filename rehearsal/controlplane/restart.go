package controlplane

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"eks-gpu-slicing/rehearsal/controlplane/process"
)

// RestartAPIServer kills the API server, as a crash does, and starts it again after a
// while on the same port and the same data. It returns when it serves. The other
// components run on and are to find it again.
func (cp *ControlPlane) RestartAPIServer(ctx context.Context, away time.Duration) error {
	old, err := cp.takeAPIServer()
	if err != nil {
		return err
	}
	if err := old.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-old.Done()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(away):
	}
	if err := cp.returnAPIServer(); err != nil {
		return fmt.Errorf("starting the API server again: %w", err)
	}
	return cp.await(ctx, apiserver, cp.apiserverReady)
}

// takeAPIServer takes the API server out of the components, so that its end is no
// failure.
func (cp *ControlPlane) takeAPIServer() (*process.Process, error) {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	old := cp.components[apiserver]
	if cp.stopping || cp.err != nil || old == nil {
		return nil, errors.New("restarting the API server: it does not run")
	}
	delete(cp.components, apiserver)
	return old, nil
}

func (cp *ControlPlane) returnAPIServer() error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.stopping {
		return errors.New("the control plane has been stopped")
	}
	if err := cp.run(apiserver); err != nil {
		return err
	}
	go cp.watch(cp.components[apiserver])
	return nil
}
