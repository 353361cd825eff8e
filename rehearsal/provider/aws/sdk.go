package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"eks-gpu-slicing/rehearsal/account"
)

// client calls AWS's APIs as the SDK of terraform-provider-aws calls them: a
// call that fails in a way that may pass is made again, up to 25 times, at
// growing intervals (max_retries of the provider; resolveRetryer in
// aws_config.go of aws-sdk-go-base, which lifts the SDK's budget of retries).
// Its embedded account must be called through send and do only.
type client struct {
	*account.Account
	// ctx ends when the engine cancels the operation.
	ctx context.Context
}

// maxAttempts is terraform-provider-aws's default of max_retries.
const maxAttempts = 25

// caller is what has a client: one of an operation on a resource, or a client itself.
type caller interface{ sdk() *client }

func (c *client) sdk() *client { return c }

// send makes one API call. Errors say what it was for: see failed.
func send[T any](c caller, doing, service, operation string, call func() (T, error)) (T, error) {
	again := retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = maxAttempts })
	var out, none T
	made := false
	for attempt := 1; ; attempt++ {
		err := c.sdk().Faults().Do(c.sdk().ctx, signingName(service), operation, func() (err error) {
			if made {
				return nil // by a call of the same token, whose answer was lost
			}
			out, err = call()
			made = err == nil && hasToken(service, operation)
			return err
		})
		if err == nil {
			return out, nil
		}
		response := responseError(err)
		switch {
		case !again.IsErrorRetryable(response):
			return none, failed(doing, service, operation, 0, err)
		case attempt == maxAttempts:
			return none, failed(doing, service, operation, attempt, err)
		}
		delay, err := again.RetryDelay(attempt, response)
		if err == nil {
			err = c.sdk().sleep(delay)
		}
		if err != nil {
			return none, fmt.Errorf("%s: operation error %s: %s, %w", doing, service, operation, err)
		}
	}
}

// hasToken tells whether the SDK gives each call of an operation a token, by
// which AWS knows a repetition: those with an idempotency token in the service's
// model. IAM and CloudWatch Logs have none, nor have most of EC2's operations.
func hasToken(service, operation string) bool {
	switch service {
	case "EKS":
		return strings.HasPrefix(operation, "Create") || strings.HasPrefix(operation, "Update")
	case "EC2":
		return strings.HasPrefix(operation, "CreateLaunchTemplate")
	}
	return false
}

// do is send for a call that answers nothing.
func (c *client) do(doing, service, operation string, call func() error) error {
	_, err := send(c, doing, service, operation, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

func (c *client) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-c.ctx.Done():
		return &aws.RequestCanceledError{Err: context.Cause(c.ctx)}
	}
}

// signingName is what requests to a service, by the SDK's name of it, are signed
// for.
func signingName(service string) string {
	switch service {
	case "EventBridge":
		return "events"
	case "CloudWatch Logs":
		return "logs"
	}
	return strings.ToLower(service)
}

// responseError is a refusal with what the SDK's retryer goes by: the status and
// the code.
func responseError(err error) error {
	if e, ok := errors.AsType[*account.Error](err); ok {
		return &answer{error: err, code: e.Code, status: e.HTTPStatus}
	}
	return err
}

type answer struct {
	error
	code   string
	status int
}

// ErrorCode is the code of the answer.
func (a *answer) ErrorCode() string { return a.code }

// HTTPStatusCode is the status of the answer.
func (a *answer) HTTPStatusCode() int { return a.status }

// propagation is how long terraform-provider-aws waits for IAM's changes to be
// seen (propagationTimeout of internal/service/iam and internal/service/eks).
const propagation = 2 * time.Minute

// retryWhen is terraform-provider-aws's RetryWhen (internal/tfresource/retry.go):
// it makes a call again, at intervals of half a second to ten
// (helper/retry/state.go of terraform-plugin-sdk), while its error is of a kind
// that passes, for as long as IAM's propagation takes.
func retryWhen[T any](c caller, call func() (T, error), passes func(error) bool) (T, error) {
	return retryFor(c, propagation, call, passes)
}

// retryFor is retryWhen for as long as limit.
func retryFor[T any](c caller, limit time.Duration, call func() (T, error), passes func(error) bool) (T, error) {
	until := time.Now().Add(limit)
	for wait := 500 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		out, err := call()
		if err == nil || !passes(err) || time.Now().After(until) {
			return out, err
		}
		if stop := c.sdk().sleep(wait); stop != nil {
			return out, errors.Join(stop, err)
		}
	}
}

// invalidParameter tells whether EKS refused a parameter in one of the words.
func invalidParameter(words ...string) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[*account.Error](err)
		if !ok || e.Code != "InvalidParameterException" {
			return false
		}
		for _, w := range words {
			if strings.Contains(e.Message, w) {
				return true
			}
		}
		return false
	}
}
