package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"eks-gpu-slicing/rehearsal/account"
)

// failed is a refusal as terraform-provider-aws reports it: what it was doing,
// the SDK's account of the call (smithy-go's OperationError around an HTTP
// response error), and AWS's own code and words. The refusal stays in the chain.
// The request ID, which AWS makes up for each request, is made of the refusal.
// attempts is how often the call was made where that was the end of it; 0 where
// it was not made again.
func failed(doing, service, operation string, attempts int, err error) error {
	var e *account.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	hash := sha256.Sum256([]byte(doing + e.Error()))
	sum := hex.EncodeToString(hash[:])
	id := strings.Join([]string{sum[:8], sum[8:12], sum[12:16], sum[16:20], sum[20:32]}, "-")
	if !typed(service, e.Code) {
		err = fmt.Errorf("api error %w", err)
	}
	err = fmt.Errorf("https response error StatusCode: %d, RequestID: %s, %w", e.HTTPStatus, id, err)
	if attempts > 0 {
		err = &retry.MaxAttemptsError{Attempt: attempts, Err: err}
	}
	return fmt.Errorf("%s: %w", doing, &smithy.OperationError{ServiceID: service, OperationName: operation, Err: err})
}

// typed tells whether the SDK has a type for an error; it words the others
// otherwise.
func typed(service, code string) bool {
	switch code {
	case "ValidationError", "ValidationException", "Throttling", "TooManyRequestsException", "InternalFailure", "ServiceUnavailable":
		return false
	}
	return service != "EC2"
}

// bridged is an error as the bridge passes Terraform's on.
func bridged(err error) error { return fmt.Errorf("1 error occurred:\n\t* %w\n\n", err) }

// notFound is Terraform's error for what a list does not hold; gone holds for
// it.
func notFound(doing string) error {
	return fmt.Errorf("%s: couldn't find resource: %w", doing, errNotFound)
}

var errNotFound = errors.New("empty result")

// malformedID is the error of an import by an ID of another form.
func malformedID(id, form string) error {
	return fmt.Errorf("unexpected format for ID (%s), expected %s", id, form)
}
