package toolcache

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/build"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sourceHash covers the code of one module that goes into a package: the
// package's own files and those of the module's packages it imports, as far as
// they count on this platform, and what they embed. Tests do not count.
func sourceHash(dir, module, pkg string) (string, error) {
	h := sha256.New()
	todo, seen := []string{pkg}, map[string]bool{pkg: true}
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		p, err := build.ImportDir(filepath.Join(dir, strings.TrimPrefix(path, module)), 0)
		if err != nil {
			return "", fmt.Errorf("reading package %s: %w", path, err)
		}
		files, err := filesOf(p)
		if err != nil {
			return "", fmt.Errorf("reading package %s: %w", path, err)
		}
		for _, f := range files {
			if err := hashFile(h, path, p.Dir, f); err != nil {
				return "", err
			}
		}
		for _, i := range p.Imports { // sorted
			if !seen[i] && strings.HasPrefix(i, module+"/") {
				seen[i] = true
				todo = append(todo, i)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// filesOf lists the files a package is compiled from, relative to it.
func filesOf(p *build.Package) ([]string, error) {
	files := slices.Concat(p.GoFiles, p.CgoFiles, p.CFiles, p.CXXFiles, p.HFiles, p.SFiles, p.SysoFiles)
	for _, pattern := range p.EmbedPatterns {
		embedded, err := embeddedFiles(p.Dir, pattern)
		if err != nil {
			return nil, fmt.Errorf("go:embed %s: %w", pattern, err)
		}
		files = append(files, embedded...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// embeddedFiles are those that a go:embed pattern may name. It counts hidden
// files too, of which the compiler takes some: too many cost a build, too few
// would give a stale one.
func embeddedFiles(dir, pattern string) ([]string, error) {
	matches, err := filepath.Glob(filepath.Join(dir, strings.TrimPrefix(pattern, "all:")))
	if err != nil {
		return nil, err
	}
	var files []string
	for _, m := range matches {
		err := filepath.WalkDir(m, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(dir, path)
			files = append(files, rel)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

func hashFile(h io.Writer, pkg, dir, name string) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(h, "%s\n%s\n%d\n", pkg, filepath.ToSlash(name), info.Size()); err != nil {
		return err
	}
	_, err = io.Copy(h, f)
	return err
}
