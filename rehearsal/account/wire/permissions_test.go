package wire

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// TestControllerIsRefused: what the controller must not do is denied by the program's policies, and by
// what is said here alone: without it the same call goes through.
func TestControllerIsRefused(t *testing.T) {
	t.Parallel()
	const ownResource, ownRequest, pool = "aws:ResourceTag/kubernetes.io/cluster/OWN", "aws:RequestTag/kubernetes.io/cluster/OWN", "karpenter.sh/nodepool"
	const anyProfile = "arn:aws:iam::111122223333:instance-profile/*"
	anyRequestTags := func(sid string) []loosening {
		return []loosening{{sid: sid, operator: "StringEquals", key: ownRequest}, {sid: sid, operator: "StringEquals", key: "aws:RequestTag/eks:eks-cluster-name"}, {sid: sid, operator: "StringLike", key: "aws:RequestTag/" + pool}}
	}
	tests := map[string]struct {
		call   func(*estate) error
		action string
		by     []loosening
	}{
		"ending another cluster's instance": {
			func(e *estate) error {
				_, err := e.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{e.other.instance}})
				return err
			},
			"ec2:TerminateInstances", []loosening{{sid: "EndOwnInstances", operator: "StringEquals", key: ownResource}},
		},
		"ending another cluster's among its own": {
			func(e *estate) error {
				_, err := e.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{e.own.instance, e.other.instance}})
				return err
			},
			"ec2:TerminateInstances", []loosening{{sid: "EndOwnInstances", operator: "StringEquals", key: ownResource}},
		},
		"ending the nodes it runs on": {
			func(e *estate) error {
				_, err := e.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{e.own.controller}})
				return err
			},
			"ec2:TerminateInstances", []loosening{{sid: "EndOwnInstances", operator: "StringLike", key: "aws:ResourceTag/" + pool}},
		},
		"deleting another cluster's launch template": {
			func(e *estate) error {
				_, err := e.ec2.DeleteLaunchTemplate(t.Context(), &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: &e.other.template})
				return err
			},
			"ec2:DeleteLaunchTemplate", []loosening{{sid: "DeleteOwnTemplates", operator: "StringEquals", key: ownResource}},
		},
		"tagging another cluster's instance": {
			func(e *estate) error { return tagInstance(e.other.instance, map[string]string{"Name": "mine"})(e) },
			"ec2:CreateTags", []loosening{{sid: "TagOwnInstances", operator: "StringEquals", key: ownResource}},
		},
		"tagging the nodes it runs on": {
			func(e *estate) error { return tagInstance(e.own.controller, map[string]string{"Name": "mine"})(e) },
			"ec2:CreateTags", []loosening{{sid: "TagOwnInstances", operator: "StringLike", key: "aws:ResourceTag/" + pool}},
		},
		"changing who owns its instance": {
			func(e *estate) error {
				return tagInstance(e.own.instance, map[string]string{"kubernetes.io/cluster/other": "owned"})(e)
			},
			"ec2:CreateTags", []loosening{{sid: "TagOwnInstances", operator: "ForAllValues:StringEquals", key: "aws:TagKeys"}},
		},
		"giving its instance to another cluster": {
			func(e *estate) error {
				return tagInstance(e.own.instance, map[string]string{"eks:eks-cluster-name": "other"})(e)
			},
			"ec2:CreateTags", []loosening{{sid: "TagOwnInstances", operator: "StringEqualsIfExists", key: "aws:RequestTag/eks:eks-cluster-name"}},
		},
		"launching without tags": {
			func(e *estate) error { return e.fleet(e.own, nil) },
			"ec2:CreateFleet", append(anyRequestTags("LaunchTagged"), anyRequestTags("FleetTagged")...),
		},
		"launching as another cluster": {
			func(e *estate) error { return e.fleet(e.own, e.other.ownership) },
			"ec2:CreateFleet", slices.Concat(anyRequestTags("LaunchTagged"), anyRequestTags("FleetTagged"), anyRequestTags("TagAtCreation")),
		},
		"launching without the owner's tag": {
			func(e *estate) error {
				return e.fleet(e.own, with(e.own.ownership, "kubernetes.io/cluster/"+e.own.cluster, ""))
			},
			"ec2:CreateFleet", []loosening{{sid: "LaunchTagged", operator: "StringEquals", key: ownRequest}, {sid: "FleetTagged", operator: "StringEquals", key: ownRequest}, {sid: "TagAtCreation", operator: "StringEquals", key: ownRequest}},
		},
		"launching without a pool": {
			func(e *estate) error { return e.fleet(e.own, with(e.own.ownership, pool, "")) },
			"ec2:CreateFleet", []loosening{{sid: "LaunchTagged", operator: "StringLike", key: "aws:RequestTag/" + pool}, {sid: "FleetTagged", operator: "StringLike", key: "aws:RequestTag/" + pool}, {sid: "TagAtCreation", operator: "StringLike", key: "aws:RequestTag/" + pool}},
		},
		"launching from another cluster's template": {
			func(e *estate) error { return e.fleet(e.other, e.own.ownership) },
			"ec2:CreateFleet", []loosening{
				{sid: "LaunchFromOwnTemplates", operator: "StringEquals", key: ownResource}, {sid: "PassNodeRole", resource: "arn:aws:iam::111122223333:role/*"},
				// The template tags the network interface and the spot request as the other's.
				{sid: "LaunchTagged", operator: "StringEquals", key: ownRequest}, {sid: "LaunchTagged", operator: "StringEquals", key: "aws:RequestTag/eks:eks-cluster-name"},
				{sid: "TagAtCreation", operator: "StringEquals", key: ownRequest}, {sid: "TagAtCreation", operator: "StringEquals", key: "aws:RequestTag/eks:eks-cluster-name"},
			},
		},
		"a launch template without tags": {
			func(e *estate) error {
				_, err := e.ec2.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("t"), LaunchTemplateData: &ec2types.RequestLaunchTemplateData{ImageId: &e.own.image}})
				return err
			},
			"ec2:CreateLaunchTemplate", anyRequestTags("TemplateTagged"),
		},
		"tagging as if at creation": {
			func(e *estate) error { return tagInstance(e.other.instance, e.own.ownership)(e) },
			"ec2:CreateTags", []loosening{{sid: "TagAtCreation", operator: "StringEquals", key: "ec2:CreateAction"}},
		},
		"passing another role in a profile": {
			func(e *estate) error {
				if err := e.account.RemoveRoleFromInstanceProfile(e.own.profile, e.own.nodeRole); err != nil {
					return err
				}
				_, err := e.iam.AddRoleToInstanceProfile(t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &e.own.profile, RoleName: &e.other.nodeRole})
				return err
			},
			"iam:PassRole", []loosening{{sid: "PassNodeRole", resource: "arn:aws:iam::111122223333:role/*"}},
		},
		"passing another role in a launch": {
			func(e *estate) error {
				_, err := e.ec2.RunInstances(t.Context(), &ec2.RunInstancesInput{
					MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ImageId: &e.own.image, InstanceType: "m7i.large",
					IamInstanceProfile: &ec2types.IamInstanceProfileSpecification{Name: &e.other.profile},
					TagSpecifications:  specs(e.own.ownership, ec2types.ResourceTypeInstance, ec2types.ResourceTypeVolume, ec2types.ResourceTypeNetworkInterface),
				})
				return err
			},
			"iam:PassRole", []loosening{{sid: "PassNodeRole", resource: "arn:aws:iam::111122223333:role/*"}},
		},
		"reading another queue": {
			func(e *estate) error {
				_, err := e.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &e.other.queueURL})
				return err
			},
			"sqs:ReceiveMessage", []loosening{{sid: "Interruptions", resource: "arn:aws:sqs:*:111122223333:*"}},
		},
		"finding another queue": {
			func(e *estate) error {
				_, err := e.sqs.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &e.other.queue})
				return err
			},
			"sqs:GetQueueUrl", []loosening{{sid: "Interruptions", resource: "arn:aws:sqs:*:111122223333:*"}},
		},
		"taking another queue's messages": {
			func(e *estate) error {
				_, err := e.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &e.other.queueURL, ReceiptHandle: aws.String("h")})
				return err
			},
			"sqs:DeleteMessage", []loosening{{sid: "Interruptions", resource: "arn:aws:sqs:*:111122223333:*"}},
		},
		"emptying another cluster's profile": {
			func(e *estate) error {
				_, err := e.iam.RemoveRoleFromInstanceProfile(t.Context(), &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: &e.other.profile, RoleName: &e.other.nodeRole})
				return err
			},
			"iam:RemoveRoleFromInstanceProfile", []loosening{{sid: "ChangeOwnProfile", resource: anyProfile}, {sid: "ChangeOwnProfile", operator: "StringEquals", key: ownResource}},
		},
		"filling another cluster's profile": {
			func(e *estate) error {
				if err := e.account.RemoveRoleFromInstanceProfile(e.other.profile, e.other.nodeRole); err != nil {
					return err
				}
				_, err := e.iam.AddRoleToInstanceProfile(t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &e.other.profile, RoleName: &e.own.nodeRole})
				return err
			},
			"iam:AddRoleToInstanceProfile", []loosening{{sid: "ChangeOwnProfile", resource: anyProfile}, {sid: "ChangeOwnProfile", operator: "StringEquals", key: ownResource}},
		},
		"deleting another cluster's profile": {
			func(e *estate) error {
				_, err := e.iam.DeleteInstanceProfile(t.Context(), &iam.DeleteInstanceProfileInput{InstanceProfileName: &e.other.profile})
				return err
			},
			"iam:DeleteInstanceProfile", []loosening{{sid: "ChangeOwnProfile", resource: anyProfile}, {sid: "ChangeOwnProfile", operator: "StringEquals", key: ownResource}},
		},
		"deleting a profile of its name in another region": {
			func(e *estate) error {
				if _, err := e.account.CreateInstanceProfile("elsewhere", e.own.profilePath, with(e.own.profileTags, "topology.kubernetes.io/region", "eu-west-1")); err != nil {
					return err
				}
				_, err := e.iam.DeleteInstanceProfile(t.Context(), &iam.DeleteInstanceProfileInput{InstanceProfileName: aws.String("elsewhere")})
				return err
			},
			"iam:DeleteInstanceProfile", []loosening{{sid: "ChangeOwnProfile", operator: "StringEquals", key: "aws:ResourceTag/topology.kubernetes.io/region"}},
		},
		"taking another cluster's profile over": {
			func(e *estate) error {
				_, err := e.iam.TagInstanceProfile(t.Context(), &iam.TagInstanceProfileInput{InstanceProfileName: &e.other.profile, Tags: profileTagList(e.own.profileTags)})
				return err
			},
			"iam:TagInstanceProfile", []loosening{{sid: "TagProfile", resource: anyProfile}, {sid: "TagProfile", operator: "StringEquals", key: ownResource}},
		},
		"giving its profile to another cluster": {
			func(e *estate) error {
				_, err := e.iam.TagInstanceProfile(t.Context(), &iam.TagInstanceProfileInput{
					InstanceProfileName: &e.own.profile, Tags: profileTagList(with(e.own.profileTags, "eks:eks-cluster-name", "other")),
				})
				return err
			},
			"iam:TagInstanceProfile", []loosening{{sid: "TagProfile", operator: "StringEquals", key: "aws:RequestTag/eks:eks-cluster-name"}},
		},
		"a profile without the owner's tag": {
			func(e *estate) error {
				_, err := e.iam.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("p"), Path: &e.own.profilePath, Tags: profileTagList(with(e.own.profileTags, "kubernetes.io/cluster/"+e.own.cluster, ""))})
				return err
			},
			"iam:CreateInstanceProfile", []loosening{{sid: "CreateProfile", operator: "StringEquals", key: ownRequest}},
		},
		"a profile among another cluster's": {
			func(e *estate) error {
				_, err := e.iam.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("p"), Path: &e.other.profilePath, Tags: profileTagList(e.own.profileTags)})
				return err
			},
			"iam:CreateInstanceProfile", []loosening{{sid: "CreateProfile", resource: anyProfile}},
		},
		"deleting a profile that bears its tags among another cluster's": {
			func(e *estate) error {
				if _, err := e.account.CreateInstanceProfile("p", e.other.profilePath, e.own.profileTags); err != nil {
					return err
				}
				_, err := e.iam.DeleteInstanceProfile(t.Context(), &iam.DeleteInstanceProfileInput{InstanceProfileName: aws.String("p")})
				return err
			},
			"iam:DeleteInstanceProfile", []loosening{{sid: "ChangeOwnProfile", resource: anyProfile}},
		},
		"reading another cluster's profile": {
			func(e *estate) error {
				_, err := e.iam.GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: &e.other.profile})
				return err
			},
			"iam:GetInstanceProfile", []loosening{{sid: "ReadProfile", resource: anyProfile}},
		},
		"seeking a profile of another cluster's name": {
			func(e *estate) error {
				_, err := e.iam.GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: aws.String(e.other.cluster + "_2")})
				return err
			},
			"iam:GetInstanceProfile", []loosening{{sid: "SeekProfile", resource: anyProfile}},
		},
		"looking at another cluster": {
			func(e *estate) error {
				_, err := e.eks.DescribeCluster(t.Context(), &eks.DescribeClusterInput{Name: aws.String("other")})
				return err
			},
			"eks:DescribeCluster", []loosening{{sid: "ReadCluster", resource: "arn:aws:eks:*:111122223333:cluster/*"}},
		},
		"reading a parameter of the account's own": {
			func(e *estate) error {
				_, err := e.ssm.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/secrets/token")})
				return err
			},
			"ssm:GetParameter", []loosening{{sid: "ReadAMIs", resource: "*"}},
		},
	}
	for _, dir := range stacks(t) {
		for name, tc := range tests {
			t.Run(filepath.Base(dir)+"/"+name, func(t *testing.T) {
				t.Parallel()
				e := newEstate(t, dir)
				before := len(e.handler.Denied())
				if err := tc.call(e); e.denied(err) != tc.action || len(e.handler.Denied()) != before+1 {
					t.Errorf("got %v, want %s denied", err, tc.action)
				}
				var by []loosening
				for _, l := range tc.by {
					l.key = strings.ReplaceAll(l.key, "OWN", e.own.cluster)
					by = append(by, l)
				}
				e = newEstate(t, dir, by...)
				if err := tc.call(e); e.denied(err) != "" {
					t.Errorf("without what refuses it: %v\n%+v", err, e.handler.Denied())
				}
			})
		}
	}
}

// TestControllerMayWork: with the program's policies the controller launches, tags and ends its own.
func TestControllerMayWork(t *testing.T) {
	t.Parallel()
	for _, dir := range stacks(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			e := newEstate(t, dir)
			ctx := t.Context()
			e.ok(e.fleet(e.own, e.own.ownership))
			e.ok(tagInstance(e.own.instance, map[string]string{"Name": "n", "karpenter.sh/nodeclaim": "c", "eks:eks-cluster-name": e.own.cluster})(e))
			_, err := e.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{e.own.instance}})
			e.ok(err)
			_, err = e.ec2.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: &e.own.template})
			e.ok(err)
			name := aws.String(e.own.cluster + "_2")
			var none *iamtypes.NoSuchEntityException
			if _, err := e.iam.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: name}); !errors.As(err, &none) {
				t.Errorf("a profile that is not there: %v", err)
			}
			_, err = e.iam.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: name, Path: &e.own.profilePath, Tags: profileTagList(e.own.profileTags)})
			e.ok(err)
			_, err = e.iam.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: &e.own.nodeRole})
			e.ok(err)
			_, err = e.iam.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: name})
			e.ok(err)
			_, err = e.iam.TagInstanceProfile(ctx, &iam.TagInstanceProfileInput{InstanceProfileName: name, Tags: profileTagList(e.own.profileTags)})
			e.ok(err)
			_, err = e.iam.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name, RoleName: &e.own.nodeRole})
			e.ok(err)
			_, err = e.iam.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: name})
			e.ok(err)
			got, err := e.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &e.own.queueURL})
			e.ok(err)
			_, err = e.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &e.own.queueURL, ReceiptHandle: got.Messages[0].ReceiptHandle})
			e.ok(err)
			if denied := e.handler.Denied(); len(denied) > 0 {
				t.Errorf("denied: %+v", denied)
			}
			want := []string{
				"ec2:CreateFleet", "ec2:CreateTags", "ec2:DeleteLaunchTemplate", "ec2:RunInstances", "ec2:TerminateInstances", "iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile",
				"iam:DeleteInstanceProfile", "iam:GetInstanceProfile", "iam:PassRole", "iam:RemoveRoleFromInstanceProfile", "iam:TagInstanceProfile", "sqs:DeleteMessage", "sqs:ReceiveMessage",
			}
			var needed []string
			for _, g := range e.handler.Needed(roleARN(e.own.cluster + "-karpenter-" + e.region)) {
				needed = append(needed, g.Action)
			}
			if diff := cmp.Diff(want, slices.Compact(needed)); diff != "" {
				t.Errorf("needed (-want +got):\n%s", diff)
			}
		})
	}
}

// TestQueueTakesOwnRulesEvents: the policy of the program's queue lets in what its own rules send, and
// not what another rule of the account does, which is the same principal to SQS; without the condition
// that says so it would.
func TestQueueTakesOwnRulesEvents(t *testing.T) {
	t.Parallel()
	// As the queue's policy and ../../../karpenter/queue.go name them.
	own := []string{"health", "spot-interruption", "rebalance", "state-change", "capacity-reservation"}
	for _, dir := range stacks(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			e := newEstate(t, dir)
			policy := readFile(t, filepath.Join(dir, "queue-policy.json"))
			take := func(policy string) []account.FailedInvocation {
				t.Helper()
				e.ok(e.account.SetQueueAttributes(e.own.queueURL, map[string]string{"Policy": policy}))
				before := len(e.account.FailedInvocations())
				e.account.SendEvent("aws.ec2", "EC2 Instance Rebalance Recommendation", nil, map[string]string{})
				return e.account.FailedInvocations()[before:]
			}
			rule := func(name string) {
				t.Helper()
				_, err := e.account.PutRule(account.EventRule{Name: name, EventPattern: `{"source":["aws.ec2"]}`})
				e.ok(err)
				e.ok(e.account.PutTarget("", name, account.EventTarget{ID: "karpenter", ARN: "arn:aws:sqs:" + e.region + ":111122223333:" + e.own.queue}))
			}
			for _, name := range own {
				rule(e.own.cluster + "-karpenter-" + name)
			}
			if failed := take(policy); len(failed) != 0 {
				t.Errorf("its own rules' events do not get in: %+v", failed)
			}
			rule("others")
			if failed := take(policy); len(failed) != 1 || failed[0].Rule != "others" || !strings.Contains(failed[0].Reason, "is not authorized to perform: sqs:SendMessage") {
				t.Errorf("another rule's event: %+v, want it refused", failed)
			}
			var document map[string]any
			e.ok(json.Unmarshal([]byte(policy), &document))
			statements, _ := document["Statement"].([]any)
			send, _ := statements[0].(map[string]any)
			loosening{sid: "Send", operator: "ArnEquals", key: "aws:SourceArn"}.apply(t, send)
			loose, err := json.Marshal(document)
			e.ok(err)
			if failed := take(string(loose)); len(failed) != 0 {
				t.Errorf("without what refuses it: %+v", failed)
			}
		})
	}
}
