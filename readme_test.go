package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// TestReadmeSettings holds README.md's table of settings equal to what Pulumi.yaml
// declares; UPDATE_GOLDEN=1 rewrites it.
func TestReadmeSettings(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- settings: made of Pulumi.yaml by UPDATE_GOLDEN=1 go test -run TestReadmeSettings . -->\n", "<!-- end of settings -->\n"
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := bytes.Cut(readme, []byte(begin))
	got, tail, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		t.Fatalf("README.md has no table between %q and %q", begin, end)
	}
	want := settingsTable(t)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		if os.Getenv("UPDATE_GOLDEN") == "" {
			t.Errorf("README.md (-want +got); UPDATE_GOLDEN=1 rewrites it:\n%s", diff)
			return
		}
		text := bytes.Join([][]byte{head, []byte(begin), []byte(want), []byte(end), tail}, nil)
		if err := os.WriteFile("README.md", text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// settingsTable is a table of what Pulumi.yaml declares, in its order.
func settingsTable(t *testing.T) string {
	t.Helper()
	var file struct{ Config yaml.Node }
	if err := yaml.Unmarshal(project, &file); err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| key | type | default | what it is |\n|---|---|---|---|\n")
	for i := 0; i+1 < len(file.Config.Content); i += 2 {
		key := file.Config.Content[i].Value
		if strings.Contains(key, ":") {
			continue // the engine's own
		}
		var declared struct {
			Type        string
			Default     yaml.Node
			Description string
		}
		if err := file.Config.Content[i+1].Decode(&declared); err != nil {
			t.Fatal(err)
		}
		if declared.Description == "" || declared.Type == "" {
			t.Errorf("Pulumi.yaml: %s has no description or no type", key)
		}
		text := strings.ReplaceAll(strings.TrimSpace(declared.Description), "|", `\|`)
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", key, declared.Type, shownDefault(t, declared.Default), text)
	}
	return table.String()
}

// shownDefault is a default as one would write it in a stack's file.
func shownDefault(t *testing.T, value yaml.Node) string {
	t.Helper()
	if value.Value == "" && len(value.Content) == 0 {
		return "none"
	}
	value.Style |= yaml.FlowStyle
	text, err := yaml.Marshal(&value)
	if err != nil {
		t.Fatal(err)
	}
	return "`" + strings.TrimSpace(string(text)) + "`"
}
