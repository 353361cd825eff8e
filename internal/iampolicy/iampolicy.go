// Package iampolicy writes IAM policy documents from typed statements.
package iampolicy

import (
	"encoding/json"
	"fmt"
)

// Version is the current version of the policy language.
const Version = "2012-10-17"

// Document is an IAM policy document.
type Document struct {
	Version   string      `json:"Version"`
	Statement []Statement `json:"Statement"`
}

// Statement is one statement of a document. Sid may hold letters and digits
// only.
type Statement struct {
	Sid       string     `json:"Sid,omitempty"`
	Effect    string     `json:"Effect"`
	Principal any        `json:"Principal,omitempty"`
	Action    []string   `json:"Action"`
	Resource  []string   `json:"Resource,omitempty"`
	Condition Conditions `json:"Condition,omitempty"`
}

// Conditions maps an operator to keys and the values allowed for each.
type Conditions map[string]map[string][]string

// New returns a document of the statements; an empty Effect means Allow.
func New(statements ...Statement) Document {
	for i := range statements {
		if statements[i].Effect == "" {
			statements[i].Effect = "Allow"
		}
	}
	return Document{Version: Version, Statement: statements}
}

// JSON returns the document as IAM takes it, without white space and with
// sorted condition keys, so that it is the same text from run to run.
func (d Document) JSON() string {
	text, err := json.Marshal(d)
	if err != nil {
		panic(fmt.Sprintf("iampolicy: %v", err)) // strings, lists and maps of strings always marshal
	}
	return string(text)
}

// Trust returns the trust policy that lets a service assume a role with the
// given actions, such as sts:AssumeRole.
func Trust(service string, actions ...string) Document {
	return New(Statement{Principal: Services(service), Action: actions})
}

// Services is a principal that stands for AWS services.
func Services(names ...string) map[string][]string { return map[string][]string{"Service": names} }
