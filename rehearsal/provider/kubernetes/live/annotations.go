package live

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Annotations by which a program governs one object (metadata/annotations.go).
const (
	annotationSkipAwait      = "pulumi.com/skipAwait"
	annotationWaitFor        = "pulumi.com/waitFor"
	annotationTimeoutSeconds = "pulumi.com/timeoutSeconds"
	annotationPatchForce     = "pulumi.com/patchForce"
	annotationPropagation    = "pulumi.com/deletionPropagationPolicy"
)

// defaultTimeout bounds every wait that nothing else bounds (await.go).
const defaultTimeout = 10 * time.Minute

func isTrue(inputs *unstructured.Unstructured, annotation string) bool {
	return inputs.GetAnnotations()[annotation] == "true"
}

// timeout is the resource option customTimeouts', the annotation's or the
// default (metadata/overrides.go, TimeoutDuration).
func timeout(option time.Duration, inputs *unstructured.Unstructured) time.Duration {
	if option > 0 {
		return option
	}
	if s, err := strconv.Atoi(inputs.GetAnnotations()[annotationTimeoutSeconds]); err == nil {
		return time.Duration(s) * time.Second
	}
	return defaultTimeout
}

func propagation(inputs *unstructured.Unstructured) metav1.DeletionPropagation {
	switch strings.ToLower(inputs.GetAnnotations()[annotationPropagation]) {
	case "orphan":
		return metav1.DeletePropagationOrphan
	case "background":
		return metav1.DeletePropagationBackground
	}
	return metav1.DeletePropagationForeground
}

// waitFor parses the annotation: one condition or a JSON list of them. Without
// one there are none.
func waitFor(inputs *unstructured.Unstructured) ([]condition, error) {
	value := inputs.GetAnnotations()[annotationWaitFor]
	if value == "" {
		return nil, nil
	}
	var conditions []condition
	var list []string
	if err := json.Unmarshal([]byte(value), &list); err != nil {
		list = []string{value} // not a list, then
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: at least one condition must be specified", annotationWaitFor)
	}
	for _, expr := range list {
		var c condition
		var err error
		switch {
		case strings.HasPrefix(expr, "jsonpath="):
			c, err = parseJSONPath(strings.TrimPrefix(expr, "jsonpath="))
		case strings.HasPrefix(expr, "condition="):
			c = parseCondition(strings.TrimPrefix(expr, "condition="))
		default:
			err = fmt.Errorf(`expected a "jsonpath=" or "condition=" prefix, got %q`, expr)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", annotationWaitFor, err)
		}
		conditions = append(conditions, c)
	}
	return conditions, nil
}
