package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"eks-gpu-slicing/rehearsal/controlplane/process"
)

// recordFile holds who runs in a directory, for a later run that finds it after a
// crash. Beside it lies a lock that its owner holds for as long as it lives: the
// kernel gives the lock back however the owner ends.
const (
	recordFile = "running.json"
	lockFile   = "lock"
)

// ownFiles is all that a control plane makes in its directory, beside its lock.
var ownFiles = [...]string{
	recordFile, dataDir, logsDir, pkiDir,
	adminKubeconfig, managerKubeconfig, schedulerKubeconfig, authenticatorKubeconfig,
}

// record is the content of recordFile.
type record struct {
	// Owner is the process that called Start.
	Owner process.ID `json:"owner"`
	// Components are the processes it started, by name.
	Components map[string]process.ID `json:"components"`
}

// InUseError says that a directory belongs to a control plane that runs.
type InUseError struct {
	// Dir is the directory, Owner the process that started the control plane; 0
	// when it has not said so yet.
	Dir   string
	Owner int
}

// Error names the directory and the process to end.
func (e *InUseError) Error() string {
	if e.Owner == 0 {
		return fmt.Sprintf("a control plane is being started in %s at this moment; choose another directory or wait", e.Dir)
	}
	return fmt.Sprintf("a control plane runs in %s, started by process %d; stop it (kill %d) or choose another directory",
		e.Dir, e.Owner, e.Owner)
}

// Clean removes what a run left in dir: it kills components that outlived a crash
// and deletes the files that Start made. It reports each process it killed, one
// line each. Files of others are not touched.
//
// The error is an [*InUseError] if the control plane in dir is no leftover.
func Clean(dir string) ([]string, error) {
	lock, err := acquire(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer giveBack(lock)
	return clean(dir)
}

// giveBack gives a lock back. Closing the file alone would leave it held by a process
// that another goroutine starts at this moment: it has a copy of the file until it execs.
func giveBack(lock *os.File) {
	// Neither fails for a file that is open.
	_ = syscall.Flock(int(lock.Fd()), syscall.LOCK_UN)
	_ = lock.Close()
}

// acquire takes the lock of dir, which must exist.
func acquire(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return lock, nil
	}
	_ = lock.Close()
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	inUse := &InUseError{Dir: dir}
	if r, err := readRecord(dir); err == nil && r.Owner.Alive() {
		inUse.Owner = r.Owner.PID
	}
	return nil, inUse
}

// clean does the work of Clean for whoever holds the lock.
func clean(dir string) ([]string, error) {
	r, err := readRecord(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range []string{scheduler, collector, manager, apiserver, etcd} {
		id, ok := r.Components[name]
		if !ok {
			continue
		}
		killed, err := id.Kill()
		if err != nil {
			return found, fmt.Errorf("cleaning up %s after a crash: %s: %w", dir, name, err)
		}
		if killed {
			found = append(found, fmt.Sprintf("killed %s (pid %d), left over from a crash", name, id.PID))
		}
	}
	for _, name := range ownFiles {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return found, fmt.Errorf("cleaning up %s: %w", dir, err)
		}
	}
	return found, nil
}

// readRecord reads dir's record; without one, nothing is known to run there.
func readRecord(dir string) (record, error) {
	var r record
	b, err := os.ReadFile(filepath.Join(dir, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, fmt.Errorf("%s is damaged (%w); delete %s and start again", filepath.Join(dir, recordFile), err, dir)
	}
	return r, nil
}

// write replaces the record in dir in one step, so that no reader sees half of it.
func (r record) write(dir string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, recordFile+".new")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, recordFile))
}
