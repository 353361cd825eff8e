package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"time"
)

// ec2Query is the EC2 query protocol: form parameters in, XML out ("Making API requests" in the
// EC2 API reference).
type ec2Query struct{}

// queryForm is a request's parameters, those of its query included.
func queryForm(r *http.Request, body []byte) url.Values {
	form := r.URL.Query()
	if posted, err := url.ParseQuery(string(body)); err == nil {
		maps.Copy(form, posted)
	}
	return form
}

func (ec2Query) action(r *http.Request, body []byte) string { return queryForm(r, body).Get("Action") }

func (ec2Query) decode(c *call, into any) error {
	form := queryForm(c.request, c.body)
	c.dryRun = form.Get("DryRun") == "true"
	for _, common := range []string{"Action", "Version", "DryRun"} {
		form.Del(common)
	}
	return decodeForm(form, into)
}

// ec2Output is what every EC2 answer begins with.
type ec2Output struct {
	Namespace string `xml:"xmlns,attr"`
	RequestID string `xml:"requestId"`
}

func (o *ec2Output) identify(id string) {
	o.Namespace, o.RequestID = "http://ec2.amazonaws.com/doc/2016-11-15/", id
}

// identified is an output struct that embeds ec2Output.
type identified interface{ identify(id string) }

func (p ec2Query) answer(w http.ResponseWriter, c *call, output any) {
	if o, ok := output.(identified); ok {
		o.identify(c.id)
	}
	writeXML(w, c, http.StatusOK, func(e *xml.Encoder) error {
		return e.EncodeElement(output, xml.StartElement{Name: xml.Name{Local: c.action + "Response"}})
	})
}

func (ec2Query) refuse(w http.ResponseWriter, c *call, e apiError) {
	type body struct {
		XMLName   xml.Name `xml:"Response"`
		Code      string   `xml:"Errors>Error>Code"`
		Message   string   `xml:"Errors>Error>Message"`
		RequestID string   `xml:"RequestID"`
	}
	writeXML(w, c, e.status, func(enc *xml.Encoder) error {
		return enc.Encode(body{Code: e.code, Message: e.message, RequestID: c.id})
	})
}

// ec2Denied is how EC2 words a denial. The real one's message is encrypted; this one's is base64 of
// what decided, for whoever mends the policy.
func ec2Denied(d *deniedError) apiError {
	return apiError{
		"UnauthorizedOperation",
		"You are not authorized to perform this operation. " + d.Message() +
			". Encoded authorization failure message: " + base64.StdEncoding.EncodeToString([]byte(d.Reason())),
		http.StatusForbidden,
	}
}

// codes are EC2's ("Error codes for the Amazon EC2 API").
func (ec2Query) codes(err error) apiError {
	var unknown *unknownParameterError
	var bad *badValueError
	if denied, ok := isDenied(err); ok {
		return ec2Denied(denied)
	}
	switch {
	case errors.Is(err, errDryRun):
		return apiError{"DryRunOperation", err.Error(), http.StatusPreconditionFailed}
	case errors.As(err, &unknown):
		return apiError{"UnknownParameter", err.Error(), http.StatusBadRequest}
	case errors.As(err, &bad):
		return apiError{"InvalidParameterValue", err.Error(), http.StatusBadRequest}
	case errors.Is(err, errUnknownAction):
		return apiError{"InvalidAction", err.Error(), http.StatusBadRequest}
	case errors.Is(err, errUnsigned):
		return apiError{"MissingAuthenticationToken", "Request is missing Authentication Token", http.StatusForbidden}
	case errors.Is(err, errExpiredToken), errors.Is(err, errClock):
		return apiError{"RequestExpired", "Request has expired.", http.StatusBadRequest}
	case isAuthentication(err):
		return apiError{"AuthFailure", "AWS was not able to validate the provided access credentials (" + err.Error() + ")", http.StatusUnauthorized}
	}
	return apiError{"InternalError", err.Error(), http.StatusInternalServerError}
}

func isAuthentication(err error) bool {
	for _, e := range []error{errMalformed, errUnknownKey, errSignature, errRegion} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// awsQuery is the AWS query protocol of IAM and STS.
type awsQuery struct{ namespace string }

func (awsQuery) action(r *http.Request, body []byte) string { return queryForm(r, body).Get("Action") }

func (awsQuery) decode(c *call, into any) error {
	form := queryForm(c.request, c.body)
	form.Del("Action")
	form.Del("Version")
	for name := range form {
		if c.signature.presigned && len(name) > 6 && name[:6] == "X-Amz-" {
			form.Del(name)
		}
	}
	return decodeForm(form, into)
}

func (p awsQuery) answer(w http.ResponseWriter, c *call, output any) {
	writeXML(w, c, http.StatusOK, func(e *xml.Encoder) error {
		start := xml.StartElement{
			Name: xml.Name{Local: c.action + "Response"},
			Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: p.namespace}},
		}
		if err := e.EncodeToken(start); err != nil {
			return err
		}
		if output != nil {
			if err := e.EncodeElement(output, xml.StartElement{Name: xml.Name{Local: c.action + "Result"}}); err != nil {
				return err
			}
		}
		type metadata struct {
			XMLName   xml.Name `xml:"ResponseMetadata"`
			RequestID string   `xml:"RequestId"`
		}
		if err := e.Encode(metadata{RequestID: c.id}); err != nil {
			return err
		}
		return e.EncodeToken(start.End())
	})
}

func (p awsQuery) refuse(w http.ResponseWriter, c *call, e apiError) {
	type body struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Namespace string   `xml:"xmlns,attr"`
		Type      string   `xml:"Error>Type"`
		Code      string   `xml:"Error>Code"`
		Message   string   `xml:"Error>Message"`
		RequestID string   `xml:"RequestId"`
	}
	writeXML(w, c, e.status, func(enc *xml.Encoder) error {
		return enc.Encode(body{Namespace: p.namespace, Type: e.whose(), Code: e.code, Message: e.message, RequestID: c.id})
	})
}

// codes are those of "Common errors" in the IAM and STS API references.
func (awsQuery) codes(err error) apiError {
	var unknown *unknownParameterError
	var bad *badValueError
	if denied, ok := isDenied(err); ok {
		return apiError{"AccessDenied", denied.Message(), http.StatusForbidden}
	}
	switch {
	case errors.As(err, &unknown), errors.As(err, &bad):
		return apiError{"ValidationError", err.Error(), http.StatusBadRequest}
	case errors.Is(err, errUnknownAction):
		return apiError{"InvalidAction", err.Error(), http.StatusBadRequest}
	case errors.Is(err, errUnknownKey):
		return apiError{"InvalidClientTokenId", "The security token included in the request is invalid.", http.StatusForbidden}
	case errors.Is(err, errExpiredToken):
		return apiError{"ExpiredToken", "The security token included in the request is expired", http.StatusForbidden}
	case errors.Is(err, errClock):
		return apiError{"SignatureDoesNotMatch", "Signature expired: " + err.Error(), http.StatusForbidden}
	case errors.Is(err, errSignature):
		return apiError{"SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.", http.StatusForbidden}
	case errors.Is(err, errMalformed):
		return apiError{"IncompleteSignature", err.Error(), http.StatusBadRequest}
	}
	return apiError{"ServiceFailure", err.Error(), http.StatusInternalServerError}
}

// writeXML encodes into memory first, so that a failure is not sent as half an answer.
func writeXML(w http.ResponseWriter, c *call, status int, encode func(*xml.Encoder) error) {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	enc := xml.NewEncoder(&b)
	err := encode(enc)
	if err == nil {
		err = enc.Close()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	send(w, c, status, b.Bytes())
}

// An answer that does not fit the client's read buffer is held back for a moment, as the network
// holds back AWS's. The Go SDK closes a request's body as soon as the answer's headers are there;
// if net/http has not yet looked for the body's end by then, it takes the close for a failed write
// and drops the connection with the rest of the answer in it ("use of closed network connection").
const (
	clientBuffer = 2048
	latency      = 5 * time.Millisecond
)

func send(w http.ResponseWriter, c *call, status int, body []byte) {
	if len(body) > clientBuffer {
		time.Sleep(latency)
	}
	w.Header().Set("X-Amzn-RequestId", c.id)
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that has gone is not an error of ours
}
