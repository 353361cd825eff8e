package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"eks-gpu-slicing/rehearsal/account"
)

// everyService makes one harmless call of each service.
func everyService(t *testing.T, c clients) map[string]error {
	t.Helper()
	ctx := t.Context()
	url := "https://sqs." + region + ".amazonaws.com/" + account.ID + "/c-karpenter"
	errs := map[string]error{}
	_, errs["ec2"] = c.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{})
	_, errs["iam"] = c.iam.ListInstanceProfiles(ctx, &iam.ListInstanceProfilesInput{})
	_, errs["sts"] = c.sts.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(roleARN("c-node")), RoleSessionName: aws.String("test")})
	_, errs["eks"] = c.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: aws.String("c")})
	_, errs["ssm"] = c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended/image_id")})
	_, errs["sqs"] = c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url})
	_, errs["pricing"] = c.pricing.GetProducts(ctx, &pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2")})
	return errs
}

// TestUnauthenticated: each service refuses who it does not know in its own words.
func TestUnauthenticated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user := w.account.UserCredentials()
	unknown := user
	unknown.AccessKeyID = "AKIAUNKNOWN"
	guessed := user
	guessed.SecretAccessKey = "guess"
	invalid := map[string][3]any{
		"ec2": {"AuthFailure", http.StatusUnauthorized, "AWS was not able to validate the provided access credentials"},
		"iam": {"InvalidClientTokenId", http.StatusForbidden, "The security token included in the request is invalid."},
		"sts": {"InvalidClientTokenId", http.StatusForbidden, "The security token included in the request is invalid."},
		"eks": {"UnrecognizedClientException", http.StatusForbidden, "The security token included in the request is invalid."},
		"ssm": {"UnrecognizedClientException", http.StatusBadRequest, "The security token included in the request is invalid."},
		"sqs": {"UnrecognizedClientException", http.StatusBadRequest, "The security token included in the request is invalid."},
	}
	invalid["pricing"] = invalid["ssm"]
	for service, err := range everyService(t, clientsOf(w.config(unknown))) {
		want := invalid[service]
		wantCode(t, err, want[0].(string), want[1].(int), want[2].(string)) //nolint:forcetypeassert // literals above
	}
	mismatch := map[string]string{
		"ec2": "AuthFailure", "iam": "SignatureDoesNotMatch", "sts": "SignatureDoesNotMatch", "eks": "InvalidSignatureException",
		"ssm": "InvalidSignatureException", "sqs": "InvalidSignatureException", "pricing": "InvalidSignatureException",
	}
	for service, err := range everyService(t, clientsOf(w.config(guessed))) {
		if err == nil || !strings.Contains(err.Error(), mismatch[service]) {
			t.Errorf("%s with a guessed secret: %v, want %s", service, err, mismatch[service])
		}
	}
	if got := w.handler.Calls(); len(got) == 0 || got[0].Code == "" {
		t.Errorf("refused calls are not recorded: %v", got)
	}
	t.Run("unsigned", func(t *testing.T) {
		t.Parallel()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL, strings.NewReader("Action=DescribeInstances"))
		w.ok(err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := w.server.Client().Do(r)
		w.ok(err)
		defer res.Body.Close() //nolint:errcheck // nothing was written
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("status %d", res.StatusCode)
		}
	})
	t.Run("another region", func(t *testing.T) {
		t.Parallel()
		cfg := w.admin()
		cfg.Region = "eu-west-1"
		_, err := ec2.NewFromConfig(cfg).DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{})
		wantCode(t, err, "AuthFailure", http.StatusUnauthorized, "the account is in us-west-2, the request was signed for eu-west-1")
	})
	t.Run("an action that is not here", func(t *testing.T) {
		t.Parallel()
		_, err := ec2.NewFromConfig(w.admin()).DescribeKeyPairs(t.Context(), &ec2.DescribeKeyPairsInput{})
		wantCode(t, err, "InvalidAction", http.StatusBadRequest, "ec2:DescribeKeyPairs")
	})
	t.Run("a parameter that is not here", func(t *testing.T) {
		t.Parallel()
		_, err := ec2.NewFromConfig(w.admin()).TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{"i-1"}, Force: aws.Bool(true)})
		wantCode(t, err, "UnknownParameter", http.StatusBadRequest, "The parameter Force is not recognized")
	})
}

// TestExpiredSession: credentials end with their session, six hours for a pod's.
func TestExpiredSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.grant("all", `{"Effect":"Allow","Action":"*","Resource":"*"}`)
	creds := w.pod()
	call := func(service, body string) string {
		sum := sha256.Sum256([]byte(body))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL, strings.NewReader(body))
		w.ok(err)
		secret := aws.Credentials{AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.SecretAccessKey, SessionToken: creds.SessionToken}
		w.ok(v4.NewSigner().SignHTTP(t.Context(), secret, r, hex.EncodeToString(sum[:]), service, region, w.handler.now()))
		res, err := w.server.Client().Do(r)
		w.ok(err)
		defer res.Body.Close() //nolint:errcheck // nothing was written
		text, err := io.ReadAll(res.Body)
		w.ok(err)
		return string(text)
	}
	const subnets, identity = "Action=DescribeSubnets&Version=2016-11-15", "Action=GetCallerIdentity&Version=2011-06-15"
	for _, tc := range []struct {
		after                       time.Duration
		service, body, wantInAnswer string
	}{
		{7 * time.Hour, "ec2", subnets, "<Code>RequestExpired</Code>"},
		{7 * time.Hour, "sts", identity, "<Code>ExpiredToken</Code>"},
		{5 * time.Hour, "ec2", subnets, "<subnetSet>"},
		{5 * time.Hour, "sts", identity, "<Arn>arn:aws:sts::"},
	} {
		w.handler.now = func() time.Time { return time.Now().Add(tc.after) }
		if got := call(tc.service, tc.body); !strings.Contains(got, tc.wantInAnswer) {
			t.Errorf("%s after %v: %s, want %s", tc.service, tc.after, got, tc.wantInAnswer)
		}
	}
}

// TestDeniedWithoutPolicies: a role without policies may do nothing, each service says so as AWS
// does, and each denial is recorded.
func TestDeniedWithoutPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := map[string][2]any{
		"ec2": {"UnauthorizedOperation", http.StatusForbidden}, "iam": {"AccessDenied", http.StatusForbidden}, "sts": {"AccessDenied", http.StatusForbidden},
		"eks": {"AccessDeniedException", http.StatusForbidden}, "ssm": {"AccessDeniedException", http.StatusBadRequest},
		"sqs": {"AccessDenied", http.StatusForbidden}, "pricing": {"AccessDeniedException", http.StatusBadRequest},
	}
	for service, err := range everyService(t, clientsOf(w.config(w.pod()))) {
		wantCode(t, err, want[service][0].(string), want[service][1].(int), //nolint:forcetypeassert // literals above
			"User: arn:aws:sts::"+account.ID+":assumed-role/c-controller/eks-c-karpenter-0-")
	}
	denied := w.handler.Denied()
	if len(denied) != len(want) {
		t.Fatalf("%d denials recorded, want %d: %v", len(denied), len(want), denied)
	}
	for _, d := range denied {
		if !strings.Contains(d.Message, "because no ") || d.Reason == "" || d.DryRun {
			t.Errorf("recorded %+v", d)
		}
	}
	// GetCallerIdentity needs no permission.
	who, err := sts.NewFromConfig(w.config(w.pod())).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	w.ok(err)
	if !strings.Contains(*who.Arn, "assumed-role/c-controller/") || *who.Account != account.ID {
		t.Errorf("GetCallerIdentity = %s of %s", *who.Arn, *who.Account)
	}
	// A denial comes before a dry run's answer, and an allowed dry run changes nothing.
	_, err = ec2.NewFromConfig(w.config(w.pod())).DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{DryRun: aws.Bool(true)})
	wantCode(t, err, "UnauthorizedOperation", http.StatusForbidden, "ec2:DescribeSubnets because no identity-based policy allows the ec2:DescribeSubnets action")
	_, err = ec2.NewFromConfig(w.admin()).DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{DryRun: aws.Bool(true)})
	wantCode(t, err, "DryRunOperation", http.StatusPreconditionFailed, "Request would have succeeded")
}

// TestAssumeRole: the role's trust decides, then the caller's policies; the session can act.
func TestAssumeRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := clientsOf(w.admin())
	for name, principal := range map[string]string{"delegated": `{"AWS":"` + account.ID + `"}`, "controllers": `{"AWS":"` + roleARN("c-controller") + `"}`} {
		_, err := w.account.CreateRole(account.CreateRoleInput{Name: name, AssumeRolePolicy: trust(principal)})
		w.ok(err)
	}
	assume := func(c clients, role string) error {
		_, err := c.sts.AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(roleARN(role)), RoleSessionName: aws.String("test")})
		return err
	}
	pod := clientsOf(w.config(w.pod()))
	wantCode(t, assume(admin, "c-node"), "AccessDenied", http.StatusForbidden, "sts:AssumeRole on resource: "+roleARN("c-node")+" because no role trust policy allows the sts:AssumeRole action")
	wantCode(t, assume(admin, "controllers"), "AccessDenied", http.StatusForbidden, "because no role trust policy allows")
	wantCode(t, assume(pod, "delegated"), "AccessDenied", http.StatusForbidden, "because no identity-based policy allows")
	wantCode(t, assume(admin, "nobody"), "AccessDenied", http.StatusForbidden, "because no role trust policy allows")
	w.ok(assume(admin, "delegated"))
	w.ok(assume(pod, "controllers"))
	out, err := admin.sts.AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(roleARN("delegated")), RoleSessionName: aws.String("me"), DurationSeconds: aws.Int32(900)})
	w.ok(err)
	if got := *out.AssumedRoleUser.Arn; got != "arn:aws:sts::"+account.ID+":assumed-role/delegated/me" {
		t.Errorf("assumed %s", got)
	}
	session := clientsOf(w.config(account.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}))
	who, err := session.sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	w.ok(err)
	if *who.Arn != *out.AssumedRoleUser.Arn || *who.UserId != *out.AssumedRoleUser.AssumedRoleId {
		t.Errorf("the session is %s (%s)", *who.Arn, *who.UserId)
	}
	_, err = session.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{Filters: []ec2types.Filter{{Name: aws.String("instance-state-name"), Values: []string{"running"}}}})
	wantCode(t, err, "UnauthorizedOperation", http.StatusForbidden, "assumed-role/delegated/me")
}
