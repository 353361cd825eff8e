package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/engine"
)

// TestPlan compares the engine's plan of each stack with testdata/plan-STACK.txt:
// every resource and the provider that manages it, every input that is unknown
// before the up, and what the program and the policies say. UPDATE_GOLDEN=1 rewrites them.
func TestPlan(t *testing.T) {
	t.Parallel()
	for _, stack := range []string{"dev", "prod"} {
		t.Run(stack, func(t *testing.T) {
			t.Parallel()
			plan := preview(t, stackArgs(stack)...)
			got, file := describe(plan), filepath.Join("testdata", "plan-"+stack+".txt")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s differs (-golden +planned); if that is meant: UPDATE_GOLDEN=1 go test -run TestPlan ./scenario\n%s", file, diff)
			}
		})
	}
}

// describe lists a plan's resources and unknown inputs, a line each.
func describe(plan *engine.Plan) string {
	var resources, unknown []string
	for _, r := range plan.Resources {
		managed := ""
		if r.Provider != "" {
			managed = " by " + r.Provider.Name()
		}
		resources = append(resources, fmt.Sprintf("%s %s%s", r.Type, r.Name, managed))
		for _, path := range unknownPaths("", r.Inputs) {
			unknown = append(unknown, fmt.Sprintf("unknown: %s %s %s", r.Type, r.Name, path))
		}
	}
	var says []string
	for _, d := range plan.Diagnostics {
		says = append(says, fmt.Sprintf("%s: %s", d.Severity, strings.TrimSpace(d.Message)))
	}
	slices.Sort(resources)
	slices.Sort(unknown)
	slices.Sort(says)
	return strings.Join(slices.Concat(resources, unknown, says), "\n") + "\n"
}

func unknownPaths(path string, value any) []string {
	var paths []string
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			paths = append(paths, unknownPaths(path+"."+key, inner)...)
		}
	case []any:
		for i, inner := range v {
			paths = append(paths, unknownPaths(fmt.Sprintf("%s[%d]", path, i), inner)...)
		}
	case string:
		if v == engine.Unknown {
			paths = append(paths, strings.TrimPrefix(path, "."))
		}
	}
	return paths
}

// TestEngineOrder holds the edges that only the engine's plan shows: those that
// run through the component.
func TestEngineOrder(t *testing.T) {
	t.Parallel()
	plan := preview(t)
	waits := map[string][]string{}
	for _, r := range plan.Resources {
		for _, d := range r.Dependencies {
			waits[r.Type+" "+r.Name] = append(waits[r.Type+" "+r.Name], string(d.Type())+" "+d.Name())
		}
	}
	const cluster = "aws:eks/cluster:Cluster cluster-eksCluster"
	for _, rule := range []struct{ who, needs, why string }{
		{cluster, "aws:cloudwatch/logGroup:LogGroup cluster-logs", "EKS would make a log group that nobody deletes"},
		{cluster, "aws:iam/rolePolicyAttachment:RolePolicyAttachment cluster-role-0", "EKS needs its permissions to delete"},
		{"aws:eks/nodeGroup:NodeGroup cluster-controllers", cluster, "nodes join the cluster"},
		{"aws:eks/nodeGroup:NodeGroup cluster-controllers", "aws:eks/accessEntry:AccessEntry cluster-controller-node", "a node without access cannot be drained"},
		{"pulumi:providers:kubernetes cluster", cluster, "the caller's access comes with the cluster"},
	} {
		if !slices.Contains(waits[rule.who], rule.needs) {
			t.Errorf("%s: %s does not wait for %s", rule.why, rule.who, rule.needs)
		}
	}
}

// TestWorlds: what each kind of account makes the preview say.
func TestWorlds(t *testing.T) {
	t.Parallel()
	for world, c := range map[string]struct {
		status int
		says   []string
	}{
		"plain":          {0, []string{"73 to create"}},
		"no-default-vpc": {1, []string{"default VPC of us-west-1", "mend: aws ec2 create-default-vpc --region us-west-1"}},
		"one-zone":       {1, []string{"at least 2 zones", "mend: aws ec2 create-default-subnet"}},
		"refused-zone":   {0, []string{"73 to create", "that the cluster does not use", "a zone EKS refuses, usw1-az2"}},
		"no-1.28":        {1, []string{`kubernetesVersion is "1.28"`, "in standard support", "mend: pulumi config set kubernetesVersion"}},
		"no-g4dn":        {1, []string{`gpuInstanceTypes is "g4dn.xlarge"`, `gpuInstanceTypes is "g4dn.2xlarge"`, "describe-instance-type-offerings"}},
		"no-spot-role":   {0, []string{"73 to create", "warning: the account has no AWSServiceRoleForEC2Spot", "mend: pulumi config set createSpotRole true"}},
	} {
		t.Run(world, func(t *testing.T) {
			t.Parallel()
			holds(t, run(t, "preview", "--world", world), c.status, c.says)
		})
	}
}

// TestNextVersion: what EKS refuses of a cluster that stands is refused by the preview.
func TestNextVersion(t *testing.T) {
	t.Parallel()
	for version, c := range map[string]struct {
		status int
		says   []string
	}{
		"1.29": {1, []string{`kubernetesVersion is "1.29": at least 1.30, which cluster gpu-slicing already runs: EKS never goes back`, `mend: pulumi config set kubernetesVersion "1.30"`}},
		"1.31": {0, []string{" to create"}},
		"1.32": {1, []string{`kubernetesVersion is "1.32": 1.31 next, since cluster gpu-slicing runs 1.30`, `mend: pulumi config set kubernetesVersion "1.31" && pulumi up, then the one after it`}},
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			holds(t, run(t, "preview", "--world", "own-1.30", "--config", "kubernetesVersion="+version), c.status, c.says)
		})
	}
}

// holds checks a run's status and what it says, and that no stack trace shows.
func holds(t *testing.T, r result, status int, says []string) {
	t.Helper()
	if r.status != status {
		t.Errorf("exits with %d, want %d", r.status, status)
	}
	for _, part := range append(says, "Simulated") {
		if !strings.Contains(r.out, part) {
			t.Errorf("does not say %q", part)
		}
	}
	if strings.Contains(r.out, "goroutine ") || strings.Contains(r.out, "panic:") {
		t.Error("shows a stack trace")
	}
	if t.Failed() {
		t.Log(r.out)
	}
}

// TestBadSettings: the settings of the loader's table, end to end. A value of
// the wrong type is the engine's to refuse, in its own words.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config []string
		says   []string
	}{
		{[]string{"gpuSlices=0"}, []string{`gpuSlices is "0": a whole number from 1 to 48`, "mend: pulumi config set gpuSlices 4"}},
		{[]string{"gpuSlices=49"}, []string{`gpuSlices is "49"`}},
		{[]string{"gpuSlices=-1"}, []string{`gpuSlices is "-1"`}},
		{[]string{"gpuSlices=3.5"}, []string{"gpuSlices", "integer"}},
		{[]string{"gpuSlices=26"}, []string{"at most 25: a g4dn.xlarge holds 29 pods, 4 of them DaemonSets"}},
		{[]string{"gpuSharing=mig"}, []string{"one of time-slicing, mps, none"}},
		{[]string{`gpuInstanceTypes=["m7i.large"]`}, []string{"an instance type with an NVIDIA GPU"}},
		{[]string{"clusterName=-gpu"}, []string{"what EKS takes"}},
		{[]string{"kubernetesVersion=newest"}, []string{"an EKS version"}},
		{[]string{"kubernetesVersion=1.33", "amiFamily=al2"}, []string{"EKS builds Amazon Linux 2 up to 1.32"}},
		{[]string{"controllerMin=3"}, []string{"controllerDesired", "at least controllerMin, which is 3"}},
		{[]string{`publicAccessCidrs=["everyone"]`}, []string{"an IPv4 CIDR"}},
		{[]string{"amiVersion=newest"}, []string{"an AMI release by its date"}},
		{[]string{"gpuSlice=8"}, []string{"Did you mean gpuSlices?"}},
		{[]string{"gpuSlices=49", "amiVersion=newest", "gpuSlice=8"}, []string{"3 problems", "gpuSlices", "amiVersion", "gpuSlice "}},
	} {
		t.Run(strings.Join(c.config, " "), func(t *testing.T) {
			t.Parallel()
			args := []string{"preview"}
			for _, one := range c.config {
				args = append(args, "--config", one)
			}
			holds(t, run(t, args...), 1, c.says)
		})
	}
}

// TestProdNeedsItsCIDRs: the one setting that prod leaves to its user.
func TestProdNeedsItsCIDRs(t *testing.T) {
	t.Parallel()
	holds(t, run(t, "preview", "--stack", "prod"), 1,
		[]string{"publicAccessCidrs is not set", "mend: pulumi config set --path 'publicAccessCidrs[0]' 203.0.113.7/32"})
}

// TestRender: what render writes is what the program's own tests hold.
func TestRender(t *testing.T) {
	t.Parallel()
	for _, stack := range []string{"dev", "prod"} {
		t.Run(stack, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "out")
			r := run(t, append([]string{"render", "--out", dir}, stackArgs(stack)...)...)
			if r.status != 0 || !strings.Contains(r.out, "sg-placeholder") || !strings.Contains(r.out, "aws eks describe-cluster") {
				t.Fatalf("exits with %d:\n%s", r.status, r.out)
			}
			if diff := cmp.Diff(files(t, filepath.Join(checkout, "testdata", "rendered", stack)), files(t, dir)); diff != "" {
				t.Errorf("(-the program's goldens +rendered):\n%s", diff)
			}
		})
	}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}
