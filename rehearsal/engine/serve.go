package engine

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"google.golang.org/grpc"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// listen opens a free port of 127.0.0.1, the only address anything here
// listens on.
func listen(ctx context.Context) (net.Listener, int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, 0, fmt.Errorf("listening on loopback: %w", err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return nil, 0, fmt.Errorf("listening on loopback: %v is no TCP address", l.Addr())
	}
	return l, addr.Port, nil
}

// serveLanguage serves the host until stop, which ends the program it runs.
func serveLanguage(ctx context.Context, h *langHost) (port int, stop func(), err error) {
	l, port, err := listen(ctx)
	if err != nil {
		return 0, nil, err
	}
	const most = 400 << 20 // the engine's own limit: sdk/v3/go/common/util/rpcutil, maxRPCMessageSize
	srv := grpc.NewServer(grpc.MaxRecvMsgSize(most), grpc.MaxSendMsgSize(most), grpc.WaitForHandlers(true))
	pulumirpc.RegisterLanguageRuntimeServer(srv, h)
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) }) // it ends with stop alone
	return port, func() { srv.Stop(); wg.Wait() }, nil
}

// relay passes connections on to an address that is not known yet when the
// relay must already have one itself.
type relay struct {
	port     int
	listener net.Listener
	target   func(context.Context) (address string, err error) // blocks until it is known
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup
}

func newRelay(ctx context.Context, target func(context.Context) (string, error)) (*relay, error) {
	l, port, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	r := &relay{port: port, listener: l, target: target}
	r.ctx, r.stop = context.WithCancel(ctx)
	r.wg.Go(r.accept)
	return r, nil
}

func (r *relay) close() {
	r.stop()
	_ = r.listener.Close() // accept ends with it
	r.wg.Wait()
}

func (r *relay) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.wg.Go(func() {
			defer func() { _ = conn.Close() }()
			address, err := r.target(r.ctx)
			if err != nil {
				return // whoever runs the target reports it
			}
			splice(r.ctx, conn, address)
		})
	}
}

// splice joins conn with a new connection to address until either side ends,
// or ctx does.
func splice(ctx context.Context, conn net.Conn, address string) {
	var d net.Dialer
	far, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return // the near side sees its connection close
	}
	var once sync.Once
	end := func() {
		once.Do(func() {
			_ = far.Close() // both are done with, whatever state they are in
			_ = conn.Close()
		})
	}
	stop := context.AfterFunc(ctx, end)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { defer end(); _, _ = io.Copy(far, conn) })
	wg.Go(func() { defer end(); _, _ = io.Copy(conn, far) })
	wg.Wait()
}
