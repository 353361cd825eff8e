package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that keeps the stack from being built, in a form that
// says all a user needs to mend it.
type Problem struct {
	// Key is the setting, or the object in the account, that is at fault.
	Key string
	// Value is what it is now; empty when it is missing.
	Value string
	// Want says what is allowed.
	Want string
	// Mend is the command that mends it.
	Mend string
}

// Problems are reported together, so that one run shows them all.
type Problems []Problem

// Add appends a problem; want and mend are used as they are. One that is there
// already is not added again: several pools may take a value from one setting.
func (p *Problems) Add(key, value, want, mend string) {
	if one := (Problem{Key: key, Value: value, Want: want, Mend: mend}); !slices.Contains(*p, one) {
		*p = append(*p, one)
	}
}

// Collect adds the problems that err is made of and returns nil; any other error
// it returns as it is.
func (p *Problems) Collect(err error) error {
	if more, ok := errors.AsType[Problems](err); ok {
		for _, one := range more {
			p.Add(one.Key, one.Value, one.Want, one.Mend)
		}
		return nil
	}
	return err
}

// Err returns the problems as one error, or nil when there are none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Error lists the problems, two lines each.
func (p Problems) Error() string {
	var b strings.Builder
	switch len(p) {
	case 1:
		b.WriteString("nothing was changed: 1 problem stands in the way\n")
	default:
		fmt.Fprintf(&b, "nothing was changed: %d problems stand in the way\n", len(p))
	}
	for _, one := range p {
		value := "is not set"
		if one.Value != "" {
			value = fmt.Sprintf("is %q", one.Value)
		}
		fmt.Fprintf(&b, "  %s %s: %s\n      mend: %s\n", one.Key, value, one.Want, one.Mend)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
