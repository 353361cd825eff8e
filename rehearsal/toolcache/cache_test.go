package toolcache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// builderEnv makes the test binary one of several processes that build the
// tool of the checkout it names, with the cache in the folder beside it.
const builderEnv = "TOOLCACHE_TEST_CHECKOUT"

func TestMain(m *testing.M) {
	if checkout := os.Getenv(builderEnv); checkout != "" {
		cache := At(filepath.Join(filepath.Dir(checkout), "cache"), os.Stderr)
		path, err := cache.Binary(context.Background(), checkout, hello)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(path)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var hello = Tool{Name: "hello", Title: "the greeting", Module: ".", Package: "example.test/hello/cmd", Estimate: time.Minute}

// writeCheckout writes a module whose command greets with what it embeds and
// what a package of the module says.
func writeCheckout(t *testing.T, dir string) {
	t.Helper()
	for name, text := range map[string]string{
		"go.mod":           "module example.test/hello\n\ngo 1.26\n",
		"cmd/main.go":      "package main\n\nimport (\n\t_ \"embed\"\n\n\t\"example.test/hello/word\"\n)\n\n//go:embed data/*.txt\nvar name string\n\nfunc main() { println(word.Hello, name) }\n",
		"cmd/data/who.txt": "world",
		"cmd/main_test.go": "package main\n",
		"word/word.go":     "package word\n\nconst Hello = \"hello\"\n",
		"word/windows.go":  "//go:build windows\n\npackage word\n\nconst Other = 1\n",
		"unused/unused.go": "package unused\n",
		"README.md":        "read me\n",
	} {
		write(t, filepath.Join(dir, name), text)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// newCache is an empty cache, and a function that tells what progress it has
// shown since it was last asked.
func newCache(t *testing.T) (*Cache, func() string) {
	t.Helper()
	shown, err := os.Create(filepath.Join(t.TempDir(), "progress"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = shown.Close() })
	read := 0
	return At(filepath.Join(t.TempDir(), "cache"), shown), func() string {
		all, err := os.ReadFile(shown.Name())
		if err != nil {
			t.Fatal(err)
		}
		news := string(all[read:])
		read = len(all)
		return news
	}
}

func TestBinaryIsBuiltWhenWhatItIsMadeOfChanges(t *testing.T) {
	t.Parallel()
	cache, progress := newCache(t)
	checkout := filepath.Join(t.TempDir(), "first")
	writeCheckout(t, checkout)
	paths := map[string]string{} // of what each step calls its binary
	for _, step := range []struct {
		name, file, text string
		tool             func(*Tool)
		binary           string // steps that name the same share one
		builds           bool
		says             string
	}{
		{name: "the first time", binary: "first", builds: true, says: "hello world\n"},
		{name: "again", binary: "first"},
		{name: "another test", file: "cmd/main_test.go", text: "package main\n\nvar _ = 1\n", binary: "first"},
		{name: "another text", file: "README.md", text: "other\n", binary: "first"},
		{name: "a package it does not import", file: "unused/unused.go", text: "package unused\n\nvar X = 1\n", binary: "first"},
		{name: "another platform's file", file: "word/windows.go", text: "//go:build windows\n\npackage word\n", binary: "first"},
		{name: "a module file that changes nothing for it", file: "go.mod", text: "module example.test/hello\n\n// why\ngo 1.26\n", binary: "first"},
		{name: "an embedded file", file: "cmd/data/who.txt", text: "moon", binary: "embedded", builds: true, says: "hello moon\n"},
		{name: "an imported package", file: "word/word.go", text: "package word\n\nconst Hello = \"bye\"\n", binary: "imported", builds: true, says: "bye moon\n"},
		{name: "link flags", tool: func(t *Tool) { t.LDFlags = "-X main.name=sun" }, binary: "linked", builds: true},
		{name: "taken back", file: "cmd/data/who.txt", text: "world", binary: "back", builds: true, says: "bye world\n"},
		{name: "all taken back", file: "word/word.go", text: "package word\n\nconst Hello = \"hello\"\n", binary: "first"},
	} {
		if step.file != "" {
			write(t, filepath.Join(checkout, step.file), step.text)
		}
		tool := hello
		if step.tool != nil {
			step.tool(&tool)
		}
		path, err := cache.Binary(t.Context(), checkout, tool)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if shown := progress(); strings.Contains(shown, "building the greeting") != step.builds {
			t.Errorf("%s: built is %v, progress:\n%s", step.name, !step.builds, shown)
		}
		if want, known := paths[step.binary]; known && path != want {
			t.Errorf("%s: got %s, want the binary of before, %s", step.name, path, want)
		}
		paths[step.binary] = path
		if step.says != "" {
			if out, err := exec.Command(path).CombinedOutput(); err != nil || string(out) != step.says {
				t.Errorf("%s: it says %q (%v), want %q", step.name, out, err, step.says)
			}
		}
	}
	if distinct := slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, p := range paths {
			if !yield(p) {
				return
			}
		}
	})); len(distinct) != len(paths) {
		t.Errorf("%d binaries for %v", len(distinct), paths)
	}

	second := filepath.Join(t.TempDir(), "second")
	writeCheckout(t, second)
	path, err := cache.Binary(t.Context(), second, hello)
	if err != nil {
		t.Fatal(err)
	}
	if shown := progress(); path != paths["first"] || shown != "" {
		t.Errorf("a second checkout got %s, want %s; progress:\n%s", path, paths["first"], shown)
	}
}

func TestFailedBuildShowsTheCompilersWords(t *testing.T) {
	t.Parallel()
	cache, progress := newCache(t)
	checkout := t.TempDir()
	writeCheckout(t, checkout)
	write(t, filepath.Join(checkout, "word/word.go"), "package word\n\nconst Hello = nobody\n")
	_, err := cache.Binary(t.Context(), checkout, hello)
	if err == nil || !strings.Contains(err.Error(), "building the greeting: exit status 1") || !strings.Contains(err.Error(), "word.go:3:15: undefined: nobody") {
		t.Errorf("got %v", err)
	}
	if shown := progress(); !strings.Contains(shown, "building the greeting failed after") {
		t.Errorf("progress:\n%s", shown)
	}
	files, err := os.ReadDir(filepath.Join(cache.Dir(), "hello"))
	if err != nil || len(files) != 1 || files[0].Name() != "lock" {
		t.Errorf("the failure left %v (%v), want its lock only", files, err)
	}
}

func TestProcessesBuildOnce(t *testing.T) {
	t.Parallel()
	checkout := filepath.Join(t.TempDir(), "checkout")
	writeCheckout(t, checkout)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const processes = 4
	var commands []*exec.Cmd
	var errs, outs [processes]strings.Builder
	for i := range processes {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), builderEnv+"="+checkout)
		cmd.Stderr, cmd.Stdout = &errs[i], &outs[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		commands = append(commands, cmd)
	}
	built := 0
	for i, cmd := range commands {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v\n%s", i, err, &errs[i])
		}
		built += strings.Count(errs[i].String(), "building the greeting took")
		if outs[i].String() != outs[0].String() {
			t.Errorf("process %d got %s, process 0 %s", i, &outs[i], &outs[0])
		}
	}
	if built != 1 {
		t.Errorf("the tool was built %d times", built)
	}
}

func TestWaitingForTheLockEndsWithTheContext(t *testing.T) {
	t.Parallel()
	cache, progress := newCache(t)
	s := cache.shelf("hello")
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := s.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := s.lock(ctx)
		ended <- err
	}()
	const note = "waiting for another process that is building hello"
	for begin := time.Now(); !strings.Contains(progress(), note); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("progress: %q", progress())
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	cache, _ := newCache(t)
	s := cache.shelf("tool")
	day := 24 * time.Hour
	for name, age := range map[string]time.Duration{
		"current": 0, "recent": time.Minute, "yesterday": day, "before": 2 * day, "long-ago": 29 * day, "older": 40 * day, "new-died": day,
	} {
		write(t, filepath.Join(s.entry(name), "tool"), name)
		write(t, s.alias("of-"+name), name)
		then := time.Now().Add(-age)
		if err := os.Chtimes(s.entry(name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(s.dir, "new-file"), "")
	if err := s.prune("current"); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, f := range files {
		left = append(left, f.Name())
	}
	want := []string{"alias-of-current", "alias-of-recent", "alias-of-yesterday", "current", "recent", "yesterday"}
	if d := cmp.Diff(want, left); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
}

func TestFileSystemErrorsSayTheNextStep(t *testing.T) {
	t.Parallel()
	cache, _ := newCache(t)
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"full disk":     {&fs.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}, "the disk is full: free some space"},
		"no permission": {&fs.PathError{Op: "mkdir", Path: "/x", Err: syscall.EACCES}, "set XDG_CACHE_HOME to a folder you may write"},
		"read-only":     {&fs.PathError{Op: "mkdir", Path: "/x", Err: syscall.EROFS}, "set XDG_CACHE_HOME to a folder you may write"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := cache.shelf("tool").explain(tc.err)
			if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want it to say %q", err, tc.want)
			}
		})
	}
}
