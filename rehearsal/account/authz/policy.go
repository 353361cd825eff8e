package authz

import (
	"fmt"
	"strings"
)

// Kind says what a policy is attached to, which decides what it may contain and how it counts.
type Kind int

const (
	// Identity is a policy of a role or user: no Principal, no Id.
	Identity Kind = iota
	// Resource is a policy of a resource, such as an SQS queue: Principal required.
	Resource
	// Trust is a role's trust policy: Principal required, no Resource, STS actions only.
	Trust
)

// String names the kind as AWS's access-denied messages do.
func (k Kind) String() string {
	switch k {
	case Resource:
		return "resource-based policy"
	case Trust:
		return "role trust policy"
	}
	return "identity-based policy"
}

// Policy is a parsed, valid policy document. It is immutable and safe for concurrent use.
type Policy struct {
	name       string
	kind       Kind
	statements []statement
}

// Name is what the caller of [Parse] called the policy, usually its ARN.
func (p *Policy) Name() string { return p.name }

// Kind is what the policy is attached to.
func (p *Policy) Kind() Kind { return p.kind }

type statement struct {
	sid          string
	allow        bool
	actions      []pattern
	notAction    bool
	resources    []arnPattern
	notResource  bool
	principals   []principalEntry
	notPrincipal bool
	conditions   []condition
}

// principalEntry is one value of a Principal element.
type principalEntry struct {
	everyone bool   // "*" or {"AWS":"*"}
	account  string // an account's ID, written as such or as its root ARN
	arn      string // a user, role or session
	service  string // a service principal
}

// Problem is one thing wrong with a policy document.
type Problem struct {
	// Line and Column say where, counted from 1.
	Line, Column int
	// Statement is the statement's index from 0, or -1 for the document itself.
	Statement int
	// Path leads to the element, such as Statement[1].Condition.StringEquals.
	Path string
	// Message is AWS's own wording where IAM has one, followed by what was found.
	Message string
}

// String gives place, path and message on one line.
func (p Problem) String() string {
	return fmt.Sprintf("%d:%d: %s: %s", p.Line, p.Column, p.Path, p.Message)
}

// InvalidPolicyError reports everything that is wrong with a policy document. IAM and SQS answer
// such a document with MalformedPolicyDocument and InvalidAttributeValue respectively.
type InvalidPolicyError struct {
	// Name is the policy's name as given to [Parse].
	Name string
	// Problems holds at least one entry, in order of their place in the document.
	Problems []Problem
}

func (e *InvalidPolicyError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return fmt.Sprintf("policy %s is not valid: %s", e.Name, strings.Join(lines, "; "))
}
