package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	karpenteraws "github.com/aws/karpenter-provider-aws/pkg/apis"
	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// props reads a CRD's schema as it is written in YAML.
func props(t *testing.T, src string) apiextensionsv1.JSONSchemaProps {
	t.Helper()
	var s apiextensionsv1.JSONSchemaProps
	if err := yaml.UnmarshalStrict([]byte(src), &s); err != nil {
		t.Fatalf("bad schema in the test: %v", err)
	}
	return s
}

func TestTypeOf(t *testing.T) {
	t.Parallel()
	str, integer := schema.TypeSpec{Type: "string"}, schema.TypeSpec{Type: "integer"}
	anything := schema.TypeSpec{Ref: "pulumi.json#/Any"}
	quantity := "{anyOf: [{type: integer}, {type: string}], pattern: '^[0-9]+(Ki|Mi|Gi)?$', x-kubernetes-int-or-string: true}"

	for name, tc := range map[string]struct {
		crd   string
		want  schema.TypeSpec
		types map[string]schema.ObjectTypeSpec // object types it adds, by name
	}{
		"string":        {crd: "{type: string}", want: str},
		"integer":       {crd: "{type: integer, format: int64}", want: integer},
		"number":        {crd: "{type: number}", want: schema.TypeSpec{Type: "number"}},
		"boolean":       {crd: "{type: boolean}", want: schema.TypeSpec{Type: "boolean"}},
		"quantity":      {crd: quantity, want: str},
		"int or string": {crd: "{x-kubernetes-int-or-string: true}", want: schema.TypeSpec{OneOf: []schema.TypeSpec{integer, str}}},
		"list":          {crd: "{type: array, items: {type: string}}", want: schema.TypeSpec{Type: "array", Items: &str}},
		"map of quantities, as limits and capacity are": {
			crd:  "{type: object, additionalProperties: " + quantity + "}",
			want: schema.TypeSpec{Type: "object", AdditionalProperties: &str},
		},
		"free-form object": {
			crd:  "{type: object, x-kubernetes-preserve-unknown-fields: true}",
			want: schema.TypeSpec{Type: "object", AdditionalProperties: &anything},
		},
		"object: required fields, but not those with a default": {
			crd: `{type: object, description: An object., required: [nodes, key], properties: {
				key: {type: string, description: The key.}, nodes: {type: string, default: 10%}, weight: {type: integer}}}`,
			want: typeRef("kubernetes:example.org/v1:ThingSpec"),
			types: map[string]schema.ObjectTypeSpec{"ThingSpec": {
				Type: "object", Description: "An object.", Required: []string{"key"},
				Properties: map[string]schema.PropertySpec{
					"key": {TypeSpec: str, Description: "The key."}, "nodes": {TypeSpec: str}, "weight": {TypeSpec: integer},
				},
			}},
		},
		"list of objects in an object: named by the path to them": {
			crd:  "{type: object, properties: {budgets: {type: array, items: {type: object, properties: {nodes: {type: string}}}}}}",
			want: typeRef("kubernetes:example.org/v1:ThingSpec"),
			types: map[string]schema.ObjectTypeSpec{
				"ThingSpec": {Type: "object", Properties: map[string]schema.PropertySpec{"budgets": {TypeSpec: schema.TypeSpec{
					Type: "array", Items: &schema.TypeSpec{Ref: "#/types/kubernetes:example.org/v1:ThingSpecBudgets"},
				}}}},
				"ThingSpecBudgets": {Type: "object", Properties: map[string]schema.PropertySpec{"nodes": {TypeSpec: str}}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newSchemaBuilder()
			got, err := b.typeOf("example.org/v1", "ThingSpec", props(t, tc.crd))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("type (-want +got):\n%s", diff)
			}
			delete(b.types, objectMeta)
			want := map[string]schema.ComplexTypeSpec{}
			for name, o := range tc.types {
				want[token("example.org/v1", name)] = schema.ComplexTypeSpec{ObjectTypeSpec: o}
			}
			if diff := cmp.Diff(want, b.types, cmp.Transformer("emptyIsNil", func(s []string) []string {
				return append([]string(nil), s...)
			})); diff != "" {
				t.Errorf("object types (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAddResource(t *testing.T) {
	t.Parallel()
	b := newSchemaBuilder()
	root := props(t, `{type: object, required: [spec], properties: {
		apiVersion: {type: string}, kind: {type: string}, metadata: {type: object},
		spec: {type: object, properties: {weight: {type: integer}}},
		status: {type: object, properties: {nodes: {type: integer}}}}}`)
	if err := b.addResource("karpenter.sh/v1", "NodePool", &root); err != nil {
		t.Fatal(err)
	}
	res, ok := b.resources["kubernetes:karpenter.sh/v1:NodePool"]
	if !ok {
		t.Fatalf("no resource kubernetes:karpenter.sh/v1:NodePool in %v", b.resources)
	}
	got := map[string]any{}
	for name, p := range res.InputProperties {
		got[name] = p.Ref
		if p.Const != nil {
			got[name] = p.Const
		}
	}
	if diff := cmp.Diff(map[string]any{
		"apiVersion": "karpenter.sh/v1",
		"kind":       "NodePool",
		"metadata":   "#/types/kubernetes:meta/v1:ObjectMeta",
		"spec":       "#/types/kubernetes:karpenter.sh/v1:NodePoolSpec",
	}, got); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
	if _, ok := b.types["kubernetes:karpenter.sh/v1:NodePoolStatus"]; ok {
		t.Error("status has a type; it is not for a program to write")
	}
}

func TestRefusesWhatItCannotType(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ crd, want string }{
		"no spec":               {`{type: object, properties: {status: {type: object}}}`, "karpenter.sh/v1 NodePool has no spec"},
		"unknown type":          {`{properties: {spec: {type: object, properties: {x: {type: "null"}}}}}`, `NodePoolSpecX has type "null"`},
		"array of nothing":      {`{properties: {spec: {type: object, properties: {x: {type: array}}}}}`, "NodePoolSpecX is an array without"},
		"unknown type in a map": {`{properties: {spec: {type: object, additionalProperties: {type: date}}}}`, `NodePoolSpec has type "date"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := props(t, tc.crd)
			err := newSchemaBuilder().addResource("karpenter.sh/v1", "NodePool", &root)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one that says %q", err, tc.want)
			}
		})
	}

	_, err := generate(karpenteraws.CRDs[:1], "v0.0.0")
	if err == nil || !strings.Contains(err.Error(), "no CRD of NodeOverlay, NodePool in Karpenter v0.0.0") {
		t.Errorf("CRDs without two of the kinds: got error %v", err)
	}
}

func TestGenerateIsDeterministic(t *testing.T) {
	t.Parallel()
	first, err := generate(karpenteraws.CRDs, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		again, err := generate(karpenteraws.CRDs, "v1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatalf("two runs differ (-first +again):\n%s", diff)
		}
	}
	for name, src := range first {
		if !strings.HasPrefix(string(src), "// Code generated by rehearsal/manifestgen from the CRDs of Karpenter v1.2.3. DO NOT EDIT.\n") {
			t.Errorf("%s does not open with what generated it: %.100q", name, src)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, dir, name, src string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string // a line of the error; "" for none
	}{
		"fresh": {spoil: func(*testing.T, string) {}},
		"a file by hand beside them": {
			spoil: func(t *testing.T, dir string) { write(t, dir, "karpenter/v1/by_hand.go", "package v1\n") },
		},
		"a changed file": {
			spoil: func(t *testing.T, dir string) { write(t, dir, "karpenter/v1/nodePool.go", "package v1\n") },
			want:  "manifests/karpenter/v1/nodePool.go: differs",
		},
		"a lost file": {
			spoil: func(t *testing.T, dir string) {
				if err := os.Remove(filepath.Join(dir, "karpenteraws/v1/ec2nodeClass.go")); err != nil {
					t.Fatal(err)
				}
			},
			want: "manifests/karpenteraws/v1/ec2nodeClass.go: missing",
		},
		"a file of another release": {
			spoil: func(t *testing.T, dir string) {
				write(t, dir, "karpenter/v1alpha1/old.go", "// Code generated by "+tool+" v0.1.0. DO NOT EDIT.\n\npackage v1alpha1\n")
			},
			want: "manifests/karpenter/v1alpha1/old.go: no longer generated",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "doc.go", "package manifests\n")
			if err := run(dir, false); err != nil {
				t.Fatal(err)
			}
			tc.spoil(t, dir)
			err := run(dir, true)
			if tc.want == "" {
				if err != nil {
					t.Fatalf("nothing is stale, yet: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "\t"+tc.want+"\n") || strings.Count(err.Error(), "manifests/") != 1 {
				t.Fatalf("got error %v, want only %q in it", err, tc.want)
			}
			if !strings.Contains(err.Error(), mend) {
				t.Errorf("the error does not name the command that mends it: %v", err)
			}
			if err := run(dir, false); err != nil {
				t.Fatal(err)
			}
			if err := run(dir, true); err != nil {
				t.Errorf("still stale after the command that mends it: %v", err)
			}
		})
	}
}

func TestRefusesAnotherDirectory(t *testing.T) {
	t.Parallel()
	err := run(t.TempDir(), false)
	if err == nil || !strings.Contains(err.Error(), "run it from rehearsal/") {
		t.Errorf("got error %v, want a refusal to write outside manifests/", err)
	}
}
