package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/folder"
	"eks-gpu-slicing/rehearsal/leftovers"
	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/report/page"
	"eks-gpu-slicing/rehearsal/request"
	"eks-gpu-slicing/rehearsal/workload"
)

// UsageError is an error in what the user asked for.
type UsageError struct{ error }

// Unwrap returns the error itself.
func (e UsageError) Unwrap() error { return e.error }

// ErrShort says that what was asked for was done and fell short; what was printed
// before says how.
var ErrShort = errors.New("the rehearsal fell short")

// Serve does what a request asks, shows on out what goes on, and ends with the
// tables of what was found. The error is a [UsageError] for what is wrong in the
// request, found before anything is started; it wraps [ErrShort] if a step fell
// short, and ctx's cause if that ended.
func Serve(ctx context.Context, r request.Request, out io.Writer) (err error) {
	if err := folder.Sweep(out); err != nil {
		return err
	}
	options := Options{Checkout: r.Checkout, Stack: r.Stack, Config: r.Config, World: r.World, Tools: r.Tools, Out: out, Verbose: r.Verbose}
	project, err := options.project()
	if err != nil {
		return UsageError{err}
	}
	workloads, err := r.Workloads.Read()
	if err != nil {
		return UsageError{err}
	}
	if r.Command == request.Up {
		if err := folder.Free(r.Checkout, r.Stack); err != nil {
			return UsageError{err}
		}
	}
	to, err := openResults(r)
	if err != nil {
		return UsageError{err}
	}
	defer func() { err = errors.Join(err, to.close()) }()
	switch r.Command {
	case request.Leftovers:
		return listLeftovers(ctx, project, to, out)
	case request.Lint:
		return inFolder(options, func(o Options) error { return lintWorkloads(ctx, o, workloads, to) })
	case request.Forecast:
		return inFolder(options, func(o Options) error { return forecast(ctx, o, r, workloads, to) })
	default:
		return inFolder(options, func(o Options) error { return rehearse(ctx, o, project, r.Command, workloads, to) })
	}
}

// inFolder does something in a folder of its own. The folder stays, for its logs, if
// that goes wrong.
func inFolder(o Options, do func(Options) error) error {
	home, err := folder.New(folder.About{Checkout: o.Checkout, Stack: o.Stack})
	if err != nil {
		return err
	}
	o.Dir, o.home = home.Dir, home
	err = do(o)
	var usage UsageError
	if err == nil || errors.Is(err, ErrProblems) || errors.Is(err, context.Canceled) || errors.As(err, &usage) { // nobody asks for logs
		return errors.Join(err, home.Remove())
	}
	return errors.Join(err, fmt.Errorf("the logs are in %s", home.Dir), home.Keep())
}

// rehearse lives a stack's life.
func rehearse(ctx context.Context, o Options, project *engine.Project, command request.Command, workloads []workload.Object, to *results) error {
	l := &life{options: o, about: about(o, project), workloads: workloads, out: o.Out}
	for _, w := range workloads {
		l.about.Workloads = append(l.about.Workloads, w.String())
	}
	l.begin()
	err := l.live(ctx, command == request.Up)
	if err == nil && !l.report.OK() {
		err = ErrShort
	}
	return errors.Join(err, l.report.Write(o.Out), to.write(l.report.WriteJSON, func(out io.Writer) error { return page.Run(out, l.report) }))
}

// forecast compares numbers of slices.
func forecast(ctx context.Context, o Options, r request.Request, workloads []workload.Object, to *results) error {
	f, err := Forecast(ctx, o, r.Slices, workloads, r.Live)
	if err != nil {
		return err
	}
	return errors.Join(f.Write(o.Out), to.write(f.WriteJSON, func(out io.Writer) error { return page.Forecast(out, f) }))
}

// lintWorkloads looks for problems in workloads.
func lintWorkloads(ctx context.Context, o Options, workloads []workload.Object, to *results) error {
	found, err := Lint(ctx, o, workloads)
	if err != nil {
		return err
	}
	if err := errors.Join(found.Write(o.Out), to.write(asJSON(found), nil)); err != nil {
		return err
	}
	if !found.OK() {
		return ErrProblems
	}
	return nil
}

// ErrProblems says that workloads have problems, which have been shown.
var ErrProblems = errors.New("the workloads have problems")

// The settings that name the cluster: one to be made, and one that was there.
const clusterName, existingCluster = "clusterName", "existingCluster"

// listLeftovers lists what a stack has left in the account of the user's credentials.
func listLeftovers(ctx context.Context, project *engine.Project, to *results, out io.Writer) error {
	cluster := cmp.Or(project.Config(existingCluster), project.Config(clusterName))
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(project.Config("aws:region")), config.WithLogger(logging.Nop{}))
	if err != nil {
		return fmt.Errorf("the AWS credentials: %w", err)
	}
	found, err := leftovers.Find(ctx, cfg, cluster, project.Config(existingCluster) != "")
	if found == nil {
		return err
	}
	return errors.Join(err, writeLeftovers(out, found), to.write(asJSON(found), nil))
}

// writeLeftovers lists things and the commands that remove them, in the order that
// works.
func writeLeftovers(out io.Writer, r *leftovers.Report) error {
	var text strings.Builder
	fmt.Fprintf(&text, "Account %s, region %s, cluster %s: ", r.Account, r.Region, r.Cluster)
	if len(r.Items) == 0 {
		text.WriteString("nothing of the stack is there.\n")
	} else {
		fmt.Fprintf(&text, "%d things of the stack are there. To remove them, in this order:\n", len(r.Items))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&text, "# %s\n", note)
	}
	for _, i := range r.Items {
		fmt.Fprintf(&text, "\n# %s\n", strings.Join(slices.DeleteFunc([]string{i.Type, i.ID, i.State, "by its " + i.Why}, func(s string) bool { return s == "" }), ", "))
		if i.NameOnly {
			text.WriteString("# It has the stack's name without the stack's tag: see whose it is before you remove it.\n")
		}
		for _, command := range i.Remove {
			text.WriteString(command + "\n")
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// asJSON writes a value as the other reports are written.
func asJSON(v any) func(io.Writer) error {
	return func(out io.Writer) error { return report.WriteJSON(out, v) }
}

// results are the files that a user wants.
type results struct{ json, html *os.File }

// openResults opens them before the work, in case one cannot be written.
func openResults(r request.Request) (*results, error) {
	to := &results{}
	for _, f := range []struct {
		flag, name string
		file       **os.File
	}{{"--json", r.JSON, &to.json}, {"--html", r.HTML, &to.html}} {
		if f.name == "" {
			continue
		}
		file, err := os.Create(f.name)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", f.flag, err), to.close())
		}
		*f.file = file
	}
	return to, nil
}

func (r *results) write(json, html func(io.Writer) error) error {
	var errs []error
	if r.json != nil {
		errs = append(errs, json(r.json))
	}
	if r.html != nil {
		errs = append(errs, html(r.html))
	}
	return errors.Join(errs...)
}

func (r *results) close() error {
	var errs []error
	for _, f := range []*os.File{r.json, r.html} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
