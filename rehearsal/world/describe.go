package world

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"eks-gpu-slicing/rehearsal/catalogue"
	"eks-gpu-slicing/rehearsal/report"
)

// Cluster is how nodes and pods stand.
type Cluster struct {
	Nodes []report.Node
	Pods  []report.Pod
}

// GPU is the resource that slices are counted in.
const GPU corev1.ResourceName = "nvidia.com/gpu"

func (w *World) describeCluster(s state) Cluster {
	var c Cluster
	used := map[string]int64{}
	for i := range s.pods {
		p := &s.pods[i]
		if p.Spec.NodeName != "" && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			used[p.Spec.NodeName] += Slices(p)
		}
		c.Pods = append(c.Pods, s.describePod(p))
	}
	for i := range s.nodes {
		c.Nodes = append(c.Nodes, w.describeNode(&s.nodes[i], used[s.nodes[i].Name]))
	}
	slices.SortFunc(c.Nodes, func(x, y report.Node) int { return cmp.Or(cmp.Compare(x.Pool, y.Pool), cmp.Compare(x.Name, y.Name)) })
	return c
}

// Slices is how many slices a pod's containers ask for together.
func Slices(p *corev1.Pod) (n int64) {
	for _, c := range p.Spec.Containers {
		n += c.Resources.Limits.Name(GPU, "").Value()
	}
	return n
}

func (w *World) describeNode(n *corev1.Node, used int64) report.Node {
	out := report.Node{
		Name: n.Name, Pool: cmp.Or(n.Labels["karpenter.sh/nodepool"], n.Labels["eks.amazonaws.com/nodegroup"]),
		InstanceType: n.Labels[corev1.LabelInstanceTypeStable], Zone: n.Labels[corev1.LabelTopologyZone],
		CapacityType: "on-demand", GPUSlices: n.Status.Allocatable.Name(GPU, "").Value(), GPUSlicesUsed: used,
		Fixed: n.Labels["karpenter.sh/nodepool"] == "",
	}
	if n.Labels["karpenter.sh/capacity-type"] == "spot" || n.Labels["eks.amazonaws.com/capacityType"] == "SPOT" {
		out.CapacityType = "spot"
	}
	out.PricePerHour = Price(w.options.Region, out)
	return out
}

// Price of a node in a region, in USD an hour; 0 where the catalogue knows none.
func Price(region string, n report.Node) float64 {
	types, err := catalogue.Default()
	if err != nil {
		return 0
	}
	p, err := types.OnDemand(region, n.InstanceType)
	if n.CapacityType == "spot" {
		p, err = types.Spot(region, n.Zone, n.InstanceType)
	}
	if err != nil {
		return 0
	}
	return p.USDPerHour
}

func (s *state) describePod(p *corev1.Pod) report.Pod {
	out := report.Pod{Namespace: p.Namespace, Name: p.Name, Node: p.Spec.NodeName, Phase: string(p.Status.Phase)}
	ready := condition(p, corev1.PodReady)
	switch {
	case p.Status.Phase == corev1.PodSucceeded, p.Status.Phase == corev1.PodRunning && settled(p):
		if scheduled := condition(p, corev1.PodScheduled); scheduled != nil {
			out.PendingSeconds = scheduled.LastTransitionTime.Sub(p.CreationTimestamp.Time).Seconds()
		}
		if p.Status.Phase == corev1.PodRunning {
			out.PendingSeconds = ready.LastTransitionTime.Sub(p.CreationTimestamp.Time).Seconds()
		}
	default:
		out.PendingSeconds = time.Since(p.CreationTimestamp.Time).Round(time.Second).Seconds()
		out.Reason = s.reason(p)
	}
	return out
}

// reason is why a pod does not run, in the words of who knows best.
func (s *state) reason(p *corev1.Pod) string {
	if p.Status.Reason != "" || p.Status.Message != "" {
		return cmp.Or(p.Status.Reason, "Failed") + ": " + p.Status.Message
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Waiting != nil && c.State.Waiting.Reason != "" {
			why := c.State.Waiting.Reason + ": " + c.State.Waiting.Message
			if last := c.LastTerminationState.Terminated; last != nil && last.Message != "" {
				why += "; its last words: " + strings.TrimSpace(last.Message)
			}
			return why
		}
	}
	why := s.refusal(p, karpenterReporter)
	if p.Spec.NodeName == "" { // one that has a node may be what hangs there
		if why == "" {
			why = s.hanging()
		} else if refused := s.refusedLaunches(p); refused != "" {
			return refused + ". Karpenter: " + why
		}
	}
	if why != "" {
		return "Karpenter: " + why
	}
	if scheduled := condition(p, corev1.PodScheduled); scheduled != nil && scheduled.Status == corev1.ConditionFalse {
		return "scheduler: " + scheduled.Message
	}
	return "not ready, without a reason given"
}

// Launched lists all NodeClaims that an instance was ever launched for.
func (w *World) Launched() ([]report.NodeClaim, error) {
	instances, err := w.account.DescribeInstances(nil)
	if err != nil {
		return nil, err
	}
	out := []report.NodeClaim{}
	for _, i := range instances {
		name := i.Tags["karpenter.sh/nodeclaim"]
		if name == "" && i.Tags["karpenter.sh/nodepool"] == "" {
			continue
		}
		capacity := "on-demand"
		if i.Spot {
			capacity = "spot"
		}
		out = append(out, report.NodeClaim{
			Name: name, Pool: i.Tags["karpenter.sh/nodepool"], InstanceID: i.ID,
			InstanceType: i.Type, CapacityType: capacity, Zone: i.AvailabilityZone, Node: i.PrivateDNSName,
		})
	}
	slices.SortFunc(out, func(x, y report.NodeClaim) int {
		return cmp.Or(cmp.Compare(x.Pool, y.Pool), cmp.Compare(x.Name, y.Name))
	})
	return out, nil
}

// Denied lists the calls that IAM did not allow, equal ones counted.
func (w *World) Denied() []report.DeniedCall {
	out := []report.DeniedCall{}
	for _, d := range w.wire.Denied() {
		call := report.DeniedCall{Principal: d.Principal, Action: d.Action, Resource: d.Resource, Reason: d.Reason, DryRun: d.DryRun}
		at := slices.IndexFunc(out, func(o report.DeniedCall) bool { o.Count = 0; return o == call })
		if at < 0 {
			out, at = append(out, call), len(out)
		}
		out[at].Count++
	}
	return out
}

// Leftovers lists what the account holds and was not born with. Launch templates that
// the Karpenter of a cluster that stands removes by itself are left out.
func (w *World) Leftovers() []report.Leftover {
	out := []report.Leftover{}
	for _, r := range w.account.Leftovers() {
		if r.Type == "AWS::EC2::LaunchTemplate" && w.passes(r.ID) {
			continue
		}
		out = append(out, report.Leftover{Type: r.Type, ID: r.ID})
	}
	return out
}
