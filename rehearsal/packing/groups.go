package packing

import (
	"context"
	"errors"
	"fmt"
	"maps"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	helper "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/daemon"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// member is a node of a node group and what runs on it.
type member struct {
	group string
	*framework.NodeInfo
}

// members are the nodes of a group, with what Karpenter reckons their type to have, and
// the DaemonSets' pods that the DaemonSet controller would put there.
func (c *cloud) members(ctx context.Context, g NodeGroup, s *Stack) ([]member, error) {
	if len(s.NodeClasses) == 0 {
		return nil, errors.New("the stack has no EC2NodeClass, whose subnets say where its nodes are")
	}
	class := &s.NodeClasses[0]
	t, err := c.types.Get(ctx, class, ec2types.InstanceType(g.InstanceType))
	if err != nil {
		return nil, err
	}
	var all []member
	for i := range g.Size {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", g.Name, i), Labels: map[string]string{
			corev1.LabelInstanceTypeStable: t.Name, corev1.LabelTopologyZone: class.Status.Subnets[i%len(class.Status.Subnets)].Zone,
			// What EKS adds to the nodes of a group (EKS user guide, "Managed node groups").
			"eks.amazonaws.com/nodegroup": g.Name, "eks.amazonaws.com/capacityType": "ON_DEMAND",
		}}}
		for _, label := range []string{corev1.LabelArchStable, corev1.LabelOSStable, corev1.LabelTopologyRegion} {
			n.Labels[label] = t.Requirements.Get(label).Any()
		}
		n.Labels[corev1.LabelHostname] = n.Name
		maps.Copy(n.Labels, g.Labels)
		n.Spec.Taints = g.Taints
		n.Status.Capacity, n.Status.Allocatable = t.Capacity, t.Allocatable()
		m := member{g.Name, framework.NewNodeInfo()}
		m.SetNode(n)
		for d := range s.DaemonSets {
			if runs, _ := daemon.NodeShouldRunDaemonPod(klog.FromContext(ctx), n, &s.DaemonSets[d]); runs {
				m.AddPod(daemon.NewPod(&s.DaemonSets[d], n.Name))
			}
		}
		all = append(all, m)
	}
	return all, nil
}

// takes tells whether a pod fits onto the node by the scheduler's own checks of
// resources, node affinity, ports and taints. Demands on other pods are not looked at.
func (m member) takes(ctx context.Context, pod *corev1.Pod) bool {
	_, keptOff := helper.FindMatchingUntoleratedTaint(klog.FromContext(ctx), m.Node().Spec.Taints, pod.Spec.Tolerations,
		func(t *corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }, false)
	return !keptOff && len(scheduler.AdmissionCheck(pod, m.NodeInfo, false)) == 0
}
