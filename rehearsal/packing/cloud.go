package packing

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	awscache "github.com/aws/karpenter-provider-aws/pkg/cache"
	"github.com/aws/karpenter-provider-aws/pkg/providers/arczonalshift"
	"github.com/aws/karpenter-provider-aws/pkg/providers/capacityreservation"
	"github.com/aws/karpenter-provider-aws/pkg/providers/instancetype"
	"github.com/aws/karpenter-provider-aws/pkg/providers/placementgroup"
	"github.com/aws/karpenter-provider-aws/pkg/providers/pricing"
	"github.com/aws/karpenter-provider-aws/pkg/providers/subnet"
	"github.com/patrickmn/go-cache"
	"k8s.io/utils/clock"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/wire"
)

// cloud is what Karpenter's AWS provider knows of an account: its subnets, its
// instance types and what they cost. It is put together as by Karpenter's own
// operator (pkg/operator/operator.go).
type cloud struct {
	subnets *subnet.DefaultProvider
	types   *instancetype.DefaultProvider
}

// newCloud asks the account for everything once. ctx carries Karpenter's settings.
func newCloud(ctx context.Context, a *account.Account) (*cloud, error) {
	key := a.UserCredentials()
	config := aws.Config{
		Region:       a.Region(),
		BaseEndpoint: aws.String("http://account.invalid"), // nobody dials it
		HTTPClient:   inProcess{wire.New(wire.Options{Account: a})},
		Credentials:  credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, key.SessionToken),
		// An answer of this process does not get better by asking again.
		RetryMaxAttempts: 1,
	}
	api := ec2.NewFromConfig(config)
	fresh := func() *cache.Cache { return cache.New(cache.NoExpiration, cache.NoExpiration) }
	prices := pricing.NewDefaultProvider(pricing.NewAPI(config), api, a.Region(), false)
	if err := prices.UpdateOnDemandPricing(ctx); err != nil {
		return nil, fmt.Errorf("on-demand prices of %s: %w", a.Region(), err)
	}
	if err := prices.UpdateSpotPricing(ctx); err != nil {
		return nil, fmt.Errorf("spot prices of %s: %w", a.Region(), err)
	}
	c := &cloud{subnets: subnet.NewDefaultProvider(api, fresh(), fresh())}
	c.types = instancetype.NewDefaultProvider(
		fresh(), fresh(), fresh(), api, c.subnets, prices,
		capacityreservation.NewProvider(api, clock.RealClock{}, fresh(), fresh()),
		placementgroup.NewProvider(api, fresh(), fresh()),
		awscache.NewUnavailableOfferings(), instancetype.NewDefaultResolver(a.Region()), arczonalshift.NewNoopProvider(), nil)
	if err := c.types.UpdateInstanceTypes(ctx); err != nil {
		return nil, fmt.Errorf("instance types of %s: %w", a.Region(), err)
	}
	if err := c.types.UpdateInstanceTypeOfferings(ctx); err != nil {
		return nil, fmt.Errorf("instance types of %s: %w", a.Region(), err)
	}
	return c, nil
}

// inProcess hands requests to a handler of this process, without a network.
type inProcess struct{ handler http.Handler }

// Do implements [aws.HTTPClient].
func (t inProcess) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	w := &answer{header: http.Header{}, status: http.StatusOK}
	t.handler.ServeHTTP(w, r)
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// answer keeps what a handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements [http.ResponseWriter].
func (w *answer) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter].
func (w *answer) WriteHeader(status int) { w.status = status }

// Write implements [http.ResponseWriter].
func (w *answer) Write(b []byte) (int, error) { return w.body.Write(b) }
