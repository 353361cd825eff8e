package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"eks-gpu-slicing/rehearsal/account"
)

// TestSoakUpgrade: a stack on which pods run goes from 1.28 to the newest version that
// EKS offers, one minor version at a time: the control plane first, then its add-ons and
// its node group, then Karpenter's nodes by drift, one at a time, each after the one that replaces it.
// The plan of each step, which is made first, replaces nothing, but for the node group
// where its AMI family ends, at 1.33: the new one comes first. A jump of two versions is
// refused at each step, and so is the way back.
func TestSoakUpgrade(t *testing.T) {
	t.Parallel()
	soak(t)
	s := tell(t, nil)
	s.up()
	objects := s.slicePods(8)
	budget := s.read("rehearsal/scenario/testdata/slices-budget.yaml")
	s.apply(budget)
	s.guard(2, 7)
	versions := s.versions("1.28")
	for i, to := range versions[1:] {
		from, begin := versions[i], time.Now()
		for _, skip := range versions[min(i+2, len(versions)-1):] {
			if skip == to {
				break // it is the newest
			}
			if out, ok := s.try("config set kubernetesVersion "+skip, "preview"); ok || !strings.Contains(out, to+" next, since cluster gpu-slicing runs "+from) {
				t.Errorf("a jump from %s to %s:\n%s", from, skip, out)
			}
		}
		family, replaced := "AL2", false
		if minorOf(to) >= 33 {
			family, replaced = "AL2023", to == "1.33"
		}
		plan, ok := s.try("config set kubernetesVersion "+to, "preview")
		if !ok || !strings.Contains(plan, "to update") || strings.Contains(plan, "to delete") || strings.Contains(plan, "to replace") != replaced || replaced && !strings.Contains(plan, "1 to replace") {
			t.Errorf("the plan from %s to %s:\n%s", from, to, plan)
		}
		if out, ok := s.try("up --yes --skip-preview"); !ok {
			t.Fatal(out)
		}
		upTook := time.Since(begin)
		cluster, err := s.World.Account().DescribeCluster("gpu-slicing")
		if err != nil || cluster.Version != to {
			t.Errorf("the cluster runs %s (%v), want %s", cluster.Version, err, to)
		}
		s.addOns(to)
		s.drift(to, family)
		s.slicePods(8)
		s.offer(4, 4)
		s.nodes(2+2*(i+1), 2)
		if out, ok := s.try("config set kubernetesVersion "+from, "preview"); ok || !strings.Contains(out, "EKS never goes back") {
			t.Errorf("the way back from %s to %s:\n%s", to, from, out)
		}
		if out, ok := s.try("config set kubernetesVersion "+to, "preview --expect-no-changes"); !ok {
			t.Errorf("the up to %s was not all there is to do:\n%s", to, out)
		}
		t.Logf("%s to %s: up after %v, all nodes are new after %v", from, to, upTook.Round(time.Second), time.Since(begin).Round(time.Second))
	}
	if err := s.World.DeleteWorkloads(t.Context(), append(objects, budget...)); err != nil {
		t.Fatal(err)
	}
	s.destroy()
}

// versions are EKS's from one on, oldest first, those included that it makes no new
// clusters of.
func (s *story) versions(from string) (out []string) {
	s.t.Helper()
	all, err := s.World.Account().DescribeClusterVersions(true)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, v := range all {
		if minorOf(v.Version) >= minorOf(from) {
			out = append(out, v.Version)
		}
	}
	slices.Reverse(out)
	if len(out) < 3 {
		s.t.Fatalf("from %s on there are %q", from, out)
	}
	return out
}

func minorOf(version string) (n int) {
	_, _ = fmt.Sscanf(version, "1.%d", &n) // 0 is less than any
	return n
}

// addOns fails the test unless the add-ons work, in the versions that EKS gives new
// clusters.
func (s *story) addOns(kubernetes string) {
	s.t.Helper()
	names, err := s.World.Account().ListAddons("gpu-slicing")
	if err != nil || len(names) == 0 {
		s.t.Fatalf("the add-ons: %q, %v", names, err)
	}
	for _, name := range names {
		d, err := s.World.Account().DescribeAddon("gpu-slicing", name)
		if err != nil {
			s.t.Fatal(err)
		}
		standard := slices.ContainsFunc(s.World.Account().DescribeAddonVersions(name, kubernetes), func(v account.AddonVersion) bool {
			return v.Version == d.Version && slices.Contains(v.DefaultFor, kubernetes)
		})
		if !standard || d.Status != account.AddonActive {
			s.t.Errorf("add-on %s on Kubernetes %s is %s of version %s", name, kubernetes, d.Status, d.Version)
		}
	}
}

// try runs commands of the Pulumi CLI until one fails, and returns what the last one
// has said.
func (s *story) try(commands ...string) (said string, ok bool) {
	s.t.Helper()
	for _, c := range commands {
		before := len(s.out.String())
		err := s.Pulumi(s.t.Context(), strings.Fields(c)...)
		said = s.out.String()[before:]
		if err != nil {
			return said, false
		}
	}
	return said, true
}

// drift waits until all nodes are of the version and family.
func (s *story) drift(version, family string) {
	s.t.Helper()
	s.await("all nodes are of "+version+" "+family, 12*time.Minute, func() (bool, string) {
		images := s.images()
		old := slices.ContainsFunc(images, func(i string) bool { return i != version+" "+family })
		return !old && len(images) == 4, fmt.Sprintf("the instances are of %q", images)
	})
}

// images are the Kubernetes version and the AMI family of the instances that run.
func (s *story) images() (out []string) {
	s.t.Helper()
	instances, err := s.World.Account().DescribeInstances(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, i := range instances {
		if i.State != account.StateRunning {
			continue
		}
		images, err := s.World.Account().DescribeImages([]string{i.ImageID}, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		family := "AL2"
		if strings.Contains(images[0].Name, "al2023") {
			family = "AL2023"
		}
		out = append(out, images[0].Version+" "+family)
	}
	return out
}

var nodeClaims = schema.GroupVersionResource{Group: "karpenter.sh", Version: "v1", Resource: "nodeclaims"}

// guard watches from now on, until the story ends or its pods are deleted, that nodes
// and pods of the pool gpu go as their budgets let them: at no moment does more than one
// NodeClaim go, are fewer nodes ready than there were, or fewer pods of testdata/slices.yaml.
func (s *story) guard(nodes, pods int) {
	s.t.Helper()
	client := s.client()
	claims, err := dynamic.NewForConfig(s.World.RESTConfig())
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(s.t.Context())
	var wg sync.WaitGroup
	looks, replaced := 0, map[string]bool{}
	broken := map[string]bool{}
	wg.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
			deployment, err := client.AppsV1().Deployments(metav1.NamespaceDefault).Get(ctx, "slices", metav1.GetOptions{})
			if err != nil || deployment.DeletionTimestamp != nil {
				continue // gone, at the end
			}
			list, err := claims.Resource(nodeClaims).List(ctx, metav1.ListOptions{LabelSelector: "karpenter.sh/nodepool=gpu"})
			if err != nil {
				continue
			}
			looks++
			ready, going := 0, 0
			for i := range list.Items {
				c := &list.Items[i]
				if c.GetDeletionTimestamp() != nil {
					going++
					replaced[c.GetName()] = true
				} else if isTrue(c, "Initialized") {
					ready++
				}
			}
			if going > 1 {
				broken[fmt.Sprintf("%d NodeClaims went at once", going)] = true
			}
			if ready < nodes {
				broken[fmt.Sprintf("%d GPU nodes were ready, of %d", ready, nodes)] = true
			}
			if n := int(deployment.Status.AvailableReplicas); n < pods {
				broken[fmt.Sprintf("%d pods were available, and the budget is %d", n, pods)] = true
			}
		}
	})
	s.t.Cleanup(func() {
		stop()
		wg.Wait()
		for what := range broken {
			s.t.Error(what)
		}
		if len(replaced) == 0 {
			s.t.Error("no NodeClaim was ever seen to go: the guard has watched nothing")
		}
		s.t.Logf("guard: at %d looks, %d NodeClaims were replaced, one at a time, never with fewer than %d nodes ready and %d pods available", looks, len(replaced), nodes, pods)
	})
}

// isTrue tells whether a condition of an object is True.
func isTrue(o *unstructured.Unstructured, condition string) bool {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	return slices.ContainsFunc(all, func(c any) bool {
		is, _ := c.(map[string]any)
		return is["type"] == condition && is["status"] == string(metav1.ConditionTrue)
	})
}
