package rendered

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/karpenter-provider-aws/pkg/providers/version"
)

// limits are the Kubernetes versions that releases of Karpenter take, from minor release 1.from
// on: Kubernetes 1.lowest to 1.highest.
type limits struct{ from, lowest, highest int }

// programLimits reads karpenter/compatibility.go, which this module must not import.
func programLimits(t *testing.T) (ranges []limits, constants map[string]int) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "karpenter", "compatibility.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants = map[string]int{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 {
			return true
		}
		switch value := spec.Values[0].(type) {
		case *ast.BasicLit:
			if value.Kind == token.INT {
				constants[spec.Names[0].Name] = number(t, value)
			}
		case *ast.CompositeLit:
			if spec.Names[0].Name != "kubernetesRanges" {
				return true
			}
			for _, row := range value.Elts {
				var numbers []int // from, 1, lowest, 1, highest
				ast.Inspect(row, func(n ast.Node) bool {
					if lit, ok := n.(*ast.BasicLit); ok {
						numbers = append(numbers, number(t, lit))
					}
					return true
				})
				if len(numbers) != 5 || numbers[1] != 1 || numbers[3] != 1 {
					t.Fatalf("a row of kubernetesRanges has the numbers %v", numbers)
				}
				ranges = append(ranges, limits{numbers[0], numbers[2], numbers[4]})
			}
		}
		return true
	})
	if len(ranges) == 0 || constants["newestKnown"] == 0 || constants["published"] == 0 {
		t.Fatalf("karpenter/compatibility.go has ranges %v and constants %v", ranges, constants)
	}
	return ranges, constants
}

func number(t *testing.T, lit *ast.BasicLit) int {
	t.Helper()
	n, err := strconv.Atoi(lit.Value)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKubernetesLimits: what the program says that releases of Karpenter take is what the
// pinned one's code does, and its compatibility matrix, which has all before it.
func TestKubernetesLimits(t *testing.T) {
	t.Parallel()
	ranges, constants := programLimits(t)
	const karpenter = "github.com/aws/karpenter-provider-aws"
	dir := module(t, karpenter, "Dir")
	text, err := os.ReadFile(filepath.Join(dir, "hack", "docs", "compatibilitymatrix_gen", "compatibility.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	said := map[string][2]string{} // by minor release; as text, since to YAML 1.30 is 1.3
	for _, row := range regexp.MustCompile(`appVersion: (1\.\d+)\.x\s+minK8sVersion: (\S+)\s+maxK8sVersion: (\S+)`).FindAllStringSubmatch(string(text), -1) {
		said[row[1]] = [2]string{row[2], row[3]}
	}
	newest := constants["newestKnown"]
	var pinned int
	if _, err := fmt.Sscanf(module(t, karpenter, "Version"), "v1.%d.", &pinned); err != nil {
		t.Fatal(err)
	}
	if newest < pinned {
		t.Errorf("newestKnown is %d and Karpenter 1.%d is pinned: look at the matrix, add a row where it differs, and raise newestKnown", newest, pinned)
	}
	takes := func(minor int) [2]string {
		for _, r := range ranges {
			if minor >= r.from {
				return [2]string{fmt.Sprintf("1.%d", r.lowest), fmt.Sprintf("1.%d", r.highest)}
			}
		}
		return [2]string{}
	}
	for minor := ranges[len(ranges)-1].from; minor <= newest; minor++ {
		release := fmt.Sprintf("1.%d", minor)
		if got, want := takes(minor), said[release]; got != want {
			t.Errorf("Karpenter %s takes Kubernetes %v in karpenter/compatibility.go, and %v in its matrix", release, got, want)
		}
	}
	if got, want := takes(pinned), [2]string{version.MinK8sVersion, version.MaxK8sVersion}; got != want {
		t.Errorf("Karpenter 1.%d takes Kubernetes %v in karpenter/compatibility.go, and %v in its code", pinned, got, want)
	}
	script, err := os.ReadFile(filepath.Join(dir, "hack", "docgen.sh"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("versionCount=%d\n", constants["published"]); !strings.Contains(string(script), want) {
		t.Errorf("hack/docgen.sh of Karpenter does not say %q, as published of karpenter/compatibility.go does", want)
	}
}
