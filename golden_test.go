package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// TestRendered compares every Kubernetes object and every IAM policy of the example
// stacks with testdata/rendered, which reviewers read, and of a stack with several
// GPU pools those that the dev stack has not. The rehearsal's module decodes the
// same files strictly into Karpenter's and NVIDIA's own types. UPDATE_GOLDEN=1
// rewrites them.
func TestRendered(t *testing.T) {
	t.Parallel()
	for _, stack := range []string{"dev", "prod", "existing", "pools"} {
		t.Run(stack, func(t *testing.T) {
			t.Parallel()
			w := plainWorld()
			if stack == "existing" {
				w = existingWorld()
			}
			if stack == "pools" {
				r, err := plan(t, w, poolsConfig(t))
				if err != nil {
					t.Fatal(err)
				}
				dev := read(t, filepath.Join("testdata", "rendered", "dev"))
				got := rendered(t, r)
				maps.DeleteFunc(got, func(file, text string) bool { return dev[file] == text })
				compare(t, stack, got)
				return
			}
			if stack == "prod" { // us-west-2, which has four zones
				w.subnets["subnet-placeholder3"] = subnet{"c", "az3", true, ""}
				w.subnets["subnet-placeholder4"] = subnet{"d", "az1", true, ""}
			}
			r, err := plan(t, w, stackConfig(t, stack, nil))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, stack, rendered(t, r))
		})
	}
}

// compare compares files with those of a folder of testdata/rendered.
func compare(t *testing.T, stack string, got map[string]string) {
	t.Helper()
	dir := filepath.Join("testdata", "rendered", stack)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		write(t, dir, got)
	}
	if diff := cmp.Diff(read(t, dir), got); diff != "" {
		t.Errorf("%s differs (-golden +rendered); if that is meant: UPDATE_GOLDEN=1 go test -run TestRendered .\n%s", dir, diff)
	}
}

// rendered is the text of each object and policy, by file name.
func rendered(t *testing.T, r *recorder) map[string]string {
	t.Helper()
	files := map[string]string{}
	policy := func(file, text string) {
		var b bytes.Buffer
		if err := json.Indent(&b, []byte(text), "", "  "); err != nil {
			t.Errorf("%s is not JSON: %v", file, err)
		}
		files[file] = b.String() + "\n"
	}
	for k, one := range r.resources {
		in := one.inputs.Mappable()
		name := func(key string) string { s, _ := in[key].(string); return s }
		switch typ := one.typ; {
		case typ == "aws:iam/role:Role":
			policy("trust-"+name("name")+".json", name("assumeRolePolicy"))
		case typ == "aws:iam/policy:Policy":
			policy("policy-"+name("name")+".json", name("policy"))
		case typ == "aws:sqs/queuePolicy:QueuePolicy":
			policy("queue-policy.json", name("policy"))
		case typ == "kubernetes:helm.sh/v3:Release":
			files["values-"+name("name")+".yaml"] = yamlText(t, in["values"])
		case strings.HasPrefix(typ, "kubernetes:"):
			metadata, ok := in["metadata"].(map[string]any)
			name, named := metadata["name"].(string)
			if !ok || !named {
				t.Errorf("%s has no fixed name", k)
				continue
			}
			kind, _ := in["kind"].(string)
			files[strings.ToLower(kind)+"-"+name+".yaml"] = yamlText(t, in)
		}
	}
	return files
}

func yamlText(t *testing.T, v any) string {
	t.Helper()
	if v == nil {
		return "{}\n"
	}
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(files[name]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// maxPolicy is IAM's limit of a managed policy, in characters without white
// space (IAM user guide, "IAM and AWS STS quotas").
const maxPolicy = 6144

func TestPoliciesFit(t *testing.T) {
	t.Parallel()
	// The longest names there are: policies carry the cluster's many times.
	long := strings.Repeat("n", 100)
	r, err := plan(t, plainWorld(), stackConfig(t, "dev", map[string]string{"eks-gpu-slicing:clusterName": long, "aws:region": "ap-southeast-1"}))
	if err != nil {
		t.Fatal(err)
	}
	policies := r.ofType("aws:iam/policy:Policy")
	if len(policies) == 0 {
		t.Fatal("no policies")
	}
	for _, k := range policies {
		if n := len(r.resources[k].inputs["policy"].StringValue()); n > maxPolicy {
			t.Errorf("%s has %d characters, IAM takes %d", k, n, maxPolicy)
		}
	}
}
