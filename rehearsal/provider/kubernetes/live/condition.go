package live

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"
)

// condition tells whether an object is what is waited for and, if not, what it
// is instead.
type condition func(o *unstructured.Unstructured) (met bool, instead string, err error)

// all is met when every condition is; it reports the first that is not.
func all(conditions []condition) condition {
	return func(o *unstructured.Unstructured) (bool, string, error) {
		for _, c := range conditions {
			if met, instead, err := c(o); !met || err != nil {
				return false, instead, err
			}
		}
		return true, "", nil
	}
}

// parseCondition parses TYPE or TYPE=STATUS, as `kubectl wait --for=condition=`
// takes it. A status that observed an older generation does not count
// (condition/kubectl.go).
func parseCondition(expr string) condition {
	name, status, given := strings.Cut(expr, "=")
	if !given {
		status = "True"
	}
	return func(o *unstructured.Unstructured) (bool, string, error) {
		for _, c := range conditionsOf(o) {
			if !strings.EqualFold(c.kind, name) {
				continue
			}
			if c.observed < o.GetGeneration() {
				return false, fmt.Sprintf("condition %s is about generation %d, the object is at %d",
					name, c.observed, o.GetGeneration()), nil
			}
			if strings.EqualFold(c.status, status) {
				return true, "", nil
			}
			return false, fmt.Sprintf("condition %s (want %s)", c, status), nil
		}
		if others := conditionsOf(o); len(others) > 0 {
			return false, fmt.Sprintf("it has no condition %s yet (want %s), but: %s", name, status, list(others)), nil
		}
		return false, fmt.Sprintf("it has no condition %s yet (want %s), nor any other", name, status), nil
	}
}

// statusCondition is an element of status.conditions.
type statusCondition struct {
	kind, status, reason, message string
	observed                      int64 // generation
}

// String is for messages: Ready=False (Reason: message).
func (c statusCondition) String() string {
	s := c.kind + "=" + c.status
	switch {
	case c.reason != "" && c.message != "":
		s += " (" + c.reason + ": " + c.message + ")"
	case c.reason != "" || c.message != "":
		s += " (" + c.reason + c.message + ")"
	}
	return s
}

func list(conditions []statusCondition) string {
	out := make([]string, 0, len(conditions))
	for _, c := range conditions {
		out = append(out, c.String())
	}
	return strings.Join(out, ", ")
}

func conditionsOf(o *unstructured.Unstructured) []statusCondition {
	raw, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions") // another shape means none
	var out []statusCondition
	for _, r := range raw {
		m, ok := r.(map[string]any)
		if !ok {
			continue
		}
		c := statusCondition{observed: o.GetGeneration()} // unless it says otherwise
		c.kind, _ = m["type"].(string)
		c.status, _ = m["status"].(string)
		c.reason, _ = m["reason"].(string)
		c.message, _ = m["message"].(string)
		if g, ok := m["observedGeneration"].(int64); ok {
			c.observed = g
		} else if g, ok := observedGeneration(o); ok {
			c.observed = g
		}
		out = append(out, c)
	}
	return out
}

func observedGeneration(o *unstructured.Unstructured) (int64, bool) {
	g, ok, err := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	return g, ok && err == nil
}

var braces = regexp.MustCompile(`^\{\s*(.*?)\s*\}$`)

// parseJSONPath parses {.path} or {.path}=value: the path must exist, with
// that value if one is given (jsonpath/jsonpath.go).
func parseJSONPath(expr string) (condition, error) {
	// "==" belongs to a filter, "=" separates the value.
	const equal = "\x00"
	parts := strings.Split(strings.ReplaceAll(expr, "==", equal), "=")
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], equal, "==")
	}
	path := parts[0]
	switch {
	case len(parts) > 2:
		return nil, fmt.Errorf("format should be {.path}=value or {.path}, got %q", expr)
	case len(parts) == 2 && parts[1] == "":
		return nil, fmt.Errorf("%s= requires a value", path)
	case strings.HasPrefix(path, "'"):
		return nil, fmt.Errorf("%s should omit shell quotes", path)
	}
	inside := braces.FindStringSubmatch(path)
	if inside == nil {
		return nil, fmt.Errorf("%s should be wrapped in brackets { ... }", path)
	}
	if err := jsonpath.New("check").Parse("{" + inside[1] + "}"); err != nil {
		return nil, fmt.Errorf("parsing %q: %w", path, err)
	}
	var want string
	if len(parts) == 2 {
		want = parts[1]
	}
	return func(o *unstructured.Unstructured) (bool, string, error) {
		if g, ok := observedGeneration(o); ok && g < o.GetGeneration() {
			return false, fmt.Sprintf("its status is about generation %d, the object is at %d", g, o.GetGeneration()), nil
		}
		found, err := findJSONPath("{"+inside[1]+"}", o)
		if err != nil {
			return false, "", err
		}
		if found == nil {
			return false, path + " selected nothing", nil
		}
		switch found.(type) {
		case map[string]any, []any:
			if want != "" {
				return false, "", fmt.Errorf("%q has a non-primitive value (%v)", path, found)
			}
		}
		if value := fmt.Sprint(found); want != "" && value != want {
			return false, fmt.Sprintf("%s is %q (want %q)", path, value, want), nil
		}
		return true, "", nil
	}, nil
}

// findJSONPath is the first value at path, nil if there is none.
func findJSONPath(path string, o *unstructured.Unstructured) (any, error) {
	j := jsonpath.New("find").AllowMissingKeys(true) // not reusable: Execute keeps state
	if err := j.Parse(path); err != nil {
		return nil, err
	}
	results, err := j.FindResults(o.Object)
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		for _, v := range r {
			if v.CanInterface() {
				return v.Interface(), nil
			}
		}
	}
	return nil, nil // nothing there is an answer
}

var errDeleted = errors.New("it was deleted meanwhile")
