package toolcache

import (
	"context"
	"fmt"
)

// Set is what a rehearsal runs, ready to be started. A preview needs no control
// plane: then Kube, Karpenter and Charts are "".
type Set struct {
	CLI       CLI
	Component Component
	// Program and Policies are the paths of the project's own program and of its
	// policy pack.
	Program, Policies string
	// Kube and Karpenter are the paths of the control plane's binary and of
	// Karpenter's controller, Charts the folder of Karpenter's charts.
	Kube, Karpenter, Charts string
}

// PreviewSet finds or builds what a preview runs. The quickest one to fail comes
// first.
func (c *Cache) PreviewSet(ctx context.Context, checkout string) (s Set, err error) {
	if s.Component, err = c.EKSComponent(ctx, checkout); err != nil {
		return s, err
	}
	if s.CLI, err = c.Pulumi(ctx, checkout); err != nil {
		return s, err
	}
	if s.Program, err = c.Binary(ctx, checkout, Program()); err != nil {
		return s, err
	}
	s.Policies, err = c.Binary(ctx, checkout, Policies())
	return s, err
}

// LintSet finds or builds what a preview runs, and Karpenter's charts: what it takes to
// place pods without a cluster.
func (c *Cache) LintSet(ctx context.Context, checkout string) (s Set, err error) {
	charts, err := KarpenterCharts(ctx, checkout)
	if err != nil {
		return s, err
	}
	s, err = c.PreviewSet(ctx, checkout)
	s.Charts = charts
	return s, err
}

// WorldSet finds or builds what a whole rehearsal runs.
func (c *Cache) WorldSet(ctx context.Context, checkout string) (s Set, err error) {
	if s, err = c.LintSet(ctx, checkout); err != nil {
		return s, err
	}
	if s.Kube, err = c.Binary(ctx, checkout, Kube()); err != nil {
		return s, err
	}
	s.Karpenter, err = c.Binary(ctx, checkout, Karpenter())
	return s, err
}

// Real names what of the set is the real thing, for the head of a result, and says
// whose CLI and component they are.
func (s Set) Real() string {
	text := fmt.Sprintf("this program, Pulumi %s, pulumi-eks %s", s.CLI.Version, s.Component.Version)
	if s.CLI.OnPath {
		text += "; Pulumi is the one on PATH"
	}
	if s.Component.Official {
		text += "; pulumi-eks is the official plugin"
	}
	return text
}

// Note is something the user may want to know of the set, "" for nothing.
func (s Set) Note() string {
	if s.CLI.Passed == "" {
		return ""
	}
	return fmt.Sprintf("%s: Pulumi %s is used instead", s.CLI.Passed, s.CLI.Version)
}
