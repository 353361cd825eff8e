package world

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// This file is what goes wrong in a cluster. What goes wrong in its account is the
// account's: see package account and its methods.

// RestartAPIServer kills the cluster's API server and starts it again after a while. It
// returns when it serves.
func (w *World) RestartAPIServer(ctx context.Context, away time.Duration) error {
	return w.plane.RestartAPIServer(ctx, away)
}

// KillContainers kills the containers of a pod that are real programs or device
// plugins, as a kernel that is out of memory does.
func (w *World) KillContainers(pod types.NamespacedName) error { return w.nodes.KillContainers(pod) }
