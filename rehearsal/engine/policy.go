package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"eks-gpu-slicing/rehearsal/engine/child"
)

// PolicyPack is a policy pack of the Go runtime. The CLI loads it as ever; only
// that its program is built already, like the project's.
type PolicyPack struct {
	// Dir is the pack's folder, with its PulumiPolicy.yaml. It is read, never
	// written.
	Dir string
	// Program is the pack's program, built.
	Program string
}

// commandsWithPolicies are the CLI's commands that take a policy pack.
var commandsWithPolicies = [...]string{"preview", "up", "watch"}

// arguments are a command's, with the policy pack where there is one and the
// command takes it.
func (e *Engine) arguments(args []string) []string {
	if e.pack == nil || len(args) == 0 || !slices.Contains(commandsWithPolicies[:], args[0]) {
		return args
	}
	return append(slices.Clip(args), "--policy-pack", e.pack.Dir)
}

// usePolicies finds the pack, and shows the CLI that there is a Go language
// plugin. The CLI looks for its file, even where the plugin itself is attached,
// before it hands the plugin a pack; otherwise it wants an analyzer plugin
// (pulumi/pkg/v3/resource/plugin, NewPolicyAnalyzer). The file is never started.
func (e *Engine) usePolicies(pack *PolicyPack) error {
	dir, err := filepath.Abs(pack.Dir)
	if err != nil {
		return fmt.Errorf("the policy pack: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "PulumiPolicy.yaml")); err != nil {
		return fmt.Errorf("the policy pack: %w", err)
	}
	plugin := filepath.Join(e.area.dir("pulumi"), "plugins", "language-go-v0.0.0", "pulumi-language-go")
	err = errors.Join(
		os.MkdirAll(filepath.Dir(plugin), 0o700),
		os.WriteFile(plugin, []byte("#!/bin/sh\necho 'the Go language plugin is attached, and was started' >&2\nexit 1\n"), 0o700),
	)
	if err != nil {
		return fmt.Errorf("the policy pack: %w", err)
	}
	e.pack = &PolicyPack{Dir: dir, Program: pack.Program}
	return nil
}

// RunPlugin runs the policy pack until the engine closes the stream.
func (h *langHost) RunPlugin(r *pulumirpc.RunPluginRequest, to pulumirpc.LanguageRuntime_RunPluginServer) error {
	if dir := r.GetInfo().GetProgramDirectory(); h.pack == nil || dir != h.pack.Dir {
		return status.Errorf(codes.NotFound, "the plugin in %s: none but the policy pack is built", dir)
	}
	closer, out, errs, err := rpcutil.MakeRunPluginStreams(to, false)
	if err != nil {
		return err
	}
	defer func() { _ = closer.Close() }() // pipes of our own; what is in them is written below
	cmd := child.Command(to.Context(), h.grace, r.GetEnv(), h.pack.Program, r.GetArgs()...)
	cmd.Dir = r.GetPwd()
	cmd.Stdout, cmd.Stderr = out, errs
	running, err := child.Start(cmd)
	if err != nil {
		return status.Errorf(codes.Unavailable, "starting the policy pack: %v", err)
	}
	ended, err := running.Wait()
	switch {
	case to.Context().Err() != nil:
		return nil // the engine is done with it
	case err != nil:
		return status.Errorf(codes.Unavailable, "running the policy pack: %v", err)
	}
	return to.Send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Exitcode{Exitcode: int32(ended)}})
}
