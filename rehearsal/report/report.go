// Package report is what a rehearsal found, as data and as tables. The package page
// in it shows the same data in a browser.
//
// The JSON names are a stable interface: others read the file.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// Run is one rehearsal from its first preview to its last look at the account.
type Run struct {
	About
	// Phases in the order they ran; after the first that fell short only those that
	// clean up.
	Phases []Phase `json:"phases"`
	// Nodes and Pods are as they stood when all pods were settled.
	Nodes []Node `json:"nodes"`
	Pods  []Pod  `json:"pods"`
	// Timeline is how the cluster stood from when the workloads were applied until all
	// pods were settled.
	Timeline []Moment `json:"timeline"`
	// NodeClaimsLaunched are all that Karpenter ever launched.
	NodeClaimsLaunched []NodeClaim  `json:"nodeClaimsLaunched"`
	DeniedCalls        []DeniedCall `json:"deniedCalls"`
	// Leftovers are what the account still held at the end.
	Leftovers []Leftover `json:"leftovers"`
}

// Phase is a step of a rehearsal.
type Phase struct {
	Name string `json:"name"`
	// Seconds it took.
	Seconds float64 `json:"seconds"`
	// OK is false for one that fell short.
	OK bool `json:"ok"`
}

// Node is a node of the cluster.
type Node struct {
	Name string `json:"name"`
	// Pool is the NodePool, or the managed node group, it belongs to.
	Pool         string `json:"pool"`
	InstanceType string `json:"instanceType"`
	// CapacityType is spot or on-demand.
	CapacityType string `json:"capacityType"`
	Zone         string `json:"zone"`
	// PricePerHour is in USD.
	PricePerHour float64 `json:"pricePerHour"`
	// GPUSlices is how many nvidia.com/gpu the node offers, GPUSlicesUsed how many
	// its pods have.
	GPUSlices     int64 `json:"gpuSlices"`
	GPUSlicesUsed int64 `json:"gpuSlicesUsed"`
	// Fixed is true for a node of a managed node group: it is there whatever the pods
	// ask for. Karpenter's come and go with them.
	Fixed bool `json:"fixed"`
}

// Pod is a pod of the workloads.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Node is "" for a pod that has none.
	Node  string `json:"node"`
	Phase string `json:"phase"`
	// Reason is why the pod does not run, in Karpenter's, the scheduler's or the
	// node's own words; "" for one that runs or has succeeded.
	Reason string `json:"reason"`
	// PendingSeconds are from the pod's creation until it was ready, or until now.
	// Kubernetes tells these times in whole seconds.
	PendingSeconds float64 `json:"pendingSeconds"`
}

// NodeClaim is a NodeClaim for which an instance was launched.
type NodeClaim struct {
	Name         string `json:"name"`
	Pool         string `json:"pool"`
	InstanceID   string `json:"instanceId"`
	InstanceType string `json:"instanceType"`
	CapacityType string `json:"capacityType"`
	Zone         string `json:"zone"`
	// Node is the name of the node that the instance is, or was when it was last looked
	// at; "" if it never was one then.
	Node string `json:"node"`
}

// Moment is how the cluster stood at a time of a run.
type Moment struct {
	// Seconds are from when the workloads were applied.
	Seconds float64 `json:"seconds"`
	// Pools are the nodes there were, by pool.
	Pools []PoolSize `json:"pools"`
	// SlicesUsed of SlicesOffered by the nodes were taken by pods.
	SlicesUsed    int64 `json:"slicesUsed"`
	SlicesOffered int64 `json:"slicesOffered"`
	// PerHour is the cost of Karpenter's nodes in USD, WholePerHour that with a whole
	// GPU for each slice in use; see [Whole].
	PerHour      float64 `json:"perHour"`
	WholePerHour float64 `json:"wholePerHour"`
}

// PoolSize is how many nodes a pool had.
type PoolSize struct {
	Pool  string `json:"pool"`
	Nodes int    `json:"nodes"`
}

// DeniedCall is a call to the account that IAM did not allow.
type DeniedCall struct {
	Principal string `json:"principal"`
	Action    string `json:"action"`
	Resource  string `json:"resource"`
	// Reason is what decided.
	Reason string `json:"reason"`
	// DryRun tells a question from a deed.
	DryRun bool `json:"dryRun"`
	Count  int  `json:"count"`
}

// Leftover is something that the account should not hold any more.
type Leftover struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// New is a run of which nothing is known yet: its lists are empty, not null.
func New(stack string) *Run {
	return &Run{
		About: NewAbout(stack, ""), Phases: []Phase{}, Nodes: []Node{}, Pods: []Pod{}, Timeline: []Moment{},
		NodeClaimsLaunched: []NodeClaim{}, DeniedCalls: []DeniedCall{}, Leftovers: []Leftover{},
	}
}

// NoteLaunched notes what Karpenter has launched so far. An instance that has ended has
// no node, and keeps the one that was noted before.
func (r *Run) NoteLaunched(claims []NodeClaim) {
	for i := range claims {
		for _, before := range r.NodeClaimsLaunched {
			if claims[i].Node == "" && before.InstanceID == claims[i].InstanceID {
				claims[i].Node = before.Node
			}
		}
	}
	r.NodeClaimsLaunched = claims
}

// PodsOn are the pods that a node has, as namespace/name.
func (r *Run) PodsOn(node string) []string {
	var names []string
	for _, p := range r.Pods {
		if p.Node == node && node != "" {
			names = append(names, p.Namespace+"/"+p.Name)
		}
	}
	return names
}

// OK tells whether no phase fell short.
func (r *Run) OK() bool {
	for _, p := range r.Phases {
		if !p.OK {
			return false
		}
	}
	return true
}

// WriteJSON writes the run as JSON.
func (r *Run) WriteJSON(out io.Writer) error {
	return WriteJSON(out, r)
}

// WriteJSON writes what a command reports as JSON, indented, with <, > and & as they are.
func WriteJSON(out io.Writer, report any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(report)
}

// Write writes the run's tables: nodes, pods that could not be placed, denied calls,
// leftovers and phases. Tables without rows are left out.
func (r *Run) Write(out io.Writer) error {
	t := tables{out: out}
	var rows [][]string
	total := 0.0
	for _, n := range r.Nodes {
		slices := "-"
		if n.GPUSlices > 0 {
			slices = fmt.Sprintf("%d of %d", n.GPUSlicesUsed, n.GPUSlices)
		}
		total += n.PricePerHour
		rows = append(rows, []string{n.Name, n.Pool, n.InstanceType, n.CapacityType, n.Zone, fmt.Sprintf("%.4f", n.PricePerHour), slices})
	}
	t.table("Nodes", "NODE\tPOOL\tTYPE\tCAPACITY\tZONE\t$/H\tSLICES USED", rows)
	if len(rows) > 0 {
		t.line("%d nodes, $%.4f an hour", len(rows), total)
	}
	rows = nil
	placed := 0
	for _, p := range r.Pods {
		if p.Reason == "" {
			placed++
			continue
		}
		rows = append(rows, []string{p.Namespace + "/" + p.Name, p.Phase, fmt.Sprintf("%.0f", p.PendingSeconds), p.Reason})
	}
	if len(r.Pods) > 0 {
		t.line("%d of %d pods run or have succeeded; Karpenter launched %d nodes in all", placed, len(r.Pods), len(r.NodeClaimsLaunched))
	}
	t.table("Pods that could not be placed", "POD\tPHASE\tSECONDS\tREASON", rows)
	rows = nil
	for _, d := range r.DeniedCalls {
		rows = append(rows, []string{fmt.Sprint(d.Count), d.Action, d.Resource, d.Principal, d.Reason})
	}
	t.table("Calls that IAM denied", "TIMES\tACTION\tRESOURCE\tBY\tREASON", rows)
	rows = nil
	for _, l := range r.Leftovers {
		rows = append(rows, []string{l.Type, l.ID})
	}
	t.table("Left over in the account", "TYPE\tID", rows)
	rows = nil
	seconds := 0.0
	for _, p := range r.Phases {
		result := "ok"
		if !p.OK {
			result = "FELL SHORT"
		}
		seconds += p.Seconds
		rows = append(rows, []string{p.Name, fmt.Sprintf("%.1f", p.Seconds), result})
	}
	t.table("Phases", "PHASE\tSECONDS\tRESULT", rows)
	t.line("%.1f s in all", math.Round(seconds*10)/10)
	return t.err
}
