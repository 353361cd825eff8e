package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// block is a code block of shell commands on a page.
type block struct {
	page string
	mark string
	text string
	// output is the text of the block of [outputMark] that follows, and hasOutput tells
	// whether there is one.
	output    string
	hasOutput bool
}

// outputMark is of blocks that hold what the block before them printed. UPDATE_GOLDEN=1
// rewrites them.
const outputMark = "text output"

// The marks of shell blocks on the project's pages.
const (
	// markRun is for what the test runs as it is written: no world, no more than a minute.
	markRun = "run"
	// markCheck is for what takes longer. Of make's the test runs preview and rehearse,
	// and asks of others whether they are there.
	markCheck = "check"
	// markAWS is for what needs an account or a cluster: its syntax is looked at.
	markAWS = "aws"
)

// blocks are the shell blocks of the project's pages.
func blocks(t *testing.T) []block {
	t.Helper()
	var all []block
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*.md"} {
		files, err := filepath.Glob(filepath.Join(checkout, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, shellBlocks(strings.TrimPrefix(file, checkout+"/"), string(text))...)
		}
	}
	return all
}

func shellBlocks(page, text string) []block {
	var all []block
	var open *block
	inOther, inOutput := false, false
	for line := range strings.Lines(text) {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open != nil:
			all, open = append(all, *open), nil
		case isFence && inOutput:
			inOutput = false
		case isFence && fence == outputMark && len(all) > 0:
			all[len(all)-1].hasOutput, inOutput = true, true
		case inOutput:
			all[len(all)-1].output += line
		case isFence && !inOther && slices.Contains([]string{"sh", "bash", "shell", "console"}, strings.Fields(fence + " -")[0]):
			open = &block{page: page, mark: strings.TrimSpace(strings.TrimPrefix(fence, "sh"))}
		case isFence:
			inOther = !inOther
		case open != nil:
			open.text += line
		}
	}
	return all
}

// prelude makes the commands of the pages those of this checkout. Of make's only the
// README's two are run, and others looked up: among them are those that run this test.
const prelude = `set -eu -o pipefail
make() {
  case "$*" in
  preview | rehearse) command make --silent -C "$CHECKOUT" "$@" ;;
  *) command make --silent --dry-run -C "$CHECKOUT" "$@" >/dev/null ;;
  esac
}
bin/rehearse() {
  "$COMMAND" -C "$CHECKOUT" "$@"
}
`

// TestDocs runs what the pages tell to run.
func TestDocs(t *testing.T) {
	t.Parallel()
	all := blocks(t)
	if len(all) < 10 {
		t.Fatalf("only %d shell blocks were found: are they written in another way?", len(all))
	}
	here, err := filepath.Abs(checkout)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var rewriting sync.Mutex // blocks of one page
	for _, b := range all {
		t.Run(b.page, func(t *testing.T) {
			t.Parallel()
			switch b.mark {
			case markAWS:
				if out, err := exec.CommandContext(t.Context(), "bash", "-n", "-c", b.text).CombinedOutput(); err != nil {
					t.Errorf("%v: %s in\n%s", err, out, b.text)
				}
				return
			case markRun, markCheck:
			default:
				t.Fatalf("the block is marked %q, and is to be one of %s, %s, %s, as in ```sh run:\n%s", b.mark, markRun, markCheck, markAWS, b.text)
			}
			out, err := runBlock(t.Context(), t.TempDir(), here, self, b.text)
			if err != nil {
				t.Fatalf("%v\n%s\nin\n%s", err, out, b.text)
			}
			if got := answer(string(out)); b.hasOutput && got != b.output {
				if os.Getenv("UPDATE_GOLDEN") == "" {
					t.Fatalf("%s: it prints something else; UPDATE_GOLDEN=1 rewrites it (-want +got):\n%s", b.page, cmp.Diff(b.output, got))
				}
				rewriting.Lock()
				defer rewriting.Unlock()
				rewrite(t, filepath.Join(here, b.page), b, got)
			}
		})
	}
}

// answer is what a forecast prints between its progress and its notes.
func answer(printed string) string {
	_, text, _ := strings.Cut(printed, "\n\n")
	text, _, _ = strings.Cut(text, "\n\n- ")
	return text + "\n"
}

// rewrite puts what a block prints into its page.
func rewrite(t *testing.T, page string, b block, output string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, tail, found := strings.Cut(string(text), b.text+"```\n")
	between, _, closes := strings.Cut(tail, "```"+outputMark+"\n"+b.output)
	if !found || !closes {
		t.Fatalf("%s does not have the block any more:\n%s", page, b.text)
	}
	begin := head + b.text + "```\n" + between + "```" + outputMark + "\n"
	if err := os.WriteFile(page, []byte(begin+output+strings.TrimPrefix(string(text), begin+b.output)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// runBlock runs commands in a folder that has the examples, and as k8s/ a workload of
// the reader's own.
func runBlock(ctx context.Context, dir, here, self, text string) ([]byte, error) {
	workload, err := os.ReadFile(filepath.Join(here, "examples", "gpu-inference.yaml"))
	if err := errors.Join(err,
		os.Mkdir(filepath.Join(dir, "k8s"), 0o755),
		os.WriteFile(filepath.Join(dir, "k8s", "inference.yaml"), workload, 0o600),
		os.Symlink(filepath.Join(here, "examples"), filepath.Join(dir, "examples"))); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute) // the first builds the tools
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", prelude+text)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), commandEnv+"=1", "CHECKOUT="+here, "COMMAND="+self)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.Bytes(), err
}

// An unmarked block, one of another shell, and one within another block.
func TestShellBlocks(t *testing.T) {
	t.Parallel()
	got := shellBlocks("p.md", "```sh\na\n```\n```yaml\nb\n```\n```sh run\nc\nd\n```\nprints\n```text output\nf\n```\n```console\ne\n```\n")
	want := []block{{page: "p.md", text: "a\n"}, {page: "p.md", mark: "run", text: "c\nd\n", output: "f\n", hasOutput: true}, {page: "p.md", mark: "console", text: "e\n"}}
	if !slices.Equal(got, want) {
		t.Errorf("found %+v, want %+v", got, want)
	}
}

// The README names each command, and says what they end with as their help does.
func TestReadmeNamesEachCommand(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(checkout, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```\n"+exitStatuses+"\n```\n") {
		t.Errorf("README.md does not have these exit statuses in a block:\n%s", exitStatuses)
	}
	for _, cmd := range newRoot(streams{out: io.Discard, err: io.Discard}).Commands() {
		if !strings.Contains(string(readme), "`bin/rehearse "+cmd.Name()) {
			t.Errorf("README.md does not name `bin/rehearse %s`", cmd.Name())
		}
	}
}
