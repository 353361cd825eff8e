package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// On a terminal there are colours, and none where NO_COLOR is set.
func TestColours(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	colour := regexp.MustCompile(`\x1b\[[0-9;]*[1-9][0-9;]*m`)
	for _, set := range []string{"", "NO_COLOR=1"} {
		ours, theirs := terminal(t)
		cmd := exec.CommandContext(t.Context(), self, "-C", checkout, "preview")
		for _, v := range os.Environ() {
			if !strings.HasPrefix(v, "NO_COLOR=") {
				cmd.Env = append(cmd.Env, v)
			}
		}
		cmd.Env = append(cmd.Env, commandEnv+"=1", "TERM=screen-256color", set) // an xterm would be asked for its background, and wait for the answer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := errors.Join(cmd.Start(), theirs.Close()); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(ours) // EIO is how a terminal's end reads
		if err != nil && !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil || !strings.Contains(string(text), "to create") {
			t.Fatalf("%v\n%s", err, text)
		}
		if colour.Match(text) != (set == "") {
			t.Errorf("with %q it prints, in colours or not:\n%q", set, text)
		}
	}
}

// terminal is a new one of 100 columns, and the end of it that a program is at.
func terminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminal can be had here:", err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	fd := int(ours.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err := errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0),
		unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100})); err != nil {
		t.Fatal(err)
	}
	if theirs, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}
