package world

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	resourcehelper "k8s.io/component-helpers/resource"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/controlplane/controlplanetest"
)

// TestSoftware: what the pods of each add-on ask for, by themselves and as they are
// configured.
func TestSoftware(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ addon, version, values, want string }{
		{"vpc-cni", "v1.20.1-eksbuild.3", "", "cpu 50m memory 0, tolerates everything, system-node-critical, host network"},
		{"vpc-cni", "v1.20.1-eksbuild.3", `{"nodeAgent":{"resources":{"requests":{"cpu":"50m"}}},"init":{"resources":{"requests":{"cpu":"90m"}}}}`,
			"cpu 90m memory 0, tolerates everything, system-node-critical, host network"},
		{"kube-proxy", "v1.28.15-eksbuild.31", "", "cpu 100m memory 0, tolerates everything, system-node-critical, host network"},
		{"kube-proxy", "v1.28.15-eksbuild.31", "resources:\n  requests:\n    memory: 64Mi\n",
			"cpu 100m memory 64Mi, tolerates everything, system-node-critical, host network"},
		{"eks-pod-identity-agent", "v1.3.4-eksbuild.1", "", "cpu 0 memory 0, tolerates everything, system-node-critical, host network"},
		{"coredns", "v1.10.1-eksbuild.38", "", "cpu 100m memory 70Mi, tolerates node-role.kubernetes.io/control-plane CriticalAddonsOnly, system-cluster-critical, 2 replicas"},
		{"coredns", "v1.13.2-eksbuild.4", `{"replicaCount":3,"tolerations":[{"key":"karpenter.sh/controller","operator":"Exists"}]}`,
			"cpu 100m memory 70Mi, tolerates karpenter.sh/controller, system-cluster-critical, 3 replicas, spread over topology.kubernetes.io/zone"},
	} {
		t.Run(c.addon+" "+c.values, func(t *testing.T) {
			t.Parallel()
			s, err := softwareOf(account.Addon{Name: c.addon, Version: c.version, ConfigurationValues: c.values}, "us-west-1")
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, summary(s)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			objects, err := s.objects()
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range objects {
				if o.GetNamespace() != metav1.NamespaceSystem || o.Object["status"] != nil {
					t.Errorf("%s: namespace %q, status %v", o, o.GetNamespace(), o.Object["status"])
				}
			}
		})
	}
	if _, err := softwareOf(account.Addon{Name: "coredns", ConfigurationValues: `{"tolerations":"all"}`}, "us-west-1"); err == nil {
		t.Error("tolerations that are no list are taken")
	}
}

func summary(s *software) string {
	var template corev1.PodTemplateSpec
	var more []string
	if s.daemonSet != nil {
		template = s.daemonSet.Spec.Template
	} else {
		template = s.deployment.Spec.Template
		more = append(more, fmt.Sprintf("%d replicas", *s.deployment.Spec.Replicas))
	}
	spec := template.Spec
	requests := resourcehelper.PodRequests(&corev1.Pod{Spec: spec}, resourcehelper.PodResourcesOptions{})
	tolerates := "tolerates"
	for _, toleration := range spec.Tolerations {
		if toleration.Key == "" && toleration.Operator == corev1.TolerationOpExists {
			toleration.Key = "everything"
		}
		tolerates += " " + toleration.Key
	}
	out := []string{fmt.Sprintf("cpu %s memory %s", requests.Cpu(), requests.Memory()), tolerates, spec.PriorityClassName}
	if spec.HostNetwork {
		out = append(out, "host network")
	}
	for _, c := range spec.TopologySpreadConstraints {
		more = append(more, "spread over "+c.TopologyKey)
	}
	return strings.Join(append(out, more...), ", ")
}

// TestAddons: an add-on of the account runs in the cluster, takes its room on the
// nodes, and is no more ACTIVE than its pods run.
func TestAddons(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	client, err := kubernetes.NewForConfig(w.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	create := func(name, values string) account.Addon {
		t.Helper()
		d, err := w.account.CreateAddon(account.CreateAddonInput{ClusterName: "c", Name: name, ConfigurationValues: values})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	daemons := []string{"vpc-cni", "kube-proxy", "eks-pod-identity-agent"}
	for _, name := range daemons {
		if d := create(name, ""); d.Status != account.AddonActive {
			t.Errorf("without a node add-on %s is %s: %v", name, d.Status, d.Issues)
		}
	}
	withControllers(t, w)
	if d := create("coredns", `{"tolerations":[{"key":"karpenter.sh/controller","operator":"Exists"}]}`); d.Status != account.AddonActive {
		t.Fatalf("CoreDNS, which tolerates the nodes' taint, is %s: %v", d.Status, d.Issues)
	}
	running := func() map[string]int {
		t.Helper()
		pods, err := client.CoreV1().Pods(metav1.NamespaceSystem).List(t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running"})
		if err != nil {
			t.Fatal(err)
		}
		n := map[string]int{}
		for _, p := range pods.Items {
			if p.DeletionTimestamp == nil {
				n[p.Spec.Containers[0].Name]++
			}
		}
		return n
	}
	await(t, map[string]int{"aws-node": 2, "kube-proxy": 2, "eks-pod-identity-agent": 2, "coredns": 2}, running)

	// By itself it tolerates nothing of these nodes.
	impatient := &addons{region: "us-west-1", access: w.RESTConfig, patience: 2 * time.Second}
	for begin := time.Now(); ; {
		issues, err := impatient.Install(account.Addon{Name: "coredns", Version: "v1.10.1-eksbuild.38", ConfigurationValues: `{}`})
		if err == nil && len(issues) == 1 && issues[0].Code == "InsufficientNumberOfReplicas" &&
			strings.Contains(issues[0].Message, "0/2 nodes are available: 2 node(s) had untolerated taint(s)") {
			break
		}
		if time.Since(begin) > time.Minute { // it is asked again because the scheduler may be late
			t.Fatalf("a CoreDNS without tolerations: %v %v", issues, err)
		}
	}
	for i, name := range append(daemons, "coredns") {
		if err := w.account.DeleteAddon("c", name, i == 0); err != nil {
			t.Error(err)
		}
	}
	// The first was to be preserved.
	await(t, map[string]int{"aws-node": 2}, running)
	if _, err := client.PolicyV1().PodDisruptionBudgets(metav1.NamespaceSystem).Get(t.Context(), "coredns", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("CoreDNS's disruption budget: %v", err)
	}
}

// startWorld starts a world with cluster c.
func startWorld(t *testing.T) *World {
	t.Helper()
	kube, err := controlplanetest.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w, err := Start(t.Context(), Options{Region: "us-west-1", Dir: t.TempDir(), Kube: kube})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	_, err = w.account.CreateCluster(account.CreateClusterInput{
		Name: "c", Version: "1.28", RoleARN: newRole(t, w, "c-cluster", "eks.amazonaws.com"), AuthenticationMode: account.AuthAPI,
		VPC: account.ClusterVPC{SubnetIDs: subnets(t, w), EndpointPublicAccess: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// withControllers gives cluster c two nodes with the controllers' taint.
func withControllers(t *testing.T, w *World) {
	t.Helper()
	_, err := w.account.CreateNodegroup(account.Nodegroup{
		ClusterName: "c", Name: "controllers", NodeRoleARN: newRole(t, w, "c-node", "ec2.amazonaws.com"), SubnetIDs: subnets(t, w),
		InstanceTypes: []string{"m7g.large"}, AMIType: "AL2_ARM_64", Scaling: account.Scaling{Min: 1, Max: 3, Desired: 2},
		Taints: []account.Taint{{Key: "karpenter.sh/controller", Value: "true", Effect: "NO_SCHEDULE"}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func newRole(t *testing.T, w *World, name, service string) string {
	t.Helper()
	r, err := w.account.CreateRole(account.CreateRoleInput{
		Name:             name,
		AssumeRolePolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.ARN
}

func subnets(t *testing.T, w *World) (ids []string) {
	t.Helper()
	all, err := w.account.DescribeSubnets()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	return ids
}

// await polls until what is seen is what is wanted.
func await[T any](t *testing.T, want T, see func() T) {
	t.Helper()
	var diff string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if diff = cmp.Diff(want, see()); diff == "" {
			return
		}
	}
	t.Fatalf("after 30 s (-want +got):\n%s", diff)
}
