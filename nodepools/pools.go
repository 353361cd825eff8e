package nodepools

import (
	"strconv"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/gpu"
	"eks-gpu-slicing/internal/outputs"
	"eks-gpu-slicing/internal/settings"
	karpenter "eks-gpu-slicing/manifests/karpenter/v1"
)

// sliceKey is the annotation that says what a pod of a GPU pool gets.
const sliceKey = "eks-gpu-slicing/slice"

// pool is a NodePool before it is one.
type pool struct {
	name         string
	class        class
	weight       int // 0 leaves it out
	labels       map[string]string
	annotations  map[string]string // of the NodePool, not of its nodes
	taints       []gpu.Taint
	requirements []requirement
	limits       map[string]string
	disruption   disruption
}

type requirement struct {
	key, operator string
	values        []string
}

// disruption says when Karpenter may take a node away, and how fast.
type disruption struct {
	policy, after string
	expireAfter   string
	budgets       []budget
}

// budget caps the nodes that may go at once, for some reasons or for all.
type budget struct {
	nodes   string
	reasons []string
}

func in(key string, values ...string) requirement {
	return requirement{key: key, operator: "In", values: values}
}

var bothCapacityTypes = in("karpenter.sh/capacity-type", "spot", "on-demand")

// cpuDisruption packs CPU pods together as they come and go, a tenth of the
// nodes at a time.
var cpuDisruption = disruption{
	policy: "WhenEmptyOrUnderutilized", after: "1m", expireAfter: "720h",
	budgets: []budget{{nodes: "10%"}},
}

// gpuDisruption leaves running GPU pods alone: moving one loses what it holds in
// GPU memory, and it may be a training run of days. So nodes go when they are
// empty, all of them at once, and never for their age; one at a time when they
// have drifted from their pool.
var gpuDisruption = disruption{
	policy: "WhenEmpty", after: "5m", expireAfter: "Never",
	budgets: []budget{{nodes: "100%", reasons: []string{"Empty"}}, {nodes: "1", reasons: []string{"Drifted"}}},
}

// cpuPool is a pool of general instances of two sizes.
func cpuPool(name, arch string, generation requirement, weight, limit int) pool {
	return pool{
		name: name, class: cpuClass, weight: weight,
		labels: map[string]string{"intent": "apps"},
		requirements: []requirement{
			in("kubernetes.io/arch", arch),
			in("kubernetes.io/os", "linux"),
			in("karpenter.k8s.aws/instance-category", "c", "m", "r"),
			in("karpenter.k8s.aws/instance-cpu", "2", "4"),
			generation,
			bothCapacityTypes,
		},
		limits:     map[string]string{"cpu": strconv.Itoa(limit)},
		disruption: cpuDisruption,
	}
}

// cpuPools are the x86 and the arm64 pool. x86 outweighs arm64: a pod that names
// no architecture could run on either, Karpenter would take the one that comes
// first by name, and most images have no ARM build.
func cpuPools(limit int) []pool {
	const generation = "karpenter.k8s.aws/instance-generation"
	return []pool{
		cpuPool(settings.PoolX86, "amd64", requirement{key: generation, operator: "Gt", values: []string{"6"}}, 10, limit),
		cpuPool(settings.PoolARM64, "arm64", in(generation, "7"), 0, limit),
	}
}

// gpuPool is a pool of sliced GPUs. Its limit is in slices, which is what
// Karpenter counts once an overlay says so; the setting is in physical GPUs.
func gpuPool(p *gpu.Pool, of class) pool {
	return pool{
		name: p.Name, class: of,
		labels:      p.Labels(),
		annotations: map[string]string{sliceKey: p.Sharing.Slice()},
		taints:      p.Taints(),
		requirements: []requirement{
			in("kubernetes.io/arch", "amd64"),
			in("kubernetes.io/os", "linux"),
			in("node.kubernetes.io/instance-type", p.TypeNames()...),
			bothCapacityTypes,
		},
		limits:     map[string]string{gpu.Resource: p.Sharing.Quantity(p.Limit)},
		disruption: gpuDisruption,
	}
}

// args is the NodePool as a typed resource's arguments; its name comes after fit.
func (p pool) args(fit []pulumi.StringInput) *karpenter.NodePoolArgs {
	var requirements karpenter.NodePoolSpecTemplateSpecRequirementsArray
	for _, r := range p.requirements {
		requirements = append(requirements, karpenter.NodePoolSpecTemplateSpecRequirementsArgs{
			Key: pulumi.String(r.key), Operator: pulumi.String(r.operator), Values: pulumi.ToStringArray(r.values),
		})
	}
	var budgets karpenter.NodePoolSpecDisruptionBudgetsArray
	for _, b := range p.disruption.budgets {
		one := karpenter.NodePoolSpecDisruptionBudgetsArgs{Nodes: pulumi.String(b.nodes)}
		if len(b.reasons) > 0 {
			one.Reasons = pulumi.ToStringArray(b.reasons)
		}
		budgets = append(budgets, one)
	}
	template := karpenter.NodePoolSpecTemplateSpecArgs{
		NodeClassRef: karpenter.NodePoolSpecTemplateSpecNodeClassRefArgs{
			Group: pulumi.String("karpenter.k8s.aws"), Kind: pulumi.String("EC2NodeClass"), Name: pulumi.String(p.class.name),
		},
		Requirements:           requirements,
		ExpireAfter:            pulumi.String(p.disruption.expireAfter),
		TerminationGracePeriod: pulumi.String(terminationGrace.String()),
	}
	var taints karpenter.NodePoolSpecTemplateSpecTaintsArray
	for _, t := range p.taints {
		one := karpenter.NodePoolSpecTemplateSpecTaintsArgs{Key: pulumi.String(t.Key), Effect: pulumi.String("NoSchedule")}
		if t.Value != "" {
			one.Value = pulumi.String(t.Value)
		}
		taints = append(taints, one)
	}
	if taints != nil {
		template.Taints = taints
	}
	spec := karpenter.NodePoolSpecArgs{
		Template: karpenter.NodePoolSpecTemplateArgs{
			Metadata: karpenter.NodePoolSpecTemplateMetadataArgs{Labels: pulumi.ToStringMap(p.labels)},
			Spec:     template,
		},
		Limits: pulumi.ToStringMap(p.limits),
		Disruption: karpenter.NodePoolSpecDisruptionArgs{
			ConsolidationPolicy: pulumi.String(p.disruption.policy),
			ConsolidateAfter:    pulumi.String(p.disruption.after),
			Budgets:             budgets,
		},
	}
	if p.weight > 0 {
		spec.Weight = pulumi.Int(p.weight)
	}
	return &karpenter.NodePoolArgs{Metadata: metadata(outputs.After(pulumi.String(p.name), fit...), p.annotations), Spec: spec}
}
