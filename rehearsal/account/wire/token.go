package wire

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"eks-gpu-slicing/rehearsal/account"
)

// A token of `aws eks get-token` is a presigned GetCallerIdentity whose signature covers the
// cluster's name in a header, base64url-encoded behind a prefix (aws-iam-authenticator,
// pkg/token).
const (
	tokenPrefix   = "k8s-aws-v1."
	clusterHeader = "X-K8s-Aws-Id"
	// tokenLife is how long a token is good for, counted from its signing.
	tokenLife = 15 * time.Minute
	// maxTokenLength is the authenticator's.
	maxTokenLength = 1024 * 4
)

// Token makes what `aws eks get-token` prints: a token that tells the cluster who holds the
// credentials.
func Token(ctx context.Context, credentials account.Credentials, region, cluster string, now time.Time) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://sts."+region+".amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", nil)
	if err != nil {
		return "", fmt.Errorf("token for cluster %s: %w", cluster, err)
	}
	r.Header.Set(clusterHeader, cluster)
	sum := sha256.Sum256(nil)
	secret := aws.Credentials{AccessKeyID: credentials.AccessKeyID, SecretAccessKey: credentials.SecretAccessKey, SessionToken: credentials.SessionToken}
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, secret, r, hex.EncodeToString(sum[:]), "sts", region, now)
	if err != nil {
		return "", fmt.Errorf("token for cluster %s: %w", cluster, err)
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(signed)), nil
}

// whoHolds checks a token for a cluster and finds the session behind it.
func (h *Handler) whoHolds(ctx context.Context, cluster, token string) (account.Session, error) {
	encoded, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(token) > maxTokenLength {
		return account.Session{}, fmt.Errorf("the token does not begin with %q or has more than %d characters", tokenPrefix, maxTokenLength)
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return account.Session{}, fmt.Errorf("the token is not base64: %w", err)
	}
	u, err := url.Parse(string(text))
	if err != nil {
		return account.Session{}, errors.New("the token holds no URL")
	}
	if err := checkTokenURL(u, h.account.Region()); err != nil {
		return account.Session{}, err
	}
	r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{clusterHeader: {cluster}}}
	s, err := readSignature(r)
	if err != nil {
		return account.Session{}, err
	}
	if s.service != "sts" || !slices.Contains(s.signedHeaders, strings.ToLower(clusterHeader)) {
		return account.Session{}, fmt.Errorf("the token's signature does not cover the header %s", clusterHeader)
	}
	s.expires = tokenLife
	session, known := h.account.SessionOf(s.accessKeyID)
	if !known {
		return account.Session{}, errUnknownKey
	}
	secret := aws.Credentials{AccessKeyID: session.AccessKeyID, SecretAccessKey: session.SecretAccessKey, SessionToken: session.SessionToken}
	if err := s.verify(ctx, r, nil, secret, h.now()); err != nil {
		return account.Session{}, fmt.Errorf("token for cluster %s: %w", cluster, err)
	}
	if !session.Expires.IsZero() && h.now().After(session.Expires) {
		return account.Session{}, errExpiredToken
	}
	return session, nil
}

// checkTokenURL refuses what the authenticator refuses before it calls STS: another host, another
// path, another action, or parameters that it does not know.
func checkTokenURL(u *url.URL, region string) error {
	if u.Scheme != "https" || u.Host != "sts."+region+".amazonaws.com" && u.Host != "sts.amazonaws.com" || u.Path != "/" {
		return fmt.Errorf("unexpected hostname or path %q in the token's URL; it must be https://sts.%s.amazonaws.com/", u.Host+u.Path, region)
	}
	for name, values := range u.Query() {
		switch strings.ToLower(name) {
		case "action", "version", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-security-token", "x-amz-signature", "x-amz-signedheaders":
		default:
			return fmt.Errorf("the token's URL has a parameter %q that is not allowed", name)
		}
		if len(values) != 1 {
			return fmt.Errorf("the token's URL has the parameter %q %d times", name, len(values))
		}
	}
	if u.Query().Get("Action") != "GetCallerIdentity" {
		return fmt.Errorf("unexpected action %q in the token's URL", u.Query().Get("Action"))
	}
	return nil
}

// tokenReview is TokenReview of authentication.k8s.io/v1, as far as the API server asks and reads.
type tokenReview struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		Token string `json:"token"`
	} `json:"spec"`
	Status struct {
		Authenticated bool      `json:"authenticated"`
		User          *userInfo `json:"user,omitempty"`
		Error         string    `json:"error,omitempty"`
	} `json:"status"`
}

type userInfo struct {
	Username string              `json:"username"`
	UID      string              `json:"uid"`
	Groups   []string            `json:"groups"`
	Extra    map[string][]string `json:"extra,omitempty"`
}

// Authenticator is the API server's token webhook for a cluster: it takes a TokenReview and answers
// who the caller is in Kubernetes, by the cluster's access entries, as aws-iam-authenticator does on
// EKS. A principal without an entry is not authenticated.
//
// An access policy is not a group on EKS; a webhook of its own authorises by it. Here the policies
// that mean "administrator of the cluster" put their holder into system:masters, and the others
// into a group of the policy's name with the prefix eks-access-policy:, which no role binding knows.
func (h *Handler) Authenticator(cluster string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review tokenReview
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		user, err := h.userOf(r.Context(), cluster, review.Spec.Token)
		if err != nil {
			review.Status.Error = err.Error()
		} else {
			review.Status.Authenticated, review.Status.User = true, &user
		}
		review.Spec.Token = ""
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review) // an API server that has gone is not an error of ours
	})
}

// userOf is the Kubernetes user behind a token.
func (h *Handler) userOf(ctx context.Context, cluster, token string) (userInfo, error) {
	s, err := h.whoHolds(ctx, cluster, token)
	if err != nil {
		return userInfo{}, err
	}
	principal := s.Principal.ARN
	if s.Principal.RoleARN != "" {
		principal = s.Principal.RoleARN
	}
	access, err := h.account.AccessOf(cluster, principal)
	if err != nil {
		return userInfo{}, fmt.Errorf("%s may not enter cluster %s: %w; let it in with: aws eks create-access-entry --cluster-name %s --principal-arn %s", principal, cluster, err, cluster, principal)
	}
	user := userInfo{
		UID: "aws-iam-authenticator:" + account.ID + ":" + strings.Split(s.UserID, ":")[0], Groups: slices.Clone(access.Entry.KubernetesGroups),
		Username: strings.ReplaceAll(access.Entry.Username, "{{SessionName}}", strings.ReplaceAll(s.SessionName, "@", "-")),
		Extra: map[string][]string{
			"arn": {s.Principal.ARN}, "canonicalArn": {principal}, "accessKeyId": {s.AccessKeyID}, "sessionName": {s.SessionName},
		},
	}
	if strings.Contains(user.Username, "{{EC2PrivateDNSName}}") {
		// The session of a node is named after its instance.
		instances, err := h.account.DescribeInstances([]string{s.SessionName})
		if err != nil || len(instances) != 1 {
			return userInfo{}, fmt.Errorf("session %q of %s is not named after an instance", s.SessionName, principal)
		}
		user.Username = strings.ReplaceAll(user.Username, "{{EC2PrivateDNSName}}", instances[0].PrivateDNSName)
	}
	for _, p := range access.Policies {
		name := p.PolicyARN[strings.LastIndex(p.PolicyARN, "/")+1:]
		if name == "AmazonEKSClusterAdminPolicy" && p.ScopeType == "cluster" {
			user.Groups = append(user.Groups, "system:masters")
			continue
		}
		user.Groups = append(user.Groups, "eks-access-policy:"+name)
	}
	return user, nil
}
