package toolcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"

	"eks-gpu-slicing/rehearsal/engine/child"
)

// grace is how long an interrupted build may take to clean up after itself.
const grace = 5 * time.Second

// Tool is a program that is built from a Go module of the checkout, or from a
// module that one requires.
type Tool struct {
	// Name of the executable, and of its shelf in the cache.
	Name string
	// Title is what progress and errors call it, such as "the Pulumi CLI".
	Title string
	// Module is the folder of the module to build in, relative to the checkout.
	Module string
	// Package is the import path of the main package.
	Package string
	// LDFlags are added to those of every tool, which leave out symbol table and
	// debug information. Stack traces need neither.
	LDFlags string
	// Estimate is how long the build takes on two cores when Go's build cache
	// is empty. With a full one it is a matter of seconds.
	Estimate time.Duration
}

// Binary returns the path of a built tool, building it if it must. checkout is
// the folder of the project's root module. The error says what to do next when
// Go is missing or too old, the disk full or the cache not writable, and ends
// with the compiler's last lines when the code does not build.
func (c *Cache) Binary(ctx context.Context, checkout string, t Tool) (string, error) {
	j := job{tool: t, dir: filepath.Join(checkout, t.Module), cache: c}
	if err := j.prepare(ctx); err != nil {
		return "", fmt.Errorf("building %s: %w", t.Title, err)
	}
	dir, err := c.shelf(t.Name).get(ctx, j.cheapKey(), j.exactKey, j.run)
	if err != nil {
		return "", fmt.Errorf("building %s: %w", t.Title, err)
	}
	return filepath.Join(dir, t.Name), nil
}

// job is one tool on its way to the cache.
type job struct {
	tool  Tool
	dir   string
	cache *Cache

	env      string // what of Go's environment changes the binary
	modFiles string // go.mod and go.sum
	source   string // hash of the module's own code; "" when there is none of it in the tool
	packages map[string]bool
}

// prepare reads what the keys are made of.
func (j *job) prepare(ctx context.Context) error {
	mod, err := os.ReadFile(filepath.Join(j.dir, "go.mod"))
	if err != nil {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(j.dir, "go.sum"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	j.modFiles = keyOf(string(mod), string(sum))
	file, err := modfile.ParseLax("go.mod", mod, nil)
	if err != nil {
		return err
	}
	if j.env, err = j.goEnv(ctx, file.Go); err != nil {
		return err
	}
	module := file.Module.Mod.Path
	if j.tool.Package == module || strings.HasPrefix(j.tool.Package, module+"/") {
		j.source, err = sourceHash(j.dir, module, j.tool.Package)
	}
	return err
}

// goEnv finds Go, checks that it can build a module of that version, and
// returns what of its environment decides on the binary.
func (j *job) goEnv(ctx context.Context, needs *modfile.Go) (string, error) {
	need := "1.21"
	if needs != nil {
		need = needs.Version
	}
	const install = "install it from https://go.dev/dl/ and put its bin folder on PATH"
	if _, err := exec.LookPath("go"); err != nil {
		return "", fmt.Errorf("there is no go on PATH: Go %s or newer is needed; %s", need, install)
	}
	cmd := j.goCommand(ctx, "env", "-json", "GOVERSION", "GOOS", "GOARCH", "GOAMD64", "GOARM64", "CGO_ENABLED", "GOEXPERIMENT", "GOFLAGS")
	var said strings.Builder
	out := &output{}
	cmd.Stdout, cmd.Stderr = &said, out
	if err := child.Run(cmd); err != nil { // since 1.21, go itself refuses a module that is too new for it
		return "", fmt.Errorf("go cannot build the module in %s, which needs Go %s or newer (%s): %w", j.dir, need, install, out.explain(ctx, err))
	}
	var env map[string]string
	if err := json.Unmarshal([]byte(said.String()), &env); err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	if have := env["GOVERSION"]; version.Compare(have, "go"+need) < 0 {
		return "", fmt.Errorf("go on PATH is %s: Go %s or newer is needed; %s", have, need, install)
	}
	return said.String(), nil
}

func (j *job) goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := child.Command(ctx, grace, append(Environment(), "GOWORK=off"), "go", args...)
	cmd.Dir = j.dir
	return cmd
}

func (j *job) ldflags() string { return strings.TrimSpace("-s -w " + j.tool.LDFlags) }

func (j *job) cheapKey() string {
	return keyOf(j.tool.Package, j.ldflags(), j.env, j.source, j.modFiles)
}

// exactKey covers the modules that the tool links instead of all that the
// module file names.
func (j *job) exactKey(ctx context.Context) (string, error) {
	const format = `{{.ImportPath}}	{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Sum}}{{with .Replace}} {{.Path}} {{.Version}} {{.Sum}}{{end}}{{end}}{{end}}`
	out := &output{}
	cmd := j.goCommand(ctx, "list", "-deps", "-f", format, j.tool.Package)
	var list strings.Builder
	cmd.Stdout, cmd.Stderr = &list, out
	if err := child.Run(cmd); err != nil {
		return "", out.explain(ctx, err)
	}
	j.packages = map[string]bool{}
	var modules []string
	for line := range strings.Lines(list.String()) {
		path, module, _ := strings.Cut(strings.TrimSpace(line), "\t")
		j.packages[path] = true
		if module != "" {
			modules = append(modules, module)
		}
	}
	slices.Sort(modules)
	return keyOf(append([]string{j.tool.Package, j.ldflags(), j.env, j.source}, slices.Compact(modules)...)...), nil
}

// run builds the tool into dir.
func (j *job) run(ctx context.Context, dir string) error {
	out := &output{packages: j.packages}
	// -v names the packages that are being compiled, for the progress.
	cmd := j.goCommand(ctx, "build", "-v", "-buildvcs=false", "-ldflags", j.ldflags(), "-o", filepath.Join(dir, j.tool.Name), j.tool.Package)
	cmd.Stdout, cmd.Stderr = out, out
	estimate := fmt.Sprintf("up to %.0f minutes on two cores, seconds if Go has compiled it before", j.tool.Estimate.Minutes())
	done := j.cache.progress.run(ctx, "building "+j.tool.Title, estimate, out.state)
	err := child.Run(cmd)
	done(err)
	if err != nil {
		return out.explain(ctx, err)
	}
	return nil
}
