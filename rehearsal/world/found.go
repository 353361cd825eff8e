package world

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
)

// things are what an account and the cluster in it hold: how each is, by its kind and
// name.
type things struct{ account, objects map[string]any }

// stillTime is for how long nothing may have changed before things count as found:
// controllers annotate what they are given within a second.
const stillTime = 2 * time.Second

// still waits until nothing changes any more, and returns what there is.
func (w *World) still(ctx context.Context) (*things, error) {
	last, err := w.things(ctx)
	for since := time.Now(); err == nil && time.Since(since) < stillTime; {
		if err := sleep(ctx); err != nil {
			return nil, err
		}
		var now *things
		if now, err = w.things(ctx); !reflect.DeepEqual(now, last) {
			last, since = now, time.Now()
		}
	}
	return last, err
}

// things looks at all of the account, and at all objects of the cluster.
func (w *World) things(ctx context.Context) (*things, error) {
	t := &things{account: map[string]any{}, objects: map[string]any{}}
	inventory, err := w.account.Inventory()
	if err != nil {
		return nil, err
	}
	for key, text := range inventory {
		var is any
		if err := json.Unmarshal([]byte(text), &is); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		t.account[key] = is
	}
	templates, err := w.account.DescribeLaunchTemplates(nil, nil)
	if err != nil {
		return nil, err
	}
	for _, l := range templates {
		if l.Tags[classTag] != "" { // which comes and goes: see passes
			delete(t.account, "AWS::EC2::LaunchTemplate "+l.ID)
		}
	}
	config := w.RESTConfig()
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	lists, err := disco.ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("the kinds that the cluster serves: %w", err)
	}
	for _, list := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "create"}}, lists) {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			if passing(r.Kind) {
				continue
			}
			objects, err := client.Resource(group.WithResource(r.Name)).List(ctx, metav1.ListOptions{})
			switch {
			case apierrors.IsNotFound(err): // its definition has just gone
				continue
			case err != nil:
				return nil, fmt.Errorf("listing %s: %w", r.Name, err)
			}
			for i := range objects.Items {
				t.add(&objects.Items[i])
			}
		}
	}
	t.dropOrphans()
	return t, nil
}

// dropOrphans leaves out pods whose node has gone. Kubernetes removes them within a
// minute (podgc in kube-controller-manager).
func (t *things) dropOrphans() {
	maps.DeleteFunc(t.objects, func(key string, is any) bool {
		object, _ := is.(map[string]any)
		node, _, _ := unstructured.NestedString(object, "spec", "nodeName")
		_, there := t.objects["Node "+node]
		return strings.HasPrefix(key, "Pod ") && node != "" && !there
	})
}

// passing tells whether objects of a kind come, change and go with what others do,
// which is seen by itself.
func passing(kind string) bool {
	return slices.Contains([]string{"Event", "Lease", "Endpoints", "EndpointSlice"}, kind)
}

// add notes an object as somebody has made it, without what is told of its state.
func (t *things) add(o *unstructured.Unstructured) {
	delete(o.Object, "status")
	for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	if _, aggregated := o.Object["aggregationRule"]; aggregated {
		delete(o.Object, "rules") // a controller's sum of other roles' rules
	}
	t.objects[o.GetKind()+" "+strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")] = o.Object
}

// Difference is in what a cluster that stands, and the account around it, are not as
// they were found.
type Difference struct {
	// Changed is what was found and is another now, or gone: its kind and name, and
	// the fields that differ. So is what a call named that was to change something, other
	// than a call of who was found too, such as the cluster's own Karpenter.
	Changed []string
	// Added are the objects in the cluster that were not found, as "KIND NAME", and what
	// EKS keeps for the cluster beside node groups, as "TYPE CLUSTER NAME". What else is
	// new in the account are [World.Leftovers].
	Added []string
}

// added tells whether a thing of the account is one of those that [Difference.Added] has.
func added(key string) bool {
	kind, _, _ := strings.Cut(key, " ")
	return slices.Contains([]string{"AWS::EKS::AccessEntry", "AWS::EKS::Addon", "AWS::EKS::PodIdentityAssociation"}, kind)
}

// Difference tells how a cluster that stands differs from how it was found; in other
// worlds there is none.
func (w *World) Difference(ctx context.Context) (Difference, error) {
	var d Difference
	if w.found == nil {
		return d, nil
	}
	now, err := w.things(ctx)
	if err != nil {
		return d, err
	}
	for _, both := range []struct{ was, is map[string]any }{{w.found.account, now.account}, {w.found.objects, now.objects}} {
		for _, key := range slices.Sorted(maps.Keys(both.was)) {
			is, there := both.is[key]
			if !there {
				d.Changed = append(d.Changed, key+" is gone")
			} else if fields := differing("", both.was[key], is); len(fields) > 0 {
				d.Changed = append(d.Changed, key+": "+strings.Join(fields, ", "))
			}
		}
	}
	for _, call := range w.account.NamedCalls() {
		d.Changed = append(d.Changed, call.Thing+": "+call.Principal+" has called "+call.Action)
	}
	for _, key := range slices.Sorted(maps.Keys(now.account)) {
		if _, was := w.found.account[key]; !was && added(key) {
			d.Added = append(d.Added, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(now.objects)) {
		if _, was := w.found.objects[key]; !was {
			d.Added = append(d.Added, key)
		}
	}
	return d, nil
}

// differing says which fields below path differ, and how. Lists of other lengths differ
// as a whole.
func differing(path string, was, is any) (fields []string) {
	switch before := was.(type) {
	case map[string]any:
		after, ok := is.(map[string]any)
		if !ok {
			break
		}
		keys := maps.Clone(before)
		maps.Copy(keys, after)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			fields = append(fields, differing(strings.TrimPrefix(path+"."+key, "."), before[key], after[key])...)
		}
		return fields
	case []any:
		after, ok := is.([]any)
		if !ok || len(before) != len(after) {
			break
		}
		for i := range before {
			fields = append(fields, differing(fmt.Sprintf("%s[%d]", path, i), before[i], after[i])...)
		}
		return fields
	}
	if !reflect.DeepEqual(was, is) {
		fields = append(fields, fmt.Sprintf("%s was %v and is %v", path, was, is))
	}
	return fields
}

// Stands tells whether a cluster stands that was there before any stack.
func (w *World) Stands() bool { return w.found != nil }

// HasKarpenter tells whether the cluster that stands has a Karpenter of its own.
func (w *World) HasKarpenter() bool {
	s := w.account.Standing()
	return s != nil && s.Karpenter != nil
}

// classTag names, on what Karpenter makes in the account, the EC2NodeClass that it is
// made for.
const classTag = "karpenter.k8s.aws/ec2nodeclass"

// passes tells whether a launch template is one that the Karpenter of a cluster that
// stands has made for its own node class: it removes those a minute or two after their
// last use (launchtemplate.go and cache.go there), also after the stack has gone.
func (w *World) passes(template string) bool {
	if !w.Stands() {
		return false
	}
	found, err := w.account.DescribeLaunchTemplates([]string{template}, nil)
	if err != nil || len(found) != 1 {
		return false
	}
	_, standing := w.found.objects["EC2NodeClass "+found[0].Tags[classTag]]
	return standing
}
