package authz

import (
	"fmt"
	"slices"
	"strings"
)

// Principal is who makes a request.
type Principal struct {
	// ARN is the caller as messages name it: arn:aws:iam::ID:user/…, arn:aws:iam::ID:root, or
	// arn:aws:sts::ID:assumed-role/ROLE/SESSION. Empty for a service.
	ARN string
	// RoleARN is the role behind a session, with its path: arn:aws:iam::ID:role/PATH/ROLE.
	RoleARN string
	// Account is the 12-digit account the caller belongs to.
	Account string
	// Service is set when an AWS service calls on its own: "events.amazonaws.com". Such a caller
	// has no identity-based policies.
	Service string
}

// String is the caller's ARN or service name.
func (p Principal) String() string {
	if p.Service != "" {
		return p.Service
	}
	return p.ARN
}

// Request is one action on one resource, with its context.
type Request struct {
	Principal Principal
	// Action is service:Name, such as "ec2:RunInstances". Case does not matter.
	Action string
	// Resource is the resource's ARN, or "*" for an action without resource types.
	Resource string
	// Account owns the resource. Empty means the caller's own.
	Account string
	// Context holds the condition keys and their values. Case of the keys does not matter.
	Context map[string][]string
}

// Outcome is how a decision came about.
type Outcome int

const (
	// ImplicitDeny is when no statement allows the request.
	ImplicitDeny Outcome = iota
	// ExplicitDeny is when a Deny statement applies, which no Allow overrides.
	ExplicitDeny
	// Allow is when a statement allows the request and none denies it.
	Allow
)

// Decision is the answer to one request.
type Decision struct {
	Allowed bool
	Outcome Outcome
	// Request is what was decided on.
	Request Request
	// Kind is the kind of policy that decided; for an implicit deny, the kind that should have
	// allowed the request and did not.
	Kind Kind
	// Policy, Statement and Sid name the deciding statement: the policy's name and the statement's
	// index from 0. Statement is -1 for an implicit deny.
	Policy    string
	Statement int
	Sid       string
	// NearMisses lists, for an implicit deny, the Allow statements that name the action and the
	// resource but whose conditions do not hold, with the first such condition.
	NearMisses []string
}

// Reason says in one line what decided, for people who mend policies.
func (d Decision) Reason() string {
	where := fmt.Sprintf("statement %d", d.Statement)
	if d.Sid != "" {
		where += " (" + d.Sid + ")"
	}
	switch d.Outcome {
	case Allow:
		if d.Statement < 0 {
			return "allowed: the account's root user needs no policy"
		}
		return fmt.Sprintf("allowed by %s of %s %s", where, d.Kind, d.Policy)
	case ExplicitDeny:
		return fmt.Sprintf("explicit deny by %s of %s %s", where, d.Kind, d.Policy)
	}
	reason := fmt.Sprintf("no %s statement allows it", d.Kind)
	if len(d.NearMisses) > 0 {
		reason += "; nearest: " + strings.Join(d.NearMisses, "; ")
	}
	return reason
}

// Message is the text AWS puts in an access-denied error ("Troubleshooting access denied error
// messages" in the IAM User Guide). It is empty for an allowed request.
func (d Decision) Message() string {
	if d.Allowed {
		return ""
	}
	on := ""
	if d.Request.Resource != "*" {
		on = " on resource: " + d.Request.Resource
	}
	why := fmt.Sprintf("because no %s allows the %s action", d.Kind, d.Request.Action)
	if d.Outcome == ExplicitDeny {
		article := "an"
		if d.Kind != Identity {
			article = "a"
		}
		if d.Kind == Trust {
			article = "the"
		}
		why = fmt.Sprintf("with an explicit deny in %s %s", article, d.Kind)
	}
	return fmt.Sprintf("User: %s is not authorized to perform: %s%s %s", d.Request.Principal, d.Request.Action, on, why)
}

// Evaluate decides one request by the policies that apply to it: those of the caller's identity
// and the one of the resource, if it has one ("Policy evaluation logic"):
//   - a Deny that applies, anywhere, decides;
//   - in the caller's own account one Allow is enough, from either side, if the resource's policy
//     names the caller itself; an Allow to the account only delegates to its identity policies;
//   - a role's trust policy must allow by itself, and delegates likewise;
//   - a caller of another account needs both sides;
//   - a service has no identity policies, so the resource's policy decides.
func Evaluate(req Request, policies ...*Policy) Decision {
	ctx := newContext(req.Context)
	d := Decision{Request: req, Statement: -1}
	var identity, named, delegated *verdict
	mustTrust := false
	for _, p := range policies {
		mustTrust = mustTrust || p.kind == Trust
		for i := range p.statements {
			s := &p.statements[i]
			who := s.principal(p.kind, req.Principal)
			if who == nobody || !s.covers(req, ctx) {
				continue
			}
			if miss := s.unmet(ctx); miss != nil {
				if s.allow {
					d.NearMisses = append(d.NearMisses, fmt.Sprintf("statement %d %s of %s: %s", i, s.sid, p.name, miss.describe(ctx)))
				}
				continue
			}
			v := &verdict{policy: p, statement: i}
			switch {
			case !s.allow:
				return d.by(v, ExplicitDeny)
			case p.kind == Identity:
				identity = first(identity, v)
			case who == byName:
				named = first(named, v)
			default:
				delegated = first(delegated, v)
			}
		}
	}
	local := req.Account == "" || req.Account == req.Principal.Account
	if identity == nil && strings.HasSuffix(req.Principal.ARN, ":root") {
		identity = &verdict{statement: -1} // the root user has all that its account may do
	}
	var allow *verdict
	switch {
	case req.Principal.Service != "":
		if allow, d.Kind = named, Resource; mustTrust {
			d.Kind = Trust
		}
	case local && !mustTrust:
		allow = first(identity, named)
	case local && named != nil:
		allow = named
	case first(named, delegated) != nil:
		allow = identity // the resource's side agrees; the caller's must too
	case mustTrust:
		d.Kind = Trust
	default:
		d.Kind = Resource
	}
	if allow == nil {
		return d
	}
	return d.by(allow, Allow)
}

type verdict struct {
	policy    *Policy
	statement int
}

func first(a, b *verdict) *verdict {
	if a != nil {
		return a
	}
	return b
}

func (d Decision) by(v *verdict, o Outcome) Decision {
	d.Outcome, d.Allowed, d.NearMisses = o, o == Allow, nil
	if d.Statement = v.statement; v.policy != nil {
		d.Kind, d.Policy, d.Sid = v.policy.kind, v.policy.name, v.policy.statements[v.statement].sid
	}
	return d
}

// covers reports whether the statement speaks about the action and the resource.
func (s *statement) covers(req Request, ctx context) bool {
	action := slices.ContainsFunc(s.actions, func(p pattern) bool { return p.match(req.Action, ctx, true) })
	resource := slices.ContainsFunc(s.resources, func(a arnPattern) bool { return a.match(req.Resource, ctx) })
	return action != s.notAction && resource != s.notResource
}

// unmet returns the first condition that does not hold, or nil.
func (s *statement) unmet(ctx context) *condition {
	for i := range s.conditions {
		if !s.conditions[i].holds(ctx) {
			return &s.conditions[i]
		}
	}
	return nil
}

// standing is how a statement's Principal element meets a caller.
type standing int

const (
	nobody  standing = iota
	byName           // it names the caller, its role, its service, or everyone
	account          // it names the caller's account
)

func (s *statement) principal(kind Kind, p Principal) standing {
	if kind == Identity {
		if p.Service != "" {
			return nobody
		}
		return byName
	}
	if s.notPrincipal {
		if s.exempts(p) {
			return nobody
		}
		return byName
	}
	best := nobody
	for _, e := range s.principals {
		switch {
		case e.everyone, e.service != "" && e.service == p.Service, e.arn != "" && (e.arn == p.ARN || e.arn == p.RoleARN):
			return byName
		case e.account != "" && p.Service == "" && e.account == p.Account:
			best = account
		}
	}
	return best
}

// exempts reports whether a NotPrincipal element names the caller AND what it belongs to: for a
// session its role and account, for a user its account. AWS checks each of them, so one that is
// not listed is not exempt ("AWS JSON policy elements: NotPrincipal").
func (s *statement) exempts(p Principal) bool {
	names := func(match func(principalEntry) bool) bool { return slices.ContainsFunc(s.principals, match) }
	if names(func(e principalEntry) bool { return e.everyone }) {
		return true
	}
	if p.Service != "" {
		return names(func(e principalEntry) bool { return e.service == p.Service })
	}
	listed := func(arn string) bool { return names(func(e principalEntry) bool { return e.arn == arn }) }
	return names(func(e principalEntry) bool { return e.account == p.Account }) &&
		(strings.HasSuffix(p.ARN, ":root") || listed(p.ARN)) &&
		(p.RoleARN == "" || listed(p.RoleARN))
}
