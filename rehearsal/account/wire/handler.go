package wire

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// Options say what to serve.
type Options struct {
	// Account is what is served. Required.
	Account *account.Account
	// Keys gives the public keys that a cluster's API server signs service account tokens with, as
	// the JSON Web Key Set of its /openid/v1/jwks. nil: no pod gets credentials.
	Keys func(ctx context.Context, cluster string) ([]byte, error)
	// Now tells the time that signatures and tokens are checked by; nil is time.Now.
	Now func() time.Time
	// Log is told of each call: of those that only read or ask, unless IAM denies them, as
	// debugging. nil discards it.
	Log *slog.Logger
}

// Handler serves an account. Its methods may be called concurrently.
type Handler struct {
	account  *account.Account
	keys     func(ctx context.Context, cluster string) ([]byte, error)
	now      func() time.Time
	services map[string]service
	record   recorder

	mu sync.Mutex
	// answered are the answers to requests with a client token, by action and token.
	answered map[string]any
}

// New makes a handler.
func New(o Options) *Handler {
	h := &Handler{account: o.Account, keys: o.Keys, now: o.Now, answered: map[string]any{}}
	if h.now == nil {
		h.now = time.Now
	}
	if h.record.log = o.Log; h.record.log == nil {
		h.record.log = slog.New(slog.DiscardHandler)
	}
	h.services = map[string]service{
		"ec2":      {protocol: ec2Query{}, operations: ec2Operations()},
		"iam":      {protocol: awsQuery{"https://iam.amazonaws.com/doc/2010-05-08/"}, operations: iamOperations(), anyRegion: true},
		"sts":      {protocol: awsQuery{"https://sts.amazonaws.com/doc/2011-06-15/"}, operations: stsOperations(), anyRegion: true},
		"eks":      {protocol: restJSON{}, operations: eksOperations()},
		"eks-auth": {protocol: restJSON{}, operations: eksAuthOperations()},
		"ssm":      {protocol: awsJSON{version: "1.1", prefix: "AmazonSSM"}, operations: ssmOperations()},
		"pricing":  {protocol: awsJSON{version: "1.1", prefix: "AWSPriceListService"}, operations: pricingOperations(), anyRegion: true},
		"events":   {protocol: awsJSON{version: "1.1", prefix: "AWSEvents"}, operations: eventsOperations()},
		"kms":      {protocol: awsJSON{version: "1.1", prefix: "TrentService"}, operations: kmsOperations()},
		"logs":     {protocol: awsJSON{version: "1.1", prefix: "Logs_20140328"}, operations: logsOperations()},
		"sqs":      {protocol: awsJSON{version: "1.0", prefix: "AmazonSQS", queryErrors: true}, operations: sqsOperations()},
	}
	return h
}

// service is one AWS service: how it speaks and what it can do.
type service struct {
	protocol   protocol
	operations map[string]operation
	// anyRegion: the endpoint answers for all regions.
	anyRegion bool
}

// operation carries out one API action. It authorises itself, because what it touches depends on
// what it is asked.
type operation func(*call) (any, error)

// protocol is how a service is spoken to.
type protocol interface {
	// action names the operation a request asks for.
	action(r *http.Request, body []byte) string
	// decode reads the operation's input into a struct.
	decode(c *call, into any) error
	// answer writes an operation's output.
	answer(w http.ResponseWriter, c *call, output any)
	// refuse writes an error.
	refuse(w http.ResponseWriter, c *call, e apiError)
	// codes are the error codes of the service for what is not its own business.
	codes(err error) apiError
}

// apiError is an error as it goes over the wire.
type apiError struct {
	code, message string
	status        int
}

// whose is whose fault the error is, in the words of the query protocol.
func (e apiError) whose() string {
	if e.status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

// call is one request on its way.
type call struct {
	*Handler
	ctx       context.Context
	request   *http.Request
	body      []byte
	id        string // the request's ID
	service   string
	action    string
	signature signature
	session   account.Session
	policies  []*authz.Policy
	protocol  protocol
	// dryRun: EC2 is to say whether it would be allowed, and do nothing.
	dryRun bool
}

// maxBody bounds what a request may carry; EC2's own limit is far below.
const maxBody = 10 << 20

// ServeHTTP answers one AWS request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Handler: h, ctx: r.Context(), request: r, id: newRequestID(), protocol: awsJSON{version: "1.1"}}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		c.fail(w, apiError{"RequestEntityTooLarge", err.Error(), http.StatusRequestEntityTooLarge})
		return
	}
	c.body = body
	output, err := c.run()
	h.record.add(c, err)
	if err != nil {
		c.fail(w, c.apiError(err))
		return
	}
	c.protocol.answer(w, c, output)
}

func (c *call) fail(w http.ResponseWriter, e apiError) { c.protocol.refuse(w, c, e) }

func (c *call) run() (any, error) {
	var err error
	if c.signature, err = readSignature(c.request); err != nil {
		// Nobody knows which service an unsigned request is for, but its form tells the protocol.
		if strings.HasPrefix(c.request.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			c.protocol = ec2Query{}
		}
		return nil, err
	}
	c.service = c.signature.service
	s, known := c.services[c.service]
	if !known {
		return nil, fmt.Errorf("%w: the rehearsal's account has no service %s", errUnknownAction, c.service)
	}
	c.protocol = s.protocol
	c.action = s.protocol.action(c.request, c.body)
	if err := c.authenticate(); err != nil {
		return nil, err
	}
	if !s.anyRegion && c.signature.region != c.account.Region() {
		return nil, fmt.Errorf("%w: the account is in %s, the request was signed for %s", errRegion, c.account.Region(), c.signature.region)
	}
	op, known := s.operations[c.action]
	if !known {
		return nil, fmt.Errorf("%w: %s:%s", errUnknownAction, c.service, c.action)
	}
	return faulty(c, op)
}

// faulty carries out an operation of an account whose APIs may be out of order.
func faulty[T any](c *call, op func(*call) (T, error)) (T, error) {
	var out T
	err := c.account.Faults().Do(c.ctx, c.service, c.action, func() (err error) {
		out, err = op(c)
		return err
	})
	return out, err
}

var (
	errUnknownAction = errors.New("the action is not valid for this web service")
	errRegion        = errors.New("the credential should be scoped to another region")
	errDryRun        = errors.New("Request would have succeeded, but DryRun flag is set.") //nolint:revive,staticcheck // EC2's own words
)

// authenticate finds out who calls and which policies speak for them.
func (c *call) authenticate() error {
	session, known := c.account.SessionOf(c.signature.accessKeyID)
	if !known {
		return errUnknownKey
	}
	secret := aws.Credentials{AccessKeyID: session.AccessKeyID, SecretAccessKey: session.SecretAccessKey, SessionToken: session.SessionToken}
	if err := c.signature.verify(c.ctx, c.request, c.body, secret, c.now()); err != nil {
		return err
	}
	if !session.Expires.IsZero() && c.now().After(session.Expires) {
		return errExpiredToken
	}
	c.session = session
	var err error
	c.policies, err = c.account.IdentityPolicies(session)
	return err
}

// deniedError is a call that IAM does not allow.
type deniedError struct{ authz.Decision }

func (e *deniedError) Error() string { return e.Message() }

// authorize asks IAM for everything a call touches. In a dry run it ends the call when all is
// allowed.
func (c *call) authorize(calls ...authz.Call) error {
	if err := c.allow(c.account.QueuePolicyOf, c.policies, calls...); err != nil {
		return err
	}
	if c.dryRun {
		return errDryRun
	}
	return nil
}

// allow is authorize for places where the account is locked: resources have no policies there.
func (c *call) allow(resourcePolicy func(string) *authz.Policy, policies []*authz.Policy, calls ...authz.Call) error {
	for _, one := range calls {
		keys := c.contextKeys()
		maps.Copy(keys, one.Context)
		one.Context = keys
		checks, err := one.Checks()
		if err != nil {
			return err
		}
		if d := authz.Authorize(c.session.Principal, account.ID, checks, policies, resourcePolicy); !d.Allowed {
			denied := &deniedError{d}
			c.record.deny(c, denied)
			return denied
		}
		c.record.allow(c, checks, policies)
	}
	return nil
}

// contextKeys are the global condition keys of the request ("AWS global condition context keys").
func (c *call) contextKeys() map[string][]string {
	now, p := c.now().UTC(), c.session.Principal
	host, _, err := net.SplitHostPort(c.request.RemoteAddr)
	if err != nil {
		host = c.request.RemoteAddr
	}
	keys := map[string][]string{
		"aws:RequestedRegion": {c.signature.region}, "aws:SecureTransport": {"true"}, "aws:SourceIp": {host}, "aws:UserAgent": {c.request.UserAgent()},
		"aws:CurrentTime": {now.Format(time.RFC3339)}, "aws:EpochTime": {strconv.FormatInt(now.Unix(), 10)},
		"aws:PrincipalArn": {p.ARN}, "aws:PrincipalAccount": {p.Account}, "aws:PrincipalType": {"User"}, "aws:userid": {c.session.UserID},
		"aws:ViaAWSService": {"false"}, "aws:PrincipalIsAWSService": {"false"},
	}
	if p.RoleARN != "" {
		keys["aws:PrincipalArn"], keys["aws:PrincipalType"] = []string{p.RoleARN}, []string{"AssumedRole"}
		keys["aws:TokenIssueTime"] = []string{c.session.Issued.Format(time.RFC3339)}
	} else {
		keys["aws:username"] = []string{p.ARN[strings.LastIndex(p.ARN, "/")+1:]}
	}
	for k, v := range c.session.PrincipalTags {
		keys["aws:PrincipalTag/"+k] = []string{v}
	}
	return keys
}

// decode reads the input in the service's protocol.
func (c *call) decode(into any) error { return c.protocol.decode(c, into) }

// once makes an action idempotent by its client token: a retry gets the first answer.
func (c *call) once(token string, do func() (any, error)) (any, error) {
	if token == "" {
		return do()
	}
	key := strings.Join([]string{c.session.Principal.ARN, c.action, token}, " ")
	c.mu.Lock()
	answer, done := c.answered[key]
	c.mu.Unlock()
	if done {
		return answer, nil
	}
	answer, err := do()
	if err == nil {
		c.mu.Lock()
		c.answered[key] = answer
		c.mu.Unlock()
	}
	return answer, err
}

// page cuts a list as paginated operations do: at most maxResults (0 is all), from where token says.
func page[T any](all []T, maxResults int, token string) (items []T, next string, err error) {
	from := 0
	if token != "" {
		if from, err = strconv.Atoi(strings.TrimPrefix(token, "offset-")); err != nil || from < 0 || from > len(all) {
			return nil, "", &account.Error{Code: "InvalidNextToken", Message: "The token '" + token + "' is invalid", HTTPStatus: http.StatusBadRequest}
		}
	}
	to := len(all)
	if maxResults > 0 && from+maxResults < to {
		to = from + maxResults
		next = "offset-" + strconv.Itoa(to)
	}
	return slices.Clip(all[from:to]), next, nil
}

func newRequestID() string {
	b := make([]byte, 16)
	rand.Read(b) //nolint:errcheck // crypto/rand.Read never fails
	h := hex.EncodeToString(b)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// apiError turns an error into what the service answers.
func (c *call) apiError(err error) apiError {
	if refused, ok := errors.AsType[*account.Error](err); ok {
		return apiError{refused.Code, refused.Message, refused.HTTPStatus}
	}
	return c.protocol.codes(err)
}
