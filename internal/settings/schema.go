package settings

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Schema is what Pulumi.yaml declares: which keys there are, and their defaults.
type Schema struct {
	// Namespace is the project's name, the namespace of its keys.
	Namespace string
	// Defaults holds the default of each declared key of the project's own
	// namespace, in the form the engine hands a program: plain text for a
	// scalar, JSON for a list or map. A key without a default is present and
	// empty.
	Defaults map[string]string
}

// ParseSchema reads the name and config sections of a Pulumi.yaml. It returns
// an error when the text is not YAML or a default cannot be written as JSON.
func ParseSchema(projectYAML []byte) (*Schema, error) {
	var project struct {
		Name   string                           `yaml:"name"`
		Config map[string]struct{ Default any } `yaml:"config"`
	}
	if err := yaml.Unmarshal(projectYAML, &project); err != nil {
		return nil, fmt.Errorf("Pulumi.yaml: %w", err)
	}
	schema := &Schema{Namespace: project.Name, Defaults: map[string]string{}}
	for key, declared := range project.Config {
		if strings.Contains(key, ":") {
			continue // another namespace's: pulumi:disable-default-providers
		}
		switch v := declared.Default.(type) {
		case nil:
			schema.Defaults[key] = ""
		case string:
			schema.Defaults[key] = v
		default:
			text, err := json.Marshal(v)
			if err != nil {
				return nil, fmt.Errorf("Pulumi.yaml: default of %s: %w", key, err)
			}
			schema.Defaults[key] = string(text)
		}
	}
	return schema, nil
}

// Keys lists the declared keys, sorted.
func (s *Schema) Keys() []string {
	keys := make([]string, 0, len(s.Defaults))
	for key := range s.Defaults {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
