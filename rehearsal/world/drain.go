package world

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubectl/pkg/drain"
)

// drainer is EKS where it updates a managed node group: an [account.NodeDrainer].
type drainer struct {
	// access is an administrator's, given once the cluster is there.
	access func() *rest.Config
	// patience is how long a node may take to come, and the pods of another to go.
	patience time.Duration
}

// drainPatience is EKS's for pods that are not evicted ("Understand each phase of node
// updates" in the EKS User Guide).
const drainPatience = 15 * time.Minute

// Drain implements [account.NodeDrainer]. DaemonSets' pods stay, and end with the node.
func (d *drainer) Drain(instanceID, replacementID string) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), d.patience, fmt.Errorf("it was given %v", d.patience))
	defer cancel()
	client, err := kubernetes.NewForConfig(d.access())
	if err != nil {
		return err
	}
	for {
		replacement, err := nodeOf(ctx, client, replacementID)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if replacement != nil && slices.ContainsFunc(replacement.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}) {
			break
		}
		if err := sleep(ctx); err != nil {
			return fmt.Errorf("instance %s is no node that is ready: %w", replacementID, err)
		}
	}
	node, err := nodeOf(ctx, client, instanceID)
	if err != nil || node == nil {
		return err // where it never was a node there is nothing to take off
	}
	helper := &drain.Helper{
		Ctx: ctx, Client: client, Force: true, IgnoreAllDaemonSets: true, DeleteEmptyDirData: true, GracePeriodSeconds: -1,
		Timeout: d.patience, Out: io.Discard, ErrOut: io.Discard,
	}
	if err := drain.RunCordonOrUncordon(helper, node, true); err != nil {
		return fmt.Errorf("node %s: %w", node.Name, err)
	}
	if err := drain.RunNodeDrain(helper, node.Name); err != nil {
		// EKS lets pods on the node again.
		helper.Ctx = context.WithoutCancel(ctx)
		_ = drain.RunCordonOrUncordon(helper, node, false) // the first error is what is told
		return fmt.Errorf("node %s: %w", node.Name, err)
	}
	return nil
}

// nodeOf is the node of an instance; nil where there is none.
func nodeOf(ctx context.Context, client kubernetes.Interface, instanceID string) (*corev1.Node, error) {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	at := slices.IndexFunc(nodes.Items, func(n corev1.Node) bool { return strings.HasSuffix(n.Spec.ProviderID, "/"+instanceID) })
	if at < 0 {
		return nil, nil
	}
	return &nodes.Items[at], nil
}
