package settings

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestExistingCluster: what is read of a cluster that is there already, and what of a
// new one then counts for nothing.
func TestExistingCluster(t *testing.T) {
	t.Parallel()
	type read struct {
		Name                      string
		Existing, Installs, Needs bool
		Version                   Version
		Family                    AMIFamily
		Deployment, Class         string
		Subnets, SecurityGroups   []string
		Credentials               Credentials
		Nodes                     []NodeLabel // of each pool
	}
	for name, c := range map[string]struct {
		config map[string]string
		want   read
	}{
		"Karpenter is installed": {
			map[string]string{
				"existingCluster": "blue", "kubernetesVersion": "none", "publicAccessCidrs": "[]", "clusterName": "-",
				"nodeSubnets": `["subnet-1","subnet-2"]`, "nodeSecurityGroups": `["sg-1"]`,
			},
			read{Name: "blue", Existing: true, Installs: true, Needs: true, Family: AMIFamilyAuto, Deployment: "kube-system/karpenter",
				Subnets: []string{"subnet-1", "subnet-2"}, SecurityGroups: []string{"sg-1"}, Nodes: []NodeLabel{{}}},
		},
		"Karpenter is there": {
			map[string]string{"existingCluster": "blue", "installKarpenter": "false", "karpenterDeployment": "karpenter/karpenter", "nodeClass": "default", "publicAccessCidrs": "[]",
				"gpuPools": `[{"name":"batch","nodeLabel":"a/b=c"}]`, "aws:profile": "ml", "aws:assumeRole": `{"roleArn":"arn:x"}`},
			read{Name: "blue", Existing: true, Needs: true, Family: AMIFamilyAuto, Deployment: "karpenter/karpenter", Class: "default",
				Nodes: []NodeLabel{{}, {"a/b", "c"}}, Credentials: Credentials{Profile: "ml", RoleARN: "arn:x"}},
		},
		"no Karpenter is needed": {
			map[string]string{"existingCluster": "blue", "installKarpenter": "false", "gpuNodeLabel": "eks.amazonaws.com/nodegroup=gpu", "publicAccessCidrs": "[]"},
			read{Name: "blue", Existing: true, Family: AMIFamilyAuto, Deployment: "kube-system/karpenter",
				Nodes: []NodeLabel{{"eks.amazonaws.com/nodegroup", "gpu"}}},
		},
		"a new cluster with nodes of its own": {
			map[string]string{"gpuNodeLabel": "a=b", "gpuPools": `[{"name":"more"}]`},
			read{Name: "gpu-slicing", Installs: true, Needs: true, Version: Version{1, 28}, Family: AMIFamilyAL2, Deployment: "kube-system/karpenter",
				Nodes: []NodeLabel{{"a", "b"}, {}}},
		},
	} {
		s, problems := Load(schema(t), valid(c.config))
		if err := problems.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got := read{s.ClusterName, s.Existing, s.InstallKarpenter, s.NeedsKarpenter(), s.Version, s.AMIFamily, s.KarpenterDeployment, s.NodeClass,
			s.NodeSubnets, s.NodeSecurityGroups, s.Credentials, nil}
		for _, p := range s.GPUPools {
			got.Nodes = append(got.Nodes, p.Nodes)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestExistingClusterRefused(t *testing.T) {
	t.Parallel()
	existing := func(changes map[string]string) map[string]string {
		config := valid(map[string]string{"existingCluster": "blue", "installKarpenter": "false", "nodeClass": "default", "publicAccessCidrs": "[]"})
		for key, value := range changes {
			config["eks-gpu-slicing:"+key] = value
		}
		return config
	}
	for name, c := range map[string]struct {
		config map[string]string
		want   []string
	}{
		"in order":         {nil, nil},
		"no node class":    {map[string]string{"nodeClass": ""}, []string{"pulumi config set nodeClass default"}},
		"a class's name":   {map[string]string{"nodeClass": "Default"}, []string{"pulumi config set nodeClass default"}},
		"a Deployment":     {map[string]string{"karpenterDeployment": "karpenter"}, []string{"pulumi config set karpenterDeployment kube-system/karpenter"}},
		"whose subnets":    {map[string]string{"nodeSubnets": `["subnet-1"]`}, []string{"pulumi config rm nodeSubnets"}},
		"whose key":        {map[string]string{"secretsEncryption": "stack"}, []string{"pulumi config rm secretsEncryption"}},
		"a class for none": {map[string]string{"installKarpenter": "true"}, []string{"pulumi config rm nodeClass"}},
		"subnets": {map[string]string{"installKarpenter": "true", "nodeClass": "", "nodeSubnets": `["subnet-1","vpc-1","subnet-1"]`},
			[]string{"pulumi config set --path 'nodeSubnets[1]' subnet-ID", "pulumi config rm --path 'nodeSubnets[2]'"}},
	} {
		_, problems := Load(schema(t), existing(c.config))
		var mends []string
		for _, p := range problems {
			mends = append(mends, p.Mend)
		}
		if diff := cmp.Diff(c.want, mends); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestRuns: the version of an existing cluster decides the AMI family, as that of a
// new one does.
func TestRuns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		family  string
		version Version
		want    AMIFamily
		refused bool
	}{
		{"auto", Version{1, 32}, AMIFamilyAL2, false},
		{"auto", Version{1, 33}, AMIFamilyAL2023, false},
		{"al2023", Version{1, 28}, AMIFamilyAL2023, false},
		{"al2", Version{1, 33}, AMIFamilyAL2, true},
	} {
		s, problems := Load(schema(t), valid(map[string]string{"existingCluster": "blue", "amiFamily": c.family}))
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		refused := len(s.Runs(c.version)) > 0
		if s.Version != c.version || s.AMIFamily != c.want || refused != c.refused {
			t.Errorf("%s on %s: %s %s, refused: %v", c.family, c.version, s.AMIFamily, s.Version, refused)
		}
	}
}
