package toolcache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// Cache is a folder of built tools. Several processes may use one at a time.
type Cache struct {
	dir      string
	progress *progress
}

// Open uses the folder eks-gpu-slicing in the user's cache folder
// (XDG_CACHE_HOME, or ~/.cache) and shows on progress what is being built. The
// folder is created by the first build.
func Open(progress *os.File) (*Cache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("where to keep built tools: %w; set HOME, or XDG_CACHE_HOME to a folder you may write", err)
	}
	return At(filepath.Join(dir, "eks-gpu-slicing"), progress), nil
}

// At uses the folder dir.
func At(dir string, progress *os.File) *Cache {
	return &Cache{dir: dir, progress: newProgress(progress)}
}

// Dir is the cache's folder.
func (c *Cache) Dir() string { return c.dir }

// Clear removes everything.
func (c *Cache) Clear() error {
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("emptying the tools' cache: %w", err)
	}
	return nil
}

// Entries are kept until there are newer ones and they have not been used for
// a while.
const (
	keepNewest = 3
	// An entry that was looked up this short a time ago may be about to be run.
	keepRecent = time.Hour
	keepUnused = 30 * 24 * time.Hour
)

// shelf is the part of the cache that holds the entries of one name.
type shelf struct {
	cache *Cache
	name  string
	dir   string
}

func (c *Cache) shelf(name string) *shelf {
	return &shelf{cache: c, name: name, dir: filepath.Join(c.dir, name)}
}

func (s *shelf) entry(key string) string { return filepath.Join(s.dir, key) }
func (s *shelf) alias(key string) string { return filepath.Join(s.dir, "alias-"+key) }

// find returns the entry that the cheap key has been an alias for, "" for none.
func (s *shelf) find(cheap string) string {
	exact, err := os.ReadFile(s.alias(cheap))
	if err != nil {
		return ""
	}
	return s.use(string(exact))
}

// use returns the entry of the exact key, "" if there is none, and notes that
// it has been used.
func (s *shelf) use(exact string) string {
	dir := s.entry(exact)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	now := time.Now()
	_ = os.Chtimes(dir, now, now) // a read-only cache does not age
	return dir
}

// get returns the folder of an entry, which fill fills if it is missing. The
// exact key is asked for only if the cheap one is new.
func (s *shelf) get(
	ctx context.Context, cheap string, exact func(context.Context) (string, error), fill func(ctx context.Context, dir string) error,
) (string, error) {
	if dir := s.find(cheap); dir != "" {
		return dir, nil
	}
	dir, err := s.make(ctx, cheap, exact, fill)
	return dir, s.explain(err)
}

func (s *shelf) make(
	ctx context.Context, cheap string, exact func(context.Context) (string, error), fill func(ctx context.Context, dir string) error,
) (string, error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	if dir := s.find(cheap); dir != "" { // another process was faster
		return dir, nil
	}
	key, err := exact(ctx)
	if err != nil {
		return "", err
	}
	dir := s.use(key)
	if dir == "" {
		if dir, err = s.fill(ctx, key, fill); err != nil {
			return "", err
		}
	}
	if err := writeFile(s.alias(cheap), key); err != nil {
		return "", err
	}
	return dir, s.prune(key)
}

func (s *shelf) fill(ctx context.Context, key string, fill func(ctx context.Context, dir string) error) (string, error) {
	tmp, err := os.MkdirTemp(s.dir, "new-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // the next prune tries again
	if err := fill(ctx, tmp); err != nil {
		return "", err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	return s.entry(key), os.Rename(tmp, s.entry(key))
}

// lock keeps other processes from filling the shelf.
func (s *shelf) lock(ctx context.Context) (unlock func(), err error) {
	type lock struct {
		unlock func()
		err    error
	}
	got := make(chan lock, 1)
	go func() {
		unlock, err := lockedfile.MutexAt(filepath.Join(s.dir, "lock")).Lock()
		got <- lock{unlock, err}
	}()
	waiting := time.NewTimer(time.Second)
	defer waiting.Stop()
	for {
		select {
		case l := <-got:
			return l.unlock, l.err
		case <-waiting.C:
			s.cache.progress.note("waiting for another process that is building " + s.name)
		case <-ctx.Done():
			go func() {
				if l := <-got; l.err == nil {
					l.unlock()
				}
			}()
			return nil, context.Cause(ctx)
		}
	}
}

// prune removes what a build that died left behind and old entries, with the
// aliases that nothing is left for. The caller holds the lock.
func (s *shelf) prune(current string) error {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	type entry struct {
		key  string
		used time.Time
	}
	var entries []entry
	var errs []error
	for _, f := range files {
		info, err := f.Info()
		switch {
		case err != nil:
		case strings.HasPrefix(f.Name(), "new-"):
			errs = append(errs, os.RemoveAll(s.entry(f.Name())))
		case f.IsDir() && f.Name() != current:
			entries = append(entries, entry{f.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(b.used.UnixNano(), a.used.UnixNano()) })
	for i, e := range entries {
		age := time.Since(e.used)
		if age > keepUnused || i+1 >= keepNewest && age > keepRecent { // the current one is the newest
			errs = append(errs, os.RemoveAll(s.entry(e.key)))
		}
	}
	for _, f := range files {
		if cheap, ok := strings.CutPrefix(f.Name(), "alias-"); ok && s.orphan(cheap) {
			errs = append(errs, os.Remove(s.alias(cheap)))
		}
	}
	return errors.Join(errs...)
}

func (s *shelf) orphan(cheap string) bool {
	exact, err := os.ReadFile(s.alias(cheap))
	if err != nil {
		return false
	}
	_, err = os.Stat(s.entry(string(exact)))
	return errors.Is(err, fs.ErrNotExist)
}

// explain adds the next step to an error of the file system's.
func (s *shelf) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w; the disk is full: free some space (the tools take 1 GB in %s, Go's build cache takes more), or set XDG_CACHE_HOME and GOCACHE to folders on another disk",
			err, s.cache.dir)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; set XDG_CACHE_HOME to a folder you may write", err)
	}
	return err
}

// writeFile writes a small file in one step.
func writeFile(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "new-")
	if err != nil {
		return err
	}
	_, errWrite := f.WriteString(text)
	if err := errors.Join(errWrite, f.Chmod(0o644), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

// keyOf is a key over parts, of which none can be taken for two.
func keyOf(parts ...string) string {
	h := sha256.New() // which never fails
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d\n%s\n", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}
