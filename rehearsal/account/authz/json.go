package authz

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth is far above what the policy grammar nests (six levels), and keeps hostile input from
// using up the stack.
const maxDepth = 32

// node is one JSON value with the place where it starts. encoding/json's own decoding would drop
// both the places and repeated keys, and a policy with a repeated key is an error.
type node struct {
	offset  int64
	kind    byte     // '{', '[', 's' string, 'n' number, 'b' boolean, '0' null
	text    string   // for scalars: the string, or the literal as written
	members []member // for objects, in order of writing
	items   []*node  // for arrays
}

type member struct {
	name   string
	offset int64
	value  *node
}

func (n *node) describe() string {
	switch n.kind {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 's':
		return fmt.Sprintf("the string %q", n.text)
	case 'n':
		return "the number " + n.text
	case 'b':
		return "the boolean " + n.text
	}
	return "null"
}

// elements returns the items of an array, or the value itself: where the grammar takes a list, a
// single value may stand without brackets.
func (n *node) elements() []*node {
	if n.kind == '[' {
		return n.items
	}
	return []*node{n}
}

// syntaxError is malformed JSON at a byte offset.
type syntaxError struct {
	offset int64
	msg    string
}

func (e *syntaxError) Error() string { return e.msg }

// readJSON parses exactly one JSON value.
func readJSON(doc []byte) (*node, *syntaxError) {
	r := &jsonReader{dec: json.NewDecoder(bytes.NewReader(doc)), doc: doc}
	r.dec.UseNumber()
	n, err := r.value(0)
	if err != nil {
		return nil, r.syntax(err)
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, &syntaxError{r.skipSpace(r.dec.InputOffset()), "more text follows the policy's closing brace"}
	}
	return n, nil
}

type jsonReader struct {
	dec *json.Decoder
	doc []byte
}

func (r *jsonReader) syntax(err error) *syntaxError {
	var own *syntaxError
	var bad *json.SyntaxError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &bad):
		// Between tokens the decoder counts from the last token, within one from the bad byte.
		return &syntaxError{max(bad.Offset-1, r.skipSpace(r.dec.InputOffset())), bad.Error()}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &syntaxError{int64(len(r.doc)), "the document ends too early"}
	}
	return &syntaxError{r.dec.InputOffset(), err.Error()}
}

// skipSpace moves from the end of the last token to the start of the next.
func (r *jsonReader) skipSpace(at int64) int64 {
	for at < int64(len(r.doc)) && strings.IndexByte(" \t\r\n:,", r.doc[at]) >= 0 {
		at++
	}
	return at
}

func (r *jsonReader) value(depth int) (*node, error) {
	at := r.skipSpace(r.dec.InputOffset())
	if depth > maxDepth {
		return nil, &syntaxError{at, fmt.Sprintf("nested deeper than %d levels", maxDepth)}
	}
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		n := &node{offset: at, kind: byte(t)}
		for r.dec.More() {
			if t == '[' {
				item, err := r.value(depth + 1)
				if err != nil {
					return nil, err
				}
				n.items = append(n.items, item)
				continue
			}
			m := member{offset: r.skipSpace(r.dec.InputOffset())}
			name, err := r.dec.Token()
			if err != nil {
				return nil, err
			}
			m.name, _ = name.(string) // the decoder itself refuses keys that are not strings
			if m.value, err = r.value(depth + 1); err != nil {
				return nil, err
			}
			n.members = append(n.members, m)
		}
		_, err := r.dec.Token() // the closing bracket
		return n, err
	case string:
		return &node{offset: at, kind: 's', text: t}, nil
	case json.Number:
		return &node{offset: at, kind: 'n', text: t.String()}, nil
	case bool:
		return &node{offset: at, kind: 'b', text: fmt.Sprint(t)}, nil
	}
	return &node{offset: at, kind: '0'}, nil
}

// lineColumn turns a byte offset into a line and column, both counted from 1.
func lineColumn(doc []byte, offset int64) (line, column int) {
	before := doc[:min(offset, int64(len(doc)))]
	line = 1 + bytes.Count(before, []byte("\n"))
	return line, len(before) - bytes.LastIndexByte(before, '\n')
}
