package scenario

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/leftovers"
	provider "eks-gpu-slicing/rehearsal/provider/kubernetes"
	livecluster "eks-gpu-slicing/rehearsal/provider/kubernetes/live"
)

// cluster is the dev stack's, and controllerRole the role of its Karpenter.
const cluster, controllerRole = "gpu-slicing", "gpu-slicing-karpenter-us-west-1"

// pulumi runs commands of the CLI, none of which may fail.
func (s *story) pulumi(commands ...string) {
	s.t.Helper()
	for _, c := range commands {
		if err := s.Pulumi(s.t.Context(), append(strings.Fields(c), "--yes", "--skip-preview")...); err != nil {
			s.t.Fatal(err)
		}
	}
}

// left is what `rehearse leftovers` lists for the stack.
func (s *story) left() []leftovers.Item {
	s.t.Helper()
	env := map[string]string{}
	for _, v := range s.World.Environment() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	found, err := leftovers.Find(s.t.Context(), aws.Config{
		Region: env["AWS_REGION"], BaseEndpoint: aws.String(env["AWS_ENDPOINT_URL"]),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: env["AWS_ACCESS_KEY_ID"], SecretAccessKey: env["AWS_SECRET_ACCESS_KEY"]}, nil
		}),
	}, s.World.Cluster(), s.World.Stands())
	if err != nil {
		s.t.Fatal(err)
	}
	return found.Items
}

// disarm detaches all policies of a role.
func (s *story) disarm(role string) {
	s.t.Helper()
	a := s.World.Account()
	policies, err := a.ListAttachedRolePolicies(role)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range policies {
		if err := a.DetachRolePolicy(role, p); err != nil {
			s.t.Fatal(err)
		}
	}
}

// removeLeft runs the commands that `rehearse leftovers` lists, of the types or of all,
// and returns how many instances were among what they remove.
func (s *story) removeLeft(types ...string) (instances int) {
	s.t.Helper()
	for _, i := range s.left() {
		if len(types) > 0 && !slices.Contains(types, i.Type) {
			continue
		}
		if i.Type == "AWS::EC2::Instance" {
			instances++
		}
		s.t.Logf("left: %s %s", i.Type, i.ID)
		for _, command := range i.Remove {
			if err := s.aws(command); err != nil {
				s.t.Errorf("%s: %v", command, err)
			}
		}
	}
	return instances
}

// aws does what a command of the AWS CLI does, and fails the test for one that is not
// known here.
func (s *story) aws(command string) error {
	s.t.Helper()
	a := s.World.Account()
	words := strings.Fields(command)
	flag := func(name string) string {
		if i := slices.Index(words, name); i > 0 && i+1 < len(words) {
			return words[i+1]
		}
		s.t.Fatalf("%s has no %s", command, name)
		return ""
	}
	switch strings.Join(words[1:3], " ") {
	case "ec2 terminate-instances":
		_, err := a.TerminateInstances(flag("--instance-ids"))
		return err
	case "ec2 wait":
		s.await(command, time.Minute, func() (bool, string) {
			all, err := a.DescribeInstances([]string{flag("--instance-ids")})
			if err != nil || len(all) != 1 {
				return err == nil && len(all) == 0, "it cannot be described"
			}
			return all[0].State == account.StateTerminated, all[0].ID + " is " + all[0].State
		})
		return nil
	case "ec2 delete-launch-template":
		return a.DeleteLaunchTemplate(flag("--launch-template-id"))
	case "ec2 delete-security-group":
		return a.DeleteSecurityGroup(flag("--group-id"))
	case "iam remove-role-from-instance-profile":
		return a.RemoveRoleFromInstanceProfile(flag("--instance-profile-name"), flag("--role-name"))
	case "iam delete-instance-profile":
		return a.DeleteInstanceProfile(flag("--instance-profile-name"))
	default:
		s.t.Fatalf("this test does not know: %s", command)
		return nil
	}
}

// stuck is what a destroy says whose NodePool gpu does not go. The recovery page begins
// with the first of it, and goes on with how to look what is left.
func stuck() []string {
	return []string{timedOut, "NodePool (pools-gpu)", "finalizers might be preventing deletion (", "foregroundDeletion"}
}

// timedOut is the provider's error when something is not gone in time.
const timedOut = "timed out waiting for the condition"

// TestSoakDestroyStops: a destroy from under which somebody took Karpenter's permissions,
// Karpenter, or the cluster. It stops and names what is left; what is said to mend it
// does, and the account is empty then.
func TestSoakDestroyStops(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tell(t, hurry)
	s.denies = true
	a := s.World.Account()

	t.Log("the controller's policies are detached")
	s.up()
	s.inUse()
	s.disarm(controllerRole)
	s.patience = 20 * time.Second
	s.stops(stuck()...)
	if got := len(s.running()); got != 2 {
		t.Errorf("%d GPU instances run without permissions, want 2", got)
	}
	s.patience = 0
	s.pulumi("refresh", "up")
	s.destroy()

	t.Log("Karpenter is uninstalled")
	s.up()
	s.inUse()
	text, err := os.ReadFile(s.World.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	direct, err := livecluster.Connector(nil)(t.Context(), string(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := direct.Uninstall(t.Context(), provider.Release{Namespace: "kube-system", Name: "karpenter"}); err != nil {
		t.Fatal(err)
	}
	s.patience = 20 * time.Second
	s.stops(stuck()...)
	s.patience = 0
	s.pulumi("refresh", "up")
	s.destroy()

	t.Log("the cluster is deleted")
	s.up()
	s.inUse()
	if err := a.DeleteClusterByHand(cluster); err != nil {
		t.Fatal(err)
	}
	s.stops("configured Kubernetes cluster is unreachable")
	s.clusterGone = true
	s.pulumi("refresh")
	// Nobody ends Karpenter's instances now. They bear a group of the stack's.
	s.patience = 5 * time.Second
	s.stops("DependencyViolation", "pools-nodes")
	if got := s.removeLeft("AWS::EC2::Instance"); got != 2 {
		t.Errorf("%d instances are listed, want 2", got)
	}
	s.patience = 0
	s.pulumi("destroy")
	s.removeLeft()
	if left := s.World.Leftovers(); len(left) > 0 {
		t.Errorf("left over in the account: %v", left)
	}
}
