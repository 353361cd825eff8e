package account_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// TestLaunchUnrecorded: the second instance is like the first, but for what only a NodeClaim knows.
func TestLaunchUnrecorded(t *testing.T) {
	t.Parallel()
	for name, withTemplate := range map[string]bool{"with its template": true, "its template gone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, "us-west-2", "")
			node := role(t, a, "c-node", "ec2.amazonaws.com")
			_, err := a.CreateInstanceProfile("p", "", nil)
			ok(t, err)
			ok(t, a.AddRoleToInstanceProfile("p", node.Name))
			lt, err := a.CreateLaunchTemplate(account.CreateLaunchTemplateInput{Name: "lt-1", Data: account.LaunchTemplateData{
				ImageID: imageID(t, a), IAMInstanceProfile: "p", UserData: "dXNlcg==", Metadata: &account.MetadataOptions{HTTPTokens: "required", HopLimit: 1},
			}})
			owned := account.Tags{"kubernetes.io/cluster/c": "owned", "karpenter.sh/nodepool": "gpu", "eks:eks-cluster-name": "c"}
			in := account.LaunchInput{
				Template: &account.LaunchTemplateRef{ID: must(t, lt, err).ID}, Data: account.LaunchTemplateData{InstanceType: "g4dn.xlarge"}, AvailabilityZone: "us-west-2b",
				Count: 1, Spot: true, Tags: map[string]account.Tags{"instance": owned, "volume": owned, "network-interface": owned},
			}
			launched, err := a.RunInstances(in)
			id := must(t, launched, err)[0].ID
			ok(t, a.CreateTags([]string{id}, account.Tags{"karpenter.sh/nodeclaim": "gpu-1", "Name": "ip-1"}))
			if !withTemplate {
				ok(t, a.DeleteLaunchTemplate(lt.ID))
			}
			got, err := a.LaunchUnrecorded(id)
			ok(t, err)
			want := launched[0]
			// What is an instance's own.
			for _, i := range []*account.Instance{&got, &want} {
				i.ID, i.PrivateIP, i.PrivateDNSName, i.NetworkInterfaceID, i.VolumeID, i.ReservationID, i.SpotRequestID, i.Revision = "", "", "", "", "", "", "", 0
			}
			if !withTemplate {
				want.LaunchTemplateID, want.LaunchTemplateVersion, want.Tags = "", 0, owned
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("like the first (-want +got):\n%s", d)
			}
			if volumes, err := a.DescribeVolumes(nil, account.Filter{Name: "tag:karpenter.sh/nodepool", Values: []string{"gpu"}}); err != nil || len(volumes) != 2 {
				t.Errorf("volumes %+v (%v)", volumes, err)
			}
		})
	}
	a := open(t, "us-west-2", "")
	launched, err := a.RunInstances(launchInput(t, a))
	if _, err := a.LaunchUnrecorded(must(t, launched, err)[0].ID); err == nil || !strings.Contains(err.Error(), "is not Karpenter's") {
		t.Errorf("of an instance of another: %v", err)
	}
	if _, err := a.LaunchUnrecorded("i-0"); !account.IsCode(err, "InvalidInstanceID.NotFound") {
		t.Errorf("of none: %v", err)
	}
}

func TestDeleteClusterByHand(t *testing.T) {
	t.Parallel()
	a := withCluster(t, "1.28")
	_, err := a.CreateNodegroup(nodegroupInput(t, a))
	ok(t, err)
	if err := a.DeleteCluster("c"); !account.IsCode(err, "ResourceInUseException") {
		t.Errorf("with its node group: %v", err)
	}
	ok(t, a.DeleteClusterByHand("c"))
	want := []account.Resource{{Type: "AWS::IAM::Role", ID: "c-cluster"}, {Type: "AWS::IAM::Role", ID: "c-node"}}
	if d := cmp.Diff(want, a.Leftovers()); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
	if err := a.DeleteClusterByHand("c"); !account.IsCode(err, "ResourceNotFoundException") {
		t.Errorf("a second time: %v", err)
	}
}
