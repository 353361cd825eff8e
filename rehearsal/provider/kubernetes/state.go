package kubernetes

import (
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"eks-gpu-slicing/rehearsal/provider"
)

// Keys of the state beside the live object's own (provider.go,
// checkpointObject).
const (
	keyInputs            = "__inputs"
	keyInitialAPIVersion = "__initialApiVersion"
	keyFieldManager      = "__fieldManager"
)

// annotationFieldManager lets a program name its field manager
// (metadata/annotations.go).
const annotationFieldManager = "pulumi.com/patchFieldManager"

// origin is what the state keeps of how an object came to be.
type origin struct {
	apiVersion   string // of the inputs when the object was created
	fieldManager string
}

// originOf reads the origin from a state, or makes one for a new object.
func originOf(state resource.PropertyMap, inputs Object) (origin, error) {
	apiVersion, _ := inputs["apiVersion"].(string)
	o := origin{apiVersion: apiVersion, fieldManager: annotation(inputs, annotationFieldManager)}
	if v := provider.String(state, keyInitialAPIVersion); v != "" {
		o.apiVersion = v
	}
	if o.fieldManager != "" {
		return o, nil
	}
	if o.fieldManager = provider.String(state, keyFieldManager); o.fieldManager != "" {
		return o, nil
	}
	var err error
	o.fieldManager, err = resource.NewUniqueName(nil, "pulumi-kubernetes-", 0, 0, nil)
	return o, err
}

// checkpoint is the state of an object: as it lives, with what is needed to
// compare and update it later. secrets says which values are secret.
func checkpoint(inputs, live Object, secrets resource.PropertyMap, from origin) resource.PropertyMap {
	state, ins := fromObject(live), fromObject(inputs)
	annotateSecrets(state, secrets)
	annotateSecrets(ins, secrets)
	state[keyInputs] = resource.NewObjectProperty(ins)
	state[keyInitialAPIVersion] = resource.NewStringProperty(from.apiVersion)
	state[keyFieldManager] = resource.NewStringProperty(from.fieldManager)
	return state
}

// parseCheckpoint is the way back, without secrets.
func parseCheckpoint(state resource.PropertyMap) (inputs, live Object) {
	live = toObject(state)
	inputs, _ = live[keyInputs].(Object)
	if inputs == nil {
		inputs = Object{}
	}
	for _, k := range []string{keyInputs, keyInitialAPIVersion, keyFieldManager} {
		delete(live, k)
	}
	return inputs, live
}
