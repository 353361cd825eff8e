package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/csaupgrade"
	"k8s.io/client-go/util/retry"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

// patience is for what an object needs and another resource is just making: a
// namespace, a custom resource's definition. It adds up to a minute, as the
// real provider's six tries do (await.go, Creation), with smaller steps first.
var patience = wait.Backoff{Duration: 250 * time.Millisecond, Factor: 2, Steps: 9}

// clientSide is the field manager of creates. An update takes its fields to the
// resource's own manager, which applies (await.go, Creation and
// fixCSAFieldManagers).
const clientSide = "pulumi-kubernetes"

// Create implements kubernetes.Cluster. It is a plain create, which an object
// that exists already refuses; only updates are applied (await.go, Creation).
func (c *cluster) Create(ctx context.Context, w kubernetes.Write) (kubernetes.Object, error) {
	inputs, err := decode(w.Object)
	if err != nil {
		return nil, err
	}
	ready, err := promised(inputs)
	if err != nil {
		return nil, err
	}
	var client dynamic.ResourceInterface
	var written *unstructured.Unstructured
	var last error
	err = wait.ExponentialBackoffWithContext(ctx, patience, func(ctx context.Context) (bool, error) {
		if client, last = c.client(w.Object); last == nil {
			written, last = client.Create(ctx, inputs, metav1.CreateOptions{FieldManager: clientSide, DryRun: dryRun(w)})
		}
		if waitable(last) && !w.DryRun {
			return false, nil
		}
		return true, last
	})
	if wait.Interrupted(err) && last != nil {
		err = last
	}
	if apierrors.IsAlreadyExists(err) {
		err = fmt.Errorf("%w\n\n"+exists, err)
	}
	if err != nil {
		return nil, classify(err)
	}
	if w.DryRun {
		return written.Object, nil
	}
	live, err := c.await(ctx, client, ready, written, timeout(w.Timeout, inputs))
	return live.Object, err
}

// exists is what the real provider says of an object that exists already.
const exists = "The resource already exists in the cluster. This can happen when:\n\n" +
	"  - Renaming a Pulumi resource: use an alias to preserve the identity,\n" +
	"    or use deleteBeforeReplace if the resource needs replacement.\n" +
	"  - Managing an existing resource: use a Patch resource (e.g. NamespacePatch)\n" +
	"    to manage specific fields without owning the resource lifecycle.\n" +
	"  - Adopting a resource into Pulumi: use `pulumi import`. Note that\n" +
	"    protected resources (e.g. kube-system) cannot be deleted on destroy.\n" +
	"  - Intentional upsert: set upsertExistingObjects on the provider to allow\n" +
	"    server-side apply to update existing objects on create."

// dryRun is what a create or update says of itself in a preview.
func dryRun(w kubernetes.Write) []string {
	if w.DryRun {
		return []string{metav1.DryRunAll}
	}
	return nil
}

// waitable tells whether an error may go away when other resources are done.
func waitable(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

// Update implements kubernetes.Cluster.
func (c *cluster) Update(ctx context.Context, w kubernetes.Write, last kubernetes.Object) (kubernetes.Object, error) {
	inputs, err := decode(w.Object)
	if err != nil {
		return nil, err
	}
	ready, err := promised(inputs)
	if err != nil {
		return nil, err
	}
	client, err := c.client(w.Object)
	if err != nil {
		return nil, classify(err)
	}
	live, err := client.Get(ctx, unstructuredOf(last).GetName(), metav1.GetOptions{})
	if err != nil {
		return nil, classify(err)
	}
	if live, err = c.takeOver(ctx, client, live, w); err != nil {
		return nil, classify(err)
	}
	if err := keepLive(inputs, live, w.IgnoreChanges); err != nil {
		return nil, err
	}
	written, err := c.apply(ctx, client, inputs, live, w)
	if err != nil {
		return nil, classify(err)
	}
	if w.DryRun {
		return written.Object, nil
	}
	written, err = c.await(ctx, client, ready, written, timeout(w.Timeout, inputs))
	return written.Object, err
}

// apply writes what has changed of the object that live is. Definitions are
// replaced, not merged, so that a version that was dropped from one goes
// (await.go, updateResource).
func (c *cluster) apply(
	ctx context.Context, client dynamic.ResourceInterface, inputs, live *unstructured.Unstructured, w kubernetes.Write,
) (*unstructured.Unstructured, error) {
	if live.GroupVersionKind().GroupKind().String() == "CustomResourceDefinition.apiextensions.k8s.io" {
		inputs = inputs.DeepCopy()
		var written *unstructured.Unstructured
		err := retry.RetryOnConflict(retry.DefaultRetry, func() (err error) {
			if live, err = client.Get(ctx, inputs.GetName(), metav1.GetOptions{}); err != nil {
				return err
			}
			inputs.SetResourceVersion(live.GetResourceVersion())
			written, err = client.Update(ctx, inputs, metav1.UpdateOptions{FieldManager: w.FieldManager, DryRun: dryRun(w)})
			return err
		})
		return written, err
	}
	written, err := client.Apply(ctx, inputs.GetName(), inputs, metav1.ApplyOptions{
		FieldManager: w.FieldManager,
		DryRun:       dryRun(w),
		Force: isTrue(inputs, annotationPatchForce) || len(live.GetManagedFields()) == 0 ||
			w.DryRun && createdClientSide(live),
	})
	if apierrors.IsConflict(err) {
		return nil, fmt.Errorf("server-side apply field conflict detected, see "+
			"https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply/"+
			"#handle-field-conflicts-on-existing-resources for troubleshooting help\n"+
			"The resource managed by field manager %q had an apply conflict: %w", w.FieldManager, err)
	}
	return written, err
}

// createdClientSide tells whether fields are still those of the create. A
// preview, which does not take them over first, would find that they conflict
// (await.go, patchForce).
func createdClientSide(live *unstructured.Unstructured) bool {
	return slices.ContainsFunc(live.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
		return f.Operation == metav1.ManagedFieldsOperationUpdate && f.Manager == clientSide
	})
}

// takeOver moves the fields that kubectl edit, kubectl apply and the create own
// to this field manager, so that an update overwrites what somebody changed by hand
// instead of stopping at a conflict (await.go, fixCSAFieldManagers). The real patch names
// no version of the object, this one does: a controller may write its status meanwhile.
func (c *cluster) takeOver(
	ctx context.Context, client dynamic.ResourceInterface, live *unstructured.Unstructured, w kubernetes.Write,
) (*unstructured.Unstructured, error) {
	if w.DryRun {
		return live, nil
	}
	name, first := live.GetName(), true
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() (err error) {
		if !first {
			if live, err = client.Get(ctx, name, metav1.GetOptions{}); err != nil {
				return err
			}
		}
		first = false
		theirs := sets.New[string]()
		for _, f := range live.GetManagedFields() {
			if f.Operation != metav1.ManagedFieldsOperationUpdate || f.Subresource != "" {
				continue
			}
			for _, prefix := range []string{"kubectl", "before-first-apply", clientSide, "pulumi-resource-kubernetes"} {
				if strings.HasPrefix(f.Manager, prefix) {
					theirs.Insert(f.Manager)
				}
			}
		}
		if theirs.Len() == 0 {
			return nil
		}
		patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, theirs, w.FieldManager)
		if err != nil {
			return fmt.Errorf("taking over the fields of %s: %w", strings.Join(sets.List(theirs), ", "), err)
		}
		if len(patch) == 0 {
			return nil
		}
		patched, err := client.Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{})
		if err == nil {
			live = patched
		}
		return err
	})
	return live, err
}

// keepLive gives the ignored paths of inputs the values they have in the
// cluster (await.go, handleSSAIgnoreFields).
func keepLive(inputs, live *unstructured.Unstructured, ignored []string) error {
	for _, ignore := range ignored {
		path, err := resource.ParsePropertyPath(ignore)
		if err != nil {
			return fmt.Errorf("unable to parse ignoreField path %q: %w", ignore, err)
		}
		var fields []string
		for _, p := range path {
			fields = append(fields, fmt.Sprint(p))
		}
		value, found, err := unstructured.NestedFieldCopy(live.Object, fields...)
		if err != nil {
			return fmt.Errorf("unable to parse field to ignore %q from live object: %w", ignore, err)
		}
		if found {
			if err := unstructured.SetNestedField(inputs.Object, value, fields...); err != nil {
				return fmt.Errorf("unable to set field %q with last used value: %w", ignore, err)
			}
		}
	}
	return nil
}

// Get implements kubernetes.Cluster.
func (c *cluster) Get(ctx context.Context, o kubernetes.Object) (kubernetes.Object, error) {
	client, err := c.client(o)
	if err != nil {
		return nil, classify(err)
	}
	live, err := client.Get(ctx, unstructuredOf(o).GetName(), metav1.GetOptions{})
	if err != nil {
		return nil, classify(err)
	}
	return live.Object, nil
}

// Read implements kubernetes.Cluster. What pulumi.com/waitFor asked for is not
// looked at again, only what the kind wants (await.go, Read).
func (c *cluster) Read(ctx context.Context, o kubernetes.Object) (kubernetes.Object, error) {
	live, err := c.Get(ctx, o)
	if err != nil || isTrue(unstructuredOf(o), annotationSkipAwait) {
		return live, err
	}
	ready, err := readiness(unstructuredOf(live))
	if err != nil || ready == nil {
		return live, nil //nolint:nilerr // a kind that is not waited for is as it is
	}
	met, instead, err := ready(unstructuredOf(live))
	if err != nil {
		return nil, err
	}
	if !met {
		return live, &kubernetes.NotReady{
			Err:    errors.New("it failed to become live"),
			Causes: append([]string{instead}, c.causes(ctx, unstructuredOf(live))...),
		}
	}
	return live, nil
}

// decode gives numbers their Kubernetes types, which JSON from Pulumi lacks.
func decode(o kubernetes.Object) (*unstructured.Unstructured, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encoding an object: %w", err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(b); err != nil {
		return nil, fmt.Errorf("decoding an object: %w", err)
	}
	return u, nil
}
