package scenario

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/workload"
)

// inference is the example whose eight pods fill two nodes of four slices.
const inference = "examples/gpu-inference.yaml"

// slice is the resource that slices are counted in.
const slice corev1.ResourceName = "nvidia.com/gpu"

// install breaks the story's account, and returns how to mend it.
func (s *story) install(f account.Fault) *account.Installed {
	s.t.Helper()
	installed, err := s.World.Account().Faults().Install(f)
	if err != nil {
		s.t.Fatal(err)
	}
	return installed
}

// client is the administrator's.
func (s *story) client() kubernetes.Interface {
	s.t.Helper()
	client, err := kubernetes.NewForConfig(s.World.RESTConfig())
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

// await waits until something is so, and fails the test if it is not so in time. done
// says what is so instead.
func (s *story) await(what string, patience time.Duration, done func() (bool, string)) {
	s.t.Helper()
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		ok, instead := done()
		if ok {
			return
		}
		if time.Since(begin) > patience {
			s.t.Fatalf("not within %v: %s; but %s", patience, what, instead)
		}
	}
}

// running are the instances of the pool gpu that run.
func (s *story) running() []account.Instance {
	s.t.Helper()
	all, err := s.World.Account().DescribeInstances(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(i account.Instance) bool {
		return i.Tags["karpenter.sh/nodepool"] != "gpu" || i.State != account.StateRunning
	})
}

// read reads manifests of the checkout.
func (s *story) read(file string) []workload.Object {
	s.t.Helper()
	objects, err := workload.Asked{Paths: []string{filepath.Join(checkout, file)}}.Read()
	if err != nil {
		s.t.Fatal(err)
	}
	return objects
}

// settle waits until the pods of the example are settled; all of them must run.
func (s *story) settle(objects []workload.Object) {
	s.t.Helper()
	cluster, err := s.Place(s.t.Context(), objects)
	if err != nil {
		s.t.Fatal(err)
	}
	s.allRun(cluster.Pods)
}

// allRun fails the test unless the pods are the example's, and all of them run.
func (s *story) allRun(pods []report.Pod) {
	s.t.Helper()
	for _, p := range pods {
		if p.Phase != "Running" || p.Reason != "" {
			s.t.Errorf("%s is %s: %s", p.Name, p.Phase, p.Reason)
		}
	}
	if len(pods) != 8 {
		s.t.Errorf("there are %d pods, want 8", len(pods))
	}
}

// nodes fails the test unless so many GPU nodes were ever launched, and so many run.
func (s *story) nodes(launched, running int) {
	s.t.Helper()
	if got := s.launched("gpu"); got != launched {
		s.t.Errorf("%d GPU nodes were launched, want %d", got, launched)
	}
	if got := len(s.running()); got != running {
		s.t.Errorf("%d GPU instances run, want %d", got, running)
	}
}

// twoRun waits until no more than two GPU instances run. Karpenter looks for those
// without a NodeClaim every ten seconds at first, and spares any younger than thirty
// (nodeclaim/garbagecollection of karpenter-provider-aws).
func (s *story) twoRun() {
	s.t.Helper()
	s.await("two GPU instances run", 2*time.Minute, func() (bool, string) {
		n := len(s.running())
		return n == 2, fmt.Sprintf("%d do", n)
	})
}

// system are an application's pods in kube-system.
func (s *story) system(app string) []corev1.Pod {
	s.t.Helper()
	pods, err := s.client().CoreV1().Pods("kube-system").List(s.t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + app})
	if err != nil {
		s.t.Fatal(err)
	}
	return pods.Items
}

// kill kills the containers of pods of kube-system.
func (s *story) kill(pods []corev1.Pod) {
	s.t.Helper()
	for _, p := range pods {
		if err := s.World.KillContainers(types.NamespacedName{Namespace: p.Namespace, Name: p.Name}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// apply makes objects and does not wait for their pods.
func (s *story) apply(objects []workload.Object) {
	s.t.Helper()
	if err := s.World.Apply(s.t.Context(), objects); err != nil {
		s.t.Fatal(err)
	}
}

// clear deletes objects and the GPU nodes.
func (s *story) clear(objects []workload.Object) {
	s.t.Helper()
	if err := s.World.DeleteWorkloads(s.t.Context(), objects); err != nil {
		s.t.Fatal(err)
	}
	s.newGPUNodes(s.client())
}

// audit watches from now to the end of the test that no node has pods that hold more
// slices than it has: at no moment may a slice be counted twice.
func (s *story) audit() {
	s.t.Helper()
	client := s.client()
	ctx, stop := context.WithCancel(s.t.Context())
	var wg sync.WaitGroup
	looks, busiest := 0, int64(0)
	twice := map[string]bool{}
	wg.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(300 * time.Millisecond) {
			used, err := slicesHeld(ctx, client)
			if err != nil {
				continue // the API server is away
			}
			looks++
			for node, u := range used {
				busiest = max(busiest, u.held)
				if u.held > u.there {
					twice[fmt.Sprintf("%d slices of %d on %s", u.held, u.there, node)] = true
				}
			}
		}
	})
	s.t.Cleanup(func() {
		stop()
		wg.Wait()
		for what := range twice {
			s.t.Errorf("pods held %s", what)
		}
		if busiest == 0 {
			s.t.Error("no pod was ever seen to hold a slice: the audit has audited nothing")
		}
		s.t.Logf("audit: at %d looks, no node had pods with more slices than it has; the busiest had %d", looks, busiest)
	})
}

// use is how many slices the pods of a node hold, and how many the node has.
type use struct{ held, there int64 }

// slicesHeld looks at the pods first: a node that has gone since takes its pods along.
func slicesHeld(ctx context.Context, client kubernetes.Interface) (map[string]use, error) {
	pods, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName!="})
	if err != nil {
		return nil, err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	all := map[string]use{}
	for _, n := range nodes.Items {
		all[n.Name] = use{there: n.Status.Capacity.Name(slice, "").Value()}
	}
	for _, p := range pods.Items {
		u, ok := all[p.Spec.NodeName]
		if !ok || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		for _, c := range p.Spec.Containers {
			u.held += c.Resources.Limits.Name(slice, "").Value()
		}
		all[p.Spec.NodeName] = u
	}
	return all, nil
}
