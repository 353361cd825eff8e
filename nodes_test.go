package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestControllersStayUp: where EKS cannot change the controllers' node group, a new one
// comes before the old one goes, by another name; where it can, the name stays.
func TestControllersStayUp(t *testing.T) {
	t.Parallel()
	name := func(w *world, changes map[string]string) string {
		t.Helper()
		config := map[string]string{}
		for key, value := range changes {
			config["eks-gpu-slicing:"+key] = value
		}
		r, err := plan(t, w, stackConfig(t, "dev", config))
		if err != nil {
			t.Fatal(err)
		}
		return r.resources[nodeGroup].inputs["nodeGroupName"].StringValue()
	}
	newer := plainWorld()
	newer.versions["1.32"], newer.versions["1.33"] = "EXTENDED_SUPPORT", "EXTENDED_SUPPORT"
	moved := plainWorld()
	moved.subnets["subnet-placeholder3"] = subnet{"c", "az2", true, ""}
	stands := func(w *world) *world { // in az1 and az3
		w.clusters["gpu-slicing"] = standing{version: "1.28", tags: map[string]string{"eks-gpu-slicing/cluster": "gpu-slicing"}, subnets: []string{"subnet-placeholder1", "subnet-placeholder2"}}
		return w
	}
	elsewhere, beside := stands(plainWorld()), stands(plainWorld())
	elsewhere.subnets["subnet-placeholder3"] = subnet{"c", "az2", true, ""}
	beside.subnets["subnet-placeholder3"] = subnet{"a", "az1", true, ""}
	base := name(plainWorld(), nil)
	for what, c := range map[string]struct {
		name     string
		replaced bool
	}{
		"another number of slices":    {name(plainWorld(), map[string]string{"gpuSlices": "8"}), false},
		"more controllers":            {name(plainWorld(), map[string]string{"controllerDesired": "3"}), false},
		"a version of the family":     {name(newer, map[string]string{"kubernetesVersion": "1.32"}), false},
		"a version of another":        {name(newer, map[string]string{"kubernetesVersion": "1.33"}), true},
		"another family":              {name(plainWorld(), map[string]string{"amiFamily": "al2023"}), true},
		"another instance type":       {name(plainWorld(), map[string]string{"controllerInstanceType": "m7i.large"}), true},
		"another subnet of the VPC's": {name(moved, nil), true},
		"the cluster stands":          {name(stands(plainWorld()), nil), false},
		// EKS would refuse to take the first.
		"and a subnet comes in another zone": {name(elsewhere, nil), false},
		"and a subnet comes in its zones":    {name(beside, nil), true},
	} {
		if (c.name != base) != c.replaced {
			t.Errorf("%s: %s becomes %s", what, base, c.name)
		}
	}
}

// TestControllersWhereTheirTypeIs: the controllers' node group has the subnets in whose
// zones its type is offered, and the cluster all.
func TestControllersWhereTheirTypeIs(t *testing.T) {
	t.Parallel()
	w := plainWorld()
	w.subnets["subnet-placeholder3"] = subnet{"c", "az2", true, ""}
	w.zonesOf = map[string][]string{"m7g.large": {"a", "c"}}
	r, err := plan(t, w, stackConfig(t, "dev", nil))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][]any{
		nodeGroup:  {"subnet-placeholder1", "subnet-placeholder3"},
		eksCluster: {"subnet-placeholder1", "subnet-placeholder2", "subnet-placeholder3"},
	} {
		if diff := cmp.Diff(want, at[[]any](r.resources[key].inputs.Mappable(), "subnetIds")); diff != "" {
			t.Errorf("subnets of %s (-want +got):\n%s", key, diff)
		}
	}
}

// TestAddonsFollow: add-ons are of the version that EKS has for the cluster's.
func TestAddonsFollow(t *testing.T) {
	t.Parallel()
	newer := plainWorld()
	newer.versions["1.34"] = "STANDARD_SUPPORT"
	for version, w := range map[string]*world{"1.28": plainWorld(), "1.34": newer} {
		r, err := plan(t, w, stackConfig(t, "dev", map[string]string{"eks-gpu-slicing:kubernetesVersion": version}))
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{coreDNS, cni, kubeProxy, agent} {
			if got := r.resources[k].inputs["addonVersion"].StringValue(); got != "v0.1.0-for-"+version {
				t.Errorf("%s of a %s cluster is of version %s", k, version, got)
			}
		}
	}
	platform, err := plan(t, existingWorld(), existingConfig(t, installs))
	if err != nil {
		t.Fatal(err)
	}
	if got := platform.resources[agent].inputs["addonVersion"].StringValue(); got != "v0.1.0-for-1.34" {
		t.Errorf("the agent in a cluster of 1.34 is of version %s", got)
	}
}
