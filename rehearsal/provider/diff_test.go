package provider_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/provider"
)

func props(v map[string]any) resource.PropertyMap { return resource.NewPropertyMapFromMap(v) }

func unknown() resource.PropertyValue { return resource.MakeComputed(resource.NewStringProperty("")) }

func TestDiff(t *testing.T) {
	t.Parallel()
	rules := provider.Rules{
		Replace:             []string{"name", "vpc.subnets", "access.creator"},
		Sets:                []string{"vpc.subnets"},
		Ignore:              []string{"vpc.ignored"},
		DeleteBeforeReplace: true,
	}
	tests := map[string]struct {
		old, updated resource.PropertyMap
		want         map[string]plugin.DiffKind
		replace      []resource.PropertyKey
	}{
		"nothing": {
			old: props(map[string]any{"name": "a", "n": 1.0}), updated: props(map[string]any{"name": "a", "n": 1.0}),
		},
		"an update in place": {
			old: props(map[string]any{"name": "a", "n": 1.0}), updated: props(map[string]any{"name": "a", "n": 2.0}),
			want: map[string]plugin.DiffKind{"n": plugin.DiffUpdate},
		},
		"a replacing key": {
			old: props(map[string]any{"name": "a"}), updated: props(map[string]any{"name": "b"}),
			want: map[string]plugin.DiffKind{"name": plugin.DiffUpdateReplace}, replace: []resource.PropertyKey{"name"},
		},
		"an element of a replacing list": {
			old:     props(map[string]any{"vpc": map[string]any{"subnets": []any{"a", "b"}, "public": true}}),
			updated: props(map[string]any{"vpc": map[string]any{"subnets": []any{"a", "b", "c"}, "public": true}}),
			want:    map[string]plugin.DiffKind{"vpc.subnets[2]": plugin.DiffAddReplace}, replace: []resource.PropertyKey{"vpc"},
		},
		"the order of a set": {
			old:     props(map[string]any{"vpc": map[string]any{"subnets": []any{"b", "a", "c"}}}),
			updated: props(map[string]any{"vpc": map[string]any{"subnets": []any{"c", "b", "a"}}}),
		},
		"an object that comes with the replacing key": {
			old: props(map[string]any{}), updated: props(map[string]any{"access": map[string]any{"creator": true}}),
			want: map[string]plugin.DiffKind{"access": plugin.DiffAddReplace}, replace: []resource.PropertyKey{"access"},
		},
		"an object that comes without it": {
			old: props(map[string]any{}), updated: props(map[string]any{"access": map[string]any{"mode": "API"}}),
			want: map[string]plugin.DiffKind{"access": plugin.DiffAdd},
		},
		"a replacing key that is not known yet": {
			old: props(map[string]any{"name": "a"}), updated: resource.PropertyMap{"name": unknown()},
			want: map[string]plugin.DiffKind{"name": plugin.DiffUpdateReplace}, replace: []resource.PropertyKey{"name"},
		},
		"a value that became secret": {
			old: props(map[string]any{"n": "x"}), updated: resource.PropertyMap{"n": resource.MakeSecret(resource.NewStringProperty("x"))},
		},
		"what is ignored": {
			old:     props(map[string]any{"vpc": map[string]any{"ignored": 1.0, "n": 1.0}}),
			updated: props(map[string]any{"vpc": map[string]any{"ignored": 2.0, "n": 2.0}}),
			want:    map[string]plugin.DiffKind{"vpc.n": plugin.DiffUpdate},
		},
		"null and absent": {
			old: resource.PropertyMap{"n": resource.NewNullProperty()}, updated: resource.PropertyMap{},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := tc.old.Copy()
			got := provider.Diff(tc.old, tc.updated, rules)
			kinds := map[string]plugin.DiffKind(nil)
			for k, v := range got.DetailedDiff {
				if kinds == nil {
					kinds = map[string]plugin.DiffKind{}
				}
				kinds[k] = v.Kind
			}
			if d := cmp.Diff(tc.want, kinds); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tc.replace, got.ReplaceKeys); d != "" {
				t.Errorf("replace keys (-want +got):\n%s", d)
			}
			if got.DeleteBeforeReplace != (len(tc.replace) > 0) {
				t.Errorf("DeleteBeforeReplace = %v", got.DeleteBeforeReplace)
			}
			wantChanges := plugin.DiffNone
			if tc.want != nil {
				wantChanges = plugin.DiffSome
			}
			if got.Changes != wantChanges {
				t.Errorf("Changes = %v, want %v", got.Changes, wantChanges)
			}
			if !before.DeepEquals(tc.old) {
				t.Errorf("Diff changed its argument: %v, was %v", tc.old, before)
			}
		})
	}
}
