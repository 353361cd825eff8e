package aws_test

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"eks-gpu-slicing/rehearsal/account"
)

// broken is a cluster in which no add-on works.
type broken struct{ removed []string }

func (*broken) Install(account.Addon) ([]account.AddonIssue, error) {
	return []account.AddonIssue{{Code: "InsufficientNumberOfReplicas", Message: "0 of 2"}}, nil
}

func (b *broken) Uninstall(d account.Addon) error {
	b.removed = append(b.removed, d.Name)
	return nil
}

// TestAddonThatDoesNotWork: the up fails and says why, and the destroy knows of the
// add-on; one that is to be preserved leaves its software behind.
func TestAddonThatDoesNotWork(t *testing.T) {
	t.Parallel()
	for _, preserve := range []bool{false, true} {
		software := &broken{}
		a, err := account.New(account.Options{Region: "us-west-2", Addons: software})
		if err != nil {
			t.Fatal(err)
		}
		s := attach(t, a, nil)
		s.up(clusterType, "c", s.clusterInputs(s.up(roleType, "cluster", s.roleInputs("c-cluster", "eks.amazonaws.com"))))
		const typ = "aws:eks/addon:Addon"
		in := map[string]any{"clusterName": "c", "addonName": "coredns", "preserve": preserve}
		_, err = s.tryUp(typ, "dns", in)
		const want = "waiting for EKS Add-On (c:coredns) create: timeout while waiting for state to become 'ACTIVE' (last state: 'DEGRADED', timeout: 20m0s): InsufficientNumberOfReplicas: 0 of 2"
		kept := ""
		for _, d := range rpcerror.Convert(err).Details() {
			if f, ok := d.(*pulumirpc.ErrorResourceInitFailed); ok {
				kept = f.GetId() + " " + strings.Join(f.GetReasons(), " ")
			}
		}
		if kept != "c:coredns "+want {
			t.Errorf("the engine is told %q (%v)\nwant %q", kept, err, "c:coredns "+want)
		}
		if err := s.delete(&made{typ: typ, name: "dns", id: "c:coredns", in: properties(in)}); err != nil {
			t.Error(err)
		}
		if (len(software.removed) == 0) != preserve {
			t.Errorf("preserve %v: removed are %v", preserve, software.removed)
		}
	}
}
