package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/report"
)

func full() *report.Run {
	r := report.New("dev")
	r.Phases = []report.Phase{{Name: "up", Seconds: 8.64, OK: true}, {Name: "workloads", Seconds: 16, OK: false}}
	r.Nodes = []report.Node{
		{Name: "ip-1", Pool: "gpu", InstanceType: "g4dn.xlarge", CapacityType: "spot", Zone: "us-west-1a", PricePerHour: 0.2475, GPUSlices: 4, GPUSlicesUsed: 3},
		{Name: "ip-2", Pool: "controllers", InstanceType: "m7g.large", CapacityType: "on-demand", Zone: "us-west-1b", PricePerHour: 0.0952},
	}
	r.Pods = []report.Pod{
		{Namespace: "default", Name: "a", Node: "ip-1", Phase: "Running", PendingSeconds: 4},
		{Namespace: "default", Name: "b", Phase: "Pending", PendingSeconds: 16, Reason: "Karpenter: no instance type"},
	}
	r.NodeClaimsLaunched = []report.NodeClaim{{Name: "gpu-1"}}
	r.DeniedCalls = []report.DeniedCall{{Principal: "role/x", Action: "ec2:RunInstances", Resource: "*", Reason: "no policy allows it", Count: 2}}
	r.Leftovers = []report.Leftover{{Type: "AWS::EC2::Instance", ID: "i-1"}}
	return r
}

func TestWrite(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := full().Write(&out); err != nil {
		t.Fatal(err)
	}
	const want = `
Nodes
NODE  POOL         TYPE         CAPACITY   ZONE        $/H     SLICES USED
ip-1  gpu          g4dn.xlarge  spot       us-west-1a  0.2475  3 of 4
ip-2  controllers  m7g.large    on-demand  us-west-1b  0.0952  -
2 nodes, $0.3427 an hour
1 of 2 pods run or have succeeded; Karpenter launched 1 nodes in all

Pods that could not be placed
POD        PHASE    SECONDS  REASON
default/b  Pending  16       Karpenter: no instance type

Calls that IAM denied
TIMES  ACTION            RESOURCE  BY      REASON
2      ec2:RunInstances  *         role/x  no policy allows it

Left over in the account
TYPE                ID
AWS::EC2::Instance  i-1

Phases
PHASE      SECONDS  RESULT
up         8.6      ok
workloads  16.0     FELL SHORT
24.6 s in all
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestOK(t *testing.T) {
	t.Parallel()
	r := full()
	if r.OK() {
		t.Error("a run is OK although a phase fell short")
	}
	r.Phases = r.Phases[:1]
	if !r.OK() {
		t.Error("a run is not OK although every phase is")
	}
}

// The names are an interface, and lists are never null.
func TestJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := report.New("dev").WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "null") {
		t.Errorf("a list is null in %s", out.String())
	}
	out.Reset()
	if err := full().WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for list, want := range map[string][]string{
		"phases": {"name", "ok", "seconds"},
		"nodes":  {"capacityType", "fixed", "gpuSlices", "gpuSlicesUsed", "instanceType", "name", "pool", "pricePerHour", "zone"},
		"pods":   {"name", "namespace", "node", "pendingSeconds", "phase", "reason"},
	} {
		var entries []map[string]any
		text, err := json.Marshal(got[list])
		if err := errors.Join(err, json.Unmarshal(text, &entries)); err != nil || len(entries) == 0 {
			t.Errorf("%s is %v: %v", list, got[list], err)
			continue
		}
		keys := slices.Sorted(maps.Keys(entries[0]))
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Errorf("%s: %s", list, diff)
		}
	}
	for _, key := range []string{"stack", "nodeClaimsLaunched", "deniedCalls", "leftovers"} {
		if got[key] == nil {
			t.Errorf("there is no %s", key)
		}
	}
}
