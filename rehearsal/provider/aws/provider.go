package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
)

// awsProvider is one provider instance of a program.
type awsProvider struct {
	*provider.Base

	account   *account.Account
	kinds     map[string]*kind
	functions map[string]function
	defaults  account.Tags
}

// New is the constructor for [provider.Serve] of stand-ins that work on one
// account.
func New(a *account.Account) func() plugin.Provider {
	kinds, functions := kinds(), functions()
	return func() plugin.Provider {
		return &awsProvider{Base: provider.NewBase("aws", version()), account: a, kinds: kinds, functions: functions}
	}
}

// CheckConfig takes the settings as they are.
func (p *awsProvider) CheckConfig(_ context.Context, r plugin.CheckConfigRequest) (plugin.CheckConfigResponse, error) {
	res := plugin.CheckConfigResponse{Properties: r.News}
	if !provider.Has(r.News, "region") {
		res.Failures = append(res.Failures, plugin.CheckFailure{Property: "region", Reason: "Missing region: set aws:region with `pulumi config set aws:region REGION`"})
	}
	return res, nil
}

// DiffConfig replaces the provider, and with it everything it made, when the
// region changes.
func (p *awsProvider) DiffConfig(_ context.Context, r plugin.DiffConfigRequest) (plugin.DiffConfigResponse, error) {
	return provider.Diff(r.OldInputs, r.NewInputs, provider.Rules{Replace: []string{"region"}, Ignore: r.IgnoreChanges}), nil
}

// Configure takes the region, which must be the account's, and the default
// tags. Settings about credentials, endpoints and retries mean nothing here.
func (p *awsProvider) Configure(_ context.Context, r plugin.ConfigureRequest) (plugin.ConfigureResponse, error) {
	if region := provider.String(r.Inputs, "region"); region != p.account.Region() && !provider.Unknown(r.Inputs, "region") {
		return plugin.ConfigureResponse{}, fmt.Errorf("provider region %q: the rehearsal's account is in %s and nowhere else", region, p.account.Region())
	}
	tags, err := defaultTags(r.Inputs)
	if err != nil {
		return plugin.ConfigureResponse{}, err
	}
	p.defaults = tags
	return plugin.ConfigureResponse{}, nil
}

// defaultTags reads {"tags": {…}}, which arrives as JSON in a text: providers'
// settings are flat.
func defaultTags(in props) (account.Tags, error) {
	if tags := provider.StringMap(in, "defaultTags", "tags"); tags != nil {
		return tags, nil
	}
	text := provider.String(in, "defaultTags")
	if text == "" {
		return nil, nil
	}
	var doc struct {
		Tags map[string]string `json:"tags"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("provider setting defaultTags is %s; it must be {\"tags\": {KEY: VALUE}}: %w", text, err)
	}
	return doc.Tags, nil
}

func (p *awsProvider) kind(token string) (*kind, error) {
	if k, ok := p.kinds[token]; ok {
		return k, nil
	}
	return nil, p.Unsupported("resource type", token)
}

// Check fills in defaults and names, and refuses what pulumi-aws refuses before
// it asks AWS.
func (p *awsProvider) Check(_ context.Context, r plugin.CheckRequest) (plugin.CheckResponse, error) {
	k, err := p.kind(string(r.Type))
	if err != nil {
		return plugin.CheckResponse{}, err
	}
	in := r.News.Copy()
	if k.name != "" && !provider.Has(in, k.name) {
		if in[resource.PropertyKey(k.name)], err = autoname(k, r); err != nil {
			return plugin.CheckResponse{}, err
		}
	}
	in, failures := k.schema.check(r.Name, in)
	if k.check != nil {
		failures = append(failures, k.check(in)...)
	}
	return plugin.CheckResponse{Properties: in, Failures: failures}, nil
}

// autoname keeps the name of before, or makes one up: the resource's name in
// the program, a dash and seven random digits.
func autoname(k *kind, r plugin.CheckRequest) (resource.PropertyValue, error) {
	if old := provider.String(r.Olds, k.name); old != "" {
		return resource.NewStringProperty(old), nil
	}
	name, err := resource.NewUniqueName(r.RandomSeed, r.Name+"-", 7, k.maxName, nil)
	if err != nil {
		return resource.PropertyValue{}, fmt.Errorf("a name for %s: %w", r.URN, err)
	}
	return resource.NewStringProperty(name), nil
}

// Diff says what a change of inputs does, the default tags included.
func (p *awsProvider) Diff(_ context.Context, r plugin.DiffRequest) (plugin.DiffResponse, error) {
	k, err := p.kind(string(r.Type))
	if err != nil {
		return plugin.DiffResponse{}, err
	}
	rules := k.rules(r.OldInputs, r.NewInputs)
	rules.Ignore = r.IgnoreChanges
	d := provider.Diff(k.schema.canonical(r.OldInputs), k.schema.canonical(r.NewInputs), rules)
	if k.tagged && d.Changes == plugin.DiffNone {
		old, all := provider.Map(r.OldOutputs, "tagsAll"), p.tagsAll(r.NewInputs)
		d = provider.Diff(props{"tagsAll": resource.NewObjectProperty(old)}, props{"tagsAll": all}, provider.Rules{Ignore: r.IgnoreChanges})
	}
	return d, nil
}

// tagsAll are the inputs' tags with the default ones.
func (p *awsProvider) tagsAll(in props) resource.PropertyValue {
	out := props{}
	for k, v := range p.defaults {
		out[resource.PropertyKey(k)] = resource.NewStringProperty(v)
	}
	if v, ok := provider.Get(in, "tags"); ok && v.IsComputed() {
		return unknown()
	}
	for k, v := range provider.Map(in, "tags") {
		if !v.IsNull() {
			out[k] = v
		}
	}
	return resource.NewObjectProperty(out)
}

func (p *awsProvider) call(ctx context.Context, name string, id resource.ID, in, old, state props) *call {
	c := &call{client: &client{p.account, ctx}, name: name, id: string(id), in: in, old: old, state: state}
	c.tags = p.defaults
	if tags := provider.StringMap(in, "tags"); tags != nil {
		merged := account.Tags{}
		for _, t := range []account.Tags{p.defaults, tags} {
			maps.Copy(merged, t)
		}
		c.tags = merged
	}
	return c
}

// Create makes a resource; in a preview it says what is known of it.
func (p *awsProvider) Create(ctx context.Context, r plugin.CreateRequest) (plugin.CreateResponse, error) {
	ctx, cancel := p.Context(ctx)
	defer cancel()
	k, err := p.kind(string(r.Type))
	if err != nil {
		return plugin.CreateResponse{}, err
	}
	if r.Preview {
		return plugin.CreateResponse{Properties: p.planned(k, r.Properties, nil), Status: resource.StatusOK}, nil
	}
	c := p.call(ctx, r.Name, "", r.Properties, nil, nil)
	p.note("create", string(r.Type), c)
	id, err := k.create(c)
	if c.id, c.fresh = id, true; err != nil {
		return plugin.CreateResponse{}, p.incomplete(k, c, err)
	}
	out, err := p.read(k, c)
	if err != nil {
		return plugin.CreateResponse{}, err
	}
	return plugin.CreateResponse{ID: resource.ID(id), Properties: out, Status: resource.StatusOK}, nil
}

// note tells the account what a change of a resource names: all texts of its inputs and
// its state, on their own and as names of the service that its type, such as
// aws:iam/role:Role, is of.
func (p *awsProvider) note(verb, token string, c *call) {
	service, _, _ := strings.Cut(strings.TrimPrefix(token, "aws:"), "/")
	names := []string{c.id}
	for _, of := range []props{c.in, c.old, c.state} {
		names = appendTexts(names, resource.NewObjectProperty(of))
	}
	for _, name := range slices.Clone(names) {
		names = append(names, service+"/"+name)
	}
	p.account.NoteCall(account.CallerARN, verb+" "+token, names...)
}

// appendTexts appends the texts in a value.
func appendTexts(texts []string, v resource.PropertyValue) []string {
	switch {
	case v.IsString():
		return append(texts, v.StringValue())
	case v.IsSecret():
		return appendTexts(texts, v.SecretValue().Element)
	case v.IsOutput():
		return appendTexts(texts, v.OutputValue().Element)
	case v.IsArray():
		for _, one := range v.ArrayValue() {
			texts = appendTexts(texts, one)
		}
	case v.IsObject():
		for _, one := range v.ObjectValue() {
			texts = appendTexts(texts, one)
		}
	}
	return texts
}

// incomplete is the error of an operation that failed with err. A resource that
// is there nevertheless must not be forgotten.
func (p *awsProvider) incomplete(k *kind, c *call, err error) error {
	if c.id == "" {
		return bridged(err)
	}
	out, readErr := p.read(k, c)
	if readErr != nil {
		return bridged(err)
	}
	return provider.InitFailed(resource.ID(c.id), c.in, out, err.Error())
}

func (p *awsProvider) read(k *kind, c *call) (props, error) {
	live, tags, err := k.read(c)
	if err != nil {
		return nil, err
	}
	return k.outputs(live, c.in, tags, p.defaults), nil
}

func (p *awsProvider) planned(k *kind, in, old props) props {
	out := k.schema.planned(in, old)
	if k.tagged {
		out["tagsAll"] = p.tagsAll(in)
	}
	return out
}

// Read gives a resource as it is now; without an ID where it is gone.
func (p *awsProvider) Read(ctx context.Context, r plugin.ReadRequest) (plugin.ReadResponse, error) {
	ctx, cancel := p.Context(ctx)
	defer cancel()
	k, err := p.kind(string(r.Type))
	if err != nil {
		return plugin.ReadResponse{}, err
	}
	if k.imported != nil && len(r.State) == 0 {
		id, known, err := k.imported(string(r.ID))
		if err != nil {
			return plugin.ReadResponse{}, bridged(err)
		}
		r.ID, r.State = resource.ID(id), object(known)
	}
	out, err := p.read(k, p.call(ctx, r.Name, r.ID, r.Inputs, nil, r.State))
	switch {
	case gone(err):
		return plugin.ReadResponse{Status: resource.StatusOK}, nil
	case err != nil:
		return plugin.ReadResponse{}, bridged(err)
	}
	return plugin.ReadResponse{
		ReadResult: plugin.ReadResult{ID: r.ID, Inputs: k.schema.live(r.Inputs, out), Outputs: out},
		Status:     resource.StatusOK,
	}, nil
}

// Update changes a resource in place.
func (p *awsProvider) Update(ctx context.Context, r plugin.UpdateRequest) (plugin.UpdateResponse, error) {
	ctx, cancel := p.Context(ctx)
	defer cancel()
	k, err := p.kind(string(r.Type))
	if err != nil {
		return plugin.UpdateResponse{}, err
	}
	c := p.call(ctx, r.Name, r.ID, r.NewInputs, r.OldInputs, r.OldOutputs)
	if r.Preview {
		out := p.planned(k, r.NewInputs, r.OldOutputs)
		if c.changed(k.recomputedBy...) {
			for _, key := range k.recomputed {
				out[resource.PropertyKey(key)] = unknown()
			}
		}
		return plugin.UpdateResponse{Properties: out, Status: resource.StatusOK}, nil
	}
	p.note("update", string(r.Type), c)
	if k.update != nil {
		if err := k.update(c); err != nil {
			return plugin.UpdateResponse{}, p.incomplete(k, c, err)
		}
	}
	if k.tagged {
		if err := k.retag(c); err != nil {
			return plugin.UpdateResponse{}, p.incomplete(k, c, err)
		}
	}
	out, err := p.read(k, c)
	if err != nil {
		return plugin.UpdateResponse{}, bridged(err)
	}
	return plugin.UpdateResponse{Properties: out, Status: resource.StatusOK}, nil
}

// Delete deletes a resource; one that is gone already is no error.
func (p *awsProvider) Delete(ctx context.Context, r plugin.DeleteRequest) (plugin.DeleteResponse, error) {
	ctx, cancel := p.Context(ctx)
	defer cancel()
	k, err := p.kind(string(r.Type))
	if err != nil {
		return plugin.DeleteResponse{}, err
	}
	c := p.call(ctx, r.Name, r.ID, r.Inputs, nil, r.Outputs)
	p.note("delete", string(r.Type), c)
	c.limit = time.Duration(r.Timeout * float64(time.Second))
	if err := k.destroy(c); err != nil && !gone(err) {
		return plugin.DeleteResponse{}, bridged(err)
	}
	return plugin.DeleteResponse{Status: resource.StatusOK}, nil
}

// Invoke answers a function.
func (p *awsProvider) Invoke(ctx context.Context, r plugin.InvokeRequest) (plugin.InvokeResponse, error) {
	ctx, cancel := p.Context(ctx)
	defer cancel()
	f, ok := p.functions[string(r.Tok)]
	if !ok {
		return plugin.InvokeResponse{}, p.Unsupported("function", string(r.Tok))
	}
	args, failures := f.args.check(string(r.Tok), r.Args)
	if len(failures) > 0 {
		return plugin.InvokeResponse{Failures: failures}, nil
	}
	out, err := f.answer(&client{p.account, ctx}, args)
	if err != nil {
		return plugin.InvokeResponse{}, fmt.Errorf("invoking %s: %w", r.Tok, bridged(err))
	}
	// Arguments come back with the result, as the bridge returns them.
	res := args.Copy()
	maps.Copy(res, object(out))
	return plugin.InvokeResponse{Properties: res}, nil
}
