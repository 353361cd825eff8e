package lint_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"eks-gpu-slicing/rehearsal/lint"
	"eks-gpu-slicing/rehearsal/packing"
	"eks-gpu-slicing/rehearsal/packing/packingtest"
	"eks-gpu-slicing/rehearsal/workload"
)

// check lints files on a stack, changed if need be.
func check(t *testing.T, stack string, change func(*packing.Stack), files ...string) *lint.Result {
	t.Helper()
	objects, err := workload.Read(files)
	if err != nil {
		t.Fatal(err)
	}
	a, s := packingtest.Rendered(t, stack)
	if change != nil {
		change(s)
	}
	r, err := lint.Check(t.Context(), lint.Input{Objects: objects, Stack: s, Account: a})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// text is what a result is written as.
func text(t *testing.T, r *lint.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestMessages holds each file of testdata to the problems it is to have, and to its
// message next to it. UPDATE_GOLDEN=1 rewrites the messages. What mends a manifest is
// given as pairs of old and new text: mended, it must be clean.
func TestMessages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want []string // rule and line
		mend []string
	}{
		"selector-c6g": {[]string{"selector 19"}, []string{"c6g.xlarge", "c7g.xlarge"}},
		"selector-misspelt": {
			[]string{"selector 7", "selector 18"},
			[]string{"intents", "intent", "g4dn.xlage", "g4dn.xlarge"},
		},
		"selector-affinity":        {[]string{"selector 22"}, []string{"us-west-2a", "us-west-1a"}},
		"selector-of-another-pool": {[]string{"selector 9"}, []string{"    intent: apps\n", "    nvidia.com/gpu.present: \"true\"\n"}},
		"toleration": {
			[]string{"toleration 6"},
			[]string{"restartPolicy: Never", "tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]"},
		},
		"share":         {[]string{"gpu-share 17"}, []string{"gpu: 2", "gpu: 1"}},
		"share-and-sum": {[]string{"resources 7", "gpu-share 8"}, []string{"gpu: 9", "gpu: 1", "    - {name: e, image: e, resources: {limits: {nvidia.com/gpu: 1}}}", ""}},
		"gpu-name": {
			[]string{"gpu-name 14", "gpu-name 35"},
			[]string{"gpu.shared", "gpu", "mig-1g.5gb", "gpu"},
		},
		"resources": {
			[]string{"resources 16", "resources 41", "resources 53"},
			[]string{`cpu: "3"`, `cpu: "2"`, "64Gi", "24Gi", "        limits:\n          example.com/fpga: 1\n", "        limits: {}\n"},
		},
		"crowd":   {[]string{"placement 18", "placement 47"}, []string{"replicas: 70", "replicas: 50", "replicas: 3", "replicas: 2"}},
		"limit":   {[]string{"limit 14"}, []string{"replicas: 70", "replicas: 64"}},
		"fields":  {[]string{"field 14", "field 20", "field 22", "field 33", "field 41"}, nil},
		"invalid": {[]string{"invalid 9", "invalid 23", "invalid 26", "invalid 36"}, nil},
		"custom-kind": {
			[]string{"selector 24"},
			[]string{"a100", "t4"},
		},
		"list":  {[]string{"selector 11", "gpu-share 27", "field 36"}, nil},
		"clean": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join("testdata", name+".yaml")
			r := check(t, "dev", nil, file)
			var got []string
			for _, p := range r.Problems {
				got = append(got, fmt.Sprintf("%s %d", p.Rule, p.Line))
				if p.File != file || p.Object == "" || p.Cause == "" || p.Mend == "" {
					t.Errorf("a problem without all its parts: %+v", p)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("rules and lines (-want +got):\n%s", diff)
			}
			if r.OK() != (len(c.want) == 0) {
				t.Errorf("OK is %v", r.OK())
			}
			golden(t, filepath.Join("testdata", name+".txt"), text(t, r))
			if c.mend == nil {
				return
			}
			manifest, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			mended := filepath.Join(t.TempDir(), name+".yaml")
			if err := os.WriteFile(mended, []byte(strings.NewReplacer(c.mend...).Replace(string(manifest))), 0o600); err != nil {
				t.Fatal(err)
			}
			if r := check(t, "dev", nil, mended); !r.OK() {
				t.Errorf("mended as it says, it is:\n%s", text(t, r))
			}
		})
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*.yaml"))
	if err != nil || len(files) != 16 {
		t.Errorf("testdata has %d manifests (%v), and the table has others", len(files), err)
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
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
		t.Errorf("%s (-want +got); if that is meant: UPDATE_GOLDEN=1 go test ./lint\n%s", file, diff)
	}
}

// TestExamplesAreClean: ours have no problem on any stack.
func TestExamplesAreClean(t *testing.T) {
	t.Parallel()
	for _, stack := range []string{"dev", "prod"} {
		t.Run(stack, func(t *testing.T) {
			t.Parallel()
			r := check(t, stack, nil, filepath.Join(packingtest.Checkout, "examples"))
			if !r.OK() || len(r.Notes) > 0 {
				t.Errorf("%s", text(t, r))
			}
			pools := map[string]string{}
			for _, p := range r.Placed {
				pools[p.Object] = strings.Join(p.NodePools, " ")
			}
			want := map[string]string{"Pod gpu-pod": "gpu", "Deployment gpu-inference": "gpu", "Deployment inflate-amd64": "x86", "Deployment inflate-arm64": "arm64"}
			if diff := cmp.Diff(want, pools); diff != "" {
				t.Errorf("pools of the examples (-want +got):\n%s", diff)
			}
		})
	}
}

// write writes a manifest and returns its file.
func write(t *testing.T, manifest string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const twoGPUs = `apiVersion: v1
kind: Pod
metadata: {name: two}
spec:
  nodeSelector: {SELECTOR: POOL}
  containers:
    - {name: main, image: main, resources: {limits: {nvidia.com/gpu: 2}}}
`

// addWhole adds a pool whose GPUs are whole, with a device plugin of its own.
func addWhole(s *packing.Stack) {
	pool := s.NodePools[slices.IndexFunc(s.NodePools, func(p karpv1.NodePool) bool { return p.Name == "gpu" })].DeepCopy()
	pool.Name = "whole"
	for i := range pool.Spec.Template.Spec.Requirements {
		if r := &pool.Spec.Template.Spec.Requirements[i]; r.Key == corev1.LabelInstanceTypeStable {
			r.Values = []string{"g4dn.12xlarge"}
		}
	}
	s.NodePools = append(s.NodePools, *pool)
	plugin := s.DaemonSets[0].DeepCopy()
	plugin.Name = "whole"
	plugin.Spec.Template.Spec.NodeSelector = map[string]string{"karpenter.sh/nodepool": "whole"}
	plugin.Spec.Template.Spec.Containers[0].Env = nil // no config, nothing shared
	s.DaemonSets = append(s.DaemonSets, *plugin)
}

// TestPoolsThatShareDifferently: what one pool's device plugin refuses is right on
// another's.
func TestPoolsThatShareDifferently(t *testing.T) {
	t.Parallel()
	for pool, want := range map[string]string{"gpu": "the device plugin of pool gpu, where Karpenter puts it, grants a container one share", "whole": "no problems"} {
		t.Run(pool, func(t *testing.T) {
			t.Parallel()
			file := write(t, strings.NewReplacer("SELECTOR", "karpenter.sh/nodepool", "POOL", pool).Replace(twoGPUs))
			if got := text(t, check(t, "dev", addWhole, file)); !strings.Contains(got, want) {
				t.Errorf("want %q:\n%s", want, got)
			}
		})
	}
}

// TestGPUsAreWholeWithoutSharing: nothing is refused by the device plugin then, and a
// node of one GPU has one.
func TestGPUsAreWholeWithoutSharing(t *testing.T) {
	t.Parallel()
	file := write(t, strings.NewReplacer("SELECTOR", "kubernetes.io/arch", "POOL", "amd64").Replace(twoGPUs))
	r := check(t, "dev", func(s *packing.Stack) {
		s.NodeOverlays[0].Spec.Capacity["nvidia.com/gpu"] = resource.MustParse("1")
		s.ConfigMaps[0].Data["config.yaml"] = "version: v1\n"
	}, file)
	if len(r.Problems) != 1 || r.Problems[0].Rule != lint.RuleResources {
		t.Errorf("want that no node has two GPUs:\n%s", text(t, r))
	}
}

// TestNodeGroupsServePods: nodes of a node group are there for who tolerates them.
func TestNodeGroupsServePods(t *testing.T) {
	t.Parallel()
	file := write(t, `apiVersion: v1
kind: Pod
metadata: {name: controller}
spec:
  nodeSelector: {karpenter.sh/controller: "true"}
  tolerations: [{key: karpenter.sh/controller, operator: Exists}]
  containers: [{name: main, image: main}]
`)
	if r := check(t, "dev", nil, file); len(r.Problems) != 1 || r.Problems[0].Rule != lint.RuleSelector {
		t.Errorf("without the node group:\n%s", text(t, r))
	}
	r := check(t, "dev", func(s *packing.Stack) {
		s.NodeGroups = []packing.NodeGroup{{
			Name: "controllers", InstanceType: "m7g.large", Size: 2, Labels: map[string]string{"karpenter.sh/controller": "true"},
			Taints: []corev1.Taint{{Key: "karpenter.sh/controller", Value: "true", Effect: corev1.TaintEffectNoSchedule}},
		}}
	}, file)
	if !r.OK() || len(r.Placed) != 1 || !slices.Equal(r.Placed[0].NodePools, []string{"controllers"}) {
		t.Errorf("with the node group:\n%s", text(t, r))
	}
}

// TestDaemonSetsOfTheWorkloadTakeTheirPart: what they ask for is missing on every node.
func TestDaemonSetsOfTheWorkloadTakeTheirPart(t *testing.T) {
	t.Parallel()
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: main, image: main, resources: {requests: {cpu: 3500m}}}]}\n"
	const daemon = `---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: main, image: main, resources: {requests: {cpu: 500m}}}]}
`
	if r := check(t, "dev", nil, write(t, pod)); !r.OK() {
		t.Errorf("alone:\n%s", text(t, r))
	}
	r := check(t, "dev", nil, write(t, pod+daemon))
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Cause, "beside 500m for DaemonSets") {
		t.Errorf("with a DaemonSet:\n%s", text(t, r))
	}
}

// TestStackThatCannotBe is the caller's error, not a problem of the workload.
func TestStackThatCannotBe(t *testing.T) {
	t.Parallel()
	objects, err := workload.Read([]string{write(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: main, image: main}]}\n")})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		mistake func(*packing.Stack)
		want    string
	}{
		"config that the plugin refuses": {func(s *packing.Stack) { s.ConfigMaps[0].Data["config.yaml"] = "version: v9\n" }, "would not start on a g4dn."},
		"no config":                      {func(s *packing.Stack) { s.ConfigMaps = nil }, ": the stack has no ConfigMap "},
		"overlay":                        {func(s *packing.Stack) { s.NodeOverlays[0].Spec.Capacity["cpu"] = resource.MustParse("1") }, "the stack: NodeOverlay "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, s := packingtest.Rendered(t, "dev")
			c.mistake(s)
			if _, err := lint.Check(t.Context(), lint.Input{Objects: objects, Stack: s, Account: a}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v; it should say %q", err, c.want)
			}
		})
	}
}

// TestJSON: the names of the data are an interface.
func TestJSON(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(check(t, "dev", nil, filepath.Join("testdata", "share.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(got, &fields); err != nil {
		t.Fatal(err)
	}
	problems, ok := fields["problems"].([]any)
	if !ok || len(problems) != 1 {
		t.Fatalf("problems are %v", fields["problems"])
	}
	problem, _ := problems[0].(map[string]any)
	for _, name := range []string{"file", "line", "object", "field", "rule", "cause", "mend", "verdict"} {
		if problem[name] == nil {
			t.Errorf("the problem has no %s: %s", name, got)
		}
	}
	for _, name := range []string{"notes", "placed", "nodePools", "files", "objects"} {
		if fields[name] == nil {
			t.Errorf("the result has no %s: %s", name, got)
		}
	}
}
