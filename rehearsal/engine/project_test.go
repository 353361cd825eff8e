package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eks-gpu-slicing/rehearsal/engine"
)

// writeProject writes a project of these files.
func writeProject(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const projectFile = "name: p\nruntime: go\n"

func TestProjectsThatCannotBeRehearsed(t *testing.T) {
	t.Parallel()
	const secure = "config:\n  p:token:\n    secure: v1:abc\n  p:list:\n    - a\n    - secure: v1:def\n  p:plain: x\n"
	for name, tc := range map[string]struct {
		files map[string]string
		stack string
		want  []string
	}{
		"no project":     {nil, "dev", []string{"the project's file", "Pulumi.yaml"}},
		"not a project":  {map[string]string{"Pulumi.yaml": "nam: p\n"}, "dev", []string{"Pulumi.yaml", "'name'"}},
		"unknown stack":  {map[string]string{"Pulumi.yaml": projectFile, "Pulumi.dev.yaml": "", "Pulumi.prod.yaml": ""}, "prd", []string{`stack "prd"`, "no Pulumi.prd.yaml", "dev, prod", "--stack"}},
		"no stack":       {map[string]string{"Pulumi.yaml": projectFile}, "dev", []string{`stack "dev"`, "nor any other stack's", "write one"}},
		"another folder": {map[string]string{"Pulumi.yaml": projectFile, "Pulumi.dev.yaml": ""}, "../dev", []string{`stack "../dev"`}},
		"no YAML":        {map[string]string{"Pulumi.yaml": projectFile, "Pulumi.dev.yaml": "config:\n  a: 1\n b: 2\n"}, "dev", []string{"Pulumi.dev.yaml is not YAML", "line 2"}},
		"no settings":    {map[string]string{"Pulumi.yaml": projectFile, "Pulumi.dev.yaml": "config: [1]\n"}, "dev", []string{"Pulumi.dev.yaml is no stack's settings"}},
		"encrypted":      {map[string]string{"Pulumi.yaml": projectFile, "Pulumi.dev.yaml": secure}, "dev", []string{"encrypted values", "list, token", "--config list=VALUE"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := engine.LoadProject(writeProject(t, tc.files), tc.stack, nil)
			if err == nil {
				t.Fatal("it was loaded")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant it to say %q", err, want)
				}
			}
		})
	}
}

func TestEncryptedValuesCanBeOverridden(t *testing.T) {
	t.Parallel()
	dir := writeProject(t, map[string]string{
		"Pulumi.yaml":     projectFile + "config:\n  count:\n    type: integer\n    default: 7\n",
		"Pulumi.dev.yaml": "encryptionsalt: v1:x\nconfig:\n  p:token:\n    secure: v1:abc\n  p:plain: x\n",
	})
	p, err := engine.LoadProject(dir, "dev", []string{"token=clear"})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"p:token": "clear", "p:plain": "x", "plain": "x", "p:none": "", "no key": "", "count": "7"} {
		if got := p.Config(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	// The salt is of a passphrase that the rehearsal does not have.
	e := start(t, "nothing", func(o *engine.Options) { o.Project = p })
	preview(t, e, 0)
	settings, err := os.ReadFile(filepath.Join(e.Area(), "project", "Pulumi.dev.yaml"))
	if err != nil || strings.Contains(string(settings), "v1:x\n") || !strings.Contains(string(settings), "p:token: clear") {
		t.Errorf("the settings are (%v):\n%s", err, settings)
	}
}

func TestParseOverride(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ // what the error says, "" for none
		"gpuSlices=8":                 "",
		"aws:region=us-east-1":        "",
		"names=[]":                    "",
		`tags={"a": "b"}`:             "",
		"empty=":                      "",
		"equation=a=b":                "",
		"gpuSlices":                   "--config gpuSlices is not KEY=VALUE",
		"=8":                          "is not KEY=VALUE",
		"":                            "is not KEY=VALUE",
		"a b=8":                       "is not KEY=VALUE",
		"a:b:c=8":                     "is not KEY=VALUE",
		"names=[a, b]":                "begins like a JSON list or object and is none",
		`names=["a"`:                  "quote it for the shell",
		`tags={"a": "b"} {"c": "d"}`:  "begins like a JSON list or object and is none",
		"eks-gpu-slicing:gpuSlices=8": "",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			_, err := engine.ParseOverride(text)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}
