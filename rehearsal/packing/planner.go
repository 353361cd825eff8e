package packing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	awsv1 "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	awscloudprovider "github.com/aws/karpenter-provider-aws/pkg/cloudprovider"
	"github.com/aws/karpenter-provider-aws/pkg/controllers/nodeclass"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
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
	stack *Stack
	cloud *cloud
	// objects are the stack's, client a cluster that has them and nothing else.
	objects  []client.Object
	client   client.Client
	provider cloudprovider.CloudProvider
	// nodes are those of the node groups.
	nodes []member
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

// Unlimited is a planner of the same stack without limits of its pools; p itself if it
// has none.
func (p *Planner) Unlimited(ctx context.Context) (*Planner, error) {
	if !slices.ContainsFunc(p.stack.NodePools, func(pool karpv1.NodePool) bool { return len(pool.Spec.Limits) > 0 }) {
		return p, nil
	}
	return p.With(ctx, func(s *Stack) {
		for i := range s.NodePools {
			s.NodePools[i].Spec.Limits = nil
		}
	})
}

// karpenter is the context that Karpenter's code wants.
func karpenter(ctx context.Context, s *Stack) (context.Context, error) {
	// What it logs it also returns, but for things it leaves out, which are asked for.
	return withSettings(log.IntoContext(ctx, logr.Discard()), s.Controller)
}

func plannerOn(ctx context.Context, c *cloud, s *Stack) (*Planner, error) {
	p := &Planner{stack: s, cloud: c}
	for i := range s.NodeClasses {
		class := &s.NodeClasses[i]
		if err := c.ready(ctx, class); err != nil {
			return nil, err
		}
		p.objects = append(p.objects, class)
	}
	for i := range s.NodePools {
		pool := &s.NodePools[i]
		if err := ready(ctx, pool); err != nil {
			return nil, err
		}
		p.objects = append(p.objects, pool)
	}
	for i := range s.NodeOverlays {
		p.objects = append(p.objects, &s.NodeOverlays[i])
	}
	for i := range s.DaemonSets {
		p.objects = append(p.objects, &s.DaemonSets[i])
	}
	for _, g := range s.NodeGroups {
		nodes, err := c.members(ctx, g, s)
		if err != nil {
			return nil, fmt.Errorf("node group %s: %w", g.Name, err)
		}
		p.nodes = append(p.nodes, nodes...)
	}
	p.client = p.clientWith()
	store := nodeoverlay.NewInstanceTypeStore()
	bare := awscloudprovider.New(c.types, nil, silent{}, p.client, nil, nil, nil, nil, store, nil)
	p.provider = overlay.Decorate(bare, p.client, store)
	if !options.FromContext(ctx).FeatureGates.NodeOverlay {
		return p, nil // its controller does not run then
	}
	return p, overlays(ctx, p.client, bare, store)
}

// clientWith is a client of a cluster that has the stack's objects and more.
func (p *Planner) clientWith(more ...client.Object) client.Client {
	return fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(p.objects...).WithObjects(more...).
		WithStatusSubresource(&v1alpha1.NodeOverlay{}).
		WithIndex(&corev1.Pod{}, "spec.nodeName", nodeOf). // as Karpenter's operator does
		Build()
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
