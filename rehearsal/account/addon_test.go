package account_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// software is a cluster in which add-ons are as the test says.
type software struct {
	installed map[string]string // configuration values by add-on
	issues    []account.AddonIssue
	refuses   error
}

func (s *software) Install(d account.Addon) ([]account.AddonIssue, error) {
	if s.refuses != nil {
		return nil, s.refuses
	}
	s.installed[d.Name] = d.ConfigurationValues
	return s.issues, nil
}

func (s *software) Uninstall(d account.Addon) error {
	delete(s.installed, d.Name)
	return s.refuses
}

func TestAddonSoftware(t *testing.T) {
	t.Parallel()
	s := &software{installed: map[string]string{}}
	a, err := account.New(account.Options{Region: "us-west-2", Now: day, Addons: s})
	ok(t, err)
	_, err = a.CreateCluster(clusterInput(t, a))
	ok(t, err)
	has := func(want map[string]string) {
		t.Helper()
		if d := cmp.Diff(want, s.installed); d != "" {
			t.Errorf("installed (-want +got):\n%s", d)
		}
	}
	create := func(name, values string) (account.Addon, error) {
		return a.CreateAddon(account.CreateAddonInput{ClusterName: "c", Name: name, ConfigurationValues: values})
	}

	d, err := create("kube-proxy", `{"mode":"ipvs"}`)
	if must(t, d, err).Status != account.AddonActive {
		t.Errorf("an add-on that works = %+v", d)
	}
	s.issues = []account.AddonIssue{{Code: "InsufficientNumberOfReplicas", Message: "none"}}
	d, err = create("coredns", "")
	if must(t, d, err).Status != account.AddonDegraded || d.Issues[0] != s.issues[0] {
		t.Errorf("an add-on that does not work = %+v", d)
	}
	s.issues = nil
	d, err = a.UpdateAddon("c", "coredns", "", `{"replicaCount":1}`, "")
	if must(t, d, err).Status != account.AddonActive || len(d.Issues) > 0 {
		t.Errorf("an add-on that works now = %+v", d)
	}
	has(map[string]string{"kube-proxy": `{"mode":"ipvs"}`, "coredns": `{"replicaCount":1}`})

	s.refuses = errors.New("$.replicaCount: string found")
	_, err = create("vpc-cni", "{}")
	wantRefusal(t, err, "InvalidParameterException", "ConfigurationValue provided in request is not supported: $.replicaCount: string found")
	if _, err := a.DescribeAddon("c", "vpc-cni"); !account.IsCode(err, "ResourceNotFoundException") {
		t.Errorf("an add-on that was refused: %v", err)
	}
	if _, err = a.UpdateAddon("c", "coredns", "", `{"replicaCount":"1"}`, ""); err == nil {
		t.Error("an update that cannot be installed is no error")
	}
	if d, err = a.DescribeAddon("c", "coredns"); must(t, d, err).ConfigurationValues != `{"replicaCount":1}` || d.Status != account.AddonActive {
		t.Errorf("after a refused update = %+v", d)
	}
	if err := a.DeleteAddon("c", "coredns", false); !errors.Is(err, s.refuses) {
		t.Errorf("software that cannot be taken out: %v", err)
	}
	s.refuses = nil
	ok(t, a.DeleteAddon("c", "coredns", false))
	ok(t, a.DeleteAddon("c", "kube-proxy", true))
	has(map[string]string{"kube-proxy": `{"mode":"ipvs"}`})
	names, err := a.ListAddons("c")
	if len(must(t, names, err)) > 0 {
		t.Errorf("add-ons left: %v", names)
	}
}
