package wire

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// TestContextKeys: the global condition keys of a request say what is true of it, and a policy may
// hang on each of them.
func TestContextKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := w.config(w.pod())
	for i, tc := range []struct {
		condition string
		want      bool
	}{
		{`{"ArnEquals":{"aws:PrincipalArn":"` + roleARN("c-node") + `"}}`, false},
		{`{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}`, false},
		{`{"StringEquals":{"ec2:Region":"eu-west-1"}}`, false},
		{`{"StringEquals":{"aws:PrincipalType":"User"}}`, false},
		{`{"StringLike":{"aws:username":"*"}}`, false},
		{`{"Bool":{"aws:SecureTransport":"false"}}`, false},
		{`{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, false},
		{`{"Null":{"aws:TokenIssueTime":"true"}}`, false},
		{`{"StringEquals":{"aws:PrincipalTag/kubernetes-namespace":"default"}}`, false},
		{`{"DateGreaterThan":{"aws:CurrentTime":"2126-01-01T00:00:00Z"}}`, false},
		{`{"ArnEquals":{"aws:PrincipalArn":"` + roleARN("c-controller") + `"},"StringEquals":{"aws:PrincipalAccount":"111122223333","aws:RequestedRegion":"us-west-2","ec2:Region":"us-west-2","aws:PrincipalType":"AssumedRole"},
		  "Bool":{"aws:SecureTransport":"true","aws:ViaAWSService":"false"},"IpAddress":{"aws:SourceIp":"127.0.0.0/8"},"StringLike":{"aws:userid":"AROA*:eks-c-karpenter-0-*","aws:UserAgent":"aws-sdk-go-v2/*"},
		  "Null":{"aws:TokenIssueTime":"false","aws:username":"true"},"NumericGreaterThan":{"aws:EpochTime":"1600000000"}}`, true},
		{`{"StringEquals":{"aws:PrincipalTag/kubernetes-namespace":"kube-system","aws:PrincipalTag/kubernetes-service-account":"karpenter","aws:PrincipalTag/eks-cluster-name":"c"}}`, true},
	} {
		name := fmt.Sprintf("p%d", i)
		w.grant(name, `{"Effect":"Allow","Action":"ec2:DescribeSubnets","Resource":"*","Condition":`+tc.condition+`}`)
		_, err := ec2.NewFromConfig(cfg).DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{})
		if tc.want && err != nil {
			t.Errorf("%s: %v", tc.condition, err)
		} else if !tc.want {
			wantCode(t, err, "UnauthorizedOperation", http.StatusForbidden, "ec2:DescribeSubnets")
		}
		w.ok(w.account.DetachRolePolicy("c-controller", "arn:aws:iam::111122223333:policy/"+name))
	}
}
