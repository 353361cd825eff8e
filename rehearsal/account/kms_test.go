package account_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

const noKey = "arn:aws:kms:us-west-2:111122223333:key/00000000-0000-0000-0000-000000000000"

// keyPolicy is one that leaves the account in charge and lets a principal use the key.
func keyPolicy(principal string) string {
	return `{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"},` +
		`{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"kms:Decrypt","Resource":"*"}]}`
}

func withKey(t *testing.T, a *account.Account) account.Key {
	t.Helper()
	k, err := a.CreateKey("d", "", account.Tags{"t": "v"})
	return must(t, k, err)
}

func TestKMSRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		do            func(t *testing.T, a *account.Account) error
		code, message string
	}{
		"a key that is not there": {
			func(_ *testing.T, a *account.Account) error { _, err := a.DescribeKey(noKey); return err },
			"NotFoundException", "Key '" + noKey + "' does not exist",
		},
		"a key of another region": {
			func(t *testing.T, a *account.Account) error {
				_, err := a.DescribeKey("arn:aws:kms:eu-west-1:111122223333:key/" + withKey(t, a).ID)
				if account.IsCode(err, "NotFoundException") {
					_, err = a.DescribeKey("alias/none")
				}
				return err
			},
			"NotFoundException", "Alias arn:aws:kms:us-west-2:111122223333:alias/none is not found.",
		},
		"a principal that is not there": {
			func(_ *testing.T, a *account.Account) error {
				_, err := a.CreateKey("", keyPolicy("arn:aws:iam::111122223333:role/none"), nil)
				return err
			},
			"MalformedPolicyDocumentException", "Policy contains a statement with one or more invalid principals.",
		},
		"a window out of range": {
			func(t *testing.T, a *account.Account) error { return a.ScheduleKeyDeletion(withKey(t, a).ID, 6) },
			"ValidationException", "PendingWindowInDays 6 is not between 7 and 30",
		},
		"a rotation out of range": {
			func(t *testing.T, a *account.Account) error { return a.EnableKeyRotation(withKey(t, a).ID, 89) },
			"ValidationException", "RotationPeriodInDays 89 is not between 90 and 2560",
		},
		"an alias's name": {
			func(t *testing.T, a *account.Account) error { return a.CreateAlias("alias/aws/x", withKey(t, a).ID) },
			"InvalidAliasNameException", `Alias must start with the prefix "alias/", hold letters, digits, / _ and -, and not start with alias/aws/: alias/aws/x`,
		},
		"a second alias of a name": {
			func(t *testing.T, a *account.Account) error {
				k := withKey(t, a)
				ok(t, a.CreateAlias("alias/x", k.ID))
				return a.CreateAlias("alias/x", k.ARN)
			},
			"AlreadyExistsException", "An alias with the name arn:aws:kms:us-west-2:111122223333:alias/x already exists",
		},
		"a cluster's key that is no key": {
			func(t *testing.T, a *account.Account) error {
				in := clusterInput(t, a)
				in.SecretsKeyARN = "x"
				_, err := a.CreateCluster(in)
				return err
			},
			"InvalidParameterException", "Invalid keyArn in encryptionConfig: x",
		},
		"a cluster's key that is not there": {
			func(t *testing.T, a *account.Account) error {
				in := clusterInput(t, a)
				in.SecretsKeyARN = noKey
				_, err := a.CreateCluster(in)
				return err
			},
			"InvalidParameterException", "Key '" + noKey + "' does not exist (Status Code: 400, Error Code: NotFoundException)",
		},
		"a second key of a cluster": {
			func(t *testing.T, a *account.Account) error {
				in := clusterInput(t, a)
				in.SecretsKeyARN = withKey(t, a).ARN
				_, err := a.CreateCluster(in)
				ok(t, err)
				return a.AssociateEncryptionConfig("c", withKey(t, a).ARN, []string{"secrets"})
			},
			"InvalidParameterException", "Encryption config is already associated with the cluster",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefusal(t, tc.do(t, open(t, "us-west-2", "")), tc.code, tc.message)
		})
	}
}

// TestKeyGoes: a key that waits for its deletion can be looked at and nothing else, and is no
// leftover; its alias is free at once where somebody deletes it.
func TestKeyGoes(t *testing.T) {
	t.Parallel()
	a := open(t, "us-west-2", "")
	k := withKey(t, a)
	ok(t, a.EnableKeyRotation(k.ID, 0))
	ok(t, a.CreateAlias("alias/eks/c", k.ID))
	in := clusterInput(t, a)
	in.SecretsKeyARN = "arn:aws:kms:us-west-2:111122223333:alias/eks/c"
	c, err := a.CreateCluster(in)
	if must(t, c, err).SecretsKeyARN != k.ARN {
		t.Errorf("the cluster's key is %s, want %s", c.SecretsKeyARN, k.ARN)
	}
	ok(t, a.DeleteCluster("c"))
	ok(t, a.DeleteRole("c-cluster"))
	want := []account.Resource{{Type: "AWS::KMS::Key", ID: k.ID}, {Type: "AWS::KMS::Alias", ID: "alias/eks/c"}}
	if d := cmp.Diff(want, a.Leftovers()); d != "" {
		t.Errorf("left over (-want +got):\n%s", d)
	}

	ok(t, a.ScheduleKeyDeletion("alias/eks/c", 0))
	wantRefusal(t, a.DisableKeyRotation(k.ID), "KMSInvalidStateException", k.ARN+" is pending deletion.")
	wantRefusal(t, a.ScheduleKeyDeletion(k.ID, 7), "KMSInvalidStateException", k.ARN+" is pending deletion.")
	got, err := a.DescribeKey(k.ID)
	if got = must(t, got, err); got.State != account.KeyPendingDeletion || got.Window != 30 || !got.Deletion.Equal(day().AddDate(0, 0, 30)) {
		t.Errorf("after the deletion was scheduled: %+v", got)
	}
	in = clusterInput(t, a)
	in.SecretsKeyARN = k.ARN
	_, err = a.CreateCluster(in)
	wantRefusal(t, err, "InvalidParameterException", "The KMS key "+k.ARN+" is in state PendingDeletion")
	ok(t, a.DeleteRole("c-cluster"))
	ok(t, a.DeleteAlias("alias/eks/c"))
	wantEmpty(t, a)

	ok(t, a.CancelKeyDeletion(k.ID))
	if got, err = a.DescribeKey(k.ID); must(t, got, err).State != account.KeyDisabled || !got.Rotation || got.RotationDays != 365 {
		t.Errorf("after the deletion was cancelled: %+v", got)
	}
}
