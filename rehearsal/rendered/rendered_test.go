package rendered

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	nvidia "github.com/NVIDIA/k8s-device-plugin/api/config/v1"
	karpenteraws "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	karpenterv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/apis/v1alpha1"
	"sigs.k8s.io/yaml"
)

const (
	root     = "../.."
	resource = "nvidia.com/gpu"
)

// eachStack runs a test for each rendered stack.
func eachStack(t *testing.T, test func(t *testing.T, dir string)) {
	t.Helper()
	stacks, err := filepath.Glob(filepath.Join(root, "testdata", "rendered", "*"))
	if err != nil || len(stacks) < 2 {
		t.Fatalf("rendered stacks: %v (%v)", stacks, err)
	}
	for _, dir := range stacks {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			test(t, dir)
		})
	}
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
	eachStack(t, func(t *testing.T, dir string) {
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for _, file := range files {
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
			case "values":
			default:
				t.Errorf("%s: no type for this kind", file)
			}
		}
		for kind, n := range map[string]int{"nodepool": 3, "nodeoverlay": 1, "ec2nodeclass": 2, "configmap": 1, "daemonset": 1} {
			if seen[kind] != n {
				t.Errorf("%d of kind %s, want %d", seen[kind], kind, n)
			}
		}
	})
}

// TestSharingAgrees: what Karpenter is promised of a node, what the plugin
// advertises and what the pool may have at most are the same slices.
func TestSharingAgrees(t *testing.T) {
	t.Parallel()
	eachStack(t, func(t *testing.T, dir string) {
		config := strictly[corev1.ConfigMap](t, filepath.Join(dir, "configmap-nvidia-device-plugin.yaml")).Data["config.yaml"]
		parsed := new(nvidia.Config)
		if err := yaml.UnmarshalStrict([]byte(config), parsed); err != nil {
			t.Fatalf("NVIDIA's parser: %v", err)
		}
		shared := parsed.Sharing.ReplicatedResources()
		if parsed.Version != nvidia.Version || len(shared.Resources) != 1 || string(shared.Resources[0].Name) != resource {
			t.Fatalf("NVIDIA's parser reads %+v", parsed)
		}
		if !shared.FailRequestsGreaterThanOne || shared.RenameByDefault {
			t.Errorf("requests above one: refused %v; renamed: %v", shared.FailRequestsGreaterThanOne, shared.RenameByDefault)
		}
		replicas := strconv.Itoa(shared.Resources[0].Replicas)
		overlay := strictly[v1alpha1.NodeOverlay](t, filepath.Join(dir, "nodeoverlay-gpu-1-per-node.yaml"))
		if got := overlay.Spec.Capacity[resource]; got.String() != replicas {
			t.Errorf("the overlay promises %s, the plugin advertises %s", got.String(), replicas)
		}
		pool := strictly[karpenterv1.NodePool](t, filepath.Join(dir, "nodepool-gpu.yaml"))
		limit := pool.Spec.Limits[resource]
		if n := limit.Value(); n == 0 || n%int64(shared.Resources[0].Replicas) != 0 {
			t.Errorf("the pool's limit of %d slices is no whole number of GPUs", n)
		}
	})
}

// TestValuesAreTheCharts: Helm ignores a value the chart does not know.
func TestValuesAreTheCharts(t *testing.T) {
	t.Parallel()
	chart := strictly[map[string]any](t, filepath.Join(module(t, "github.com/aws/karpenter-provider-aws", "Dir"), "charts", "karpenter", "values.yaml"))
	eachStack(t, func(t *testing.T, dir string) {
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
// action that allows.
func TestPoliciesAreIAMs(t *testing.T) {
	t.Parallel()
	type statement struct {
		Sid, Effect      string
		Principal        any
		Action, Resource []string
		Condition        map[string]map[string][]string
	}
	eachStack(t, func(t *testing.T, dir string) {
		files, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil || len(files) < 9 {
			t.Fatalf("%d policies (%v)", len(files), err)
		}
		for _, file := range files {
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
				for _, action := range s.Action {
					if s.Effect == "Allow" && strings.Contains(action, "*") {
						t.Errorf("%s: %s allows %s", file, s.Sid, action)
					}
				}
			}
		}
	})
}
