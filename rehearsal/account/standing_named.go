package account

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Named is a call that changes something, or was to, and names what stood in the account before
// anybody came.
type Named struct {
	// Principal is the ARN of the caller's user or role.
	Principal string
	// Action is such as ec2:TerminateInstances, or what a Pulumi provider does, such as
	// "delete aws:iam/role:Role".
	Action string
	// Thing is what is named, as "TYPE ID" of [Account.Inventory].
	Thing string
}

// witness holds such calls. Its lock is its own: the account may be locked while calls are
// authorised.
type witness struct {
	mu    sync.Mutex
	stood map[string]string // what stands, by its names
	seen  map[Named]bool
}

// look has all that is in an inventory count as standing.
func (w *witness) look(i *inventory) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stood, w.seen = i.names, map[Named]bool{}
}

// NoteCall is told of each call that changes something, with all that it names: ARNs, IDs, URLs,
// and names as "SERVICE/NAME". Callers that stood before themselves, such as the cluster's own
// Karpenter, may do as they like. Where no cluster stands nothing is noted.
func (a *Account) NoteCall(principal, action string, names ...string) {
	if makesOnly(action) {
		return
	}
	w := &a.witness
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stood[principal] != "" {
		return
	}
	for _, name := range names {
		if thing := w.stood[name]; thing != "" {
			w.seen[Named{principal, action, thing}] = true
		}
	}
}

// makesOnly tells actions that make something of what they name, and change nothing of that.
func makesOnly(action string) bool {
	return slices.Contains([]string{"ec2:CreateFleet", "ec2:RunInstances", "iam:PassRole"}, action)
}

// ReadsOnly tells actions of an API that change nothing, by their names.
func ReadsOnly(action string) bool {
	return slices.ContainsFunc([]string{"Assume", "Describe", "Get", "List"}, func(verb string) bool { return strings.HasPrefix(action, verb) })
}

// NamedCalls lists the calls that have named what stands, each once.
func (a *Account) NamedCalls() []Named {
	a.witness.mu.Lock()
	defer a.witness.mu.Unlock()
	return slices.SortedFunc(maps.Keys(a.witness.seen), func(x, y Named) int {
		return cmp.Or(cmp.Compare(x.Thing, y.Thing), cmp.Compare(x.Action, y.Action), cmp.Compare(x.Principal, y.Principal))
	})
}
