package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/workload"
	"eks-gpu-slicing/rehearsal/world"
)

// life is a session with what is asked of it and what has come of it.
type life struct {
	options   Options
	about     report.About
	workloads []workload.Object
	report    *report.Run
	out       io.Writer
	session   *Session
	// risen and placed tell that there may be something of the stack, and of the
	// workloads, to take down.
	risen, placed bool
}

// begin begins a report.
func (l *life) begin() {
	l.report = report.New(l.options.Stack)
	l.report.About = l.about
}

// live starts the session and takes the steps. The error is about what keeps a step
// from being taken; one that fell short is in the report.
func (l *life) live(ctx context.Context, stayUp bool) (err error) {
	l.say("%s", l.report.Origin())
	if note := l.options.Tools.Note(); note != "" {
		l.say("Note: %s.", note)
	}
	begin := time.Now()
	if l.session, err = Start(ctx, l.options); err != nil {
		l.add("world", begin, err)
		return err
	}
	defer func() { err = errors.Join(err, l.session.Close()) }()
	l.add("world", begin, nil)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-l.session.World.Done():
			cancel(l.session.World.Err())
		case <-ctx.Done():
		}
	}()
	if stayUp {
		return l.stand(ctx)
	}
	return l.whole(ctx)
}

// whole is the life of a stack from its first preview to its destruction.
func (l *life) whole(ctx context.Context) error {
	steps := []step{
		{"preview", l.pulumi("preview")},
		{"up", l.up},
		{"preview again", l.pulumi("preview", "--expect-no-changes")},
	}
	if l.session.World.HasKarpenter() {
		// A refresh counts what the stack reads and does not own as changed.
		steps = append(steps, step{"refresh", l.pulumi("refresh", "--yes", "--skip-preview")},
			step{"preview after refresh", l.pulumi("preview", "--expect-no-changes")})
	} else {
		steps = append(steps, step{"refresh", l.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")})
	}
	if err := l.rise(ctx, steps); err != nil {
		return err
	}
	return l.fall(ctx)
}

// step is a step of a stack's life.
type step struct {
	name string
	do   func(context.Context) error
}

// rise takes steps until one falls short, and then places the workloads.
func (l *life) rise(ctx context.Context, steps []step) error {
	if len(l.workloads) > 0 {
		steps = append(steps, step{"workloads", l.place})
	}
	if l.session.World.Stands() {
		steps = append(steps, step{"what others own", l.others})
	}
	for _, s := range steps {
		if !l.report.OK() {
			return nil
		}
		if err := l.take(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// fall takes everything down again, whatever has become of it.
func (l *life) fall(ctx context.Context) error {
	var steps []step
	if l.placed {
		steps = append(steps, step{"delete workloads", func(ctx context.Context) error {
			return l.session.World.DeleteWorkloads(ctx, l.workloads)
		}})
	}
	if l.risen {
		steps = append(steps, step{"destroy", l.pulumi("destroy", "--yes", "--skip-preview")}, step{"leftovers", l.leftovers})
	}
	for _, s := range steps {
		if err := l.take(ctx, s); err != nil {
			return err
		}
	}
	return l.account()
}

// account notes what the account has seen.
func (l *life) account() error {
	l.report.DeniedCalls = l.session.World.Denied()
	return l.launched()
}

// launched notes what Karpenter has launched so far.
func (l *life) launched() error {
	claims, err := l.session.World.Launched()
	if err == nil {
		l.report.NoteLaunched(claims)
	}
	return err
}

// take takes a step. That it fell short is shown and noted; the error is that of an
// interruption or of a component that died.
func (l *life) take(ctx context.Context, s step) error {
	l.say("\n== %s", s.name)
	begin := time.Now()
	err := s.do(ctx)
	l.add(s.name, begin, err)
	if ctx.Err() != nil {
		return context.Cause(ctx) // which is told at the end
	}
	if err != nil {
		l.say("%s fell short: %v", s.name, err)
	}
	return nil
}

func (l *life) pulumi(args ...string) func(context.Context) error {
	return func(ctx context.Context) error { return l.session.Pulumi(ctx, args...) }
}

// up brings the stack up.
func (l *life) up(ctx context.Context) error {
	l.risen = true
	return l.session.Pulumi(ctx, "up", "--yes", "--skip-preview")
}

// place applies the workloads and waits for their pods.
func (l *life) place(ctx context.Context) error {
	l.placed = true
	begin := time.Now()
	tell := nowAndThen(func(what string) { l.say("  waiting: %s", what) })
	note := func(now world.Cluster) {
		l.report.Timeline = append(l.report.Timeline, report.NewMoment(time.Since(begin).Seconds(), now.Nodes))
	}
	cluster, err := l.session.place(ctx, l.workloads, func(what string, now world.Cluster) {
		tell(what, now)
		note(now)
	})
	note(cluster)
	err = errors.Join(err, l.report.AddPrices(cluster.Nodes), l.launched()) // while instances are nodes
	l.report.Nodes, l.report.Pods = append(l.report.Nodes, cluster.Nodes...), append(l.report.Pods, cluster.Pods...)
	if err != nil {
		return err
	}
	short := 0
	for _, p := range cluster.Pods {
		if p.Reason != "" {
			short++
		}
	}
	if short > 0 {
		return fmt.Errorf("%d of %d pods could not be placed", short, len(cluster.Pods))
	}
	return nil
}

// others looks at what the stack does not own in a cluster that was there before it.
func (l *life) others(ctx context.Context) error {
	d, err := l.session.World.Difference(ctx)
	if err == nil && len(d.Changed) > 0 {
		err = fmt.Errorf("the stack has changed what it does not own:\n  %s", strings.Join(d.Changed, "\n  "))
	}
	return err
}

// leftovers looks at what the account still holds, and whether a cluster that was there
// before the stack is as it was found. Nodes that its own Karpenter has launched for
// workloads it takes away by itself, a minute after they are empty.
func (l *life) leftovers(ctx context.Context) error {
	tell := nowAndThen(func(what string) { l.say("  waiting: %s", what) })
	for begin := time.Now(); ; {
		l.report.Leftovers = l.session.World.Leftovers()
		d, err := l.session.World.Difference(ctx)
		if err != nil {
			return err
		}
		var left []string
		for _, r := range l.report.Leftovers {
			left = append(left, r.Type+" "+r.ID+" is left over")
		}
		for _, object := range d.Added {
			left = append(left, object+" is left over")
		}
		left = append(left, d.Changed...)
		switch {
		case len(left) == 0:
			return nil
		case !l.session.World.Stands() || time.Since(begin) > ownNodesTime:
			return fmt.Errorf("not all is as it was found:\n  %s", strings.Join(left, "\n  "))
		}
		tell(strings.Join(left, ", "), world.Cluster{})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// ownNodesTime is how long the Karpenter of a cluster that was there may take to end
// nodes that it no longer needs.
const ownNodesTime = 3 * time.Minute

func (l *life) say(format string, args ...any) {
	_, _ = fmt.Fprintf(l.out, format+"\n", args...) // progress only
}

func (l *life) add(name string, begin time.Time, err error) {
	l.report.Phases = append(l.report.Phases, report.Phase{Name: name, Seconds: time.Since(begin).Seconds(), OK: err == nil})
}
