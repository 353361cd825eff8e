package account_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// day is what the clock of every test account shows.
func day() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }

func open(t *testing.T, region, world string) *account.Account {
	t.Helper()
	a, err := account.New(account.Options{Region: region, World: world, Now: day})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func trust(service string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
}

const allowAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// must unwraps a result that has to be there.
func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantRefusal wants the AWS error code and its text.
func wantRefusal(t *testing.T, err error, code, message string) {
	t.Helper()
	if !account.IsCode(err, code) || err.Error() != code+": "+message {
		t.Errorf("got %v\nwant %s: %s", err, code, message)
	}
}

func role(t *testing.T, a *account.Account, name, service string) account.Role {
	t.Helper()
	r, err := a.CreateRole(account.CreateRoleInput{Name: name, AssumeRolePolicy: trust(service)})
	return must(t, r, err)
}

func subnetIDs(t *testing.T, a *account.Account) []string {
	t.Helper()
	subnets, err := a.DescribeSubnets()
	var ids []string
	for _, s := range must(t, subnets, err) {
		ids = append(ids, s.ID)
	}
	return ids
}

// clusterInput is a cluster that EKS makes; its role is there.
func clusterInput(t *testing.T, a *account.Account) account.CreateClusterInput {
	t.Helper()
	return account.CreateClusterInput{
		Name: "c", Version: "1.28", RoleARN: role(t, a, "c-cluster", "eks.amazonaws.com").ARN,
		VPC:                account.ClusterVPC{SubnetIDs: subnetIDs(t, a), EndpointPublicAccess: true, EndpointPrivateAccess: true},
		AuthenticationMode: account.AuthAPI, BootstrapAdmin: true,
	}
}

func withCluster(t *testing.T, version string) *account.Account {
	t.Helper()
	a := open(t, "us-west-2", "")
	in := clusterInput(t, a)
	in.Version = version
	_, err := a.CreateCluster(in)
	ok(t, err)
	return a
}

// nodegroupInput is a node group that EKS makes of cluster c.
func nodegroupInput(t *testing.T, a *account.Account) account.Nodegroup {
	t.Helper()
	return account.Nodegroup{
		ClusterName: "c", Name: "n", NodeRoleARN: role(t, a, "c-node", "ec2.amazonaws.com").ARN, SubnetIDs: subnetIDs(t, a),
		InstanceTypes: []string{"m7g.large"}, AMIType: "AL2_ARM_64", Scaling: account.Scaling{Min: 1, Max: 3, Desired: 2},
	}
}

func wantEmpty(t *testing.T, a *account.Account) {
	t.Helper()
	if d := cmp.Diff([]account.Resource(nil), a.Leftovers()); d != "" {
		t.Errorf("left over (-want +got):\n%s", d)
	}
}
