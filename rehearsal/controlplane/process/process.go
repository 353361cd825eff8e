// Package process runs the long-lived programs of a rehearsal (the control plane's
// components, Karpenter's controllers) as children that cannot outlive it.
//
// A child dies with its parent in every case: stopped in order by [Process.Stop],
// or killed by the kernel (PR_SET_PDEATHSIG) when the parent crashes or is killed.
// It leads a process group of its own, so that Ctrl-C in a terminal reaches only
// the parent, which then stops its children in the order they need. Its output
// goes to a file, whose last lines are part of the error when it dies unasked.
//
// Gotchas: Linux only. The kernel ties the death signal to the THREAD that started
// the child, not to the process, so each child is started and awaited on a thread
// kept for it alone (golang.org/issue/27505). A child that makes children of its
// own would have to pass the signal on; none of ours does.
package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Config says what to run.
type Config struct {
	// Name is what errors call the program, such as "kube-apiserver".
	Name string
	// Path is the executable.
	Path string
	// Args are its arguments, without the name it is called by.
	Args []string
	// Env is its whole environment; nothing is inherited. A nil Env is an empty one.
	Env []string
	// Dir is its working directory; "" means the parent's.
	Dir string
	// Log is the file that receives its output. It is appended to and kept; its
	// folder is created. The mode is 0600, for the output may name secrets.
	Log string
}

// Process is a running or ended child. Its methods may be called concurrently.
type Process struct {
	cfg  Config
	id   ID
	done chan struct{}
	err  error // written before done is closed
}

// Start runs the program. The error is that of starting it: a missing executable
// or an unwritable log. Whoever starts a process waits for [Process.Done] or calls
// [Process.Stop].
func Start(cfg Config) (*Process, error) {
	if err := os.MkdirAll(filepath.Dir(cfg.Log), 0o700); err != nil {
		return nil, fmt.Errorf("starting %s: %w", cfg.Name, err)
	}
	log, err := os.OpenFile(cfg.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", cfg.Name, err)
	}
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		_ = log.Close()
		return nil, fmt.Errorf("starting %s: its log: %w", cfg.Name, err)
	}
	cmd := exec.Command(cfg.Path, cfg.Args...)
	cmd.Env = cfg.Env
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would inherit the parent's
	}
	cmd.Dir = cfg.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	p := &Process{cfg: cfg, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // see the package's gotchas; never unlocked
		defer func() { _ = log.Close() }()
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("starting %s: %w", cfg.Name, err)
			return
		}
		// Between fork and here the child may already have exited; it stays a
		// zombie until Wait, so its identity can still be read.
		id, err := identify(cmd.Process.Pid)
		p.id = id
		started <- err
		err = cmd.Wait()
		if err == nil {
			err = errors.New("exit status 0")
		}
		p.err = &ExitError{Name: cfg.Name, PID: id.PID, Reason: err, Log: cfg.Log, Tail: Tail(cfg.Log, before, tailLines)}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Name is the name given in the Config.
func (p *Process) Name() string { return p.cfg.Name }

// ID identifies the process on this machine, also for a later run.
func (p *Process) ID() ID { return p.id }

// Done is closed when the process has ended and was waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is nil while the process runs, and then an [*ExitError], whatever the reason
// was: a service that ends has failed, unless it was told to.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// ExitCode is the exit status of an ended process as a shell would say it: 128 and
// the signal's number for one that was killed; -1 while it runs.
func (p *Process) ExitCode() int32 {
	var exit *exec.ExitError
	switch err := p.Err(); {
	case err == nil:
		return -1
	case !errors.As(err, &exit):
		return 0
	default:
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int32(status.Signal())
		}
		return int32(exit.ExitCode())
	}
}

// Signal sends a signal to the process; it is no error if it has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := syscall.Kill(p.id.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %v to %s (pid %d): %w", sig, p.cfg.Name, p.id.PID, err)
	}
	return nil
}

// Stop asks the process to end (SIGTERM), waits for at most grace, then kills it,
// and returns when it is gone. The error says that it had to be killed.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return fmt.Errorf("%s (pid %d) did not end within %v of being asked and was killed; its log: %s",
		p.cfg.Name, p.id.PID, grace, p.cfg.Log)
}

// tailLines is how much of its log the error of a dead process carries.
const tailLines = 12

// ExitError says that a process ended, and why as far as its log tells.
type ExitError struct {
	// Name and PID of the process.
	Name string
	PID  int
	// Reason is how it ended: "exit status 1", "signal: killed".
	Reason error
	// Log is the file of its output, Tail the last lines that this process wrote.
	Log  string
	Tail string
}

// Error names the process, how it ended and where its log is, and ends with the
// log's last lines.
func (e *ExitError) Error() string {
	msg := fmt.Sprintf("%s (pid %d) ended: %v; its log %s", e.Name, e.PID, e.Reason, e.Log)
	if e.Tail == "" {
		return msg + " is empty"
	}
	return msg + " ends with:\n    " + strings.ReplaceAll(e.Tail, "\n", "\n    ")
}

// Unwrap gives the reason.
func (e *ExitError) Unwrap() error { return e.Reason }

// Tail returns the last lines of a file, of what follows the first from bytes, at
// most n lines and 16 KiB, without the final line break; "" if it cannot be read.
func Tail(file string, from int64, n int) string {
	const most = 16 << 10
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	from = max(from, info.Size()-most)
	buf := make([]byte, max(0, info.Size()-from))
	read, err := f.ReadAt(buf, from)
	if err != nil && read == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(buf[:read]), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
