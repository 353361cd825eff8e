package kubelet

import (
	"testing"
	"time"
)

// Sixteen instances boot at once, the others one after the other, and after a while
// sixteen may again.
func TestSlots(t *testing.T) {
	t.Parallel()
	k := &Kubelet{cfg: Config{Delays: Delays{Spacing: time.Second}}}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for round := range 2 {
		for i := range 20 {
			want := time.Duration(max(0, i-15)) * time.Second
			if got := k.slot(now).Sub(now); got != want {
				t.Errorf("round %d: instance %d boots after %v, want %v", round, i, got, want)
			}
		}
		now = now.Add(20 * time.Second)
	}
	k.cfg.Delays.Spacing = 0
	for range 100 {
		if got := k.slot(now); got != now {
			t.Fatalf("without spacing an instance boots after %v", got.Sub(now))
		}
	}
}
