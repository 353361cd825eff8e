// Package packingtest has the program's rendered stacks (../testdata/rendered) for
// tests that plan on them, so that none has to run the program.
package packingtest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	awsv1 "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	"sigs.k8s.io/yaml"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/packing"
	"eks-gpu-slicing/rehearsal/toolcache"
)

// Checkout is the folder of the project, seen from a package of the rehearsal.
const Checkout = "../.."

var charts = sync.OnceValues(func() (string, error) { return toolcache.KarpenterCharts(context.Background(), Checkout) })

// Charts is the folder of Karpenter's charts. The go command is asked for it once.
func Charts(t testing.TB) string {
	t.Helper()
	dir, err := charts()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Rendered is a stack as the program renders it, such as dev, and an account in its
// region, whose subnets take the place of the rendered placeholders.
func Rendered(t testing.TB, name string) (*account.Account, *packing.Stack) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(Checkout, "testdata", "rendered", name, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("rendered files of stack %s: %v (%v)", name, files, err)
	}
	s := &packing.Stack{}
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
			s.Controller, err = packing.ControllerEnvironment(Charts(t), object)
		} else {
			err = s.Add(object)
		}
		if err != nil {
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
				t.Fatalf("stack %s: subnet %s is no placeholder", name, terms[n].ID)
			}
			terms[n] = awsv1.SubnetSelectorTerm{ID: subnets[n].ID}
		}
	}
	return a, s
}
