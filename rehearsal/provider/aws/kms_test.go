package aws_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const keyType = "aws:kms/key:Key"

// TestKeyIsGone: a key that waits for its deletion is none any more, to a refresh
// and to a second destroy; the look-up still finds it.
func TestKeyIsGone(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	k := s.up(keyType, "k", map[string]any{"deletionWindowInDays": 7})
	for range 2 {
		if err := s.delete(k); err != nil {
			t.Fatal(err)
		}
	}
	if now := s.refresh(k); now.ID != "" {
		t.Errorf("a refresh finds %s", now.ID)
	}
	got := s.answer("aws:kms/getKey:getKey", map[string]any{"keyId": k.str("arn")})
	for key, want := range map[string]any{
		"id": string(k.id), "arn": k.str("arn"), "keyState": "PendingDeletion", "enabled": false, "pendingDeletionWindowInDays": 7.0,
		"deletionDate": "2026-12-01T12:00:00Z", "keySpec": "SYMMETRIC_DEFAULT", "keyUsage": "ENCRYPT_DECRYPT",
	} {
		if d := cmp.Diff(want, got[key]); d != "" {
			t.Errorf("%s (-want +got):\n%s", key, d)
		}
	}
	_, err := s.invoke("aws:kms/getKey:getKey", map[string]any{"keyId": "alias/none"})
	if err == nil || !strings.Contains(err.Error(), "reading KMS Key (alias/none): couldn't find resource") {
		t.Errorf("a key that is not there: %v", err)
	}
}

// TestAliasOfARN: an ID and an ARN of one key are no difference.
func TestAliasOfARN(t *testing.T) {
	t.Parallel()
	s := open(t, "us-west-2", "", nil)
	k := s.up(keyType, "k", map[string]any{})
	a := s.up("aws:kms/alias:Alias", "k", map[string]any{"name": "alias/k", "targetKeyId": k.str("arn")})
	if d := s.drift(a); len(d) > 0 {
		t.Errorf("a refresh shows %v", d)
	}
	s.destroy()
}

// TestEncryptionComesLater: a cluster can be given a key, once.
func TestEncryptionComesLater(t *testing.T) {
	t.Parallel()
	s, c := withCluster(t)
	first, second := s.up(keyType, "first", map[string]any{}), s.up(keyType, "second", map[string]any{})
	in := c.in.Mappable()
	encrypted := func(k *made) map[string]any {
		return set(set(in, "encryptionConfig.provider.keyArn", k.str("arn")), "encryptionConfig.resources", []any{"secrets"})
	}
	for _, k := range []*made{first, second} { // terraform-provider-aws takes another key, and does nothing
		s.update(c, encrypted(k))
		if got := c.str("encryptionConfig", "provider", "keyArn"); got != first.str("arn") {
			t.Errorf("the cluster's key is %s, want %s", got, first.str("arn"))
		}
	}
	if d := s.drift(c); len(d) != 1 {
		t.Errorf("a refresh shows %v, want the key", d)
	}
}
