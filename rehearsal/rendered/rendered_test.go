package rendered

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	nvidia "github.com/NVIDIA/k8s-device-plugin/api/config/v1"
	karpenteraws "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/daemon"
	karpenterv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/apis/v1alpha1"
	"sigs.k8s.io/yaml"
)

const (
	root     = "../.."
	resource = "nvidia.com/gpu"
)

// wholeStacks are rendered whole; of the stack pools, which has several pools of
// GPUs, there is what the dev stack has not.
var wholeStacks = []string{"dev", "prod"}

// eachStack runs a test for each of the rendered stacks.
func eachStack(t *testing.T, stacks []string, test func(t *testing.T, dir string)) {
	t.Helper()
	for _, stack := range stacks {
		t.Run(stack, func(t *testing.T) {
			t.Parallel()
			test(t, filepath.Join(root, "testdata", "rendered", stack))
		})
	}
}

// files are those of a rendered stack that a pattern fits, want of them.
func files(t *testing.T, want int, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != want {
		t.Fatalf("%d files %s, want %d: %v (%v)", len(found), pattern, want, found, err)
	}
	return found
}

// strictly decodes a file; a field the type does not have is an error.
func strictly[T any](t *testing.T, path string) *T {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	into := new(T)
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return into
}

func TestObjectsDecodeStrictly(t *testing.T) {
	t.Parallel()
	kinds := map[string]map[string]int{
		"dev": {"nodepool": 3, "nodeoverlay": 1, "ec2nodeclass": 2, "configmap": 1, "daemonset": 1, "values": 2},
		"prod": {"nodepool": 3, "nodeoverlay": 1, "ec2nodeclass": 2, "configmap": 2, "daemonset": 1, "values": 2,
			"validatingadmissionpolicy": 2, "validatingadmissionpolicybinding": 2},
		"pools": {"nodepool": 3, "nodeoverlay": 5, "configmap": 2, "daemonset": 4},
		// The cluster's own Karpenter has the class.
		"existing": {"nodepool": 1, "nodeoverlay": 1, "configmap": 1, "daemonset": 1},
	}
	eachStack(t, slices.Collect(maps.Keys(kinds)), func(t *testing.T, dir string) {
		seen := map[string]int{}
		all, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range all {
			kind, _, _ := strings.Cut(filepath.Base(file), "-")
			seen[kind]++
			switch kind {
			case "nodepool":
				pool := strictly[karpenterv1.NodePool](t, file)
				if err := pool.RuntimeValidate(t.Context()); err != nil {
					t.Errorf("%s: Karpenter refuses it: %v", file, err)
				}
			case "nodeoverlay":
				overlay := strictly[v1alpha1.NodeOverlay](t, file)
				if err := overlay.RuntimeValidate(t.Context()); err != nil {
					t.Errorf("%s: Karpenter refuses it: %v", file, err)
				}
			case "ec2nodeclass":
				strictly[karpenteraws.EC2NodeClass](t, file)
			case "configmap":
				strictly[corev1.ConfigMap](t, file)
			case "daemonset":
				strictly[appsv1.DaemonSet](t, file)
			case "validatingadmissionpolicy":
				strictly[admissionregistrationv1.ValidatingAdmissionPolicy](t, file)
			case "validatingadmissionpolicybinding":
				strictly[admissionregistrationv1.ValidatingAdmissionPolicyBinding](t, file)
			case "values":
			default:
				t.Errorf("%s: no type for this kind", file)
			}
		}
		if diff := cmp.Diff(kinds[filepath.Base(dir)], seen); diff != "" {
			t.Errorf("files by kind (-want +got):\n%s", diff)
		}
	})
}

// TestSharingAgrees: what Karpenter is promised of a pool's nodes, what the plugin
// advertises on them by NVIDIA's reading of its config, and what the pool may have
// at most are the same slices.
func TestSharingAgrees(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		stack, pool, suffix string
		strategy            nvidia.SharingStrategy
		replicas            int
		gpus                []int // numbers of GPUs that its types have
	}{
		{"dev", "gpu", "", nvidia.SharingStrategyTimeSlicing, 4, []int{1}},
		{"prod", "gpu", "", nvidia.SharingStrategyTimeSlicing, 4, []int{1}},
		{"pools", "notebooks", "-notebooks", nvidia.SharingStrategyMPS, 8, []int{1, 4}},
		{"pools", "training", "-training", nvidia.SharingStrategyNone, 1, nil},
	} {
		t.Run(c.stack+" "+c.pool, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(root, "testdata", "rendered", c.stack)
			config := strictly[corev1.ConfigMap](t, filepath.Join(dir, "configmap-nvidia-device-plugin"+c.suffix+".yaml")).Data["config.yaml"]
			parsed := new(nvidia.Config)
			if err := yaml.UnmarshalStrict([]byte(config), parsed); err != nil {
				t.Fatalf("NVIDIA's parser: %v", err)
			}
			if got := parsed.Sharing.SharingStrategy(); parsed.Version != nvidia.Version || got != c.strategy {
				t.Errorf("NVIDIA's parser reads version %s, strategy %s; want %s", parsed.Version, got, c.strategy)
			}
			if c.strategy != nvidia.SharingStrategyNone {
				shared := parsed.Sharing.ReplicatedResources()
				if len(shared.Resources) != 1 || string(shared.Resources[0].Name) != resource || shared.Resources[0].Replicas != c.replicas {
					t.Fatalf("NVIDIA's parser reads %+v", shared)
				}
				if !shared.FailRequestsGreaterThanOne || shared.RenameByDefault {
					t.Errorf("requests above one: refused %v; renamed: %v", shared.FailRequestsGreaterThanOne, shared.RenameByDefault)
				}
			}
			for i, file := range files(t, len(c.gpus), dir, "nodeoverlay-"+c.pool+"-*.yaml") {
				overlay := strictly[v1alpha1.NodeOverlay](t, file)
				if got := overlay.Spec.Capacity[resource]; got.Value() != int64(c.gpus[i]*c.replicas) {
					t.Errorf("%s promises %s, the plugin advertises %d on each of %d GPUs", file, got.String(), c.replicas, c.gpus[i])
				}
			}
			pool := strictly[karpenterv1.NodePool](t, filepath.Join(dir, "nodepool-"+c.pool+".yaml"))
			limit := pool.Spec.Limits[resource]
			if n := limit.Value(); n == 0 || n%int64(c.replicas) != 0 {
				t.Errorf("the pool's limit of %d slices is no whole number of GPUs", n)
			}
		})
	}
}

// TestDaemonsRunOnTheirPools: each DaemonSet's pods run on every node that Karpenter
// makes of its pool, and on no other's, by the scheduler's own rules.
func TestDaemonsRunOnTheirPools(t *testing.T) {
	t.Parallel()
	pools := map[string]map[string][]string{ // of each DaemonSet, by stack
		"dev":  {"nvidia-device-plugin": {"gpu"}},
		"prod": {"nvidia-device-plugin": {"gpu"}},
		"pools": {
			"nvidia-device-plugin-notebooks": {"notebooks"}, "nvidia-mps-control-daemon-notebooks": {"notebooks"},
			"nvidia-device-plugin-training": {"training"}, "dcgm-exporter": {"gpu", "notebooks", "training"},
		},
	}
	eachStack(t, slices.Collect(maps.Keys(pools)), func(t *testing.T, dir string) {
		want := pools[filepath.Base(dir)]
		got := map[string][]string{}
		for _, file := range files(t, len(want), dir, "daemonset-*.yaml") {
			d := strictly[appsv1.DaemonSet](t, file)
			for _, pool := range files(t, 3, dir, "nodepool-*.yaml") {
				p := strictly[karpenterv1.NodePool](t, pool)
				node := &corev1.Node{}
				node.Labels = map[string]string{karpenterv1.NodePoolLabelKey: p.Name}
				maps.Copy(node.Labels, p.Spec.Template.Labels)
				node.Spec.Taints = p.Spec.Template.Spec.Taints
				// What the DaemonSet controller asks before it makes a pod.
				if shouldRun, _ := daemon.NodeShouldRunDaemonPod(klog.FromContext(t.Context()), node, d); shouldRun {
					got[d.Name] = append(got[d.Name], p.Name)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pools of the DaemonSets (-want +got):\n%s", diff)
		}
	})
}

// TestValuesAreTheCharts: Helm ignores a value the chart does not know.
func TestValuesAreTheCharts(t *testing.T) {
	t.Parallel()
	chart := strictly[map[string]any](t, filepath.Join(module(t, "github.com/aws/karpenter-provider-aws", "Dir"), "charts", "karpenter", "values.yaml"))
	eachStack(t, wholeStacks, func(t *testing.T, dir string) {
		within(t, "", *strictly[map[string]any](t, filepath.Join(dir, "values-karpenter.yaml")), *chart)
	})
}

// within reports the keys of values that the chart's own values do not have; an
// empty map there takes any.
func within(t *testing.T, path string, values, chart map[string]any) {
	t.Helper()
	for key, value := range values {
		known, ok := chart[key]
		if !ok {
			t.Errorf("the chart has no value %s%s", path, key)
			continue
		}
		inner, isMap := value.(map[string]any)
		open, _ := known.(map[string]any)
		if isMap && len(open) > 0 && key != "nodeSelector" {
			within(t, path+key+".", inner, open)
		}
	}
}

// module asks go.mod for a field of a module, such as Dir or Version.
func module(t *testing.T, path, field string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{."+field+"}}", path).Output()
	if err != nil {
		t.Fatalf("go list -m %s: %v", path, err)
	}
	return strings.TrimSpace(string(out))
}

// TestVersionsAgree: what the program pins by default is what is rehearsed.
func TestVersionsAgree(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "Pulumi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var project struct {
		Config map[string]struct{ Default any }
	}
	if err := yaml.Unmarshal(text, &project); err != nil {
		t.Fatal(err)
	}
	for key, path := range map[string]string{
		"karpenterVersion":    "github.com/aws/karpenter-provider-aws",
		"devicePluginVersion": "github.com/NVIDIA/k8s-device-plugin",
	} {
		if got, want := project.Config[key].Default, strings.TrimPrefix(module(t, path, "Version"), "v"); got != want {
			t.Errorf("Pulumi.yaml has %s %v, the rehearsal has %s %s", key, got, path, want)
		}
	}
}

// TestPoliciesAreIAMs decodes the policies: the grammar's own keys, no wildcard
// action that allows, and no resources of other accounts but those that accounts share.
func TestPoliciesAreIAMs(t *testing.T) {
	t.Parallel()
	type statement struct {
		Sid, Effect      string
		Principal        any
		Action, Resource []string
		Condition        map[string]map[string][]string
	}
	shared := []string{"security-group/*", "subnet/*", "capacity-reservation/*"}
	policies := map[string]int{"dev": 9, "prod": 10} // with the one of its secrets key
	eachStack(t, wholeStacks, func(t *testing.T, dir string) {
		for _, file := range files(t, policies[filepath.Base(dir)], dir, "*.json") {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var document struct {
				Version   string
				Statement []statement
			}
			decoder := json.NewDecoder(strings.NewReader(string(text)))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&document); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			for _, s := range document.Statement {
				if s.Effect != "Allow" {
					continue
				}
				for _, action := range s.Action {
					if strings.Contains(action, "*") {
						t.Errorf("%s: %s allows %s", file, s.Sid, action)
					}
				}
				for _, arn := range s.Resource {
					if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 && parts[4] == "*" && !slices.Contains(shared, parts[5]) {
						t.Errorf("%s: %s allows it on %s of any account", file, s.Sid, parts[5])
					}
				}
			}
		}
	})
}
