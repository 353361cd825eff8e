package folder

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// statusTrailer tells how taking down has ended: "0" for well, or "1".
const statusTrailer = "Status"

// Served is a standing rehearsal that can be asked to go.
type Served struct {
	server   *http.Server
	listener net.Listener
	down     func(out io.Writer) error
	once     sync.Once
}

// Serve listens in the folder for who wants the rehearsal taken down, and has down
// do it, once: what that writes is shown there, and its error makes the other end
// with status 1.
func Serve(ctx context.Context, f *Folder, down func(out io.Writer) error) (*Served, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", f.Socket())
	if err != nil {
		return nil, fmt.Errorf("listening for `rehearse down`: %w; TMPDIR may name a folder of a shorter path", err)
	}
	s := &Served{listener: l, down: down}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(l) }() // it ends with Close alone
	return s, nil
}

// Close lets who has asked hear the end, and stops listening.
func (s *Served) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return s.server.Shutdown(ctx)
}

// ServeHTTP takes the rehearsal down.
func (s *Served) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	first := false
	s.once.Do(func() { first = true })
	if !first {
		http.Error(w, "it is being taken down already", http.StatusConflict)
		return
	}
	w.Header().Set("Trailer", statusTrailer)
	status := 0
	if err := s.down(flusher{w, http.NewResponseController(w)}); err != nil {
		status = 1
	}
	w.Header().Set(statusTrailer, strconv.Itoa(status))
}

// flusher sends on what it is written, at once.
type flusher struct {
	io.Writer
	controller *http.ResponseController
}

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	return n, errors.Join(err, f.controller.Flush())
}

// ErrShort says that the rehearsal was taken down, and that a step of it fell short.
var ErrShort = errors.New("taking it down fell short")

// Down has a standing rehearsal taken down, and copies what is shown of it to out.
// The error is [ErrShort] if a step fell short, which out then tells of.
func Down(ctx context.Context, s Standing, out io.Writer) error {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", s.Socket)
	}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://rehearsal/down", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("asking process %d to take stack %s down: %w", s.PID, s.Stack, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		said, _ := bufio.NewReader(response.Body).ReadString('\n') // what there is of it
		return fmt.Errorf("process %d does not take stack %s down: %s", s.PID, s.Stack, said)
	}
	if _, err := io.Copy(out, response.Body); err != nil {
		return fmt.Errorf("process %d broke off while it took stack %s down: %w", s.PID, s.Stack, err)
	}
	if response.Trailer.Get(statusTrailer) != "0" {
		return ErrShort
	}
	return nil
}
