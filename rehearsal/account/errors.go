package account

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// Error is a refusal in AWS's own terms.
type Error struct {
	// Code is the error code, such as ResourceInUseException.
	Code string
	// Message is AWS's text for it.
	Message string
	// HTTPStatus is the status AWS answers with.
	HTTPStatus int
	// ValidZones are the zones that an UnsupportedAvailabilityZoneException
	// offers instead; nil otherwise.
	ValidZones []string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// IsCode tells whether err is an [*Error] of one of the codes.
func IsCode(err error, codes ...string) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}

// refuse makes an error. The status is the one the API reference gives for the
// code; everything not listed there is a 400, which is all that EC2, SQS,
// EventBridge and CloudWatch Logs ever answer with.
func refuse(code, format string, args ...any) *Error {
	e := &Error{Code: code, Message: fmt.Sprintf(format, args...), HTTPStatus: http.StatusBadRequest}
	switch code {
	case noSuchEntity, "ResourceNotFoundException":
		e.HTTPStatus = http.StatusNotFound
	case "EntityAlreadyExists", "DeleteConflict", "LimitExceeded", "ResourceInUseException":
		e.HTTPStatus = http.StatusConflict
	}
	return e
}

// jsonNotFound is ResourceNotFoundException as the services of the JSON 1.1
// protocol (EventBridge, CloudWatch Logs) answer it: with status 400.
func jsonNotFound(format string, args ...any) *Error {
	e := refuse("ResourceNotFoundException", format, args...)
	e.HTTPStatus = http.StatusBadRequest
	return e
}

// passOn is how a service answers with another one's refusal: its own code, the
// other's message and code.
func passOn(code string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	return refuse(code, "%s (Status Code: %d, Error Code: %s)", e.Message, e.HTTPStatus, e.Code)
}
