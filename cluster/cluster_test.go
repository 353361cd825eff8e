package cluster

import (
	"strings"
	"testing"

	"eks-gpu-slicing/internal/settings"
)

func TestAMIType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		family settings.AMIFamily
		arch   string
		want   string
	}{
		{settings.AMIFamilyAL2, "arm64", "AL2_ARM_64"},
		{settings.AMIFamilyAL2, "amd64", "AL2_x86_64"},
		{settings.AMIFamilyAL2023, "arm64", "AL2023_ARM_64_STANDARD"},
		{settings.AMIFamilyAL2023, "amd64", "AL2023_x86_64_STANDARD"},
	} {
		if got := AMIType(c.family, c.arch); got != c.want {
			t.Errorf("%s on %s: %s, want %s", c.family, c.arch, got, c.want)
		}
	}
}

func TestDaemonSets(t *testing.T) {
	t.Parallel()
	if n := DaemonSets(); n != 3 { // aws-node, kube-proxy, eks-pod-identity-agent
		t.Errorf("%d pods on every node, want 3", n)
	}
}

func TestWorldOpen(t *testing.T) {
	t.Parallel()
	if got := worldOpen([]string{"203.0.113.0/24", "10.0.0.0/8"}); len(got) > 0 {
		t.Errorf("of an endpoint for some: %q", got)
	}
	got := worldOpen([]string{"203.0.113.0/24", "0.0.0.0/0"})
	want := `pulumi config set --path 'publicAccessCidrs[1]' "$(curl -s https://checkip.amazonaws.com)/32"`
	if len(got) != 1 || !strings.HasSuffix(got[0], "mend: "+want) {
		t.Errorf("of an endpoint for all: %q, want the mend %q", got, want)
	}
}
