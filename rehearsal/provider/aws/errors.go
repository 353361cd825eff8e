package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"eks-gpu-slicing/rehearsal/account"
)

// failed is a refusal as terraform-provider-aws reports it: what it was doing,
// the SDK's account of the call (smithy-go's OperationError around an HTTP
// response error), and AWS's own code and words. The refusal stays in the chain.
// The request ID, which AWS makes up for each request, is made of the refusal.
func failed(doing, service, operation string, err error) error {
	var e *account.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	hash := sha256.Sum256([]byte(doing + e.Error()))
	sum := hex.EncodeToString(hash[:])
	id := strings.Join([]string{sum[:8], sum[8:12], sum[12:16], sum[16:20], sum[20:32]}, "-")
	generic := ""
	if service == "EC2" || e.Code == "ValidationError" || e.Code == "ValidationException" {
		generic = "api error " // an error the SDK has no type for
	}
	return fmt.Errorf("%s: operation error %s: %s, https response error StatusCode: %d, RequestID: %s, %s%w",
		doing, service, operation, e.HTTPStatus, id, generic, err)
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
