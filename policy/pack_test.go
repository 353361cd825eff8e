package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

func TestLevels(t *testing.T) {
	t.Parallel()
	bad := one(volumeType, object{"tags": object{"a": "b"}}, nil)
	for name, tc := range map[string]struct {
		config map[string]plugin.AnalyzerPolicyConfig
		want   []apitype.EnforcementLevel
	}{
		"by itself":  {nil, []apitype.EnforcementLevel{apitype.Mandatory}},
		"advisory":   {map[string]plugin.AnalyzerPolicyConfig{"encrypted-volumes": {EnforcementLevel: apitype.Advisory}}, []apitype.EnforcementLevel{apitype.Advisory}},
		"disabled":   {map[string]plugin.AnalyzerPolicyConfig{"encrypted-volumes": {EnforcementLevel: apitype.Disabled}}, nil},
		"other rule": {map[string]plugin.AnalyzerPolicyConfig{"tagged": {EnforcementLevel: apitype.Disabled}}, []apitype.EnforcementLevel{apitype.Mandatory}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPack(rules())
			if err := p.Configure(t.Context(), tc.config); err != nil {
				t.Fatal(err)
			}
			response, err := p.Analyze(t.Context(), bad)
			if err != nil {
				t.Fatal(err)
			}
			var got []apitype.EnforcementLevel
			for _, d := range response.Diagnostics {
				got = append(got, d.EnforcementLevel)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("levels (-want +got):\n%s", d)
			}
		})
	}
}

// A violation says what is demanded, what is wrong, and what to do, at the
// resource.
func TestViolation(t *testing.T) {
	t.Parallel()
	response, err := newPack([]rule{privateEndpoint()}).Analyze(t.Context(), one(clusterType, object{}, nil))
	if err != nil || len(response.Diagnostics) != 1 {
		t.Fatalf("%v, %v", response, err)
	}
	want := plugin.AnalyzeDiagnostic{
		PolicyName: "private-endpoint", PolicyPackName: "eks-gpu-slicing", PolicyPackVersion: "1.0.0",
		Description: "Nodes reach the cluster's API inside the VPC, by its private endpoint.",
		Message: "vpcConfig.endpointPrivateAccess is not set; it must be true\n" +
			"Set vpcConfig.endpointPrivateAccess to true (endpointPrivateAccess of the eks.Cluster component). AWS's default is false.",
		EnforcementLevel: apitype.Mandatory, URN: urn(clusterType, "it"),
	}
	if d := cmp.Diff(want, response.Diagnostics[0]); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	info, err := newPack(rules()).GetAnalyzerInfo(t.Context())
	if err != nil || !info.SupportsConfig || info.Name != "eks-gpu-slicing" {
		t.Fatalf("%v, %v", info, err)
	}
	var names []string
	for _, p := range info.Policies {
		names = append(names, p.Name)
		if p.Description == "" || p.RemediationSteps == "" || p.EnforcementLevel != apitype.Mandatory {
			t.Errorf("%s is not all told: %v", p.Name, p)
		}
	}
	want := []string{"encrypted-volumes", "imdsv2", "no-wildcard-iam", "private-endpoint", "slices-agree", "tagged"}
	if d := cmp.Diff(want, names); d != "" { // the names are users' to configure
		t.Errorf("rules (-want +got):\n%s", d)
	}
}

// The program's own objects, as the goldens of both stacks have them, violate
// nothing.
func TestRenderedObjects(t *testing.T) {
	t.Parallel()
	for _, stack := range []string{"dev", "prod"} {
		t.Run(stack, func(t *testing.T) {
			t.Parallel()
			all := rendered(t, stack)
			judged := map[string]bool{}
			p := newPack(rules())
			for _, r := range all {
				response, err := p.Analyze(t.Context(), r.AnalyzerResource)
				v := read(t, response, err)
				for _, rule := range []string{"encrypted-volumes", "imdsv2", "no-wildcard-iam"} {
					if got := v.violations[rule]; len(got) != 0 {
						t.Errorf("%s: %v", r.Name, got)
					}
					if _, skipped := v.reasons[rule]; !skipped {
						judged[rule] = true
					}
				}
			}
			if len(judged) != 3 {
				t.Errorf("only %v found something to judge", judged)
			}
			response, err := p.AnalyzeStack(t.Context(), all)
			read(t, response, err).expect(t, "slices-agree", nil, "")
		})
	}
}

// rendered reads what the program's goldens hold of types that rules judge.
func rendered(t *testing.T, stack string) []plugin.AnalyzerStackResource {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "testdata", "rendered", stack, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	types := map[string]tokens.Type{
		"configmap": configMapType, "daemonset": daemonSetType, "nodepool": nodePoolType, "nodeoverlay": nodeOverlayType, "ec2nodeclass": nodeClassType,
	}
	var all []plugin.AnalyzerStackResource
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := strings.Cut(filepath.Base(file), "-")
		switch typ, ok := types[kind]; {
		case ok:
			var in object
			if err := yaml.Unmarshal(content, &in); err != nil {
				t.Fatal(err)
			}
			all = append(all, member(typ, filepath.Base(file), in))
		case kind == "policy":
			all = append(all, member(policyType, filepath.Base(file), object{"policy": string(content)}))
		case kind == "trust":
			all = append(all, member(roleType, filepath.Base(file), object{"assumeRolePolicy": string(content)}))
		}
	}
	return all
}

// TestTaggable compares the types that take tags with those of the pinned SDK.
// UPDATE_GOLDEN=1 rewrites the list.
func TestTaggable(t *testing.T) {
	t.Parallel()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/pulumi/pulumi-aws/sdk/v6").Output()
	if err != nil {
		t.Fatalf("where pulumi-aws' SDK is: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "go", "aws", "*", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no SDK in %s: %v", dir, err)
	}
	registered := regexp.MustCompile(`ctx\.RegisterResource\("([^"]+)"`)
	arguments := regexp.MustCompile(`(?ms)^type \w+Args struct \{\n(.*?)^\}`)
	var types []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, args := registered.FindSubmatch(content), arguments.FindSubmatch(content)
		if name != nil && args != nil && strings.Contains(string(args[1]), "\tTags ") {
			types = append(types, string(name[1]))
		}
	}
	slices.Sort(types)
	want := strings.Join(types, "\n") + "\n"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile("taggable.txt", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, taggable); d != "" {
		t.Errorf("taggable.txt is not the SDK's (-SDK +file); UPDATE_GOLDEN=1 go test -run TestTaggable ./policy\n%s", d)
	}
}

// TestGPUs compares the list of GPUs with the rehearsal's catalogue.
func TestGPUs(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../rehearsal/catalogue/catalogue.json")
	if err != nil {
		t.Fatal(err)
	}
	var catalogue struct {
		Types []struct {
			Name string
			GPUs []struct {
				Maker string
				Count int
			}
		}
	}
	if err := json.Unmarshal(content, &catalogue); err != nil || len(catalogue.Types) == 0 {
		t.Fatalf("the catalogue has %d types, %v", len(catalogue.Types), err)
	}
	for _, typ := range catalogue.Types {
		want := 0
		for _, g := range typ.GPUs {
			if g.Maker == "NVIDIA" {
				want += g.Count
			}
		}
		if got, known := gpusOf(typ.Name); got != want || known != (want > 0) {
			t.Errorf("%s has %d GPUs, known %t; the catalogue says %d", typ.Name, got, known, want)
		}
	}
}
