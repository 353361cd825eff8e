package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ID names one process for good: a number alone is given to another process
// sooner or later, a number with the time of its start is not.
type ID struct {
	// PID is the process number.
	PID int `json:"pid"`
	// Start is when it started, in clock ticks after the machine did (field 22 of
	// /proc/PID/stat, proc_pid_stat(5)).
	Start uint64 `json:"start"`
}

// Self identifies the calling process.
func Self() (ID, error) { return identify(os.Getpid()) }

// Alive reports whether that very process still runs; a zombie does not.
func (id ID) Alive() bool {
	state, start, err := stat(id.PID)
	return err == nil && start == id.Start && state != "Z" && state != "X"
}

// Kill ends the process at once, if it still runs, and waits until it is gone. It
// need not be a child of ours. It reports whether there was anything to kill.
func (id ID) Kill() (bool, error) {
	if !id.Alive() {
		return false, nil
	}
	if err := syscall.Kill(id.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return false, fmt.Errorf("killing process %d: %w", id.PID, err)
	}
	for deadline := time.Now().Add(5 * time.Second); id.Alive(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false, fmt.Errorf("process %d is still there 5s after it was killed", id.PID)
		}
	}
	return true, nil
}

func identify(pid int) (ID, error) {
	_, start, err := stat(pid)
	return ID{PID: pid, Start: start}, err
}

// stat reads a process's state and start time.
func stat(pid int) (state string, start uint64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, fmt.Errorf("identifying process %d: %w", pid, err)
	}
	// The second field is the program's name in parentheses and may hold blanks
	// and parentheses itself; the fields after it are plain.
	text := string(b)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const stateField, startField = 3, 22 // counted from 1 in the manual
	if len(fields) <= startField-stateField {
		return "", 0, fmt.Errorf("identifying process %d: /proc/%d/stat is cut short: %q", pid, pid, text)
	}
	start, err = strconv.ParseUint(fields[startField-stateField], 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("identifying process %d: %w", pid, err)
	}
	return fields[0], start, nil
}
