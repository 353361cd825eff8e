package leftovers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// TestNamesAreTheProgramsOwn holds the names against those in the program's rendered stacks.
func TestNamesAreTheProgramsOwn(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob(filepath.Join(root, "testdata", "rendered", "*", "policy-*-karpenter-discovery-*.json"))
	if err != nil || len(found) < 2 {
		t.Fatalf("rendered stacks: %v (%v)", found, err)
	}
	for _, file := range found {
		cluster, region, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "policy-"), ".json"), "-karpenter-discovery-")
		n := NamesOf(cluster, region)
		rendered := func(kind string) []string {
			t.Helper()
			files, err := filepath.Glob(filepath.Join(filepath.Dir(file), kind+"-*.json"))
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range files {
				files[i] = strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), kind+"-"), ".json")
			}
			return files
		}
		if d := cmp.Diff(slices.Sorted(slices.Values(n.Roles)), rendered("trust")); d != "" {
			t.Errorf("%s: roles (-here +rendered):\n%s", filepath.Dir(file), d)
		}
		policies := rendered("policy")
		if len(policies) == 4 { // of a stack whose secrets AWS's own key encrypts
			n.Policies = slices.DeleteFunc(n.Policies, func(p string) bool { return strings.HasPrefix(p, cluster+"-cluster-secrets") })
		}
		if d := cmp.Diff(slices.Sorted(slices.Values(n.Policies)), policies); d != "" {
			t.Errorf("%s: policies (-here +rendered):\n%s", filepath.Dir(file), d)
		}
		var policy struct {
			Statement []struct{ Resource []string }
		}
		text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "queue-policy.json"))
		if err == nil {
			err = json.Unmarshal(text, &policy)
		}
		if err != nil || policy.Statement[0].Resource[0] != "arn:aws:sqs:"+region+":111122223333:"+n.Queue {
			t.Errorf("queue %s is not %v (%v)", n.Queue, policy, err)
		}
	}
}

// TestNamesAreAll: whatever the program names after the cluster is in NamesOf. A name that is new
// must be added there, then here.
func TestNamesAreAll(t *testing.T) {
	t.Parallel()
	want := []string{
		`"cluster-"+s.Region, MaxRoleName`,
		`"cluster-secrets-"+s.Region, 128`,
		`"controller", 255`, // a tag's value
		`"controller-node-"+s.Region, MaxRoleName`,
		`"controllers", 128`,
		`"controllers-"+generation, 63`, // found by the cluster that it is of
		`"karpenter", 80`,
		`"karpenter-"+p.Part+"-"+s.Region, 128`,
		`"karpenter-"+r.name, 64`,
		`"karpenter-"+s.Region, cluster.MaxRoleName`,
		`"karpenter-node-"+s.Region, cluster.MaxRoleName`,
	}
	var got, rules []string
	for _, part := range []string{"*.go", "cluster/*.go", "karpenter/*.go", "gpu/*.go", "nodepools/*.go"} {
		files, err := filepath.Glob(filepath.Join(root, part))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range regexp.MustCompile(`\bs\.Name\((.+?)\)`).FindAllSubmatch(text, -1) {
				got = append(got, string(m[1]))
			}
			for _, m := range regexp.MustCompile(`\{"([a-z-]+)", "aws\.`).FindAllSubmatch(text, -1) {
				rules = append(rules, "gpu-karpenter-"+string(m[1]))
			}
		}
	}
	settings, err := os.ReadFile(filepath.Join(root, "internal", "settings", "settings.go"))
	if tag := NamesOf("gpu", "us-west-1").Tag.Key; err != nil || !strings.Contains(string(settings), `const ClusterTag = "`+tag+`"`) {
		t.Errorf("the program's tag is not %s (%v)", tag, err)
	}
	encryption, err := os.ReadFile(filepath.Join(root, "cluster", "encryption.go"))
	if err != nil || !strings.Contains(string(encryption), `"alias/eks/" + s.ClusterName`) || NamesOf("gpu", "us-west-1").KeyAlias != "alias/eks/gpu" {
		t.Errorf("the alias of the program's key is another (%v)", err)
	}
	for file, holds := range map[string]string{
		"cluster/addons.go":      `podIdentityAgent = addon{name: "` + agentAddon + `"`,
		"karpenter/karpenter.go": `Namespace = "` + karpenterNamespace + `"`,
	} {
		if text, err := os.ReadFile(filepath.Join(root, file)); err != nil || !strings.Contains(string(text), holds) || file != "cluster/addons.go" && !strings.Contains(string(text), `serviceAccount = "`+karpenterAccount+`"`) {
			t.Errorf("%s has no %s (%v)", file, holds, err)
		}
	}
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("names the program makes (-known +made):\n%s", d)
	}
	if d := cmp.Diff(NamesOf("gpu", "us-west-1").Rules, rules); d != "" {
		t.Errorf("event rules (-here +program's):\n%s", d)
	}
}

// TestLongName: what the program's settings.Name makes of a name that is too long.
func TestLongName(t *testing.T) {
	t.Parallel()
	n := NamesOf(strings.Repeat("a", 99)+"x", "ap-southeast-1")
	if want := "aaaaaaaaaaaaaaaaaaaaaaaaa-080b5dfd-karpenter-node-ap-southeast-1"; !slices.Contains(n.Roles, want) {
		t.Errorf("roles %q, want %s among them", n.Roles, want)
	}
}
