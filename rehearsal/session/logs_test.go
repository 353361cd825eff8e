package session

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Lines are shown once they have ended, those of files that come later too, and all of
// them before stop returns.
func TestFollow(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "logs")
	stop := follow(dir, &out)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(dir, "karpenter.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one\ntw", "o\nthree"} {
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * followEvery / 2) // between two looks
	}
	_, err = file.WriteString("\nfour\nno end")
	if err := errors.Join(err, file.Close(), os.WriteFile(filepath.Join(dir, "other.txt"), []byte("no log\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	stop()
	if diff := cmp.Diff("karpenter: one\nkarpenter: two\nkarpenter: three\nkarpenter: four\n", out.String()); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}
