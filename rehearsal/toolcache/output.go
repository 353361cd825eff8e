package toolcache

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// output takes what a build prints: it counts the packages that go names as it
// compiles them, and keeps the end of the rest for an error.
type output struct {
	packages map[string]bool // those that may be named

	mu       sync.Mutex
	line     []byte
	compiled int
	last     []string
}

const lastLines = 20

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line = append(o.line, p...)
	for {
		line, rest, complete := bytes.Cut(o.line, []byte("\n"))
		if !complete {
			return len(p), nil
		}
		o.add(string(line))
		o.line = rest
	}
}

func (o *output) add(line string) {
	switch {
	case o.packages[line]:
		o.compiled++
	case strings.TrimSpace(line) != "":
		o.last = append(o.last, line)
		o.last = o.last[max(0, len(o.last)-lastLines):]
	}
}

// state is a part of a progress line.
func (o *output) state() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.compiled == 0 {
		return ""
	}
	return fmt.Sprintf("%d of at most %d packages, ", o.compiled, len(o.packages))
}

// contains tells whether a part of the last lines is text.
func (o *output) contains(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(o.last, func(line string) bool { return strings.Contains(line, text) })
}

// explain is the error of a command that printed this.
func (o *output) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(string(o.line))
	o.line = nil
	text := strings.Join(o.last, "\n")
	err = fmt.Errorf("%w; its last lines:\n    %s", err, strings.Join(o.last, "\n    "))
	for _, c := range []struct {
		sign string
		is   error
		next string
	}{
		{"no space left on device", syscall.ENOSPC, ""},
		{"ENOSPC", syscall.ENOSPC, ""}, // node's name for it
		{"permission denied", os.ErrPermission, ""},
		{"dial tcp", nil, "modules and packages are downloaded once: check the network, or the proxy settings (GOPROXY, npm's registry)"},
		{"ENOTFOUND", nil, "packages are downloaded once: check the network, or npm's registry setting"},
	} {
		switch {
		case !strings.Contains(text, c.sign):
		case c.is != nil:
			return fmt.Errorf("%w\n%w", err, c.is)
		default:
			return fmt.Errorf("%w\n%s", err, c.next)
		}
	}
	return err
}
