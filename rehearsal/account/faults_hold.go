package account

import (
	"context"
	"fmt"
)

// Hold keeps the answers of an API's calls back until it is lifted: long enough to kill who waits
// for one, between a deed and the knowledge of it.
type Hold struct {
	// Service and Action pick the calls as in [Outage]; both are required.
	Service, Action string
	// BeforeDeed holds the call itself back, not its answer: a caller that is killed meanwhile has
	// done nothing.
	BeforeDeed bool
}

func (h Hold) String() string {
	if h.BeforeDeed {
		return fmt.Sprintf("held: calls of %s:%s", h.Service, h.Action)
	}
	return fmt.Sprintf("held: answers of %s:%s", h.Service, h.Action)
}

func (h Hold) check(a *Account) error {
	if h.Service == "" || h.Action == "" {
		return fmt.Errorf("a service and an action must be given")
	}
	return Outage{Service: h.Service, Kind: Unavailable}.check(a)
}

// hold waits while a call, or its answer, is held back. A caller that has gone meanwhile ends it
// with ctx's cause.
func (f *Faults) hold(ctx context.Context, service, action string, before bool) error {
	for _, h := range atWork[Hold](f) {
		if h.what.Service != service || h.what.Action != action || h.what.BeforeDeed != before {
			continue
		}
		f.mu.Lock()
		h.note(service, action, "", 1)
		f.mu.Unlock()
		select {
		case <-h.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
