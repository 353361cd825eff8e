package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// awsJSON is AWS JSON 1.0 and 1.1: the action is in X-Amz-Target.
type awsJSON struct {
	version, prefix string
	// queryErrors: the service once spoke the query protocol and still gives its old error codes
	// in a header, which the SDKs prefer (SQS).
	queryErrors bool
}

func (p awsJSON) action(r *http.Request, _ []byte) string {
	return strings.TrimPrefix(r.Header.Get("X-Amz-Target"), p.prefix+".")
}

// badBodyError is a body that is not JSON of the operation's input.
type badBodyError struct{ error }

// decodeJSON reads one JSON value; a member that the operation does not know is an error.
func decodeJSON(body []byte, into any) error {
	if len(body) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return badBodyError{err}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badBodyError{errors.New("more text follows the JSON value")}
	}
	return nil
}

func (awsJSON) decode(c *call, into any) error { return decodeJSON(c.body, into) }

func (p awsJSON) answer(w http.ResponseWriter, c *call, output any) {
	if output == nil {
		output = struct{}{}
	}
	writeJSON(w, c, http.StatusOK, "application/x-amz-json-"+p.version, output)
}

func (p awsJSON) refuse(w http.ResponseWriter, c *call, e apiError) {
	if p.queryErrors {
		w.Header().Set("X-Amzn-Query-Error", e.code+";"+e.whose())
	}
	writeJSON(w, c, e.status, "application/x-amz-json-"+p.version, map[string]string{"__type": p.shape(e.code), "message": e.message})
}

// shape is the name of an error's shape; SQS's differ from its old codes.
func (p awsJSON) shape(code string) string {
	if !p.queryErrors {
		return code
	}
	name := strings.TrimPrefix(code, "AWS.SimpleQueueService.")
	if name == "NonExistentQueue" {
		name = "QueueDoesNotExist"
	}
	return "com.amazonaws.sqs#" + name
}

// codes are those of "Common errors" in the SSM and SQS API references.
func (p awsJSON) codes(err error) apiError {
	var bad badBodyError
	if denied, ok := isDenied(err); ok {
		if p.queryErrors {
			return apiError{"AccessDenied", denied.Message(), http.StatusForbidden}
		}
		return apiError{"AccessDeniedException", denied.Message(), http.StatusBadRequest}
	}
	switch {
	case errors.As(err, &bad):
		return apiError{"ValidationException", err.Error(), http.StatusBadRequest}
	case errors.Is(err, errUnknownAction):
		return apiError{"UnknownOperationException", err.Error(), http.StatusBadRequest}
	}
	return commonJSONCodes(err, http.StatusBadRequest)
}

func commonJSONCodes(err error, status int) apiError {
	switch {
	case errors.Is(err, errUnsigned):
		return apiError{"MissingAuthenticationTokenException", "Missing Authentication Token", status}
	case errors.Is(err, errUnknownKey):
		return apiError{"UnrecognizedClientException", "The security token included in the request is invalid.", status}
	case errors.Is(err, errExpiredToken):
		return apiError{"ExpiredTokenException", "The security token included in the request is expired", status}
	case errors.Is(err, errMalformed):
		return apiError{"IncompleteSignatureException", err.Error(), status}
	case errors.Is(err, errSignature), errors.Is(err, errClock), errors.Is(err, errRegion):
		return apiError{"InvalidSignatureException", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. (" + err.Error() + ")", status}
	}
	return apiError{"InternalFailure", err.Error(), http.StatusInternalServerError}
}

// restJSON is REST JSON as EKS speaks it: the action is told by method and path.
type restJSON struct{}

func (restJSON) action(r *http.Request, _ []byte) string { return route(r.Method, r.URL.Path) }

func (restJSON) decode(c *call, into any) error { return decodeJSON(c.body, into) }

func (restJSON) answer(w http.ResponseWriter, c *call, output any) {
	writeJSON(w, c, http.StatusOK, "application/json", output)
}

func (restJSON) refuse(w http.ResponseWriter, c *call, e apiError) {
	w.Header().Set("X-Amzn-ErrorType", e.code)
	writeJSON(w, c, e.status, "application/json", map[string]string{"message": e.message})
}

func (restJSON) codes(err error) apiError {
	var bad badBodyError
	if denied, ok := isDenied(err); ok {
		return apiError{"AccessDeniedException", denied.Message(), http.StatusForbidden}
	}
	switch {
	case errors.As(err, &bad):
		return apiError{"InvalidParameterException", err.Error(), http.StatusBadRequest}
	case errors.Is(err, errUnknownAction):
		return apiError{"UnknownOperationException", err.Error(), http.StatusNotFound}
	}
	return commonJSONCodes(err, http.StatusForbidden)
}

func writeJSON(w http.ResponseWriter, c *call, status int, contentType string, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	send(w, c, status, text)
}
