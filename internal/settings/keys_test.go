package settings

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryDeclaredKeyIsRead gives each key of Pulumi.yaml a value that nothing takes:
// a key that goes unread would say nothing of it.
func TestEveryDeclaredKeyIsRead(t *testing.T) {
	t.Parallel()
	for _, key := range schema(t).Keys() {
		_, problems := Load(schema(t), valid(map[string]string{key: "\x00"}))
		if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Key == key }) {
			t.Errorf("Pulumi.yaml declares %s, and settings does not read it: %v", key, problems.Err())
		}
	}
}

// TestEveryReadKeyIsDeclared looks at the keys that the package's source names.
func TestEveryReadKeyIsDeclared(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	read := regexp.MustCompile(`\bl\.\w+\("(\w+)"|\bkey(?:, \w+)* :?= "(\w+)"|e\.standard\("(\w+)"\)`)
	var keys []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range read.FindAllStringSubmatch(string(text), -1) {
			keys = append(keys, m[1]+m[2]+m[3])
		}
	}
	declared := schema(t).Keys()
	if len(keys) < len(declared)/2 {
		t.Errorf("found only %v: does the package read its keys in another way?", keys)
	}
	for _, key := range keys {
		if !slices.Contains(declared, key) && key != "aws" {
			t.Errorf("settings reads %s, and Pulumi.yaml does not declare it", key)
		}
	}
}
