package lint

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/kubelet"
	"eks-gpu-slicing/rehearsal/packing"
	"eks-gpu-slicing/rehearsal/workload"
)

// Input is a workload and the stack it is meant for.
type Input struct {
	// Objects are the workload's manifests, whose files are read again to tell lines.
	Objects []workload.Object
	// Stack is what the workload is to run on, its and the add-ons' DaemonSets
	// included.
	Stack *packing.Stack
	// Account is the one the stack was planned in: its region has the instance types.
	Account *account.Account
}

// Rule is what a problem is about.
type Rule string

// The rules.
const (
	// RuleField is a field that the kind does not have, or has twice.
	RuleField Rule = "field"
	// RuleInvalid is a value that the API server refuses.
	RuleInvalid Rule = "invalid"
	// RuleName is a GPU asked for under a name that no node advertises.
	RuleName Rule = "gpu-name"
	// RuleShare is a container that asks for more of a shared GPU than it is granted.
	RuleShare Rule = "gpu-share"
	// RuleToleration is a taint that is not tolerated.
	RuleToleration Rule = "toleration"
	// RuleSelector is a node selector or node affinity that no pool serves.
	RuleSelector Rule = "selector"
	// RuleResources is more than any node has.
	RuleResources Rule = "resources"
	// RulePlacement is a demand on where pods are to each other.
	RulePlacement Rule = "placement"
	// RuleLimit is more than a pool may launch.
	RuleLimit Rule = "limit"
	// RuleOther is a refusal that no single demand explains.
	RuleOther Rule = "other"
)

// Problem is one thing that keeps pods from running.
type Problem struct {
	File string `json:"file"`
	// Line of the file, 0 if it is not known.
	Line int `json:"line,omitempty"`
	// Object is its kind and name.
	Object string `json:"object"`
	// Field is the one at fault, or which is missing, as the API server names fields.
	Field string `json:"field,omitempty"`
	Rule  Rule   `json:"rule"`
	Cause string `json:"cause"`
	Mend  string `json:"mend"`
	// Verdict is the refusal in the words of who refuses, whose name it begins with.
	Verdict string `json:"verdict,omitempty"`
}

// Note is something to know about an object that is no problem.
type Note struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Object string `json:"object"`
	Text   string `json:"text"`
}

// Placement is where Karpenter would have the pods of an object.
type Placement struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Object string `json:"object"`
	// Field has the pod template, "" for a Pod.
	Field string `json:"field,omitempty"`
	// Pods of the template; 0 for one scaled to nothing and for a DaemonSet, of which one
	// pod is looked at.
	Pods int `json:"pods"`
	// NodePools they are on; a node group counts as one.
	NodePools []string `json:"nodePools"`
}

// Result is what was found.
type Result struct {
	Problems []Problem `json:"problems"`
	Notes    []Note    `json:"notes"`
	// Placed are the objects whose pods all get a node.
	Placed []Placement `json:"placed"`
	// NodePools are those of the stack, in the order Karpenter tries them in.
	NodePools []string `json:"nodePools"`
	// Files and Objects are how many were read.
	Files   int `json:"files"`
	Objects int `json:"objects"`
}

// Check looks for problems. The error is about the stack or a file that cannot be
// read, never about what is in a manifest.
func Check(ctx context.Context, in Input) (*Result, error) {
	c := newChecker()
	daemons, err := c.read(ctx, in.Objects)
	if err != nil {
		return nil, err
	}
	if err := c.plan(ctx, in, daemons); err != nil {
		return nil, err
	}
	c.result.sort()
	return c.result, nil
}

// newChecker is a check that has read nothing yet.
func newChecker() *checker {
	return &checker{pools: map[string]*packing.Planner{}, result: &Result{Problems: []Problem{}, Notes: []Note{}, Placed: []Placement{}}}
}

// read takes the objects as the API server does, and returns those of them that are
// DaemonSets. The error is about a file that cannot be read.
func (c *checker) read(ctx context.Context, objects []workload.Object) (daemons []appsv1.DaemonSet, err error) {
	texts, err := sources(objects)
	if err != nil {
		return nil, err
	}
	files := map[string]bool{}
	for i, o := range objects {
		files[o.File] = true
		units, daemon, err := c.decode(ctx, object{o, texts[i]})
		if err != nil {
			return nil, fmt.Errorf("%v: %w", o, err)
		}
		c.units = append(c.units, units...)
		if daemon != nil {
			daemons = append(daemons, *daemon)
		}
	}
	c.result.Files, c.result.Objects = len(files), len(objects)
	return daemons, nil
}

// checker is one check.
type checker struct {
	result *Result
	units  []*unit

	// stack is the stack with the workload's DaemonSets on its nodes. unlimited is the
	// same without limits of pools; as long as those DaemonSets are looked at themselves,
	// it is without them.
	stack, unlimited *packing.Planner
	// pools are planners of one pool each, without limits and node groups.
	pools map[string]*packing.Planner
	kinds []packing.Kind
	// gpus are what device plugins offer on the kinds of nodes of each pool.
	gpus map[string][]kubelet.Devices
}

// object is a manifest and its text.
type object struct {
	workload.Object
	text *source
}

// String is its kind and name, and its namespace if it states one.
func (o object) String() string {
	name := o.GetName()
	if ns := o.GetNamespace(); ns != "" {
		name = ns + "/" + name
	}
	return o.GetKind() + " " + name
}

// unit is pods of one template.
type unit struct {
	object object
	// field is where the pod's spec and metadata are in the object, "" for a Pod.
	field string
	// count of pods; 0 is one pod to be looked at alone.
	count int
	// pod is one of them as the API server admits it, and as it is planned with: what
	// is found wrong on the way is mended in it, so that one mistake is told once.
	pod *corev1.Pod
	// given are the tolerations that are not the user's, but the API server's.
	given []corev1.Toleration
	// failed tells that a problem was found.
	failed bool
}

// in is a field of the pod, named from the object.
func (u *unit) in(field string) string {
	if u.field == "" {
		return field
	}
	return u.field + "." + field
}

func (c *checker) problem(o object, p Problem) {
	p.File, p.Object, p.Line = o.File, o.String(), o.text.line(p.Field)
	c.result.Problems = append(c.result.Problems, p)
}

func (c *checker) fail(u *unit, p Problem) {
	u.failed = true
	c.problem(u.object, p)
}

func (c *checker) note(o object, field, format string, a ...any) {
	c.result.Notes = append(c.result.Notes, Note{File: o.File, Line: o.text.line(field), Object: o.String(), Text: fmt.Sprintf(format, a...)})
}
