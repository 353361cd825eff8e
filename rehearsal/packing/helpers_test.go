package packing

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	awsv1 "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/toolcache"
)

const gpu corev1.ResourceName = "nvidia.com/gpu"

// rendered is a stack as the program renders it, and an account in its region.
func rendered(t testing.TB, name string) (*account.Account, *Stack) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "rendered", name, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("rendered files of %s: %v (%v)", name, files, err)
	}
	s := &Stack{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		object := map[string]any{}
		if err := yaml.Unmarshal(text, &object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if filepath.Base(file) == "values-karpenter.yaml" {
			charts, err := toolcache.KarpenterCharts(t.Context(), filepath.Join("..", ".."))
			if err != nil {
				t.Fatal(err)
			}
			if s.Controller, err = ControllerEnvironment(charts, object); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := s.Add(object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	region := ""
	for _, e := range s.Controller {
		if e.Name == "AWS_REGION" {
			region = e.Value
		}
	}
	a, err := account.New(account.Options{Region: region})
	if err != nil {
		t.Fatal(err)
	}
	subnets, err := a.DescribeSubnets()
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.NodeClasses {
		terms := s.NodeClasses[i].Spec.SubnetSelectorTerms
		for n := range terms {
			if !strings.HasPrefix(terms[n].ID, "subnet-placeholder") {
				t.Fatalf("subnet %s is no placeholder", terms[n].ID)
			}
			terms[n] = awsv1.SubnetSelectorTerm{ID: subnets[n].ID}
		}
	}
	return a, s
}

func plannerOf(t testing.TB, a *account.Account, s *Stack) *Planner {
	t.Helper()
	p, err := New(t.Context(), a, s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pods are n pods of a name that ask for CPU and slices.
func pods(n int, name, cpu string, slices int) []*corev1.Pod {
	var out []*corev1.Pod
	for i := range n {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("%s-%03d", name, i)}}
		p.Spec.Containers = []corev1.Container{{Name: "main", Image: "image", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)},
		}}}
		if slices > 0 {
			r := &p.Spec.Containers[0].Resources
			r.Limits = corev1.ResourceList{gpu: *resource.NewQuantity(int64(slices), resource.DecimalSI)}
			r.Requests[gpu] = r.Limits[gpu]
			p.Spec.Tolerations = []corev1.Toleration{{Key: string(gpu), Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
		}
		out = append(out, p)
	}
	return out
}
