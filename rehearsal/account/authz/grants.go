package authz

// Grant is the least that can be taken out of a policy: one action of an Allow statement,
// on one of its resources.
type Grant struct {
	// Sid names the statement; "" where it has none.
	Sid string
	// Action and Resource are as the statement says them, wildcards included.
	Action, Resource string
}

// Grants lists what a policy allows, in its order. A statement that says what it is not
// about, by NotAction or NotResource, has none.
func (p *Policy) Grants() []Grant {
	var all []Grant
	for i := range p.statements {
		s := &p.statements[i]
		if !s.allow || s.notAction || s.notResource {
			continue
		}
		for _, a := range s.actions {
			for _, r := range s.resources {
				all = append(all, Grant{s.sid, a.source, r.source})
			}
		}
	}
	return all
}

// GrantsFor lists the grants of identity-based policies by each of which alone a request
// is allowed. Where it is one, taking that out of its policy has the request denied.
func GrantsFor(req Request, policies ...*Policy) []Grant {
	ctx := newContext(req.Context)
	var all []Grant
	for _, p := range policies {
		for i := range p.statements {
			s := &p.statements[i]
			if !s.allow || s.notAction || s.notResource || p.kind != Identity || s.unmet(ctx) != nil {
				continue
			}
			for _, a := range s.actions {
				for _, r := range s.resources {
					if a.match(req.Action, ctx, true) && r.match(req.Resource, ctx) {
						all = append(all, Grant{s.sid, a.source, r.source})
					}
				}
			}
		}
	}
	return all
}
