// Package comment writes what a change does as Markdown, for a comment on its pull
// request: nodes and cost of the same workloads before and after, what comes, goes and
// changes in each stack's plan, and the forecast.
//
// It reads the JSON that the commands preview, run and forecast write, and nothing
// else. A side may be incomplete: a rehearsal that fell short is a finding, and the
// other side is shown all the same. The same files give the same text.
//
// Texts of pods, resources and messages stand in code blocks or code spans, because
// they are the words of whoever wrote the change: no Markdown in them takes effect and
// nobody is mentioned.
package comment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/report"
)

// Side is what was rehearsed on one side of a change. What is nil was not written.
type Side struct {
	// Plans are those of `rehearse preview --json`, by stack.
	Plans map[string]*engine.Plan
	// Run is that of `rehearse run --json`, Forecast that of `rehearse forecast --json`.
	Run      *report.Run
	Forecast *report.Forecast
	// Unread names each file that is there and is no such JSON, with what is wrong.
	Unread error
}

// The names of a side's files in its folder; a plan's is planPrefix, the stack, .json.
const (
	planPrefix   = "plan-"
	runFile      = "run.json"
	forecastFile = "forecast.json"
)

// Read reads a side from a folder. Files that are not there are left out, and so is all
// of a folder that is not there, or that cannot be read: [Side.Unread] tells then.
func Read(folder string) Side {
	side := Side{Plans: map[string]*engine.Plan{}}
	read := func(name string, into any) bool {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			return false
		}
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			side.Unread = errors.Join(side.Unread, fmt.Errorf("%s: %w: write it anew with the --json of preview, run or forecast", filepath.Join(folder, name), err))
		}
		return err == nil
	}
	files, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		side.Unread = err
		return side
	}
	for _, f := range files {
		stack, isPlan := strings.CutPrefix(f.Name(), planPrefix)
		stack, isJSON := strings.CutSuffix(stack, ".json")
		if !isPlan || !isJSON {
			continue
		}
		var plan engine.Plan
		if read(f.Name(), &plan) {
			side.Plans[stack] = &plan
		}
	}
	var run report.Run
	if read(runFile, &run) {
		side.Run = &run
	}
	var forecast report.Forecast
	if read(forecastFile, &forecast) {
		side.Forecast = &forecast
	}
	return side
}

// Write writes the comment, which says what of the base could not be read: its code may
// have written it in another shape. It has at most [Limit] bytes; what would be more is cut,
// and says so.
func Write(out io.Writer, before, after Side) error {
	d := &document{}
	d.line("### What this change does")
	d.line("")
	d.line("Rehearsed in a simulated AWS account: nothing was created.%s", real(after))
	if before.Unread != nil {
		d.paragraph("**Of the base could not be read:** %s", code(shorten(before.Unread.Error(), 1000)))
	}
	writeRuns(d, before.Run, after.Run)
	stacks := slices.Sorted(maps.Keys(after.Plans))
	for stack := range before.Plans {
		if after.Plans[stack] == nil {
			stacks = append(stacks, stack)
		}
	}
	slices.Sort(stacks)
	for _, stack := range stacks {
		writePlans(d, stack, before.Plans[stack], after.Plans[stack])
	}
	if len(stacks) == 0 {
		d.paragraph("**No plan was written**: the run says why.")
	}
	if err := writeForecast(d, after.Forecast); err != nil {
		return err
	}
	_, err := io.WriteString(out, d.end())
	return err
}

func real(after Side) string {
	switch {
	case after.Run != nil && len(after.Run.Real) > 0:
		return " Real are " + strings.Join(after.Run.Real, ", ") + "."
	case after.Forecast != nil && len(after.Forecast.Real) > 0:
		return " Real are " + strings.Join(after.Forecast.Real, ", ") + "."
	}
	return ""
}

func writeForecast(d *document, f *report.Forecast) error {
	if f == nil || len(f.Counts) == 0 {
		return nil
	}
	var tables strings.Builder
	if err := f.Write(&tables); err != nil {
		return err
	}
	d.fold("Forecast at several numbers of slices: "+f.Headline(), "", strings.Trim(tables.String(), "\n"))
	return nil
}
