package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// PodIdentityAudience is the audience that a pod's projected token must have.
const PodIdentityAudience = "pods.eks.amazonaws.com"

// eksAuthOperations are the EKS Auth API.
func eksAuthOperations() map[string]operation {
	return map[string]operation{"AssumeRoleForPodIdentity": (*call).assumeRoleForPodIdentity}
}

// podCredentials is what the EKS Auth API and the agent answer; the agent's has AccountId beside.
type podCredentials struct {
	KeyID   string    `json:"AccessKeyId"`
	Secret  string    `json:"SecretAccessKey"`
	Token   string    `json:"Token"`
	Account string    `json:"AccountId"`
	Expires time.Time `json:"Expiration"`
}

func (c *call) assumeRoleForPodIdentity() (any, error) {
	var in struct {
		Token string `json:"token"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	name := c.clusterInPath()
	target, _, _ := c.clusterTarget(name)
	if err := c.authorize(authz.Call{Action: "eks-auth:AssumeRoleForPodIdentity", Targets: []authz.Target{target}}); err != nil {
		return nil, err
	}
	claims, err := c.podClaims(c.ctx, name, in.Token)
	if err != nil {
		return nil, err
	}
	s, association, err := c.account.AssumeRoleForPodIdentity(name, claims)
	if err != nil {
		return nil, err
	}
	type subject struct {
		Namespace      string `json:"namespace"`
		ServiceAccount string `json:"serviceAccount"`
	}
	type link struct {
		ARN string `json:"associationArn"`
		ID  string `json:"associationId"`
	}
	type user struct {
		ARN string `json:"arn"`
		ID  string `json:"assumeRoleId"`
	}
	type credentials struct {
		KeyID   string  `json:"accessKeyId"`
		Secret  string  `json:"secretAccessKey"`
		Token   string  `json:"sessionToken"`
		Expires float64 `json:"expiration"`
	}
	return struct {
		Audience    string      `json:"audience"`
		Subject     subject     `json:"subject"`
		Association link        `json:"podIdentityAssociation"`
		User        user        `json:"assumedRoleUser"`
		Credentials credentials `json:"credentials"`
	}{
		PodIdentityAudience, subject{claims.Namespace, claims.ServiceAccount}, link{association.ARN, association.ID},
		user{s.Principal.ARN, s.UserID}, credentials{s.AccessKeyID, s.SecretAccessKey, s.SessionToken, float64(s.Expires.Unix())},
	}, nil
}

// invalidToken is EKS Auth's refusal of a token (API reference, AssumeRoleForPodIdentity).
func invalidToken(format string, args ...any) error {
	return &account.Error{Code: "InvalidTokenException", Message: fmt.Sprintf(format, args...), HTTPStatus: http.StatusBadRequest}
}

// podClaims checks a pod's service account token against the keys of the cluster's API server and
// reads who it is for.
func (h *Handler) podClaims(ctx context.Context, cluster, token string) (account.PodClaims, error) {
	if h.keys == nil {
		return account.PodClaims{}, invalidToken("no API server is known whose keys could check the token of cluster %s", cluster)
	}
	text, err := h.keys(ctx, cluster)
	if err != nil {
		return account.PodClaims{}, fmt.Errorf("keys of cluster %s: %w", cluster, err)
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(text, &keys); err != nil {
		return account.PodClaims{}, fmt.Errorf("keys of cluster %s: %w", cluster, err)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		return account.PodClaims{}, invalidToken("The token is not a JSON Web Token: %v", err)
	}
	var standard jwt.Claims
	type named struct {
		Name string `json:"name"`
		UID  string `json:"uid"`
	}
	var own struct {
		Kubernetes struct {
			Namespace      string `json:"namespace"`
			Pod            named  `json:"pod"`
			ServiceAccount named  `json:"serviceaccount"`
		} `json:"kubernetes.io"`
	}
	if err := parsed.Claims(keys, &standard, &own); err != nil {
		return account.PodClaims{}, invalidToken("The token was not signed by the API server of cluster %s: %v", cluster, err)
	}
	err = standard.ValidateWithLeeway(jwt.Expected{AnyAudience: jwt.Audience{PodIdentityAudience}, Time: h.now()}, time.Minute)
	switch {
	case errors.Is(err, jwt.ErrExpired):
		return account.PodClaims{}, &account.Error{Code: "ExpiredTokenException", Message: "The token has expired", HTTPStatus: http.StatusBadRequest}
	case err != nil:
		return account.PodClaims{}, invalidToken("The token is not for audience %s: %v", PodIdentityAudience, err)
	}
	k := own.Kubernetes
	if k.Namespace == "" || k.ServiceAccount.Name == "" || k.Pod.Name == "" {
		return account.PodClaims{}, invalidToken("The token is not bound to a pod")
	}
	return account.PodClaims{Namespace: k.Namespace, ServiceAccount: k.ServiceAccount.Name, Pod: k.Pod.Name, PodUID: k.Pod.UID}, nil
}

// PodIdentityAgent is the EKS Pod Identity agent of a node: GET /v1/credentials with a pod's token
// as Authorization answers with the credentials of its role, in the form that the SDKs' container
// credential provider reads. The agent calls EKS Auth with the role of the node's instance, which
// must allow eks-auth:AssumeRoleForPodIdentity, as AmazonEKSWorkerNodePolicy does.
func (h *Handler) PodIdentityAgent(cluster, instanceID string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/credentials", func(w http.ResponseWriter, r *http.Request) {
		c := &call{Handler: h, ctx: r.Context(), request: r, id: newRequestID(), service: "eks-auth", action: "AssumeRoleForPodIdentity", protocol: restJSON{}}
		out, err := faulty(c, func(c *call) (podCredentials, error) {
			return c.agentCredentials(cluster, instanceID, r.Header.Get("Authorization"))
		})
		h.record.add(c, err)
		if err != nil {
			e := c.apiError(err)
			http.Error(w, fmt.Sprintf("[%s]: %s: %s", c.id, e.code, e.message), e.status)
			return
		}
		writeJSON(w, c, http.StatusOK, "application/json", out)
	})
	return mux
}

func (c *call) agentCredentials(cluster, instanceID, token string) (podCredentials, error) {
	if token == "" {
		return podCredentials{}, &account.Error{Code: "InvalidTokenException", Message: "Service account token cannot be empty", HTTPStatus: http.StatusBadRequest}
	}
	session, err := c.account.InstanceCredentials(instanceID)
	if err != nil {
		return podCredentials{}, err
	}
	c.session, c.signature.region = session, c.account.Region()
	if c.policies, err = c.account.IdentityPolicies(session); err != nil {
		return podCredentials{}, err
	}
	target, _, _ := c.clusterTarget(cluster)
	if err := c.authorize(authz.Call{Action: "eks-auth:AssumeRoleForPodIdentity", Targets: []authz.Target{target}}); err != nil {
		return podCredentials{}, err
	}
	claims, err := c.podClaims(c.ctx, cluster, strings.TrimPrefix(token, "Bearer "))
	if err != nil {
		return podCredentials{}, err
	}
	s, _, err := c.account.AssumeRoleForPodIdentity(cluster, claims)
	if err != nil {
		return podCredentials{}, err
	}
	return podCredentials{s.AccessKeyID, s.SecretAccessKey, s.SessionToken, account.ID, s.Expires.UTC()}, nil
}
