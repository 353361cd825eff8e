package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
)

// Project is a Pulumi project in its folder, with one of its stacks chosen and
// values of its config overridden. The folder is read, never written.
type Project struct {
	// Name as in Pulumi.yaml.
	Name string
	// Stack is the chosen stack's name.
	Stack string

	project   *workspace.Project
	files     map[string]string // name in the work area → file
	overrides []Override
	config    config.Map // of the stack, overrides included
}

// LoadProject reads the project in dir, with values of the config overridden by
// KEY=VALUE (see [ParseOverride]). The error is one for the user: no or
// no valid Pulumi.yaml, a stack without a settings file (it lists those that
// have one), a settings file that is not YAML, or one that holds encrypted
// values, which only its owner's key can open.
func LoadProject(dir, stack string, config []string) (*Project, error) {
	var overrides []Override
	for _, text := range config {
		o, err := ParseOverride(text)
		if err != nil {
			return nil, err
		}
		overrides = append(overrides, o)
	}
	file := filepath.Join(dir, "Pulumi.yaml")
	project, err := workspace.LoadProject(file)
	if err != nil {
		return nil, fmt.Errorf("the project's file: %w", err)
	}
	settings, err := stackFile(dir, stack)
	if err != nil {
		return nil, err
	}
	p := &Project{
		Name: project.Name.String(), Stack: stack, project: project, overrides: overrides,
		files: map[string]string{"Pulumi.yaml": file, filepath.Base(settings): settings},
	}
	values, err := p.settings(settings)
	if err != nil {
		return nil, err
	}
	p.config = values.Config
	return p, checkOpen(settings, values, p.Name)
}

// Config is a value of the stack's config, such as that of "aws:region" or of the
// project's own "clusterName", or the default that Pulumi.yaml declares for it; "" for
// neither.
func (p *Project) Config(key string) string {
	full := key
	if !strings.Contains(key, ":") {
		full = p.Name + ":" + key
	}
	k, err := config.ParseKey(full)
	if err != nil {
		return ""
	}
	value, err := p.config[k].Value(config.NopDecrypter)
	if err != nil {
		return "" // checkOpen has refused what is encrypted
	}
	if declared, ok := p.project.Config[key]; value == "" && ok && declared.Default != nil {
		value = fmt.Sprint(declared.Default)
	}
	return value
}

// Stacks lists the stacks of the project in dir that have a settings file.
func Stacks(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "Pulumi.*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("looking for stacks in %s: %w", dir, err)
	}
	var stacks []string
	for _, f := range files {
		stacks = append(stacks, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "Pulumi."), ".yaml"))
	}
	return stacks, nil
}

// stackFile finds a stack's settings among those in dir.
func stackFile(dir, stack string) (string, error) {
	stacks, err := Stacks(dir)
	if err != nil {
		return "", err
	}
	if slices.Contains(stacks, stack) {
		return filepath.Join(dir, "Pulumi."+stack+".yaml"), nil
	}
	if len(stacks) == 0 {
		return "", fmt.Errorf("stack %q: there is no Pulumi.%s.yaml, nor any other stack's, in %s; write one with a config: section",
			stack, stack, dir)
	}
	return "", fmt.Errorf("stack %q: there is no Pulumi.%s.yaml in %s; its stacks are %s: choose one with --stack, or write that file",
		stack, stack, dir, strings.Join(stacks, ", "))
}

// settings reads a stack's settings file and applies the overrides to it.
func (p *Project) settings(file string) (*workspace.ProjectStack, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the stack's settings: %w", err)
	}
	var any yaml.Node
	if err := yaml.Unmarshal(text, &any); err != nil { // names the line, which the loader does not
		return nil, fmt.Errorf("%s is not YAML: %w", file, err)
	}
	stack, err := workspace.LoadProjectStack(nil, p.project, file)
	if err != nil {
		return nil, fmt.Errorf("%s is no stack's settings: %w", file, err)
	}
	for _, o := range p.overrides {
		key, err := o.key(p.Name)
		if err != nil {
			return nil, err
		}
		if err := stack.Config.Set(key, o.value, false); err != nil {
			return nil, fmt.Errorf("--config %s: %w", o.text, err)
		}
	}
	return stack, nil
}

// checkOpen refuses settings that are encrypted.
func checkOpen(file string, stack *workspace.ProjectStack, project string) error {
	var closed []string
	for key, value := range stack.Config {
		if value.Secure() {
			closed = append(closed, strings.TrimPrefix(key.String(), project+":"))
		}
	}
	if len(closed) == 0 {
		return nil
	}
	slices.Sort(closed)
	return fmt.Errorf("%s holds encrypted values, which a rehearsal has no key to: %s; give each in the clear, for this run alone: --config %s=VALUE",
		file, strings.Join(closed, ", "), closed[0])
}

// Override is one value of the config, set for one run.
type Override struct {
	text  string
	name  string
	value config.Value
}

var configKey = regexp.MustCompile(`^([A-Za-z0-9_.-]+:)?[A-Za-z0-9_.-]+$`)

// ParseOverride reads KEY=VALUE. A key without a namespace is the project's. A
// value that is a JSON list or object is one in the config; any other is kept
// as `pulumi config set` keeps it: a string, which the engine reads as the type
// that Pulumi.yaml declares.
func ParseOverride(text string) (Override, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || !configKey.MatchString(name) {
		return Override{}, fmt.Errorf("--config %s is not KEY=VALUE, such as gpuSlices=8, aws:region=us-east-1 or 'gpuInstanceTypes=[\"g4dn.xlarge\"]'", text)
	}
	o := Override{text: text, name: name, value: config.NewValue(value)}
	if trimmed := strings.TrimSpace(value); strings.HasPrefix(trimmed, "[") || strings.HasPrefix(trimmed, "{") {
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(trimmed)); err != nil {
			return Override{}, fmt.Errorf("--config %s: the value begins like a JSON list or object and is none (%w); quote it for the shell, as in --config '%s=[\"a\",\"b\"]'",
				text, err, name)
		}
		o.value = config.NewObjectValue(compact.String())
	}
	return o, nil
}

func (o Override) key(project string) (config.Key, error) {
	name := o.name
	if !strings.Contains(name, ":") {
		name = project + ":" + name
	}
	key, err := config.ParseKey(name)
	if err != nil {
		return key, fmt.Errorf("--config %s: %w", o.text, err)
	}
	return key, nil
}

// writeTo puts the project into its folder of the work area, and an empty
// stack of that name into the state.
func (p *Project) writeTo(folder, state string) error {
	for name, file := range p.files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("copying the project: %w", err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			return fmt.Errorf("copying the project: %w", err)
		}
	}
	settings := filepath.Join(folder, "Pulumi."+p.Stack+".yaml")
	stack, err := p.settings(settings)
	if err != nil {
		return err
	}
	// The rehearsal has a passphrase of its own, so whatever the user's secrets
	// are kept with does not matter here.
	if stack.SecretsProvider != "" || stack.EncryptedKey != "" || stack.EncryptionSalt != "" {
		stack.SecretsProvider, stack.EncryptedKey, stack.EncryptionSalt = "", "", ""
	} else if len(p.overrides) == 0 {
		return p.initStack(state)
	}
	if err := stack.Save(settings); err != nil {
		return fmt.Errorf("overriding the config: %w", err)
	}
	return p.initStack(state)
}

// initStack leaves in a file backend what `pulumi stack init` does, which would
// cost a start of the CLI: the backend's layout version and a checkpoint
// without resources (pulumi/pkg/v3/backend/diy, meta.go and state.go). A test
// holds the two equal.
func (p *Project) initStack(state string) error {
	checkpoint, err := json.Marshal(apitype.CheckpointV3{Stack: tokens.QName("organization/" + p.Name + "/" + p.Stack)})
	if err != nil {
		return fmt.Errorf("an empty stack: %w", err)
	}
	versioned, err := json.Marshal(apitype.VersionedCheckpoint{Version: apitype.DeploymentSchemaVersionCurrent, Checkpoint: checkpoint})
	if err != nil {
		return fmt.Errorf("an empty stack: %w", err)
	}
	stacks := filepath.Join(state, ".pulumi", "stacks", p.Name)
	err = errors.Join(
		os.MkdirAll(stacks, 0o700),
		os.WriteFile(filepath.Join(state, ".pulumi", "meta.yaml"), []byte("version: 1\n"), 0o600),
		os.WriteFile(filepath.Join(stacks, p.Stack+".json"), versioned, 0o600),
	)
	if err != nil {
		return fmt.Errorf("an empty stack: %w", err)
	}
	return nil
}
