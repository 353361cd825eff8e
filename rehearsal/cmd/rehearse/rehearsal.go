package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/folder"
	"eks-gpu-slicing/rehearsal/planning"
	"eks-gpu-slicing/rehearsal/request"
	"eks-gpu-slicing/rehearsal/toolcache"
)

// target is what a command rehearses.
type target struct {
	stack   string
	config  []string
	world   string
	verbose bool
}

func (t *target) addVerbose(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVarP(&t.verbose, "verbose", "v", false, what)
}

// addFlags adds the flags of what is rehearsed, and of the account to do it in.
func (t *target) addFlags(cmd *cobra.Command, dir *string) {
	t.addStackFlags(cmd, dir)
	names := worldNames()
	cmd.Flags().StringVarP(&t.world, "world", "w", names[0], "kind of AWS account to rehearse in, one of the `WORLD`s above")
	complete(cmd, "world", func() []string { return names })
}

// complete has the shell complete a flag's value.
func complete(cmd *cobra.Command, flag string, values func() []string) {
	// It fails for a flag that does not exist alone.
	_ = cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values(), cobra.ShellCompDirectiveNoFileComp
	})
}

func (t *target) addStackFlags(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVarP(&t.stack, "stack", "s", "dev", "the `STACK`, with the settings of its Pulumi.STACK.yaml")
	cmd.Flags().StringArrayVarP(&t.config, "config", "c", nil, "set `KEY=VALUE` in the stack's config for this run; lists and objects as JSON")
	complete(cmd, "stack", func() []string {
		checkout, err := findCheckout(*dir)
		if err != nil {
			return nil
		}
		stacks, _ := engine.Stacks(checkout)
		return stacks
	})
}

func worldNames() []string {
	var names []string
	for _, w := range account.Worlds() {
		names = append(names, w.Name)
	}
	return names
}

// worlds lists the worlds for a command's help.
func worlds() string {
	var text strings.Builder
	text.WriteString("Worlds, the kinds of AWS account to choose from:\n")
	width := 0
	for _, name := range worldNames() {
		width = max(width, len(name))
	}
	for _, w := range account.Worlds() {
		fmt.Fprintf(&text, "  %-*s  %s\n", width, w.Name, w.Description)
	}
	return text.String()
}

// asked is a target that has been checked.
type asked struct {
	checkout string
	project  *engine.Project
}

// find finds the stack that the user asked for.
func (t *target) find(dir string) (a asked, err error) {
	if a.checkout, err = findCheckout(dir); err != nil {
		return a, usage(err)
	}
	if a.project, err = engine.LoadProject(a.checkout, t.stack, t.config); err != nil {
		return a, usage(err)
	}
	return a, nil
}

// check looks at what the user asked for, before anything is built or started.
func (t *target) check(dir string) (a asked, err error) {
	if a, err = t.find(dir); err != nil {
		return a, err
	}
	if !slices.Contains(worldNames(), t.world) {
		return a, usage(fmt.Errorf("--world %q is none of %s", t.world, strings.Join(worldNames(), ", ")))
	}
	return a, nil
}

// rehearsal is a target made ready for a preview.
type rehearsal struct {
	asked
	account *account.Account
	tools   toolcache.Set
}

// prepare checks what the user asked for, and finds or builds what a preview takes.
func (t *target) prepare(ctx context.Context, dir string) (*rehearsal, error) {
	a, err := t.check(dir)
	if err != nil {
		return nil, err
	}
	in, err := planning.Account(a.project, t.world)
	if err != nil {
		return nil, usage(err)
	}
	cache, err := toolcache.Open(os.Stderr)
	if err != nil {
		return nil, &failure{request.StatusFailed, err}
	}
	tools, err := cache.PreviewSet(ctx, a.checkout)
	if err != nil {
		return nil, &failure{request.StatusFailed, err}
	}
	return &rehearsal{asked: a, account: in, tools: tools}, nil
}

// start starts an engine in a folder of its own; end ends it and removes that.
func (r *rehearsal) start(ctx context.Context, s streams) (e *engine.Engine, end func(), err error) {
	if err := folder.Sweep(s.err); err != nil {
		return nil, nil, &failure{request.StatusFailed, explain(err)}
	}
	home, err := folder.New(folder.About{Checkout: r.checkout, Stack: r.project.Stack})
	if err != nil {
		return nil, nil, &failure{request.StatusFailed, explain(err)}
	}
	e, err = planning.Start(ctx, planning.Options{
		Checkout: r.checkout, Project: r.project, Account: r.account, Tools: r.tools, Dir: home.Dir,
	})
	if err != nil {
		return nil, nil, &failure{request.StatusFailed, errors.Join(explain(err), home.Remove())}
	}
	return e, func() {
		e.Close()
		_ = home.Remove() // the next command sweeps what may be left
	}, nil
}

// writable looks at once whether a file can be written that is written after the
// work; "" is none.
func writable(flag, file string) error {
	if file == "" {
		return nil
	}
	folder := filepath.Dir(file)
	if _, err := os.Stat(folder); err != nil {
		return fmt.Errorf("%s %s: %w: make the folder, or name another", flag, file, err)
	}
	switch info, err := os.Stat(file); {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s %s is a folder: name a file in it", flag, file)
	case err == nil:
		folder = file
	}
	if err := unix.Access(folder, unix.W_OK); err != nil {
		return fmt.Errorf("%s %s: %w", flag, file, explain(&fs.PathError{Op: "open", Path: folder, Err: err}))
	}
	return nil
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
