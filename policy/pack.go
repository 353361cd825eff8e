package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/blang/semver"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

const packName = "eks-gpu-slicing"

func packVersion() semver.Version { return semver.Version{Major: 1} }

// rules are all there are. Their names are a stable interface: users' config
// files hold them.
func rules() []rule {
	return []rule{encryptedVolumes(), imdsv2(), noWildcardIAM(), privateEndpoint(), slicesAgree(), tagged()}
}

// rule judges resources one by one, or a stack as a whole: one of the two
// functions is set.
type rule struct {
	// name is what a user's config file calls it.
	name string
	// title says what it demands, in one sentence.
	title string
	// mend says what to do about a violation.
	mend string
	// resource returns how the rule judges a type; nil where it does not.
	resource func(tokens.Type) func(plugin.AnalyzerResource, *report)
	// stack judges the resources of a stack after they are planned or made.
	stack func([]plugin.AnalyzerStackResource, *report)
}

// byType is a rule that judges these types' inputs.
func byType(judges map[tokens.Type]func(resource.PropertyValue, *report)) func(tokens.Type) func(plugin.AnalyzerResource, *report) {
	return func(t tokens.Type) func(plugin.AnalyzerResource, *report) {
		judge, ok := judges[t]
		if !ok {
			return nil
		}
		return func(r plugin.AnalyzerResource, to *report) { judge(resource.NewProperty(r.Properties), to) }
	}
}

// report is what a rule found.
type report struct {
	violations []violation
	// unknown is what the verdict depends on and nobody can tell yet.
	unknown []string
	// reason is why the rule has nothing to judge.
	reason string
}

type violation struct {
	urn  resource.URN // "" for the resource that is judged
	text string
}

// violated notes a violation by the resource that is judged.
func (r *report) violated(format string, args ...any) { r.violatedBy("", format, args...) }

// violatedBy notes a violation by a resource of the stack.
func (r *report) violatedBy(urn resource.URN, format string, args ...any) {
	r.violations = append(r.violations, violation{urn, fmt.Sprintf(format, args...)})
}

// later notes that only the update will bring a value.
func (r *report) later(what string) {
	r.unknown = append(r.unknown, what+" is not known before the update")
}

// want demands that a property is ok, in words: "it must be …".
func (r *report) want(v resource.PropertyValue, path string, ok func(resource.PropertyValue) bool, words string) {
	switch {
	case unknown(v):
		r.later(path)
	case !ok(v):
		r.violated("%s is %s; it must be %s", path, show(v), words)
	}
}

// pack answers the engine for some rules.
type pack struct {
	rules []rule

	mu     sync.Mutex
	levels map[string]apitype.EnforcementLevel // by rule; what is missing is mandatory
}

var _ plugin.Analyzer = (*pack)(nil)

func newPack(rules []rule) *pack { return &pack{rules: rules} }

// Close implements plugin.Analyzer; the process ends instead.
func (p *pack) Close() error { return nil }

// Cancel implements plugin.Analyzer; no verdict takes long enough to cancel.
func (p *pack) Cancel(context.Context) error { return nil }

// Name implements plugin.Analyzer.
func (p *pack) Name() tokens.QName { return packName }

// GetPluginInfo implements plugin.Analyzer.
func (p *pack) GetPluginInfo(context.Context) (plugin.PluginInfo, error) {
	version := packVersion()
	return plugin.PluginInfo{Version: &version}, nil
}

// GetAnalyzerInfo lists the rules.
func (p *pack) GetAnalyzerInfo(context.Context) (plugin.AnalyzerInfo, error) {
	info := plugin.AnalyzerInfo{Name: packName, Version: packVersion().String(), SupportsConfig: true, Provider: "AWS"}
	for _, r := range p.rules {
		kind := plugin.AnalyzerPolicyTypeResource
		if r.stack != nil {
			kind = plugin.AnalyzerPolicyTypeStack
		}
		info.Policies = append(info.Policies, plugin.AnalyzerPolicyInfo{
			Name: r.name, Description: r.title, RemediationSteps: r.mend, EnforcementLevel: apitype.Mandatory, Type: kind,
		})
	}
	return info, nil
}

// Configure takes the user's levels; the engine has checked them.
func (p *pack) Configure(_ context.Context, config map[string]plugin.AnalyzerPolicyConfig) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.levels = map[string]apitype.EnforcementLevel{}
	for name, c := range config {
		if c.EnforcementLevel.IsValid() {
			p.levels[name] = c.EnforcementLevel
		}
	}
	return nil
}

func (p *pack) level(r rule) apitype.EnforcementLevel {
	p.mu.Lock()
	defer p.mu.Unlock()
	if level, ok := p.levels[r.name]; ok {
		return level
	}
	return apitype.Mandatory
}

// Analyze judges one resource by its inputs, before it is touched.
func (p *pack) Analyze(_ context.Context, one plugin.AnalyzerResource) (plugin.AnalyzeResponse, error) {
	var out plugin.AnalyzeResponse
	for _, r := range p.rules {
		if r.resource == nil {
			continue
		}
		judge := r.resource(one.Type)
		if judge == nil {
			out.NotApplicable = append(out.NotApplicable, plugin.PolicyNotApplicable{PolicyName: r.name})
			continue
		}
		var found report
		if p.level(r) != apitype.Disabled {
			judge(one, &found)
		}
		p.tell(&out, r, found, one.URN)
	}
	return out, nil
}

// AnalyzeStack judges the whole stack by its outputs, after the preview or the
// update.
func (p *pack) AnalyzeStack(_ context.Context, all []plugin.AnalyzerStackResource) (plugin.AnalyzeResponse, error) {
	var out plugin.AnalyzeResponse
	for _, r := range p.rules {
		if r.stack == nil {
			continue
		}
		var found report
		if p.level(r) != apitype.Disabled {
			r.stack(all, &found)
		}
		p.tell(&out, r, found, "")
	}
	return out, nil
}

// tell turns what a rule found into an answer.
func (p *pack) tell(out *plugin.AnalyzeResponse, r rule, found report, urn resource.URN) {
	for _, v := range found.violations {
		if v.urn == "" {
			v.urn = urn
		}
		out.Diagnostics = append(out.Diagnostics, plugin.AnalyzeDiagnostic{
			PolicyName: r.name, PolicyPackName: packName, PolicyPackVersion: packVersion().String(),
			Description: r.title, Message: v.text + "\n" + r.mend, EnforcementLevel: p.level(r), URN: v.urn,
		})
	}
	if len(found.violations) > 0 {
		return
	}
	if len(found.unknown) > 0 {
		found.reason = strings.Join(found.unknown, "; ")
	}
	if found.reason != "" {
		out.NotApplicable = append(out.NotApplicable, plugin.PolicyNotApplicable{PolicyName: r.name, Reason: found.reason})
	}
}

// Remediate changes nothing: the program is to be mended, not its plan.
func (p *pack) Remediate(context.Context, plugin.AnalyzerResource) (plugin.RemediateResponse, error) {
	return plugin.RemediateResponse{}, nil
}
