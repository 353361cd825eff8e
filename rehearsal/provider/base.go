package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/blang/semver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// ErrCancelled is the cause of a context of [Base.Context] that ended because
// the engine asked the provider to stop (Ctrl-C).
var ErrCancelled = errors.New("the engine cancelled the operation")

// Base answers the calls in which one stand-in is like the other: handshake,
// plugin information, schema, mappings, cancellation and closing. Calls that
// it does not answer are refused as unimplemented.
type Base struct {
	plugin.UnimplementedProvider

	name    string
	version semver.Version

	cancelled context.Context // ends with SignalCancellation or Close
	cancel    context.CancelCauseFunc

	mu     sync.Mutex
	engine *grpc.ClientConn
}

// NewBase returns the base of a provider of the package name at version.
func NewBase(name string, version semver.Version) *Base {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Base{name: name, version: version, cancelled: ctx, cancel: cancel}
}

// Handshake says that secrets, resource references and outputs are understood
// and keeps the connection that [Base.Log] speaks to the engine on.
func (b *Base) Handshake(
	_ context.Context, r plugin.ProviderHandshakeRequest,
) (*plugin.ProviderHandshakeResponse, error) {
	if err := b.Attach(r.EngineAddress); err != nil {
		return nil, err
	}
	return &plugin.ProviderHandshakeResponse{AcceptSecrets: true, AcceptResources: true, AcceptOutputs: true}, nil
}

// Attach is what an engine calls on a provider it did not start itself, after
// the handshake and with the same address.
func (b *Base) Attach(address string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine != nil || address == "" {
		return nil
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("reaching the engine at %s: %w", address, err)
	}
	b.engine = conn
	return nil
}

// Log shows a message to the user, beside the resource urn ("" for none). A
// message that does not arrive is lost: no operation fails for it.
func (b *Base) Log(ctx context.Context, severity pulumirpc.LogSeverity, urn resource.URN, message string) {
	b.mu.Lock()
	conn := b.engine
	b.mu.Unlock()
	if conn == nil {
		return
	}
	_, _ = pulumirpc.NewEngineClient(conn).Log(ctx,
		&pulumirpc.LogRequest{Severity: severity, Urn: string(urn), Message: message})
}

// Context is ctx that also ends, with the cause [ErrCancelled], when the
// engine cancels the provider. Whoever waits for anything waits under it.
func (b *Base) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.cancelled, func() { cancel(context.Cause(b.cancelled)) })
	return ctx, func() { stop(); cancel(context.Canceled) }
}

// SignalCancellation ends the contexts of [Base.Context].
func (b *Base) SignalCancellation(context.Context) error {
	b.cancel(ErrCancelled)
	return nil
}

// Close ends the contexts of [Base.Context] and the connection to the engine.
func (b *Base) Close() error {
	b.cancel(ErrCancelled)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return nil
	}
	err := b.engine.Close()
	b.engine = nil
	return err
}

// GetPluginInfo gives the version of the real provider that is stood in for.
func (b *Base) GetPluginInfo(context.Context) (plugin.PluginInfo, error) {
	return plugin.PluginInfo{Version: &b.version}, nil
}

// GetSchema gives a schema without resources: the engine reads its name and
// version only, and programs bring their types in their SDK.
func (b *Base) GetSchema(context.Context, plugin.GetSchemaRequest) (plugin.GetSchemaResponse, error) {
	s, err := json.Marshal(map[string]string{"name": b.name, "version": b.version.String()})
	if err != nil {
		return plugin.GetSchemaResponse{}, fmt.Errorf("schema of %s: %w", b.name, err)
	}
	return plugin.GetSchemaResponse{Schema: s}, nil
}

// GetMapping has no mapping to other ecosystems to give.
func (b *Base) GetMapping(context.Context, plugin.GetMappingRequest) (plugin.GetMappingResponse, error) {
	return plugin.GetMappingResponse{}, nil
}

// GetMappings has no mapping to other ecosystems to give.
func (b *Base) GetMappings(context.Context, plugin.GetMappingsRequest) (plugin.GetMappingsResponse, error) {
	return plugin.GetMappingsResponse{}, nil
}

// Unsupported is the error for a resource type or function token that the
// stand-in does not implement. It is never right to accept one silently.
func (b *Base) Unsupported(what, token string) error {
	return fmt.Errorf("the rehearsal's stand-in for pulumi-%s %s does not implement the %s %q; "+
		"run this program against the real provider, or add it under rehearsal/provider/%s",
		b.name, b.version, what, token, b.name)
}

// InitFailed is the error of a Create, Read or Update whose resource exists
// (with this ID, inputs and state) but did not become ready. The engine keeps
// such a resource in its state and retries it on the next update, instead of
// forgetting something that exists.
func InitFailed(id resource.ID, inputs, state resource.PropertyMap, reasons ...string) error {
	opts := plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, KeepResources: true}
	in, err := plugin.MarshalProperties(inputs, opts)
	if err != nil {
		return fmt.Errorf("marshalling the inputs of %s: %w", id, err)
	}
	out, err := plugin.MarshalProperties(state, opts)
	if err != nil {
		return fmt.Errorf("marshalling the state of %s: %w", id, err)
	}
	return rpcerror.WithDetails(
		rpcerror.New(codes.Unknown, fmt.Sprintf("%s exists, but is not as it should be: %s", id, strings.Join(reasons, "; "))),
		&pulumirpc.ErrorResourceInitFailed{Id: string(id), Inputs: in, Properties: out, Reasons: reasons})
}
