package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// objectMeta is the token of the Kubernetes SDK's own metadata type. crd2pulumi uses the same one, so that the
// metadata of a custom resource is the type of any other object's.
const objectMeta = "kubernetes:meta/v1:ObjectMeta"

// schemaBuilder turns CRD versions into resources and object types of one Pulumi package.
//
// Names follow crd2pulumi: an object type is named by the path to it (NodePoolSpecTemplateSpec), so that no two
// collide and a reader finds the type from the field.
type schemaBuilder struct {
	types     map[string]schema.ComplexTypeSpec
	resources map[string]schema.ResourceSpec
}

func newSchemaBuilder() *schemaBuilder {
	return &schemaBuilder{
		// The Go generator only needs the name: the type itself comes from the Kubernetes SDK.
		types: map[string]schema.ComplexTypeSpec{
			objectMeta: {ObjectTypeSpec: schema.ObjectTypeSpec{Type: "object"}},
		},
		resources: map[string]schema.ResourceSpec{},
	}
}

// addResource adds one kind: apiVersion and kind as constants, metadata, and the CRD's spec. Status is left out, as
// it is the cluster's to write and a program that read it would read the past.
func (b *schemaBuilder) addResource(apiVersion, kind string, root *apiextensionsv1.JSONSchemaProps) error {
	spec, ok := root.Properties["spec"]
	if !ok {
		return fmt.Errorf("the CRD of %s %s has no spec", apiVersion, kind)
	}
	specType, err := b.typeOf(apiVersion, kind+"Spec", spec)
	if err != nil {
		return fmt.Errorf("%s %s: %w", apiVersion, kind, err)
	}
	str := schema.TypeSpec{Type: "string"}
	props := map[string]schema.PropertySpec{
		"apiVersion": {TypeSpec: str, Const: apiVersion, Description: "APIVersion is always `" + apiVersion + "`."},
		"kind":       {TypeSpec: str, Const: kind, Description: "Kind is always `" + kind + "`."},
		"metadata":   {TypeSpec: typeRef(objectMeta), Description: "Metadata is the object's name, labels and annotations."},
		"spec":       {TypeSpec: specType, Description: spec.Description},
	}
	b.resources[token(apiVersion, kind)] = schema.ResourceSpec{
		ObjectTypeSpec: schema.ObjectTypeSpec{
			Description: root.Description,
			Properties:  props,
			Required:    slices.Sorted(maps.Keys(props)),
		},
		InputProperties: props,
		RequiredInputs:  []string{"spec"},
	}
	return nil
}

// typeOf maps a CRD's schema to Pulumi's, adding an object type under name where the CRD has named properties.
func (b *schemaBuilder) typeOf(apiVersion, name string, s apiextensionsv1.JSONSchemaProps) (schema.TypeSpec, error) {
	if s.XIntOrString {
		// With a pattern it is a resource.Quantity ("4", "16Gi"), which Pulumi's Kubernetes SDK types as a string
		// everywhere; without one it is an IntOrString proper, which keeps both.
		if s.Pattern != "" {
			return schema.TypeSpec{Type: "string"}, nil
		}
		return schema.TypeSpec{OneOf: []schema.TypeSpec{{Type: "integer"}, {Type: "string"}}}, nil
	}
	switch s.Type {
	case "string", "integer", "number", "boolean":
		return schema.TypeSpec{Type: s.Type}, nil
	case "array":
		if s.Items == nil || s.Items.Schema == nil {
			return schema.TypeSpec{}, fmt.Errorf("%s is an array without an item type", name)
		}
		items, err := b.typeOf(apiVersion, name, *s.Items.Schema)
		return schema.TypeSpec{Type: "array", Items: &items}, err
	case "object":
		if len(s.Properties) > 0 {
			return b.objectType(apiVersion, name, s)
		}
		values := schema.TypeSpec{Ref: "pulumi.json#/Any"}
		if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
			var err error
			if values, err = b.typeOf(apiVersion, name, *s.AdditionalProperties.Schema); err != nil {
				return schema.TypeSpec{}, err
			}
		}
		return schema.TypeSpec{Type: "object", AdditionalProperties: &values}, nil
	}
	return schema.TypeSpec{}, fmt.Errorf("%s has type %q, which has no Pulumi type here", name, s.Type)
}

func (b *schemaBuilder) objectType(apiVersion, name string, s apiextensionsv1.JSONSchemaProps) (schema.TypeSpec, error) {
	props := make(map[string]schema.PropertySpec, len(s.Properties))
	for key, p := range s.Properties {
		t, err := b.typeOf(apiVersion, name+strings.ToUpper(key[:1])+key[1:], p)
		if err != nil {
			return schema.TypeSpec{}, err
		}
		props[key] = schema.PropertySpec{TypeSpec: t, Description: p.Description}
	}
	// A field with a default may be left out, although controller-gen lists it as required.
	required := slices.DeleteFunc(slices.Sorted(slices.Values(s.Required)), func(key string) bool {
		return s.Properties[key].Default != nil
	})
	tok := token(apiVersion, name)
	b.types[tok] = schema.ComplexTypeSpec{ObjectTypeSpec: schema.ObjectTypeSpec{
		Type: "object", Description: s.Description, Properties: props, Required: required,
	}}
	return typeRef(tok), nil
}

// token is a Pulumi type token. pulumi-kubernetes reads the group, version and kind of an object out of it.
func token(apiVersion, name string) string {
	return fmt.Sprintf("kubernetes:%s:%s", apiVersion, name)
}

func typeRef(tok string) schema.TypeSpec {
	return schema.TypeSpec{Ref: "#/types/" + tok}
}
