package wire

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"eks-gpu-slicing/rehearsal/account"
)

// estate is an account with two clusters: the program's, whose Karpenter controller acts by the
// policies that the program renders (testdata/rendered), and another's beside it.
type estate struct {
	*testing.T
	account *account.Account
	handler *Handler
	clients // of the program's controller
	region  string
	own     holdings
	other   holdings
}

// holdings are what one cluster has in the account.
type holdings struct {
	cluster, nodeRole, queue, queueURL string
	// instance is one of Karpenter's, controller one of the managed node group's.
	instance, controller, template, profile, group, image string
	// profilePath is where Karpenter puts the cluster's instance profiles.
	profilePath string
	// ownership are the tags of what Karpenter launches, profileTags those of its profiles.
	ownership, profileTags map[string]string
}

// loosening takes one thing out of the program's policies: a key of a condition, or, where it names
// resources, what narrows them.
type loosening struct {
	sid, operator, key string
	resource           string
}

func (l loosening) apply(t *testing.T, statement map[string]any) {
	t.Helper()
	if l.resource != "" {
		statement["Resource"] = []any{l.resource}
		return
	}
	condition, _ := statement["Condition"].(map[string]any)
	keys, _ := condition[l.operator].(map[string]any)
	if _, there := keys[l.key]; !there {
		t.Fatalf("statement %s has no condition %s %s", l.sid, l.operator, l.key)
	}
	delete(keys, l.key)
	if len(keys) == 0 {
		delete(condition, l.operator)
	}
}

// stacks are the folders of the program's rendered stacks.
func stacks(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("..", "..", "..", "testdata", "rendered", "*", "policy-*-karpenter-discovery-*.json"))
	if err != nil || len(found) < 2 {
		t.Fatalf("rendered stacks: %v (%v)", found, err)
	}
	for i, file := range found {
		found[i] = filepath.Dir(file)
	}
	return found
}

// newEstate reads a rendered stack's policies, loosens them, and builds the account around them.
func newEstate(t *testing.T, dir string, loosenings ...loosening) *estate {
	t.Helper()
	documents, err := filepath.Glob(filepath.Join(dir, "policy-*-karpenter-*.json"))
	if err != nil || len(documents) != 4 {
		t.Fatalf("%s: policies %v (%v)", dir, documents, err)
	}
	name := strings.TrimSuffix(filepath.Base(documents[0]), ".json")
	cluster, rest, _ := strings.Cut(strings.TrimPrefix(name, "policy-"), "-karpenter-discovery-")
	e := &estate{T: t, region: rest}
	e.account, err = account.New(account.Options{Region: e.region})
	e.ok(err)
	e.handler = New(Options{Account: e.account})
	w := &world{T: t, account: e.account, handler: e.handler}
	w.serve()
	e.own, e.other = e.hold(cluster), e.hold("other")

	controller := cluster + "-karpenter-" + e.region
	_, err = e.account.CreateRole(account.CreateRoleInput{Name: controller, AssumeRolePolicy: readFile(t, filepath.Join(dir, "trust-"+controller+".json"))})
	e.ok(err)
	used := map[string]bool{}
	for _, path := range documents {
		var document map[string]any
		e.ok(json.Unmarshal([]byte(readFile(t, path)), &document))
		statements, _ := document["Statement"].([]any)
		for _, s := range statements {
			statement, _ := s.(map[string]any)
			for _, l := range loosenings {
				if l.sid == statement["Sid"] {
					used[l.sid] = true
					l.apply(t, statement)
				}
			}
		}
		text, err := json.Marshal(document)
		e.ok(err)
		p, err := e.account.CreatePolicy(account.CreatePolicyInput{Name: strings.TrimSuffix(filepath.Base(path), ".json"), Document: string(text)})
		e.ok(err)
		e.ok(e.account.AttachRolePolicy(controller, p.ARN))
	}
	for _, l := range loosenings {
		if !used[l.sid] {
			t.Fatalf("no statement %s", l.sid)
		}
	}
	_, err = e.account.CreatePodIdentityAssociation(cluster, "kube-system", "karpenter", roleARN(controller), nil)
	e.ok(err)
	s, _, err := e.account.AssumeRoleForPodIdentity(cluster, account.PodClaims{Namespace: "kube-system", ServiceAccount: "karpenter", Pod: "karpenter-0"})
	e.ok(err)
	cfg := w.config(s.Credentials)
	cfg.Region = e.region
	e.clients = clientsOf(cfg)
	return e
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (e *estate) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// hold makes a cluster and what Karpenter makes for it.
func (e *estate) hold(cluster string) holdings {
	e.Helper()
	h := holdings{cluster: cluster, nodeRole: cluster + "-karpenter-node-" + e.region, queue: cluster + "-karpenter", profile: cluster + "_1", profilePath: "/karpenter/" + e.region + "/" + cluster + "/1/"}
	h.ownership = map[string]string{"kubernetes.io/cluster/" + cluster: "owned", "eks:eks-cluster-name": cluster, "karpenter.sh/nodepool": "gpu"}
	h.profileTags = map[string]string{
		"kubernetes.io/cluster/" + cluster: "owned", "eks:eks-cluster-name": cluster,
		"topology.kubernetes.io/region": e.region, "karpenter.k8s.aws/ec2nodeclass": "gpu",
	}
	for name, service := range map[string]string{cluster + "-cluster": "eks.amazonaws.com", h.nodeRole: "ec2.amazonaws.com"} {
		_, err := e.account.CreateRole(account.CreateRoleInput{Name: name, AssumeRolePolicy: trust(`{"Service":"` + service + `"}`)})
		e.ok(err)
	}
	subnets, err := e.account.DescribeSubnets()
	e.ok(err)
	var ids []string
	for _, s := range subnets {
		ids = append(ids, s.ID)
	}
	c, err := e.account.CreateCluster(account.CreateClusterInput{
		Name: cluster, Version: "1.35", RoleARN: roleARN(cluster + "-cluster"), AuthenticationMode: account.AuthAPI,
		VPC: account.ClusterVPC{SubnetIDs: ids, EndpointPublicAccess: true},
	})
	e.ok(err)
	h.group = c.VPC.ClusterSecurityGroupID
	q, err := e.account.CreateQueue(h.queue, nil, nil)
	e.ok(err)
	h.queueURL = q.URL
	_, err = e.account.SendMessage(q.URL, "{}")
	e.ok(err)
	_, err = e.account.CreateInstanceProfile(h.profile, h.profilePath, h.profileTags)
	e.ok(err)
	e.ok(e.account.AddRoleToInstanceProfile(h.profile, h.nodeRole))
	image, err := e.account.GetParameter("/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended/image_id")
	e.ok(err)
	h.image = image.Value
	lt, err := e.account.CreateLaunchTemplate(account.CreateLaunchTemplateInput{
		Name: "karpenter.k8s.aws/" + cluster, Tags: h.ownership,
		Data: account.LaunchTemplateData{
			ImageID: h.image, IAMInstanceProfile: h.profile, SecurityGroupIDs: []string{h.group},
			TagSpecifications: []account.TagSpecification{{ResourceType: "network-interface", Tags: h.ownership}, {ResourceType: "spot-instances-request", Tags: h.ownership}},
		},
	})
	e.ok(err)
	h.template = lt.ID
	h.instance = e.launch(h, h.ownership)
	h.controller = e.launch(h, map[string]string{"kubernetes.io/cluster/" + cluster: "owned", "eks:nodegroup-name": "controllers"})
	return h
}

func (e *estate) launch(h holdings, tags account.Tags) string {
	e.Helper()
	out, err := e.account.RunInstances(account.LaunchInput{
		Template: &account.LaunchTemplateRef{ID: h.template}, Data: account.LaunchTemplateData{InstanceType: "m7i.large"}, Count: 1,
		Tags: map[string]account.Tags{"instance": tags},
	})
	e.ok(err)
	return out[0].ID
}

// fleet launches as Karpenter does, from h's template with tags.
func (e *estate) fleet(h holdings, tags map[string]string) error {
	in := &ec2.CreateFleetInput{
		Type:                        ec2types.FleetTypeInstant,
		TargetCapacitySpecification: &ec2types.TargetCapacitySpecificationRequest{TotalTargetCapacity: aws.Int32(1), DefaultTargetCapacityType: ec2types.DefaultTargetCapacityTypeSpot},
		SpotOptions:                 &ec2types.SpotOptionsRequest{AllocationStrategy: ec2types.SpotAllocationStrategyPriceCapacityOptimized},
		LaunchTemplateConfigs: []ec2types.FleetLaunchTemplateConfigRequest{{
			LaunchTemplateSpecification: &ec2types.FleetLaunchTemplateSpecificationRequest{LaunchTemplateId: &h.template, Version: aws.String("$Latest")},
			Overrides:                   []ec2types.FleetLaunchTemplateOverridesRequest{{InstanceType: "m7i.large"}},
		}},
	}
	if tags != nil {
		in.TagSpecifications = specs(tags, ec2types.ResourceTypeInstance, ec2types.ResourceTypeVolume, ec2types.ResourceTypeFleet)
	}
	out, err := e.ec2.CreateFleet(context.Background(), in)
	if err == nil && len(out.Errors) > 0 {
		return &smithy.GenericAPIError{Code: *out.Errors[0].ErrorCode, Message: *out.Errors[0].ErrorMessage}
	}
	return err
}

func profileTagList(tags map[string]string) []iamtypes.Tag {
	var out []iamtypes.Tag
	for _, k := range sortedKeys(tags) {
		out = append(out, iamtypes.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

// with is tags with one changed, or without it where the value is "".
func with(tags map[string]string, key, value string) map[string]string {
	out := maps.Clone(tags)
	if out[key] = value; value == "" {
		delete(out, key)
	}
	return out
}

// denied is the action that IAM denied; "" where it denied none.
func (e *estate) denied(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	switch api.ErrorCode() {
	case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException":
		all := e.handler.Denied()
		return all[len(all)-1].Action
	}
	return ""
}

func tagInstance(id string, tags map[string]string) func(*estate) error {
	return func(e *estate) error {
		_, err := e.ec2.CreateTags(e.Context(), &ec2.CreateTagsInput{Resources: []string{id}, Tags: ec2Tags(tags)})
		return err
	}
}
