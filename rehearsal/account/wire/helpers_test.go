package wire

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"eks-gpu-slicing/rehearsal/account"
)

const region = "us-west-2"

// world is an account on the wire, with the cluster c, a node role, the controller's role and the
// controller's interruption queue.
type world struct {
	*testing.T
	account *account.Account
	handler *Handler
	server  *httptest.Server
	subnets []account.Subnet
	group   string // the cluster's security group
}

func newWorld(t *testing.T) *world {
	t.Helper()
	a, err := account.New(account.Options{Region: region})
	w := &world{T: t, account: a}
	w.ok(err)
	w.handler = New(Options{Account: a})
	w.serve()
	w.subnets, err = a.DescribeSubnets()
	w.ok(err)
	for name, service := range map[string]string{"c-cluster": "eks.amazonaws.com", "c-node": "ec2.amazonaws.com", "c-controller": "pods.eks.amazonaws.com"} {
		_, err := a.CreateRole(account.CreateRoleInput{Name: name, AssumeRolePolicy: trust(`{"Service":"` + service + `"}`)})
		w.ok(err)
	}
	var ids []string
	for _, s := range w.subnets {
		ids = append(ids, s.ID)
	}
	cluster, err := a.CreateCluster(account.CreateClusterInput{
		Name: "c", Version: "1.35", RoleARN: roleARN("c-cluster"), AuthenticationMode: account.AuthAPI, BootstrapAdmin: true,
		VPC: account.ClusterVPC{SubnetIDs: ids, EndpointPublicAccess: true},
	})
	w.ok(err)
	w.group = cluster.VPC.ClusterSecurityGroupID
	_, err = a.CreateQueue("c-karpenter", nil, nil)
	w.ok(err)
	return w
}

// serve has the handler answer until the test ends.
func (w *world) serve() {
	w.server = httptest.NewServer(w.handler)
	w.Cleanup(w.server.Close)
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func roleARN(name string) string { return "arn:aws:iam::" + account.ID + ":role/" + name }

func trust(principal string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":["sts:AssumeRole","sts:TagSession"]}]}`
}

// grant attaches a policy of the statements to the controller's role.
func (w *world) grant(name, statements string) {
	w.Helper()
	p, err := w.account.CreatePolicy(account.CreatePolicyInput{Name: name, Document: `{"Version":"2012-10-17","Statement":[` + statements + `]}`})
	w.ok(err)
	w.ok(w.account.AttachRolePolicy("c-controller", p.ARN))
}

// pod is a session of the controller's role, as Pod Identity begins it.
func (w *world) pod() account.Credentials {
	w.Helper()
	if list, err := w.account.ListPodIdentityAssociations("c"); err != nil || len(list) == 0 {
		_, err := w.account.CreatePodIdentityAssociation("c", "kube-system", "karpenter", roleARN("c-controller"), nil)
		w.ok(err)
	}
	s, _, err := w.account.AssumeRoleForPodIdentity("c", account.PodClaims{Namespace: "kube-system", ServiceAccount: "karpenter", Pod: "karpenter-0"})
	w.ok(err)
	return s.Credentials
}

// config is an SDK configuration that signs with the credentials and calls the account.
func (w *world) config(c account.Credentials) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(w.server.URL), HTTPClient: w.server.Client(),
		RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
		}),
	}
}

func (w *world) admin() aws.Config { return w.config(w.account.UserCredentials()) }

type clients struct {
	ec2     *ec2.Client
	iam     *iam.Client
	sts     *sts.Client
	eks     *eks.Client
	ssm     *ssm.Client
	sqs     *sqs.Client
	pricing *pricing.Client
}

func clientsOf(cfg aws.Config) clients {
	return clients{
		ec2.NewFromConfig(cfg), iam.NewFromConfig(cfg), sts.NewFromConfig(cfg), eks.NewFromConfig(cfg),
		ssm.NewFromConfig(cfg), sqs.NewFromConfig(cfg), pricing.NewFromConfig(cfg),
	}
}

// wantCode wants an API error of a code, a status and a text.
func wantCode(t *testing.T, err error, code string, status int, text string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Errorf("got %v, want an API error %s", err, code)
		return
	}
	if api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), text) {
		t.Errorf("got %s: %s\nwant %s: …%s…", api.ErrorCode(), api.ErrorMessage(), code, text)
	}
	var res interface{ HTTPStatusCode() int }
	if !errors.As(err, &res) || res.HTTPStatusCode() != status {
		t.Errorf("%s answered with another status than %d: %v", code, status, err)
	}
}
