package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"eks-gpu-slicing/internal/settings"
)

// page is a Markdown file of the project's.
type page struct {
	path string
	// prose are its lines outside code blocks, code those within.
	prose, code []string
}

// pages are what is for people to read.
func pages(t *testing.T) []page {
	t.Helper()
	files := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	for _, pattern := range []string{"docs/*.md", "examples/*.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	var all []page
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p := page{path: file}
		inCode := false
		for line := range strings.Lines(string(text)) {
			line = strings.TrimRight(line, "\n")
			switch {
			case strings.HasPrefix(strings.TrimSpace(line), "```"):
				inCode = !inCode
			case inCode:
				p.code = append(p.code, line)
			default:
				p.prose = append(p.prose, line)
			}
		}
		if inCode {
			t.Errorf("%s: a code block stays open", file)
		}
		all = append(all, p)
	}
	return all
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// anchors are those that GitHub gives a page's headings.
func (p page) anchors() []string {
	var all []string
	for _, line := range p.prose {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		anchor := strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")
		for n, base := 1, anchor; slices.Contains(all, anchor); n++ {
			anchor = fmt.Sprintf("%s-%d", base, n)
		}
		all = append(all, anchor)
	}
	return all
}

// TestDocsLinks follows every link to a file of the project's or to a heading.
func TestDocsLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"`)
	anchors := map[string][]string{}
	for _, p := range pages(t) {
		anchors[p.path] = p.anchors()
	}
	followed := 0
	for _, p := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(strings.Join(p.prose, "\n"), -1) {
			target := m[1] + m[2]
			if strings.Contains(target, "://") {
				continue
			}
			followed++
			file, anchor, hasAnchor := strings.Cut(target, "#")
			path := p.path
			if file != "" {
				path = filepath.Join(filepath.Dir(p.path), file)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: the link %s leads nowhere: %v", p.path, target, err)
			} else if hasAnchor && !slices.Contains(anchors[path], anchor) {
				t.Errorf("%s: the link %s leads to no heading; there are %v", p.path, target, anchors[path])
			}
		}
	}
	if followed < 10 {
		t.Errorf("only %d links were found: are they written in another way?", followed)
	}
}

// TestDocsCommands looks at what the commands of the pages name: settings, make's
// targets, and files.
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	schema, err := settings.ParseSchema(project)
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile(`(?:pulumi config (?:set|rm) (?:--path )?|--config |-c )'?([A-Za-z:]+)`)
	target := regexp.MustCompile("(?:^|`)make ([a-z][a-z-]*)")
	file := regexp.MustCompile(`(?:^|[ =(\x60])(examples/[a-z0-9./-]*[a-z0-9]|rendered/[a-z0-9.-]+\.yaml)`)
	found := 0
	for _, p := range pages(t) {
		for _, line := range append(p.code, p.prose...) {
			for _, m := range key.FindAllStringSubmatch(line, -1) {
				found++
				if _, declared := schema.Defaults[m[1]]; !declared && !strings.Contains(m[1], ":") && m[1] != "KEY" {
					t.Errorf("%s: there is no setting %s: %s", p.path, m[1], line)
				}
			}
			for _, m := range target.FindAllStringSubmatch(line, -1) {
				found++
				if !strings.Contains(string(makefile), "\n"+m[1]+":") {
					t.Errorf("%s: make has no %s: %s", p.path, m[1], line)
				}
			}
			for _, m := range file.FindAllStringSubmatch(line, -1) {
				found++
				path := m[1]
				if name, ok := strings.CutPrefix(path, "rendered/"); ok {
					path = filepath.Join("testdata/rendered/dev", name)
				}
				if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: there is no %s: %s", p.path, path, line)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d names were found: are they written in another way?", found)
	}
}

// TestDocsMessages looks the messages of docs/troubleshooting.md up: in the source, or
// in what lint was found to say of manifests.
func TestDocsMessages(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		isSource := strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
		if isSource || strings.HasPrefix(path, filepath.Join("rehearsal", "lint", "testdata")) {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			source.Write(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	message := regexp.MustCompile("^\\| `([^`]+)` \\|")
	found := 0
	for _, p := range pages(t) {
		if p.path != filepath.Join("docs", "troubleshooting.md") {
			continue
		}
		for _, line := range p.prose {
			if m := message.FindStringSubmatch(line); m != nil {
				found++
				if !strings.Contains(source.String(), m[1]) {
					t.Errorf("nothing says %q any more", m[1])
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d messages were found: are they written in another way?", found)
	}
}

// TestDocsTests looks the tests that the pages name up in the source.
func TestDocsTests(t *testing.T) {
	t.Parallel()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)[A-Z]\w*)\(`)
	var names []string
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(-run |RUN=)?\b(Test[A-Z]\w*)(…)?`)
	found := 0
	for _, p := range pages(t) {
		for _, line := range append(p.code, p.prose...) {
			for _, m := range named.FindAllStringSubmatch(line, -1) {
				found++
				some := m[1]+m[3] != "" // -run takes the beginning of a name
				if !slices.ContainsFunc(names, func(n string) bool { return n == m[2] || some && strings.HasPrefix(n, m[2]) }) {
					t.Errorf("%s: there is no test %s: %s", p.path, m[2], line)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d tests were found: are they named in another way?", found)
	}
}

// TestDocsFolders: docs/architecture.md tells of each folder that holds Go, or a module, what
// it is for. One that is a part of another, or serves its tests alone, may be left out.
func TestDocsFolders(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("`([^`]+)`")
	var told []string
	for line := range strings.Lines(string(text)) {
		if first, _, isRow := strings.Cut(strings.TrimPrefix(line, "| "), " | "); isRow && strings.HasPrefix(line, "| `") {
			for _, m := range code.FindAllStringSubmatch(first, -1) {
				told = append(told, m[1])
				if _, err := os.Stat(m[1]); err == nil {
					continue
				}
				if _, err := os.Stat(filepath.Join("rehearsal", m[1])); err != nil {
					t.Errorf("docs/architecture.md tells of %s, which is not there", m[1])
				}
			}
		}
	}
	err = filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		parts := strings.Split(path, string(filepath.Separator))
		if path == "." || path == "internal" || path == "rehearsal" || path == filepath.Join("rehearsal", "cmd") {
			return nil
		}
		goes, errGo := filepath.Glob(filepath.Join(path, "*.go"))
		modules, errModule := filepath.Glob(filepath.Join(path, "go.mod"))
		if err := errors.Join(errGo, errModule); err != nil {
			return err
		}
		folder := strings.TrimPrefix(path, "rehearsal"+string(filepath.Separator))
		switch {
		case strings.HasPrefix(parts[len(parts)-1], "."), parts[len(parts)-1] == "testdata":
			return fs.SkipDir
		case slices.Contains(told, folder):
			return fs.SkipDir
		case len(goes)+len(modules) > 0:
			t.Errorf("docs/architecture.md does not tell of %s", path)
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDocsExamples: each example has a page, with what its readers look for, in that order,
// and in the README's list. What it prints is held by the tests of the command rehearse.
func TestDocsExamples(t *testing.T) {
	t.Parallel()
	examples, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("examples: %q, %v", examples, err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, example := range examples {
		page := strings.TrimSuffix(example, ".yaml") + ".md"
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		var titles []string
		for line := range strings.Lines(string(text)) {
			if title, isTitle := strings.CutPrefix(line, "## "); isTitle {
				titles = append(titles, strings.TrimSpace(title))
			}
		}
		if want := []string{"Purpose", "Requirements", "Deploy", "Results", "Cleanup"}; !slices.Equal(titles, want) {
			t.Errorf("%s has the sections %q, want %q", page, titles, want)
		}
		_, results, _ := strings.Cut(string(text), "## Results\n")
		results, _, _ = strings.Cut(results, "\n## ")
		for _, want := range []string{"```sh run\n", example, "```text output\n"} {
			if !strings.Contains(results, want) {
				t.Errorf("%s: its results have no %q", page, want)
			}
		}
		if !strings.Contains(string(readme), "("+page+")") {
			t.Errorf("README.md does not list %s", page)
		}
	}
}
