package world

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"helm.sh/helm/v3/pkg/chartutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"eks-gpu-slicing/rehearsal/account"
)

// software is what an add-on puts into kube-system: one DaemonSet or one Deployment
// and what belongs to it.
type software struct {
	serviceAccount *corev1.ServiceAccount // nil: the default one
	daemonSet      *appsv1.DaemonSet
	deployment     *appsv1.Deployment
	budget         *policyv1.PodDisruptionBudget
}

// addonValues are the configuration values of add-ons that say where their pods go
// and how much room they take; `aws eks describe-addon-configuration` shows the
// schemas. Others change nothing here.
type addonValues struct {
	ReplicaCount              int32                             `json:"replicaCount,omitempty"`
	Resources                 corev1.ResourceRequirements       `json:"resources,omitzero"`
	NodeSelector              map[string]string                 `json:"nodeSelector,omitempty"`
	Affinity                  *corev1.Affinity                  `json:"affinity,omitempty"`
	Tolerations               []corev1.Toleration               `json:"tolerations,omitempty"`
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	PodAnnotations            map[string]string                 `json:"podAnnotations,omitempty"`
	PodLabels                 map[string]string                 `json:"podLabels,omitempty"`
	// Init and NodeAgent are vpc-cni's other containers.
	Init      containerValues `json:"init,omitzero"`
	NodeAgent containerValues `json:"nodeAgent,omitzero"`
}

type containerValues struct {
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`
}

// configured are the values with what the add-on's configuration says over them, as
// Helm lays a user's values over a chart's.
func (v addonValues) configured(configuration string) (addonValues, error) {
	own := map[string]any{}
	if err := yaml.Unmarshal([]byte(configuration), &own); err != nil {
		return v, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return v, err
	}
	defaults := map[string]any{}
	if err := json.Unmarshal(text, &defaults); err != nil {
		return v, err
	}
	if text, err = json.Marshal(chartutil.CoalesceTables(own, defaults)); err != nil {
		return v, err
	}
	var out addonValues
	return out, json.Unmarshal(text, &out)
}

// AddonDaemonSet is what an add-on runs on every node, configured by values; nil for an
// add-on without. The error says that there is no such add-on, or what is wrong in the
// values.
func AddonDaemonSet(name, values string) (*appsv1.DaemonSet, error) {
	s, err := softwareOf(account.Addon{Name: name, ConfigurationValues: values}, "")
	if err != nil {
		return nil, err
	}
	return s.daemonSet, nil
}

// softwareOf is the software of an add-on, with the names, labels, requests,
// tolerations and priorities that it has on EKS. The sources are named at each.
func softwareOf(d account.Addon, region string) (*software, error) {
	registry := "602401143452.dkr.ecr." + region + ".amazonaws.com/"
	switch d.Name {
	case "vpc-cni":
		return vpcCNI(d, registry)
	case "kube-proxy":
		return kubeProxy(d, registry)
	case "eks-pod-identity-agent":
		return podIdentityAgent(d, registry)
	case "coredns":
		return coreDNS(d, registry)
	}
	return nil, fmt.Errorf("a rehearsal has no software of add-on %s", d.Name)
}

// vpcCNI is config/master/aws-k8s-cni.yaml of aws/amazon-vpc-cni-k8s, the same from
// v1.19.0 to v1.23.1 in all that matters here. The node agent's image has a version of
// its own.
func vpcCNI(d account.Addon, registry string) (*software, error) {
	v, err := addonValues{
		Resources: requesting("25m", ""), Affinity: onEC2("fargate", "hybrid", "auto"), Tolerations: everything(),
		Init: containerValues{requesting("25m", "")}, NodeAgent: containerValues{requesting("25m", "")},
	}.configured(d.ConfigurationValues)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{"app.kubernetes.io/name": "aws-node", "app.kubernetes.io/instance": "aws-vpc-cni", "k8s-app": "aws-node"}
	grace := int64(10)
	return v.daemonSet("aws-node", labels, map[string]string{"k8s-app": "aws-node"}, labels, true, corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace,
		InitContainers: []corev1.Container{
			{Name: "aws-vpc-cni-init", Image: registry + "amazon-k8s-cni-init:" + d.Version, Resources: v.Init.Resources},
		},
		Containers: []corev1.Container{
			{Name: "aws-node", Image: registry + "amazon-k8s-cni:" + d.Version, Ports: ports("metrics", 61678), Resources: v.Resources},
			{Name: "aws-eks-nodeagent", Image: registry + "amazon/aws-network-policy-agent", Ports: ports("agentmetrics", 8162), Resources: v.NodeAgent.Resources},
		},
	}), nil
}

// kubeProxy is the DaemonSet that eksctl's tests keep of a cluster of EKS
// (pkg/addons/default/testdata/sample-1.25.json in eksctl-io/eksctl).
func kubeProxy(d account.Addon, registry string) (*software, error) {
	v, err := addonValues{
		Resources: requesting("100m", ""), Affinity: onEC2("fargate"), Tolerations: everything(),
	}.configured(d.ConfigurationValues)
	if err != nil {
		return nil, err
	}
	name := map[string]string{"k8s-app": "kube-proxy"}
	return v.daemonSet("kube-proxy", map[string]string{"eks.amazonaws.com/component": "kube-proxy", "k8s-app": "kube-proxy"}, name, name, true, corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "kube-proxy", Image: registry + "eks/kube-proxy:" + strings.Replace(d.Version, "-eksbuild", "-minimal-eksbuild", 1), Resources: v.Resources,
		}},
	}), nil
}

// podIdentityAgent is the chart of aws/eks-pod-identity-agent as its tests render it
// (hack/testdata/expected_eks_pod_identity_agent_default_helm_template.yaml): it
// requests nothing. Its image has a version of its own.
func podIdentityAgent(d account.Addon, registry string) (*software, error) {
	v, err := addonValues{
		Affinity: onEC2("fargate", "hybrid", "auto"), Tolerations: everything(),
	}.configured(d.ConfigurationValues)
	if err != nil {
		return nil, err
	}
	image := registry + "eks/eks-pod-identity-agent"
	labels := map[string]string{"app.kubernetes.io/name": "eks-pod-identity-agent", "app.kubernetes.io/instance": "eks-pod-identity-agent"}
	return v.daemonSet("eks-pod-identity-agent", labels, labels, labels, false, corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "eks-pod-identity-agent-init", Image: image}},
		Containers: []corev1.Container{{
			Name: "eks-pod-identity-agent", Image: image, Ports: append(ports("proxy", 80), ports("probes-port", 2703)...), Resources: v.Resources,
		}},
	}), nil
}

// coreDNS is what eksctl keeps of EKS's manifests
// (pkg/addons/default/assets/coredns-1.35.json in eksctl-io/eksctl); those of 1.10
// have no spread over zones. The disruption budget is the add-on's own, since
// v1.9.3-eksbuild.6 (AWS containers blog, "Recent changes to the CoreDNS add-on").
func coreDNS(d account.Addon, registry string) (*software, error) {
	kubeDNS := map[string]string{"k8s-app": "kube-dns"}
	defaults := addonValues{
		ReplicaCount: 2, Resources: requesting("100m", "70Mi"), Affinity: onEC2(),
		Tolerations: []corev1.Toleration{
			{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule},
			{Key: "CriticalAddonsOnly", Operator: corev1.TolerationOpExists},
		},
	}
	defaults.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("170Mi")}
	defaults.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 100, PodAffinityTerm: corev1.PodAffinityTerm{
			LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "k8s-app", Operator: metav1.LabelSelectorOpIn, Values: []string{"kube-dns"}},
			}},
			TopologyKey: corev1.LabelHostname,
		}}},
	}
	if !strings.HasPrefix(d.Version, "v1.10.") {
		defaults.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: kubeDNS},
		}}
	}
	v, err := defaults.configured(d.ConfigurationValues)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{"eks.amazonaws.com/component": "coredns", "k8s-app": "kube-dns"}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	one, quarter := intstr.FromInt32(1), intstr.FromString("25%")
	spec := corev1.PodSpec{
		ServiceAccountName: "coredns", PriorityClassName: "system-cluster-critical", DNSPolicy: corev1.DNSDefault,
		Containers: []corev1.Container{{
			Name: "coredns", Image: registry + "eks/coredns:" + d.Version, Ports: ports("metrics", 9153), Resources: v.Resources,
		}},
	}
	meta := metav1.ObjectMeta{Name: "coredns", Namespace: metav1.NamespaceSystem, Labels: labels}
	deployment := &appsv1.Deployment{
		ObjectMeta: *meta.DeepCopy(),
		Spec: appsv1.DeploymentSpec{
			Replicas: &v.ReplicaCount, Selector: selector, Template: v.template(labels, spec),
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &one, MaxSurge: &quarter}},
		},
	}
	deployment.Labels["kubernetes.io/name"] = "CoreDNS"
	return &software{
		serviceAccount: &corev1.ServiceAccount{ObjectMeta: meta}, deployment: deployment,
		budget: &policyv1.PodDisruptionBudget{ObjectMeta: meta, Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: selector}},
	}, nil
}

// daemonSet is the software of an add-on that has a critical pod on every node's
// network. account tells whether it has a service account, of its own name.
func (v addonValues) daemonSet(name string, labels, selector, podLabels map[string]string, account bool, spec corev1.PodSpec) *software {
	meta := metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceSystem, Labels: labels}
	spec.HostNetwork, spec.PriorityClassName = true, "system-node-critical"
	tenth := intstr.FromString("10%")
	s := &software{daemonSet: &appsv1.DaemonSet{ObjectMeta: meta}}
	if account {
		spec.ServiceAccountName = name
		s.serviceAccount = &corev1.ServiceAccount{ObjectMeta: meta}
	}
	s.daemonSet.Spec = appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: v.template(podLabels, spec),
		UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType, RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &tenth}},
	}
	return s
}

// template is the template of an add-on's pods, which go where the values say.
func (v addonValues) template(labels map[string]string, spec corev1.PodSpec) corev1.PodTemplateSpec {
	spec.NodeSelector, spec.Affinity, spec.Tolerations = v.NodeSelector, v.Affinity, v.Tolerations
	spec.TopologySpreadConstraints = v.TopologySpreadConstraints
	labels = maps.Clone(labels)
	maps.Copy(labels, v.PodLabels)
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: v.PodAnnotations}, Spec: spec}
}

// everything tolerates every taint.
func everything() []corev1.Toleration {
	return []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
}

// onEC2 keeps pods on Linux nodes of either architecture and off the compute types.
func onEC2(notOn ...string) *corev1.Affinity {
	in := func(key string, values ...string) corev1.NodeSelectorRequirement {
		return corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}
	}
	term := []corev1.NodeSelectorRequirement{in(corev1.LabelOSStable, "linux"), in(corev1.LabelArchStable, "amd64", "arm64")}
	if len(notOn) > 0 {
		term = append(term, corev1.NodeSelectorRequirement{Key: "eks.amazonaws.com/compute-type", Operator: corev1.NodeSelectorOpNotIn, Values: notOn})
	}
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: term}},
	}}}
}

func requesting(cpu, memory string) corev1.ResourceRequirements {
	list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	if memory != "" {
		list[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return corev1.ResourceRequirements{Requests: list}
}

func ports(name string, port int32) []corev1.ContainerPort {
	return []corev1.ContainerPort{{Name: name, ContainerPort: port}}
}
