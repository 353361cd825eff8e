package scenario

import (
	"os"
	"testing"
)

// soak skips a test that is too long for `make test`.
func soak(t *testing.T) {
	t.Helper()
	if os.Getenv("SOAK") != "1" {
		t.Skip("it takes long; `make soak` runs it")
	}
}
