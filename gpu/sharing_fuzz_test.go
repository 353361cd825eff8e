package gpu

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"eks-gpu-slicing/internal/instances"
	"eks-gpu-slicing/internal/settings"
)

// FuzzSharing: the plugin's config says what the sharing says, is read back as it
// was written without a key that nobody knows, and tells two sharings apart.
func FuzzSharing(f *testing.F) {
	f.Add(uint8(0), uint8(1), uint8(1), uint8(4))
	f.Add(uint8(1), uint8(47), uint8(2), uint8(47))
	f.Add(uint8(2), uint8(7), uint8(1), uint8(7))
	f.Fuzz(func(t *testing.T, strategy, n, otherStrategy, otherN uint8) {
		one, other := sharingOf(strategy, n), sharingOf(otherStrategy, otherN)
		text, err := one.PluginConfig()
		if err != nil {
			t.Fatal(err)
		}
		var read pluginConfig
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(&read); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		got := Sharing{Strategy: settings.SharingNone, Slices: 1}
		if s := read.Sharing; s != nil {
			shared := s.TimeSlicing
			if got.Strategy = settings.SharingTimeSlicing; s.MPS != nil {
				got.Strategy, shared = settings.SharingMPS, s.MPS
			}
			got.Slices = shared.Resources[0].Replicas
			if len(shared.Resources) != 1 || shared.Resources[0].Name != Resource || got.Slices < 2 {
				t.Fatalf("the plugin shares something else:\n%s", text)
			}
		}
		if got != one || read.Version != "v1" {
			t.Fatalf("%+v is written as\n%s", one, text)
		}
		second, err := other.PluginConfig()
		if err != nil || (configHash(text) == configHash(second)) != (one == other) {
			t.Fatalf("%+v and %+v: %s, %s (%v)", one, other, configHash(text), configHash(second), err)
		}
		if one.Slice() == "" {
			t.Fatal("a slice is nothing")
		}
	})
}

// sharingOf is a valid sharing.
func sharingOf(strategy, slices uint8) Sharing {
	strategies := []string{settings.SharingNone, settings.SharingTimeSlicing, settings.SharingMPS}
	s := Sharing{Strategy: strategies[strategy%3], Slices: int(slices)%settings.MaxSlices + 1}
	if s.Slices == 1 || s.Strategy == settings.SharingNone {
		return Sharing{Strategy: settings.SharingNone, Slices: 1}
	}
	return s
}

// FuzzNewPool: no instance type panics; a pool that is taken promises, on each of
// its types, the type's GPUs times its slices, once, and no more slices than the
// type holds pods.
func FuzzNewPool(f *testing.F) {
	f.Add(uint8(1), uint8(3), "T4", 1, 29, 4, 58, 3)
	f.Add(uint8(2), uint8(47), "V100", 1, 29, 8, 234, 5)
	f.Add(uint8(0), uint8(0), "", 0, 0, -1, -5, -1)
	f.Fuzz(func(t *testing.T, strategy, n uint8, name string, gpus1, pods1, gpus2, pods2, daemonSets int) {
		sharing := sharingOf(strategy, n)
		types := []instances.Type{
			{Name: "a.large", Arch: "amd64", GPUs: gpus1, GPUName: name, MaxPods: pods1},
			{Name: "b.large", Arch: "amd64", GPUs: gpus2, GPUName: "T4", MaxPods: pods2},
		}
		for _, typ := range types {
			if typ.GPUs < 0 || typ.GPUs > 64 || typ.MaxPods < 0 || typ.MaxPods > 1000 || daemonSets < 0 || daemonSets > 100 {
				return // no answer of AWS's
			}
		}
		asked := &settings.GPUPool{
			Name: "p", InstanceTypes: []string{"a.large", "b.large"}, Slices: sharing.Slices, Sharing: sharing.Strategy, Limit: 1,
			From: settings.GPUPoolKeys{InstanceTypes: "types", Slices: "slices", Sharing: "sharing", Limit: "limit"},
		}
		pool, err := NewPool(asked, types, daemonSets)
		if err != nil {
			if problems, ok := errors.AsType[settings.Problems](err); !ok || len(problems) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		promised := map[string]string{}
		for _, o := range pool.Overlays() {
			for _, typ := range o.Types {
				if promised[typ] != "" {
					t.Fatalf("two overlays for %s", typ)
				}
				promised[typ] = o.Capacity
			}
		}
		for _, typ := range types {
			want := ""
			if sharing.Strategy != settings.SharingNone {
				want = strconv.Itoa(typ.GPUs * sharing.Slices)
			}
			if promised[typ.Name] != want || !slices.Contains(pool.TypeNames(), typ.Name) {
				t.Fatalf("%s is promised %q of %s, want %q", typ.Name, promised[typ.Name], fmt.Sprint(sharing), want)
			}
			if free := typ.MaxPods - daemonSets - pool.daemonSets(); free < typ.GPUs*sharing.Slices {
				t.Fatalf("%s holds %d pods and %d slices", typ.Name, free, typ.GPUs*sharing.Slices)
			}
		}
	})
}
