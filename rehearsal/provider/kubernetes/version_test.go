package kubernetes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eks-gpu-slicing/rehearsal/provider/kubernetes"
)

func TestVersionIsTheProgramsSDKs(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile(filepath.Join("..", "..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/pulumi/pulumi-kubernetes/sdk/v4 v" + kubernetes.Version + "\n"; !strings.Contains(string(mod), want) {
		t.Errorf("the stand-in is of pulumi-kubernetes %s, the program's go.mod requires another: move Version with it", kubernetes.Version)
	}
}
