package karpenter

import (
	"strings"
	"testing"

	"github.com/blang/semver"

	"eks-gpu-slicing/internal/settings"
)

// TestCheckRelease: what each release of Karpenter says to versions of Kubernetes.
func TestCheckRelease(t *testing.T) {
	t.Parallel()
	const refused, warned = "a problem", "a warning"
	for release, by := range map[string]map[string]string{
		"1.14.1": {"1.25": refused, "1.26": warned, "1.28": warned, "1.29": warned, "1.30": "", "1.36": "", "1.37": refused},
		"1.13.0": {"1.36": "", "1.37": refused},
		"1.12.3": {"1.28": warned, "1.29": "", "1.35": "", "1.36": refused},
		"1.9.0":  {"1.35": "", "1.36": refused},
		"1.8.2":  {"1.34": "", "1.35": refused},
		"1.7.0":  {"1.27": warned, "1.28": "", "1.34": "", "1.35": refused},
		"1.6.3":  {"1.30": refused},
		"0.37.0": {"1.28": refused},
		"1.15.0": {"1.28": "", "1.40": ""}, // nobody knows yet
		"2.0.0":  {"1.28": ""},
	} {
		for text, want := range by {
			version, err := settings.ParseVersion(text)
			if err != nil {
				t.Fatal(err)
			}
			problems, warning := checkRelease("at", "value", semver.MustParse(release), version, "upgrade it")
			got := ""
			switch {
			case len(problems) > 0:
				got = refused
				if p := problems[0]; p.Key != "at" || p.Value != "value" || p.Mend != "upgrade it" {
					t.Errorf("Karpenter %s on %s: %+v", release, text, p)
				}
			case warning != "":
				got = warned
				if !strings.Contains(warning, text) || !strings.Contains(warning, release) {
					t.Errorf("Karpenter %s on %s: %s", release, text, warning)
				}
			}
			if got != want {
				t.Errorf("Karpenter %s on Kubernetes %s: %q, want %q", release, text, got, want)
			}
		}
	}
}
