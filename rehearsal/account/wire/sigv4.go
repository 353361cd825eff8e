package wire

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// scope is the credential scope of a signature: who signed, when, for which service.
type scope struct {
	accessKeyID     string
	date            string // YYYYMMDD
	region, service string
}

// signature is what a request carries of Signature Version 4, in its Authorization header or, when
// presigned, in its query ("AWS Signature Version 4 for API requests" in the IAM User Guide).
type signature struct {
	scope
	signedHeaders []string
	value         string
	time          time.Time
	presigned     bool
	// expires is how long a presigned request is good for; 0 for a signed one.
	expires time.Duration
	token   string // the session token, if any
}

// clockSkew is how far a signature's time may be from AWS's.
const clockSkew = 5 * time.Minute

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"
)

// Errors of authentication. Each service answers them with codes of its own; see authError.
var (
	errUnsigned     = errors.New("the request is not signed")
	errMalformed    = errors.New("the signature is malformed")
	errUnknownKey   = errors.New("the access key or session token is not known")
	errExpiredToken = errors.New("the session has expired")
	errSignature    = errors.New("the signature does not match")
	errClock        = errors.New("the request's time is too far from now, or it has expired")
)

// readSignature takes the signature out of a request without checking it.
func readSignature(r *http.Request) (signature, error) {
	if auth := r.Header.Get("Authorization"); auth != "" {
		return readHeaderSignature(r, auth)
	}
	q := r.URL.Query()
	if q.Get("X-Amz-Signature") == "" {
		return signature{}, errUnsigned
	}
	s := signature{presigned: true, value: q.Get("X-Amz-Signature"), token: q.Get("X-Amz-Security-Token")}
	seconds, err := strconv.Atoi(q.Get("X-Amz-Expires"))
	// STS takes no lifetime as its own default, which is 15 minutes.
	if q.Get("X-Amz-Expires") == "" {
		seconds, err = 900, nil
	}
	if err != nil || seconds <= 0 || seconds > 604800 || q.Get("X-Amz-Algorithm") != algorithm {
		return s, errMalformed
	}
	s.expires = time.Duration(seconds) * time.Second
	s.signedHeaders = strings.Split(q.Get("X-Amz-SignedHeaders"), ";")
	return s.complete(q.Get("X-Amz-Credential"), q.Get("X-Amz-Date"))
}

func readHeaderSignature(r *http.Request, auth string) (signature, error) {
	s := signature{token: r.Header.Get("X-Amz-Security-Token")}
	rest, ok := strings.CutPrefix(auth, algorithm+" ")
	if !ok {
		return s, errMalformed
	}
	var credential string
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			s.signedHeaders = strings.Split(value, ";")
		case "Signature":
			s.value = value
		}
	}
	return s.complete(credential, r.Header.Get("X-Amz-Date"))
}

func (s signature) complete(credential, date string) (signature, error) {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[4] != "aws4_request" || s.value == "" {
		return s, errMalformed
	}
	s.scope = scope{accessKeyID: parts[0], date: parts[1], region: parts[2], service: parts[3]}
	var err error
	if s.time, err = time.Parse(timeFormat, date); err != nil || s.time.Format("20060102") != s.date {
		return s, errMalformed
	}
	hostSigned := false
	for _, h := range s.signedHeaders {
		hostSigned = hostSigned || h == "host"
	}
	if !hostSigned {
		return s, errMalformed
	}
	return s, nil
}

// verify signs the request again with the SDK's own signer and the caller's secret, and compares.
func (s signature) verify(ctx context.Context, r *http.Request, body []byte, secret aws.Credentials, now time.Time) error {
	late := s.time.Add(clockSkew)
	if s.presigned {
		late = s.time.Add(s.expires)
	}
	if s.time.After(now.Add(clockSkew)) || now.After(late) {
		return errClock
	}
	if subtle.ConstantTimeCompare([]byte(s.token), []byte(secret.SessionToken)) != 1 {
		return errUnknownKey
	}
	again, err := s.unsigned(r)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if h := r.Header.Get("X-Amz-Content-Sha256"); h != "" && h != hash {
		return fmt.Errorf("%w: the payload is not the one that was signed", errSignature)
	}
	var got string
	if s.presigned {
		signed, _, err := v4.NewSigner().PresignHTTP(ctx, secret, again, hash, s.service, s.region, s.time)
		if err != nil {
			return fmt.Errorf("%w: %w", errMalformed, err)
		}
		u, err := url.Parse(signed)
		if err != nil {
			return fmt.Errorf("%w: %w", errMalformed, err)
		}
		got = u.Query().Get("X-Amz-Signature")
	} else {
		if err := v4.NewSigner().SignHTTP(ctx, secret, again, hash, s.service, s.region, s.time); err != nil {
			return fmt.Errorf("%w: %w", errMalformed, err)
		}
		_, got, _ = strings.Cut(again.Header.Get("Authorization"), "Signature=")
	}
	if subtle.ConstantTimeCompare([]byte(got), []byte(s.value)) != 1 {
		return errSignature
	}
	return nil
}

// unsigned is the request as it was before it was signed: only the headers that the signature
// names, and a query without the signature's own parameters.
func (s signature) unsigned(r *http.Request) (*http.Request, error) {
	u := *r.URL
	u.Host, u.Scheme = r.Host, "https"
	if s.presigned {
		q := u.Query()
		for _, own := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token"} {
			q.Del(own)
		}
		u.RawQuery = q.Encode()
	}
	again := &http.Request{Method: r.Method, URL: &u, Host: r.Host, Header: http.Header{}}
	for _, name := range s.signedHeaders {
		switch name {
		case "host", "x-amz-date", "x-amz-security-token":
			// The signer sets these itself.
		case "content-length":
			again.ContentLength = r.ContentLength
		default:
			values := r.Header.Values(name)
			if len(values) == 0 {
				return nil, fmt.Errorf("%w: the signed header %s is missing", errSignature, name)
			}
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	return again, nil
}
