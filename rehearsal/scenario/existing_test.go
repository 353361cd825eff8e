package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// installs are the changes of the stack existing by which it installs Karpenter.
var installs = []string{"--config", "installKarpenter=true", "--config", "nodeClass="}

// TestExistingPlan compares the plan of the stack existing, which uses the Karpenter
// that the cluster has, and that of one that installs Karpenter, with
// testdata/plan-existing*.txt. UPDATE_GOLDEN=1 rewrites them.
func TestExistingPlan(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"existing":          {"--world", "existing-karpenter"},
		"existing-installs": append([]string{"--world", "existing-bare"}, installs...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := describe(preview(t, append([]string{"--stack", "existing"}, args...)...))
			file := filepath.Join("testdata", "plan-"+name+".txt")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s differs (-golden +planned):\n%s", file, diff)
			}
		})
	}
}

// TestExistingWorlds: what clusters that stand make the preview of the stack existing
// say.
func TestExistingWorlds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		status int
		says   []string
	}{
		"no cluster":     {nil, 1, []string{`existingCluster is "platform": an EKS cluster in us-west-2`}},
		"still creating": {[]string{"--world", "existing-creating"}, 1, []string{"this one is still CREATING", "mend: aws eks wait cluster-active --region us-west-2 --name platform"}},
		"failed":         {[]string{"--world", "existing-failed"}, 1, []string{`existingCluster is "platform": a cluster that works; this one is FAILED`, "mend: aws eks describe-cluster --region us-west-2 --name platform tells why"}},
		"not to be read": {[]string{"--world", "existing-unreadable"}, 1, []string{"a cluster that you may read: arn:aws:iam::111122223333:user/rehearsal is denied eks:DescribeCluster", "eks:DescribeCluster on arn:aws:eks:us-west-2:111122223333:cluster/platform"}},
		"another name":   {[]string{"--world", "existing-bare", "--config", "existingCluster=platforms"}, 1, []string{`existingCluster is "platforms": an EKS cluster in us-west-2; there are platform`, "mend: pulumi config set existingCluster platform"}},
		"a Karpenter too old": {[]string{"--world", "existing-old-karpenter"}, 1, []string{`Deployment kube-system/karpenter is "Karpenter 1.5.4": Karpenter 1.7 or later`,
			"mend: helm upgrade --install karpenter-crd oci://public.ecr.aws/karpenter/karpenter-crd --namespace kube-system --version 1.14.1 && helm upgrade karpenter"}},
		"another node class": {[]string{"--world", "existing-karpenter", "--config", "nodeClass=gpu"}, 1, []string{"resource 'gpu' does not exist", "kubectl get ec2nodeclasses"}},
		"the gate is off": {[]string{"--world", "existing-no-gate"}, 1,
			[]string{`Deployment kube-system/karpenter's feature gate NodeOverlay is "off"`, "mend: helm upgrade karpenter oci://public.ecr.aws/karpenter/karpenter --namespace kube-system --reuse-values --version 1.14.1 --set settings.featureGates.nodeOverlay=true"}},
		"no Karpenter": {[]string{"--world", "existing-bare"}, 1, []string{"resource 'kube-system/karpenter' does not exist", "pulumi config rm installKarpenter"}},
		"the ConfigMap alone": {append([]string{"--world", "existing-config-map"}, installs...), 1,
			[]string{"its authentication mode is CONFIG_MAP", "mend: aws eks update-cluster-config --region us-west-2 --name platform --access-config authenticationMode=API_AND_CONFIG_MAP"}},
		"GPU nodes that are there":     {[]string{"--world", "existing-config-map", "--config", "nodeClass=", "--config", "gpuNodeLabel=eks.amazonaws.com/nodegroup=gpu"}, 0, []string{"8 to create"}},
		"a family the version has not": {append([]string{"--world", "existing-bare", "--config", "amiFamily=al2"}, installs...), 1, []string{"al2023 on Kubernetes 1.34"}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			holds(t, run(t, append([]string{"preview", "--stack", "existing"}, c.args...)...), c.status, c.says)
		})
	}
}
