package wire

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

func (w *world) install(fault account.Fault) *account.Installed {
	w.Helper()
	i, err := w.account.Faults().Install(fault)
	w.ok(err)
	return i
}

// TestOutages: each service says that it is out of order in its own words, in its own protocol, and
// the SDK knows them for something to try again after.
func TestOutages(t *testing.T) {
	t.Parallel()
	type answer struct {
		code   string
		status int
	}
	w := newWorld(t)
	cfg := w.admin()
	c := clientsOf(cfg)
	key, err := w.account.CreateKey("d", "", nil)
	w.ok(err)
	w.ok(w.account.CreateAlias("alias/c", key.ID))
	url := "https://sqs.us-west-2.amazonaws.com/111122223333/c-karpenter"
	tests := map[string]struct {
		call                              func() error
		throttling, internal, unavailable answer
	}{
		"ec2": {
			func() error {
				_, err := c.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
				return err
			},
			answer{"RequestLimitExceeded", 503}, answer{"InternalError", 500}, answer{"Unavailable", 503},
		},
		"eks": {
			func() error {
				_, err := c.eks.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("c")})
				return err
			},
			answer{"TooManyRequestsException", 429}, answer{"ServerException", 500}, answer{"ServiceUnavailableException", 503},
		},
		"events": {
			func() error {
				_, err := eventbridge.NewFromConfig(cfg).ListRules(t.Context(), &eventbridge.ListRulesInput{})
				return err
			},
			answer{"ThrottlingException", 400}, answer{"InternalException", 500}, answer{"ServiceUnavailable", 503},
		},
		"iam": {
			func() error { _, err := c.iam.ListRoles(t.Context(), &iam.ListRolesInput{}); return err },
			answer{"Throttling", 400}, answer{"ServiceFailure", 500}, answer{"ServiceUnavailable", 503},
		},
		"kms": {
			func() error {
				_, err := kms.NewFromConfig(cfg).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/c")})
				return err
			},
			answer{"ThrottlingException", 400}, answer{"KMSInternalException", 500}, answer{"DependencyTimeoutException", 503},
		},
		"logs": {
			func() error {
				_, err := cloudwatchlogs.NewFromConfig(cfg).DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{})
				return err
			},
			answer{"ThrottlingException", 400}, answer{"InternalFailure", 500}, answer{"ServiceUnavailableException", 500},
		},
		"pricing": {
			func() error {
				_, err := c.pricing.GetProducts(t.Context(), &pricing.GetProductsInput{ServiceCode: aws.String("AmazonEC2")})
				return err
			},
			answer{"ThrottlingException", 400}, answer{"InternalErrorException", 500}, answer{"ServiceUnavailable", 503},
		},
		"sqs": {
			func() error {
				_, err := c.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
				return err
			},
			answer{"RequestThrottled", 403}, answer{"InternalFailure", 500}, answer{"ServiceUnavailable", 503},
		},
		"ssm": {
			func() error {
				_, err := c.ssm.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended/image_id")})
				return err
			},
			answer{"ThrottlingException", 400}, answer{"InternalServerError", 500}, answer{"ServiceUnavailable", 503},
		},
		"sts": {
			func() error {
				_, err := c.sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
				return err
			},
			answer{"Throttling", 400}, answer{"InternalFailure", 500}, answer{"ServiceUnavailable", 503},
		},
	}
	again := retry.NewStandard()
	for service, tc := range tests { // one after the other: they share an account
		if err := tc.call(); err != nil {
			t.Errorf("%s, in order: %v", service, err)
		}
		for kind, want := range map[account.OutageKind]answer{
			account.Throttling: tc.throttling, account.InternalError: tc.internal, account.Unavailable: tc.unavailable,
		} {
			out := w.install(account.Outage{Service: service, Kind: kind})
			err := tc.call()
			wantCode(t, err, want.code, want.status, "")
			if !again.IsErrorRetryable(err) {
				t.Errorf("%s, %s: the SDK does not try again after %v", service, kind, err)
			}
			out.Lift()
			if out.Count() != 1 {
				t.Errorf("%s, %s: counted %d refusals, want 1", service, kind, out.Count())
			}
		}
	}
}

// patient is a configuration whose clients try again, at once.
func patient(cfg aws.Config) aws.Config {
	cfg.RetryMaxAttempts = 0
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	}
	return cfg
}

// TestRetriesLaunchOnce: a throttled launch is tried again, and one whose answer is lost is not made
// a second time.
func TestRetriesLaunchOnce(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]account.Outage{
		"throttled":   {Service: "ec2", Action: "CreateFleet", Kind: account.Throttling, Calls: 2},
		"lost answer": {Service: "ec2", Action: "CreateFleet", Kind: account.InternalError, Calls: 1, AfterDeed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.controller()
			c := clientsOf(patient(w.config(w.pod())))
			out := w.install(outage)
			f, err := c.ec2.CreateFleet(t.Context(), w.fleet("lt-spot", true, "g4dn.xlarge"))
			w.ok(err)
			all, err := w.account.DescribeInstances(nil)
			w.ok(err)
			if len(all) != 1 || len(f.Instances) != 1 || f.Instances[0].InstanceIds[0] != all[0].ID {
				t.Errorf("%d instances, answered %+v", len(all), f.Instances)
			}
			if out.Count() != outage.Calls {
				t.Errorf("refused %d calls, want %d", out.Count(), outage.Calls)
			}
		})
	}
}

// TestNoCapacity: what a fleet cannot have is among its errors, with the way that it was refused in.
func TestNoCapacity(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault account.Fault
		spot  bool
		code  string
	}{
		"spot":             {account.Shortage{InstanceType: "g4dn.xlarge", Market: account.Spot}, true, "InsufficientInstanceCapacity"},
		"on-demand":        {account.Shortage{}, false, "InsufficientInstanceCapacity"},
		"the quota":        {account.Quota{Name: account.QuotaGAndVT}, false, "VcpuLimitExceeded"},
		"the quota, spot":  {account.Quota{Name: account.QuotaGAndVTSpot}, true, "MaxSpotInstanceCountExceeded"},
		"the profile, yet": {account.ConsistencyGap{Elsewhere: time.Hour}, true, "InvalidParameterValue"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			fault := w.install(tc.fault)
			c, _ := w.controller()
			lifecycle, template := ec2types.InstanceLifecycleOnDemand, "lt-od"
			if tc.spot {
				lifecycle, template = ec2types.InstanceLifecycleSpot, "lt-spot"
			}
			f, err := c.ec2.CreateFleet(t.Context(), w.fleet(template, tc.spot, "g4dn.xlarge"))
			w.ok(err)
			short := map[string]int{}
			for _, e := range f.Errors {
				if o := e.LaunchTemplateAndOverrides.Overrides; o.InstanceType == "g4dn.xlarge" && *o.SubnetId != "" && e.Lifecycle == lifecycle && *e.ErrorMessage != "" {
					short[*e.ErrorCode]++
				}
			}
			delete(short, "Unsupported") // a zone without the type
			if d := cmp.Diff(map[string]int{tc.code: 3}, short); d != "" || len(f.Instances) != 0 {
				t.Errorf("launched %d, errors (-want +got):\n%s", len(f.Instances), d)
			}
			fault.Lift()
			if f, err := c.ec2.CreateFleet(t.Context(), w.fleet(template, tc.spot, "g4dn.xlarge")); err != nil || len(f.Instances) != 1 {
				t.Errorf("after it was lifted: %+v (%v)", f, err)
			}
		})
	}
}

// TestAgentWithoutEKSAuth: no credentials while EKS Auth is down.
func TestAgentWithoutEKSAuth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	out := w.install(account.Outage{Service: "eks-auth", Kind: account.Unavailable})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/credentials", nil)
	w.ok(err)
	rec := httptest.NewRecorder()
	w.handler.PodIdentityAgent("c", "i-1").ServeHTTP(rec, req)
	if rec.Code != http.StatusServiceUnavailable || out.Count() != 1 {
		t.Errorf("answered %d, counted %d", rec.Code, out.Count())
	}
}
