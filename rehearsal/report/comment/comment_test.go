package comment_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/report/comment"
)

// read reads a side of testdata. The plans in it are parts of real ones with some
// changes, and after has the run of examples/ at 8 slices a GPU.
func read(t *testing.T, side string) comment.Side {
	t.Helper()
	s := comment.Read(filepath.Join("testdata", side))
	if s.Unread != nil {
		t.Fatal(s.Unread)
	}
	return s
}

// forecast is of the runs of both sides, as if 4 and 8 slices had been asked for; whole
// GPUs take what 4 slices do.
func forecast(t *testing.T) *report.Forecast {
	t.Helper()
	f := report.NewForecast(report.NewAbout("dev", "us-west-1"))
	for slices, side := range map[int]string{1: "before", 4: "before", 8: "after"} {
		run := read(t, side).Run
		if err := f.Add(report.Count{Slices: slices, Asked: true, Nodes: run.Nodes, Pods: run.Pods, EverLaunched: len(run.NodeClaimsLaunched)}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func write(t *testing.T, before, after comment.Side) string {
	t.Helper()
	var out bytes.Buffer
	if err := comment.Write(&out, before, after); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	broken := read(t, "after")
	broken.Run.Phases[4].OK = false
	broken.Run.Pods[0].Reason = "Karpenter: no <b>instance type</b> | @everyone\n`nvidia.com/gpu` is **short**"
	broken.Run.DeniedCalls = []report.DeniedCall{{Principal: "role/x", Action: "ec2:RunInstances", Resource: "*", Reason: "no policy allows it", Count: 2}}
	broken.Run.Leftovers = []report.Leftover{{Type: "AWS::EC2::Instance", ID: "i-1"}}
	broken.Plans["dev"] = &engine.Plan{Stack: "dev", Diagnostics: []engine.Diagnostic{{Severity: "error", Message: "gpuSlices is 0: want 1 to 48\n```\n# no heading"}}}
	withForecast := read(t, "after")
	withForecast.Forecast = forecast(t)
	for name, c := range map[string]struct{ before, after comment.Side }{
		"change":     {read(t, "before"), withForecast},
		"no-change":  {read(t, "before"), read(t, "before")},
		"no-base":    {comment.Side{}, read(t, "after")},
		"nothing":    {read(t, "before"), comment.Side{}},
		"fell-short": {read(t, "before"), broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden := filepath.Join("testdata", name+".md")
			got := write(t, c.before, c.after)
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got); UPDATE_GOLDEN=1 rewrites it:\n%s", golden, diff)
			}
		})
	}
}

// However much there is to tell, GitHub takes the comment, and its folds and fences are
// closed.
func TestLimit(t *testing.T) {
	t.Parallel()
	before, after := read(t, "before"), read(t, "after")
	for i := range 40 {
		plan := *after.Plans["dev"]
		plan.Resources = nil
		for j := range 200 {
			plan.Resources = append(plan.Resources, engine.Resource{
				URN: resource.URN(fmt.Sprint("urn:", j)), Type: "aws:iam/role:Role", Name: fmt.Sprint(j), Inputs: map[string]any{"text": strings.Repeat("ä", 150)},
			})
		}
		stack := fmt.Sprintf("s%02d", i)
		after.Plans[stack], before.Plans[stack] = &plan, before.Plans["dev"]
	}
	got := write(t, before, after)
	if len(got) > comment.Limit || !utf8.ValidString(got) {
		t.Errorf("%d bytes, at most %d are allowed; valid UTF-8: %t", len(got), comment.Limit, utf8.ValidString(got))
	}
	if opened, closed := strings.Count(got, "<details>"), strings.Count(got, "</details>"); opened != closed || opened < 4 {
		t.Errorf("%d sections open and %d close", opened, closed)
	}
	if strings.Count(got, "\n```")%2 != 0 || !strings.Contains(got, "… cut") {
		t.Error("a fence stays open, or nothing says that it was cut")
	}
	if !strings.HasSuffix(got, "\n… cut: the whole is among the artifacts of the run\n") {
		t.Errorf("sections were left out, and the end does not say so: %q", got[len(got)-200:])
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	if s := comment.Read(filepath.Join(t.TempDir(), "missing")); s.Unread != nil || s.Run != nil || len(s.Plans) != 0 {
		t.Errorf("a folder that is not there: %+v", s)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"run.json": "{", "plan-dev.json": "[]", "plan-prod.json": "{}", "forecast.json": "{}", "forecast.html": "<", "plan-x.txt": "{"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := comment.Read(dir)
	if s.Unread == nil || len(s.Plans) != 1 || s.Run != nil || s.Forecast == nil {
		t.Fatalf("read %+v", s)
	}
	for _, want := range []string{filepath.Join(dir, "run.json"), filepath.Join(dir, "plan-dev.json"), "--json"} {
		if !strings.Contains(s.Unread.Error(), want) {
			t.Errorf("the error %q does not name %s", s.Unread, want)
		}
	}
	if text := write(t, s, read(t, "after")); !strings.Contains(text, "**Of the base could not be read:** `"+dir) || !strings.Contains(text, "gpu g4dn.xlarge spot") {
		t.Errorf("a comment on a base that cannot be read:\n%s", text)
	}
}
