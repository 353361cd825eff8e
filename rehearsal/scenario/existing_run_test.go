package scenario

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/request"
	"eks-gpu-slicing/rehearsal/session"
)

// TestExistingRun: the life of a stack in a cluster that stands, one with a Karpenter
// of its own and one without. That what others own stays as it was, and that the
// destroy leaves the cluster as it was found, are steps of such a life.
func TestExistingRun(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"its own Karpenter": {"--world", "existing-karpenter"},
		"no Karpenter":      append([]string{"--world", "existing-bare"}, installs...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := liveExisting(t, append(args, "--workload", filepath.Join(checkout, "examples", "gpu-inference.yaml"))...)
			if got := launched(run); got["gpu"] != 2 || len(got) != 1 {
				t.Errorf("launched by pool: %v; want 2 of gpu alone", got)
			}
			onSlices(t, run, 8)
		})
	}
}

// TestSoakExisting: more of the same. GPU nodes of a node group are sliced without
// Karpenter; pods for the cluster's own pool go there, and its nodes go after them. Where
// a Karpenter stands, none is installed: the up stops, and hurts nothing.
func TestSoakExisting(t *testing.T) {
	t.Parallel()
	soak(t)
	t.Run("GPU nodes that are there", func(t *testing.T) {
		run := liveExisting(t, "--world", "existing-gpu-nodes", "--config", "nodeClass=", "--config", "gpuNodeLabel=eks.amazonaws.com/nodegroup=gpu",
			"--workload", filepath.Join(checkout, "examples", "gpu-inference.yaml"))
		if got := launched(run); len(got) != 0 {
			t.Errorf("launched by pool: %v; want none", got)
		}
		onSlices(t, run, 8)
	})
	t.Run("pods of the cluster's own pool", func(t *testing.T) {
		run := liveExisting(t, "--world", "existing-karpenter",
			"--workload", filepath.Join(checkout, "examples", "gpu-inference.yaml"), "--workload", filepath.Join("testdata", "cpu.yaml"))
		if got := launched(run); got["gpu"] != 2 || got["default"] == 0 {
			t.Errorf("launched by pool: %v; want 2 of gpu, and some of default", got)
		}
	})
	t.Run("a Karpenter for a cluster that has one", func(t *testing.T) {
		run := live(t, request.StatusFailed, append([]string{"--stack", "existing", "--world", "existing-karpenter"}, installs...)...)
		for _, p := range run.Phases {
			if p.OK == (p.Name == "up") {
				t.Errorf("step %s: ok is %v", p.Name, p.OK)
			}
		}
		if len(run.Phases) != 5 { // with destroy, and the look for what is left and changed
			t.Errorf("steps: %+v", run.Phases)
		}
	})
}

// TestSoakExistingLeftovers: of a stack in a cluster that stands, `rehearse leftovers`
// lists all that is the stack's and nothing else: when it is up, and when its destroy has
// stopped.
func TestSoakExistingLeftovers(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tellOf(t, session.Options{Stack: "existing", World: "existing-bare", Config: []string{"installKarpenter=true", "nodeClass="}}, hurry)
	s.denies = true // below
	before, err := s.World.Account().Inventory()
	if err != nil {
		t.Fatal(err)
	}
	lists := func() {
		t.Helper()
		want, got := map[string]int{"AWS::EKS::AccessEntry": 1, "AWS::EKS::Addon": 1, "AWS::EKS::PodIdentityAssociation": 1}, map[string]int{}
		for _, l := range s.World.Leftovers() {
			want[l.Type]++
		}
		for _, i := range s.left() {
			got[i.Type]++
			if _, stood := before[i.Type+" "+i.ID]; stood || i.NameOnly {
				t.Errorf("listed is %+v", i)
			}
		}
		for _, count := range []map[string]int{want, got} {
			delete(count, "AWS::EC2::LaunchTemplate") // Karpenter's come and go
		}
		if diff := cmp.Diff(want, got); diff != "" || got["AWS::EC2::Instance"] != 2 {
			t.Errorf("listed are (-the stack's +listed):\n%s", diff)
		}
	}
	s.up()
	objects, pods := s.place(inference)
	s.allRun(pods)
	lists()
	s.disarm("platform-karpenter-us-west-2")
	s.patience = 20 * time.Second
	s.stops(stuck()...)
	s.patience = 0
	lists()
	s.pulumi("refresh", "up")
	s.destroy()
	s.delete(objects)
	if d, err := s.World.Difference(t.Context()); err != nil || len(d.Changed)+len(d.Added) > 0 {
		t.Errorf("the cluster is not as it was found: %v (%v)", d, err)
	}
}

// liveExisting is live for the stack existing.
func liveExisting(t *testing.T, args ...string) report.Run {
	t.Helper()
	run := live(t, request.StatusOK, append([]string{"--stack", "existing"}, args...)...)
	for _, step := range []string{"what others own", "leftovers"} {
		if !slices.ContainsFunc(run.Phases, func(p report.Phase) bool { return p.Name == step }) {
			t.Errorf("there is no step %q", step)
		}
	}
	return run
}

// onSlices checks that as many pods run, each on a node of the pool or node group gpu,
// with four slices.
func onSlices(t *testing.T, run report.Run, pods int) {
	t.Helper()
	running := 0
	for _, p := range run.Pods {
		at := slices.IndexFunc(run.Nodes, func(n report.Node) bool { return n.Name == p.Node })
		if at < 0 || run.Nodes[at].Pool != "gpu" || run.Nodes[at].GPUSlices != 4 {
			t.Errorf("%s is on no node of gpu with 4 slices: %+v", p.Name, p)
		}
		if p.Phase == "Running" {
			running++
		}
	}
	if running != pods {
		t.Errorf("%d pods run, want %d", running, pods)
	}
}
