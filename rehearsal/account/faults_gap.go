package account

import (
	"fmt"
	"time"
)

// ConsistencyGap is the time that a new role, a new instance profile and the role put into one
// take to be seen ("Changes that I make are not always immediately visible" in the IAM User Guide).
// What was made before the gap was installed is seen.
type ConsistencyGap struct {
	// Elsewhere is until EKS and EC2 see it. On AWS it is seconds for a role and,
	// now and then, minutes for an instance profile (hashicorp/terraform #15341).
	Elsewhere time.Duration
	// InIAM is until IAM itself does. On AWS it is almost always nothing.
	InIAM time.Duration
}

func (g ConsistencyGap) String() string {
	return fmt.Sprintf("new roles are seen by IAM after %s, elsewhere after %s", g.InIAM, g.Elsewhere)
}

func (g ConsistencyGap) check(*Account) error {
	if g.InIAM < 0 || g.Elsewhere < g.InIAM || g.Elsewhere == 0 {
		return fmt.Errorf("the times must be positive, and that of other services at least IAM's own")
	}
	return nil
}

// unseen is the gap in which something made at a time is not seen yet; nil where it is.
func (a *Account) unseen(made time.Time, after func(ConsistencyGap) time.Duration) *Installed {
	for _, g := range atWork[ConsistencyGap](a.faults) {
		if !made.Before(g.since) && a.now().Before(made.Add(after(g.what))) {
			return g.Installed
		}
	}
	return nil
}

func inIAM(g ConsistencyGap) time.Duration     { return g.InIAM }
func elsewhere(g ConsistencyGap) time.Duration { return g.Elsewhere }

// roleSeenByEKS is roleByARN for an action of EKS, which answers missing for a role that is not
// there, or not yet.
func (a *Account) roleSeenByEKS(action, arn string, missing *Error) (*role, error) {
	r := a.roleByARN(arn)
	if r == nil {
		return nil, missing
	}
	if gap := a.unseen(r.made, elsewhere); gap != nil {
		return nil, gap.refusal("eks", action, missing)
	}
	return r, nil
}

// roleForIAM is role for an action of IAM's that may follow the role's creation.
func (a *Account) roleForIAM(action, name string) (*role, error) {
	r, err := a.role(name)
	if err != nil {
		return nil, err
	}
	if gap := a.unseen(r.made, inIAM); gap != nil {
		return nil, gap.refusal("iam", action, noSuchRole(name))
	}
	return r, nil
}
