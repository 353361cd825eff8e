package packing

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	awsv1 "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/apis/v1alpha1"

	"eks-gpu-slicing/rehearsal/engine"
)

// Stack is what bears on where pods go.
type Stack struct {
	NodePools    []karpv1.NodePool
	NodeOverlays []v1alpha1.NodeOverlay
	// NodeClasses select their subnets out of the account's.
	NodeClasses []awsv1.EC2NodeClass
	// DaemonSets take their part of every node they match: the stack's own, those of
	// EKS's add-ons, and the workload's.
	DaemonSets []appsv1.DaemonSet
	// ConfigMaps are what the DaemonSets' containers read. Karpenter does not.
	ConfigMaps []corev1.ConfigMap
	// NodeGroups' nodes are there already: pods that fit go there first.
	NodeGroups []NodeGroup
	// Controller is the environment of Karpenter's controller, which holds its
	// settings; none is Karpenter's defaults, without the gate of NodeOverlays.
	Controller []corev1.EnvVar
}

// NodeGroup is an EKS managed node group. Its nodes are taken to be empty, but for
// DaemonSets.
type NodeGroup struct {
	Name         string
	InstanceType string
	Size         int
	Labels       map[string]string
	Taints       []corev1.Taint
}

// FromPlan takes a stack out of a successful plan. charts is the folder of Karpenter's
// charts. A stack that does not install Karpenter is taken to have one with its
// defaults and the gate of NodeOverlays on, which it requires.
func FromPlan(plan *engine.Plan, charts string) (*Stack, error) {
	s := &Stack{}
	for _, r := range plan.Resources {
		var err error
		switch chart, _ := r.Inputs["chart"].(string); {
		case r.Type == "aws:eks/nodeGroup:NodeGroup":
			err = s.addNodeGroup(r.Inputs)
		case r.Type == "kubernetes:helm.sh/v3:Release" && chart == controllerChart:
			values, _ := r.Inputs["values"].(map[string]any)
			s.Controller, err = ControllerEnvironment(charts, values)
		default:
			err = s.Add(r.Inputs)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.URN, err)
		}
	}
	if s.Controller == nil {
		s.Controller = []corev1.EnvVar{{Name: "FEATURE_GATES", Value: "NodeOverlay=true"}}
	}
	return s, nil
}

// controllerChart is where the chart of Karpenter's controller is published.
const controllerChart = "oci://public.ecr.aws/karpenter/karpenter"

// Add decodes a Kubernetes object into the stack. Kinds that do not bear on where pods
// go are passed over; a field that a kind does not have is an error.
func (s *Stack) Add(object map[string]any) error {
	kind, _ := object["kind"].(string)
	switch kind {
	case "NodePool":
		return add(&s.NodePools, object)
	case "NodeOverlay":
		return add(&s.NodeOverlays, object)
	case "EC2NodeClass":
		return add(&s.NodeClasses, object)
	case "DaemonSet":
		return add(&s.DaemonSets, object)
	case "ConfigMap":
		return add(&s.ConfigMaps, object)
	}
	return nil
}

func add[T any](list *[]T, object map[string]any) error {
	text, err := json.Marshal(object)
	if err != nil {
		return err
	}
	var one T
	strict, err := kjson.UnmarshalStrict(text, &one)
	if err = errors.Join(append(strict, err)...); err != nil {
		metadata, _ := object["metadata"].(map[string]any)
		return fmt.Errorf("%v %v: %w", object["kind"], metadata["name"], err)
	}
	*list = append(*list, one)
	return nil
}

// addNodeGroup takes the inputs of an aws:eks/nodeGroup:NodeGroup.
func (s *Stack) addNodeGroup(inputs map[string]any) error {
	text, err := json.Marshal(inputs)
	if err != nil {
		return err
	}
	var in struct {
		NodeGroupName string
		InstanceTypes []string
		Labels        map[string]string
		Taints        []struct{ Key, Value, Effect string }
		ScalingConfig struct{ DesiredSize int }
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	if len(in.InstanceTypes) == 0 {
		return errors.New("it states no instance type")
	}
	g := NodeGroup{Name: in.NodeGroupName, InstanceType: in.InstanceTypes[0], Size: in.ScalingConfig.DesiredSize, Labels: in.Labels}
	// EKS's words for effects (EKS API reference, "Taint").
	effects := map[string]corev1.TaintEffect{
		"NO_SCHEDULE": corev1.TaintEffectNoSchedule, "NO_EXECUTE": corev1.TaintEffectNoExecute, "PREFER_NO_SCHEDULE": corev1.TaintEffectPreferNoSchedule,
	}
	for _, t := range in.Taints {
		effect, known := effects[t.Effect]
		if !known {
			return fmt.Errorf("taint %s has the effect %q, which EKS does not know", t.Key, t.Effect)
		}
		g.Taints = append(g.Taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: effect})
	}
	s.NodeGroups = append(s.NodeGroups, g)
	return nil
}

// clone is a copy that shares nothing with s.
func (s *Stack) clone() *Stack {
	c := &Stack{
		NodePools:    clones(s.NodePools, (*karpv1.NodePool).DeepCopy),
		NodeOverlays: clones(s.NodeOverlays, (*v1alpha1.NodeOverlay).DeepCopy),
		NodeClasses:  clones(s.NodeClasses, (*awsv1.EC2NodeClass).DeepCopy),
		DaemonSets:   clones(s.DaemonSets, (*appsv1.DaemonSet).DeepCopy),
		ConfigMaps:   clones(s.ConfigMaps, (*corev1.ConfigMap).DeepCopy),
		NodeGroups:   slices.Clone(s.NodeGroups),
		Controller:   slices.Clone(s.Controller),
	}
	for i := range c.NodeGroups {
		g := &c.NodeGroups[i]
		g.Labels, g.Taints = maps.Clone(g.Labels), slices.Clone(g.Taints)
	}
	return c
}

func clones[T any](list []T, clone func(*T) *T) []T {
	out := make([]T, len(list))
	for i := range list {
		out[i] = *clone(&list[i])
	}
	return out
}
