package toolcache

import "testing"

func TestKarpenterVersionIsTheModules(t *testing.T) {
	t.Parallel()
	got, err := requiredVersion("../..", karpenterModule)
	if err != nil {
		t.Fatal(err)
	}
	if got != "v"+KarpenterVersion {
		t.Errorf("go.mod requires %s %s; KarpenterVersion is %s", karpenterModule, got, KarpenterVersion)
	}
}
