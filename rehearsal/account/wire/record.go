package wire

import (
	"cmp"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// CallCount is how often a principal made a call with one outcome.
type CallCount struct {
	// Principal is the caller's role or user ARN; "" for one who could not be told.
	Principal string
	// Service and Action name the call as it was signed, such as ec2 and CreateFleet.
	Service, Action string
	// Code is the error code it was answered with; "" for success.
	Code  string
	Count int
}

// DeniedCall is a call, or a part of one, that IAM did not allow.
type DeniedCall struct {
	Time time.Time
	// Principal is the caller's ARN, session included.
	Principal string
	// Action and Resource are what was denied: for a call that touches several resources, the
	// first.
	Action, Resource string
	// Message is what the caller was told, Reason what decided and how near it was.
	Message, Reason string
	// DryRun tells a question from a deed.
	DryRun bool
}

// maxDenied bounds how many denied calls of an action are kept; a controller that is denied
// retries for ever.
const maxDenied = 100

type recorder struct {
	log    *slog.Logger
	mu     sync.Mutex
	counts map[CallCount]int // with Count 0
	denied []DeniedCall
	// needed are the grants that allowed something which no other did, by principal.
	needed map[string]map[authz.Grant]bool
}

// who is the caller's role, or its user: sessions of one role are one.
func who(c *call) string { return cmp.Or(c.session.Principal.RoleARN, c.session.Principal.ARN) }

func (r *recorder) allow(c *call, checks []authz.Check, policies []*authz.Policy) {
	for _, check := range checks {
		if _, action, _ := strings.Cut(check.Action, ":"); !c.dryRun && !account.ReadsOnly(action) {
			c.account.NoteCall(who(c), check.Action, check.Resource)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.needed == nil {
		r.needed = map[string]map[authz.Grant]bool{}
	}
	mine := r.needed[who(c)]
	if mine == nil {
		mine = map[authz.Grant]bool{}
		r.needed[who(c)] = mine
	}
	for _, check := range checks {
		grants := authz.GrantsFor(authz.Request{Principal: c.session.Principal, Action: check.Action, Resource: check.Resource, Context: check.Context}, policies...)
		if len(grants) == 1 {
			mine[grants[0]] = true
		}
	}
}

func (r *recorder) add(c *call, err error) {
	key := CallCount{Principal: who(c), Service: c.service, Action: c.action}
	level, answer := slog.LevelInfo, apiError{}
	if err != nil {
		answer = c.apiError(err)
		key.Code = answer.code
	}
	if _, denied := isDenied(err); !denied && (readOnly(c.action) || errors.Is(err, errDryRun)) {
		level = slog.LevelDebug
	}
	r.log.Log(c.ctx, level, "AWS call", "action", key.Service+":"+key.Action, "principal", key.Principal, "code", key.Code, "message", answer.message)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[CallCount]int{}
	}
	r.counts[key]++
}

// readOnly tells actions that change nothing, and those that only take messages from a queue, by
// their names.
func readOnly(action string) bool {
	for _, verb := range []string{"Assume", "Describe", "Get", "List", "ReceiveMessage", "DeleteMessage"} {
		if strings.HasPrefix(action, verb) {
			return true
		}
	}
	return false
}

func (r *recorder) deny(c *call, e *deniedError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := 0
	for i := range r.denied {
		if r.denied[i].Action == e.Request.Action {
			kept++
		}
	}
	if kept >= maxDenied {
		return
	}
	r.denied = append(r.denied, DeniedCall{
		Time: c.now(), Principal: e.Request.Principal.String(), Action: e.Request.Action, Resource: e.Request.Resource,
		Message: e.Message(), Reason: e.Reason(), DryRun: c.dryRun,
	})
}

// Calls lists what was called, by principal, service, action and code.
func (h *Handler) Calls() []CallCount {
	h.record.mu.Lock()
	defer h.record.mu.Unlock()
	var out []CallCount
	for k, n := range h.record.counts {
		k.Count = n
		out = append(out, k)
	}
	slices.SortFunc(out, func(x, y CallCount) int {
		return cmp.Or(cmp.Compare(x.Principal, y.Principal), cmp.Compare(x.Service, y.Service), cmp.Compare(x.Action, y.Action), cmp.Compare(x.Code, y.Code))
	})
	return out
}

// Denied lists the calls that IAM did not allow, oldest first, 100 of an action at
// most.
func (h *Handler) Denied() []DeniedCall {
	h.record.mu.Lock()
	defer h.record.mu.Unlock()
	return slices.Clone(h.record.denied)
}

// Needed lists what could not have been taken out of the policies of a role or a user,
// given its ARN: each grant without which IAM had denied a call, or a part of one, that it
// has allowed. Questions (dry runs) count: who is denied an answer does not go on.
func (h *Handler) Needed(principal string) []authz.Grant {
	h.record.mu.Lock()
	defer h.record.mu.Unlock()
	return slices.SortedFunc(maps.Keys(h.record.needed[principal]), func(x, y authz.Grant) int {
		return cmp.Or(cmp.Compare(x.Action, y.Action), cmp.Compare(x.Sid, y.Sid), cmp.Compare(x.Resource, y.Resource))
	})
}

// isDenied tells whether an error is IAM's, or another's in the account's terms.
func isDenied(err error) (*deniedError, bool) {
	var denied *deniedError
	return denied, errors.As(err, &denied)
}

// fleetRefusal is a denial within a fleet, as EC2 reports it among the fleet's errors.
func fleetRefusal(err error) error {
	if denied, ok := isDenied(err); ok {
		e := ec2Denied(denied)
		return &account.Error{Code: e.code, Message: e.message, HTTPStatus: e.status}
	}
	return err
}
