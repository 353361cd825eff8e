package authz

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// context is a request's condition keys; names are lower case, because AWS's are not case
// sensitive. Two tags whose keys differ in case only therefore become one key of two values,
// which a plain operator does not match: the surprise the IAM User Guide warns of.
type context map[string][]string

func newContext(keys map[string][]string) context {
	ctx := make(context, len(keys))
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		lower := strings.ToLower(name)
		ctx[lower] = append(ctx[lower], keys[name]...)
	}
	return ctx
}

func (c context) values(key string) []string { return c[strings.ToLower(key)] }

// present is AWS's "exists and is not null": at least one value that is not the empty string.
func (c context) present(key string) bool {
	return slices.ContainsFunc(c.values(key), func(v string) bool { return v != "" })
}

type quantifier int

const (
	single quantifier = iota
	forAllValues
	forAnyValue
)

// condition is one operator applied to one key: the values are alternatives, and all conditions of
// a statement must hold.
type condition struct {
	operator string // as written
	key      string // as written
	quantifier
	negated  bool
	ifExists bool
	null     bool
	tests    []test
	sources  []string // the policy's values as written
}

// test compares one value of the request with one value of the policy.
type test func(value string, ctx context) bool

// holds follows "Condition operators" and "Multivalued context keys" of the IAM User Guide.
func (c condition) holds(ctx context) bool {
	values := ctx.values(c.key)
	if c.null {
		absent := strconv.FormatBool(!ctx.present(c.key))
		return slices.ContainsFunc(c.sources, func(s string) bool { return strings.EqualFold(s, absent) })
	}
	switch c.quantifier {
	case forAllValues:
		// True for no key and for a null data set; IfExists adds nothing to that.
		if !ctx.present(c.key) {
			return true
		}
		return !slices.ContainsFunc(values, func(v string) bool { return !c.matches(v, ctx) })
	case forAnyValue:
		return ctx.present(c.key) && slices.ContainsFunc(values, func(v string) bool { return c.matches(v, ctx) })
	}
	switch len(values) {
	case 0:
		return c.negated || c.ifExists
	case 1:
		return c.matches(values[0], ctx)
	}
	return false // several values need a set operator
}

// matches is the operator on one value: any of the policy's values for a positive operator, none
// of them for a negated one.
func (c condition) matches(value string, ctx context) bool {
	hit := slices.ContainsFunc(c.tests, func(t test) bool { return t(value, ctx) })
	return hit != c.negated
}

// describe tells what a condition wanted and what the request had, for reports.
func (c condition) describe(ctx context) string {
	got := "the request has none"
	if values := ctx.values(c.key); len(values) > 0 {
		got = fmt.Sprintf("the request has %q", values)
	}
	return fmt.Sprintf("%s %s %q: %s", c.operator, c.key, c.sources, got)
}

// newCondition reads an operator's name, given the known ones; its values are the caller's to add.
func newCondition(known map[string]operatorKind, operator, key string) (condition, operatorKind, error) {
	c := condition{operator: operator, key: key}
	base := operator
	if prefix, rest, ok := strings.Cut(operator, ":"); ok {
		base = rest
		switch strings.ToLower(prefix) {
		case "forallvalues":
			c.quantifier = forAllValues
		case "foranyvalue":
			c.quantifier = forAnyValue
		default:
			return c, operatorKind{}, fmt.Errorf("%q is no set operator: ForAllValues and ForAnyValue are", prefix)
		}
	}
	base = strings.ToLower(base)
	if trimmed, ok := strings.CutSuffix(base, "ifexists"); ok {
		c.ifExists, base = true, trimmed
	}
	kind, ok := known[base]
	if !ok {
		return c, kind, fmt.Errorf("%q is no condition operator", operator)
	}
	c.negated, c.null = kind.negated, kind.null
	if c.null && (c.ifExists || c.quantifier != single) {
		return c, kind, fmt.Errorf("Null takes neither IfExists nor a set operator, but %q was given", operator)
	}
	return c, kind, nil
}

// operatorKind is how an operator's policy values are read.
type operatorKind struct {
	negated bool
	null    bool
	read    func(value string, variables bool) (test, error)
}

// operators lists the condition operators of the IAM User Guide by their lower-case names.
func operators() map[string]operatorKind {
	m := map[string]operatorKind{
		"stringequals":           {read: readString(false, false)},
		"stringequalsignorecase": {read: readString(false, true)},
		"stringlike":             {read: readString(true, false)},
		"arnequals":              {read: readARN},
		"arnlike":                {read: readARN},
		"ipaddress":              {read: readIP},
		"bool":                   {read: readBool},
		"binaryequals":           {read: readBinary},
		"null":                   {read: readBool, null: true},
	}
	for positive, negative := range map[string]string{
		"stringequals": "stringnotequals", "stringequalsignorecase": "stringnotequalsignorecase",
		"stringlike": "stringnotlike", "arnequals": "arnnotequals", "arnlike": "arnnotlike", "ipaddress": "notipaddress",
	} {
		m[negative] = operatorKind{read: m[positive].read, negated: true}
	}
	for name, holds := range map[string]func(int) bool{
		"equals":            func(c int) bool { return c == 0 },
		"lessthan":          func(c int) bool { return c < 0 },
		"lessthanequals":    func(c int) bool { return c <= 0 },
		"greaterthan":       func(c int) bool { return c > 0 },
		"greaterthanequals": func(c int) bool { return c >= 0 },
	} {
		m["numeric"+name] = operatorKind{read: readOrdered(parseNumber, (*big.Rat).Cmp, "a number", holds)}
		m["date"+name] = operatorKind{read: readOrdered(parseDate, time.Time.Compare, "a date such as 2026-11-24T05:00:00Z or seconds since 1970", holds)}
	}
	for _, family := range []string{"numeric", "date"} {
		m[family+"notequals"] = operatorKind{read: m[family+"equals"].read, negated: true}
	}
	return m
}

func readString(wildcards, fold bool) func(string, bool) (test, error) {
	return func(value string, variables bool) (test, error) {
		p, err := compile(value, wildcards, variables)
		return func(v string, ctx context) bool { return p.match(v, ctx, fold) }, err
	}
}

func readARN(value string, variables bool) (test, error) {
	a, err := compileARN(value, variables, true)
	if a.any {
		return nil, fmt.Errorf("%q is not an ARN", value)
	}
	return func(v string, ctx context) bool { return a.match(v, ctx) }, err
}

func readIP(value string, _ bool) (test, error) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		addr, err := netip.ParseAddr(value)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an IP address nor a range such as 203.0.113.0/24", value)
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	prefix = prefix.Masked()
	return func(v string, _ context) bool {
		addr, err := netip.ParseAddr(v)
		return err == nil && prefix.Contains(addr.Unmap())
	}, nil
}

func readBool(value string, _ bool) (test, error) {
	if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
		return nil, fmt.Errorf("%q is neither true nor false", value)
	}
	return func(v string, _ context) bool { return strings.EqualFold(v, value) }, nil
}

func readBinary(value string, _ bool) (test, error) {
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, fmt.Errorf("%q is not base64", value)
	}
	return func(v string, _ context) bool { return v == string(raw) }, nil
}

func readOrdered[T any](parse func(string) (T, bool), compare func(a, b T) int, want string, holds func(int) bool) func(string, bool) (test, error) {
	return func(value string, _ bool) (test, error) {
		limit, ok := parse(value)
		if !ok {
			return nil, fmt.Errorf("%q is not %s", value, want)
		}
		return func(v string, _ context) bool {
			got, ok := parse(v)
			return ok && holds(compare(got, limit))
		}, nil
	}
}

// decimal bounds what big.Rat is handed: no exponents or fractions, which can be made huge.
var decimal = regexp.MustCompile(`^[+-]?[0-9]{1,64}(\.[0-9]{1,64})?$`)

func parseNumber(s string) (*big.Rat, bool) {
	if !decimal.MatchString(s) {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// parseDate reads the W3C profile of ISO 8601 and epoch seconds. Digits alone are epoch seconds,
// so the profile's bare year cannot be written.
func parseDate(s string) (time.Time, bool) {
	if seconds, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(seconds, 0), true
	}
	for _, layout := range []string{"2006-01", time.DateOnly, "2006-01-02T15:04Z07:00", time.RFC3339Nano} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
