package account

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Fault is one way in which AWS says no: an [Outage], a [Denial], a [Shortage], a [Quota] or a
// [ConsistencyGap]; or says nothing, a [Hold].
type Fault interface {
	// String says in a line what is broken.
	fmt.Stringer
	// check refuses a fault that could never refuse anything.
	check(a *Account) error
}

// Faults breaks an account on purpose. Its methods may be called concurrently.
//
// Who meets a fault: whoever calls over HTTP (package wire) and the Pulumi stand-in (package
// provider/aws), as both go through [Faults.Do]; and, for shortages, quotas and gaps, whoever
// launches instances or names a role, the account's own Auto Scaling included. A scenario that
// looks at the account by its methods is never refused by an outage, and uses none up.
type Faults struct {
	account *Account

	mu        sync.Mutex
	installed []*Installed // those that were lifted stay, for the record
}

// Installed is a fault at work.
type Installed struct {
	fault   Fault
	since   time.Time
	faults  *Faults
	lifted  bool
	done    chan struct{}   // closed when it is lifted
	refused map[Refused]int // with Count 0
}

// Refused is a kind of call that a fault refused, and how often.
type Refused struct {
	// Fault is what refused it, as [Fault] says it.
	Fault string
	// Service and Action are as they are signed and called, such as ec2 and CreateFleet. A launch
	// that is refused for want of capacity is a RunInstances, within a fleet too.
	Service, Action string
	// Code is the error code it was answered with; "" for what was only held back.
	Code  string
	Count int
}

// Faults are the account's; there are none until one is installed.
func (a *Account) Faults() *Faults { return a.faults }

// Install breaks something, from now until it is lifted. A fault that could never refuse anything,
// such as a shortage of a type the region does not have, is an error.
func (f *Faults) Install(fault Fault) (*Installed, error) {
	if err := fault.check(f.account); err != nil {
		return nil, fmt.Errorf("%s: %w", fault, err)
	}
	i := &Installed{fault: fault, since: f.account.now(), faults: f, done: make(chan struct{}), refused: map[Refused]int{}}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.installed = append(f.installed, i)
	return i, nil
}

// Lift mends it; a second time changes nothing.
func (i *Installed) Lift() {
	i.faults.lift(func(other *Installed) bool { return other == i })
}

// Count is how many calls it has refused, or held back, so far.
func (i *Installed) Count() int {
	i.faults.mu.Lock()
	defer i.faults.mu.Unlock()
	return i.count()
}

func (i *Installed) count() int {
	n := 0
	for _, more := range i.refused {
		n += more
	}
	return n
}

// LiftAll mends everything.
func (f *Faults) LiftAll() { f.lift(func(*Installed) bool { return true }) }

func (f *Faults) lift(which func(*Installed) bool) {
	f.mu.Lock()
	for _, i := range f.installed {
		if !i.lifted && which(i) {
			i.lifted = true
			close(i.done)
		}
	}
	f.mu.Unlock()
	f.account.refillNodegroups()
}

// Refused is what was refused since the account was made, lifted faults' refusals included: in the
// order the faults were installed, then by service, action and code.
func (f *Faults) Refused() []Refused {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Refused
	for _, i := range f.installed {
		from := len(out)
		for r, n := range i.refused {
			r.Count = n
			out = append(out, r)
		}
		slices.SortFunc(out[from:], func(x, y Refused) int {
			return cmp.Or(cmp.Compare(x.Service, y.Service), cmp.Compare(x.Action, y.Action), cmp.Compare(x.Code, y.Code))
		})
	}
	return out
}

// note records a refusal, or takes one back. The lock must be held.
func (i *Installed) note(service, action, code string, n int) {
	key := Refused{Fault: i.fault.String(), Service: service, Action: action, Code: code}
	if i.refused[key] += n; i.refused[key] == 0 {
		delete(i.refused, key)
	}
}

// refusal is note for a refusal that is being answered.
func (i *Installed) refusal(service, action string, e *Error) *Error {
	i.faults.mu.Lock()
	defer i.faults.mu.Unlock()
	i.note(service, action, e.Code, 1)
	return e
}

// working is a fault of one kind at work.
type working[F Fault] struct {
	*Installed
	what F
}

// atWork are the faults of one kind that are not lifted, oldest first.
func atWork[F Fault](f *Faults) []working[F] {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []working[F]
	for _, i := range f.installed {
		if what, ok := i.fault.(F); ok && !i.lifted {
			out = append(out, working[F]{i, what})
		}
	}
	return out
}
