package toolcache

import "testing"

func TestKarpenterVersionsAreTheModules(t *testing.T) {
	t.Parallel()
	for folder, want := range map[string]string{rehearsalModule: KarpenterVersion, previousModule: PreviousKarpenterVersion} {
		got, err := requiredVersion("../..", folder, karpenterModule)
		if err != nil {
			t.Fatal(err)
		}
		if got != "v"+want {
			t.Errorf("go.mod in %s requires %s %s; the constant says %s", folder, karpenterModule, got, want)
		}
	}
}
