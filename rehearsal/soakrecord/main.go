// Command soakrecord keeps the record of the tests that are too long for `make test`:
// it reads what `go test -json` writes, prints it as `go test -v` would, and writes to a
// Markdown file when each of them last ran, for how long, and how it ended. Rows of tests
// that did not run stay as they are, so that a part of the tests can be run.
//
// Gotcha: it exits with 0 when it could write the record. How the tests ended is the
// exit status of `go test`, which a shell with pipefail sees.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go test -json ... | soakrecord FILE.md")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "soakrecord:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	commit := commit(file) // before the record itself changes
	rows, err := read(os.Stdin, os.Stdout)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for i := range rows {
		rows[i].commit, rows[i].machine = commit, machine()
	}
	return os.WriteFile(file, []byte(write(merge(parse(string(old)), rows))), 0o644)
}

// row is how a test ended when it last ran.
type row struct {
	test, result, seconds, date, commit, machine string
}

// event is one of those of `go doc test2json`.
type event struct {
	Time         time.Time
	Action, Test string
	Elapsed      float64 // seconds, without the time that the test waited for its turn
	Output       string
}

// read reads the events of a run of tests, prints what they print, and returns a row for
// each test that ran. One that has begun and has no end was killed, with all others.
func read(in io.Reader, out io.Writer) ([]row, error) {
	var rows []row
	running := map[string]time.Time{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20) // a test that fails prints all that the engine has said
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			_, _ = fmt.Fprintln(out, lines.Text()) // of the compiler, say
			continue
		}
		_, _ = io.WriteString(out, e.Output)
		if !strings.HasPrefix(e.Test, "TestSoak") || strings.Contains(e.Test, "/") {
			continue
		}
		switch e.Action {
		case "run":
			running[e.Test] = e.Time
		case "skip":
			delete(running, e.Test)
		case "pass", "fail":
			delete(running, e.Test)
			rows = append(rows, row{test: e.Test, result: e.Action + "ed", seconds: fmt.Sprintf("%.0f", e.Elapsed), date: e.Time.UTC().Format(time.DateOnly)})
		}
	}
	for test, since := range running {
		rows = append(rows, row{test: test, result: "failed", seconds: "not ended", date: since.UTC().Format(time.DateOnly)})
	}
	return rows, lines.Err()
}

// merge replaces rows by those of the same test, and sorts them by test.
func merge(rows, newer []row) []row {
	for _, n := range newer {
		rows = slices.DeleteFunc(rows, func(r row) bool { return r.test == n.test })
	}
	rows = append(rows, newer...)
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.test, b.test) })
	return rows
}

const head = `# The record of the soak

` + "`make soak`" + ` runs the stories that are too long for ` + "`make test`" + `, one at a time, and writes this file: a row for
each, of the last time that it ran. A test without a row has not run.

| test | result | seconds | date | commit | machine |
|---|---|---|---|---|---|
`

func write(rows []row) string {
	var b strings.Builder
	b.WriteString(head)
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.test, r.result, r.seconds, r.date, r.commit, r.machine)
	}
	return b.String()
}

// parse reads what write wrote.
func parse(text string) []row {
	var rows []row
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) == 6 && strings.HasPrefix(line, "| TestSoak") {
			rows = append(rows, row{strings.TrimPrefix(cells[0], "| "), cells[1], cells[2], cells[3], cells[4], strings.TrimSuffix(cells[5], " |")})
		}
	}
	return rows
}

// commit is the checkout's, with a + where files differ from it, the record aside.
func commit(record string) string {
	id, err := exec.Command("git", "rev-parse", "--short=10", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude)"+record).Output()
	if err != nil || len(changed) > 0 {
		return strings.TrimSpace(string(id)) + "+"
	}
	return strings.TrimSpace(string(id))
}

// machine is what the tests ran on.
func machine() string {
	text := fmt.Sprintf("%d cores", runtime.NumCPU())
	if info, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int
		if _, err := fmt.Sscanf(string(info), "MemTotal: %d kB", &kib); err == nil {
			text += fmt.Sprintf(", %.0f GB", float64(kib)*1024/1e9)
		}
	}
	return text + ", " + runtime.GOOS + "/" + runtime.GOARCH
}
