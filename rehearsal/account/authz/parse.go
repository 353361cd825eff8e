package authz

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Parse reads a policy document strictly. Kind says what the policy is attached to; name is used in
// errors and decisions. What IAM refuses is an *[InvalidPolicyError] that lists every problem.
//
// Beyond the grammar it refuses what could never match or would be read otherwise than written:
// unknown or repeated elements, operators and values of the wrong type, wildcards where AWS has none.
func Parse(kind Kind, name string, doc []byte) (*Policy, error) {
	p := &parser{
		policy:    &Policy{name: name, kind: kind},
		doc:       doc,
		statement: -1,
		operators: operators(),
	}
	root, syntax := readJSON(doc)
	if syntax != nil {
		p.reportAt(syntax.offset, "document", "Syntax errors in policy: %s", syntax.msg)
	} else {
		p.document(root)
	}
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, &InvalidPolicyError{Name: name, Problems: p.problems}
	}
	return p.policy, nil
}

type parser struct {
	policy    *Policy
	doc       []byte
	statement int // the index of the one being read, or -1
	variables bool
	operators map[string]operatorKind
	problems  []Problem
}

func (p *parser) report(n *node, path, format string, args ...any) {
	p.reportAt(n.offset, path, format, args...)
}

func (p *parser) reportAt(offset int64, path, format string, args ...any) {
	line, column := lineColumn(p.doc, offset)
	if p.statement >= 0 {
		path = strings.TrimSuffix(fmt.Sprintf("Statement[%d].%s", p.statement, path), ".")
	}
	p.problems = append(p.problems, Problem{
		Line: line, Column: column, Statement: p.statement, Path: path, Message: fmt.Sprintf(format, args...),
	})
}

// object checks that n is an object of the named elements, each at most once, and returns them.
func (p *parser) object(n *node, path, what string, allowed ...string) map[string]*node {
	if n.kind != '{' {
		p.report(n, path, "Syntax errors in policy: %s must be an object, not %s", what, n.describe())
		return nil
	}
	found := make(map[string]*node, len(n.members))
	for _, m := range n.members {
		_, repeated := found[m.name]
		switch {
		case repeated:
			p.reportAt(m.offset, path, "Syntax errors in policy: %q appears twice", m.name)
		case !slices.Contains(allowed, m.name):
			hint := "allowed are " + strings.Join(allowed, ", ")
			if i := slices.IndexFunc(allowed, func(a string) bool { return strings.EqualFold(a, m.name) }); i >= 0 {
				hint = fmt.Sprintf("did you mean %q? Names are case sensitive", allowed[i])
			}
			p.reportAt(m.offset, path, "Syntax errors in policy: %q is no element of %s; %s", m.name, what, hint)
		}
		found[m.name] = m.value
	}
	return found
}

// text checks that n is a string.
func (p *parser) text(n *node, path string) (string, bool) {
	if n.kind != 's' {
		p.report(n, path, "Syntax errors in policy: must be a string, not %s", n.describe())
	}
	return n.text, n.kind == 's'
}

func (p *parser) document(root *node) {
	allowed := []string{"Version", "Id", "Statement"}
	if p.policy.kind == Identity {
		allowed = []string{"Version", "Statement"}
	}
	top := p.object(root, "document", "a policy document", allowed...)
	if top == nil {
		return
	}
	version := "2008-10-17" // what a missing Version means
	if n := top["Version"]; n != nil {
		if s, ok := p.text(n, "Version"); ok {
			version = s
			if s != "2008-10-17" && s != "2012-10-17" {
				p.report(n, "Version", "Policy document version %q is not one; use \"2012-10-17\"", s)
			}
		}
	}
	if p.policy.kind == Identity && version != "2012-10-17" {
		p.report(cmp.Or(top["Version"], root), "Version", "Policy document must be version 2012-10-17 or greater.")
	}
	p.variables = version == "2012-10-17"
	if n := top["Id"]; n != nil && p.policy.kind != Identity {
		p.text(n, "Id")
	}
	list := top["Statement"]
	if list == nil || list.kind == '[' && len(list.items) == 0 {
		p.report(cmp.Or(list, root), "Statement", "Syntax errors in policy: a policy needs at least one statement")
		return
	}
	sids := map[string]int{}
	for i, n := range list.elements() {
		p.statement = i
		s := p.readStatement(n)
		if first, repeated := sids[s.sid]; repeated && s.sid != "" {
			p.report(n, "Sid", "Statement IDs (SID) in a single policy must be unique. %q is statement %d's too", s.sid, first)
		} else {
			sids[s.sid] = i
		}
		p.policy.statements = append(p.policy.statements, s)
	}
	p.statement = -1
}

var (
	sidPattern = regexp.MustCompile(`^[0-9A-Za-z]*$`)
	// actionPattern: a service prefix without wildcards, one colon, a name that may have them.
	actionPattern = regexp.MustCompile(`^[0-9A-Za-z-]+:[0-9A-Za-z*?]+$`)
	stsAction     = regexp.MustCompile(`(?i)^sts:(\*|AssumeRole[a-z]*\*?|TagSession|SetSourceIdentity|SetContext)$`)
	accountID     = regexp.MustCompile(`^[0-9]{12}$`)
	serviceName   = regexp.MustCompile(`^[0-9a-z.-]+\.amazonaws\.com(\.cn)?$`)
)

func (p *parser) readStatement(n *node) statement {
	var s statement
	allowed := []string{"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
	switch p.policy.kind {
	case Resource:
		allowed = append(allowed, "Principal", "NotPrincipal")
	case Trust:
		allowed = []string{"Sid", "Effect", "Action", "Principal", "Condition"}
	}
	if n.kind == '{' {
		p.prohibited(n)
	}
	e := p.object(n, "", "a statement", allowed...)
	if e == nil {
		return s
	}
	if v := e["Sid"]; v != nil {
		s.sid, _ = p.text(v, "Sid")
		if p.policy.kind != Resource && !sidPattern.MatchString(s.sid) {
			p.report(v, "Sid", "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*; got %q", s.sid)
		}
	}
	if v := e["Effect"]; v == nil {
		p.report(n, "Effect", "Syntax errors in policy: Effect is missing; it is \"Allow\" or \"Deny\"")
	} else if v.kind != 's' || v.text != "Allow" && v.text != "Deny" {
		p.report(v, "Effect", "Syntax errors in policy: Effect must be \"Allow\" or \"Deny\", not %s", v.describe())
	} else {
		s.allow = v.text == "Allow"
	}
	p.actions(n, e, &s)
	p.resources(n, e, &s)
	p.principals(n, e, &s)
	if v := e["Condition"]; v != nil {
		s.conditions = p.conditionBlock(v)
	}
	return s
}

// prohibited reports elements that exist in the grammar but not in this kind of policy, in IAM's words.
func (p *parser) prohibited(n *node) {
	names := []string{"Principal", "NotPrincipal"}
	switch p.policy.kind {
	case Trust:
		names = []string{"Resource", "NotResource", "NotPrincipal", "NotAction"}
	case Resource:
		return
	}
	kept := n.members[:0]
	for _, m := range n.members {
		if !slices.Contains(names, m.name) {
			kept = append(kept, m)
			continue
		}
		if p.policy.kind == Identity {
			p.reportAt(m.offset, m.name, "Policy document should not specify a principal.")
		} else {
			p.reportAt(m.offset, m.name, "Has prohibited field %s", m.name)
		}
	}
	n.members = kept
}

// oneOf returns whichever of two exclusive elements is there, and whether it is the negated one.
func (p *parser) oneOf(n *node, e map[string]*node, name, missing string) (v *node, negated bool) {
	plain, not := e[name], e["Not"+name]
	if plain != nil && not != nil {
		p.report(not, "Not"+name, "Syntax errors in policy: a statement has either %s or Not%s, not both", name, name)
	}
	v = cmp.Or(plain, not)
	if v == nil || v.kind == '[' && len(v.items) == 0 {
		if missing != "" {
			p.report(cmp.Or(v, n), name, "%s", missing)
		}
		return nil, false
	}
	return v, plain == nil
}

func (p *parser) actions(n *node, e map[string]*node, s *statement) {
	v, negated := p.oneOf(n, e, "Action", "Policy statement must contain actions.")
	if v == nil {
		return
	}
	s.notAction = negated
	for _, item := range v.elements() {
		text, ok := p.text(item, "Action")
		if !ok {
			continue
		}
		switch {
		case text == "*" && p.policy.kind != Trust, text == "*:*" && p.policy.kind != Trust:
		case !strings.Contains(text, ":"):
			p.report(item, "Action", "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc. Got %q", text)
		case strings.Count(text, ":") > 1:
			p.report(item, "Action", "Actions/Condition can contain only one colon. Got %q", text)
		case !actionPattern.MatchString(text):
			p.report(item, "Action", "Vendor or action in %q is not valid: a service prefix, a colon and a name in which * and ? may stand", text)
		case p.policy.kind == Trust && !stsAction.MatchString(text):
			p.report(item, "Action", "AssumeRole policy may only specify STS AssumeRole actions. Got %q", text)
		}
		a, _ := compile(text, true, false) // only variables can be malformed
		s.actions = append(s.actions, a)
	}
}

func (p *parser) resources(n *node, e map[string]*node, s *statement) {
	if p.policy.kind == Trust {
		s.resources = []arnPattern{{source: "*", any: true}} // the role that carries the policy
		return
	}
	v, negated := p.oneOf(n, e, "Resource", "Policy statement must contain resources.")
	if v == nil {
		return
	}
	s.notResource = negated
	for _, item := range v.elements() {
		text, ok := p.text(item, "Resource")
		if !ok {
			continue
		}
		a, err := compileARN(text, p.variables, p.policy.kind == Resource)
		if err != nil {
			p.report(item, "Resource", "Resource %s must be in ARN format or \"*\". %v", text, err)
			continue
		}
		if msg := checkResource(a); msg != "" {
			p.report(item, "Resource", "%s", msg)
		}
		s.resources = append(s.resources, a)
	}
}

var (
	partition = regexp.MustCompile(`^(\*|aws(-[a-z]+)*\*?)$`)
	vendor    = regexp.MustCompile(`^[0-9a-z-]+$`)
)

// checkResource refuses resource ARNs that IAM refuses; it returns the message or "".
func checkResource(a arnPattern) string {
	if a.any {
		return ""
	}
	for i, f := range a.fields[:5] {
		if f.hasVariable() {
			return fmt.Sprintf("Resource %s: a policy variable may stand only after the fifth colon, not in field %d", a.source, i+1)
		}
	}
	service, region, path := a.fields[2].source, a.fields[3].source, a.fields[5].source
	switch {
	case !partition.MatchString(a.fields[1].source):
		return fmt.Sprintf("Partition %q is not valid for resource %q.", a.fields[1].source, a.source)
	case !vendor.MatchString(service):
		return fmt.Sprintf("Resource vendor must be fully qualified and cannot contain regexes. Got %q", a.source)
	case service == "iam" && region != "" && region != "*":
		return fmt.Sprintf("IAM resource %s cannot contain region information.", a.source)
	case service == "iam" && !iamPath(path):
		return fmt.Sprintf("IAM resource path must either be \"*\" or start with %s. Got %q", strings.Join(iamPaths(), ", "), a.source)
	}
	return ""
}

func iamPaths() []string {
	return []string{
		"user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/",
		"policy/", "sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/",
	}
}

func iamPath(path string) bool {
	return strings.HasPrefix(path, "*") || path == "root" ||
		slices.ContainsFunc(iamPaths(), func(start string) bool { return strings.HasPrefix(path, start) })
}
