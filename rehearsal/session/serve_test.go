package session

import (
	"net/http/httptest"
	"strings"
	"testing"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/wire"
	"eks-gpu-slicing/rehearsal/request"
)

// TestLeftoversOfExisting: for a stack on a cluster that was there it is that cluster that is asked
// about, and nothing of it is printed with a command that removes it.
func TestLeftoversOfExisting(t *testing.T) {
	a, err := account.New(account.Options{Region: "us-west-2", World: "existing-karpenter"})
	if err == nil {
		_, err = a.Stand()
	}
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(wire.New(wire.Options{Account: a}))
	defer server.Close()
	user := a.UserCredentials()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": user.AccessKeyID, "AWS_SECRET_ACCESS_KEY": user.SecretAccessKey, "AWS_SESSION_TOKEN": "", "TMPDIR": t.TempDir(),
	} {
		t.Setenv(name, value)
	}
	list := func() string {
		t.Helper()
		var out strings.Builder
		if err := Serve(t.Context(), request.Request{Command: request.Leftovers, Checkout: checkout, Stack: "existing"}, &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for _, want := range []string{"region us-west-2, cluster platform: nothing of the stack is there.\n", "# This stack has not made cluster platform: ", "# Instances that a Karpenter of the cluster's own "} {
		if got := list(); !strings.Contains(got, want) || strings.Contains(got, "\naws ") {
			t.Errorf("it does not say %q, or prints commands:\n%s", want, got)
		}
	}
	if _, err := a.CreateQueue("platform-karpenter", nil, account.Tags{"eks-gpu-slicing/cluster": "platform"}); err != nil {
		t.Fatal(err)
	}
	if got := list(); strings.Count(got, "\naws ") != 1 || !strings.Contains(got, "\naws sqs delete-queue --region us-west-2 ") {
		t.Errorf("with a queue of the stack's:\n%s", got)
	}
}
