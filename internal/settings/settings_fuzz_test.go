package settings

import (
	"encoding/json"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzLoad: no config panics; a problem says all that it takes to mend it; and a
// config without a problem is read again as it was when its settings are written
// as a config.
func FuzzLoad(f *testing.F) {
	declared, err := os.ReadFile("../../Pulumi.yaml")
	if err != nil {
		f.Fatal(err)
	}
	schema, err := ParseSchema(declared)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][4]string{
		{"gpuSlices", "8", "gpuSharing", "mps"},
		{"gpuSlices", "1", "gpuSharing", "mps"},
		{"gpuSlices", "48", "gpuInstanceTypes", `["g5.xlarge","g4dn.metal"]`},
		{"gpuPools", `[{"name":"training","sharing":"none"},{"name":"a-2","instanceTypes":["g5.xlarge"],"slices":8,"sharing":"mps","limit":3}]`, "gpuLimit", "1"},
		{"gpuPools", `[{"name":"a","slices":1},null,{"nam":1}]`, "gpuSharing", "none"},
		{"gpuPools", `[{"name":"a","sharing":"none","slices":4,"instanceTypes":[""]}]`, "gpuPool", "x"},
		{"gpuLimit", "0", "gpuPools", `[{"name":"a","limit":3},{"name":"b","nodeLabel":"a/b=c"}]`},
		{"gpuNodeLabel", "eks.amazonaws.com/nodegroup=gpu", "gpuPools", `[{"name":"a"}]`},
		{"existingCluster", "platform", "nodeSubnets", `["subnet-1"]`},
		{"existingCluster", "platform", "amiFamily", "al2"},
		{"installKarpenter", "false", "nodeClass", "default"},
		{"secretsEncryption", "arn:aws:kms:us-west-1:111122223333:key/1", "aws:assumeRole", `{"roleArn":"arn:aws:iam::111122223333:role/x","externalId":1}`},
		{"kubernetesVersion", "1.35", "amiFamily", "al2023"},
		{"kubernetesVersion", "1.3", "amiFamily", "al2"},
		{"controllerMin", "450", "controllerMax", "2"},
		{"publicAccessCidrs", `["0.0.0.0/0","10.0.0.1/8","::/0"]`, "tags", `{"team":"platform","aws:x":"","":"y"}`},
		{"tags", "null", "publicAccessCidrs", "null"},
		{"clusterName", strings.Repeat("a", 101), "amiVersion", "v20260714"},
		{"aws:region", "us-gov-west-1", "aws:profile", "x"},
		{"karpenterVersion", "1.14.1-rc.1", "devicePluginVersion", "v0"},
		{"createSpotRole", "TRUE", "cpuLimit", "+5"},
		{"secretsEncryption", "arn:aws:kms:us-west-1:111122223333:key/x", "gpuMetrics", "true"},
		{"eks-gpu-slicing:eks-gpu-slicing:x", "", ":", "\x00"},
	} {
		f.Add(false, seed[0], seed[1], seed[2], seed[3])
	}
	f.Add(true, "gpuMetrics", "true", "dcgmExporterVersion", "4.5.3-4.8.1")
	f.Add(true, "nodeClass", "gpu", "karpenterDeployment", "karpenter/controller")
	f.Add(true, "installKarpenter", "true", "nodeClass", "")
	f.Add(true, "gpuNodeLabel", "eks.amazonaws.com/nodegroup=gpu", "nodeClass", "")
	f.Fuzz(func(t *testing.T, existing bool, key1, value1, key2, value2 string) {
		config := valid(nil)
		if existing { // with a Karpenter of its own
			config = valid(map[string]string{"existingCluster": "platform", "installKarpenter": "false", "nodeClass": "default"})
		}
		maps.Copy(config, namespaced(map[string]string{key1: value1, key2: value2}))
		given := maps.Clone(config)
		s, problems := Load(schema, config)
		if d := cmp.Diff(given, config); d != "" {
			t.Fatalf("the config is changed (-before +after):\n%s", d)
		}
		for _, p := range problems {
			if p.Key == "" && key1 != "" && key2 != "" || p.Want == "" || !strings.HasPrefix(p.Mend, "pulumi config ") || !strings.Contains(problems.Error(), p.Want) {
				t.Fatalf("it does not say what to do: %+v", p)
			}
		}
		again, repeated := Load(schema, config)
		if d := cmp.Diff(problems, repeated) + cmp.Diff(s, again); d != "" {
			t.Fatalf("another answer to the same question:\n%s", d)
		}
		if len(problems) > 0 {
			return
		}
		for _, p := range s.GPUPools {
			launched := p.Nodes == NodeLabel{}
			if p.Slices < 1 || p.Slices > MaxSlices || (p.Limit > 0) != launched || (len(p.InstanceTypes) > 0) != launched || (p.Slices == 1) != (p.Sharing == SharingNone) {
				t.Fatalf("no pool: %+v", p)
			}
		}
		written := maps.Clone(config)
		maps.DeleteFunc(written, func(key, _ string) bool { return strings.HasPrefix(key, "eks-gpu-slicing:") })
		maps.Copy(written, asConfig(t, s))
		got, problems := Load(schema, written)
		if err := problems.Err(); err != nil {
			t.Fatalf("%v\nof %v", err, written)
		}
		// A written pool names all its values itself.
		if d := cmp.Diff(s, got, cmpopts.IgnoreFields(GPUPool{}, "From")); d != "" {
			t.Fatalf("-first +second:\n%s", d)
		}
	})
}

// asConfig writes settings as the engine hands a config over.
func asConfig(t *testing.T, s *Settings) map[string]string {
	t.Helper()
	text := func(v any) string {
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	tags := maps.Clone(s.Tags)
	maps.DeleteFunc(tags, func(name, _ string) bool { return strings.HasPrefix(name, "eks-gpu-slicing/") }) // set by the stack itself
	gpu, others := GPUPool{Slices: 1, Sharing: SharingNone}, s.GPUPools                                     // where there is no pool gpu
	if others[0].Name == PoolGPU {
		gpu, others = others[0], others[1:]
	}
	label := ""
	if gpu.Nodes != (NodeLabel{}) {
		label, gpu.Limit = gpu.Nodes.String(), 1
	}
	if gpu.InstanceTypes == nil {
		gpu.InstanceTypes = []string{"g4dn.xlarge"} // which nobody looks at
	}
	var more []map[string]any
	for _, p := range others {
		one := map[string]any{"name": p.Name, "slices": p.Slices, "sharing": p.Sharing}
		if p.Nodes == (NodeLabel{}) {
			one["instanceTypes"], one["limit"] = p.InstanceTypes, p.Limit
		} else {
			one["nodeLabel"] = p.Nodes.String()
		}
		more = append(more, one)
	}
	written := map[string]string{
		"aws:region": s.Region, "amiFamily": string(s.AMIFamily), "amiVersion": s.AMIVersion, "cpuLimit": strconv.Itoa(s.CPULimit),
		"gpuSlices": strconv.Itoa(gpu.Slices), "gpuSharing": gpu.Sharing, "gpuInstanceTypes": text(gpu.InstanceTypes), "gpuLimit": strconv.Itoa(gpu.Limit),
		"gpuNodeLabel": label, "gpuPools": text(more), "gpuMetrics": strconv.FormatBool(s.GPUMetrics),
		"installKarpenter": strconv.FormatBool(s.InstallKarpenter), "karpenterDeployment": s.KarpenterDeployment, "nodeClass": s.NodeClass,
		"publicAccessCidrs": text(s.PublicAccessCIDRs), "nodeSubnets": text(append([]string{}, s.NodeSubnets...)),
		"nodeSecurityGroups": text(append([]string{}, s.NodeSecurityGroups...)), // [] is the default, null is not
		"karpenterVersion":   s.KarpenterVersion, "devicePluginVersion": s.DevicePluginVersion, "dcgmExporterVersion": s.DCGMExporterVersion,
		"createSpotRole": strconv.FormatBool(s.CreateSpotRole), "tags": text(tags),
	}
	if s.Existing {
		written["existingCluster"] = s.ClusterName
	} else {
		maps.Copy(written, map[string]string{
			"clusterName": s.ClusterName, "kubernetesVersion": s.Version.String(),
			"secretsEncryption": s.SecretsEncryption, "controllerInstanceType": s.ControllerInstanceType, "controllerMin": strconv.Itoa(s.ControllerMin),
			"controllerMax": strconv.Itoa(s.ControllerMax), "controllerDesired": strconv.Itoa(s.ControllerDesired),
		})
	}
	return namespaced(written)
}

// FuzzParseSchema: no Pulumi.yaml panics, and every declared default can be loaded
// as the text that it is.
func FuzzParseSchema(f *testing.F) {
	f.Add([]byte("name: p\nconfig:\n  a: {default: 1}\n  b: {default: [x]}\n  aws:region: {value: x}\n"))
	f.Add([]byte("config: {a: null}"))
	f.Add([]byte("config: {a: {default: {1: 2}}}"))
	f.Add([]byte("config: {a: {default: .nan}}"))
	f.Add([]byte("config: {a: &x {default: *x}}"))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		schema, err := ParseSchema(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "Pulumi.yaml: ") {
				t.Fatalf("the error does not name the file: %v", err)
			}
			return
		}
		if len(schema.Keys()) != len(schema.Defaults) {
			t.Fatalf("%d keys of %d", len(schema.Keys()), len(schema.Defaults))
		}
		_, _ = Load(schema, nil)
	})
}

// FuzzParseVersion: what is taken for a version is written as it was.
func FuzzParseVersion(f *testing.F) {
	for _, seed := range []string{"1.28", "1.3", "1.010", " 1.28", "1.28.4", "٣.28", "1.28\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := ParseVersion(text); err == nil && v.String() != text {
			t.Fatalf("%q is %s", text, v)
		}
	})
}

// FuzzName: a name keeps its limit, its cluster and its part, and two clusters
// never share one.
func FuzzName(f *testing.F) {
	f.Add("gpu-slicing", "blue", uint8(64))
	f.Add(strings.Repeat("a", 100), strings.Repeat("a", 99)+"b", uint8(0))
	f.Fuzz(func(t *testing.T, one, other string, limit uint8) {
		for _, name := range []string{one, other} {
			if len(name) < MinClusterName || len(name) > MaxClusterName || !namePattern.MatchString(name) {
				return
			}
		}
		const part = "controllers"
		most := len(part) + 12 + int(limit)
		a, b := (&Settings{ClusterName: one}).Name(part, most), (&Settings{ClusterName: other}).Name(part, most)
		if len(a) > most || !strings.HasSuffix(a, "-"+part) || !strings.HasPrefix(one, a[:1]) {
			t.Fatalf("%q is %d characters, of %d", a, len(a), most)
		}
		if (a == b) != (one == other) {
			t.Fatalf("clusters %q and %q: %q and %q", one, other, a, b)
		}
	})
}
