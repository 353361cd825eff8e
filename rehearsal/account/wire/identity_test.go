package wire

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"eks-gpu-slicing/rehearsal/account"
)

// apiServerKey is the key that a cluster's API server signs service account tokens with.
type apiServerKey struct{ key *ecdsa.PrivateKey }

func newKey(t *testing.T) apiServerKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return apiServerKey{key}
}

func (k apiServerKey) jwks(t *testing.T) []byte {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// token is a projected service account token, as the API server issues it.
func (k apiServerKey) token(t *testing.T, audience string, expires time.Time, kubernetes map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: k.key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: "https://kubernetes.default.svc", Subject: "system:serviceaccount:kube-system:karpenter", Audience: jwt.Audience{audience}, Expiry: jwt.NewNumericDate(expires),
	}).Claims(map[string]any{"kubernetes.io": kubernetes}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func podClaim(namespace, serviceAccount string) map[string]any {
	return map[string]any{
		"namespace": namespace, "serviceaccount": map[string]string{"name": serviceAccount, "uid": "u"}, "pod": map[string]string{"name": "karpenter-7d9f", "uid": "u-1"},
	}
}

// TestPodIdentityAgent: who does not get credentials, then the SDK's own chain getting them.
func TestPodIdentityAgent(t *testing.T) { // not parallel: it sets the pod's environment
	w := newWorld(t)
	key, other := newKey(t), newKey(t)
	w.handler.keys = func(context.Context, string) ([]byte, error) { return key.jwks(t), nil }
	node := w.node()
	agent := httptest.NewServer(w.handler.PodIdentityAgent("c", node))
	defer agent.Close()
	soon, mine := time.Now().Add(time.Hour), podClaim("kube-system", "karpenter")
	good := key.token(t, PodIdentityAudience, soon, mine)
	ask := func(token string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, agent.URL+"/v1/credentials", nil)
		w.ok(err)
		if token != "" {
			r.Header.Set("Authorization", token)
		}
		res, err := agent.Client().Do(r)
		w.ok(err)
		defer res.Body.Close() //nolint:errcheck // nothing was written
		text, err := io.ReadAll(res.Body)
		w.ok(err)
		return res.StatusCode, string(text)
	}
	refused := func(name, token string, status int, want string) {
		t.Helper()
		if code, text := ask(token); code != status || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s, want %d …%s…", name, code, text, status, want)
		}
	}
	refused("a node role without the permission", good, http.StatusForbidden,
		"AccessDeniedException: User: arn:aws:sts::111122223333:assumed-role/c-node/"+node+" is not authorized to perform: eks-auth:AssumeRoleForPodIdentity on resource: arn:aws:eks:us-west-2:111122223333:cluster/c")
	w.ok(w.account.AttachRolePolicy("c-node", "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"))
	refused("no token", "", http.StatusBadRequest, "InvalidTokenException: Service account token cannot be empty")
	refused("not a token", "abc", http.StatusBadRequest, "InvalidTokenException: The token is not a JSON Web Token")
	refused("another cluster's key", other.token(t, PodIdentityAudience, soon, mine), http.StatusBadRequest, "was not signed by the API server of cluster c")
	refused("another audience", key.token(t, "sts.amazonaws.com", soon, mine), http.StatusBadRequest, "is not for audience pods.eks.amazonaws.com")
	refused("expired", key.token(t, PodIdentityAudience, time.Now().Add(-time.Hour), mine), http.StatusBadRequest, "ExpiredTokenException")
	refused("not a pod's", key.token(t, PodIdentityAudience, soon, map[string]any{"namespace": "kube-system"}), http.StatusBadRequest, "is not bound to a pod")
	refused("no association", good, http.StatusNotFound, "No associations found for the service account karpenter in the namespace kube-system")
	_, err := w.account.CreatePodIdentityAssociation("c", "kube-system", "karpenter", roleARN("c-controller"), nil)
	w.ok(err)
	refused("another service account", key.token(t, PodIdentityAudience, soon, podClaim("kube-system", "default")), http.StatusNotFound, "No associations found")
	refused("another namespace", key.token(t, PodIdentityAudience, soon, podClaim("default", "karpenter")), http.StatusNotFound, "No associations found")
	w.ok(w.account.UpdateAssumeRolePolicy("c-controller", trust(`{"Service":"ec2.amazonaws.com"}`)))
	refused("a role that does not trust Pod Identity", good, http.StatusBadRequest, "must allow sts:AssumeRole and sts:TagSession to pods.eks.amazonaws.com")
	w.ok(w.account.UpdateAssumeRolePolicy("c-controller", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`))
	refused("a role that does not let sessions be tagged", good, http.StatusBadRequest, "sts:TagSession")
	w.ok(w.account.UpdateAssumeRolePolicy("c-controller", trust(`{"Service":"pods.eks.amazonaws.com"}`)))

	// The pod's environment, as EKS injects it, and the SDK's default chain without anything else.
	file := filepath.Join(t.TempDir(), "token")
	w.ok(os.WriteFile(file, []byte(good), 0o600))
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.URL+"/v1/credentials")
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(region), config.WithSharedConfigFiles(nil), config.WithSharedCredentialsFiles(nil))
	w.ok(err)
	cfg.BaseEndpoint = aws.String(w.server.URL)
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	w.ok(err)
	if !strings.HasPrefix(*who.Arn, "arn:aws:sts::111122223333:assumed-role/c-controller/eks-c-karpenter-7d9f-") {
		t.Errorf("the pod is %s", *who.Arn)
	}
	got, err := cfg.Credentials.Retrieve(t.Context())
	w.ok(err)
	session, ok := w.account.SessionOf(got.AccessKeyID)
	if !ok || session.PrincipalTags["kubernetes-service-account"] != "karpenter" || session.PrincipalTags["eks-cluster-name"] != "c" || time.Until(got.Expires) < 5*time.Hour {
		t.Errorf("session %+v", session)
	}
}

// presigned is a GetCallerIdentity that is good for STS and names no cluster: whoever sees it could
// enter any, if the authenticator took it.
func (w *world) presigned(c account.Credentials) string {
	w.Helper()
	r, err := sts.NewPresignClient(sts.NewFromConfig(w.config(c), func(o *sts.Options) {
		o.BaseEndpoint = aws.String("https://sts." + region + ".amazonaws.com")
	})).PresignGetCallerIdentity(w.Context(), &sts.GetCallerIdentityInput{})
	w.ok(err)
	return r.URL
}

// node is a managed node of the cluster.
func (w *world) node() string {
	w.Helper()
	_, err := w.account.CreateNodegroup(account.Nodegroup{
		ClusterName: "c", Name: "n", NodeRoleARN: roleARN("c-node"), SubnetIDs: []string{w.subnets[0].ID}, InstanceTypes: []string{"m7g.large"}, AMIType: "AL2023_ARM_64_STANDARD",
		Scaling: account.Scaling{Min: 1, Max: 1, Desired: 1},
	})
	w.ok(err)
	members, err := w.account.DescribeInstances(nil, account.Filter{Name: "tag:eks:nodegroup-name", Values: []string{"n"}})
	w.ok(err)
	if health, err := w.account.NodegroupHealth("c", "n"); err != nil || len(members) != 1 {
		w.Fatalf("the node group has %d members: %v (%v)", len(members), health, err)
	}
	return members[0].ID
}

// review asks the authenticator of cluster c about a token.
func (w *world) review(token string) tokenReview {
	w.Helper()
	srv := httptest.NewServer(w.handler.Authenticator("c"))
	defer srv.Close()
	in, err := json.Marshal(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": map[string]any{"token": token}})
	w.ok(err)
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, srv.URL, bytes.NewReader(in))
	w.ok(err)
	res, err := srv.Client().Do(r)
	w.ok(err)
	defer res.Body.Close() //nolint:errcheck // nothing was written
	var out tokenReview
	w.ok(json.NewDecoder(res.Body).Decode(&out))
	if out.APIVersion != "authentication.k8s.io/v1" || out.Kind != "TokenReview" || out.Spec.Token != "" {
		w.Errorf("review %+v", out)
	}
	return out
}

// TestAuthenticator: tokens that let nobody in, then who the good ones are.
func TestAuthenticator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user, ctx := w.account.UserCredentials(), t.Context()
	make1 := func(c account.Credentials, region, cluster string, at time.Time) string {
		token, err := Token(ctx, c, region, cluster, at)
		w.ok(err)
		return token
	}
	raw := func(u string) string { return tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(u)) }
	good := make1(user, region, "c", time.Now())
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(good, tokenPrefix))
	w.ok(err)
	guessed, unknown := user, user
	guessed.SecretAccessKey, unknown.AccessKeyID = "guess", "AKIAUNKNOWN"
	for name, tc := range map[string]struct{ token, want string }{
		"no token":            {"", "does not begin with"},
		"another token":       {"eyJhbGciOi", "does not begin with"},
		"not base64":          {tokenPrefix + "!!", "is not base64"},
		"too long":            {tokenPrefix + strings.Repeat("A", maxTokenLength), "more than 4096 characters"},
		"another host":        {raw(strings.Replace(string(text), "sts.us-west-2.amazonaws.com", "sts.example.com", 1)), "unexpected hostname"},
		"another region":      {make1(user, "eu-west-1", "c", time.Now()), "unexpected hostname"},
		"another path":        {raw(strings.Replace(string(text), ".com/?", ".com/x?", 1)), "unexpected hostname or path"},
		"plain HTTP":          {raw(strings.Replace(string(text), "https:", "http:", 1)), "unexpected hostname"},
		"another action":      {raw(strings.Replace(string(text), "GetCallerIdentity", "GetSessionToken", 1)), `unexpected action "GetSessionToken"`},
		"bound to no cluster": {raw(w.presigned(user)), "does not cover the header X-K8s-Aws-Id"},
		"a parameter more":    {raw(string(text) + "&Policy=x"), `a parameter "Policy" that is not allowed`},
		"a parameter twice":   {raw(string(text) + "&Version=2011-06-15"), `the parameter "Version" 2 times`},
		"another cluster's":   {make1(user, region, "d", time.Now()), "the signature does not match"},
		"old":                 {make1(user, region, "c", time.Now().Add(-16*time.Minute)), "it has expired"},
		"a guessed secret":    {make1(guessed, region, "c", time.Now()), "the signature does not match"},
		"an unknown key":      {make1(unknown, region, "c", time.Now()), "the access key or session token is not known"},
		"a changed date":      {raw(strings.Replace(string(text), "X-Amz-Expires=60", "X-Amz-Expires=900", 1)), "the signature does not match"},
		"a pod without entry": {make1(w.pod(), region, "c", time.Now()), "aws eks create-access-entry --cluster-name c --principal-arn " + roleARN("c-controller")},
	} {
		if got := w.review(tc.token); got.Status.Authenticated || !strings.Contains(got.Status.Error, tc.want) {
			t.Errorf("%s: %+v, want …%s…", name, got.Status, tc.want)
		}
	}

	got := w.review(good).Status
	if !got.Authenticated || got.User.Username != account.CallerARN || !slices.Equal(got.User.Groups, []string{"system:masters"}) {
		t.Errorf("the cluster's creator: %+v (%s)", got.User, got.Error)
	}
	_, err = w.account.CreateAccessEntry(account.CreateAccessEntryInput{ClusterName: "c", PrincipalARN: roleARN("c-controller"), KubernetesGroups: []string{"viewers"}})
	w.ok(err)
	_, err = w.account.AssociateAccessPolicy("c", roleARN("c-controller"), "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", "cluster", nil)
	w.ok(err)
	got = w.review(make1(w.pod(), region, "c", time.Now().Add(-14*time.Minute))).Status
	if !got.Authenticated || !strings.HasPrefix(got.User.Username, "arn:aws:sts::111122223333:assumed-role/c-controller/eks-c-karpenter-0-") ||
		!slices.Equal(got.User.Groups, []string{"viewers", "eks-access-policy:AmazonEKSViewPolicy"}) {
		t.Errorf("the role: %+v (%s)", got.User, got.Error)
	}
	// A node is called after its instance.
	node := w.node()
	session, err := w.account.InstanceCredentials(node)
	w.ok(err)
	instances, err := w.account.DescribeInstances([]string{node})
	w.ok(err)
	got = w.review(make1(session.Credentials, region, "c", time.Now())).Status
	if !got.Authenticated || got.User.Username != "system:node:"+instances[0].PrivateDNSName || !slices.Equal(got.User.Groups, []string{"system:nodes"}) {
		t.Errorf("the node: %+v (%s)", got.User, got.Error)
	}
	_, err = w.account.TerminateInstances(node)
	w.ok(err)
	if _, err := w.account.InstanceCredentials(node); !account.IsCode(err, "IncorrectInstanceState") {
		t.Errorf("a terminated instance gets credentials: %v", err)
	}
	// A role made again under the same name is not the one that was let in.
	w.ok(w.account.DeleteRole("c-controller"))
	_, err = w.account.CreateRole(account.CreateRoleInput{Name: "c-controller", AssumeRolePolicy: trust(`{"Service":"pods.eks.amazonaws.com"}`)})
	w.ok(err)
	if got := w.review(make1(w.pod(), region, "c", time.Now())).Status; got.Authenticated || !strings.Contains(got.Error, "made for another role of that name") {
		t.Errorf("a role made again: %+v", got)
	}
}
