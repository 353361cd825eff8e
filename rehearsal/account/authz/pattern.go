package authz

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A glob is a string to match in which two values stand for wildcards. They are no valid runes, so
// text that a variable brought in can never act as a wildcard.
type glob []rune

const (
	anyOne  rune = -1 // ?
	anyMany rune = -2 // *
)

// match reports whether the glob covers all of s. With fold it ignores case.
func (g glob) match(s string, fold bool) bool {
	text := []rune(s)
	star, mark := -1, 0 // the last * seen and how far of the text it has been taken to cover
	i, j := 0, 0
	for j < len(text) {
		switch {
		case i < len(g) && g[i] == anyMany:
			star, mark = i, j
			i++
		case i < len(g) && (g[i] == anyOne || sameRune(g[i], text[j], fold)):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(g) && g[i] == anyMany {
		i++
	}
	return i == len(g)
}

func sameRune(a, b rune, fold bool) bool {
	return a == b || fold && a >= 0 && unicode.ToLower(a) == unicode.ToLower(b)
}

// pattern is a policy string: literal text, wildcards and variables.
type pattern struct {
	source string
	pieces []piece
}

type piece struct {
	text glob // literal text and wildcards, or
	key  string
	// fallback is the variable's default; hasFallback tells an empty default from none.
	fallback    string
	hasFallback bool
}

// compile reads a policy string. Wildcards and variables are plain text where the element, the
// operator or the document's version does not know them.
func compile(s string, wildcards, variables bool) (pattern, error) {
	p := pattern{source: s}
	var text glob
	for i := 0; i < len(s); {
		if variables && strings.HasPrefix(s[i:], "${") {
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return p, fmt.Errorf("the variable %q has no closing brace", s[i:])
			}
			inner := s[i+2 : i+end]
			i += end + 1
			if inner == "*" || inner == "?" || inner == "$" {
				text = append(text, rune(inner[0])) // ${*} stands for the character itself
				continue
			}
			v, err := variable(inner)
			if err != nil {
				return p, err
			}
			if len(text) > 0 {
				p.pieces = append(p.pieces, piece{text: text})
				text = nil
			}
			p.pieces = append(p.pieces, v)
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case wildcards && r == '*':
			r = anyMany
		case wildcards && r == '?':
			r = anyOne
		}
		text = append(text, r)
		i += size
	}
	if len(text) > 0 {
		p.pieces = append(p.pieces, piece{text: text})
	}
	return p, nil
}

// variable reads what stands between ${ and }: a key, or a key, a comma, a space and a default in
// single quotes.
func variable(inner string) (piece, error) {
	key, fallback, has := strings.Cut(inner, ", ")
	v := piece{key: strings.ToLower(key), hasFallback: has}
	if has {
		if len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\'' {
			return v, fmt.Errorf("the default in ${%s} must stand in single quotes, as in ${%s, 'value'}", inner, key)
		}
		v.fallback = fallback[1 : len(fallback)-1]
	}
	prefix, name, ok := strings.Cut(key, ":")
	if !ok || prefix == "" || name == "" || strings.ContainsAny(prefix, " '\"") {
		return v, fmt.Errorf("${%s} does not name a condition key, such as ${aws:PrincipalAccount}", inner)
	}
	return v, nil
}

// hasVariable reports whether the pattern depends on the request.
func (p pattern) hasVariable() bool {
	for _, c := range p.pieces {
		if c.key != "" {
			return true
		}
	}
	return false
}

// expand puts the request's values in place of the variables. It reports false when one has
// neither a single value nor a default: such a string equals nothing.
func (p pattern) expand(ctx context) (glob, bool) {
	if len(p.pieces) == 1 && p.pieces[0].key == "" {
		return p.pieces[0].text, true
	}
	g := glob{}
	for _, c := range p.pieces {
		if c.key == "" {
			g = append(g, c.text...)
			continue
		}
		value := c.fallback
		if got := ctx.values(c.key); len(got) == 1 && got[0] != "" {
			value = got[0]
		} else if !c.hasFallback || len(got) > 1 {
			return nil, false
		}
		g = append(g, []rune(value)...)
	}
	return g, true
}

func (p pattern) match(s string, ctx context, fold bool) bool {
	g, ok := p.expand(ctx)
	return ok && g.match(s, fold)
}

// arnPattern is an ARN with wildcards, compared field by field: a * never reaches over one of the
// first five colons ("Resource" and "ARN condition operators" in the IAM User Guide).
type arnPattern struct {
	source string
	any    bool // the whole element is "*"
	fields [6]pattern
}

// compileARN reads an ARN pattern. Fields that are missing at the end become "*", as IAM completes
// them in identity-based policies; needAll refuses that.
func compileARN(s string, variables, needAll bool) (arnPattern, error) {
	a := arnPattern{source: s}
	if s == "*" {
		a.any = true
		return a, nil
	}
	parts := splitARN(s)
	if parts[0] != "arn" || len(parts) < 3 {
		return a, fmt.Errorf("%q is not an ARN: it starts with arn, a partition and a service", s)
	}
	if needAll && len(parts) < 6 {
		return a, fmt.Errorf("%q has %d of an ARN's 6 fields", s, len(parts))
	}
	for i := range a.fields {
		text := "*"
		if i < len(parts) {
			text = parts[i]
		}
		var err error
		if a.fields[i], err = compile(text, true, variables); err != nil {
			return a, err
		}
	}
	return a, nil
}

// splitARN cuts at the first five colons, none of them inside a variable.
func splitARN(s string) []string {
	var parts []string
	depth, from := 0, 0
	for i := 0; i < len(s) && len(parts) < 5; i++ {
		switch {
		case strings.HasPrefix(s[i:], "${"):
			depth++
		case s[i] == '}' && depth > 0:
			depth--
		case s[i] == ':' && depth == 0:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

func (a arnPattern) match(arn string, ctx context) bool {
	if a.any {
		return true
	}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return false
	}
	for i, f := range a.fields {
		if !f.match(parts[i], ctx, false) {
			return false
		}
	}
	return true
}
