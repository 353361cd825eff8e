package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// TestReadmeSettings holds README.md's table of settings equal to what Pulumi.yaml
// declares; UPDATE_GOLDEN=1 rewrites it.
func TestReadmeSettings(t *testing.T) {
	const begin, end = "<!-- settings: made of Pulumi.yaml by UPDATE_GOLDEN=1 go test -run TestReadmeSettings . -->\n", "<!-- end of settings -->\n"
	compareReadme(t, begin, end, settingsTable(t))
}

// TestReadmeAWS holds what README.md says of the last run on AWS equal to its record, and
// that there was none while there is no record; UPDATE_GOLDEN=1 rewrites it.
func TestReadmeAWS(t *testing.T) {
	const begin, end = "<!-- aws: made of docs/records by UPDATE_GOLDEN=1 go test -run TestReadmeAWS . -->\n", "<!-- end of aws -->\n"
	records, err := filepath.Glob("docs/records/*.md") // each begins with its date
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(records)
	compareReadme(t, begin, end, awsLine(t, records))
	if len(records) == 0 {
		return
	}
	never := regexp.MustCompile(`(?i)not yet (?:been )?run on AWS`)
	for _, p := range pages(t) {
		if said := never.FindString(strings.Join(p.prose, " ")); said != "" {
			t.Errorf("%s says %q, and there is %s", p.path, said, records[0])
		}
	}
}

// TestReadmeSoak holds what README.md says of the last soak equal to its record;
// UPDATE_GOLDEN=1 rewrites it.
func TestReadmeSoak(t *testing.T) {
	const begin, end = "<!-- soak: made of docs/soak.md by UPDATE_GOLDEN=1 go test -run TestReadmeSoak . -->\n", "<!-- end of soak -->\n"
	compareReadme(t, begin, end, soakLine(t))
}

// TestReadmeFaults holds the counts above README.md's table of faults equal to the
// table, and to the record of the last soak; UPDATE_GOLDEN=1 rewrites them.
func TestReadmeFaults(t *testing.T) {
	const begin, end = "<!-- counts: made of the table and docs/soak.md by UPDATE_GOLDEN=1 go test -run TestReadmeFaults . -->\n", "<!-- end of counts -->\n"
	compareReadme(t, begin, end, faultsLine(t))
}

// compareReadme compares the part of README.md between two lines. It is for tests that
// are not parallel: each may rewrite its part.
func compareReadme(t *testing.T, begin, end, want string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := bytes.Cut(readme, []byte(begin))
	got, tail, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		t.Fatalf("README.md has nothing between %q and %q", begin, end)
	}
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

// awsLine says how the last of the records of runs on AWS went.
func awsLine(t *testing.T, records []string) string {
	t.Helper()
	if len(records) == 0 {
		return "**Not yet run on AWS.**\n"
	}
	last := records[len(records)-1]
	text, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	_, table, found := strings.Cut(string(text), "| step | result |\n|---|---|\n")
	for line := range strings.Lines(table) {
		step, result, isRow := strings.Cut(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if !isRow {
			break
		}
		steps = append(steps, step+": "+result)
	}
	if !found || len(steps) == 0 {
		t.Fatalf("%s has no table of steps and results, as aws-record.yml writes it", last)
	}
	return fmt.Sprintf("Last run on AWS: [%s](%s). %s.\n", strings.TrimSuffix(filepath.Base(last), ".md"), last, strings.Join(steps, "; "))
}

// soakLine says how the soak of docs/soak.md went. Each of its rows is of a test that
// there is.
func soakLine(t *testing.T) string {
	t.Helper()
	record, err := os.ReadFile("docs/soak.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := scenarios(t)
	passed, ran, seconds := 0, 0, 0
	var dates []string
	for line := range strings.Lines(string(record)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if !strings.HasPrefix(cells[0], "TestSoak") || len(cells) != 6 {
			continue
		}
		if !slices.Contains(tests, cells[0]) {
			t.Errorf("docs/soak.md: there is no test %s", cells[0])
		}
		ran++
		if cells[1] == "passed" {
			passed++
		}
		if n, err := strconv.Atoi(cells[2]); err == nil {
			seconds += n
		}
		dates = append(dates, cells[3])
	}
	if ran == 0 {
		t.Fatal("docs/soak.md has no row")
	}
	slices.Sort(dates)
	when := dates[0]
	if last := dates[len(dates)-1]; last != when {
		when += " to " + last
	}
	line := fmt.Sprintf("Last soak: %s, %d of %d passed, in %d minutes; [the record](docs/soak.md) has a row for each.", when, passed, ran, (seconds+30)/60)
	tests = slices.DeleteFunc(tests, func(name string) bool {
		return !strings.HasPrefix(name, "TestSoak") || strings.Contains(string(record), "| "+name+" |")
	})
	if len(tests) > 0 {
		line += " Not in it yet: " + strings.Join(tests, ", ") + "."
	}
	return line + "\n"
}

// faultsLine counts the faults of README.md's table: its first column has a number for
// each test that the last one names, or one for all. A test of make test fails the build
// if its faults are not survived, or leave anything; one of the soak has its row in the
// record.
func faultsLine(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	record, err := os.ReadFile("docs/soak.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := scenarios(t)
	_, table, found := strings.Cut(string(readme), "\n| faults | what is broken |")
	if !found {
		t.Fatal("README.md has no table of faults")
	}
	var always, passed, failed, notRun int
	for _, name := range tests {
		if strings.HasPrefix(name, "TestSoak") && !regexp.MustCompile(`(?m)[ ,]`+name+`(,.*)? \|$`).MatchString(table) {
			t.Errorf("README.md's table of faults has no row of %s", name)
		}
	}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if strings.HasPrefix(line, "</details>") {
			break
		}
		if len(cells) != 5 || cells[0] == "-" {
			continue
		}
		counts, names := strings.Split(cells[0], ", "), strings.Split(cells[4], ", ")
		for i, count := range counts {
			n, err := strconv.Atoi(count)
			if err != nil || i >= len(names) || !slices.Contains(tests, names[i]) {
				t.Errorf("README.md's table of faults: %q faults of the tests %q: %v", cells[0], cells[4], err)
				continue
			}
			switch {
			case !strings.HasPrefix(names[i], "TestSoak"):
				always += n
			case strings.Contains(string(record), "| "+names[i]+" | passed |"):
				passed += n
			case strings.Contains(string(record), "| "+names[i]+" |"):
				failed += n
			default:
				notRun += n
			}
		}
	}
	soak := passed + failed + notRun
	line := fmt.Sprintf("Faults tried: %d, of which %d by `make test` and %d by `make soak`. Survived, as their rows say: %d.", always+soak-notRun, always, soak-notRun, always+passed)
	if failed > 0 {
		line += fmt.Sprintf(" %d did not go as the row says.", failed)
	}
	line += " Left over after the survived: nothing, which each test looks for."
	if notRun > 0 {
		line += fmt.Sprintf(" %d more have not been tried since they were written.", notRun)
	}
	return line + "\n"
}

// scenarios are the names of the tests of rehearsal/scenario.
func scenarios(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("rehearsal/scenario/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test[A-Z]\w*)\(t \*testing\.T\)`).FindAllStringSubmatch(string(text), -1) {
			all = append(all, m[1])
		}
	}
	slices.Sort(all)
	return all
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
