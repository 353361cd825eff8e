package program

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probe runs the container's HTTP probes until ctx ends: readiness decides whether
// it is ready, liveness whether it is to be restarted, and neither runs while a
// startup probe has not succeeded. What is waited for, the first success of startup
// and readiness, is looked for every Config.ProbePeriod; all else keeps its time.
func (r *runner) probe(ctx context.Context, unhealthy chan<- error) {
	var (
		spec      = r.c.Spec
		begun     = time.Now()
		startup   = trial{probe: httpOnly(spec.StartupProbe)}
		readiness = trial{probe: httpOnly(spec.ReadinessProbe)}
		liveness  = trial{probe: httpOnly(spec.LivenessProbe)}
	)
	if spec.ReadinessProbe != nil && readiness.probe == nil {
		r.c.SetReady(true) // a probe that cannot be run here
	}
	if liveness.probe != nil {
		// It is there so that a slow start is not taken for a death.
		liveness.due = begun.Add(seconds(liveness.probe.InitialDelaySeconds))
	}
	started := startup.probe == nil
	ticker := time.NewTicker(r.cfg.ProbePeriod)
	defer ticker.Stop()
	for {
		now := time.Now()
		if !started {
			err := r.get(ctx, startup.probe)
			started = err == nil
			if err != nil && ctx.Err() == nil && now.Sub(begun) >= time.Duration(startup.probe.FailureThreshold)*seconds(startup.probe.PeriodSeconds) {
				unhealthy <- fmt.Errorf("its startup probe failed: %w", err)
				return
			}
		}
		if started {
			if ok, err := readiness.run(ctx, r, now); ok || err != nil {
				r.c.SetReady(ok)
			}
			if _, err := liveness.run(ctx, r, now); err != nil {
				unhealthy <- fmt.Errorf("its liveness probe failed: %w", err)
				return
			}
		}
		if readiness.successes == 0 {
			readiness.due = now // not ready yet: do not wait for its period
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// httpOnly drops a probe of another kind.
func httpOnly(p *corev1.Probe) *corev1.Probe {
	if p == nil || p.HTTPGet == nil {
		return nil
	}
	return p
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// trial is a probe with its successes and failures in a row.
type trial struct {
	probe               *corev1.Probe // nil: none
	successes, failures int32
	due                 time.Time
}

// run runs the probe if it is due. ok says that it has succeeded often enough in a
// row, an error that it has failed too often; neither leaves things as they are.
func (t *trial) run(ctx context.Context, r *runner, now time.Time) (ok bool, err error) {
	if t.probe == nil || now.Before(t.due) {
		return false, nil
	}
	t.due = now.Add(seconds(t.probe.PeriodSeconds))
	if err = r.get(ctx, t.probe); err == nil {
		t.successes, t.failures = t.successes+1, 0
		return t.successes >= t.probe.SuccessThreshold, nil
	}
	t.successes, t.failures = 0, t.failures+1
	if ctx.Err() == nil && t.failures >= t.probe.FailureThreshold {
		return false, err
	}
	return false, nil
}

// get makes a probe's request; any status from 200 to 399 is a success
// (pkg/probe/http).
func (r *runner) get(ctx context.Context, p *corev1.Probe) error {
	port, err := r.port(p.HTTPGet.Port)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.TimeoutSeconds)*time.Second)
	defer cancel()
	url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + p.HTTPGet.Path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 10<<10)); err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("%s answers %s", p.HTTPGet.Path, resp.Status)
	}
	return nil
}

// port finds the real port that a probe means by name or number.
func (r *runner) port(of intstr.IntOrString) (int, error) {
	for _, p := range r.c.Spec.Ports {
		if of.Type == intstr.String && p.Name == of.StrVal || of.Type == intstr.Int && p.ContainerPort == of.IntVal {
			return r.ports[p.ContainerPort], nil
		}
	}
	return 0, fmt.Errorf("the container has no port %s", of.String())
}
