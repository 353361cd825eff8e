package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/provider/aws"
	"eks-gpu-slicing/rehearsal/provider/kubernetes"
	"eks-gpu-slicing/rehearsal/toolcache"
)

// target is what a command rehearses.
type target struct {
	stack  string
	config []string
	world  string
}

func (t *target) addFlags(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVarP(&t.stack, "stack", "s", "dev", "`STACK` to rehearse, with the settings of its Pulumi.STACK.yaml")
	cmd.Flags().StringArrayVarP(&t.config, "config", "c", nil, "set `KEY=VALUE` in the stack's config for this run; lists and objects as JSON")
	var names []string
	for _, w := range account.Worlds() {
		names = append(names, w.Name)
	}
	cmd.Flags().StringVarP(&t.world, "world", "w", names[0], "kind of AWS account to rehearse in, one of the `WORLD`s above")
	complete := func(cmd *cobra.Command, flag string, values func() []string) {
		// It fails for a flag that does not exist alone.
		_ = cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return values(), cobra.ShellCompDirectiveNoFileComp
		})
	}
	complete(cmd, "world", func() []string { return names })
	complete(cmd, "stack", func() []string {
		checkout, err := findCheckout(*dir)
		if err != nil {
			return nil
		}
		stacks, _ := engine.Stacks(checkout)
		return stacks
	})
}

// worlds lists the worlds for a command's help.
func worlds() string {
	var text strings.Builder
	text.WriteString("Worlds, the kinds of AWS account to choose from:\n")
	for _, w := range account.Worlds() {
		fmt.Fprintf(&text, "  %-15s %s\n", w.Name, w.Description)
	}
	return text.String()
}

// rehearsal is a target made ready to run.
type rehearsal struct {
	options engine.Options
	// real and simulated name what the result was made with.
	real, simulated string
	// note is something the user may want to know, "" for nothing.
	note string
}

// prepare checks what the user asked for, and finds or builds what it takes.
func (t *target) prepare(ctx context.Context, dir string) (*rehearsal, error) {
	checkout, err := findCheckout(dir)
	if err != nil {
		return nil, usage(err)
	}
	var overrides []engine.Override
	for _, text := range t.config {
		o, err := engine.ParseOverride(text)
		if err != nil {
			return nil, usage(err)
		}
		overrides = append(overrides, o)
	}
	project, err := engine.LoadProject(checkout, t.stack, overrides)
	if err != nil {
		return nil, usage(err)
	}
	providers, err := t.providers(project)
	if err != nil {
		return nil, usage(err)
	}
	r, err := build(ctx, checkout)
	if err != nil {
		return nil, &failure{statusFailed, err}
	}
	r.options.Project, r.options.Providers = project, providers
	r.simulated = fmt.Sprintf("the AWS account (world %s) and everything in it", t.world)
	return r, nil
}

// build finds or builds the tools. The quickest one to fail comes first.
func build(ctx context.Context, checkout string) (*rehearsal, error) {
	cache, err := toolcache.Open(os.Stderr)
	if err != nil {
		return nil, err
	}
	eks, err := cache.EKSComponent(ctx, checkout)
	if err != nil {
		return nil, err
	}
	cli, err := cache.Pulumi(ctx, checkout)
	if err != nil {
		return nil, err
	}
	program, err := cache.Binary(ctx, checkout, toolcache.Program())
	if err != nil {
		return nil, err
	}
	r := &rehearsal{
		options: engine.Options{
			CLI: cli.Path, Program: program,
			Component: &engine.Component{Package: "eks", Command: eks.Command},
		},
		real: fmt.Sprintf("this program, Pulumi %s, pulumi-eks %s", cli.Version, eks.Version),
	}
	if cli.OnPath {
		r.real += "; Pulumi is the one on PATH"
	}
	if eks.Official {
		r.real += "; pulumi-eks is the official plugin"
	}
	if cli.Passed != "" {
		r.note = fmt.Sprintf("%s: Pulumi %s is used instead", cli.Passed, cli.Version)
	}
	return r, nil
}

// anyRegion is where the account is when the stack names no region. The
// program, or the engine, says what is missing then, before it asks for one.
const anyRegion = "us-west-2"

// providers makes the stand-ins, over one account of the world.
func (t *target) providers(project *engine.Project) (map[string]func() plugin.Provider, error) {
	a, err := account.New(account.Options{Region: cmp.Or(project.Config("aws:region"), anyRegion), World: t.world})
	if err != nil {
		return nil, err
	}
	return map[string]func() plugin.Provider{
		"aws":        aws.New(a),
		"kubernetes": func() plugin.Provider { return kubernetes.New(nil) },
	}, nil
}

// explain adds the next step to an error of the file system's.
func explain(err error) error {
	var path *fs.PathError
	if !errors.As(err, &path) || path.Op == "fork/exec" {
		return err
	}
	elsewhere := ""
	if strings.HasPrefix(path.Path, os.TempDir()) {
		elsewhere = "; TMPDIR may name another folder"
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: free some space on the disk of %s%s", err, path.Path, elsewhere)
	case elsewhere != "" && path.Path == os.TempDir() && errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: set TMPDIR to a folder that exists", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: you must be able to write there%s", err, elsewhere)
	}
	return err
}
