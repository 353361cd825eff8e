package world

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/wire"
)

func TestGetToken(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-west-1"} {
		t.Setenv(name, value)
	}
	for _, c := range []struct{ name, args, fails string }{
		{name: "as pulumi-eks asks", args: "eks get-token --cluster-name gpu-slicing --output json"},
		{name: "as the CLI writes it", args: "--region us-west-1 eks get-token --cluster-name=gpu-slicing"},
		{name: "no cluster", args: "eks get-token", fails: "--cluster-name NAME"},
		{name: "something else", args: "s3 ls", fails: "was asked for: aws s3 ls"},
		{name: "other output", args: "eks get-token --cluster-name a --output text", fails: "json only"},
		{name: "as the program asks, with a profile", args: "eks get-token --region us-west-1 --cluster-name a --output json --profile p"},
		{name: "a role, and no account", args: "eks get-token --cluster-name a --role-arn arn:aws:iam::111122223333:role/admin", fails: "AWS_ENDPOINT_URL"},
		{name: "unknown flag", args: "eks get-token --cluster-name a --debug p", fails: "--debug"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			err := GetToken(t.Context(), &out, strings.Fields(c.args))
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("the error is %v; it should say %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Kind   string
				Status struct{ Token, ExpirationTimestamp string }
			}
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if got.Kind != "ExecCredential" || !strings.HasPrefix(got.Status.Token, "k8s-aws-v1.") || got.Status.ExpirationTimestamp == "" {
				t.Errorf("it printed %s", out.String())
			}
		})
	}
}

// TestGetTokenOfRole: with --role-arn the token is the role's, and the account must let
// the caller assume it.
func TestGetTokenOfRole(t *testing.T) {
	a, err := account.New(account.Options{Region: "us-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(wire.New(wire.Options{Account: a}))
	defer server.Close()
	user := a.UserCredentials()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": user.AccessKeyID, "AWS_SECRET_ACCESS_KEY": user.SecretAccessKey, "AWS_REGION": "us-west-1", "AWS_ENDPOINT_URL": server.URL,
	} {
		t.Setenv(name, value)
	}
	const trust = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}}`
	if _, err := a.CreateRole(account.CreateRoleInput{Name: "admin", AssumeRolePolicy: trust}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := GetToken(t.Context(), &out, strings.Fields("eks get-token --cluster-name c --role-arn arn:aws:iam::111122223333:role/admin")); err != nil {
		t.Fatal(err)
	}
	var got struct{ Status struct{ Token string } }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	signed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(got.Status.Token, "k8s-aws-v1."))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(signed))
	if err != nil {
		t.Fatal(err)
	}
	key, _, _ := strings.Cut(u.Query().Get("X-Amz-Credential"), "/")
	if s, ok := a.SessionOf(key); !ok || s.Role != "admin" || s.SessionName != tokenSession {
		t.Errorf("the token is of session %q of role %q (%v)", s.SessionName, s.Role, ok)
	}
	err = GetToken(t.Context(), &out, strings.Fields("eks get-token --cluster-name c --role-arn arn:aws:iam::111122223333:role/other"))
	if err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("a role that is not there: %v", err)
	}
}

func TestGetTokenWithoutCredentials(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	err := GetToken(t.Context(), &bytes.Buffer{}, []string{"eks", "get-token", "--cluster-name", "a"})
	if err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("the error is %v", err)
	}
}

func TestKubeconfigCallsTheStandIn(t *testing.T) {
	t.Parallel()
	w := &World{
		options: Options{AWS: "/world/aws", Region: "us-west-1"},
		user:    account.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "secret"},
	}
	const kubeconfig = `{"apiVersion":"v1","kind":"Config","users":[
		{"name":"aws","user":{"exec":{"apiVersion":"client.authentication.k8s.io/v1beta1","command":"aws","args":["eks","get-token"],"env":[{"name":"AWS_REGION","value":"eu-west-1"}]}}},
		{"name":"other","user":{"exec":{"apiVersion":"client.authentication.k8s.io/v1beta1","command":"other"}}}]}`
	changed, err := w.standIn(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	got, err := clientcmd.Load([]byte(changed))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, e := range got.AuthInfos["aws"].Exec.Env {
		if _, twice := env[e.Name]; twice {
			t.Errorf("%s is set twice", e.Name)
		}
		env[e.Name] = e.Value
	}
	if e := got.AuthInfos["aws"].Exec; e.Command != "/world/aws" || env["AWS_ACCESS_KEY_ID"] != "AKIAEXAMPLE" || env["AWS_REGION"] != "eu-west-1" {
		t.Errorf("aws became %+v", e)
	}
	if e := got.AuthInfos["other"].Exec; e.Command != "other" || len(e.Env) > 0 {
		t.Errorf("other became %+v", e)
	}
	if _, err := w.standIn("a: [b"); err == nil || !strings.Contains(err.Error(), "unable to load") {
		t.Errorf("a kubeconfig that is not YAML: %v", err)
	}
}

func TestOneClusterHasTheControlPlane(t *testing.T) {
	t.Parallel()
	w := &World{serving: serving{"https://127.0.0.1:1", []byte("ca")}}
	if endpoint, ca, err := w.claim("a", ""); err != nil || endpoint != "https://127.0.0.1:1" || string(ca) != "ca" {
		t.Errorf("the first got %q, %q, %v", endpoint, ca, err)
	}
	if _, _, err := w.claim("b", ""); err == nil || !strings.Contains(err.Error(), "cluster a has it") {
		t.Errorf("the second got %v", err)
	}
	if _, _, err := w.claim("a", ""); err != nil {
		t.Errorf("the first, made again, got %v", err)
	}
}
