package packing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsv1 "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	awscloudprovider "github.com/aws/karpenter-provider-aws/pkg/cloudprovider"
	"github.com/aws/karpenter-provider-aws/pkg/controllers/nodeclass"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/apis/v1alpha1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/cloudprovider/overlay"
	"sigs.k8s.io/karpenter/pkg/controllers/nodeoverlay"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/operator/options"

	"eks-gpu-slicing/rehearsal/account"
)

// Planner plans nodes for one stack. Its methods may be called concurrently.
type Planner struct {
	stack    *Stack
	cloud    *cloud
	client   client.Client
	provider cloudprovider.CloudProvider
	// nodes are those of the node groups.
	nodes []*corev1.Node
}

// New makes a planner of a stack in an account, which is asked for its subnets,
// instance types and prices and not changed. The error names the object that Karpenter
// would refuse, and why.
func New(ctx context.Context, a *account.Account, s *Stack) (*Planner, error) {
	ctx, err := karpenter(ctx, s)
	if err != nil {
		return nil, err
	}
	c, err := newCloud(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("what Karpenter asks EC2: %w", err)
	}
	return plannerOn(ctx, c, s.clone())
}

// With makes a planner of a changed stack in the same account. Karpenter's settings
// cannot be changed.
func (p *Planner) With(ctx context.Context, change func(*Stack)) (*Planner, error) {
	ctx, err := karpenter(ctx, p.stack)
	if err != nil {
		return nil, err
	}
	s := p.stack.clone()
	change(s)
	s.Controller = p.stack.Controller
	return plannerOn(ctx, p.cloud, s)
}

// karpenter is the context that Karpenter's code wants.
func karpenter(ctx context.Context, s *Stack) (context.Context, error) {
	// What it logs it also returns, but for things it leaves out, which are asked for.
	return withSettings(log.IntoContext(ctx, logr.Discard()), s.Controller)
}

func plannerOn(ctx context.Context, c *cloud, s *Stack) (*Planner, error) {
	p := &Planner{stack: s, cloud: c}
	var objects []client.Object
	for i := range s.NodeClasses {
		class := &s.NodeClasses[i]
		if err := c.ready(ctx, class); err != nil {
			return nil, err
		}
		objects = append(objects, class)
	}
	for i := range s.NodePools {
		pool := &s.NodePools[i]
		if err := ready(ctx, pool); err != nil {
			return nil, err
		}
		objects = append(objects, pool)
	}
	for i := range s.NodeOverlays {
		objects = append(objects, &s.NodeOverlays[i])
	}
	for i := range s.DaemonSets {
		objects = append(objects, &s.DaemonSets[i])
	}
	for _, g := range s.NodeGroups {
		nodes, err := c.members(ctx, g, s.NodeClasses)
		if err != nil {
			return nil, fmt.Errorf("node group %s: %w", g.Name, err)
		}
		p.nodes = append(p.nodes, nodes...)
	}
	for _, n := range p.nodes {
		objects = append(objects, n)
	}
	p.client = fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.NodeOverlay{}).
		WithIndex(&corev1.Pod{}, "spec.nodeName", nodeOf). // as Karpenter's operator does
		Build()
	store := nodeoverlay.NewInstanceTypeStore()
	bare := awscloudprovider.New(c.types, nil, silent{}, p.client, nil, nil, nil, nil, store, nil)
	p.provider = overlay.Decorate(bare, p.client, store)
	if !options.FromContext(ctx).FeatureGates.NodeOverlay {
		return p, nil // its controller does not run then
	}
	return p, overlays(ctx, p.client, bare, store)
}

func nodeOf(o client.Object) []string {
	if pod, ok := o.(*corev1.Pod); ok {
		return []string{pod.Spec.NodeName}
	}
	return nil
}

// ready sets the status that Karpenter's controllers give a node class which EC2 has
// everything for; of it only the subnets' zones bear on scheduling.
func (c *cloud) ready(ctx context.Context, class *awsv1.EC2NodeClass) error {
	if _, err := nodeclass.NewSubnetReconciler(clock.RealClock{}, c.subnets).Reconcile(ctx, class); err != nil {
		return fmt.Errorf("EC2NodeClass %s: %w", class.Name, err)
	}
	if len(class.Status.Subnets) == 0 {
		return fmt.Errorf("EC2NodeClass %s: the account has none of its subnets: %+v", class.Name, class.Spec.SubnetSelectorTerms)
	}
	return nil
}

// members are the nodes of a group, with what Karpenter reckons their type to have.
func (c *cloud) members(ctx context.Context, g NodeGroup, classes []awsv1.EC2NodeClass) ([]*corev1.Node, error) {
	if len(classes) == 0 {
		return nil, errors.New("the stack has no EC2NodeClass, whose subnets say where its nodes are")
	}
	t, err := c.types.Get(ctx, &classes[0], ec2types.InstanceType(g.InstanceType))
	if err != nil {
		return nil, err
	}
	var nodes []*corev1.Node
	for i := range g.Size {
		zone := classes[0].Status.Subnets[i%len(classes[0].Status.Subnets)].Zone
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", g.Name, i), Labels: map[string]string{
			corev1.LabelInstanceTypeStable: t.Name, corev1.LabelTopologyZone: zone,
			"eks.amazonaws.com/nodegroup": g.Name, "eks.amazonaws.com/capacityType": "ON_DEMAND",
		}}}
		for _, key := range []string{corev1.LabelArchStable, corev1.LabelOSStable, corev1.LabelTopologyRegion} {
			n.Labels[key] = t.Requirements.Get(key).Any()
		}
		n.Labels[corev1.LabelHostname] = n.Name
		maps.Copy(n.Labels, g.Labels)
		n.Spec.ProviderID, n.Spec.Taints = n.Name, g.Taints
		n.Status.Capacity, n.Status.Allocatable = t.Capacity, t.Allocatable()
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// ready sets the status that Karpenter's controllers give a valid pool.
func ready(ctx context.Context, pool *karpv1.NodePool) error {
	if err := pool.RuntimeValidate(ctx); err != nil {
		return fmt.Errorf("NodePool %s: %w", pool.Name, err)
	}
	pool.UID = cmp.Or(pool.UID, types.UID(pool.Name))
	pool.StatusConditions().SetTrue(karpv1.ConditionTypeValidationSucceeded)
	pool.StatusConditions().SetTrue(karpv1.ConditionTypeNodeClassReady)
	return nil
}

// overlays has Karpenter work out what the overlays make of the instance types.
func overlays(ctx context.Context, c client.Client, bare cloudprovider.CloudProvider, store *nodeoverlay.InstanceTypeStore) error {
	cluster := state.NewCluster(clock.RealClock{}, c, bare)
	if _, err := nodeoverlay.NewController(clock.RealClock{}, c, bare, store, cluster).Reconcile(ctx, reconcile.Request{}); err != nil {
		return err
	}
	all := &v1alpha1.NodeOverlayList{}
	if err := c.List(ctx, all); err != nil {
		return err
	}
	var problems []error
	for i := range all.Items {
		if ok := all.Items[i].StatusConditions().Get(v1alpha1.ConditionTypeValidationSucceeded); !ok.IsTrue() {
			problems = append(problems, fmt.Errorf("NodeOverlay %s: %s: %s", all.Items[i].Name, ok.Reason, ok.Message))
		}
	}
	return errors.Join(problems...)
}

// silent drops Karpenter's events: what they tell of pods is in its answer.
type silent struct{}

// Publish implements [events.Recorder].
func (silent) Publish(...events.Event) {}
