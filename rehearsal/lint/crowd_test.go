package lint_test

import (
	"path/filepath"
	"strings"
	"testing"

	"eks-gpu-slicing/rehearsal/lint"
	"eks-gpu-slicing/rehearsal/packing/packingtest"
	"eks-gpu-slicing/rehearsal/workload"
)

func place(t *testing.T, file string) *lint.Crowd {
	t.Helper()
	objects, err := workload.Read([]string{filepath.Join("testdata", file)})
	if err != nil {
		t.Fatal(err)
	}
	a, s := packingtest.Rendered(t, "dev")
	crowd, err := lint.Place(t.Context(), lint.Input{Objects: objects, Stack: s, Account: a})
	if err != nil {
		t.Fatal(err)
	}
	return crowd
}

// TestPlace: pods that Karpenter refuses, that the device plugin would, and of objects
// that the API server does not take.
func TestPlace(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]struct{ planned, failed, refused, problems int }{
		"limit.yaml":        {64, 0, 6, 0},
		"share.yaml":        {1, 1, 0, 0},
		"selector-c6g.yaml": {0, 0, 3, 0},
		"invalid.yaml":      {0, 0, 0, 4},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			crowd := place(t, file)
			got := want
			got.failed, got.problems = len(crowd.Failed), len(crowd.Problems)
			got.planned, got.refused = 0, 0
			if crowd.Plan != nil {
				got.refused = len(crowd.Plan.Refused)
				for _, n := range crowd.Plan.Nodes {
					got.planned += len(n.Pods)
				}
			}
			if got != want {
				t.Errorf("planned, failed, refused, problems: %v, want %v", got, want)
			}
			for p, why := range crowd.Failed {
				if !strings.HasPrefix(why, "NVIDIA's device plugin") {
					t.Errorf("%s fails: %s", p.Name, why)
				}
			}
		})
	}
}
