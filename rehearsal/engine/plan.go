package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/sig"
)

// What stands in a [Plan] for values that are not there.
const (
	// Unknown is a value that exists once the resources do.
	Unknown = "[unknown]"
	// Secret is a value that is not shown.
	Secret = "[secret]"
)

// Plan is what a preview would do, as the engine tells it.
type Plan struct {
	Project string `json:"project"`
	Stack   string `json:"stack"`
	// Succeeded is false for a preview that failed. What failed is in the
	// diagnostics, and there are no resources then: the engine hands out no
	// half a plan.
	Succeeded bool `json:"succeeded"`
	// Resources in the order of their URNs.
	Resources []Resource `json:"resources"`
	// Outputs of the stack, with Unknown and Secret for values.
	Outputs map[string]any `json:"outputs"`
	// Diagnostics in the order the engine gave them.
	Diagnostics []Diagnostic `json:"diagnostics"`
}

// Resource is one resource of a plan.
type Resource struct {
	URN  resource.URN `json:"urn"`
	Type string       `json:"type"`
	Name string       `json:"name"`
	// Operations are the engine's steps, such as "create".
	Operations []apitype.OpType `json:"operations"`
	// Parent is "" for the stack itself.
	Parent resource.URN `json:"parent,omitempty"`
	// Provider is the URN of the provider that manages the resource, "" for the
	// stack, components that the program makes itself, and providers.
	Provider resource.URN `json:"provider,omitempty"`
	// Dependencies are all resources this one waits for.
	Dependencies []resource.URN `json:"dependencies"`
	// PropertyDependencies are those its inputs take values from, by input.
	PropertyDependencies map[resource.PropertyKey][]resource.URN `json:"propertyDependencies,omitempty"`
	// Inputs as the provider has checked them, with Unknown and Secret for values.
	Inputs map[string]any `json:"inputs"`
}

// Diagnostic is a message of the engine, the program, a provider or a policy.
type Diagnostic struct {
	// Severity is "info", "info#err" (a program's standard error), "warning" or "error".
	Severity string `json:"severity"`
	// URN is the resource it is about, "" for none.
	URN     resource.URN `json:"urn,omitempty"`
	Message string       `json:"message"`
}

// Preview runs the preview, with further flags of the Pulumi CLI, and returns its exit
// status and, if plan is true, its plan. For the error see [Engine.Run].
func (e *Engine) Preview(ctx context.Context, io IO, plan bool, flags ...string) (*Plan, int, error) {
	args := append([]string{"preview"}, flags...)
	if !plan {
		status, err := e.Run(ctx, io, args...)
		return nil, status, err
	}
	events, saved := e.area.dir("events.json"), e.area.dir("plan.json")
	notice := &planNotice{to: io.Stderr}
	io.Stderr = notice
	status, err := e.Run(ctx, io, append(args, "--event-log", events, "--save-plan", saved)...)
	if flush := notice.flush(); err == nil {
		err = flush
	}
	if err != nil {
		return nil, status, err
	}
	p := &Plan{
		Project: e.options.Project.Name, Stack: e.options.Project.Stack, Succeeded: status == 0,
		Resources: []Resource{}, Outputs: map[string]any{}, Diagnostics: []Diagnostic{},
	}
	inputs, err := p.readEvents(events)
	if err == nil && p.Succeeded {
		err = p.readSaved(saved, inputs)
	}
	if err != nil {
		return nil, status, fmt.Errorf("reading the plan that the Pulumi CLI wrote: %w", err)
	}
	return p, status, nil
}

// readEvents takes the diagnostics and the stack's outputs from an event log,
// one apitype.EngineEvent a line, and returns the last state of each resource.
// A CLI that failed before its engine began has written none.
func (p *Plan) readEvents(file string) (map[resource.URN]*apitype.StepEventStateMetadata, error) {
	states := map[resource.URN]*apitype.StepEventStateMetadata{}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return states, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	keep := func(m apitype.StepEventMetadata) {
		if m.New != nil {
			states[resource.URN(m.URN)] = m.New
		}
	}
	for d := json.NewDecoder(bufio.NewReader(f)); ; {
		var event apitype.EngineEvent
		if err := d.Decode(&event); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		switch {
		case event.DiagnosticEvent != nil && !event.DiagnosticEvent.Ephemeral && event.DiagnosticEvent.Severity != "debug":
			d := event.DiagnosticEvent
			p.Diagnostics = append(p.Diagnostics, Diagnostic{
				Severity: d.Severity, URN: resource.URN(d.URN),
				Message: strings.TrimSpace(colors.Never.Colorize(d.Message)),
			})
		case event.PolicyEvent != nil:
			p.Diagnostics = append(p.Diagnostics, violation(event.PolicyEvent))
		case event.ResourcePreEvent != nil:
			keep(event.ResourcePreEvent.Metadata)
		case event.ResOutputsEvent != nil:
			keep(event.ResOutputsEvent.Metadata)
		}
	}
	for urn, state := range states {
		if urn.QualifiedType() == resource.RootStackType {
			p.Outputs = plainMap(state.Outputs)
		}
	}
	return states, nil
}

// violation is what a policy pack found, as a message.
func violation(e *apitype.PolicyEvent) Diagnostic {
	d := Diagnostic{
		Severity: "warning", URN: resource.URN(e.ResourceURN),
		Message: fmt.Sprintf("policy %s: %s", e.PolicyName, strings.TrimSpace(colors.Never.Colorize(e.Message))),
	}
	if apitype.EnforcementLevel(e.EnforcementLevel) == apitype.Mandatory {
		d.Severity = "error"
	}
	return d
}

// readSaved takes the resources from a saved plan. Only that has their
// dependencies; their checked inputs are in the events.
func (p *Plan) readSaved(file string, states map[resource.URN]*apitype.StepEventStateMetadata) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var saved apitype.DeploymentPlanV1
	if err := json.Unmarshal(text, &saved); err != nil {
		return err
	}
	for _, urn := range slices.Sorted(maps.Keys(saved.ResourcePlans)) {
		planned := saved.ResourcePlans[urn]
		r := Resource{
			URN: urn, Type: string(urn.Type()), Name: urn.Name(), Operations: planned.Steps,
			Dependencies: []resource.URN{}, Inputs: map[string]any{},
		}
		if goal := planned.Goal; goal != nil {
			r.Parent = goal.Parent
			r.PropertyDependencies = maps.Clone(goal.PropertyDependencies)
			maps.DeleteFunc(r.PropertyDependencies, func(_ resource.PropertyKey, on []resource.URN) bool { return len(on) == 0 })
			r.Dependencies = append(r.Dependencies, slices.Sorted(slices.Values(goal.Dependencies))...)
		}
		if state := states[urn]; state != nil {
			r.Inputs = plainMap(state.Inputs)
			// A reference is the provider's URN and ID.
			r.Provider = resource.URN(state.Provider)
			if i := strings.LastIndex(state.Provider, resource.URNNameDelimiter); i >= 0 {
				r.Provider = resource.URN(state.Provider[:i])
			}
		}
		p.Resources = append(p.Resources, r)
	}
	return nil
}

func plainMap(m map[string]any) map[string]any {
	plain := make(map[string]any, len(m))
	for k, v := range m {
		plain[k] = plainValue(v)
	}
	return plain
}

// plainValue is a serialized property value without the markers of
// pulumi/pkg/v3/resource/stack.
func plainValue(v any) any {
	switch v := v.(type) {
	case string:
		if v == plugin.UnknownStringValue {
			return Unknown
		}
	case []any:
		plain := make([]any, len(v))
		for i, e := range v {
			plain[i] = plainValue(e)
		}
		return plain
	case map[string]any:
		if v[sig.Key] == sig.Secret {
			return Secret
		}
		return plainMap(v)
	}
	return v
}

// planNotice passes standard error on without the lines in which the CLI tells
// where it saved the plan and how to apply it: that file is not for the user.
type planNotice struct {
	to   io.Writer
	rest []byte
}

func (w *planNotice) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, complete := bytes.Cut(w.rest, []byte("\n"))
		if !complete {
			return len(p), nil
		}
		w.rest = rest
		if isPlanNotice(line) {
			continue
		}
		if _, err := w.to.Write(append(slices.Clip(line), '\n')); err != nil {
			return 0, err
		}
	}
}

func (w *planNotice) flush() error {
	if len(w.rest) == 0 || isPlanNotice(w.rest) {
		return nil
	}
	_, err := w.to.Write(w.rest)
	return err
}

func isPlanNotice(line []byte) bool {
	return bytes.Contains(line, []byte("Update plan written to")) || bytes.Contains(line, []byte("Run `pulumi up --plan="))
}
