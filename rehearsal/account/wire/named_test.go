package wire

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// TestNamedCalls: the account is told of the calls that change what stands in it, and not of those
// that read or ask.
func TestNamedCalls(t *testing.T) {
	t.Parallel()
	a, err := account.New(account.Options{Region: region, World: "existing-bare"})
	w := &world{T: t, account: a}
	w.ok(err)
	_, err = a.Stand()
	w.ok(err)
	w.handler = New(Options{Account: a})
	w.serve()
	c := clientsOf(w.admin()).ec2
	all, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	w.ok(err)
	id := *all.Reservations[0].Instances[0].InstanceId
	yes := true
	if _, err := c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}, DryRun: &yes}); err == nil || len(a.NamedCalls()) > 0 {
		t.Errorf("reading and asking (%v) is noted as %+v", err, a.NamedCalls())
	}
	key, value := "a", "b"
	_, err = c.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{id}, Tags: []ec2types.Tag{{Key: &key, Value: &value}}})
	w.ok(err)
	want := []account.Named{{Principal: account.CallerARN, Action: "ec2:CreateTags", Thing: "AWS::EC2::Instance " + id}}
	if d := cmp.Diff(want, a.NamedCalls()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
