package kubelet

import (
	"encoding/base64"
	"strings"
	"testing"

	karpenter "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	"github.com/aws/karpenter-provider-aws/pkg/providers/amifamily/bootstrap"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// Karpenter's own generators of user data must be understood.
func TestUserDataOfKarpenter(t *testing.T) {
	t.Parallel()
	ptr := func(s string) *string { return &s }
	pods := int32(20)
	options := bootstrap.Options{
		ClusterName: "gpu-slicing", ClusterEndpoint: "https://127.0.0.1:6443", CABundle: ptr("Y2E="), ClusterCIDR: ptr("10.100.0.0/16"),
		Labels: map[string]string{"karpenter.sh/nodepool": "gpu", "karpenter.sh/capacity-type": "spot", "nvidia.com/gpu.present": "true"},
		Taints: []corev1.Taint{
			{Key: "karpenter.sh/unregistered", Effect: corev1.TaintEffectNoExecute},
			{Key: "nvidia.com/gpu", Value: "true", Effect: corev1.TaintEffectNoSchedule},
		},
		KubeletConfig: &karpenter.KubeletConfiguration{
			MaxPods:      &pods,
			KubeReserved: map[string]string{"cpu": "200m"}, SystemReserved: map[string]string{"memory": "300Mi"},
			EvictionHard: map[string]string{"memory.available": "5%"},
		},
		CustomUserData: ptr("#!/bin/bash\necho hello\n"),
	}
	want := request{
		labels: options.Labels, taints: options.Taints, maxPods: 20,
		kubeReserved: options.KubeletConfig.KubeReserved, systemReserved: options.KubeletConfig.SystemReserved,
		evictionHard: options.KubeletConfig.EvictionHard,
	}
	for family, generator := range map[string]bootstrap.Bootstrapper{
		"AL2": bootstrap.EKS{Options: options}, "AL2023": bootstrap.Nodeadm{Options: options},
	} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			text, err := generator.Script(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseUserData(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(request{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestUserDataOfOthers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want request
		err  string
	}{
		"none":                             {},
		"a script that bootstraps nothing": {text: "#!/bin/sh\necho /etc/eks\n"},
		"a script": {
			text: "#!/bin/sh\n/etc/eks/bootstrap.sh c --use-max-pods false --kubelet-extra-args '--max-pods=9 --v=4 --node-labels=a=b,c=d' \\\n  --b64-cluster-ca x\necho --kubelet-extra-args '--max-pods=7'\n",
			want: request{maxPods: 9, labels: map[string]string{"a": "b", "c": "d"}},
		},
		"a NodeConfig": {
			text: "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {kubelet: {config: {maxPods: 9}, flags: ['--node-labels=a=b', '--max-pods=10']}}",
			want: request{maxPods: 10, labels: map[string]string{"a": "b"}},
		},
		"a misspelt NodeConfig":  {text: "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {kublet: {}}", err: "kublet"},
		"something else in YAML": {text: "kind: Pod", err: `"Pod"`},
		"a broken archive":       {text: "MIME-Version: 1.0\nContent-Type: text/plain\n\nx", err: "MIME archive"},
		"an open quote":          {text: "#!/bin/sh\n/etc/eks/bootstrap.sh c --kubelet-extra-args '--max-pods=9\n", err: "no shell can read"},
		"a taint that is none":   {text: "#!/bin/sh\n/etc/eks/bootstrap.sh c --kubelet-extra-args '--register-with-taints=a:Never'", err: "--register-with-taints"},
		"a number that is none":  {text: "#!/bin/sh\n/etc/eks/bootstrap.sh c --kubelet-extra-args '--max-pods=many'", err: "max-pods"},
		"a threshold without <":  {text: "#!/bin/sh\n/etc/eks/bootstrap.sh c --kubelet-extra-args '--eviction-hard=memory.available=5%'", err: "signal<value"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseUserData(base64.StdEncoding.EncodeToString([]byte(tc.text)))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want one with %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(request{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if _, err := parseUserData("***"); err == nil || !strings.Contains(err.Error(), "base64") {
		t.Errorf("text that is no base64: %v", err)
	}
}

func TestMachine(t *testing.T) {
	t.Parallel()
	types, err := catalogue.Default()
	if err != nil {
		t.Fatal(err)
	}
	i := Instance{
		ID: "i-1", Type: "m7g.large", Region: "us-west-1", Zone: "us-west-1a", ZoneID: "usw1-az1", PrivateDNSName: "ip-1",
		AMIFamily: "AL2", KubernetesVersion: "1.28", VolumeGiB: 20,
		UserData: base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\n/etc/eks/bootstrap.sh c --kubelet-extra-args '--node-labels=a=user --register-with-taints=t=user:NoSchedule'")),
		Labels:   map[string]string{"a": "eks", "b": "eks"},
		Taints:   []corev1.Taint{{Key: "t", Value: "eks", Effect: corev1.TaintEffectNoSchedule}, {Key: "u", Effect: corev1.TaintEffectNoSchedule}},
	}
	m, err := newMachine(i, types)
	if err != nil {
		t.Fatal(err)
	}
	for label, want := range map[string]string{
		"kubernetes.io/arch": "arm64", "kubernetes.io/hostname": "ip-1", "node.kubernetes.io/instance-type": "m7g.large",
		"topology.kubernetes.io/zone": "us-west-1a", "topology.k8s.aws/zone-id": "usw1-az1", "a": "user", "b": "eks",
	} {
		if got := m.labels[label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
	want := []corev1.Taint{{Key: "t", Value: "user", Effect: corev1.TaintEffectNoSchedule}, {Key: "u", Effect: corev1.TaintEffectNoSchedule}}
	if diff := cmp.Diff(want, m.taints); diff != "" {
		t.Errorf("taints (-want +got)\n%s", diff)
	}
	if got := m.providerID(); got != "aws:///us-west-1a/i-1" {
		t.Errorf("provider ID %q", got)
	}
	if got := m.nodeInfo(); got.Architecture != "arm64" || !strings.HasPrefix(got.KubeletVersion, "v1.28.") {
		t.Errorf("node info %+v", got)
	}
	for name, edit := range map[string]func(*Instance){
		`"m9z.huge"`: func(i *Instance) { i.Type = "m9z.huge" },
		"user data":  func(i *Instance) { i.UserData = "***" },
	} {
		bad := i
		edit(&bad)
		if _, err := newMachine(bad, types); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "i-1") {
			t.Errorf("error %v, want one with the instance and %s", err, name)
		}
	}
}
