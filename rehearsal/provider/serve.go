package provider

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"google.golang.org/grpc"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// maxMessageBytes is the message size the engine itself uses
// (maxRPCMessageSize in pulumi/sdk/v3/go/common/util/rpcutil); gRPC's default
// of 4 MiB is smaller than a large chart's manifests.
const maxMessageBytes = 400 << 20

// Server answers for one package on one loopback port.
type Server struct {
	listener net.Listener
	make     func() plugin.Provider

	mu     sync.Mutex
	conns  map[*grpc.Server]struct{}
	closed bool
	wg     sync.WaitGroup
}

// Serve listens on a free port of 127.0.0.1 and answers every connection with
// a provider of its own, made by newProvider and closed with the connection.
// It stops when ctx ends or Close is called, whichever comes first.
func Serve(ctx context.Context, newProvider func() plugin.Provider) (*Server, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serving a provider on loopback: %w", err)
	}
	s := &Server{listener: l, make: newProvider, conns: map[*grpc.Server]struct{}{}}
	stop := context.AfterFunc(ctx, s.shutdown)
	s.wg.Go(func() {
		defer stop()
		s.accept()
	})
	return s, nil
}

// Port is the TCP port the server listens on.
func (s *Server) Port() int {
	if a, ok := s.listener.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// Close ends every connection, calls in flight included, and waits until all
// of the server's goroutines are gone. A second call does nothing.
func (s *Server) Close() {
	s.shutdown()
	s.wg.Wait()
}

func (s *Server) shutdown() {
	s.mu.Lock()
	s.closed = true
	conns := make([]*grpc.Server, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	_ = s.listener.Close() // the accept loop ends on it; there is nobody else to tell
	for _, c := range conns {
		c.Stop()
	}
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed: the listener has no other lasting error on loopback
		}
		if !s.serveConn(conn) {
			_ = conn.Close() // it was never served
			return
		}
	}
}

// serveConn answers one connection in the background. It is false once the
// server is shut down.
func (s *Server) serveConn(conn net.Conn) bool {
	p := s.make()
	srv := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxSendMsgSize(maxMessageBytes))
	pulumirpc.RegisterResourceProviderServer(srv, plugin.NewProviderServer(p))

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[srv] = struct{}{}
	s.wg.Go(func() {
		only := newOneConn(conn)
		_ = srv.Serve(only) // it returns when the connection is closed, by either side
		srv.Stop()
		_ = p.Close() // nobody is left who could be told
		s.mu.Lock()
		delete(s.conns, srv)
		s.mu.Unlock()
	})
	return true
}

// oneConn is a listener that yields one connection and ends with it.
type oneConn struct {
	addr net.Addr
	next chan net.Conn
	done chan struct{}
	once sync.Once
}

func newOneConn(conn net.Conn) *oneConn {
	l := &oneConn{addr: conn.LocalAddr(), next: make(chan net.Conn, 1), done: make(chan struct{})}
	l.next <- &closingConn{Conn: conn, onClose: func() { _ = l.Close() }}
	return l
}

// Accept yields the connection, and io.EOF once it is closed.
func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.next:
		return c, nil
	default:
	}
	<-l.done
	return nil, io.EOF
}

// Close lets Accept end.
func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is the address the connection came in on.
func (l *oneConn) Addr() net.Addr { return l.addr }

type closingConn struct {
	net.Conn
	onClose func()
}

// Close closes the connection and says so.
func (c *closingConn) Close() error {
	c.onClose()
	return c.Conn.Close()
}
