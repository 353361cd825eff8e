// Package folder gives every rehearsal a folder of its own for its files, and
// finds the folders of others: those that stand, for `rehearse down`, and those of
// rehearsals that died, which it removes.
//
// A folder is one of os.TempDir. Its owner holds a lock in it for as long as it
// lives, and the kernel gives the lock back however the owner ends: a folder whose
// lock is free is what a crash has left. Processes are not looked for, since those of
// a rehearsal die with it (packages engine/child and controlplane/process).
package folder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	prefix    = "rehearsal-"
	lockName  = "lock"
	aboutName = "about.json"
	// socketName is where the owner of a standing rehearsal listens.
	socketName = "socket"
)

// About says whose folder it is.
type About struct {
	// PID of the owner.
	PID int `json:"pid"`
	// Checkout and Stack that it rehearses.
	Checkout string `json:"checkout"`
	Stack    string `json:"stack"`
}

// Folder is the folder of a rehearsal of this process.
type Folder struct {
	// Dir is its path.
	Dir  string
	lock *os.File
}

// New makes a folder. Its owner calls Remove or Keep.
func New(about About) (_ *Folder, err error) {
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return nil, fmt.Errorf("a folder for the rehearsal: %w", err)
	}
	f := &Folder{Dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("a folder for the rehearsal: %w", err), f.Remove())
		}
	}()
	about.PID = os.Getpid()
	text, err := json.Marshal(about)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, aboutName), text, 0o600); err != nil {
		return nil, err
	}
	// A lock that others can see is one that is held.
	fresh := filepath.Join(dir, lockName+".new")
	if f.lock, err = os.OpenFile(fresh, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	return f, os.Rename(fresh, filepath.Join(dir, lockName))
}

// Socket is the path of the socket on which the owner listens while its rehearsal
// stands.
func (f *Folder) Socket() string { return filepath.Join(f.Dir, socketName) }

// Remove removes the folder with all that is in it.
func (f *Folder) Remove() error {
	err := os.RemoveAll(f.Dir)
	if f.lock != nil {
		err = errors.Join(err, f.lock.Close())
	}
	return err
}

// Keep leaves the folder to the user: it is no crash's, and nobody's.
func (f *Folder) Keep() error {
	var errs []error
	for _, name := range []string{lockName, aboutName} {
		errs = append(errs, os.Remove(filepath.Join(f.Dir, name)))
	}
	return errors.Join(append(errs, f.lock.Close())...)
}

// Standing is a rehearsal that stands.
type Standing struct {
	About
	// Socket is the path on which its owner listens.
	Socket string
}

// Find finds what stands of a checkout's stack; ok is false where nothing does.
func Find(checkout, stack string) (found Standing, ok bool, err error) {
	all, err := List()
	for _, s := range all {
		if s.Checkout == checkout && s.Stack == stack {
			return s, true, err
		}
	}
	return found, false, err
}

// Free returns an error for a user who wants to bring up what stands already.
func Free(checkout, stack string) error {
	found, taken, err := Find(checkout, stack)
	if err != nil || !taken {
		return err
	}
	return fmt.Errorf("stack %s is up already, in process %d: take it down first with: rehearse down --stack %[1]s", stack, found.PID)
}

// List finds the rehearsals of this user that stand.
func List() ([]Standing, error) {
	var all []Standing
	err := each(func(dir string, lock *os.File) error {
		if lock != nil {
			return nil // nobody's
		}
		s := Standing{Socket: filepath.Join(dir, socketName)}
		if _, err := os.Stat(s.Socket); err != nil {
			return nil //nolint:nilerr // one that does not stand, or not yet
		}
		text, err := os.ReadFile(filepath.Join(dir, aboutName))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has just ended
		}
		if err != nil {
			return err
		}
		all = append(all, s)
		return json.Unmarshal(text, &all[len(all)-1].About)
	})
	return all, err
}

// Sweep removes the folders of rehearsals that died and says on out what they were.
func Sweep(out io.Writer) error {
	return each(func(dir string, lock *os.File) error {
		if lock == nil {
			return nil // its owner lives
		}
		var about About
		text, err := os.ReadFile(filepath.Join(dir, aboutName))
		if err == nil {
			err = json.Unmarshal(text, &about)
		}
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "rehearse: a rehearsal of stack %s (process %d) had died; what it left in %s is removed\n", about.Stack, about.PID, dir) // progress only
		return os.RemoveAll(dir)
	})
}

// each looks at all folders of this user. lock is held if the folder is nobody's,
// and nil otherwise.
func each(look func(dir string, lock *os.File) error) error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue // not complete yet, kept, or another user's
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		free := lock
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EWOULDBLOCK):
			free = nil
		case err != nil:
			errs = append(errs, fmt.Errorf("locking %s: %w", dir, err))
			_ = lock.Close()
			continue
		}
		// Closed alone, a lock that is held would stay with a process that is being started
		// just now. Another's is not touched.
		errs = append(errs, look(dir, free), syscall.Flock(int(lock.Fd()), syscall.LOCK_UN), lock.Close())
	}
	return errors.Join(errs...)
}
