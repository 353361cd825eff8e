package account

import (
	"errors"
	"fmt"
	"net/http"
)

// Denial is an action that IAM lets nobody call.
type Denial struct {
	// Service and Action are as in [Outage]. Both are required.
	Service, Action string
}

func (d Denial) String() string { return fmt.Sprintf("denied: %s:%s", d.Service, d.Action) }

func (d Denial) check(*Account) error {
	if d.Service == "" || d.Action == "" {
		return errors.New("it needs a service and an action")
	}
	return nil
}

// deny is the refusal of a call that a denial meets; nil where there is none. The code is that of
// services with JSON APIs, EKS among them, and the words are IAM's ("Troubleshoot access denied
// error messages" in its user guide).
func (f *Faults) deny(service, action string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.installed {
		if d, ok := i.fault.(Denial); ok && !i.lifted && d.Service == service && d.Action == action {
			e := &Error{Code: "AccessDeniedException", HTTPStatus: http.StatusForbidden, Message: fmt.Sprintf(
				"User: %s is not authorized to perform: %s:%s because no identity-based policy allows the %[2]s:%[3]s action", CallerARN, service, action)}
			i.note(service, action, e.Code, 1)
			return e
		}
	}
	return nil
}
