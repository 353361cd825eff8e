package lint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install" // the kinds whose fields are known
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/podtemplate"
	"k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
)

// decode takes an object as the API server does that it is sent to: it decodes it
// strictly, sets defaults and validates. What is refused there is a problem and has no
// pods. A DaemonSet is returned as well as its pod.
func (c *checker) decode(ctx context.Context, o object) ([]*unit, *appsv1.DaemonSet, error) {
	if problems := o.text.duplicates(); len(problems) > 0 {
		for _, p := range problems {
			c.problem(o, p)
		}
		return nil, nil, nil
	}
	accepted, problems, err := accept(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range problems {
		c.problem(o, p)
	}
	if accepted == nil {
		return nil, nil, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(accepted)
	if err != nil {
		return nil, nil, err
	}
	found := templates(content)
	if _, isPod := accepted.(*corev1.Pod); isPod {
		found = []template{{content: content, count: 1}}
	}
	var units []*unit
	for _, t := range found {
		u, err := c.admit(ctx, o, t)
		if err != nil {
			return nil, nil, err
		}
		if u != nil {
			units = append(units, u)
		}
	}
	daemon, isDaemon := accepted.(*appsv1.DaemonSet)
	if isDaemon {
		units[0].count = 0
	}
	return units, daemon, nil
}

// accept is the object as the API server would store it, in the version that it
// prefers, or what is wrong with it. An object of no built-in kind is as it was.
func accept(ctx context.Context, o object) (runtime.Object, []Problem, error) {
	text, err := json.Marshal(o.Object.Object)
	if err != nil {
		return nil, nil, err
	}
	strict := serializer.NewSerializerWithOptions(serializer.DefaultMetaFactory, legacyscheme.Scheme, legacyscheme.Scheme, serializer.SerializerOptions{Strict: true})
	decoded, kind, err := strict.Decode(text, nil, nil)
	if runtime.IsNotRegisteredError(err) {
		return o.Unstructured, nil, nil
	}
	if unknown, ok := runtime.AsStrictDecodingError(err); ok {
		var problems []Problem
		for _, one := range unknown.Errors() {
			problems = append(problems, unknownField(one, *kind))
		}
		return nil, problems, nil
	}
	if err != nil {
		return nil, []Problem{wrongType(err)}, nil
	}
	legacyscheme.Scheme.Default(decoded)
	stored, err := legacyscheme.Scheme.ConvertToVersion(decoded, schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal})
	if err != nil {
		return nil, nil, err
	}
	if strategy := strategyOf(stored); strategy != nil {
		if problems, err := create(ctx, strategy, stored); err != nil || len(problems) > 0 {
			return nil, problems, err
		}
	}
	preferred, err := legacyscheme.Scheme.ConvertToVersion(stored, legacyscheme.Scheme.PrioritizedVersionsForGroup(kind.Group)[0])
	return preferred, nil, err
}

// strategyOf is how the API server creates objects of a kind that has pods; nil for
// other kinds.
func strategyOf(o runtime.Object) rest.RESTCreateStrategy {
	switch o.(type) {
	case *core.Pod:
		return pod.Strategy
	case *core.PodTemplate:
		return podtemplate.Strategy
	case *core.ReplicationController:
		return replicationcontroller.Strategy
	case *apps.DaemonSet:
		return daemonset.Strategy
	case *apps.Deployment:
		return deployment.Strategy
	case *apps.ReplicaSet:
		return replicaset.Strategy
	case *apps.StatefulSet:
		return statefulset.Strategy
	case *batch.Job:
		return job.Strategy
	case *batch.CronJob:
		return cronjob.Strategy
	}
	return nil
}

// create does what the API server does before it stores an object, and returns what it
// refuses.
func create(ctx context.Context, strategy rest.RESTCreateStrategy, o runtime.Object) ([]Problem, error) {
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, err
	}
	if m.GetNamespace() == "" {
		m.SetNamespace(metav1.NamespaceDefault)
	}
	rest.FillObjectMetaSystemFields(m)
	err = rest.BeforeCreate(strategy, request.WithNamespace(ctx, m.GetNamespace()), o)
	if err == nil {
		return nil, nil
	}
	refused, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || refused.ErrStatus.Details == nil || len(refused.ErrStatus.Details.Causes) == 0 {
		return nil, err
	}
	var problems []Problem
	for _, cause := range refused.ErrStatus.Details.Causes {
		p := Problem{
			Field: cause.Field, Rule: RuleInvalid, Cause: fmt.Sprintf("the API server would refuse it for %s", cause.Field),
			Mend: "correct its value", Verdict: "API server: " + cause.Message,
		}
		switch cause.Type {
		case metav1.CauseTypeFieldValueRequired:
			p.Mend = "set it"
		case metav1.CauseTypeFieldValueNotSupported:
			p.Mend = "set it to one of the values that are supported"
		case metav1.CauseTypeForbidden:
			p.Mend = "remove it"
		}
		problems = append(problems, p)
	}
	return problems, nil
}

// duplicates are the keys that are there twice, of which decoding sees one.
func (s *source) duplicates() []Problem {
	if s == nil {
		return nil
	}
	var problems []Problem
	var walk func(node *yaml.Node, field string)
	walk = func(node *yaml.Node, field string) {
		seen := map[string]bool{}
		for i, child := range node.Content {
			switch {
			case node.Kind == yaml.SequenceNode:
				walk(child, fmt.Sprintf("%s[%d]", field, i))
			case node.Kind == yaml.MappingNode && i%2 == 0:
				inner := strings.TrimPrefix(field+"."+child.Value, ".")
				if seen[child.Value] {
					problems = append(problems, Problem{
						Field: inner, Rule: RuleField, Cause: fmt.Sprintf("%s is there twice, the second time in line %d", inner, s.first+child.Line),
						Mend: "keep one of them",
					})
				}
				seen[child.Value] = true
				walk(node.Content[i+1], inner)
			}
		}
	}
	walk(s.node, "")
	return problems
}
