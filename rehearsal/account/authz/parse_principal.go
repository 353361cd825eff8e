package authz

import (
	"strings"
)

// principals reads Principal or NotPrincipal, as "AWS JSON policy elements: Principal" has them.
func (p *parser) principals(n *node, e map[string]*node, s *statement) {
	if p.policy.kind == Identity {
		return
	}
	v, negated := p.oneOf(n, e, "Principal", "Missing required field Principal")
	if v == nil {
		return
	}
	s.notPrincipal = negated
	if v.kind == 's' {
		if v.text != "*" {
			p.report(v, "Principal", "Invalid principal in policy: %q; a string may only be \"*\", others stand in an object such as {\"AWS\": …}", v.text)
		}
		s.principals = append(s.principals, principalEntry{everyone: true})
		return
	}
	types := p.object(v, "Principal", "a principal", "AWS", "Service", "Federated", "CanonicalUser")
	if types != nil && len(types) == 0 {
		p.report(v, "Principal", "Missing required field Principal: the object is empty")
	}
	for _, name := range []string{"AWS", "Service", "Federated", "CanonicalUser"} {
		list := types[name]
		if list == nil {
			continue
		}
		if list.kind == '[' && len(list.items) == 0 {
			p.report(list, "Principal."+name, "Invalid principal in policy: the list is empty")
		}
		for _, item := range list.elements() {
			if text, ok := p.text(item, "Principal."+name); ok {
				s.principals = append(s.principals, p.principal(item, name, text))
			}
		}
	}
}

func (p *parser) principal(n *node, kind, text string) principalEntry {
	path := "Principal." + kind
	switch kind {
	case "Service":
		if !serviceName.MatchString(text) {
			p.report(n, path, "Invalid principal in policy: %q is no service principal such as ec2.amazonaws.com", text)
		}
		return principalEntry{service: text}
	case "AWS":
		if text == "*" {
			return principalEntry{everyone: true}
		}
		if accountID.MatchString(text) {
			return principalEntry{account: text}
		}
		parts := strings.SplitN(text, ":", 6)
		switch {
		case strings.ContainsAny(text, "*?"):
			p.report(n, path, "Invalid principal in policy: %q; a wildcard cannot stand for part of a principal's name", text)
		case len(parts) < 6 || parts[0] != "arn" || parts[2] != "iam" && parts[2] != "sts" || !accountID.MatchString(parts[4]):
			p.report(n, path, "Invalid principal in policy: %q is neither an account ID of 12 digits nor the ARN of a user, role or session", text)
		case parts[5] == "root":
			return principalEntry{account: parts[4]}
		}
		return principalEntry{arn: text}
	}
	return principalEntry{} // Federated and CanonicalUser: nobody who calls here
}

// conditionBlock reads { operator: { key: value or values } }.
func (p *parser) conditionBlock(n *node) []condition {
	if n.kind != '{' {
		p.report(n, "Condition", "Syntax errors in policy: Condition must be an object, not %s", n.describe())
		return nil
	}
	var all []condition
	seen := map[string]bool{}
	for _, op := range n.members {
		path := "Condition." + op.name
		if seen[op.name] {
			p.reportAt(op.offset, path, "Syntax errors in policy: the operator appears twice; put its keys into one object")
		}
		seen[op.name] = true
		if op.value.kind != '{' {
			p.report(op.value, path, "Syntax errors in policy: an operator holds an object of keys, not %s", op.value.describe())
			continue
		}
		keys := map[string]bool{}
		for _, m := range op.value.members {
			if lower := strings.ToLower(m.name); keys[lower] {
				p.reportAt(m.offset, path, "Syntax errors in policy: the key %q appears twice; list its values in one array", m.name)
			} else {
				keys[lower] = true
			}
			if c, ok := p.readCondition(op, m); ok {
				all = append(all, c)
			}
		}
	}
	return all
}

func (p *parser) readCondition(op, key member) (condition, bool) {
	path := "Condition." + op.name
	c, kind, err := newCondition(p.operators, op.name, key.name)
	if err != nil {
		p.reportAt(op.offset, path, "Syntax errors in policy: %v", err)
		return c, false
	}
	if prefix, name, ok := strings.Cut(key.name, ":"); !ok || prefix == "" || name == "" || strings.Contains(key.name, "${") {
		p.reportAt(key.offset, path, "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc. Got the key %q", key.name)
		return c, false
	}
	path += "." + key.name
	values := key.value.elements()
	if len(values) == 0 {
		p.report(key.value, path, "Syntax errors in policy: the list of values is empty")
	}
	for _, v := range values {
		// Quotation marks are optional for numbers and booleans (grammar, "basic JSON rules").
		if v.kind != 's' && v.kind != 'n' && v.kind != 'b' {
			p.report(v, path, "Syntax errors in policy: a value is a string, number or boolean, not %s", v.describe())
			continue
		}
		t, err := kind.read(v.text, p.variables)
		if err != nil {
			p.report(v, path, "Syntax errors in policy: %v", err)
			continue
		}
		c.tests = append(c.tests, t)
		c.sources = append(c.sources, v.text)
	}
	return c, true
}
