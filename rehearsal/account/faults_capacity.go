package account

import (
	"fmt"
	"slices"
	"strings"
)

// Market is a way of paying for instances, as EC2 calls an instance's lifecycle.
type Market string

// The markets.
const (
	Spot     Market = "spot"
	OnDemand Market = "on-demand"
)

func marketOf(spot bool) Market {
	if spot {
		return Spot
	}
	return OnDemand
}

// Shortage is capacity that EC2 does not have. Instances that run are left alone.
type Shortage struct {
	// InstanceType is what is short, such as g4dn.xlarge; "" is every type. Zone is where, such as
	// us-west-1a; "" is every zone. Market is for whom; "" is for both.
	InstanceType, Zone string
	Market             Market
}

func (s Shortage) String() string {
	words := []string{"no capacity"}
	if s.Market != "" {
		words[0] = "no " + string(s.Market) + " capacity"
	}
	if s.InstanceType != "" {
		words = append(words, "of "+s.InstanceType)
	}
	if s.Zone != "" {
		words = append(words, "in "+s.Zone)
	}
	return strings.Join(words, " ")
}

func (s Shortage) check(a *Account) error {
	if s.Market != "" && s.Market != Spot && s.Market != OnDemand {
		return fmt.Errorf("market %q is none of %s, %s", s.Market, Spot, OnDemand)
	}
	if s.Zone != "" && !slices.Contains(a.zoneNames(), s.Zone) {
		return fmt.Errorf("zone %s is none of %s", s.Zone, strings.Join(a.zoneNames(), ", "))
	}
	if s.InstanceType == "" {
		return nil
	}
	if _, err := a.DescribeInstanceType(s.InstanceType); err != nil {
		return err
	}
	return nil
}

func (a *Account) zoneNames() []string {
	var names []string
	for _, z := range a.zones {
		names = append(names, z.Name)
	}
	return names
}

func (s Shortage) meets(l Launch) bool {
	return (s.InstanceType == "" || s.InstanceType == l.Type.Name) && (s.Zone == "" || s.Zone == l.AvailabilityZone) &&
		(s.Market == "" || s.Market == marketOf(l.Spot))
}

// shortOf is what EC2 says to a launch it has no capacity for. Both texts are in one fleet's answer
// in karpenter-provider-aws #1233; the status is that of a server's error ("Error codes for the
// Amazon EC2 API").
func (a *Account) shortOf(l Launch) *Error {
	e := refuse("InsufficientInstanceCapacity", "There is no Spot capacity available that matches your request.")
	if !l.Spot {
		e.Message = fmt.Sprintf("We currently do not have sufficient %s capacity in the Availability Zone you requested (%s). Our system will be working on provisioning additional capacity.", l.Type.Name, l.AvailabilityZone)
		if others := a.zonesWith(l); len(others) > 0 {
			e.Message += fmt.Sprintf(" You can currently get %s capacity by not specifying an Availability Zone in your request or choosing %s.", l.Type.Name, strings.Join(others, ", "))
		}
	}
	e.HTTPStatus = 500
	return e
}

// zonesWith are the zones that have capacity for a launch.
func (a *Account) zonesWith(l Launch) []string {
	var out []string
	for _, zone := range a.zoneNames() {
		other := l
		other.AvailabilityZone = zone
		if a.offeredIn(l.Type.Name, zone) && !slices.ContainsFunc(atWork[Shortage](a.faults), func(s working[Shortage]) bool { return s.what.meets(other) }) {
			out = append(out, zone)
		}
	}
	return out
}

// Quota is how many vCPUs of some families the account may run at a time ("Amazon EC2 instance type
// quotas"). Stopped instances do not count. What runs already is left alone.
type Quota struct {
	// Name is the quota's in Service Quotas: one of those below.
	Name string
	// VCPUs is its value. A new account has 0 for G and VT.
	VCPUs int
}

// The quotas that may be set.
const (
	QuotaGAndVT       = "Running On-Demand G and VT instances"
	QuotaGAndVTSpot   = "All G and VT Spot Instance Requests"
	QuotaStandard     = "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"
	QuotaStandardSpot = "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests"
)

func (q Quota) String() string { return fmt.Sprintf("quota %q of %d vCPUs", q.Name, q.VCPUs) }

func (q Quota) check(*Account) error {
	all := []string{QuotaGAndVT, QuotaGAndVTSpot, QuotaStandard, QuotaStandardSpot}
	if !slices.Contains(all, q.Name) {
		return fmt.Errorf("the name is none of %q", all)
	}
	if q.VCPUs < 0 {
		return fmt.Errorf("%d vCPUs; it must be 0 or more", q.VCPUs)
	}
	return nil
}

// covers tells whether instances of a type in a market count against the quota.
func (q Quota) covers(instanceType string, spot bool) bool {
	family, _, _ := strings.Cut(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return ' '
	}, instanceType), " ")
	switch family {
	case "g", "gr", "vt":
		return !spot && q.Name == QuotaGAndVT || spot && q.Name == QuotaGAndVTSpot
	case "hpc", "inf", "trn", "dl", "mac":
		return false // have quotas of their own, and letters of others
	}
	return strings.Contains("acdhimrtz", family[:1]) && (!spot && q.Name == QuotaStandard || spot && q.Name == QuotaStandardSpot)
}

// left is how many more vCPUs the quota lets run; negative where more run already.
func (q Quota) left(a *Account) int {
	left := q.VCPUs
	for _, i := range a.compute.instances {
		if i.State != StatePending && i.State != StateRunning || !q.covers(i.Type, i.Spot) {
			continue
		}
		if t, ok := a.types.Type(i.Type); ok {
			left -= t.VCPUs
		}
	}
	return left
}

// room is how many of a launch's instances can be launched, and why no more can; nil where all can.
func (a *Account) room(l Launch) (int, *Error) {
	for _, s := range atWork[Shortage](a.faults) {
		if s.what.meets(l) {
			return 0, s.refusal("ec2", "RunInstances", a.shortOf(l))
		}
	}
	room, why := l.Count, (*Error)(nil)
	for _, q := range atWork[Quota](a.faults) {
		if !q.what.covers(l.Type.Name, l.Spot) {
			continue
		}
		if n := max(0, q.what.left(a)/l.Type.VCPUs); n < room {
			// The words: firesim #410 and scrapoxy #202 for on-demand, spoptimize #15 for spot.
			why = refuse("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", q.what.VCPUs)
			if l.Spot {
				why = refuse("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
			}
			room, why = n, q.refusal("ec2", "RunInstances", why)
		}
	}
	return room, why
}
