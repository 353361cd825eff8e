// Package planning starts an engine that can preview a stack, and no more: over a
// simulated account, without an API server.
package planning

import (
	"cmp"
	"context"
	"path/filepath"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/provider/aws"
	"eks-gpu-slicing/rehearsal/provider/kubernetes"
	"eks-gpu-slicing/rehearsal/toolcache"
)

// anyRegion is where the account is when the stack names no region. The
// program, or the engine, says what is missing then, before it asks for one.
const anyRegion = "us-west-2"

// Account makes the account that a project's stack is planned in, of a kind of
// world, with the cluster that stands in it. The error names the regions, or the
// worlds, that there are.
func Account(project *engine.Project, world string) (*account.Account, error) {
	a, err := account.New(account.Options{Region: cmp.Or(project.Config("aws:region"), anyRegion), World: world})
	if err != nil {
		return nil, err
	}
	_, err = a.Stand()
	return a, err
}

// Options say what to plan.
type Options struct {
	// Checkout is the folder of the project; the policy pack is in it.
	Checkout string
	Project  *engine.Project
	Account  *account.Account
	Tools    toolcache.Set
	// Dir is where to make the engine's work area.
	Dir string
}

// Start starts the engine. Whoever starts it closes it.
func Start(ctx context.Context, o Options) (*engine.Engine, error) {
	reach := connect(o.Account.Standing())
	return engine.Start(ctx, engine.Options{
		CLI: o.Tools.CLI.Path, Program: o.Tools.Program, Project: o.Project, Dir: o.Dir,
		Providers: map[string]func() plugin.Provider{
			"aws":        aws.New(o.Account),
			"kubernetes": func() plugin.Provider { return kubernetes.New(reach) },
		},
		Component:  &engine.Component{Package: "eks", Command: o.Tools.Component.Command},
		PolicyPack: &engine.PolicyPack{Dir: filepath.Join(o.Checkout, "policy"), Program: o.Tools.Policies},
	})
}
