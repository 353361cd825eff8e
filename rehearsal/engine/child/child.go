// Package child runs programs that end before the rehearsal does: the Pulumi
// CLI, the program under it, go and npm.
//
// Every child leads a process group of its own, is interrupted with all of it
// when its context ends, and killed when it does not heed that. Whatever a
// child leaves behind in its group goes when it goes.
//
// Gotchas:
//
//   - A group of its own does not get the terminal's Ctrl-C: whoever starts a
//     child ends its context on one, or hands it the terminal ([Foreground]).
//   - On Linux the kernel kills a child when this process dies, however it does.
//     That is tied to the thread which started it (golang.org/issue/27505), so
//     each child has a thread kept for it alone.
package child

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Child is a started command.
type Child struct {
	cmd    *exec.Cmd
	done   chan struct{}
	status int
	err    error
}

// SignalError says which signal ended a child.
type SignalError struct{ Signal syscall.Signal }

// Error names the signal as the system does.
func (e *SignalError) Error() string { return "it was ended by the signal " + e.Signal.String() }

// Command is a command with env for its whole environment. When ctx ends, its
// process group is interrupted, and what is left of it after grace is killed.
// Start it with [Start].
func Command(ctx context.Context, grace time.Duration, env []string, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append([]string{}, env...) // nil would inherit ours
	cmd.SysProcAttr = groupAttr()
	cmd.Cancel = func() error { return signalGroup(cmd, syscall.SIGINT) }
	cmd.WaitDelay = grace
	return cmd
}

// Run starts a command of [Command] and waits for it. Beside the errors of
// [Start] and [Child.Wait] it returns an [*exec.ExitError] for a status that is
// not 0.
func Run(cmd *exec.Cmd) error {
	c, err := Start(cmd)
	if err != nil {
		return err
	}
	if status, err := c.Wait(); err != nil || status == 0 {
		return err
	}
	return &exec.ExitError{ProcessState: cmd.ProcessState}
}

// Start starts a command of [Command]. Whoever starts a child waits for it.
func Start(cmd *exec.Cmd) (*Child, error) {
	c := &Child{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: see the package's gotchas
		err := cmd.Start()
		started <- err
		if err == nil {
			c.finish(cmd.Wait())
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Child) finish(err error) {
	defer close(c.done)
	c.status = c.cmd.ProcessState.ExitCode()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		c.err = err
	} else if ws, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		c.err = &SignalError{ws.Signal()}
	}
	if kill := signalGroup(c.cmd, syscall.SIGKILL); kill != nil && !errors.Is(kill, os.ErrProcessDone) {
		c.err = errors.Join(c.err, kill)
	}
}

// Done is closed when the child is gone, and its group with it.
func (c *Child) Done() <-chan struct{} { return c.done }

// Wait returns the exit status when the child is gone. The status is -1 and the
// error a [*SignalError] if a signal ended it; other errors are about its output,
// or the end of its context.
func (c *Child) Wait() (status int, err error) {
	<-c.done
	return c.status, c.err
}

func signalGroup(cmd *exec.Cmd, sig syscall.Signal) error {
	err := syscall.Kill(-cmd.Process.Pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// Foreground gives a command that is not started yet the terminal in, as its
// input and as the terminal's foreground group: a child in the background would
// be stopped as soon as it touched the terminal. It does nothing when in is nil,
// no terminal, or not ours to give. The function it returns is called when the
// child is gone; it takes the terminal back and leaves it as it was.
func Foreground(cmd *exec.Cmd, in *os.File) (takeBack func()) {
	if in == nil {
		return func() {}
	}
	fd := int(in.Fd())
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	if err != nil || group != unix.Getpgrp() {
		return func() {}
	}
	state, err := term.GetState(fd)
	if err != nil {
		return func() {}
	}
	cmd.Stdin = in
	cmd.SysProcAttr.Foreground = true
	cmd.SysProcAttr.Ctty = fd
	return func() {
		// From the background, which is where we are now, taking the terminal
		// raises a signal that would stop us.
		signal.Ignore(syscall.SIGTTOU)
		defer signal.Reset(syscall.SIGTTOU)
		_ = unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, unix.Getpgrp()) // a terminal that hung up
		_ = term.Restore(fd, state)                                     // has nothing to restore
	}
}
