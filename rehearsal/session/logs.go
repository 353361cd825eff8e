package session

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// followEvery is how often log files are looked at.
const followEvery = 200 * time.Millisecond

// follow shows on out what is written to the .log files of a folder, each line under
// its file's name. The folder need not be there yet. stop shows the rest and ends it.
func follow(dir string, out io.Writer) (stop func()) {
	f := &follower{out: out, dir: dir, files: map[string]*followed{}}
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticks := time.NewTicker(followEvery)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				f.look()
			case <-end:
				f.look()
				return
			}
		}
	})
	return func() {
		close(end)
		wg.Wait()
	}
}

type follower struct {
	out   io.Writer
	dir   string
	files map[string]*followed
}

// followed is how far a file has been read, and the line that has not ended there.
type followed struct {
	offset int64
	line   []byte
}

func (f *follower) look() {
	entries, _ := os.ReadDir(f.dir) // there may be none yet
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".log"); ok {
			if f.files[name] == nil {
				f.files[name] = &followed{}
			}
			f.next(name, f.files[name])
		}
	}
}

// next shows the lines of a file that have ended since the last time. One that cannot
// be read is looked at again.
func (f *follower) next(name string, at *followed) {
	file, err := os.Open(filepath.Join(f.dir, name+".log"))
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	text, _ := io.ReadAll(io.NewSectionReader(file, at.offset, 1<<62))
	at.offset += int64(len(text))
	for {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		at.line = append(at.line, line...)
		if !ended {
			return
		}
		_, _ = fmt.Fprintf(f.out, "%s: %s\n", name, at.line) // progress only
		at.line, text = nil, rest
	}
}
