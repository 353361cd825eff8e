package scenario

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// recoveryPage is the page that says what [story.recover] does.
const recoveryPage = checkout + "/docs/recovery.md"

// operation is what is pending in the engine's state: a create of which it does not
// know how it ended.
type operation struct {
	Type     string
	Resource struct {
		URN, Type string
		Inputs    map[string]any
	}
}

// export is `pulumi stack export`, and what is pending in it.
func (s *story) export() (state []byte, pending []operation) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "state.json")
	if err := s.Pulumi(s.t.Context(), "stack", "export", "--file", file); err != nil {
		s.t.Fatal(err)
	}
	state, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	var read struct {
		Deployment struct {
			Operations []operation `json:"pending_operations"`
		}
	}
	if err := json.Unmarshal(state, &read); err != nil {
		s.t.Fatal(err)
	}
	for _, o := range read.Deployment.Operations {
		if o.Type != "creating" {
			s.t.Errorf("the operation %q is pending: %+v", o.Type, o.Resource)
		}
	}
	return state, read.Deployment.Operations
}

// mend makes the pending creates whose IDs are known resources, and forgets the others:
// what the page has jq do.
func mend(state []byte, ids map[string]string) ([]byte, error) {
	var all map[string]any
	if err := json.Unmarshal(state, &all); err != nil {
		return nil, err
	}
	deployment, ok := all["deployment"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the deployment is a %T", all["deployment"])
	}
	resources, ok := deployment["resources"].([]any)
	if !ok {
		return nil, fmt.Errorf("the resources are a %T", deployment["resources"])
	}
	operations, _ := deployment["pending_operations"].([]any) // there may be none
	for _, o := range operations {
		o, _ := o.(map[string]any)
		pending, ok := o["resource"].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("the resource of an operation is a %T", o["resource"])
		}
		if id := ids[fmt.Sprint(pending["urn"])]; id != "" {
			pending["id"] = id
			resources = append(resources, pending)
		}
	}
	deployment["resources"] = resources
	delete(deployment, "pending_operations")
	return json.Marshal(all)
}

// recover does what the page says for an up that was killed, and returns how many creates
// were pending.
func (s *story) recover() int {
	s.t.Helper()
	s.cancel()
	state, operations := s.export()
	ids := map[string]string{}
	for _, o := range operations {
		ids[o.Resource.URN] = s.id(o)
	}
	mended, err := mend(state, ids)
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.t.TempDir(), "mended.json")
	if err := os.WriteFile(file, mended, 0o600); err != nil {
		s.t.Fatal(err)
	}
	for _, command := range [][]string{
		{"stack", "import", "--file", file}, {"refresh", "--yes", "--skip-preview"}, {"up", "--yes", "--skip-preview"},
	} {
		if err := s.Pulumi(s.t.Context(), command...); err != nil {
			s.t.Logf("pending were %q", ids)
			s.t.Fatal(err)
		}
	}
	return len(operations)
}

// cancel does what the page begins with, and what it has for a state in files that the
// kill has torn.
func (s *story) cancel() {
	s.t.Helper()
	out, ok := s.try("cancel --yes")
	if !ok && strings.Contains(out, tornState) {
		if out, err := exec.CommandContext(s.t.Context(), "find", s.dir, "-name", "*.attrs", "-empty", "-delete").CombinedOutput(); err != nil {
			s.t.Fatalf("%v: %s", err, out)
		}
		out, ok = s.try("cancel --yes")
	}
	if !ok {
		s.t.Fatalf("pulumi cancel:\n%s", out)
	}
}

// tornState is what the CLI says of a state in files whose attributes are empty: they are
// written beside the state after it, by gocloud.dev/blob/fileblob, and not as a whole.
const tornState = "failed to load checkpoint: EOF"

// tear does to the state in files what a kill does in the moment in which the CLI writes.
func (s *story) tear() {
	s.t.Helper()
	torn := 0
	err := filepath.WalkDir(s.dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "/dev.json.attrs") && strings.Contains(path, "/stacks/") {
			torn++
			err = os.Truncate(path, 0)
		}
		return err
	})
	if err != nil || torn != 1 {
		s.t.Fatalf("%d states are torn: %v", torn, err)
	}
	if out, ok := s.try("cancel --yes"); ok || !strings.Contains(out, tornState) {
		s.t.Errorf("of a torn state the CLI says:\n%s", out)
	}
}

// id is the ID by which what a create was to make is imported, as the page has it: made
// of its inputs, or looked up by its name. It is "" where there is no such thing.
func (s *story) id(o operation) string {
	s.t.Helper()
	in := func(key string) string {
		v, ok := o.Resource.Inputs[key]
		if !ok {
			return ""
		}
		return fmt.Sprint(v)
	}
	a := s.World.Account()
	switch typ := o.Resource.Type; typ {
	case "aws:iam/role:Role", "aws:cloudwatch/eventRule:EventRule", "aws:cloudwatch/logGroup:LogGroup", "aws:eks/cluster:Cluster":
		return in("name")
	case "aws:iam/policy:Policy":
		return "arn:aws:iam::" + account.ID + ":policy/" + in("name")
	case "aws:iam/rolePolicyAttachment:RolePolicyAttachment":
		return in("role") + "/" + in("policyArn")
	case "aws:eks/accessEntry:AccessEntry":
		return in("clusterName") + ":" + in("principalArn")
	case "aws:eks/accessPolicyAssociation:AccessPolicyAssociation":
		return in("clusterName") + "#" + in("principalArn") + "#" + in("policyArn")
	case "aws:eks/addon:Addon":
		return in("clusterName") + ":" + in("addonName")
	case "aws:eks/nodeGroup:NodeGroup":
		return in("clusterName") + ":" + in("nodeGroupName")
	case "aws:cloudwatch/eventTarget:EventTarget":
		return in("rule") + "/" + in("targetId")
	case "aws:sqs/queuePolicy:QueuePolicy":
		return in("queueUrl")
	case "aws:sqs/queue:Queue":
		for _, url := range a.ListQueues(in("name")) {
			return url
		}
	case "aws:eks/podIdentityAssociation:PodIdentityAssociation":
		all, _ := a.ListPodIdentityAssociations(in("clusterName")) // none in a cluster that is not there
		for _, one := range all {
			return one.ClusterName + "," + one.ID
		}
	case "aws:ec2/launchTemplate:LaunchTemplate":
		all, _ := a.DescribeLaunchTemplates(nil, nil) // an empty filter cannot be wrong
		for _, one := range all {
			if one.Name == in("name") {
				return one.ID
			}
		}
	case "aws:ec2/securityGroup:SecurityGroup":
		all, _ := a.DescribeSecurityGroups() // as above
		for _, one := range all {
			if one.Name == in("name") {
				return one.ID
			}
		}
	case "aws:ec2/securityGroupRule:SecurityGroupRule":
		return ruleID(o.Resource.Inputs)
	case "aws:kms/key:Key":
		for _, l := range s.World.Leftovers() {
			if l.Type == "AWS::KMS::Key" {
				return l.ID
			}
		}
	case "aws:kms/alias:Alias":
		return in("name")
	case "aws:iam/serviceLinkedRole:ServiceLinkedRole":
		return "arn:aws:iam::" + account.ID + ":role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
	case "kubernetes:helm.sh/v3:Release":
		return in("namespace") + "/" + in("name")
	default:
		metadata, ok := o.Resource.Inputs["metadata"].(map[string]any)
		if !ok || !strings.HasPrefix(typ, "kubernetes:") {
			if strings.HasPrefix(typ, "aws:") {
				s.t.Errorf("no ID is known for a %s", typ)
			}
			return "" // a component, or a provider: the engine's own
		}
		name := fmt.Sprint(metadata["name"])
		if namespace, ok := metadata["namespace"]; ok {
			return fmt.Sprint(namespace) + "/" + name
		}
		return name
	}
	return ""
}

// ruleID is the ID by which a rule of a security group is imported.
func ruleID(in map[string]any) string {
	var peers []string
	for _, key := range []string{"cidrBlocks", "ipv6CidrBlocks", "prefixListIds"} {
		list, _ := in[key].([]any)
		for _, one := range list {
			peers = append(peers, fmt.Sprint(one))
		}
	}
	if in["self"] == true {
		peers = append(peers, "self")
	}
	if group, ok := in["sourceSecurityGroupId"]; ok {
		peers = append(peers, fmt.Sprint(group))
	}
	protocol := fmt.Sprint(in["protocol"])
	if protocol == "-1" {
		protocol = "all"
	}
	return strings.Join(append([]string{
		fmt.Sprint(in["securityGroupId"]), fmt.Sprint(in["type"]), protocol, fmt.Sprint(in["fromPort"]), fmt.Sprint(in["toPort"]),
	}, peers...), "_")
}

// TestRecoveryPage: what the page has jq do is what [story.recover] does.
func TestRecoveryPage(t *testing.T) {
	t.Parallel()
	jq, err := exec.LookPath("jq")
	if err != nil {
		t.Skip("there is no jq")
	}
	page, err := os.ReadFile(recoveryPage)
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^jq .*'(.*)' state.json > (\w+).json$`).FindAllStringSubmatch(string(page), -1)
	if len(commands) != 2 || commands[0][2] != "ids" || commands[1][2] != "mended" {
		t.Fatalf("the page's commands that use jq are %q", commands)
	}
	const state = `{"version": 3, "deployment": {"resources": [{"urn": "a"}], "metadata": {}, "pending_operations": [
		{"type": "creating", "resource": {"urn": "b", "type": "t", "inputs": {"name": "one"}}},
		{"type": "creating", "resource": {"urn": "c", "type": "t", "inputs": {"metadata": {"name": "two"}}}},
		{"type": "creating", "resource": {"urn": "d", "type": "t"}}]}}`
	run := func(args ...string) (out map[string]any, text []byte) {
		t.Helper()
		command := exec.CommandContext(t.Context(), jq, args...)
		command.Stdin = strings.NewReader(state)
		text, err := command.Output()
		if err != nil {
			t.Fatalf("jq %q: %v", args, err)
		}
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatal(err)
		}
		return out, text
	}
	ids, text := run(commands[0][1])
	if diff := gocmp.Diff(map[string]any{"b": "one", "c": "two", "d": ""}, ids); diff != "" {
		t.Errorf("ids.json (-want +got):\n%s", diff)
	}
	file := filepath.Join(t.TempDir(), "ids.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	got, _ := run("--slurpfile", "ids", file, commands[1][1])
	mended, err := mend([]byte(state), map[string]string{"b": "one", "c": "two", "d": ""})
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal(mended, &want); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("mended.json (-test's +page's):\n%s", diff)
	}
	if n := len(want["deployment"].(map[string]any)["resources"].([]any)); n != 3 { //nolint:forcetypeassert // mend has made it
		t.Errorf("%d resources, want 3", n)
	}
}
