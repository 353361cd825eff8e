package account

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Outage makes calls of AWS's APIs fail, whoever makes them.
type Outage struct {
	// Service is the name requests are signed for, such as ec2, or logs for CloudWatch Logs; ""
	// is every service. Action is the API action, such as CreateFleet; "" is every action. An
	// action that does not exist is never called: look at [Installed.Count].
	Service, Action string
	// Kind is what is answered. Required.
	Kind OutageKind
	// Calls is how many calls fail; 0 is all until it is lifted.
	Calls int
	// AfterDeed carries the call out and loses the answer: the caller is told that it failed. A
	// call that fails by itself is answered as ever and not counted.
	AfterDeed bool
}

// OutageKind is what AWS answers instead of doing what it was asked.
type OutageKind string

// The kinds of outage. All of them are answers that the AWS SDKs try again after.
const (
	// Throttling is too many calls.
	Throttling OutageKind = "throttling"
	// InternalError is a bug of AWS's.
	InternalError OutageKind = "internal error"
	// Unavailable is a service that is down for a while.
	Unavailable OutageKind = "unavailable"
)

func (o Outage) String() string {
	what := string(o.Kind)
	if o.AfterDeed {
		what += " after the deed"
	}
	service, action := o.Service, o.Action
	if service == "" {
		service = "*"
	}
	if action == "" {
		action = "*"
	}
	s := fmt.Sprintf("%s: %s:%s", what, service, action)
	if o.Calls > 0 {
		s += fmt.Sprintf(", %d calls", o.Calls)
	}
	return s
}

func (o Outage) check(*Account) error {
	all := outageErrors()
	if _, known := all[o.Service]; !known && o.Service != "" {
		return fmt.Errorf("service %q is none of %s", o.Service, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	}
	if _, known := all["ec2"][o.Kind]; !known {
		return fmt.Errorf("kind %q is none of %s, %s, %s", o.Kind, Throttling, InternalError, Unavailable)
	}
	if o.Calls < 0 {
		return fmt.Errorf("%d calls; it must be 0 (until lifted) or more", o.Calls)
	}
	return nil
}

// Do makes one call of an API action, do, unless an outage has it fail; the error is the outage's
// [*Error] or do's own. Clients' doors go through it: one request, one Do. ctx is the caller's; it
// bounds a [Hold] only.
func (f *Faults) Do(ctx context.Context, service, action string, do func() error) error {
	if err := f.hold(ctx, service, action, true); err != nil {
		return err
	}
	if err := f.deny(service, action); err != nil {
		return err
	}
	err := f.fail(service, action, do)
	if held := f.hold(ctx, service, action, false); held != nil {
		return held
	}
	return err
}

func (f *Faults) fail(service, action string, do func() error) error {
	i, fault, e := f.take(service, action)
	if i == nil {
		return do()
	}
	if !fault.AfterDeed {
		return e
	}
	if err := do(); err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		i.note(service, action, e.Code, -1)
		return err
	}
	return e
}

// take finds the first outage that a call meets and counts the refusal.
func (f *Faults) take(service, action string) (*Installed, Outage, *Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.installed {
		o, ok := i.fault.(Outage)
		if !ok || i.lifted || o.Service != "" && o.Service != service || o.Action != "" && o.Action != action || o.Calls > 0 && i.count() >= o.Calls {
			continue
		}
		e, known := outageErrors()[service][o.Kind]
		if !known {
			continue
		}
		i.note(service, action, e.Code, 1)
		return i, o, &e
	}
	return nil, Outage{}, nil
}

// outageErrors are the answers of each service. EC2: "Error codes for the Amazon EC2 API", and
// "Request throttling" there for the status. IAM and STS: "Common errors" in their references; the
// code and words of a throttled call as in terraform-provider-aws #2367 and many others. EKS: the
// reference of DescribeCluster, and awslabs/amazon-eks-ami #218 and #999 for what a throttled call
// really gets. SQS: the reference of ReceiveMessage, and erlcloud #686 for the status. The others:
// the errors that each service's model declares (types/errors.go of its Go SDK).
func outageErrors() map[string]map[OutageKind]Error {
	errors := func(throttling, internal, unavailable Error) map[OutageKind]Error {
		return map[OutageKind]Error{Throttling: throttling, InternalError: internal, Unavailable: unavailable}
	}
	of := func(status int, code, message string) Error {
		return Error{Code: code, Message: message, HTTPStatus: status}
	}
	const rate, internal, down = "Rate exceeded", "An internal error occurred.", "Service is unavailable"
	return map[string]map[OutageKind]Error{
		"ec2": errors(
			of(http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."),
			of(http.StatusInternalServerError, "InternalError", "An internal error has occurred"),
			of(http.StatusServiceUnavailable, "Unavailable", "The service is unavailable. Please try again shortly."),
		),
		"eks": errors(
			of(http.StatusTooManyRequests, "TooManyRequestsException", "Too Many Requests"),
			of(http.StatusInternalServerError, "ServerException", internal),
			of(http.StatusServiceUnavailable, "ServiceUnavailableException", down),
		),
		"eks-auth": errors(
			of(http.StatusTooManyRequests, "ThrottlingException", rate),
			of(http.StatusInternalServerError, "InternalServerException", internal),
			of(http.StatusServiceUnavailable, "ServiceUnavailableException", down),
		),
		"events": errors(
			of(http.StatusBadRequest, "ThrottlingException", rate),
			of(http.StatusInternalServerError, "InternalException", internal),
			of(http.StatusServiceUnavailable, "ServiceUnavailable", down),
		),
		"iam": errors(
			of(http.StatusBadRequest, "Throttling", rate),
			of(http.StatusInternalServerError, "ServiceFailure", internal),
			of(http.StatusServiceUnavailable, "ServiceUnavailable", down),
		),
		"kms": errors(
			of(http.StatusBadRequest, "ThrottlingException", "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."),
			of(http.StatusInternalServerError, "KMSInternalException", internal),
			of(http.StatusServiceUnavailable, "DependencyTimeoutException", "The system timed out while trying to fulfill the request."),
		),
		"logs": errors(
			of(http.StatusBadRequest, "ThrottlingException", rate),
			of(http.StatusInternalServerError, "InternalFailure", internal),
			of(http.StatusInternalServerError, "ServiceUnavailableException", "The service cannot complete the request."),
		),
		"pricing": errors(
			of(http.StatusBadRequest, "ThrottlingException", rate),
			of(http.StatusInternalServerError, "InternalErrorException", internal),
			of(http.StatusServiceUnavailable, "ServiceUnavailable", down),
		),
		"sqs": errors(
			of(http.StatusForbidden, "RequestThrottled", "Request is throttled."),
			of(http.StatusInternalServerError, "InternalFailure", internal),
			of(http.StatusServiceUnavailable, "ServiceUnavailable", down),
		),
		"ssm": errors(
			of(http.StatusBadRequest, "ThrottlingException", rate),
			of(http.StatusInternalServerError, "InternalServerError", internal),
			of(http.StatusServiceUnavailable, "ServiceUnavailable", down),
		),
		"sts": errors(
			of(http.StatusBadRequest, "Throttling", rate),
			of(http.StatusInternalServerError, "InternalFailure", internal),
			of(http.StatusServiceUnavailable, "ServiceUnavailable", down),
		),
	}
}
