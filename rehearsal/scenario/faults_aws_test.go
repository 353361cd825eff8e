package scenario

import (
	"regexp"
	"testing"
	"time"

	"eks-gpu-slicing/rehearsal/account"
)

// TestAWSSaysNo: an up while AWS throttles, fails, loses answers and does not see at
// once what it has made, in which nothing is doubled; a launch whose answer is lost;
// then no spot capacity, none of the cheapest type, and a quota; and a destroy while
// AWS throttles. By then Karpenter has needed all that its policies allow, but for what
// unused says.
func TestAWSSaysNo(t *testing.T) {
	t.Parallel()
	s := tell(t, nil)
	s.audit()
	var faults []*account.Installed
	for _, f := range []account.Fault{
		account.Outage{Service: "iam", Kind: account.Throttling, Calls: 2},
		account.Outage{Service: "eks", Action: "CreateNodegroup", Kind: account.InternalError, Calls: 1, AfterDeed: true},
		account.Outage{Service: "eks", Kind: account.InternalError, Calls: 3},
		account.Outage{Service: "ec2", Kind: account.Unavailable, Calls: 3},
		account.Outage{Service: "sqs", Kind: account.Throttling, Calls: 3},
		account.Outage{Service: "events", Kind: account.Throttling, Calls: 3},
		account.Outage{Service: "ssm", Kind: account.InternalError, Calls: 2},
		account.ConsistencyGap{Elsewhere: 2 * time.Second},
	} {
		faults = append(faults, s.install(f))
	}
	s.up()
	for i, f := range faults {
		if f.Count() == 0 {
			t.Errorf("fault %d has refused nothing", i)
		}
	}

	// EC2 launches one node and its answer is lost: the SDK asks again, by the same token.
	lost := s.install(account.Outage{Service: "ec2", Action: "CreateFleet", Kind: account.InternalError, Calls: 1, AfterDeed: true})
	objects, pods := s.place(inference)
	s.allRun(pods)
	s.nodes(2, 2)
	if lost.Count() != 1 {
		t.Errorf("%d answers of CreateFleet were lost, want 1", lost.Count())
	}

	// Two more nodes' worth of pods, when EC2 has but g4dn.2xlarge on demand, of eight
	// vCPUs, and the account may run eight.
	s.clear(objects)
	before := s.launched("gpu")
	s.install(account.Shortage{Market: account.Spot})
	s.install(account.Shortage{InstanceType: "g4dn.xlarge"})
	quota := s.install(account.Quota{Name: account.QuotaGAndVT, VCPUs: 8})
	_, pods = s.place(inference)
	// Of several errors of a launch Karpenter tells the first of a set that has no order: on
	// demand, past the quota, it may be that there is no spot.
	refused := regexp.MustCompile("^AWS has refused a node of pool gpu: (VcpuLimitExceeded|InsufficientInstanceCapacity): ")
	run := 0
	for _, p := range pods {
		switch {
		case p.Phase == "Running":
			run++
		case !refused.MatchString(p.Reason):
			t.Errorf("%s is %s, and the reason is not what AWS has refused: %q", p.Name, p.Phase, p.Reason)
		default:
			t.Logf("%s is %s: %s", p.Name, p.Phase, p.Reason)
		}
	}
	all := s.running()
	if run != 4 || len(all) != 1 || all[0].Spot || all[0].Type != "g4dn.2xlarge" || s.launched("gpu") != before+1 {
		t.Errorf("%d pods run, on %+v, and %d nodes were launched; want 4 on one g4dn.2xlarge on demand", run, all, s.launched("gpu")-before)
	}
	if quota.Count() == 0 {
		t.Error("the quota has refused nothing")
	}

	s.install(account.Outage{Kind: account.Throttling, Calls: 3})
	grants := s.controllerGrants()
	s.destroy()
	s.needed(grants)
	for _, r := range s.World.Account().Faults().Refused() {
		t.Logf("refused: %d x %s:%s with %s (%s)", r.Count, r.Service, r.Action, r.Code, r.Fault)
	}
}

// TestSoakLostAnswer: the answer to the creation of a role is lost, which IAM's API has no
// token against. The SDK asks again, and the fixed name has the second creation refused:
// the up stops and names the role. Once it is deleted by hand the next up goes on.
func TestSoakLostAnswer(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tell(t, nil)
	s.install(account.Outage{Service: "iam", Action: "CreateRole", Kind: account.InternalError, Calls: 1, AfterDeed: true})
	if err := s.Pulumi(t.Context(), "up", "--yes", "--skip-preview"); err == nil {
		t.Error("the up succeeds")
	}
	said := regexp.MustCompile(`EntityAlreadyExists: Role with name (\S+) already exists`).FindStringSubmatch(s.out.String())
	if said == nil {
		t.Fatal("the up does not name the role")
	}
	t.Log(said[0])
	if err := s.World.Account().DeleteRole(said[1]); err != nil {
		t.Fatal(err)
	}
	s.up()
	_, pods := s.place(inference)
	s.allRun(pods)
	s.nodes(2, 2)
	s.destroy()
}
