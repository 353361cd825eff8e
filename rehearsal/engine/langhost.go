package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/pulumi/pulumi/sdk/v3/go/common/constant"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"eks-gpu-slicing/rehearsal/engine/child"
)

// langHost is a Pulumi language host for Go whose program is built already.
// It answers the calls of the protocol (pulumi/language.proto) that running a
// program and a policy pack takes; the others are refused as unimplemented.
type langHost struct {
	pulumirpc.UnimplementedLanguageRuntimeServer

	program string
	pack    *PolicyPack // nil for none
	area    area
	grace   time.Duration
	// ready blocks until the program may start. Its error is the run's.
	ready func(context.Context) error

	mu     sync.Mutex
	engine string // address of the engine that greeted us last
	cancel context.CancelFunc
}

// Handshake is the engine's first call: it says where its own services are.
func (h *langHost) Handshake(
	_ context.Context, r *pulumirpc.LanguageHandshakeRequest,
) (*pulumirpc.LanguageHandshakeResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.engine = r.GetEngineAddress()
	return &pulumirpc.LanguageHandshakeResponse{}, nil
}

// GetPluginInfo has nothing to say: the engine asks for the version alone.
func (h *langHost) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{}, nil
}

// GetRequiredPackages names none: the engine would look for their plugins on
// disk before it runs the program, and ours are attached.
func (h *langHost) GetRequiredPackages(
	context.Context, *pulumirpc.GetRequiredPackagesRequest,
) (*pulumirpc.GetRequiredPackagesResponse, error) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

// Cancel interrupts the program, as the engine asks on Ctrl-C.
func (h *langHost) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cancel != nil {
		h.cancel()
	}
	return &emptypb.Empty{}, nil
}

// Run runs the program once.
func (h *langHost) Run(ctx context.Context, r *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.mu.Lock()
	engine := h.engine
	h.cancel = cancel
	h.mu.Unlock()

	if err := h.ready(ctx); err != nil {
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	}
	conn, err := grpc.NewClient(engine, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("reaching the engine at %s: %w", engine, err)
	}
	defer func() { _ = conn.Close() }() // nothing of ours is in flight on it any more
	env, err := h.programEnv(r, engine)
	if err != nil {
		return nil, err
	}

	cmd := child.Command(ctx, h.grace, env, h.program, r.GetArgs()...)
	cmd.Dir = r.GetInfo().GetProgramDirectory()
	out := &logWriter{ctx: ctx, engine: pulumirpc.NewEngineClient(conn), stream: 1}
	errs := &logWriter{ctx: ctx, engine: out.engine, stream: 2}
	cmd.Stdout, cmd.Stderr = out, errs
	program, err := child.Start(cmd)
	if err != nil {
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("starting the program: %v", err)}, nil
	}
	status, err := program.Wait()
	out.flush()
	errs.flush()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("running the program: %v", err)}, nil
	case status == constant.ExitStatusLoggedError:
		return &pulumirpc.RunResponse{Bail: true}, nil // it has said why itself
	case status != 0:
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("the program ended with exit status %d", status)}, nil
	}
	return &pulumirpc.RunResponse{}, nil
}

// programEnv is how a Go program learns of its run (pulumi/sdk/v3/go/pulumi/run.go).
func (h *langHost) programEnv(r *pulumirpc.RunRequest, engine string) ([]string, error) {
	config, errConfig := json.Marshal(r.GetConfig())
	secrets, errSecrets := json.Marshal(r.GetConfigSecretKeys())
	if err := errors.Join(errConfig, errSecrets); err != nil {
		return nil, fmt.Errorf("handing the program its config: %w", err)
	}
	return h.area.environment(
		pulumi.EnvOrganization+"="+r.GetOrganization(),
		pulumi.EnvProject+"="+r.GetProject(),
		pulumi.EnvPulumiRootDirectory+"="+r.GetInfo().GetRootDirectory(),
		pulumi.EnvStack+"="+r.GetStack(),
		pulumi.EnvConfig+"="+string(config),
		pulumi.EnvConfigSecretKeys+"="+string(secrets),
		pulumi.EnvDryRun+"="+strconv.FormatBool(r.GetDryRun()),
		pulumi.EnvParallel+"="+strconv.FormatInt(int64(r.GetParallel()), 10),
		pulumi.EnvMonitor+"="+r.GetMonitorAddress(),
		pulumi.EnvEngine+"="+engine,
	), nil
}

// logWriter shows a program's output through the engine, line by line. A line
// that does not arrive is lost: no program fails for it.
type logWriter struct {
	ctx    context.Context
	engine pulumirpc.EngineClient
	stream int32 // lines of one stream are shown together
	rest   []byte
}

func (w *logWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	if end := bytes.LastIndexByte(w.rest, '\n') + 1; end > 0 {
		w.log(w.rest[:end])
		w.rest = append(w.rest[:0], w.rest[end:]...)
	}
	return len(p), nil
}

func (w *logWriter) flush() {
	if len(w.rest) > 0 {
		w.log(w.rest)
		w.rest = nil
	}
}

func (w *logWriter) log(text []byte) {
	_, _ = w.engine.Log(w.ctx, &pulumirpc.LogRequest{
		Severity: pulumirpc.LogSeverity_INFO, Message: string(text), StreamId: w.stream,
	})
}
