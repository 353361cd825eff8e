package toolcache

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress tells what is being built: on a terminal in one line that is
// rewritten every second, elsewhere in a line at the start, one every 15
// seconds and one at the end.
type progress struct {
	out      *os.File
	terminal bool
	every    time.Duration
}

func newProgress(out *os.File) *progress {
	p := &progress{out: out, every: 15 * time.Second}
	// A dumb terminal takes no control sequences.
	if p.terminal = term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb"; p.terminal {
		p.every = time.Second
	}
	return p
}

// note prints a line of its own. What is shown is no reason to fail.
func (p *progress) note(text string) { _, _ = fmt.Fprintln(p.out, "rehearse: "+text) }

// run shows that the work goes on until the function it returns is called.
// what begins with a verb, such as "building the Pulumi CLI". estimate is how
// long it takes at most, state what to say of it meanwhile.
func (p *progress) run(ctx context.Context, what, estimate string, state func() string) (done func(err error)) {
	start := time.Now()
	p.show(fmt.Sprintf("%s, once: %s", what, estimate), false)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticks := time.NewTicker(p.every)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				p.show(fmt.Sprintf("%s: %s%v so far; %s", what, state(), since(start), estimate), false)
			case <-stop:
				return
			}
		}
	})
	return func(err error) {
		close(stop)
		wg.Wait()
		end := "took"
		switch {
		case ctx.Err() != nil:
			end = "was interrupted after"
		case err != nil:
			end = "failed after"
		}
		p.show(fmt.Sprintf("%s %s %v", what, end, since(start)), true)
	}
}

func (p *progress) show(text string, last bool) {
	if !p.terminal {
		p.note(text)
		return
	}
	end := ""
	if last {
		end = "\n"
	}
	if width, _, err := term.GetSize(int(p.out.Fd())); err == nil && !last {
		text = text[:min(len(text), max(0, width-len("rehearse: ")-1))]
	}
	_, _ = fmt.Fprintf(p.out, "\r\x1b[Krehearse: %s%s", text, end)
}

func since(start time.Time) time.Duration {
	d := time.Since(start)
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
